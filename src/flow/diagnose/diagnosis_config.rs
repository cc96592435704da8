//! Settings of a diagnosis.

use crate::error::ConfigError;

/// Largest number of steps of the power iterations. The relative error of a singular value falls as
/// `(σ₂/σ₁)^2k` with the step `k`: to about 2e-9 after 1000 steps if the two differ by 1 %. If they
/// differ by less, either is a good answer.
const MOST_POWER_STEPS: usize = 1000;

config! {
    /// Settings of a diagnosis.
    #[derive(Debug, PartialEq)]
    pub struct DiagnosisConfig {
        /// Number of segments by which the paths of layers are distinguished: consecutive layers of
        /// one chain that share the first `depth` segments are one row. `None`: every layer is a
        /// row.
        pub depth: Option<usize> = None,
        /// Number of steps of the power iterations for singular values, at most 1000. With 0, no
        /// singular values are computed.
        pub power_steps: usize = 4,
        /// Number of examples for which singular values are computed.
        pub probed_examples: usize = 8,
    }
}

impl DiagnosisConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// A depth of 0, more than 1000 power steps, or no example to probe.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::positive("DiagnosisConfig", "depth", self.depth.unwrap_or(1))?;
        ConfigError::at_most("DiagnosisConfig", "power_steps", self.power_steps, MOST_POWER_STEPS)?;
        ConfigError::positive("DiagnosisConfig", "probed_examples", self.probed_examples)
    }
}
