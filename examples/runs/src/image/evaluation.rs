//! Likelihoods of more images than fit in memory at once.

use burn::tensor::{Device, Int, Tensor};
use flowkit::data::{Images, chunks};
use flowkit::flow::likelihood::Provenance;
use flowkit::{FlowError, LogLikelihood};

use super::failure::Failure;

/// Batches of levels, `[n, channels, height, width]`.
pub type Levels = Tensor<4, Int>;

/// Images that are evaluated at once.
const EVALUATION_BATCH: usize = 32;

/// The log-likelihoods of all images, in order. `evaluate` finds those of a batch, which is outside
/// any graph.
pub fn likelihood<P: Provenance>(
    images: &Images,
    device: &Device,
    evaluate: impl Fn(Levels) -> Result<LogLikelihood<P>, FlowError>,
) -> Result<LogLikelihood<P>, Failure> {
    let plain = device.clone().inner();
    let mut total: Option<LogLikelihood<P>> = None;
    for indices in chunks(images.len(), EVALUATION_BATCH)? {
        let part = evaluate(images.batch(&indices, &plain))?;
        match &mut total {
            None => total = Some(part),
            Some(total) => total.extend(part),
        }
    }
    total.ok_or(Failure::NothingToEvaluate)
}
