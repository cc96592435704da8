//! The formats of files, and how they are told apart.

use std::collections::BTreeMap;

use super::fault::Fault;
use super::{Array, archive, npz, pytorch, safetensors};

/// A format that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Npz,
    Safetensors,
    PyTorch,
}

impl Format {
    /// The format of a file. Of archives, one with a pickle in the place where PyTorch has it is
    /// PyTorch's.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        if archive::MAGIC.iter().any(|magic| bytes.starts_with(magic)) {
            // An archive that is broken is an error in either format.
            let is_pytorch =
                archive::entries(bytes).is_ok_and(|entries| pytorch::root(&entries).is_some());
            return Some(if is_pytorch { Self::PyTorch } else { Self::Npz });
        }
        if pytorch::recognizes_legacy(bytes) {
            return Some(Self::PyTorch);
        }
        safetensors::recognizes(bytes).then_some(Self::Safetensors)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Npz => "npz",
            Self::Safetensors => "safetensors",
            Self::PyTorch => "PyTorch",
        }
    }

    /// The arrays of a file in this format.
    pub(super) fn read(self, bytes: &[u8]) -> Result<BTreeMap<String, Array>, Fault> {
        match self {
            Self::Npz => npz::read(&archive::entries(bytes)?),
            Self::Safetensors => safetensors::read(bytes),
            Self::PyTorch if pytorch::recognizes_legacy(bytes) => Err(pytorch::legacy()),
            Self::PyTorch => pytorch::read(&archive::entries(bytes)?, bytes.len()),
        }
    }
}
