//! Visits of the layers of a stack, one at a time: to search for a fault, or to make a table of
//! layers.
//!
//! [`Bijector::visit_layers`] runs a batch through a stack and passes every layer to a
//! [`LayerVisitor`], in the order of `forward`. The visitor runs the layer itself, so it can time
//! it, seed the device, inspect its output, or pass something else to the next layer.
//!
//! The path of a layer is the part of its parameters' names that leads to the layer: indices of
//! members of tuples and `Vec`, and names of fields of structs, joined by dots. `Option` and
//! [`crate::BoxBijector`] add no segment. The layers in [`crate::Invert`] are visited last to
//! first, each inverted, with a layer name such as `Invert<ActNorm>`.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::bijector::visit::{Layer, LayerPath, LayerVisitor, Visit};
//! use flowkit::{ActNormConfig, Bijector, LayerConfig, Sigmoid, Site};
//!
//! struct Names(Vec<String>);
//!
//! impl LayerVisitor<2> for Names {
//!     fn layer(&mut self, path: &LayerPath, layer: &dyn Layer<2>, x: Tensor<2>) -> Tensor<2> {
//!         self.0.push(format!("{path} {}", layer.name()));
//!         layer.forward(x).0
//!     }
//! }
//!
//! let device = Device::flex();
//! let layers = (vec![ActNormConfig::new(); 2], Sigmoid::new());
//! let stack = layers.build(&Site::new([1, 3], &device))?;
//! let mut names = Names(Vec::new());
//! stack.visit_layers(Tensor::zeros([4, 3], &device), &(), &mut Visit::new(&mut names));
//! assert_eq!(names.0, ["0.0 ActNorm", "0.1 ActNorm", "1 Sigmoid"]);
//! # Ok::<(), flowkit::ConfigError>(())
//! ```

use std::fmt::{Debug, Display, Formatter, Result as FmtResult};
use std::ops::{Deref, Range};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

pub use super::layer_name::LayerName;
use super::{Bijector, Direction};
use crate::context::Context;
use crate::error::InitProblem;
use crate::tensor::type_name::type_name;

/// Called for intermediate tensors of a layer, with the name of the tensor and a check that all of
/// its elements are finite.
pub type Observer<'a> = &'a mut dyn FnMut(&str, &dyn Fn() -> bool);

/// A visitor of the layers of a stack, first to last.
pub trait LayerVisitor<const D: usize> {
    /// Called for each layer with the output of the preceding one. Its result is the input of the
    /// next one; usually it is `layer.forward(x).0`.
    fn layer(&mut self, path: &LayerPath, layer: &dyn Layer<D>, x: Tensor<D>) -> Tensor<D>;

    /// Called for a part that is not a layer, such as the network that conditions a dequantization,
    /// with a check that all elements of its output are finite.
    fn part(&mut self, path: &LayerPath, finite: &dyn Fn() -> bool) {
        let _ = (path, finite);
    }
}

/// A layer of any type, together with its condition.
pub trait Layer<const D: usize> {
    /// Name of its type, without modules and type parameters: `ActNorm`, or `Invert<ActNorm>` where
    /// it runs inverted.
    fn name(&self) -> LayerName;

    /// Number of elements of its parameters.
    fn num_params(&self) -> usize;

    /// [`Bijector::forward`].
    fn forward(&self, x: Tensor<D>) -> (Tensor<D>, Tensor<1>);

    /// [`Bijector::forward_observed`].
    fn forward_observed(&self, x: Tensor<D>, observe: Observer<'_>) -> (Tensor<D>, Tensor<1>);

    /// [`Bijector::inverse`].
    fn inverse(&self, z: Tensor<D>) -> Tensor<D>;

    /// [`Bijector::inverse_with_log_det`].
    fn inverse_with_log_det(&self, z: Tensor<D>) -> (Tensor<D>, Tensor<1>);

    /// [`Bijector::init_problem`].
    fn init_problem(&self, x: &Tensor<D>) -> Option<InitProblem>;

    /// Calls `observe` for each float parameter with its name within the layer and its values,
    /// flattened and without a graph.
    fn parameters(&self, observe: &mut dyn FnMut(&str, Tensor<1>));

    /// The same layer with its condition, to keep after the visit. Parameters are shared, not
    /// copied.
    fn to_owned(&self) -> Box<dyn Layer<D>>;

    /// The same layer for some examples of the batch, with the condition of those examples.
    /// Parameters are shared, not copied.
    ///
    /// # Panics
    /// If the condition has no such rows.
    fn rows(&self, range: Range<usize>) -> Box<dyn Layer<D>>;
}

/// Names from the root of a model to a layer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct LayerPath(Vec<String>);

impl LayerPath {
    /// The names, outermost first.
    pub fn segments(&self) -> &[String] {
        &self.0
    }
}

impl Display for LayerPath {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.write_str(&self.0.join("."))
    }
}

/// A visit in progress: its place and its visitor.
pub struct Visit<'a, const D: usize> {
    path: LayerPath,
    visitor: &'a mut dyn LayerVisitor<D>,
}

impl<'a, const D: usize> Visit<'a, D> {
    /// A visit that begins at the root.
    pub fn new(visitor: &'a mut dyn LayerVisitor<D>) -> Self {
        Self { path: LayerPath::default(), visitor }
    }

    /// Visits the layers of the member with this name. Compositions call it for each member.
    pub fn member<C: Context, B: Bijector<D, C>>(
        &mut self,
        name: impl Display,
        member: &B,
        x: Tensor<D>,
        context: &C,
    ) -> Tensor<D> {
        self.within(name, |visit| member.visit_layers(x, context, visit))
    }

    /// Passes a layer, in one of its directions, to the visitor.
    pub fn leaf<C: Context, B: Bijector<D, C>>(
        &mut self,
        layer: &B,
        direction: Direction,
        x: Tensor<D>,
        context: &C,
    ) -> Tensor<D> {
        self.visitor.layer(&self.path, &Directed { layer, direction, context }, x)
    }

    /// Reports a part that is not a layer to the visitor.
    pub fn part(&mut self, name: impl Display, finite: impl Fn() -> bool) {
        self.within(name, |visit| visit.visitor.part(&visit.path, &finite));
    }

    /// Runs `visit` one level deeper, under a further name.
    pub fn within<T>(&mut self, name: impl Display, visit: impl FnOnce(&mut Self) -> T) -> T {
        self.path.0.push(name.to_string());
        let result = visit(self);
        self.path.0.pop();
        result
    }
}

impl<const D: usize> Debug for Visit<'_, D> {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.debug_struct("Visit").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Name of a layer of type `B` that runs in `direction`.
pub(crate) fn layer_name<B>(direction: Direction) -> LayerName {
    match direction {
        Direction::Forward => type_name::<B>().into(),
        Direction::Inverse => format!("Invert<{}>", type_name::<B>()).into(),
    }
}

/// The only implementation of [`Layer`]: by reference during a visit, in boxes after it.
struct Directed<B, C> {
    layer: B,
    direction: Direction,
    context: C,
}

impl<const D: usize, C: Context, B: Bijector<D, C>, L: Deref<Target = B>, X: Deref<Target = C>>
    Layer<D> for Directed<L, X>
{
    fn name(&self) -> LayerName {
        layer_name::<B>(self.direction)
    }

    fn num_params(&self) -> usize {
        Module::num_params(&*self.layer)
    }

    fn forward(&self, x: Tensor<D>) -> (Tensor<D>, Tensor<1>) {
        self.direction.run(&*self.layer, x, &self.context)
    }

    fn forward_observed(&self, x: Tensor<D>, observe: Observer<'_>) -> (Tensor<D>, Tensor<1>) {
        match self.direction {
            Direction::Forward => self.layer.forward_observed(x, &self.context, observe),
            Direction::Inverse => self.layer.inverse_with_log_det(x, &self.context),
        }
    }

    fn inverse(&self, z: Tensor<D>) -> Tensor<D> {
        self.direction.undo(&*self.layer, z, &self.context)
    }

    fn inverse_with_log_det(&self, z: Tensor<D>) -> (Tensor<D>, Tensor<1>) {
        Direction::Inverse.of(self.direction).run(&*self.layer, z, &self.context)
    }

    fn init_problem(&self, x: &Tensor<D>) -> Option<InitProblem> {
        match self.direction {
            Direction::Forward => self.layer.init_problem(x, &self.context),
            Direction::Inverse => None,
        }
    }

    fn parameters(&self, observe: &mut dyn FnMut(&str, Tensor<1>)) {
        self.layer.visit(&mut Parameters { path: LayerPath::default(), observe });
    }

    fn to_owned(&self) -> Box<dyn Layer<D>> {
        let context = Box::new(C::clone(&self.context));
        Box::new(Directed {
            layer: Box::new(B::clone(&self.layer)),
            direction: self.direction,
            context,
        })
    }

    fn rows(&self, range: Range<usize>) -> Box<dyn Layer<D>> {
        let context = Box::new(self.context.rows(range));
        Box::new(Directed {
            layer: Box::new(B::clone(&self.layer)),
            direction: self.direction,
            context,
        })
    }
}

struct Parameters<'a> {
    path: LayerPath,
    observe: &'a mut dyn FnMut(&str, Tensor<1>),
}

impl ModuleVisitor for Parameters<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.0.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.0.pop();
    }

    fn visit_float<const R: usize>(&mut self, param: &Param<Tensor<R>>) {
        let value = param.val().inner();
        let length: usize = value.dims().iter().product();
        (self.observe)(&self.path.to_string(), value.reshape([length]));
    }
}
