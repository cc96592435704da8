//! Calibration: whether the densities given observations have the widths that they claim.
//! ```text
//! x*_i ~ prior,  y_i ~ simulator(x*_i),  x_i1..x_iL ~ density given y_i            i = 1..n
//! ```
//! If the density is the posterior, then `x*_i` and its `L` samples have the same distribution
//! given `y_i`. Each diagnosis compares them, on simulations that played no part in the training. A
//! density that is too narrow is over-confident: the truth lies outside its samples too often.
//!
//! | diagnosis | what it compares | result of a calibrated density |
//! |---|---|---|
//! | [`Ranks`] (simulation-based calibration) | the rank of each true parameter among its samples | uniform ranks |
//! | [`Coverage`] (TARP) | the share of samples nearer to a random point than the truth is | uniform shares: expected coverage equals the credibility |
//! | [`ClassifierTestConfig`] (C2ST) | samples of the density and of a reference, for one observation | accuracy 1/2 |
//!
//! The first two need samples for many observations: [`PosteriorSamples`]. They are necessary
//! conditions: the prior, as a density that ignores its observation, passes both. Compare the
//! held-out likelihood as well. The third needs samples of the true posterior.
//!
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//! use flowkit::calibration::{Coverage, PosteriorSamples, Ranks};
//!
//! // x ~ N(0, 1), y ~ N(x, 1): the posterior is N(y/2, 1/2).
//! let device = Device::flex();
//! device.seed(3);
//! let normal = |n: usize| Tensor::<2>::random([n, 1], Distribution::Normal(0.0, 1.0), &device);
//! let x = normal(300);
//! let y = x.clone() + normal(300);
//! let posterior = |y: &Tensor<2>, n: usize| Ok(y.clone() / 2.0 + normal(n) / 2f64.sqrt());
//! let samples = PosteriorSamples::collect(&x, &y, 99, posterior)?;
//! let ranks = Ranks::new(&samples, 0);
//! assert!(ranks.p_values()[0] > 0.01);
//! assert!(Coverage::new(&samples, 0)?.p_value() > 0.01);
//! # Ok::<(), flowkit::calibration::CalibrationError>(())
//! ```

mod classifier;
mod classifier_test;
mod classifier_test_config;
mod coverage;
mod error;
mod kolmogorov_smirnov;
#[cfg(feature = "plot")]
mod plot;
mod posterior_samples;
mod ranks;
mod uniform_stream;

pub use classifier_test::ClassifierTest;
pub use classifier_test_config::ClassifierTestConfig;
pub use coverage::Coverage;
pub use error::CalibrationError;
pub use kolmogorov_smirnov::kolmogorov_smirnov;
pub use posterior_samples::PosteriorSamples;
pub use ranks::{RankHistogram, Ranks};
