//! What the kernels of the GPU backends share. It knows no operation.
//!
//! In each kernel `F` is the type of the tensors and `N` that of the arithmetic: `F` itself, or f32
//! for 16-bit floats. Tensors are contiguous, but images of networks may have their axes in any
//! order in memory. A unit is a thread of the GPU; a cube is a block of [`UNITS`] of them, which
//! share memory.
//!
//! Kernels use no `log1p`, `expm1` or comparison with NaN, which WGSL lacks or may optimise away.

pub mod columns;
pub mod double;
pub mod many;
pub mod reduce;

use burn::backend::cubecl::dtype_to_storage_type;
use burn::tensor::{DType, Shape};
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::ops::permute_nhwc_to_nchw;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

/// Units of a cube, which every WebGPU device allows.
pub const UNITS: u32 = 256;

/// The type in which kernels compute.
pub fn arithmetic(dtype: DType) -> DType {
    match dtype {
        DType::F64 => DType::F64,
        _ => DType::F32,
    }
}

/// The types `F` and `N` of a kernel on tensors of a type.
pub fn types(dtype: DType) -> (ElemType, ElemType) {
    (dtype_to_storage_type(dtype), dtype_to_storage_type(arithmetic(dtype)))
}

/// A number that a kernel reads in the type of its arithmetic.
pub fn scalar(value: f64, dtype: DType) -> InputScalar {
    InputScalar::new(value, dtype_to_storage_type(arithmetic(dtype)))
}

/// A tensor on the device of another and of its type, whose elements are not written yet.
pub fn empty(like: &CubeTensor, shape: impl Into<Shape>) -> CubeTensor {
    empty_in(like, like.dtype, shape)
}

/// A tensor of another type on the device of a tensor, whose elements are not written yet.
pub fn empty_in(like: &CubeTensor, dtype: DType, shape: impl Into<Shape>) -> CubeTensor {
    empty_device_contiguous_dtype(like.client.clone(), like.device.clone(), shape.into(), dtype)
}

/// A tensor `[B, C, H, W]` whose elements are not written yet, with the channels on the last axis
/// in memory, as burn's convolutions read and write them.
pub fn empty_images(like: &CubeTensor, [batch, channels, height, width]: [usize; 4]) -> CubeTensor {
    permute_nhwc_to_nchw(empty(like, [batch, height, width, channels]))
}

/// The grid and the cubes of a kernel in which one unit computes one of `length` elements.
pub fn unit_each(like: &CubeTensor, length: usize) -> (CubeCount, CubeDim) {
    let units = CubeDim::new_1d(UNITS);
    (cubecl::calculate_cube_count_elemwise(&like.client, length, units), units)
}

/// The grid and the cubes of a kernel in which one cube of [`UNITS`] units computes one of `length`
/// results. The grid may hold more cubes than that.
pub fn cube_each(like: &CubeTensor, length: usize) -> (CubeCount, CubeDim) {
    unit_each(like, length * UNITS as usize)
}

/// The place in memory of an element of images `[B, C, H, W]` of any order in memory.
#[cube]
pub fn at<F: Float>(
    images: &Tensor<F>,
    example: usize,
    channel: usize,
    row: usize,
    column: usize,
) -> usize {
    example * images.stride(0)
        + channel * images.stride(1)
        + row * images.stride(2)
        + column * images.stride(3)
}

/// The place in memory of an element of images `[B, C, H, W]` of any order in memory. `element`
/// counts those of `[B, H, W, channels]`, the first channels of the images.
#[cube]
pub fn at_counted<F: Float>(images: &Tensor<F>, element: usize, channels: usize) -> usize {
    let (height, width) = (images.shape(2), images.shape(3));
    let (channel, position) = (element % channels, element / channels);
    let (row, column) = (position / width % height, position % width);
    at::<F>(images, position / (width * height), channel, row, column)
}

/// The place, in a tensor with twice the channels, of an element in the first half of them. The
/// second half begins `length` elements further, the number of elements of an example.
#[cube]
pub fn first_half(element: usize, length: usize) -> usize {
    element + element / length * length
}

/// `σ(x)`, whose exponential is of a number below 0 and cannot overflow.
#[cube]
pub fn sigmoid<N: Float>(x: N) -> N {
    let small = N::exp(-N::abs(x));
    select(x < N::new(0.0), small, N::new(1.0)) / (N::new(1.0) + small)
}

/// `tanh a` and its derivative, from `e^−2|a|`.
#[cube]
pub fn bounded<N: Float>(a: N) -> (N, N) {
    let e = N::exp(N::new(-2.0) * N::abs(a));
    let size = (N::new(1.0) - e) / (N::new(1.0) + e);
    let value = select(a < N::new(0.0), -size, size);
    (value, N::new(4.0) * e / ((N::new(1.0) + e) * (N::new(1.0) + e)))
}

/// `ln(1 + x)` for `x ≥ −½`. Near 0, where `1 + x` rounds, it is the sum of a series, whose first
/// term left out is below 4e−14 of the result.
#[cube]
pub fn log1p<N: Float>(x: N) -> N {
    let series = x
        * (N::new(1.0)
            - x * (N::new(0.5)
                - x * (N::new(1.0 / 3.0)
                    - x * (N::new(0.25)
                        - x * (N::new(0.2) - x * (N::new(1.0 / 6.0) - x * N::new(1.0 / 7.0)))))));
    select(N::abs(x) < N::new(0.015625), series, N::ln(N::new(1.0) + x))
}
