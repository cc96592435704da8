//! The two families of names among the released files.

/// What TensorFlow appends to the name of a variable's moving average.
const AVERAGE: &str = "/ExponentialMovingAverage";

/// A family of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// Those of the CIFAR-10 model: `proj_in` and `proj_out`, norms of shape `[1, 1, 1, F]`.
    Cifar,
    /// Those of the ImageNet models: `c1` and `c2`, norms of shape `[F]`, and the names of moving
    /// averages.
    ImageNet,
}

impl Family {
    /// The family that a name belongs to.
    pub(super) fn of(name: &str) -> Self {
        if name.ends_with(AVERAGE) { Self::ImageNet } else { Self::Cifar }
    }

    /// The name of an array in the file.
    pub(super) fn stored(self, name: &str) -> String {
        match self {
            Self::Cifar => name.to_owned(),
            Self::ImageNet => format!("{name}{AVERAGE}"),
        }
    }

    /// First and last convolution of a coupling's network.
    pub(super) fn projections(self) -> [&'static str; 2] {
        match self {
            Self::Cifar => ["proj_in", "proj_out"],
            Self::ImageNet => ["c1", "c2"],
        }
    }

    /// Shape of gain and bias of a norm over so many channels.
    pub(super) fn norm_shape(self, channels: usize) -> Vec<usize> {
        match self {
            Self::Cifar => vec![1, 1, 1, channels],
            Self::ImageNet => vec![channels],
        }
    }
}
