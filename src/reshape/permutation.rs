//! Permutation of the channels: fixed, reversed, shuffled from a seed, or given.
//! ```text
//! forward   z[:, i] = x[:, π_i]            inverse   x[:, π_i] = z[:, i]
//! log_det   0
//! ```
//! | symbol | meaning | shape | trained |
//! |---|---|---|---|
//! | `π` | the channel of `x` that each channel of `z` is | `[C]`, integers | no |
//!
//! Between couplings it changes which channels are in the same half. [`crate::Swap`] only exchanges
//! the halves, and [`crate::Conv1x1`] is the trained generalisation.
//!
//! `π` is an integer parameter and is saved with the others. A loaded model therefore applies the
//! saved permutation, also if it was built with another seed. A shuffle depends only on its seed
//! and the number of channels, and is the same on every device and platform.
//!
//! # Numerics
//! Exact in both directions: elements are moved without arithmetic.
//!
//! # Cost
//! `O(B·C·P)` in both directions for `P` positions per channel. No device-to-host copy.
//!
//! # Reference
//! The reversal is that of NICE and RealNVP (Dinh et al. 2017 §3.5). The fixed shuffle is that of
//! Glow's ablation (Kingma & Dhariwal 2018 §5.1).
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::{Bijector, LayerConfig, Order, PermutationConfig, Site};
//!
//! let device = Device::flex();
//! let config = PermutationConfig::new().with_order(Order::Explicit(vec![2, 0, 1]));
//! let layer = config.build(&Site::new([1, 3], &device))?;
//! let x = Tensor::<2>::from_data([[10.0, 20.0, 30.0]], &device);
//! let (z, log_det) = layer.forward(x.clone(), &());
//! assert_eq!(z.to_data(), Tensor::<2>::from_data([[30.0, 10.0, 20.0]], &device).to_data());
//! assert_eq!(log_det.into_scalar::<f32>(), 0.0);
//! assert_eq!(layer.inverse(z, &()).to_data(), x.to_data());
//! # Ok::<(), flowkit::ConfigError>(())
//! ```

use burn::module::{Content, Module, ModuleDisplay, Param, ParamId};
use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData};

use crate::bijector::{Bijector, LayerConfig, Plan, Rearrange, ShapeMap, Site};
use crate::context::Context;
use crate::error::{ConfigError, ShapeError, check_shape};
use crate::reshape::order::Order;
use crate::tensor::index_list::IndexList;
use crate::tensor::per_example::zero_log_det;

config! {
    /// Configuration of [`Permutation`].
    #[derive(Debug)]
    pub struct PermutationConfig {
        /// The order of the channels.
        pub order: Order = Order::Reversed,
    }
}

impl PermutationConfig {
    /// Checks the rules that do not depend on the number of channels.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let Order::Explicit(indices) = &self.order else { return Ok(()) };
        self.order.validate(NAME, indices.len())
    }
}

/// The name of the configuration in its errors.
const NAME: &str = "PermutationConfig";

impl<const D: usize, C: Context> LayerConfig<D, C> for PermutationConfig {
    type Layer = Permutation;

    fn build(&self, site: &Site<D, C>) -> Result<Permutation, ConfigError> {
        self.plan(site)?;
        let n = site.channels("Permutation")?;
        let indices: Vec<i64> =
            self.order.indices(n).into_iter().map(|index| index as i64).collect();
        let indices = Tensor::from_data(TensorData::new(indices, [n]), site.device());
        Ok(Permutation { indices: Param::initialized(ParamId::new(), indices) })
    }

    fn plan(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
        let n = site.channels("Permutation")?;
        self.order.validate(NAME, n)?;
        // burn counts trained parameters only.
        Ok(site.keeps(0))
    }
}

/// Permutation of the channels. The formulas head this module.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct Permutation {
    /// The channel of `x` that each channel of `z` is, `π`, `[C]`.
    pub indices: Param<Tensor<1, Int>>,
}

impl ModuleDisplay for Permutation {
    fn custom_content(&self, content: Content) -> Option<Content> {
        content
            .set_top_level_type("Permutation")
            .add_debug_attribute("indices", &IndexList::of(&self.indices))
            .optional()
    }
}

/// `π⁻¹`: adds `i` to a zero at position `π_i`, on the device. A sort would need a device-to-host
/// copy.
pub(crate) fn inverse_order(order: Tensor<1, Int>) -> Tensor<1, Int> {
    let places = Tensor::arange(0..order.dims()[0] as i64, &order.device()).cast(order.dtype());
    order.zeros_like().select_assign(0, order, places, IndexingUpdateOp::Add)
}

impl<const D: usize> ShapeMap<D> for Permutation {
    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        let expected = self.indices.lazy_shape()[0];
        if shape[1] == expected {
            return Ok(shape);
        }
        Err(ShapeError::Axis { layer: "Permutation", axis: 1, expected, shape: shape.to_vec() })
    }
}

impl<const D: usize, C: Context> Bijector<D, C> for Permutation {
    type Driver = Rearrange;

    fn forward(&self, x: Tensor<D>, _: &C) -> (Tensor<D>, Tensor<1>) {
        check_shape(self.output_shape(x.dims()));
        let log_det = zero_log_det(&x);
        (x.select(1, self.indices.val()), log_det)
    }

    fn inverse(&self, z: Tensor<D>, _: &C) -> Tensor<D> {
        check_shape(self.input_shape(z.dims()));
        z.select(1, inverse_order(self.indices.val()))
    }

    fn inverse_with_log_det(&self, z: Tensor<D>, context: &C) -> (Tensor<D>, Tensor<1>) {
        let log_det = zero_log_det(&z);
        (self.inverse(z, context), log_det)
    }
}
