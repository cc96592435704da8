//! Parts of flows, alone: the mixture law, the network of a coupling, 1x1 convolutions, burn's own
//! operations under them, and what the CPU's kernels cost.
//!
//! `bench/mod.rs` has the command line. The names are those of `benches/peers/`, where the same
//! work is done by others.

mod bench;
mod kernel;

use std::process::ExitCode;

fn main() -> ExitCode {
    let items = [
        kernel::mixture::items(),
        kernel::network::items(),
        kernel::conv1x1::items(),
        kernel::operation::items(),
        kernel::cost::items(),
    ];
    bench::run("kernels", items.into_iter().flatten().collect())
}
