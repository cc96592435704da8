//! The kernels of networks.

use std::ops::Range;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};

use super::affine_coupling::AffineForm;
use super::conv2d::{ConvStages, PreActivation};
use super::epilogue::Epilogue;

/// Operations of networks and of the affine law that have kernels on the CPU.
///
/// On GPUs the functions of these folders use the plain operations, which burn's own kernels
/// compute and its fusion joins. Float32 and float64.
///
/// # Panics
/// Every method, before it computes anything, if shapes or types of its tensors are not the
/// documented ones. The message names the operand, what was expected, and all operands found.
#[backend_extension(Flex: cfg(feature = "flex"), Autodiff)]
pub trait NetworkOps: Backend {
    /// [`conv2d`](super::conv2d): `x [B, C, H, W]`, `weight [O, C, kh, kw]` or with a border
    /// channel `[O, C + 1, kh, kw]`, `bias [O]` to `[B, O, H, W]`.
    fn same_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stages: ConvStages,
    ) -> FloatTensor<Self>;

    /// Gradients of `x`, `weight` and `bias`; that of `x` is computed only if `of_x`, and is empty
    /// otherwise. `y` is the result if the epilogue is a ReLU, and any tensor of the same type
    /// otherwise.
    fn same_conv2d_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        y: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        stages: ConvStages,
        of_x: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// [`linear`](super::linear): `x [N, in]`, `weight [in, out]`, `bias [out]` to `[N, out]`.
    fn dense(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epilogue: Epilogue,
    ) -> FloatTensor<Self>;

    /// Gradients of `x`, `weight` and `bias` from that of `y` and from `y`; that of `x` is computed
    /// only if `of_x`, and is empty otherwise.
    fn dense_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        y: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        epilogue: Epilogue,
        of_x: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// [`channel_affine`](super::channel_affine): `x [N, C, P]`, `shift [C]`, `scale [C]` to
    /// `z [N, C, P]`.
    fn channel_affine(
        x: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        scale: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// Gradients of `x`, `shift` and `scale`; that of `x` is computed only if `of_x`, and is empty
    /// otherwise.
    fn channel_affine_backward(
        x: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        of_x: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// [`affine_coupling`](super::affine_coupling) on the channels in `range`: `x [B, C, P]`,
    /// `theta [B, 2, dims]` to `z [B, C, P]`. Not for the additive form, here and below.
    fn affine_coupling(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        form: AffineForm,
        range: Range<usize>,
    ) -> FloatTensor<Self>;

    /// Gradients of `x` and `theta` from that of `z`.
    fn affine_coupling_backward(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        form: AffineForm,
        range: Range<usize>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// `z [B, C, P]` to `x`.
    fn affine_coupling_inverse(
        z: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        form: AffineForm,
        range: Range<usize>,
    ) -> FloatTensor<Self>;

    /// Log-determinant `[B]` of `theta [B, 2, dims]`.
    fn affine_log_det(theta: FloatTensor<Self>, form: AffineForm) -> FloatTensor<Self>;

    /// Gradient of `theta`.
    fn affine_log_det_backward(
        theta: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        form: AffineForm,
    ) -> FloatTensor<Self>;

    /// [`concat_elu`](super::concat_elu): `[B, C, H, W]` to `[B, 2C, H, W]`.
    fn concat_elu(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Gradient of `x`.
    fn concat_elu_backward(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self>;

    /// [`gated_residual`](super::gated_residual): `x [B, F, H, W]`, `h [B, 2F, H, W]` to the shape
    /// of `x`.
    fn gated_residual(x: FloatTensor<Self>, h: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Gradient of `h`; that of `x` is the gradient itself.
    fn gated_residual_backward(
        h: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// [`channel_norm`](super::channel_norm): `x [B, C, H, W]`, gain and shift of `C` elements to
    /// the shape of `x`.
    fn channel_norm(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self>;

    /// Gradients of `x`, gain and shift.
    fn channel_norm_backward(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// [`gated_norm`](super::gated_norm): `x [B, F, H, W]`, `c [B, G, H, W]`, weights and bias of a
    /// convolution to `2F` channels, gain and shift of `F` elements to the shape of `x`.
    #[allow(clippy::too_many_arguments)]
    fn gated_norm(
        x: FloatTensor<Self>,
        c: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        before: PreActivation,
        epsilon: f64,
    ) -> FloatTensor<Self>;

    /// Gradients of `x`, `c`, weights, bias, gain and shift.
    #[allow(clippy::too_many_arguments, clippy::type_complexity)]
    fn gated_norm_backward(
        x: FloatTensor<Self>,
        c: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        before: PreActivation,
        epsilon: f64,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    );

    /// [`attention`](super::attention): `projected [B, 3F, P]` to the mixed values `[B, F, P]` and
    /// the log-sums of the scores `[B, heads, P]`.
    fn self_attention(
        projected: FloatTensor<Self>,
        heads: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Gradient of `projected`, from the results of the forward pass.
    fn self_attention_backward(
        projected: FloatTensor<Self>,
        output: FloatTensor<Self>,
        log_sums: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        heads: usize,
    ) -> FloatTensor<Self>;
}
