//! What a state dict does not say.

use crate::conditioner::Activation;

config! {
    /// What a state dict of nflows does not say, with nflows' defaults.
    #[derive(Debug)]
    pub struct NflowsSettings {
        /// Nonlinearity of the networks.
        pub activation: Activation = Activation::Relu,
        /// `tail_bound` of the splines.
        pub tail_bound: f64 = 1.0,
        /// `min_bin_width` of the splines.
        pub min_bin_width: f64 = 1e-3,
        /// `min_bin_height` of the splines.
        pub min_bin_height: f64 = 1e-3,
        /// `min_derivative` of the splines.
        pub min_derivative: f64 = 1e-3,
        /// Probability that an activation of a residual network is dropped in further training.
        pub dropout: f64 = 0.0,
    }
}
