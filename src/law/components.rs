//! What laws of a logistic mixture share: the rules of its configuration, the initial values of its
//! components, and the check that components differ.

use std::f64::consts::PI;

use crate::error::ConfigError;
use crate::tensor::equal::first_equal;

/// Number of components and bounds of their log-scales.
#[derive(Debug, Clone, Copy)]
pub(super) struct Components {
    pub k: usize,
    pub min_log_scale: f64,
    pub max_log_scale: Option<f64>,
}

impl Components {
    /// Checks what a configuration makes of its components.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(self, config: &'static str) -> Result<(), ConfigError> {
        ConfigError::repeated(config, "n_components", self.k)?;
        let out_of_range =
            |field, range, found| Err(ConfigError::OutOfRange { config, field, range, found });
        // exp(−s) must be a finite f32.
        if !(-80.0..=80.0).contains(&self.min_log_scale) {
            return out_of_range("min_log_scale", "[-80, 80]", self.min_log_scale);
        }
        // With a bound of at least 2 the knee is at 0 or above, and the initial log-scales are at
        // most 0.
        match self.max_log_scale {
            Some(found) if !(found >= self.min_log_scale.max(2.0) && found <= 80.0) => {
                out_of_range("max_log_scale", "[max(2, min_log_scale), 80]", found)
            }
            _ => Ok(()),
        }
    }

    /// Initial logits, means and log-scales, for which the mixture has the variance of one logistic
    /// distribution of scale `e^log_scale`. The logits are 0.
    pub fn initial(self, log_scale: f64) -> Vec<f64> {
        let k = self.k;
        let mean = |index: usize| 0.5 * ((index as f64 + 0.5) / ((k - index) as f64 - 0.5)).ln();
        let means: Vec<f64> = (0..k).map(mean).collect();
        // A quarter of the variance of the quantiles, which is below that of the distribution,
        // π²/3: the argument of the logarithm is above 3/4.
        let variance = means.iter().map(|mean| mean * mean).sum::<f64>() / k as f64;
        let own = log_scale + 0.5 * (1.0 - 3.0 / PI.powi(2) * variance).ln();
        let means = means.into_iter().map(|mean| mean * log_scale.exp()).collect();
        [vec![0.0; k], means, vec![own.max(self.min_log_scale); k]].concat()
    }

    /// Checks that no two components of `theta`, logits, means and log-scales, are equal.
    ///
    /// # Errors
    /// [`ConfigError::EqualComponents`].
    pub fn check_init(
        self,
        network: &'static str,
        law: &'static str,
        theta: &[f64],
    ) -> Result<(), ConfigError> {
        // Compared after rounding to float32, with the log-scales as the law bounds them.
        let component = |index: usize| {
            let [logit, mean, log_scale] = [0, 1, 2].map(|part| theta[part * self.k + index]);
            // Adding 0 makes -0 and 0 one value.
            [logit, mean, log_scale.max(self.min_log_scale)]
                .map(|value| (value as f32 + 0.0).to_bits())
        };
        match first_equal((0..self.k).map(component)) {
            None => Ok(()),
            Some((first, second)) => {
                Err(ConfigError::EqualComponents { network, law, first, second })
            }
        }
    }
}
