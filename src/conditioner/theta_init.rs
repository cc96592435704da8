//! The start of the law's parameters that a network outputs.
//! ```text
//! last layer at its start   W = 0,  b = theta_init of the configuration, or else of the law
//!                           so theta = b for every input
//! ```
//! A layer calls [`ThetaInit::init_at`] when it is built from a law and a network, so that no caller has to remember
//! it. A mixture needs it: at theta = 0 its components are equal, so their gradients are equal and they never separate.
//! The mixture would learn as a single component.

use burn::module::{Initializer, Param};
use burn::tensor::{Device, Tensor, TensorData};

use super::widths::Widths;
use crate::error::ConfigError;
use crate::law::Law;

/// How a network initialises the law's parameters that it outputs.
///
/// The part of [`Conditioner`](super::Conditioner) that does not depend on axes or condition. It has no default
/// implementation: a network that forgot it would let a mixture start, and stay, with equal components.
pub trait ThetaInit: Sized {
    /// The network with the law's parameters at [`Law::theta_init`], if its last layer is at 0 and its configuration
    /// names no other start. A last layer that starts at random is left unchanged, and so is one that has been trained.
    ///
    /// ```
    /// use burn::module::{Initializer, Module};
    /// use burn::nn::{Linear, LinearConfig};
    /// use burn::tensor::{Device, Tensor};
    /// use flowkit::law::{Law, MixLogCdfConfig};
    /// use flowkit::{ConfigError, ThetaInit, tensor::parameter};
    ///
    /// /// A network for one element, so that the bias of the last layer is theta.
    /// #[derive(Module, Debug)]
    /// struct Net {
    ///     last: Linear,
    /// }
    ///
    /// impl ThetaInit for Net {
    ///     fn init_at<L: Law>(self, law: &L) -> Result<Self, ConfigError> {
    ///         let mut net = self;
    ///         let start: Vec<f32> = law.theta_init().into_iter().map(|value| value as f32).collect();
    ///         let start = Tensor::from_data(start.as_slice(), &net.last.weight.lazy_device());
    ///         net.last.bias = net.last.bias.map(|bias| parameter::set(bias, start));
    ///         Ok(net) // or `Ok(self)`, where the last layer starts at random
    ///     }
    /// }
    ///
    /// let law = MixLogCdfConfig::new(2).init();
    /// let last = LinearConfig::new(3, law.n_params()).with_initializer(Initializer::Zeros).init(&Device::flex());
    /// let theta = Net { last }.init_at(&law)?.last.forward(Tensor::<2>::ones([1, 3], &Device::flex()));
    /// // The second mean: half the upper quartile of the logistic distribution.
    /// assert!((theta.slice([0..1, 5..6]).into_scalar::<f32>() - 0.5 * 3f32.ln()).abs() < 1e-6);
    /// # Ok::<(), ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// If the network outputs a different number of parameters than the law takes ([`ConfigError::Parameters`]), or if
    /// the law refuses the start that the configuration names ([`Law::check_init`]).
    fn init_at<L: Law>(self, law: &L) -> Result<Self, ConfigError>;
}

/// Whether `start` is `None` or names a finite number for each of `n_params` parameters.
pub(crate) fn validate(config: &'static str, start: &Option<Vec<f64>>, n_params: usize) -> Result<(), ConfigError> {
    const FIELD: &str = "theta_init";
    let Some(start) = start else { return Ok(()) };
    if start.len() != n_params {
        return Err(ConfigError::Length { config, field: FIELD, expected: n_params, found: start.len() });
    }
    match start.iter().find(|value| value.is_nan() || value.abs() > f64::from(f32::MAX)) {
        None => Ok(()),
        Some(&found) => Err(ConfigError::OutOfRange { config, field: FIELD, range: "the float32 numbers", found }),
    }
}

/// The bias of `n_params·n_other` outputs, ordered by parameter, at which every number's parameters are `start`; `None`: 0.
pub(crate) fn bias(start: &Option<Vec<f64>>, n_params: usize, n_other: usize, device: &Device) -> Param<Tensor<1>> {
    let zeros = Initializer::Zeros.init([n_params * n_other], device);
    match start {
        None => zeros,
        Some(start) => at(zeros, start, n_other),
    }
}

/// A bias at `start`; a lazy one stays lazy. The parameter keeps its id, device and type.
fn at(bias: Param<Tensor<1>>, start: &[f64], n_other: usize) -> Param<Tensor<1>> {
    if start.iter().all(|&value| value == 0.0) {
        return bias;
    }
    let values: Vec<f64> = start.iter().flat_map(|&value| vec![value; n_other]).collect();
    let n = values.len();
    bias.init_mapper(move |zeros: Tensor<1>| {
        let device = zeros.device();
        let start = Tensor::from_data(TensorData::new(values.clone(), [n]), (&device, zeros.dtype()));
        start.set_require_grad(zeros.is_require_grad())
    })
}

/// The last layer of a network, for [`ThetaInit::init_at`].
pub(crate) struct LastLayer<'a, const D: usize> {
    /// Type of the network.
    pub network: &'static str,
    /// Its widths.
    pub widths: &'a Widths,
    /// The start that the configuration names.
    pub own: &'a Option<Vec<f64>>,
    /// The weights.
    pub weight: &'a Param<Tensor<D>>,
}

impl<const D: usize> LastLayer<'_, D> {
    /// Its bias, at the law's start if it is still at 0 and no other start was named.
    pub fn init_at<L: Law>(&self, bias: Param<Tensor<1>>, law: &L) -> Result<Param<Tensor<1>>, ConfigError> {
        check_n_params(self.network, self.widths.params, law)?;
        match self.own {
            Some(own) => law.check_init(self.network, own).map(|()| bias),
            None if is_zero(&bias) && is_zero(self.weight) => Ok(at(bias, &law.theta_init(), self.widths.other)),
            // Trained, loaded or set: no longer at its start.
            None => Ok(bias),
        }
    }
}

/// Whether a network outputs as many parameters as the law takes.
pub(crate) fn check_n_params<L: Law>(network: &'static str, found: usize, law: &L) -> Result<(), ConfigError> {
    match law.n_params() {
        expected if expected == found => Ok(()),
        expected => Err(ConfigError::Parameters { network, expected, found }),
    }
}

/// Whether a parameter that starts at 0 is still 0. A lazy one without a value is; a value is copied from the device.
fn is_zero<const D: usize>(parameter: &Param<Tensor<D>>) -> bool {
    !parameter.is_initialized() || parameter.val().inner().into_data().iter::<f64>().all(|value| value == 0.0)
}
