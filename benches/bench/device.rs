//! What the device that computes says of itself.

use burn::tensor::Device;
use serde_json::json;

use super::Notes;

/// Fields of a line: the device's name, whether it is software that stands in for a GPU, and the
/// memory that its pools hold. What an initialisation took counts, as pools keep their pages.
/// Empty for a CPU.
pub fn notes(device: &Device) -> Notes {
    let mut notes = Notes::new();
    #[cfg(feature = "_gpu")]
    if let Some(identity) = device.identity() {
        notes.insert("device".into(), json!(identity.name));
        notes.insert("software".into(), json!(identity.physical.is_none()));
    }
    if let Some(usage) = device.memory_pool_usage() {
        let mb = usage.bytes_reserved as f64 / f64::from(1 << 20);
        notes.insert("device_mb".into(), json!(mb));
    }
    notes
}
