//! A network in a layer, with the checks and casts that every network needs.
//! ```text
//! theta = net(identity, features of the context)   computed in the type of the network's weights;
//!                                                  theta has the type of the input
//! ```
//! Couplings, autoregressive layers and [`ConditionalNormal`](crate::ConditionalNormal) hold their
//! network in this type. Mixed precision ([`train::Precision`](crate::train::Precision)) finds
//! networks by this type, your own networks too: a `Conditioned` network is trained in the
//! half-precision type.

use burn::module::{Content, Module, ModuleDisplay};
use burn::tensor::Tensor;

use super::{Net, NetConfig, NetSite};
use crate::context::Features;
use crate::error::{ConfigError, ShapeError, check_shape};
use crate::law::Law;
use crate::tensor::dtype::{cast, narrowest};
use crate::tensor::marked_module::marked_module;
use crate::tensor::type_name::type_name;

/// A network, with the widths that it was built for.
#[derive(Debug, Clone)]
pub struct Conditioned<N> {
    /// The network.
    pub net: N,
    identity: usize,
    transformed: usize,
    params: usize,
    context: Reads,
}

marked_module! {
    NETWORK: Conditioned [N], module [N: Module], display [N: Module + ModuleDisplay],
    modules [net], others [identity, transformed, params, context]
}

/// The displayed names of the widths do not occur elsewhere: a coupling shows which half is its
/// `identity`, and burn adds the number of trained `params`.
impl<N: Module + ModuleDisplay> ModuleDisplay for Conditioned<N> {
    fn custom_content(&self, content: Content) -> Option<Content> {
        content
            .set_top_level_type("Conditioned")
            .add("net", &self.net)
            .add_debug_attribute("n_identity", &self.identity)
            .add_debug_attribute("n_transformed", &self.transformed)
            .add_debug_attribute("n_params", &self.params)
            .add_debug_attribute("context", &self.context)
            .optional()
    }
}

/// Which condition a network reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    /// It ignores every condition.
    Ignored,
    /// It was built without a condition.
    Absent,
    /// It was built for a condition of this width.
    Width(usize),
}

impl<N: ModuleDisplay> Conditioned<N> {
    /// The network of `config` for `site`, without the check of [`Conditioned::build_for`].
    ///
    /// # Errors
    /// Those of [`NetConfig::build`].
    pub(crate) fn build<const D: usize, F: NetConfig<D, Net = N>>(
        config: &F,
        site: &NetSite<D>,
    ) -> Result<Self, ConfigError>
    where
        N: Net<D>,
    {
        let net = config.build(site)?;
        let context = match site.context_width() {
            _ if !Net::<D>::reads_context(&net) => Reads::Ignored,
            None => Reads::Absent,
            Some(width) => Reads::Width(width),
        };
        let [identity, transformed] = [site.identity()[1], site.transformed()[1]];
        Ok(Self { net, identity, transformed, params: site.n_params(), context })
    }

    /// The network of `config` for `site`, which computes the parameters of `law`. Its initial
    /// parameters are `site.theta_init()`. A network whose initial output may differ is run once,
    /// to check that no two components of the law are equal at any of the `elements`; `None` means
    /// all elements.
    ///
    /// # Errors
    /// Those of [`NetConfig::build`]; [`ConfigError::EqualComponents`].
    pub fn build_for<const D: usize, F: NetConfig<D, Net = N>, L: Law>(
        config: &F,
        site: &NetSite<D>,
        law: &L,
        elements: Option<&[i64]>,
    ) -> Result<Self, ConfigError>
    where
        N: Net<D>,
    {
        let conditioned = Self::build(config, site)?;
        if F::SETS_THETA_INIT {
            return Ok(conditioned);
        }
        let theta = conditioned.example_theta(site)?;
        let [_, params, dims] = theta.dims();
        let values: Vec<f64> = theta.into_data().iter::<f64>().collect();
        let check = |element: usize| {
            let init: Vec<f64> =
                (0..params).map(|parameter| values[parameter * dims + element]).collect();
            law.check_init(type_name::<N>(), &init)
        };
        match elements {
            None => (0..dims).try_for_each(check),
            Some(elements) => elements.iter().try_for_each(|&element| check(element as usize)),
        }?;
        Ok(conditioned)
    }

    /// Parameters that the network computes for one example. The elements of the example differ, so
    /// the parameters that a network with weights computes from them differ too.
    fn example_theta<const D: usize>(&self, site: &NetSite<D>) -> Result<Tensor<3>, ConfigError>
    where
        N: Net<D>,
    {
        let device = site.device();
        let example = |shape: [usize; D]| {
            let n: usize = shape.iter().product();
            // Multiples of the golden ratio, modulo 1, are spread evenly.
            let values: Vec<f32> =
                (1..=n).map(|index| (index as f32 * 0.618_034).fract() - 0.5).collect();
            Tensor::<1>::from_data(values.as_slice(), device).reshape(shape)
        };
        let context = match self.context {
            Reads::Width(width) => {
                Some(example(std::array::from_fn(|axis| if axis == 1 { width } else { 1 })))
            }
            Reads::Ignored | Reads::Absent => None,
        };
        let theta = self.net.forward(example(site.identity()), context);
        let expected = site.transformed()[1..].iter().product();
        match theta.dims() {
            [1, params, elements] if params == self.params && elements == expected => Ok(theta),
            [1, found, elements] if elements == expected => Err(ConfigError::Parameters {
                network: type_name::<N>(),
                expected: self.params,
                found,
            }),
            shape => {
                let (layer, axis) = (type_name::<N>(), if shape[0] == 1 { 2 } else { 0 });
                let expected = if axis == 0 { 1 } else { expected };
                Err(ShapeError::Axis { layer, axis, expected, shape: shape.to_vec() }.into())
            }
        }
    }

    /// Checks that it accepts an input and transformed elements of these shapes.
    ///
    /// # Errors
    /// The axis that does not fit.
    pub fn check<const D: usize>(
        &self,
        identity: [usize; D],
        transformed: [usize; D],
    ) -> Result<(), ShapeError>
    where
        N: Net<D>,
    {
        let layer = type_name::<N>();
        for (shape, expected) in [(identity, self.identity), (transformed, self.transformed)] {
            if shape[1] != expected {
                return Err(ShapeError::Axis { layer, axis: 1, expected, shape: shape.to_vec() });
            }
        }
        match (2..D).find(|&axis| transformed[axis] != identity[axis]) {
            None => self.net.check(identity),
            Some(axis) => Err(ShapeError::Axis {
                layer,
                axis,
                expected: identity[axis],
                shape: transformed.to_vec(),
            }),
        }
    }

    /// Checks that it was built with a condition if `C` is one, and without a condition if `C` is
    /// `()`.
    ///
    /// # Errors
    /// [`ShapeError::Context`].
    pub fn accepts<const D: usize, C: Features<D>>(&self) -> Result<(), ShapeError>
    where
        N: Net<D>,
    {
        let name = |given: bool| if given { "a condition" } else { "no condition" };
        let built = match self.context {
            Reads::Ignored => return Ok(()),
            Reads::Absent => false,
            Reads::Width(_) => true,
        };
        let given = C::N_PARTS > 0;
        if built == given {
            return Ok(());
        }
        Err(ShapeError::Context {
            layer: type_name::<N>(),
            expected: name(built),
            found: name(given),
        })
    }

    /// Checks that a condition fits an input of shape `identity`.
    ///
    /// # Errors
    /// [`ShapeError::Context`], [`ShapeError::ContextShape`].
    pub fn check_context<const D: usize, C: Features<D>>(
        &self,
        identity: [usize; D],
        context: &C,
    ) -> Result<(), ShapeError>
    where
        N: Net<D>,
    {
        self.accepts::<D, C>()?;
        let Reads::Width(expected) = self.context else { return Ok(()) };
        let parts = context.parts();
        let length = |shape: &[usize], axis: usize| shape.get(axis).copied().unwrap_or(1);
        let width = parts.iter().map(|part| length(&part.shape, 1)).sum();
        for part in parts {
            let lengths = |axis: usize| if axis == 1 { width } else { length(&part.shape, axis) };
            let found: [usize; D] = std::array::from_fn(lengths);
            let expected: [usize; D] = std::array::from_fn(|axis| match axis {
                1 => expected,
                axis if axis > 1 && found[axis] == 1 => 1,
                axis => identity[axis],
            });
            if found != expected {
                let (expected, found) = (expected.to_vec(), found.to_vec());
                return Err(ShapeError::ContextShape { layer: type_name::<N>(), expected, found });
            }
        }
        Ok(())
    }

    /// The parameters of every element, in the type of `identity`.
    ///
    /// # Shapes
    /// `[batch, ...]` to `[batch, params, elements]`.
    ///
    /// # Panics
    /// If the condition does not fit.
    pub fn forward<const D: usize, C: Features<D>>(
        &self,
        identity: Tensor<D>,
        context: &C,
    ) -> Tensor<3>
    where
        N: Net<D>,
    {
        check_shape(self.check_context(identity.dims(), context));
        let dtype = identity.dtype();
        let (identity, context) = self.inputs(identity, context);
        cast(self.net.forward(identity, context), dtype)
    }

    /// Data-dependent initialisation of the network; returns the parameters, detached from the
    /// graph.
    ///
    /// # Panics
    /// If the condition does not fit.
    pub fn initialize<const D: usize, C: Features<D>>(
        self,
        identity: Tensor<D>,
        context: &C,
    ) -> (Self, Tensor<3>)
    where
        N: Net<D>,
    {
        check_shape(self.check_context(identity.dims(), context));
        let dtype = identity.dtype();
        let (identity, context) = self.inputs(identity, context);
        let (net, theta) = self.net.initialize(identity, context);
        (Self { net, ..self }, cast(theta, dtype))
    }

    /// The inputs of the network, in the type of its weights.
    fn inputs<const D: usize, C: Features<D>>(
        &self,
        identity: Tensor<D>,
        context: &C,
    ) -> (Tensor<D>, Option<Tensor<D>>)
    where
        N: Net<D>,
    {
        let own = narrowest(&self.net).unwrap_or(identity.dtype());
        let features = if self.context == Reads::Ignored { None } else { context.features() };
        (cast(identity, own), features.map(|features| cast(features, own)))
    }
}
