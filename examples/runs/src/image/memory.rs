//! What to try when the memory of a training runs out.

use clap::ValueEnum;
use flowkit::GradientMemory;

use super::conduct::Keep;
use crate::memory;

/// Names the policy that needs less memory, should it run out from here on.
pub fn advise(backward: GradientMemory) {
    let name = |backward| {
        Keep::from(backward)
            .to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    };
    let remedy = match backward.thriftier() {
        Some(other) => {
            format!("continue from the last checkpoint with --resume --backward {}", name(other))
        }
        None => {
            "no policy needs less: continue on a machine with more memory, or start again with a \
             smaller --batch"
                .into()
        }
    };
    memory::advise(|| {
        format!("error: memory ran out under --backward {}; {remedy}\n", name(backward))
    });
}
