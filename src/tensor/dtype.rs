//! The type in which a network computes, when it differs from that of its flow.
//! ```text
//! network    the input is cast to the type of the first layer's weights,
//!            and theta to the type of the input
//! layer      the weights are cast to the type of the layer's input, which changes nothing
//!            unless they were computed in a wider type
//! ```
//! Data, latents, laws and log-determinants are therefore in the flow's type, normally float32,
//! while the activations between the layers of a network may be in a half type: see
//! [`Precision`](crate::train::Precision). Operations within a network that sum many elements or
//! take exponentials (layer norms, softmax, weight normalisation) compute in the [`wide`] type.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor};

use super::marked_module::NETWORK;

/// `x` in another type; `x` itself, without a node on the graph, if it has that type.
pub(crate) fn cast<const D: usize>(x: Tensor<D>, dtype: DType) -> Tensor<D> {
    if x.dtype() == dtype { x } else { x.cast(dtype) }
}

/// The type in which sums and exponentials of elements of `dtype` are computed: float32 for the
/// half types, otherwise `dtype` itself.
pub(crate) fn wide(dtype: DType) -> DType {
    match dtype {
        DType::F16 | DType::BF16 => DType::F32,
        other => other,
    }
}

/// The type in which a parameter is stored.
pub(crate) fn of<const D: usize>(parameter: &Param<Tensor<D>>) -> DType {
    parameter.val().dtype()
}

/// The narrowest type among the floating-point parameters of a module; `None` if it has none. The
/// norms of a network in a half type stay in float32.
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

/// Float64 if any float parameter has that type, else float32: networks may store their parameters
/// in a half-precision type, which is too coarse for densities. `None` without parameters.
pub(crate) fn widest(module: &impl Module, prior: &impl Module) -> Option<DType> {
    let mut widest = Widest(None);
    module.visit(&mut widest);
    prior.visit(&mut widest);
    widest.0
}

/// The first type, other than `dtype`, of a float32 or float64 parameter that is in no network.
/// Such a parameter is combined with data and latents, so no kernel accepts it.
pub(crate) fn first_other(module: &impl Module, dtype: DType) -> Option<DType> {
    struct Other {
        dtype: DType,
        networks: usize,
        found: Option<DType>,
    }
    impl ModuleVisitor for Other {
        fn enter_module(&mut self, _: &str, container_type: &str) {
            self.networks += usize::from(container_type == NETWORK);
        }

        fn exit_module(&mut self, _: &str, container_type: &str) {
            self.networks -= usize::from(container_type == NETWORK);
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let found = param.base().dtype();
            let is_full = matches!(found, DType::F32 | DType::F64);
            if self.networks == 0 && is_full && found != self.dtype {
                self.found.get_or_insert(found);
            }
        }
    }
    let mut other = Other { dtype, networks: 0, found: None };
    module.visit(&mut other);
    other.found
}

struct Widest(Option<DType>);

impl ModuleVisitor for Widest {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        // The type of the stored value. The effective weight would be computed for nothing.
        let double = param.base().dtype() == DType::F64 || self.0 == Some(DType::F64);
        self.0 = Some(if double { DType::F64 } else { DType::F32 });
    }
}
