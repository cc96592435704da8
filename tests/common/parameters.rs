//! Weights of the independent implementation in a module of ours, and our gradients beside its own.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};

use super::comparison::Comparison;
use super::golden::Source;
use super::{Precision, values};

/// Which tensor, without the prefix `w.`, a parameter of ours is, by its path.
pub type Naming = fn(&str) -> Source;

/// `module` with the weights of the file, in the comparison's type.
pub fn install<M: Module>(module: M, comparison: &Comparison, naming: Naming) -> M {
    set(module, comparison.precision, |path| naming(path).under("w.").read(&comparison.truth))
}

/// `module` with the values that `weights` has for the path of each parameter.
pub fn set<M: Module>(module: M, precision: Precision, weights: impl Fn(&str) -> Vec<f64>) -> M {
    module.map(&mut Set { precision, weights, path: Vec::new() })
}

struct Set<F> {
    precision: Precision,
    weights: F,
    path: Vec<String>,
}

impl<F: Fn(&str) -> Vec<f64>> ModuleMapper for Set<F> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let values = (self.weights)(&self.path.join("."));
        param.map(|old| self.precision.leaf(values, old.dims()))
    }
}

/// `module` in another type, its values kept.
pub fn cast<M: Module>(module: M, precision: Precision) -> M {
    module.map(&mut Cast { precision })
}

struct Cast {
    precision: Precision,
}

impl ModuleMapper for Cast {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|old| self.precision.leaf(values(old.clone()), old.dims()))
    }
}

/// Compares the gradient of every parameter.
pub fn compare_gradients<M: Module>(
    comparison: &mut Comparison,
    module: &M,
    gradients: &Gradients,
    naming: Naming,
) {
    module.visit(&mut Compare { comparison, gradients, naming, path: Vec::new() });
}

struct Compare<'a> {
    comparison: &'a mut Comparison,
    gradients: &'a Gradients,
    naming: Naming,
    path: Vec<String>,
}

impl ModuleVisitor for Compare<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let path = self.path.join(".");
        let gradient =
            param.val().grad(self.gradients).unwrap_or_else(|| panic!("{path} has no gradient"));
        self.comparison.check(gradient, (self.naming)(&path).under("grad.w."));
    }
}
