//! Functions of tensors and parameters that burn lacks. Nothing here knows a flow.

pub(crate) mod capacity;
pub(crate) mod channels;
pub(crate) mod dtype;
pub(crate) mod equal;
pub(crate) mod finite;
pub(crate) mod float_limits;
pub(crate) mod graph;
pub(crate) mod half;
pub(crate) mod index_list;
pub mod limit;
pub(crate) mod marked_module;
pub(crate) mod moments;
pub mod parameter;
pub(crate) mod parameter_path;
pub mod per_example;
pub(crate) mod probit;
pub mod root;
pub mod smooth;
pub(crate) mod type_name;
pub(crate) mod uniform;
