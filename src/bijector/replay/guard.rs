//! Drift guard: a bound on the distance between inputs that inverses rebuild and the true inputs.
//! ```text
//! drift         max |x' − x| / max(1, max |x|)                 x' rebuilt, x kept
//! checkpoints   the inputs of layers p with (p + t) mod n = 0   in update t; layers are numbered
//!                                                               0, 1, 2, ... in forward order
//! promise       drift ≤ tolerance at every checkpoint of an update whose gradient is used
//! ```
//! The forward pass keeps the inputs of the checkpoints. The backward pass compares each with the
//! input that the inverses of up to `n` layers have rebuilt, and continues from the kept one, so
//! errors do not accumulate over more than `n` layers. The checkpoints move by one layer with every
//! update: each layer's input is compared once in `n` updates.
//!
//! # Beyond the tolerance
//! The gradient is discarded and the update is repeated with the same random draws. The first
//! repetition keeps every input of the `n` layers, which gives each layer's own error. A layer
//! whose error is above `tolerance / n`, its share, is **recomputed** from then on: its input is
//! kept and its inverse is not called. If there is no such layer, the layers have amplified each
//! other's errors, and `n` is halved. Neither change is ever undone, so the repetitions end, and
//! after the first updates there are none.
//!
//! A gradient that is not finite may come from an inverse that no checkpoint covers, especially in
//! the first layers. It is computed once more with every input kept; a layer above its share is
//! recomputed from then on, as above.
//!
//! The state of the guard is part of a trainer's checkpoint: a resumed run treats layers as an
//! uninterrupted run does.
//!
//! # Cost
//! One kept input in `n` layers, a comparison for each, and one device-to-host copy per update.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::{FloatDType, Tensor};
use serde::{Deserialize, Serialize};

use crate::bijector::layer_name::LayerName;

/// Initial number of layers between two checkpoints: a sixteenth of the memory for all inputs.
const SPACING: u64 = 16;

/// A layer that is recomputed because its inverse is too inexact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecomputedLayer {
    /// Names from the root of the model to the layer.
    pub path: String,
    /// Name of its type.
    pub layer: String,
    /// Its own drift when it was found; `None` if its inverse gave values that are not finite.
    pub drift: Option<f64>,
}

/// The state of the guard for a model. The rules head this module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriftGuard {
    tolerance: f64,
    spacing: u64,
    /// By place, in the order of `forward`.
    recomputed: BTreeMap<u64, RecomputedLayer>,
    /// Places whose inputs are kept in the next attempt, to find the layer at fault.
    #[serde(skip)]
    probed: Probed,
}

/// Layers whose inputs are all kept in one attempt, which gives each layer's own drift.
#[derive(Debug, Clone, PartialEq, Default)]
enum Probed {
    #[default]
    None,
    Places(BTreeSet<u64>),
    All,
}

impl Probed {
    fn contains(&self, place: u64) -> bool {
        match self {
            Self::None => false,
            Self::Places(places) => places.contains(&place),
            Self::All => true,
        }
    }
}

/// A comparison of a rebuilt input with the one that was kept.
#[derive(Debug)]
pub(super) struct Drift {
    /// Place of the layer, in the order of `forward`.
    pub place: u64,
    pub path: String,
    pub layer: LayerName,
    /// Layers since the last exact value, this one included.
    pub layers: u64,
    /// `[1]`, NaN where the rebuilt input is not finite.
    pub size: Tensor<1>,
}

impl Drift {
    /// The error of a rebuilt input, on the device.
    pub(super) fn between<const D: usize>(rebuilt: Tensor<D>, kept: &Tensor<D>) -> Tensor<1> {
        let difference = (rebuilt - kept.clone()).abs();
        // A maximum may ignore a NaN; a sum does not.
        let poison = difference.clone().sum().mul_scalar(0.0);
        let scale = kept.clone().abs().max().clamp_min(1.0);
        (difference.max() / scale + poison).cast(FloatDType::F32)
    }
}

/// The result of an examination.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Verdict {
    /// The gradient can be used. Holds the largest drift, 0 where nothing was compared.
    Holds(f64),
    /// The guard has become stricter, and the update must be repeated.
    Again,
}

impl DriftGuard {
    /// A guard in its initial state.
    pub fn new(tolerance: f64) -> Self {
        Self { tolerance, spacing: SPACING, recomputed: BTreeMap::new(), probed: Probed::None }
    }

    /// Why a guard read from a file does not belong to a training with this tolerance, or `None` if
    /// it does.
    pub(crate) fn fault(&self, tolerance: f64) -> Option<String> {
        if self.tolerance.to_bits() != tolerance.to_bits() {
            return Some(format!(
                "expected the tolerance of the run, {tolerance}, found {}",
                self.tolerance
            ));
        }
        if !(1..=SPACING).contains(&self.spacing) {
            return Some(format!(
                "expected a comparison every 1 to {SPACING} layers, found one every {}",
                self.spacing
            ));
        }
        let known = |drift: f64| drift.is_finite() && drift >= 0.0;
        let unknown = self.recomputed.values().find(|layer| !layer.drift.is_none_or(known))?;
        Some(format!(
            "expected a finite drift of at least 0 for `{}`, found {:?}",
            unknown.path, unknown.drift
        ))
    }

    /// Number of layers between two checkpoints.
    pub fn spacing(&self) -> u64 {
        self.spacing
    }

    /// Layers that are recomputed, in the order of `forward`.
    pub fn recomputed(&self) -> impl Iterator<Item = &RecomputedLayer> {
        self.recomputed.values()
    }

    /// Compares every input in the next attempt. A gradient that is not finite may come from an
    /// inverse between two checkpoints.
    pub(crate) fn doubt_all(&mut self) {
        self.probed = Probed::All;
    }

    /// Whether the input of a layer is kept.
    pub(super) fn keeps(&self, place: u64, phase: u64) -> bool {
        place.wrapping_add(phase).is_multiple_of(self.spacing)
            || !self.inverts(place)
            || self.probed.contains(place)
    }

    /// Whether the inverse of a layer is called.
    pub(super) fn inverts(&self, place: u64) -> bool {
        !self.recomputed.contains_key(&place)
    }

    /// Judges the comparisons of one replay, whose sizes are on the host.
    pub(super) fn examine(&mut self, found: &[(Drift, f64)]) -> Verdict {
        // NaN is beyond every tolerance.
        let within = |size: f64, bound: f64| size <= bound;
        let probed = std::mem::take(&mut self.probed);
        let beyond: Vec<_> =
            found.iter().filter(|(_, size)| !within(*size, self.tolerance)).collect();
        let largest = || found.iter().fold(0.0, |largest, (_, size)| size.max(largest));
        if probed == Probed::None {
            if beyond.is_empty() {
                return Verdict::Holds(largest());
            }
            let places =
                beyond.iter().flat_map(|(drift, _)| drift.place..drift.place + drift.layers);
            self.probed = Probed::Places(places.collect());
            return Verdict::Again;
        }
        let share = self.tolerance / self.spacing as f64;
        let at_fault: Vec<_> = found
            .iter()
            .filter(|(drift, size)| probed.contains(drift.place) && !within(*size, share))
            .collect();
        if at_fault.is_empty() {
            if probed == Probed::All {
                // No input drifted, and each was rebuilt by one inverse only.
                return Verdict::Holds(largest());
            }
            // At a spacing of 1 each comparison shows the error of its own layer alone, so that
            // layer is at fault.
            self.spacing = (self.spacing / 2).max(1);
        }
        for (drift, size) in at_fault {
            let (path, layer) = (drift.path.clone(), drift.layer.to_string());
            let layer = RecomputedLayer { path, layer, drift: size.is_finite().then_some(*size) };
            self.recomputed.insert(drift.place, layer);
        }
        Verdict::Again
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn drift(place: u64, layers: u64, size: f64) -> (Drift, f64) {
        let zero = Tensor::zeros([1], &Device::flex());
        (Drift { place, path: format!("{place}"), layer: "Layer".into(), layers, size: zero }, size)
    }

    #[test]
    fn a_layer_above_its_share_is_recomputed() {
        let mut guard = DriftGuard::new(1e-3);
        assert_eq!(guard.examine(&[drift(0, 16, 2e-4), drift(16, 16, 9e-4)]), Verdict::Holds(9e-4));
        assert_eq!(guard.examine(&[drift(0, 16, 2e-4), drift(16, 16, f64::NAN)]), Verdict::Again);
        assert!(
            (16..32).all(|place| guard.keeps(place, 5))
                && !guard.keeps(33, 5)
                && guard.keeps(43, 5)
        );
        assert_eq!(
            guard.examine(&[drift(16, 1, 1e-7), drift(17, 1, 0.1), drift(18, 1, f64::NAN)]),
            Verdict::Again
        );
        let found: Vec<_> =
            guard.recomputed().map(|layer| (layer.path.as_str(), layer.drift)).collect();
        assert_eq!(found, [("17", Some(0.1)), ("18", None)]);
        assert!(!guard.inverts(17) && guard.inverts(16) && guard.spacing() == 16);
    }

    #[test]
    fn errors_that_grow_on_the_way_halve_the_spacing() {
        let mut guard = DriftGuard::new(1e-3);
        assert_eq!(guard.examine(&[drift(0, 16, 0.1)]), Verdict::Again);
        assert_eq!(guard.examine(&[drift(3, 1, 1e-6)]), Verdict::Again);
        assert_eq!((guard.spacing(), guard.recomputed().count()), (8, 0));
    }

    #[test]
    fn in_doubt_every_layer_is_compared_and_none_is_blamed_without_a_drift() {
        let mut guard = DriftGuard::new(1e-3);
        guard.doubt_all();
        assert!((0..40).all(|place| guard.keeps(place, 5)));
        assert_eq!(guard.examine(&[drift(0, 1, f64::NAN), drift(1, 1, 1e-6)]), Verdict::Again);
        assert!(!guard.inverts(0) && guard.inverts(1) && !guard.keeps(1, 5));
        guard.doubt_all();
        assert_eq!(guard.examine(&[drift(1, 1, 1e-6)]), Verdict::Holds(1e-6));
        assert_eq!(guard.spacing(), 16);
    }

    #[test]
    fn a_guard_comes_back_from_json() {
        let mut guard = DriftGuard::new(1e-3);
        guard.examine(&[drift(4, 1, f64::NAN)]);
        guard.examine(&[drift(4, 1, f64::NAN)]);
        let json = serde_json::to_string(&guard).unwrap();
        assert_eq!(serde_json::from_str::<DriftGuard>(&json).unwrap(), guard);
    }

    #[test]
    fn a_drift_is_relative_and_not_blind_to_nan() {
        let row = |values: [f32; 3]| Tensor::<1>::from_data(values, &Device::flex());
        let size = |a, b| Drift::between(row(a), &row(b)).into_scalar::<f32>();
        assert_eq!(size([0.5, 4.0, -8.0], [0.5, 3.0, -8.0]), 0.125);
        assert_eq!(size([0.25, 0.0, 0.0], [0.5, 0.0, 0.0]), 0.25);
        assert!(size([0.5, f32::NAN, 1.0], [0.5, 3.0, 1.0]).is_nan());
        assert!(size([0.5, f32::INFINITY, 1.0], [0.5, 3.0, 1.0]).is_nan());
    }
}
