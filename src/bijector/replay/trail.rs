//! The part of a replay that does not depend on the type of its condition: its place, the values
//! that it keeps, and the comparisons.

use std::any::Any;

use burn::tensor::{Device, Tensor};

use super::guard::{Drift, DriftGuard};
use crate::bijector::layer_name::LayerName;
use crate::random::Seeded;
use crate::random::draw::GAMMA;

/// Which inputs are kept.
#[derive(Debug, Default)]
pub(super) enum Keeping {
    #[default]
    Nothing,
    Everything,
    Checkpoints {
        guard: DriftGuard,
        phase: u64,
    },
}

/// Place, random stream, kept values and comparisons.
#[derive(Debug, Default)]
pub(super) struct Trail {
    seed: u64,
    /// The caller's stream, while the replay samples from its own.
    caller: Option<Seeded>,
    /// Whether the caller's stream is restored at the end of a whole pass instead of after each
    /// leaf.
    whole: bool,
    /// Number of leaves that were entered and not left.
    place: u64,
    keeping: Keeping,
    path: Vec<String>,
    /// One entry for each of those leaves.
    kept: Vec<Option<Box<dyn Any + Send>>>,
    /// The entry of the leaf that was left last.
    current: Option<Box<dyn Any + Send>>,
    /// The last place of the backward pass whose input was known and not rebuilt.
    exact: u64,
    pub(super) drifts: Vec<Drift>,
}

impl Trail {
    pub(super) fn new(seed: u64, keeping: Keeping) -> Self {
        Self { seed, keeping, ..Self::default() }
    }

    /// Begins a pass at whose end the caller's stream is restored. Returns whether it is the
    /// outermost pass.
    pub(super) fn open(&mut self, device: &Device) -> bool {
        if self.whole {
            return false;
        }
        self.hold(device);
        self.whole = true;
        true
    }

    /// Ends the outermost pass.
    pub(super) fn close(&mut self) {
        self.whole = false;
        self.release();
    }

    /// An outer scope restores the caller's stream.
    pub(super) fn within_scope(&mut self) {
        self.whole = true;
    }

    /// Restores the caller's stream after a leaf.
    pub(super) fn release(&mut self) {
        if !self.whole {
            self.caller = None;
        }
    }

    fn hold(&mut self, device: &Device) {
        if !self.whole && self.caller.is_none() {
            self.caller = Some(Seeded::hold(device));
        }
    }

    pub(super) fn enter(&mut self, device: &Device) {
        self.seed(device);
        self.place += 1;
        self.exact = self.place;
        self.kept.push(None);
    }

    pub(super) fn leave(&mut self, device: &Device) {
        self.place = self.place.saturating_sub(1);
        self.current = self.kept.pop().flatten();
        self.seed(device);
    }

    pub(super) fn seed(&mut self, device: &Device) {
        self.hold(device);
        // Weyl step of SplitMix64 (Steele et al. 2014): distinct seeds for distinct places.
        device.seed(self.seed.wrapping_add(self.place.wrapping_mul(GAMMA)));
    }

    pub(super) fn push_name(&mut self, name: String) {
        self.path.push(name);
    }

    pub(super) fn pop_name(&mut self) {
        self.path.pop();
    }

    /// Whether the input of the leaf that was entered last is to be kept.
    pub(super) fn keeps(&self) -> bool {
        match &self.keeping {
            Keeping::Nothing => false,
            Keeping::Everything => true,
            Keeping::Checkpoints { guard, phase } => {
                guard.keeps(self.place.saturating_sub(1), *phase)
            }
        }
    }

    pub(super) fn keep<T: Send + 'static>(&mut self, value: T) {
        if let Some(entry) = self.kept.last_mut() {
            *entry = Some(Box::new(value));
        }
    }

    /// The value that was kept for the leaf that was left last. A second call returns `None`.
    fn kept<T: 'static>(&mut self) -> Option<T> {
        self.current.take().and_then(|value| value.downcast::<T>().ok()).map(|value| *value)
    }

    /// [`Trail::kept`] for a value from which the replay continues: from there on, the backward
    /// pass is exact again.
    pub(super) fn stashed<T: 'static>(&mut self) -> Option<T> {
        self.exact = self.place;
        self.kept()
    }

    /// The input of the leaf that was left last: the kept one, or else the result of `rebuild`.
    pub(super) fn input<const D: usize>(
        &mut self,
        layer: LayerName,
        rebuild: impl FnOnce() -> Tensor<D>,
    ) -> Tensor<D> {
        let Some(kept) = self.kept::<Tensor<D>>() else { return rebuild() };
        if let Keeping::Checkpoints { guard, .. } = &self.keeping
            && guard.inverts(self.place)
        {
            let layers = self.exact.saturating_sub(self.place);
            let size = Drift::between(rebuild(), &kept);
            self.drifts.push(Drift {
                place: self.place,
                path: self.path.join("."),
                layer,
                layers,
                size,
            });
        }
        self.exact = self.place;
        kept
    }
}
