//! Mixed precision: networks in a half-precision type, everything that is part of a density in
//! float32.
//! ```text
//! master      float32: weights, moments, average; what a checkpoint holds
//! working     a copy for one update, network weights in half precision: W₁₆ = round(W)
//! gradient    of the working copy, cast to float32; the master moves by it
//! ```
//! | in half precision | in float32 |
//! |---|---|
//! | weights, biases, activations of a network, positional embeddings | data, latents, log-determinants, the law, the prior, the loss; theta, once the last layer has rounded it |
//! | convolutions and matrix products | layer norms, softmax with its two products, lengths of weight normalisation, Glow's scales |
//! | gradients between the layers of a network | gradients between the layers of the flow; sums, clip, optimizer |
//!
//! Data is never in a half-precision type: bfloat16 has 8 bits, so a pixel of 256 levels would lose
//! its dequantization noise, and the map from data to latents would not be one to one. The input of
//! a network may be rounded: forward and inverse round the same half in the same way.
//!
//! A network is what a layer or a prior holds as its
//! [`Conditioned`](crate::conditioner::Conditioned), or a dequantization as its
//! [`Encoding`](crate::encoder::Encoding). Your own networks are treated like those of this crate.
//!
//! # Numerics
//! bfloat16 has the range of float32 and 8 bits. float16 has 11 bits, and its range is 6e-8 to
//! 65504. Gradients of likelihoods easily exceed 65504 (for example of a loss of 8,000 nats) and
//! underflow at the other end, hence [`LossScale`].
//!
//! # Cost
//! Half the memory of a network's activations, and additional memory for half of its weights. On
//! the CPU it is slower: there are no kernels for half-precision types, and burn-flex widens
//! products itself.
//!
//! # Reference
//! Micikevicius et al. 2018, *Mixed precision training*.

use std::collections::HashSet;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use super::error::TrainError;
use super::loss_scale::LossScale;
use crate::error::ConfigError;
use crate::tensor::graph::constant;
use crate::tensor::marked_module::{NETWORK, WIDE};

/// The type that networks are trained in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub enum Precision {
    /// That of the parameters.
    #[default]
    Full,
    /// bfloat16.
    BF16,
    /// float16, with the loss multiplied by a factor before the backward pass.
    F16(LossScale),
}

impl Precision {
    /// Checks the loss scale.
    ///
    /// # Errors
    /// Those of [`LossScale::validate`].
    pub fn validate(self) -> Result<(), ConfigError> {
        if let Self::F16(scale) = self { scale.validate() } else { Ok(()) }
    }

    /// The half-precision type, or `None` for [`Precision::Full`].
    pub fn dtype(self) -> Option<DType> {
        match self {
            Self::Full => None,
            Self::BF16 => Some(DType::BF16),
            Self::F16(_) => Some(DType::F16),
        }
    }

    /// The factor of the loss, if there is one.
    pub fn loss_scale(self) -> Option<LossScale> {
        if let Self::F16(scale) = self { Some(scale) } else { None }
    }

    /// Checks that every device of a module supports the type.
    ///
    /// # Errors
    /// [`TrainError::UnsupportedPrecision`], naming the first device that lacks it.
    pub fn check<M: Module>(self, module: &M) -> Result<(), TrainError> {
        let Some(dtype) = self.dtype() else { return Ok(()) };
        let lacks = |device: &Device| !device.supports_dtype(dtype);
        match module.devices().into_iter().find(lacks) {
            None => Ok(()),
            Some(device) => {
                Err(TrainError::UnsupportedPrecision { dtype, device: format!("{device:?}") })
            }
        }
    }

    /// The module with the weights of its networks in the half-precision type, as leaves of the
    /// graph with the same identities, or the module itself for [`Precision::Full`].
    pub fn working_copy<M: Module>(self, master: &M) -> M {
        match self.dtype() {
            None => master.clone(),
            Some(dtype) => master.clone().map(&mut Narrow { dtype, inside: Vec::new() }),
        }
    }

    /// Converts the gradients of a working copy, of a loss that was multiplied by `scale`, to
    /// gradients of the master: in its types, divided by `scale`. A factor that is a power of two
    /// changes no digit.
    pub fn master_gradients<M: Module>(
        self,
        gradients: GradientsParams,
        master: &M,
        scale: f64,
    ) -> GradientsParams {
        if self == Self::Full {
            return gradients;
        }
        let mut widen = Widen { gradients, factor: scale.recip(), seen: HashSet::new() };
        master.visit(&mut widen);
        widen.gradients
    }
}

/// Casts the parameters within a network.
struct Narrow {
    dtype: DType,
    /// For each module from the root down: whether its parameters are cast.
    inside: Vec<bool>,
}

impl ModuleMapper for Narrow {
    fn enter_module(&mut self, _name: &str, container_type: &str) {
        let inherited = self.inside.last().is_some_and(|&inside| inside);
        self.inside.push(match container_type {
            NETWORK => true,
            // Norms are few, and their parameters are used in float32.
            WIDE => false,
            _ => inherited,
        });
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.inside.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !self.inside.last().is_some_and(|&inside| inside) {
            return param;
        }
        param.map(|value| {
            let (device, trained, graph) =
                (value.device(), value.is_require_grad(), value.is_autodiff());
            let narrow = value.inner().cast(self.dtype);
            if graph { constant(narrow, &device).set_require_grad(trained) } else { narrow }
        })
    }
}

/// Casts gradients to the type of their parameters.
struct Widen {
    gradients: GradientsParams,
    factor: f64,
    /// A parameter that occurs twice has one gradient.
    seen: HashSet<ParamId>,
}

impl ModuleVisitor for Widen {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !self.seen.insert(param.id) {
            return;
        }
        let Some(gradient) = self.gradients.remove::<D>(param.id) else { return };
        let dtype = param.val().dtype();
        let gradient = if gradient.dtype() == dtype { gradient } else { gradient.cast(dtype) };
        let gradient = if self.factor == 1.0 { gradient } else { gradient.mul_scalar(self.factor) };
        self.gradients.register(param.id, gradient);
    }
}
