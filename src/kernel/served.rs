//! What an operation says about the devices and types that have its kernels.

use burn::backend::{DispatchDevice, DispatchTensor, TensorMetadata};
use burn::tensor::{DType, Tensor};

/// Types whose kernels compute in the type itself.
pub const FLOATS: &[DType] = &[DType::F32, DType::F64];

/// The above, and 16-bit floats, with f32 arithmetic.
pub const FLOATS_AND_HALVES: &[DType] = &[DType::F32, DType::F64, DType::F16, DType::BF16];

/// Float32 and 16-bit floats, with arithmetic of pairs of f32.
pub const SINGLES_AND_HALVES: &[DType] = &[DType::F32, DType::F16, DType::BF16];

/// No type: the operation has no kernels there.
pub const NONE: &[DType] = &[];

/// The types for which an operation has kernels, forward and backward.
///
/// Each operation states them once, in its `SERVED`. Its functions take the plain operations for
/// all other types and devices. A table in `docs/design.md` lists them, and a test compares it with
/// these statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// On burn's CPU backend, if the crate is built with it.
    pub cpu: &'static [DType],
    /// On burn's GPU backends, if the crate is built with one, as far as the device has the type.
    pub gpu: &'static [DType],
}

impl Served {
    /// Whether a tensor's device and type have the kernels.
    pub(crate) fn serves<const D: usize>(self, tensor: &Tensor<D>) -> bool {
        self.on(tensor.device().inner().as_dispatch()).contains(&tensor.dtype())
    }

    /// Whether a tensor is on a GPU and its type has the kernels there. On a GPU the number of
    /// launches counts, so many such tensors are best given to an operation at once.
    pub(crate) fn serves_on_gpu<const D: usize>(self, tensor: &Tensor<D>) -> bool {
        #[cfg(feature = "_gpu")]
        if let DispatchDevice::Cube(_) = tensor.device().inner().as_dispatch() {
            return self.gpu.contains(&tensor.dtype());
        }
        let _ = tensor;
        false
    }

    /// Requires tensors whose device and type have the kernels, without autodiff.
    ///
    /// # Panics
    /// If one is not such a tensor.
    pub(crate) fn require<const N: usize>(self, kernel: &str, tensors: [&DispatchTensor; N]) {
        for tensor in tensors {
            let (device, dtype) = (tensor.device(), TensorMetadata::dtype(tensor));
            assert!(
                self.on(&device).contains(&dtype),
                "{kernel}: expected tensors that its kernels serve, on a device without autodiff; \
                 found {dtype:?} on {device:?}"
            );
        }
    }

    /// The types that have kernels on a device.
    fn on(self, device: &DispatchDevice) -> &'static [DType] {
        match device {
            #[cfg(feature = "flex")]
            DispatchDevice::Flex(_) => self.cpu,
            #[cfg(feature = "_gpu")]
            DispatchDevice::Cube(_) => self.gpu,
            #[allow(unreachable_patterns)]
            _ => NONE,
        }
    }
}
