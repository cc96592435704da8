//! The float parameters of any module as lists of elements.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Gradients, Tensor};

use super::elements::{elements, tensor};

/// One float parameter.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Path in the module, the segments joined by dots.
    pub path: String,
    /// The id by which an optimizer knows it.
    pub id: ParamId,
    /// Whether it requires gradients.
    pub trained: bool,
    /// Its elements, row by row.
    pub values: Vec<f64>,
}

/// All float parameters, in the order of visits.
pub fn parameters<M: Module>(module: &M) -> Vec<Parameter> {
    let mut reader = Reader { path: Vec::new(), found: Vec::new() };
    module.visit(&mut reader);
    reader.found
}

struct Reader {
    path: Vec<String>,
    found: Vec<Parameter>,
}

impl ModuleVisitor for Reader {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
    fn visit_float<const R: usize>(&mut self, param: &Param<Tensor<R>>) {
        let value = param.val();
        self.found.push(Parameter {
            path: self.path.join("."),
            id: param.id,
            trained: value.is_require_grad(),
            values: elements(&value),
        });
    }
}

/// Sets the values of every float parameter to what `change` returns for its index and old values,
/// in `dtype`.
pub fn change<M: Module>(
    module: M,
    dtype: DType,
    change: impl FnMut(usize, Vec<f64>) -> Vec<f64>,
) -> M {
    module.map(&mut Writer { dtype, index: 0, change })
}

struct Writer<F> {
    dtype: DType,
    index: usize,
    change: F,
}

impl<F: FnMut(usize, Vec<f64>) -> Vec<f64>> ModuleMapper for Writer<F> {
    fn map_float<const R: usize>(&mut self, param: Param<Tensor<R>>) -> Param<Tensor<R>> {
        let index = self.index;
        self.index += 1;
        param.map(|old| {
            let values = (self.change)(index, elements(&old));
            tensor(values, old.dims(), self.dtype, &old.device())
                .set_require_grad(old.is_require_grad())
        })
    }
}

/// Gradients in the order of [`parameters`]; `None` for a parameter that received none.
pub fn gradients<M: Module>(module: &M, gradients: &Gradients) -> Vec<Option<Vec<f64>>> {
    struct Find<'a>(&'a Gradients, Vec<Option<Vec<f64>>>);
    impl ModuleVisitor for Find<'_> {
        fn visit_float<const R: usize>(&mut self, param: &Param<Tensor<R>>) {
            self.1.push(param.val().grad(self.0).map(|gradient| elements(&gradient)));
        }
    }
    let mut find = Find(gradients, Vec::new());
    module.visit(&mut find);
    find.1
}

/// Like [`gradients`], from gradients by parameter id.
pub fn gradients_by_id<M: Module>(
    module: &M,
    gradients: &GradientsParams,
) -> Vec<Option<Vec<f64>>> {
    struct Find<'a>(&'a GradientsParams, Vec<Option<Vec<f64>>>);
    impl ModuleVisitor for Find<'_> {
        fn visit_float<const R: usize>(&mut self, param: &Param<Tensor<R>>) {
            self.1.push(self.0.get::<R>(param.id).map(|gradient| elements(&gradient)));
        }
    }
    let mut find = Find(gradients, Vec::new());
    module.visit(&mut find);
    find.1
}
