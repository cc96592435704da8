//! Where a layer is built, and what builds one.
//! ```text
//! layers.build(site of x) = (f_1, …, f_n)        site of f_1: the shape of x
//!                                                site of f_i+1: the shape that leaves f_i
//! ```
//! A configuration is told the shape that arrives, what the condition looks like and the device. So no width has to be given
//! that follows from the layers before.

use std::fmt::Display;
use std::marker::PhantomData;

use burn::tensor::Device;

use super::Bijector;
use crate::context::{Context, ContextShape};
use crate::error::{ConfigError, ShapeError, check_shape_size};
use crate::tensor::limit::{MOST_PARAMETERS, sum};
use crate::tensor::type_name::type_name;

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

    /// A site with a condition that looks so.
    pub fn described(shape: [usize; D], context: ContextShape, device: &Device) -> Self {
        Self { shape, context, device: device.clone(), kind: PhantomData }.at(shape)
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

impl<const D: usize, C: Context> Site<D, C> {
    /// Channels that arrive: the length of axis 1, of at least 1.
    ///
    /// # Errors
    /// If the shape has no axis 1, has an axis of length 0, or more elements than a tensor may have. `layer` is the type
    /// that the error names.
    pub fn channels(&self, layer: &'static str) -> Result<usize, ConfigError> {
        self.elements(layer)?;
        ConfigError::positive(layer, "channels", self.shape[1])?;
        Ok(self.shape[1])
    }

    /// Elements of an example that arrives, at least 1.
    ///
    /// # Errors
    /// Those of [`Site::channels`].
    pub fn elements(&self, layer: &'static str) -> Result<usize, ConfigError> {
        if D < 2 {
            let (expected, shape) = (2, self.shape.to_vec());
            return Err(ShapeError::Rank { layer, expected, shape }.into());
        }
        if self.shape.contains(&0) {
            return Err(ShapeError::Empty { layer, shape: self.shape.to_vec() }.into());
        }
        Ok(check_shape_size(layer, &self.shape)?)
    }

    /// The plan of a layer that keeps the shape and has so many elements in its parameters.
    pub fn keeps(&self, num_params: usize) -> Plan<D> {
        Plan { output: self.shape, num_params }
    }
}

/// The layer of a configuration that was checked before, where no condition is used.
///
/// # Panics
/// With the text of the error, if it cannot be built.
pub(crate) fn built<const D: usize, T: LayerConfig<D>>(config: &T, shape: [usize; D], device: &Device) -> T::Layer {
    match config.build(&Site::new(shape, device)) {
        Ok(layer) => layer,
        Err(error) => panic!("{error}"),
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

impl<const D: usize> Plan<D> {
    /// This plan, followed by that of `next`, which is built where this one ends. `place` is the place of `next` in a
    /// stack: `[1]`.
    ///
    /// # Errors
    /// Those of the plan of `next`, and [`ConfigError::StackTooLarge`], each at `place`.
    pub fn then<C: Context, T: LayerConfig<D, C> + ?Sized>(
        self,
        next: &T,
        site: &Site<D, C>,
        place: impl Display,
    ) -> Result<Self, ConfigError> {
        let plan = next.plan(&site.at(self.output)).map_err(|error| error.at(&place))?;
        let num_params = sum([self.num_params, plan.num_params]);
        if num_params > MOST_PARAMETERS {
            return Err(ConfigError::StackTooLarge { most: MOST_PARAMETERS }.at(place));
        }
        Ok(Self { output: plan.output, num_params })
    }
}

/// A configuration of a layer, or of a stack of layers.
///
/// Tuples, `Vec`, `Option` and `Box` of configurations are configurations, and so are [`Invert`](crate::Invert) and
/// [`Boxed`](crate::Boxed) of one. A layer without anything to configure is its own configuration.
///
/// ```
/// use burn::tensor::Device;
/// use flowkit::{ActNormConfig, Conv1x1Config, LayerConfig, Plan, Site};
///
/// let step = (ActNormConfig::new(), Conv1x1Config::new());
/// let site = Site::new([1, 3], &Device::flex());
/// let plan = vec![step.clone(), step].plan(&site)?;
/// assert_eq!(plan, Plan { output: [1, 3], num_params: 2 * (6 + 21) });
/// # Ok::<(), flowkit::ConfigError>(())
/// ```
pub trait LayerConfig<const D: usize, C: Context = ()> {
    /// What it builds.
    type Layer: Bijector<D, C>;

    /// The layer for what arrives at `site`, before it is initialised from data.
    ///
    /// # Errors
    /// Those of [`LayerConfig::plan`].
    fn build(&self, site: &Site<D, C>) -> Result<Self::Layer, ConfigError>;

    /// Checks the configuration and says what it would build. It allocates nothing and draws no random numbers, so that a
    /// stack is checked as a whole before any of it is built.
    ///
    /// # Errors
    /// The first rule that is broken: [`ConfigError::At`] names the place in a stack.
    fn plan(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError>;

    /// The shape that must arrive so that the shape of `site` leaves: it builds the inverse of a layer. The default serves
    /// layers that keep the shape.
    ///
    /// # Errors
    /// Those of [`LayerConfig::plan`], and [`ShapeError::InverseUnknown`] where the shape changes.
    fn plan_input(&self, site: &Site<D, C>) -> Result<[usize; D], ConfigError> {
        let output = self.plan(site)?.output;
        if output == site.shape() {
            return Ok(output);
        }
        let (layer, shape) = (type_name::<Self::Layer>(), site.shape().to_vec());
        Err(ShapeError::InverseUnknown { layer, shape, output: output.to_vec() }.into())
    }
}
