//! Checks that all weights of a module are finite.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

use crate::tensor::finite::all_finite;
use crate::tensor::parameter_path::ParameterPath;

/// The path of the first parameter, in the order of the module, that contains NaN or an infinity.
/// One device-to-host copy per parameter.
pub(super) fn first_not_finite<M: Module>(module: &M) -> Option<String> {
    let mut search = Search { path: ParameterPath::default(), found: None };
    module.visit(&mut search);
    search.found
}

struct Search {
    path: ParameterPath,
    found: Option<String>,
}

impl ModuleVisitor for Search {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.found.is_none() && !all_finite(&param.val().without_autodiff()) {
            self.found = Some(self.path.join());
        }
    }
}
