//! The scales of a convolution's outputs.

use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

/// The scale of an output.
#[cube]
pub fn scale_of<F: Float, N: Float>(log_scale: &Tensor<F>, output: usize, factor: N) -> N {
    N::exp(N::cast_from(log_scale[output]) * factor)
}

/// The scales `e^{factor·log_scale}` of the outputs.
#[derive(Clone)]
pub struct Scales {
    pub log_scale: CubeTensor,
    pub factor: f64,
}

/// What a kernel binds: the log-scales, or a tensor that it does not read.
pub fn bound(scales: Option<&Scales>, other: &CubeTensor) -> (CubeTensor, f64) {
    match scales {
        Some(scales) => (into_contiguous(scales.log_scale.clone()), scales.factor),
        None => (other.clone(), 1.0),
    }
}
