//! In which type a network works, where that is another than its flow's.
//! ```text
//! network    the input is cast to the type of the first layer's weights,
//!            and theta to the type of the input
//! layer      the weights are cast to the type of the layer's input, which changes nothing
//!            unless they were computed in a wider type
//! ```
//! Data, latents, laws and log-determinants are thereby in the flow's type, float32 as a rule,
//! while activations between the layers of a network may be in a half type: see
//! [`Precision`](crate::train::Precision). What adds up many numbers or takes exponentials within a
//! network (layer norms, softmax, weight normalisation) is computed in [`wide`] of its type.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor};

/// `x` in another type; `x` itself, without a node on the graph, if it has that type.
pub(crate) fn cast<const D: usize>(x: Tensor<D>, dtype: DType) -> Tensor<D> {
    if x.dtype() == dtype { x } else { x.cast(dtype) }
}

/// The type that sums and exponentials of numbers of `dtype` are computed in: float32 for the half
/// types, else the same.
pub(crate) fn wide(dtype: DType) -> DType {
    match dtype {
        DType::F16 | DType::BF16 => DType::F32,
        other => other,
    }
}

/// The type that a parameter is stored in.
pub(crate) fn of<const D: usize>(parameter: &Param<Tensor<D>>) -> DType {
    parameter.val().dtype()
}

/// The narrowest type that floating-point parameters of a module have; `None` where it has none.
/// The norms of a network in a half type stay in float32.
pub(crate) fn narrowest<M: Module>(module: &M) -> Option<DType> {
    struct Narrowest(Option<DType>);
    impl ModuleVisitor for Narrowest {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let found = (**param).dtype();
            if self.0.is_none_or(|own| found.size() < own.size()) {
                self.0 = Some(found);
            }
        }
    }
    let mut visitor = Narrowest(None);
    module.visit(&mut visitor);
    visitor.0
}
