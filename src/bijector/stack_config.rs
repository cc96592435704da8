//! Configurations of compositions: tuples, `Vec`, `Option`, `Box`, [`Invert`] and [`Boxed`].
//!
//! A stack is built from the first layer to the last; the input shape of each layer is the output
//! shape of the preceding one. `plan` checks all of them, and their total number of parameters,
//! before anything is allocated. An error names the place: `[1][3]` is member 3 of member 1.
//!
//! ```
//! use burn::tensor::Device;
//! use flowkit::{
//!     ActNormConfig, BoxBijector, Boxed, ChannelOrder, Conv1x1Config, LayerConfig, Site,
//!     SqueezeConfig,
//! };
//!
//! let device = Device::flex();
//! let step = (ActNormConfig::new(), Conv1x1Config::new());
//! let image = (SqueezeConfig::new(ChannelOrder::ChannelMajor), vec![step.clone(), step.clone()]);
//! let stack = image.build(&Site::new([1, 1, 8, 8], &device))?;
//! assert_eq!(stack.1[0].0.bias.dims(), [1, 4, 1, 1]);
//!
//! // Layers that are chosen at run time.
//! let mut layers: Vec<Box<dyn LayerConfig<2, Layer = BoxBijector<2>>>> =
//!     vec![Box::new(Boxed::new(step))];
//! layers.push(Box::new(Boxed::new(ActNormConfig::new())));
//! let stack: Vec<BoxBijector<2>> = layers.build(&Site::new([1, 3], &device))?;
//! assert_eq!(stack.len(), 2);
//!
//! let error = image.build(&Site::new([1, 1, 8, 7], &device)).unwrap_err();
//! let text =
//!     "[0]: Squeeze: axis 3 must be a multiple of 2 and at least 2, found shape [1, 1, 8, 7]";
//! assert_eq!(error.to_string(), text);
//! # Ok::<(), flowkit::ConfigError>(())
//! ```

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use super::{Bijector, LayerConfig, Plan, ShapeMap, Site};
use crate::bijector::boxed::BoxBijector;
use crate::bijector::invert::Invert;
use crate::context::Context;
use crate::error::ConfigError;

/// The layer of `config`, and its output shape. `shape` is its input shape; `place` is its place in
/// the stack.
fn member<const D: usize, C: Context, T: LayerConfig<D, C>>(
    config: &T,
    site: &Site<D, C>,
    shape: [usize; D],
    place: impl Display,
) -> Result<(T::Layer, [usize; D]), ConfigError> {
    let built = config.build(&site.at(shape)).and_then(|layer| {
        let output = ShapeMap::<D>::output_shape(&layer, shape)?;
        Ok((layer, output))
    });
    built.map_err(|error| error.at(place))
}

/// Runs `$step` on the indices of a tuple in reverse order.
macro_rules! reversed {
    ([$($done:tt)*] $step:ident) => { $($step!($done);)* };
    ([$($done:tt)*] $step:ident $head:tt $($tail:tt)*) => {
        reversed!([$head $($done)*] $step $($tail)*)
    };
}

macro_rules! tuple {
    ($($T:ident $i:tt),+) => {
        impl<const D: usize, C, $($T),+> LayerConfig<D, C> for ($($T,)+)
        where
            C: Context,
            $($T: LayerConfig<D, C>,)+
        {
            type Layer = ($($T::Layer,)+);

            #[allow(non_snake_case)]
            fn build(&self, site: &Site<D, C>) -> Result<Self::Layer, ConfigError> {
                self.plan(site)?;
                let shape = site.shape();
                $( let ($T, shape) = member(&self.$i, site, shape, concat!("[", $i, "]"))?; )+
                let _ = shape;
                Ok(($($T,)+))
            }

            fn plan(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
                let plan = site.keeps(0);
                $( let plan = plan.then(&self.$i, site, concat!("[", $i, "]"))?; )+
                Ok(plan)
            }

            fn plan_inverse(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
                let mut plan = site.keeps(0);
                macro_rules! step {
                    ($j:tt) => {
                        plan = plan.then_inverse(&self.$j, site, concat!("[", $j, "]"))?
                    };
                }
                reversed!([] step $($i)+);
                Ok(plan)
            }
        }
    };
}

tuple!(T0 0, T1 1);
tuple!(T0 0, T1 1, T2 2);
tuple!(T0 0, T1 1, T2 2, T3 3);
tuple!(T0 0, T1 1, T2 2, T3 3, T4 4);
tuple!(T0 0, T1 1, T2 2, T3 3, T4 4, T5 5);
tuple!(T0 0, T1 1, T2 2, T3 3, T4 4, T5 5, T6 6);
tuple!(T0 0, T1 1, T2 2, T3 3, T4 4, T5 5, T6 6, T7 7);

/// A stack of layers of one type, first to last. An empty stack is the identity.
impl<const D: usize, C: Context, T: LayerConfig<D, C>> LayerConfig<D, C> for Vec<T> {
    type Layer = Vec<T::Layer>;

    fn build(&self, site: &Site<D, C>) -> Result<Self::Layer, ConfigError> {
        self.plan(site)?;
        let mut shape = site.shape();
        let mut layers = Self::Layer::with_capacity(self.len());
        for (index, config) in self.iter().enumerate() {
            let (layer, output) = member(config, site, shape, format_args!("[{index}]"))?;
            layers.push(layer);
            shape = output;
        }
        Ok(layers)
    }

    fn plan(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
        let mut members = self.iter().enumerate();
        members.try_fold(site.keeps(0), |plan, (index, config)| {
            plan.then(config, site, format_args!("[{index}]"))
        })
    }

    fn plan_inverse(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
        let mut members = self.iter().enumerate().rev();
        members.try_fold(site.keeps(0), |plan, (index, config)| {
            plan.then_inverse(config, site, format_args!("[{index}]"))
        })
    }
}

/// An optional layer. `None` is the identity.
impl<const D: usize, C: Context, T: LayerConfig<D, C>> LayerConfig<D, C> for Option<T> {
    type Layer = Option<T::Layer>;

    fn build(&self, site: &Site<D, C>) -> Result<Self::Layer, ConfigError> {
        self.as_ref().map(|config| config.build(site)).transpose()
    }

    fn plan(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
        self.as_ref().map_or_else(|| Ok(site.keeps(0)), |config| config.plan(site))
    }

    fn plan_inverse(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
        self.as_ref().map_or_else(|| Ok(site.keeps(0)), |config| config.plan_inverse(site))
    }
}

macro_rules! pointer {
    ($(#[$meta:meta])* $pointer:ty) => {
        $(#[$meta])*
        impl<const D: usize, C, T> LayerConfig<D, C> for $pointer
        where
            C: Context,
            T: LayerConfig<D, C> + ?Sized,
        {
            type Layer = T::Layer;

            fn build(&self, site: &Site<D, C>) -> Result<Self::Layer, ConfigError> {
                (**self).build(site)
            }

            fn plan(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
                (**self).plan(site)
            }

            fn plan_inverse(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
                (**self).plan_inverse(site)
            }
        }
    };
}

pointer!(
    /// The layer of the configuration in the box.
    Box<T>
);
pointer!(
    /// The layer of the referenced configuration.
    &T
);

/// The inverse of the layer of `inner`: its input shape is the output shape of that layer.
impl<const D: usize, C: Context, T: LayerConfig<D, C>> LayerConfig<D, C> for Invert<T> {
    type Layer = Invert<T::Layer>;

    fn build(&self, site: &Site<D, C>) -> Result<Self::Layer, ConfigError> {
        let plan = self.plan(site)?;
        let inner = self.inner.build(&site.at(plan.output)).map_err(|error| error.at(INNER))?;
        Ok(Invert::new(inner))
    }

    fn plan(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
        self.inner.plan_inverse(site).map_err(|error| error.at(INNER))
    }

    fn plan_inverse(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
        self.inner.plan(site).map_err(|error| error.at(INNER))
    }
}

/// The name of the inverted configuration in the paths of errors.
const INNER: &str = ".inner";

/// The configuration of a layer in a [`BoxBijector`]. Configurations of different layers thereby
/// have one type, `Box<dyn LayerConfig<D, C, Layer = BoxBijector<D, C>>>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Boxed<T> {
    /// The configuration of the layer in the box.
    pub inner: T,
}

impl<T> Boxed<T> {
    /// The configuration of a box around the layer of `inner`.
    pub fn new(inner: T) -> Self {
        Self { inner }
    }
}

impl<const D: usize, C: Context, T: LayerConfig<D, C>> LayerConfig<D, C> for Boxed<T>
where
    T::Layer: Bijector<D, C> + Sync,
{
    type Layer = BoxBijector<D, C>;

    fn build(&self, site: &Site<D, C>) -> Result<Self::Layer, ConfigError> {
        self.inner.build(site).map(BoxBijector::new)
    }

    fn plan(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
        self.inner.plan(site)
    }

    fn plan_inverse(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
        self.inner.plan_inverse(site)
    }
}
