//! Where a layer is built, and what builds one.
//! ```text
//! layers.build(site of x) = (f_1, …, f_n)        site of f_1: the shape of x
//!                                                site of f_i+1: the shape that leaves f_i
//! ```
//! A configuration is told the shape that arrives, what the condition looks like and the device. So no width has to be given
//! that follows from the layers before.

use std::marker::PhantomData;

use burn::module::Module;
use burn::tensor::Device;

use super::{Bijector, ShapeMap};
use crate::context::{Context, ContextShape};
use crate::error::ConfigError;

/// What a configuration is told when it builds a layer: the shape that arrives, what the condition looks like, the device.
#[derive(Debug, Clone)]
pub struct Site<const D: usize, C: Context = ()> {
    shape: [usize; D],
    context: ContextShape,
    device: Device,
    kind: PhantomData<C>,
}

impl<const D: usize> Site<D> {
    /// A site without a condition, where examples of shape `shape[1..]` arrive. `shape[0]`, the batch, is not fixed.
    pub fn new(shape: [usize; D], device: &Device) -> Self {
        Self::given(shape, &(), device)
    }
}

impl<const D: usize, C: Context> Site<D, C> {
    /// A site with a condition like `example`, of which only the widths are used.
    pub fn given(shape: [usize; D], example: &C, device: &Device) -> Self {
        Self { shape, context: ContextShape::of(example), device: device.clone(), kind: PhantomData }.at(shape)
    }

    /// The same site, where another shape arrives.
    pub fn at<const E: usize>(&self, shape: [usize; E]) -> Site<E, C> {
        let mut one = shape;
        one[0] = 1;
        Site { shape: one, context: self.context.clone(), device: self.device.clone(), kind: PhantomData }
    }

    /// The shape that arrives, with a batch of 1.
    pub fn shape(&self) -> [usize; D] {
        self.shape
    }

    /// What the condition looks like.
    pub fn context(&self) -> &ContextShape {
        &self.context
    }

    /// Device of the parameters.
    pub fn device(&self) -> &Device {
        &self.device
    }
}

/// What a configuration says of a layer before it is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan<const D: usize> {
    /// The shape that leaves the layer, with a batch of 1.
    pub output: [usize; D],
    /// Elements of its parameters.
    pub num_params: usize,
}

/// A configuration of a layer, or of a stack of layers.
///
/// Tuples, `Vec`, `Option` and `Box` of configurations are configurations.
pub trait LayerConfig<const D: usize, C: Context = ()> {
    /// What it builds.
    type Layer: Bijector<D, C>;

    /// The layer for what arrives at `site`, before it is initialised from data.
    ///
    /// # Errors
    /// The first rule that is broken: [`ConfigError::At`] names the place in a stack.
    fn build(&self, site: &Site<D, C>) -> Result<Self::Layer, ConfigError>;

    /// Checks the configuration without building anything. The default builds the layer to find out.
    ///
    /// # Errors
    /// Those of [`LayerConfig::build`].
    fn plan(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
        let layer = self.build(site)?;
        Ok(Plan { output: layer.output_shape(site.shape())?, num_params: Module::num_params(&layer) })
    }

    /// The shape that must arrive so that the shape of `site` leaves: it builds the inverse of a layer. The default serves
    /// layers that keep the shape.
    ///
    /// # Errors
    /// Those of [`LayerConfig::plan`], and [`ShapeError::InverseUnknown`](crate::ShapeError::InverseUnknown) where the shape
    /// changes.
    fn input_shape(&self, site: &Site<D, C>) -> Result<[usize; D], ConfigError> {
        let layer = self.build(site)?;
        Ok(layer.input_shape(site.shape())?)
    }
}
