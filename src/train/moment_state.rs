//! Moments: the state that [`Adam`](super::Adam) and [`Adamax`](super::Adamax) keep for each
//! parameter.
//! ```text
//! time       updates of the parameter
//! moment_1   decayed mean of its gradients
//! moment_2   decayed mean of their squares, or decayed maximum of their magnitudes
//! ```
//! The names are those of burn's own optimizers. burn reads the states of its optimizers in the
//! default type of the device: moments of a float64 parameter would lose half their digits, and
//! moments of any other type would no longer fit their parameter. These states are read in the type
//! in which they were written.

use burn::optim::{RecordState, StateSink, StateSource};
use burn::tensor::{Device, Tensor, TensorData};
use burn_pack::Scalar;

const TIME: &str = "time";
const MEAN: &str = "moment_1";
const SQUARE: &str = "moment_2";
const MOMENTUM: &str = "momentum";

/// The state of [`Adamax`](super::Adamax).
#[derive(Debug, Clone)]
pub struct Moments<const D: usize> {
    pub(super) time: usize,
    pub(super) mean: Tensor<D>,
    pub(super) square: Tensor<D>,
}

impl<const D: usize> Moments<D> {
    pub(super) fn moved_to(self, device: &Device) -> Self {
        let Self { time, mean, square } = self;
        Self { time, mean: mean.to_device(device), square: square.to_device(device) }
    }
}

impl<const D: usize> RecordState for Moments<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        out.push_scalar(prefix, TIME, Scalar::from(self.time));
        out.push_tensor(prefix, MEAN, self.mean.clone().into_data());
        out.push_tensor(prefix, SQUARE, self.square.clone().into_data());
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        let tensor = |data: TensorData| {
            let dtype = data.dtype();
            Tensor::from_data(data, (device, dtype))
        };
        Some(Self {
            time: source.take_scalar(prefix, TIME)?.try_into().ok()?,
            mean: tensor(source.take_tensor(prefix, MEAN)?),
            square: tensor(source.take_tensor(prefix, SQUARE)?),
        })
    }
}

/// The state of [`Adam`](super::Adam): moments, under the name that burn's Adam uses.
#[derive(Debug, Clone)]
pub struct AdamMoments<const D: usize>(pub(super) Moments<D>);

impl<const D: usize> RecordState for AdamMoments<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        self.0.state_flatten(&within(prefix), out);
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        Moments::state_unflatten(&within(prefix), source, device).map(Self)
    }
}

fn within(prefix: &str) -> String {
    format!("{prefix}.{MOMENTUM}")
}
