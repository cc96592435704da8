//! What runs the experiments of flowkit's examples, so that an example shows how a flow is trained
//! and little else.
//!
//! | module | what it is for |
//! |---|---|
//! | [`image`] | training on images: flags, resuming, the folder of a run, checkpoints, history, pictures, report |
//! | [`corner`] | a plot of every pair of columns |
//! | [`gaussian`] | the normal distribution that a flow must beat |
//! | [`posterior`] | posteriors from simulations: tables, observations |
//! | [`best`] | what a fit that failed had learnt |
//! | [`rows`] | rows of a table: columns, a mean with its error, samples as a CSV text |
//! | [`files`] | files that are written whole, and the folder of a run |
//! | [`saved_model`] | the folder of a saved model |
//! | [`table_args`] | the flags of the example `table` |
//! | [`plane`] | points of a plane: a picture and a Gaussian to compare with |
//! | [`boltzmann`] | unnormalised densities, and what is known about them |
//! | `learner` (feature `train`) | stopping burn's `Learner` by a signal |
//! | [`signals`] | Ctrl-C, SIGTERM and SIGHUP |
//! | [`memory`] | an allocator that keeps what it has, and what to say when memory runs out |
//! | [`threads`] | the threads of the CPU kernels, as many as the system permits |
//! | [`console`] | output that does not end the program if it is closed |
//!
//! A training on images is a loop in the example. It calls, in this order:
//!
//! ```text
//! RunArgs::folder   checks the flags, starts the threads, creates the folder
//! Setup::new        locks the folder; finds the checkpoint to resume from
//! Setup::images     reads the images, in the size and levels of the model
//! Setup::plan       combines the flags with the defaults of a preset
//! Setup::begin      saves the first checkpoint of a new run; listens for signals
//! Run               goes_on, timed, record, record_test, save_when_due: the loop
//! Run::end          the last checkpoint; how to go on, if a signal ended the loop
//! Results           the files of a run that is finished
//! ```

pub mod best;
pub mod boltzmann;
pub mod console;
pub mod corner;
mod counted;
pub mod files;
pub mod gaussian;
pub mod image;
#[cfg(feature = "train")]
pub mod learner;
pub mod memory;
pub mod plane;
pub mod posterior;
pub mod rows;
pub mod saved_model;
pub mod signals;
pub mod table_args;
pub mod threads;

use clap::ValueEnum;

/// The name of a flag's value, as it is written on the command line.
pub fn value_name<T: ValueEnum>(value: T) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
