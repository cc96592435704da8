//! The same module in float64, and the gradients of a module.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData};

use super::gap::values;

/// `module` in float64 on the CPU, its values kept, with gradients.
pub fn double<M: Module>(module: M) -> M {
    module.map(&mut Double)
}

struct Double;

impl ModuleMapper for Double {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|old| leaf(values(old.clone()), old.dims()))
    }
}

/// A tensor of float64 on the CPU that gradients are asked for.
pub fn leaf<const D: usize>(values: Vec<f64>, shape: [usize; D]) -> Tensor<D> {
    let device = Device::flex().autodiff();
    Tensor::from_data(TensorData::new(values, shape), (&device, burn::tensor::DType::F64))
        .require_grad()
}

/// Gradient of every parameter, in the order of the module.
pub fn gradients<M: Module>(module: &M, gradients: &Gradients) -> Vec<Vec<f64>> {
    let mut all = All { gradients, found: Vec::new() };
    module.visit(&mut all);
    all.found
}

struct All<'a> {
    gradients: &'a Gradients,
    found: Vec<Vec<f64>>,
}

impl ModuleVisitor for All<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = param.val().grad(self.gradients).expect("every parameter has a gradient");
        self.found.push(values(gradient));
    }
}
