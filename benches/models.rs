//! Whole models: a training step through [`flowkit::train::Trainer`], an evaluation, samples.
//!
//! `bench/mod.rs` has the command line. The names are those of `benches/peers/`, where the same
//! work is done by others.

mod bench;
mod model;

use std::process::ExitCode;

fn main() -> ExitCode {
    let items = [
        model::flow_plus_plus::items(),
        model::preset::items(),
        model::glow::items(),
        model::plane::items(),
    ];
    bench::run("models", items.into_iter().flatten().collect())
}
