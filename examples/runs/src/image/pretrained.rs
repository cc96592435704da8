//! A model that comes with the examples.

use std::io::Read;

use flate2::read::GzDecoder;
use flowkit::train::{Checkpoint, CheckpointError};

/// Flow++ on MNIST's digits, in half precision. `models/README.md` says how it was trained.
const DIGITS: &[u8] = include_bytes!("../../models/flowpp_digits.safetensors.gz");

/// The name of the file in errors.
const NAME: &str = "flowpp_digits.safetensors.gz";

/// The checkpoint of a small Flow++ that was trained on MNIST's digits.
///
/// # Errors
/// [`CheckpointError::Read`] and others of [`Checkpoint::from_bytes`], if the file was damaged
/// before the program was built.
pub fn digits() -> Result<Checkpoint, CheckpointError> {
    let mut bytes = Vec::new();
    GzDecoder::new(DIGITS)
        .read_to_end(&mut bytes)
        .map_err(|source| CheckpointError::Read { path: NAME.into(), source })?;
    Checkpoint::from_bytes(NAME, bytes)
}
