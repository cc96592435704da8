//! Likelihoods of more images than fit in memory at once.

use std::time::{Duration, Instant};

use burn::tensor::{Device, Int, Tensor};
use flowkit::data::{Images, chunks};
use flowkit::flow::likelihood::Provenance;
use flowkit::{FlowError, LogLikelihood};
use indicatif::{FormattedDuration, ProgressBar, ProgressStyle};

use super::failure::Failure;
use crate::say;

/// Batches of levels, `[n, channels, height, width]`.
pub type Levels = Tensor<4, Int>;

/// Images that are evaluated at once.
const EVALUATION_BATCH: usize = 32;

/// Time between two lines where there is no terminal for a bar.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// The log-likelihoods of all images, in order. `evaluate` finds those of a batch, which is outside
/// any graph.
pub fn likelihood<P: Provenance>(
    images: &Images,
    device: &Device,
    evaluate: impl Fn(Levels) -> Result<LogLikelihood<P>, FlowError>,
) -> Result<LogLikelihood<P>, Failure> {
    batches(images, device, evaluate, |_| {})
}

/// [`likelihood`], with what is known so far and the time that is left.
pub fn likelihood_shown<P: Provenance>(
    images: &Images,
    device: &Device,
    evaluate: impl Fn(Levels) -> Result<LogLikelihood<P>, FlowError>,
) -> Result<LogLikelihood<P>, Failure> {
    let bar = ProgressBar::new(images.len() as u64);
    // The template is a constant; if it were malformed the bar would keep its default look.
    let template = "[{elapsed_precise}] {bar:30} {msg}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    let (start, mut shown) = (Instant::now(), Instant::now());
    let total = batches(images, device, evaluate, |total| {
        let (done, all, mean) = (total.nats().len(), images.len(), total.mean());
        let bits = mean.bits_per_dim().value();
        let error =
            mean.bits_per_dim_error().map_or(String::new(), |error| format!(" ± {error:.4}"));
        let message = format!("{done} of {all} images, {bits:.4}{error} bits/dim");
        if bar.is_hidden() && done < all && shown.elapsed() >= BETWEEN_LINES {
            shown = Instant::now();
            let left = start.elapsed().mul_f64((all - done) as f64 / done as f64);
            say!("{message}, {} left", FormattedDuration(left));
        }
        bar.set_position(done as u64);
        bar.set_message(message);
    })?;
    bar.finish();
    Ok(total)
}

/// The log-likelihoods of all images, with a look at those so far after each batch.
fn batches<P: Provenance>(
    images: &Images,
    device: &Device,
    evaluate: impl Fn(Levels) -> Result<LogLikelihood<P>, FlowError>,
    mut look: impl FnMut(&LogLikelihood<P>),
) -> Result<LogLikelihood<P>, Failure> {
    let plain = device.clone().inner();
    let mut all: Option<LogLikelihood<P>> = None;
    for indices in chunks(images.len(), EVALUATION_BATCH)? {
        let part = evaluate(images.batch(&indices, &plain))?;
        let total = match all.take() {
            None => part,
            Some(mut total) => {
                total.extend(part);
                total
            }
        };
        look(&total);
        all = Some(total);
    }
    all.ok_or(Failure::NothingToEvaluate)
}
