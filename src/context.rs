//! What a flow is conditioned on: nothing, a tensor, or several.

use std::ops::Range;

use burn::module::Module;
use burn::tensor::{DType, Device, Gradients, Int, Tensor};

use crate::tensor::finite::{NonFiniteCondition, all_finite, non_finite_row};
use crate::tensor::graph::constant;

/// A condition that every layer of a flow is given beside its input.
///
/// `()` is the condition of an unconditional flow. A tensor serves class embeddings (`Tensor<2>`) and feature maps
/// (`Tensor<4>`); pairs nest. With its methods a flow checks a condition and selects its rows along with those of a
/// batch, and a memory-saving backward pass cuts the graph at a layer and collects the gradient of the condition there.
///
/// The first axis of every tensor in it is the batch: one row for each example. A flow applies a single row to every
/// example.
pub trait Context: Clone + Send + Sync + std::fmt::Debug + 'static {
    /// Gradient with respect to the condition, summed over layers.
    type Gradient: Default + Send + std::fmt::Debug;

    /// The same values as new leaves of the graphs on `device`.
    fn leaf(&self, device: &Device) -> Self;

    /// The same values as constants of the graphs on `device`, without a graph of their own.
    fn constant(&self, device: &Device) -> Self;

    /// The same values outside of any graph.
    fn plain(&self) -> Self;

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

    /// The condition of `batch` examples: each tensor with one row is expanded to `batch` rows, others are unchanged.
    fn for_batch(&self, batch: usize) -> Self;

    /// Shape, type and device of each tensor in it.
    fn parts(&self) -> Vec<ContextPart>;

    /// Whether every element in it is finite. A flow calls it after a fault, to find where that came from, and through
    /// [`Context::non_finite`] before it computes. The default is `true`.
    fn is_finite(&self) -> bool {
        true
    }

    /// The first row that is not finite: evaluation, sampling, start and training return an error that names it. The
    /// default calls [`Context::is_finite`] and names no row.
    fn non_finite(&self) -> Option<NonFiniteCondition> {
        (!self.is_finite()).then(|| NonFiniteCondition::new(None))
    }

    /// Adds the gradients of `leaf`, made by [`Context::leaf`], to `into`.
    fn collect(leaf: &Self, gradients: &mut Gradients, into: &mut Self::Gradient);

    /// `⟨self, gradient⟩`, `[1]`: its derivative hands a gradient that a walk collected on to what this condition was made by. `None` where
    /// there is nothing to hand on.
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

/// What a condition looks like, whatever its values are: what a network is built for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContextShape {
    parts: Vec<Vec<usize>>,
}

impl ContextShape {
    /// Of a condition like `example`.
    pub fn of<C: Context>(example: &C) -> Self {
        Self { parts: example.parts().into_iter().map(|part| part.shape).collect() }
    }

    /// Whether there is no condition.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Shape of each tensor in it, with the batch first.
    pub fn parts(&self) -> &[Vec<usize>] {
        &self.parts
    }

    /// Width of all its tensors side by side along axis 1; `None` where there is no condition.
    pub fn width(&self) -> Option<usize> {
        let width = |part: &Vec<usize>| part.get(1).copied().unwrap_or(1);
        (!self.is_empty()).then(|| self.parts.iter().map(width).fold(0, usize::saturating_add))
    }
}

/// A condition that networks for vectors can read: nothing, a vector, or several side by side.
///
/// Labels are vectors too: one-hot, or rows of an embedding.
pub trait VectorContext: Context {
    /// Vectors in it; 0 is an unconditional flow.
    const N_PARTS: usize;

    /// The vectors, each `[batch, width]`.
    fn vectors(&self) -> Vec<Tensor<2>>;

    /// All of them as one, `[batch, sum of the widths]`; `None` where there is none.
    ///
    /// # Panics
    /// If they are of different batches.
    fn vector(&self) -> Option<Tensor<2>> {
        let vectors = self.vectors();
        (!vectors.is_empty()).then(|| Tensor::cat(vectors, 1))
    }
}

/// A condition that networks for images can read: nothing, feature maps of the image's size, vectors, or several side by side.
///
/// A vector is a map of one position, `[batch, width, 1, 1]`, that holds at all of them.
pub trait MapContext: Context {
    /// Maps in it; 0 is an unconditional flow.
    const N_PARTS: usize;

    /// The maps, each `[batch, channels, H or 1, W or 1]`.
    fn maps(&self) -> Vec<Tensor<4>>;

    /// All of them as one, `[batch, sum of the channels, H or 1, W or 1]`; `None` where there is none.
    ///
    /// # Panics
    /// If they are of different batches or sizes other than 1.
    fn map(&self) -> Option<Tensor<4>> {
        let maps = self.maps();
        let size = |axis: usize| maps.iter().map(|map| map.dims()[axis]).max().unwrap_or(1);
        let (h, w) = (size(2), size(3));
        let spread = |map: Tensor<4>| {
            let [batch, channels, _, _] = map.dims();
            map.expand([batch, channels, h, w])
        };
        (!maps.is_empty()).then(|| Tensor::cat(maps.into_iter().map(spread).collect(), 1))
    }
}

impl VectorContext for () {
    const N_PARTS: usize = 0;

    fn vectors(&self) -> Vec<Tensor<2>> {
        Vec::new()
    }
}

impl VectorContext for Tensor<2> {
    const N_PARTS: usize = 1;

    fn vectors(&self) -> Vec<Tensor<2>> {
        vec![self.clone()]
    }
}

impl<A: VectorContext, B: VectorContext> VectorContext for (A, B) {
    const N_PARTS: usize = A::N_PARTS + B::N_PARTS;

    fn vectors(&self) -> Vec<Tensor<2>> {
        [self.0.vectors(), self.1.vectors()].concat()
    }
}

impl MapContext for () {
    const N_PARTS: usize = 0;

    fn maps(&self) -> Vec<Tensor<4>> {
        Vec::new()
    }
}

impl MapContext for Tensor<2> {
    const N_PARTS: usize = 1;

    fn maps(&self) -> Vec<Tensor<4>> {
        let [batch, width] = self.dims();
        vec![self.clone().reshape([batch, width, 1, 1])]
    }
}

impl MapContext for Tensor<4> {
    const N_PARTS: usize = 1;

    fn maps(&self) -> Vec<Self> {
        vec![self.clone()]
    }
}

impl<A: MapContext, B: MapContext> MapContext for (A, B) {
    const N_PARTS: usize = A::N_PARTS + B::N_PARTS;

    fn maps(&self) -> Vec<Tensor<4>> {
        [self.0.maps(), self.1.maps()].concat()
    }
}

impl Context for () {
    type Gradient = ();

    fn leaf(&self, _: &Device) {}

    fn constant(&self, _: &Device) {}

    fn plain(&self) {}

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

    fn select(&self, rows: &[usize]) -> Self {
        let n = self.dims()[0];
        if let Some(row) = rows.iter().find(|&&row| row >= n) {
            panic!("row {row} of a condition of {n} rows");
        }
        // An index fits, since a tensor's length does.
        let rows: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
        let rows = Tensor::<1, Int>::from_data(rows.as_slice(), &self.device());
        Tensor::select(self.clone(), 0, rows)
    }

    fn rows(&self, range: Range<usize>) -> Self {
        let n = self.dims()[0];
        assert!(range.start <= range.end && range.end <= n, "rows {range:?} of a condition of {n} rows");
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
        vec![ContextPart { shape: self.dims().to_vec(), dtype: self.dtype(), device: self.device() }]
    }

    fn is_finite(&self) -> bool {
        all_finite(self)
    }

    fn non_finite(&self) -> Option<NonFiniteCondition> {
        non_finite_row(self).map(|row| NonFiniteCondition::new(Some(row)))
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

    fn non_finite(&self) -> Option<NonFiniteCondition> {
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
pub(crate) fn check_finite<C: Context>(context: &C) -> Result<(), NonFiniteCondition> {
    context.non_finite().map_or(Ok(()), Err)
}

/// The device of a layer's graphs: that of its parameters, or of a condition where it has none.
pub(crate) fn graph_device_given<C: Context, M: Module>(layer: &M, context: &C) -> Device {
    let of_context = || context.parts().into_iter().map(|part| part.device).next();
    layer.devices().into_iter().next().or_else(of_context).unwrap_or_default().autodiff()
}
