//! Checks that a model can be trained.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};

use super::error::TrainError;

/// Checks that a parameter of the model is trained. A model outside any graph passes: its first
/// update returns [`TrainError::NoGraph`].
///
/// # Errors
/// [`TrainError::NothingTrained`].
pub(super) fn check<M: Module>(model: &M) -> Result<(), TrainError> {
    let mut count = Count::default();
    model.visit(&mut count);
    let Count { floats, graphs, trained } = count;
    if trained > 0 || (floats > 0 && graphs == 0) {
        Ok(())
    } else {
        Err(TrainError::NothingTrained)
    }
}

/// Why there is no gradient.
pub(super) fn no_gradient<M: Module>(model: &M) -> TrainError {
    if model.devices().iter().any(Device::is_autodiff) {
        TrainError::NothingTrained
    } else {
        TrainError::NoGraph
    }
}

#[derive(Default)]
struct Count {
    floats: usize,
    graphs: usize,
    trained: usize,
}

impl ModuleVisitor for Count {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.base();
        self.floats += 1;
        self.graphs += usize::from(value.is_autodiff());
        self.trained += usize::from(value.is_require_grad());
    }
}
