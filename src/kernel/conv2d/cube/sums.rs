//! The sums of a convolution, and their gradients: burn's convolutions. With a single tap they are
//! products of matrices, which read images with the channels last in memory as rows and need no
//! other order of the weights.
//!
//! Without a position, which a batch of no example has, nothing is launched: burn's kernels and
//! their tuning take no tensor without elements.

use burn::backend::ops::{FloatTensorOps, ModuleOps};
use burn::tensor::ops::ConvOptions;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::zeros_client;
use burn_cubecl::ops::{permute_nchw_to_nhwc, permute_nhwc_to_nchw};
use burn_cubecl::tensor::CubeTensor;

use crate::kernel::cube::empty_images;

/// Stride 1 and zero padding that keeps the size.
fn options(weight: &CubeTensor) -> ConvOptions<2> {
    let [_, _, height, width] = weight.meta.shape().dims();
    ConvOptions::new([1, 1], [height / 2, width / 2], [1, 1], 1)
}

fn has_no_position(images: &CubeTensor) -> bool {
    let [batch, _, height, width] = images.meta.shape().dims();
    batch * height * width == 0
}

/// Whether the sums are products of matrices.
pub fn has_one_tap(weight: &CubeTensor) -> bool {
    let [_, _, height, width] = weight.meta.shape().dims();
    height * width == 1
}

/// The channels of each position: `[B, C, H, W]` to `[B·H·W, C]`.
pub fn rows(images: CubeTensor) -> CubeTensor {
    let [batch, channels, height, width] = images.meta.shape().dims();
    let rows = into_contiguous(permute_nchw_to_nhwc(images));
    CubeBackend::float_reshape(rows, [batch * height * width, channels].into())
}

/// Rows as images of the batch and size of others.
pub fn images(rows: CubeTensor, like: &CubeTensor) -> CubeTensor {
    let [batch, _, height, width] = like.meta.shape().dims();
    let [_, channels] = rows.meta.shape().dims();
    let shape = [batch, height, width, channels];
    permute_nhwc_to_nchw(CubeBackend::float_reshape(rows, shape.into()))
}

/// Weights with a single tap: `[O, C, 1, 1]` to `[O, C]`.
pub fn matrix(weight: CubeTensor) -> CubeTensor {
    let [outputs, inputs, _, _] = weight.meta.shape().dims();
    CubeBackend::float_reshape(into_contiguous(weight), [outputs, inputs].into())
}

/// Results of shape `[B, O, H, W]` without elements.
fn none(v: &CubeTensor, weight: &CubeTensor) -> CubeTensor {
    let [batch, _, height, width] = v.meta.shape().dims();
    let [outputs, _, _, _] = weight.meta.shape().dims();
    empty_images(v, [batch, outputs, height, width])
}

/// `w ∗ v + b` for weights of more than one tap: burn's convolution adds the bias.
pub fn with_bias(v: CubeTensor, weight: CubeTensor, bias: Option<CubeTensor>) -> CubeTensor {
    if has_no_position(&v) {
        return none(&v, &weight);
    }
    let options = options(&weight);
    CubeBackend::conv2d(v, weight, bias, options)
}

/// `w ∗ v`.
pub fn sums(v: CubeTensor, weight: CubeTensor) -> CubeTensor {
    if has_no_position(&v) {
        return none(&v, &weight);
    }
    if !has_one_tap(&weight) {
        return with_bias(v, weight, None);
    }
    let transposed = CubeBackend::float_swap_dims(matrix(weight), 0, 1);
    images(CubeBackend::float_matmul(rows(v.clone()), transposed), &v)
}

/// The gradient of the weights, in any order in memory.
pub fn of_weight(v: CubeTensor, weight: CubeTensor, of_sums: CubeTensor) -> CubeTensor {
    if has_no_position(&v) {
        return zeros_client(v.client, v.device, weight.meta.shape().clone(), v.dtype);
    }
    if !has_one_tap(&weight) {
        let options = options(&weight);
        return CubeBackend::conv2d_weight_backward(v, weight, of_sums, options);
    }
    let transposed = CubeBackend::float_swap_dims(rows(of_sums), 0, 1);
    let gradient = CubeBackend::float_matmul(transposed, rows(v));
    CubeBackend::float_reshape(gradient, weight.meta.shape().clone())
}

/// The gradient of `v`, of which only the shape is read.
pub fn of_input(v: CubeTensor, weight: CubeTensor, of_sums: CubeTensor) -> CubeTensor {
    if has_no_position(&v) {
        return empty_images(&v, v.meta.shape().dims());
    }
    if !has_one_tap(&weight) {
        let options = options(&weight);
        return CubeBackend::conv2d_x_backward(v, weight, of_sums, options);
    }
    images(CubeBackend::float_matmul(rows(of_sums), matrix(weight)), &v)
}
