//! The operation on tensors of burn's GPU backends: products of matrices, and the kernels of
//! [`attention`](crate::kernel::attention). Images have the channels last in memory, so that they
//! are matrices with a row for each position, and no tensor is copied to another order.

use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;

use super::check;
use super::{ProjectedAttentionGradient, ProjectedAttentionOps};
use crate::kernel::attention::cube::{Projected, backward, forward};
use crate::kernel::conv2d::cube::sums::{images, matrix, rows};
use crate::kernel::cube::{arithmetic, empty, empty_images};
use crate::kernel::operands::operands;

/// Rows of positions `[B·P, C]` as `[B, C, P]`.
fn each(rows: CubeTensor, batch: usize) -> CubeTensor {
    let [positions, channels] = rows.meta.shape().dims();
    let shape = [batch, positions / batch, channels];
    CubeBackend::float_swap_dims(CubeBackend::float_reshape(rows, shape.into()), 1, 2)
}

fn transposed(matrix: CubeTensor) -> CubeTensor {
    CubeBackend::float_swap_dims(matrix, 0, 1)
}

/// The sum of the rows, as one row.
fn summed(rows: CubeTensor) -> CubeTensor {
    CubeBackend::float_sum_dim(rows, 0)
}

impl ProjectedAttentionOps for CubeBackend {
    fn projected_attention(
        x: FloatTensor<Self>,
        positions: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        heads: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        check(operands!("projected_attention", x, positions, weight, bias), heads);
        let shape @ [batch, _, _, _] = x.meta.shape().dims();
        let y = empty_images(&x, shape);
        let weight = transposed(matrix(weight));
        let [_, outputs] = weight.meta.shape().dims();
        let bias = Self::float_reshape(bias, [1, outputs].into());
        let term = Self::float_matmul(rows(positions), weight.clone());
        let term = transposed(Self::float_add(term, bias));
        let sums = each(Self::float_matmul(rows(x), weight), batch);
        let projected = Projected { sums: sums.clone(), bias: Some(term.clone()) };
        let log_sums = forward(projected, &each(rows(y.clone()), batch), heads);
        (y, sums, term, log_sums)
    }
}

impl ProjectedAttentionGradient for CubeBackend {
    fn projected_attention_backward(
        x: FloatTensor<Self>,
        positions: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        sums: FloatTensor<Self>,
        term: FloatTensor<Self>,
        y: FloatTensor<Self>,
        log_sums: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        heads: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let precise = arithmetic(x.dtype);
        let call = operands!(
            "projected_attention_backward", x, positions, weight, sums, term, y, gradient;
            log_sums: precise
        );
        check(call, heads);
        let [batch, filters, height, width] = x.meta.shape().dims();
        let (outputs, places) = (3 * filters, height * width);
        let of_rows = empty(&x, [batch * places, outputs]);
        let [y, gradient] = [y, gradient].map(|images| each(rows(images), batch));
        let projected = Projected { sums, bias: Some(term) };
        backward(projected, y, log_sums, gradient, &each(of_rows.clone(), batch), heads);

        let of_example = Self::float_reshape(of_rows.clone(), [batch, places * outputs].into());
        let of_term = Self::float_reshape(summed(of_example), [places, outputs].into());
        let of_bias = Self::float_reshape(summed(of_term.clone()), [outputs].into());
        let shape = weight.meta.shape().clone();
        let weight = matrix(weight);
        let of_x = images(Self::float_matmul(of_rows.clone(), weight.clone()), &x);
        let of_positions = images(Self::float_matmul(of_term.clone(), weight), &positions);
        let of_weight = Self::float_add(
            Self::float_matmul(transposed(of_rows), rows(x)),
            Self::float_matmul(transposed(of_term), rows(positions)),
        );
        (of_x, of_positions, Self::float_reshape(of_weight, shape), of_bias)
    }
}
