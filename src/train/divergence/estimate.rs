//! The provenance of a loss that estimates a divergence.

use std::fmt::{Display, Formatter, Result as FmtResult};

use crate::flow::likelihood::Provenance;

/// A divergence from a target, up to its unknown normalising constant, estimated from samples. An
/// update reports it in nats and in bits/dim; it is no likelihood of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DivergenceEstimate;

impl Provenance for DivergenceEstimate {
    const OF_DENSITY: bool = true;
}

impl Display for DivergenceEstimate {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.write_str("estimate of a divergence")
    }
}
