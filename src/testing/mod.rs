//! Conformance checks for bijectors: what every bijector promises, as code that reports where a
//! bijector breaks the promise.
//!
//! They are the tests of this crate's own bijectors. A [`Conformance`] names a bijector, the shape
//! of an example and the domain of the inputs. [`Conformance::check`] runs all checks;
//! [`Conformance::run`] or a function of this module runs one. Tolerances come from one table,
//! [`tolerance`]. [`Check`] lists the checks:
//!
//! | check | promise |
//! |---|---|
//! | [`shapes()`] | shapes are those that `output_shape` and `input_shape` announce; wrong ones are refused |
//! | [`finite()`] | nothing is NaN or infinite at extreme valid inputs |
//! | [`round_trip()`] | forward and inverse undo each other |
//! | [`log_det()`] | log-determinants are those of Jacobians |
//! | [`gradients()`] | gradients agree with finite differences |
//! | [`training()`] | every parameter receives a gradient |
//! | [`evaluation()`] | `valid()` computes the same as training mode |
//! | [`independence()`] | the examples of a batch are independent of each other |
//! | [`precision()`] | float32 computes what float64 computes |
//! | [`records()`] | a saved bijector loads with the same outputs, bit for bit on the CPU |
//! | [`moves()`] | clones, boxes and moves between devices keep parameters |
//! | [`replay()`] | the memory-saving pass gives the gradients of autodiff |
//! | [`initialization()`] | data-dependent initialisation does what it promises |
//! | [`repeats()`] | random layers repeat their random draws |
//! | [`layers()`] | visiting the layers one at a time computes the forward pass |
//!
//! ```
//! use flowkit::testing::{Check, Conformance, Inputs};
//! use flowkit::{ActNormConfig, LayerConfig, Sigmoid, Site};
//!
//! let norm = Conformance::new("ActNorm", [1, 4], |device| {
//!     ActNormConfig::new().build(&Site::new([1, 4], device)).unwrap()
//! });
//! let report = norm.inputs(Inputs::Real(1e4)).check()?;
//! assert_eq!(report.outcomes.len(), Check::ALL.len());
//!
//! // A sigmoid has no inverse in float32 where it has rounded to 1.
//! let too_far =
//!     Conformance::new("Sigmoid", [1, 4], |_| Sigmoid::new()).inputs(Inputs::Real(40.0));
//! let failure = too_far.run(Check::RoundTrip).unwrap_err();
//! assert_eq!(
//!     failure.to_string(),
//!     "round trip (float32, extreme inputs, batch of 3, seed 5): x -> z -> x at [1, 0] is inf"
//! );
//! # Ok::<(), flowkit::testing::ConformanceError>(())
//! ```

pub mod elements;
pub mod parameters;
pub mod tolerance;

mod check;
mod conformance;
mod context;
mod evaluation;
mod failure;
mod finite;
mod gradients;
mod independence;
mod initialization;
mod inputs;
mod jacobian;
mod layers;
mod log_det;
mod moves;
mod panic;
mod precision;
mod records;
mod repeats;
mod replay;
mod round_trip;
mod shapes;
mod training;

pub use check::{Check, Outcome, Report};
pub use conformance::Conformance;
pub use context::SampleContext;
pub use evaluation::evaluation;
pub use failure::{ConformanceError, Failure, Fault, Setting};
pub use finite::finite;
pub use gradients::gradients;
pub use independence::independence;
pub use initialization::initialization;
pub use inputs::{Inputs, Region};
pub use layers::layers;
pub use log_det::log_det;
pub use moves::moves;
pub use precision::precision;
pub use records::records;
pub use repeats::repeats;
pub use replay::replay;
pub use round_trip::round_trip;
pub use shapes::shapes;
pub use training::training;
