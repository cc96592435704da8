//! Training on images from a command line: [`RunArgs`], [`Setup`], [`Run`] and [`Results`], in the
//! order in which a program uses them.

mod args;
mod conduct;
mod evaluation;
mod failure;
mod folder;
mod history;
mod memory;
mod model;
mod pictures;
mod plan;
mod pretrained;
mod progress;
mod results;
mod run;
mod saved;
mod settings;
mod setup;
mod source;

pub use args::{Augment, DeviceName, RunArgs, Task};
pub use conduct::{Keep, Policy};
pub use evaluation::{Levels, likelihood, likelihood_shown};
pub use failure::{Failure, report};
pub use folder::Folder;
pub use model::{ImageConfig, export, read_config};
pub use plan::{Defaults, Plan};
pub use pretrained::digits;
pub use results::{Results, write_evaluation, write_samples};
pub use run::Run;
pub use settings::Setting;
pub use setup::Setup;
pub use source::Source;
