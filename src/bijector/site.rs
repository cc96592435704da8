//! Sites, for which layers are built, and configurations, which build them.
//! ```text
//! layers.build(site of x) = (f_1, …, f_n)        site of f_1: the shape of x
//!                                                site of f_i+1: the output shape of f_i
//! ```
//! A site gives a configuration the input shape, the shape of the condition and the device. A user
//! therefore specifies no width that follows from the preceding layers.

use std::fmt::Display;
use std::marker::PhantomData;

use burn::tensor::Device;

use super::Bijector;
use crate::context::{Context, ContextShape};
use crate::error::{ConfigError, ShapeError, check_shape_size};
use crate::tensor::limit::{MOST_PARAMETERS, sum};
use crate::tensor::type_name::type_name;

/// What a configuration needs to build a layer: the input shape, the shape of the condition and the
/// device.
#[derive(Debug, Clone)]
pub struct Site<const D: usize, C: Context = ()> {
    shape: [usize; D],
    context: ContextShape,
    device: Device,
    kind: PhantomData<C>,
}

impl<const D: usize> Site<D> {
    /// A site without a condition, for examples of shape `shape[1..]`. `shape[0]`, the batch, is
    /// not fixed.
    pub fn new(shape: [usize; D], device: &Device) -> Self {
        Self::given(shape, &(), device)
    }
}

impl<const D: usize, C: Context> Site<D, C> {
    /// A site with a condition like `example`, of which only the shapes are used.
    pub fn given(shape: [usize; D], example: &C, device: &Device) -> Self {
        Self {
            shape,
            context: ContextShape::of(example),
            device: device.clone(),
            kind: PhantomData,
        }
        .at(shape)
    }

    /// A site with a condition of the shape `context`.
    pub fn described(shape: [usize; D], context: ContextShape, device: &Device) -> Self {
        Self { shape, context, device: device.clone(), kind: PhantomData }.at(shape)
    }

    /// The same site with another input shape.
    pub fn at<const E: usize>(&self, shape: [usize; E]) -> Site<E, C> {
        let mut one = shape;
        one[0] = 1;
        Site {
            shape: one,
            context: self.context.clone(),
            device: self.device.clone(),
            kind: PhantomData,
        }
    }

    /// The input shape, with a batch of 1.
    pub fn shape(&self) -> [usize; D] {
        self.shape
    }

    /// The shape of the condition.
    pub fn context(&self) -> &ContextShape {
        &self.context
    }

    /// Device of the parameters.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Number of channels of the input, the length of axis 1, at least 1.
    ///
    /// # Errors
    /// If the shape has no axis 1, has an axis of length 0, or has more elements than a tensor may
    /// have. `layer` is the type that the error names.
    pub fn channels(&self, layer: &'static str) -> Result<usize, ConfigError> {
        self.elements(layer)?;
        ConfigError::positive(layer, "channels", self.shape[1])?;
        Ok(self.shape[1])
    }

    /// Number of elements of an example of the input, at least 1.
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

    /// The plan of a layer that keeps the shape and has `num_params` parameters.
    pub fn keeps(&self, num_params: usize) -> Plan<D> {
        Plan { output: self.shape, num_params }
    }
}

/// The output shape and the number of parameters of a layer, before it is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan<const D: usize> {
    /// The output shape of the layer, with a batch of 1.
    pub output: [usize; D],
    /// Number of elements of all parameters.
    pub num_params: usize,
}

impl<const D: usize> Plan<D> {
    /// This plan followed by that of `next`, whose input is the output of this one. `place` is the
    /// place of `next` in a stack, such as `[1]`.
    ///
    /// # Errors
    /// Those of the plan of `next`, and [`ConfigError::StackTooLarge`], each at `place`.
    pub fn then<C: Context, T: LayerConfig<D, C> + ?Sized>(
        self,
        next: &T,
        site: &Site<D, C>,
        place: impl Display,
    ) -> Result<Self, ConfigError> {
        self.joined(next.plan(&site.at(self.output)), place)
    }

    /// The same with the inverse of `next`.
    pub(super) fn then_inverse<C: Context, T: LayerConfig<D, C> + ?Sized>(
        self,
        next: &T,
        site: &Site<D, C>,
        place: impl Display,
    ) -> Result<Self, ConfigError> {
        self.joined(next.plan_inverse(&site.at(self.output)), place)
    }

    fn joined(
        self,
        next: Result<Self, ConfigError>,
        place: impl Display,
    ) -> Result<Self, ConfigError> {
        let next = next.map_err(|error| error.at(&place))?;
        let num_params = sum([self.num_params, next.num_params]);
        if num_params > MOST_PARAMETERS {
            return Err(ConfigError::StackTooLarge { most: MOST_PARAMETERS }.at(place));
        }
        Ok(Self { output: next.output, num_params })
    }
}

/// The configuration of a layer, or of a stack of layers.
///
/// Tuples, `Vec`, `Option` and `Box` of configurations are configurations, and so are
/// [`Invert`](crate::Invert) and [`Boxed`](crate::Boxed) of a configuration. A layer without
/// settings is its own configuration.
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
    /// The layer that it builds.
    type Layer: Bijector<D, C>;

    /// The layer for the input of `site`, not yet initialised from data.
    ///
    /// # Errors
    /// Those of [`LayerConfig::plan`].
    fn build(&self, site: &Site<D, C>) -> Result<Self::Layer, ConfigError>;

    /// Checks the configuration and describes what it would build, so a stack is checked as a whole
    /// before any part of it is built. The layers and networks of this crate allocate nothing for
    /// it and use no random numbers, and those of your own should not either. A network of your own
    /// that does not implement [`NetConfig::num_params`](crate::NetConfig::num_params) is built to
    /// count its parameters.
    ///
    /// # Errors
    /// The first rule that is broken; [`ConfigError::At`] names the place in a stack.
    fn plan(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError>;

    /// The plan of the inverse of the layer: the shape of `site` is the output shape of the layer,
    /// and [`Plan::output`] the input shape that belongs to it. The default is for layers that keep
    /// the shape.
    ///
    /// A configuration calls it at most once for each of its members, and not
    /// [`LayerConfig::plan`] too: nested inverses would otherwise take exponential time.
    ///
    /// # Errors
    /// Those of [`LayerConfig::plan`], and [`ShapeError::InverseUnknown`] where the shape changes.
    fn plan_inverse(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
        let plan = self.plan(site)?;
        if plan.output == site.shape() {
            return Ok(plan);
        }
        let (layer, shape) = (type_name::<Self::Layer>(), site.shape().to_vec());
        Err(ShapeError::InverseUnknown { layer, shape, output: plan.output.to_vec() }.into())
    }
}
