//! Activations, gates and norms.

use burn::backend::Dispatch;
use burn::tensor::Tensor;
use flowkit::kernel::channel_norm::{ChannelNormGradient, ChannelNormOps};
use flowkit::kernel::concat_elu::{ConcatEluGradient, ConcatEluOps};
use flowkit::kernel::conv2d::PreActivation;
use flowkit::kernel::gated_norm::Norm;
use flowkit::kernel::gated_norm::{GatedNormGradient, GatedNormOps};
use flowkit::kernel::gated_residual::{GatedResidualGradient, GatedResidualOps};
use flowkit::kernel::{channel_norm, concat_elu, gated_norm, gated_residual};

use crate::{Call, Door, Named, door, numbers};

pub fn doors() -> Vec<Door> {
    let x: Named = ("x", &[2, 3, 2, 5]);
    let twice = |name| -> Named { (name, &[2, 6, 2, 5]) };
    let same = |name| -> Named { (name, &[2, 3, 2, 5]) };
    let channel = |name| -> Named { (name, &[1, 3, 1, 1]) };
    let (weight, bias): (Named, Named) = (("weight", &[6, 8, 1, 1]), ("bias", &[6]));
    let c_maps: Named = ("c", &[2, 4, 2, 5]);
    let any = [(0, 0), (0, 1), (0, 2), (0, 3)];
    let normed = [x, channel("gain"), channel("shift")];
    let gated = [x, c_maps, weight, bias, channel("gain"), channel("shift")];
    let before = PreActivation::ConcatElu;
    let norm = |c: &Call<'_>| Norm { gain: c.get(4), shift: c.get(5), epsilon: 1e-5 };
    vec![
        door("concat_elu", &[x], &any, |c| numbers(concat_elu::forward(c.get(0)))),
        door("ConcatEluOps::concat_elu", &[x], &any, |c| {
            let (x,) = raw!(c, 4);
            all!(4 <Dispatch as ConcatEluOps>::concat_elu(x))
        }),
        door("ConcatEluGradient::concat_elu_backward", &[x, twice("gradient")], &[], |c| {
            let (x, gradient) = raw!(c, 4, 4);
            all!(4 <Dispatch as ConcatEluGradient>::concat_elu_backward(x, gradient))
        }),
        door("gated_residual", &[x, twice("h")], &[], |c| {
            numbers(gated_residual::forward(c.get(0), c.get(1)))
        }),
        door("gated_residual::plain::forward", &[x, twice("h")], &[], |c| {
            numbers(gated_residual::plain::forward(c.get(0), c.get(1)))
        }),
        door("GatedResidualOps::gated_residual", &[x, twice("h")], &[], |c| {
            let (x, h) = raw!(c, 4, 4);
            all!(4 <Dispatch as GatedResidualOps>::gated_residual(x, h))
        }),
        door(
            "GatedResidualGradient::gated_residual_backward",
            &[twice("h"), same("gradient")],
            &[],
            |c| {
                let (h, gradient) = raw!(c, 4, 4);
                all!(4 <Dispatch as GatedResidualGradient>::gated_residual_backward(h, gradient))
            },
        ),
        door("channel_norm", &normed, &[(0, 0), (0, 2), (0, 3)], |c| {
            numbers(channel_norm::forward(c.get(0), c.get(1), c.get(2), 1e-5))
        }),
        door("channel_norm::plain::forward", &normed, &[(0, 0), (0, 2), (0, 3)], |c| {
            numbers(channel_norm::plain::forward(c.get(0), c.get(1), c.get(2), 1e-5))
        }),
        door("ChannelNormOps::channel_norm", &normed, &[(0, 0), (0, 2), (0, 3)], |c| {
            let (x, gain, shift) = raw!(c, 4, 4, 4);
            all!(4 <Dispatch as ChannelNormOps>::channel_norm(x, gain, shift, 1e-5))
        }),
        door(
            "ChannelNormGradient::channel_norm_backward",
            &[x, channel("gain"), same("gradient")],
            &[],
            |c| {
                let (x, gain, gradient) = raw!(c, 4, 4, 4);
                let (x, gain, shift) = <Dispatch as ChannelNormGradient>::channel_norm_backward(
                    x, gain, gradient, 1e-5,
                );
                all!(4 x, 4 gain, 4 shift)
            },
        ),
        door("gated_norm", &gated, &[], move |c| {
            numbers(gated_norm::forward(
                c.get(0),
                c.get(1),
                (c.get(2), Some(c.get(3))),
                norm(c),
                before,
            ))
        }),
        door("gated_norm::plain::forward", &gated, &[], move |c| {
            numbers(gated_norm::plain::forward(
                c.get(0),
                c.get(1),
                (c.get(2), Some(c.get(3))),
                norm(c),
                before,
            ))
        }),
        door("GatedNormOps::gated_norm", &gated, &[], move |c| {
            let (x, maps, weight, bias, gain, shift) = raw!(c, 4, 4, 4, 1, 4, 4);
            all!(4 <Dispatch as GatedNormOps>::gated_norm(
                x, maps, weight, bias, gain, shift, before, 1e-5
            ))
        }),
        door(
            "GatedNormGradient::gated_norm_backward",
            &[x, c_maps, weight, bias, channel("gain"), same("gradient")],
            &[],
            move |c| {
                let (x, maps, weight, bias, gain, gradient) = raw!(c, 4, 4, 4, 1, 4, 4);
                let (x, maps, weight, bias, gain, shift) =
                    <Dispatch as GatedNormGradient>::gated_norm_backward(
                        x, maps, weight, bias, gain, gradient, before, 1e-5,
                    );
                all!(4 x, 4 maps, 4 weight, 1 bias, 4 gain, 4 shift)
            },
        ),
    ]
}
