//! Settings that the convolutions of a gated network share.

use serde::{Deserialize, Serialize};

use super::{ConvInit, ConvWeight, DataInitConvConfig};
use crate::error::ConfigError;

/// Dropout, initialisation and weights of the convolutions of a gated network. The default is that
/// of Flow++'s released code, without dropout.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConvStyle {
    /// Probability that an activation is dropped in training.
    pub dropout: f64,
    /// Initialisation of the inner convolutions.
    pub inner: ConvInit,
    /// Initialisation of the convolutions that compute gates.
    pub gate: ConvInit,
    /// Initialisation of the last convolution of a network. With [`ConvInit::Zero`], the network
    /// gives the initial parameters of the law.
    pub output: ConvInit,
    /// Parametrisation of the weights.
    pub weight: ConvWeight,
}

impl Default for ConvStyle {
    fn default() -> Self {
        let [inner, gate, output] = [1.0, 0.1, 0.1].map(|scale| ConvInit::DataDependent { scale });
        Self { dropout: 0.0, inner, gate, output, weight: ConvWeight::Plain }
    }
}

impl ConvStyle {
    /// Initialisation from data: outputs have deviation 1, gates and parameters 0.1 (Flow++'s
    /// released code).
    pub fn new() -> Self {
        Self::default()
    }

    /// Initialisation without data: uniform by fan-in; the last convolution from N(0, 0.01²).
    pub fn fan_in() -> Self {
        let output = ConvInit::Normal { deviation: 0.01 };
        Self { inner: ConvInit::FanIn, gate: ConvInit::FanIn, output, ..Self::default() }
    }

    /// The same with dropout.
    pub fn with_dropout(self, dropout: f64) -> Self {
        Self { dropout, ..self }
    }

    /// The same with another initialisation of the inner convolutions.
    pub fn with_inner(self, inner: ConvInit) -> Self {
        Self { inner, ..self }
    }

    /// The same with another initialisation of the convolutions that compute gates.
    pub fn with_gate(self, gate: ConvInit) -> Self {
        Self { gate, ..self }
    }

    /// The same with another initialisation of the last convolution.
    pub fn with_output(self, output: ConvInit) -> Self {
        Self { output, ..self }
    }

    /// The same with other weights.
    pub fn with_weight(self, weight: ConvWeight) -> Self {
        Self { weight, ..self }
    }

    /// Checks that dropout is a probability below 1, and that inner convolutions and gates can be
    /// initialised as configured.
    pub(crate) fn validate(self, config: &'static str) -> Result<(), ConfigError> {
        ConfigError::dropout(config, self.dropout)?;
        self.inner.validate(config, self.weight)?;
        self.gate.validate(config, self.weight)
    }

    /// A convolution with this style.
    pub(crate) fn conv(
        self,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        init: ConvInit,
    ) -> DataInitConvConfig {
        DataInitConvConfig::new(inputs, outputs)
            .with_kernel(kernel)
            .with_init(init)
            .with_weight(self.weight)
    }
}
