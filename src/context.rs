//! Conditions of a flow: nothing, a tensor, or several.

use std::ops::Range;

use burn::module::Module;
use burn::tensor::{DType, Device, Gradients, Int, Tensor};

use crate::tensor::dtype;
use crate::tensor::finite::{NonFiniteContext, all_finite, non_finite_row};
use crate::tensor::graph::constant;

/// A condition that every layer of a flow gets together with its input.
///
/// `()` is the condition of an unconditional flow. A tensor serves for class embeddings
/// (`Tensor<2>`) and feature maps (`Tensor<4>`). Pairs can be nested. With these methods a flow
/// checks a condition and selects its rows together with those of a batch; a memory-saving backward
/// pass uses them to cut the graph at a layer and to collect the gradient of the condition there.
///
/// The first axis of every tensor in it is the batch: one row for each example. A flow applies a
/// single row to every example.
pub trait Context: Clone + Send + Sync + std::fmt::Debug + 'static {
    /// Gradient with respect to the condition, summed over layers.
    type Gradient: Default + Send + std::fmt::Debug;

    /// The same values as new leaves of the graphs on `device`.
    fn leaf(&self, device: &Device) -> Self;

    /// The same values as constants of the graphs on `device`, detached from their own graph.
    fn constant(&self, device: &Device) -> Self;

    /// The same values outside of any graph.
    fn plain(&self) -> Self;

    /// The same values in another type.
    fn cast(&self, dtype: DType) -> Self;

    /// The rows with these indices, in this order.
    ///
    /// # Panics
    /// If there is no such row.
    fn select(&self, rows: &[usize]) -> Self;

    /// The rows of a range.
    ///
    /// # Panics
    /// If there is no such row.
    fn rows(&self, range: Range<usize>) -> Self {
        self.select(&range.collect::<Vec<_>>())
    }

    /// The condition of `batch` examples: each tensor with one row is expanded to `batch` rows,
    /// others are unchanged.
    fn for_batch(&self, batch: usize) -> Self;

    /// Shape, type and device of each tensor in it.
    fn parts(&self) -> Vec<ContextPart>;

    /// Whether every element in it is finite. A flow calls it after a fault, to find the cause, and
    /// through [`Context::non_finite`] before it computes. The default is `true`.
    fn is_finite(&self) -> bool {
        true
    }

    /// The first row that is not finite. Evaluation, sampling, initialisation and training return
    /// an error that names it. The default calls [`Context::is_finite`] and names no row.
    fn non_finite(&self) -> Option<NonFiniteContext> {
        (!self.is_finite()).then(|| NonFiniteContext::new(None))
    }

    /// Adds the gradients of `leaf`, made by [`Context::leaf`], to `into`.
    fn collect(leaf: &Self, gradients: &mut Gradients, into: &mut Self::Gradient);

    /// `⟨self, gradient⟩`, `[1]`. Its derivative passes a gradient that a replay collected back to
    /// the network that computed this condition. `None` if there is no gradient to pass.
    fn pair(&self, gradient: Self::Gradient) -> Option<Tensor<1>>;
}

/// What a flow checks for each tensor of a condition.
#[derive(Debug, Clone, PartialEq)]
pub struct ContextPart {
    /// Shape, with the batch first.
    pub shape: Vec<usize>,
    /// Type of the elements.
    pub dtype: DType,
    /// Device that holds them.
    pub device: Device,
}

/// The shapes of a condition, without its values. A network is built for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContextShape {
    parts: Vec<Vec<usize>>,
}

impl ContextShape {
    /// The shapes of a condition like `example`.
    pub fn of<C: Context>(example: &C) -> Self {
        Self { parts: example.parts().into_iter().map(|part| part.shape).collect() }
    }

    /// The shapes of a condition whose tensors have these shapes, each with the batch first.
    pub fn new(parts: Vec<Vec<usize>>) -> Self {
        Self { parts }
    }

    /// The shapes of a vector with this many elements, or of no condition for `None`.
    pub fn vector(width: Option<usize>) -> Self {
        Self { parts: width.map(|width| vec![1, width]).into_iter().collect() }
    }

    /// Whether there is no condition.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Shape of each tensor in it, with the batch first.
    pub fn parts(&self) -> &[Vec<usize>] {
        &self.parts
    }

    /// Width of all its tensors concatenated along axis 1, or `None` if there is no condition.
    pub fn width(&self) -> Option<usize> {
        let width = |part: &Vec<usize>| part.get(1).copied().unwrap_or(1);
        (!self.is_empty()).then(|| self.parts.iter().map(width).fold(0, usize::saturating_add))
    }
}

/// The part of a condition that a network for tensors with `D` axes reads: its tensors,
/// concatenated along axis 1.
///
/// Implemented for `()`, which has none; with `D = 2` for vectors; with `D = 4` for feature maps
/// and for vectors, each of which is a map of one position that applies at all positions; and for
/// pairs of these. Labels are vectors too: one-hot vectors, or rows of an embedding.
pub trait Features<const D: usize>: Context {
    /// Number of tensors in it. An unconditional flow has 0.
    const N_PARTS: usize;

    /// All tensors as one, `[batch, sum of the widths, ...]`. Its further axes are those of an
    /// input or 1. `None` if there are no tensors.
    ///
    /// # Panics
    /// If they differ in batch, or in a size that is not 1.
    fn features(&self) -> Option<Tensor<D>>;
}

impl<const D: usize> Features<D> for () {
    const N_PARTS: usize = 0;

    fn features(&self) -> Option<Tensor<D>> {
        None
    }
}

impl<const K: usize> Features<K> for Tensor<K> {
    const N_PARTS: usize = 1;

    fn features(&self) -> Option<Self> {
        Some(self.clone())
    }
}

impl Features<4> for Tensor<2> {
    const N_PARTS: usize = 1;

    fn features(&self) -> Option<Tensor<4>> {
        let [batch, width] = self.dims();
        Some(self.clone().reshape([batch, width, 1, 1]))
    }
}

impl<const D: usize, A: Features<D>, B: Features<D>> Features<D> for (A, B) {
    const N_PARTS: usize = A::N_PARTS + B::N_PARTS;

    fn features(&self) -> Option<Tensor<D>> {
        let (a, b) = match (self.0.features(), self.1.features()) {
            (Some(a), Some(b)) => (a, b),
            (a, b) => return a.or(b),
        };
        let shapes = [a.dims(), b.dims()];
        let spread = |part: Tensor<D>| {
            let own = part.dims();
            let further = |axis: usize| shapes[0][axis].max(shapes[1][axis]);
            part.expand::<D, [usize; D]>(std::array::from_fn(|axis| {
                if axis < 2 { own[axis] } else { further(axis) }
            }))
        };
        Some(Tensor::cat(vec![spread(a), spread(b)], 1))
    }
}

impl Context for () {
    type Gradient = ();

    fn leaf(&self, _: &Device) {}

    fn constant(&self, _: &Device) {}

    fn plain(&self) {}

    fn cast(&self, _: DType) {}

    fn select(&self, _: &[usize]) {}

    fn for_batch(&self, _: usize) {}

    fn parts(&self) -> Vec<ContextPart> {
        Vec::new()
    }

    fn collect(_: &Self, _: &mut Gradients, _: &mut ()) {}

    fn pair(&self, (): ()) -> Option<Tensor<1>> {
        None
    }
}

impl<const K: usize> Context for Tensor<K> {
    type Gradient = Option<Tensor<K>>;

    fn leaf(&self, device: &Device) -> Self {
        constant(self.clone(), device).require_grad()
    }

    fn constant(&self, device: &Device) -> Self {
        constant(self.clone(), device)
    }

    fn plain(&self) -> Self {
        self.clone().inner()
    }

    fn cast(&self, dtype: DType) -> Self {
        dtype::cast(self.clone(), dtype)
    }

    fn select(&self, rows: &[usize]) -> Self {
        let n = self.dims()[0];
        if let Some(row) = rows.iter().find(|&&row| row >= n) {
            panic!("expected a row of the condition in 0..{n}, found {row}");
        }
        // The cast is safe: an index is below the length of a tensor.
        let rows: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
        let rows = Tensor::<1, Int>::from_data(rows.as_slice(), &self.device());
        Tensor::select(self.clone(), 0, rows)
    }

    fn rows(&self, range: Range<usize>) -> Self {
        let n = self.dims()[0];
        assert!(
            range.start <= range.end && range.end <= n,
            "expected rows of the condition within 0..{n}, found {range:?}"
        );
        self.clone().narrow(0, range.start, range.len())
    }

    fn for_batch(&self, batch: usize) -> Self {
        let mut shape = self.dims();
        if shape[0] != 1 || batch == 1 {
            return self.clone();
        }
        shape[0] = batch;
        self.clone().expand(shape)
    }

    fn parts(&self) -> Vec<ContextPart> {
        vec![ContextPart {
            shape: self.dims().to_vec(),
            dtype: self.dtype(),
            device: self.device(),
        }]
    }

    fn is_finite(&self) -> bool {
        all_finite(self)
    }

    fn non_finite(&self) -> Option<NonFiniteContext> {
        non_finite_row(self).map(|row| NonFiniteContext::new(Some(row)))
    }

    fn collect(leaf: &Self, gradients: &mut Gradients, into: &mut Self::Gradient) {
        if let Some(gradient) = leaf.grad_remove(gradients) {
            *into = Some(match into.take() {
                None => gradient,
                Some(sum) => sum + gradient,
            });
        }
    }

    fn pair(&self, gradient: Self::Gradient) -> Option<Tensor<1>> {
        gradient.map(|gradient| (self.clone() * constant(gradient, &self.device())).sum())
    }
}

impl<A: Context, B: Context> Context for (A, B) {
    type Gradient = (A::Gradient, B::Gradient);

    fn leaf(&self, device: &Device) -> Self {
        (self.0.leaf(device), self.1.leaf(device))
    }

    fn constant(&self, device: &Device) -> Self {
        (self.0.constant(device), self.1.constant(device))
    }

    fn plain(&self) -> Self {
        (self.0.plain(), self.1.plain())
    }

    fn cast(&self, dtype: DType) -> Self {
        (self.0.cast(dtype), self.1.cast(dtype))
    }

    fn select(&self, rows: &[usize]) -> Self {
        (self.0.select(rows), self.1.select(rows))
    }

    fn rows(&self, range: Range<usize>) -> Self {
        (self.0.rows(range.clone()), self.1.rows(range))
    }

    fn for_batch(&self, batch: usize) -> Self {
        (self.0.for_batch(batch), self.1.for_batch(batch))
    }

    fn parts(&self) -> Vec<ContextPart> {
        [self.0.parts(), self.1.parts()].concat()
    }

    fn is_finite(&self) -> bool {
        self.0.is_finite() && self.1.is_finite()
    }

    fn non_finite(&self) -> Option<NonFiniteContext> {
        let first = self.0.non_finite().map(|found| found.within(0));
        first.or_else(|| self.1.non_finite().map(|found| found.within(1)))
    }

    fn collect(leaf: &Self, gradients: &mut Gradients, into: &mut Self::Gradient) {
        A::collect(&leaf.0, gradients, &mut into.0);
        B::collect(&leaf.1, gradients, &mut into.1);
    }

    fn pair(&self, gradient: Self::Gradient) -> Option<Tensor<1>> {
        match (self.0.pair(gradient.0), self.1.pair(gradient.1)) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        }
    }
}

/// `Ok` if every element of a condition is finite.
pub(crate) fn check_finite<C: Context>(context: &C) -> Result<(), NonFiniteContext> {
    context.non_finite().map_or(Ok(()), Err)
}

/// The device of a layer's graphs: that of its parameters, or of the condition if the layer has
/// none.
pub(crate) fn graph_device_given<C: Context, M: Module>(layer: &M, context: &C) -> Device {
    let of_context = || context.parts().into_iter().map(|part| part.device).next();
    layer.devices().into_iter().next().or_else(of_context).unwrap_or_default().autodiff()
}
