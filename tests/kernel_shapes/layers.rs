//! Convolutions, dense layers, channel scales and attention.

use burn::backend::Dispatch;
use burn::tensor::{Device, Int, Tensor};
use flowkit::kernel::attention::{AttentionGradient, AttentionOps};
use flowkit::kernel::channel_affine::{ChannelAffineGradient, ChannelAffineOps};
use flowkit::kernel::conv2d::{Border, ConvStages, PreActivation};
use flowkit::kernel::conv2d::{Conv2dGradient, Conv2dOps};
use flowkit::kernel::epilogue::Epilogue;
use flowkit::kernel::linear::{LinearGradient, LinearOps};
use flowkit::kernel::{
    attention, channel_affine, conv2d, exact_product, linear, matrix_inverse, plu,
    projected_attention, scaled_conv2d,
};

use crate::{Door, Named, door, numbers};

/// Images, embedding, weights and bias of a projection.
const PROJECTION: [Named; 4] = [
    ("x", &[2, 4, 2, 3]),
    ("positions", &[1, 4, 2, 3]),
    ("weight", &[12, 4, 1, 1]),
    ("bias", &[12]),
];

pub fn convolutions() -> Vec<Door> {
    let stages = ConvStages {
        border: Border::Channel,
        epilogue: Epilogue::Relu,
        before: PreActivation::ConcatElu,
    };
    let x: Named = ("x", &[2, 2, 4, 5]);
    let weight: Named = ("weight", &[3, 5, 3, 3]);
    let bias: Named = ("bias", &[3]);
    let log_scale: Named = ("log_scale", &[3]);
    let y = |name| -> Named { (name, &[2, 3, 4, 5]) };
    let any = [(0, 0), (0, 2), (0, 3)];
    vec![
        door("conv2d", &[x, weight, bias], &any, move |c| {
            numbers(conv2d::forward(c.get(0), c.get(1), Some(c.get(2)), stages))
        }),
        door("conv2d::plain::forward", &[x, weight, bias], &any, move |c| {
            numbers(conv2d::plain::forward(c.get(0), c.get(1), Some(c.get(2)), stages))
        }),
        door("conv2d without bias", &[x, weight], &[(0, 0), (0, 2), (0, 3), (1, 0)], move |c| {
            numbers(conv2d::forward(c.get(0), c.get(1), None, stages))
        }),
        door("conv2d::border_channel", &[weight, bias], &[(0, 1)], |c| {
            numbers(conv2d::border_channel(c.get(0), [4, 5], Some(c.get(1))))
        }),
        door("scaled_conv2d", &[x, weight, bias, log_scale], &any, move |c| {
            let (x, weight, bias) = (c.get(0), c.get(1), c.get(2));
            numbers(scaled_conv2d::forward(x, weight, bias, (c.get(3), 3.0), stages))
        }),
        door("scaled_conv2d::plain", &[x, weight, bias, log_scale], &any, move |c| {
            let (x, weight, bias) = (c.get(0), c.get(1), c.get(2));
            numbers(scaled_conv2d::plain::forward(x, weight, bias, (c.get(3), 3.0), stages))
        }),
        door(
            "scaled_conv2d::plain::scaled",
            &[weight, bias, log_scale],
            &[(0, 1), (0, 2), (0, 3)],
            |c| {
                let scales = (c.get(2), 3.0);
                let (weight, bias) = scaled_conv2d::plain::scaled(c.get(0), c.get(1), scales);
                [numbers(weight), numbers(bias)].concat()
            },
        ),
        door("Conv2dOps::same_conv2d", &[x, weight, bias], &any, move |c| {
            let (x, weight, bias) = raw!(c, 4, 4, 1);
            all!(4 <Dispatch as Conv2dOps>::same_conv2d(x, weight, bias, stages))
        }),
        door(
            "Conv2dGradient::same_conv2d_backward",
            &[x, weight, y("y"), y("gradient")],
            &[],
            move |c| {
                let (x, weight, y, gradient) = raw!(c, 4, 4, 4, 4);
                let (x, weight, bias) = <Dispatch as Conv2dGradient>::same_conv2d_backward(
                    x, weight, y, gradient, stages,
                );
                all!(4 x, 4 weight, 1 bias)
            },
        ),
        door(
            "Conv2dGradient::same_conv2d_backward_of_parameters",
            &[x, weight, y("y"), y("gradient")],
            &[],
            move |c| {
                let (x, weight, y, gradient) = raw!(c, 4, 4, 4, 4);
                let (weight, bias) =
                    <Dispatch as Conv2dGradient>::same_conv2d_backward_of_parameters(
                        x, weight, y, gradient, stages,
                    );
                all!(4 weight, 1 bias)
            },
        ),
    ]
}

pub fn doors() -> Vec<Door> {
    let (rows, weight, bias): (Named, Named, Named) =
        (("x", &[3, 4]), ("weight", &[4, 5]), ("bias", &[5]));
    let y = |name| -> Named { (name, &[3, 5]) };
    let x: Named = ("x", &[2, 3, 4]);
    let channel = |name| -> Named { (name, &[3]) };
    let projected: Named = ("projected", &[2, 12, 5]);
    let (matrices, columns): (Named, Named) =
        (("matrices", &[2, 4, 3]), ("columns", &[2, 2, 3, 5]));
    let square: Named = ("matrices", &[2, 3, 3]);
    let factors: [Named; 3] = [("lower", &[3, 3]), ("upper", &[3, 3]), ("diagonal", &[3])];
    let (left, right): (Named, Named) = (("left", &[4, 3]), ("right", &[3, 5]));
    let mixed = |name| -> Named { (name, &[2, 4, 5]) };
    vec![
        door("linear", &[rows, weight, bias], &[(0, 0)], |c| {
            numbers(linear::forward(c.get(0), c.get(1), c.get(2), Epilogue::Relu))
        }),
        door("linear::plain::forward", &[rows, weight, bias], &[(0, 0)], |c| {
            numbers(linear::plain::forward(c.get(0), c.get(1), c.get(2), Epilogue::Relu))
        }),
        door("LinearOps::dense", &[rows, weight, bias], &[(0, 0)], |c| {
            let (x, weight, bias) = raw!(c, 2, 2, 1);
            all!(2 <Dispatch as LinearOps>::dense(x, weight, bias, Epilogue::Nothing))
        }),
        door("LinearGradient::dense_backward", &[rows, weight, y("y"), y("gradient")], &[], |c| {
            let (x, weight, y, gradient) = raw!(c, 2, 2, 2, 2);
            let (x, weight, bias) = <Dispatch as LinearGradient>::dense_backward(
                x,
                weight,
                y,
                gradient,
                Epilogue::Nothing,
            );
            all!(2 x, 2 weight, 1 bias)
        }),
        door("channel_affine", &[x, channel("shift"), channel("scale")], &[(0, 0), (0, 2)], |c| {
            numbers(channel_affine::forward(c.get(0), c.get(1), c.get(2)))
        }),
        door(
            "channel_affine::plain::forward",
            &[x, channel("shift"), channel("scale")],
            &[(0, 0), (0, 2)],
            |c| numbers(channel_affine::plain::forward(c.get(0), c.get(1), c.get(2))),
        ),
        door(
            "ChannelAffineOps::channel_affine",
            &[x, channel("shift"), channel("scale")],
            &[(0, 0), (0, 2)],
            |c| {
                let (x, shift, scale) = raw!(c, 3, 1, 1);
                all!(3 <Dispatch as ChannelAffineOps>::channel_affine(x, shift, scale))
            },
        ),
        door(
            "ChannelAffineGradient::channel_affine_backward",
            &[x, channel("shift"), channel("scale"), ("gradient", &[2, 3, 4])],
            &[],
            |c| {
                let (x, shift, scale, gradient) = raw!(c, 3, 1, 1, 3);
                let (x, shift, scale) =
                    <Dispatch as ChannelAffineGradient>::channel_affine_backward(
                        x, shift, scale, gradient,
                    );
                all!(3 x, 1 shift, 1 scale)
            },
        ),
        door(
            "ChannelAffineGradient::channel_affine_backward_of_parameters",
            &[x, channel("shift"), channel("scale"), ("gradient", &[2, 3, 4])],
            &[],
            |c| {
                let (x, shift, scale, gradient) = raw!(c, 3, 1, 1, 3);
                let (shift, scale) =
                    <Dispatch as ChannelAffineGradient>::channel_affine_backward_of_parameters(
                        x, shift, scale, gradient,
                    );
                all!(1 shift, 1 scale)
            },
        ),
        door(
            "LinearGradient::dense_backward_of_parameters",
            &[rows, weight, y("y"), y("gradient")],
            &[],
            |c| {
                let (x, weight, y, gradient) = raw!(c, 2, 2, 2, 2);
                let (weight, bias) = <Dispatch as LinearGradient>::dense_backward_of_parameters(
                    x,
                    weight,
                    y,
                    gradient,
                    Epilogue::Nothing,
                );
                all!(2 weight, 1 bias)
            },
        ),
        door("exact_product", &[matrices, columns], &[(0, 1), (1, 0), (1, 3)], |c| {
            numbers(exact_product::forward(c.get(0), c.get(1)))
        }),
        door(
            "exact_product::plain::forward",
            &[matrices, columns],
            &[(0, 1), (1, 0), (1, 3)],
            |c| numbers(exact_product::plain::forward(c.get(0), c.get(1))),
        ),
        door("matrix_inverse::factor", &[square], &[(0, 0)], |c| {
            numbers(matrix_inverse::factor(c.get(0)).inverse())
        }),
        door("matrix_inverse::plain::factor", &[square], &[(0, 0)], |c| {
            numbers(matrix_inverse::plain::factor(c.get(0)).inverse())
        }),
        door("channel_affine::scaled", &[x, channel("scale")], &[(0, 0), (0, 2)], |c| {
            numbers(channel_affine::scaled(c.get(0), c.get(1)))
        }),
        door("plu::matrix", &factors, &[], |c| {
            let order = Tensor::<1, Int>::from_data([2, 0, 1], &Device::flex());
            numbers(plu::matrix(c.get(0), c.get(1), c.get(2), order))
        }),
        door("plu::plain::matrix", &factors, &[], |c| {
            let order = Tensor::<1, Int>::from_data([2, 0, 1], &Device::flex());
            numbers(plu::plain::matrix(c.get(0), c.get(1), c.get(2), order))
        }),
        door("plu::inverses", &factors, &[], |c| {
            let (lower, upper) = plu::inverses(c.get(0), c.get(1), c.get(2));
            [numbers(lower), numbers(upper)].concat()
        }),
        door("plu::plain::inverses", &factors, &[], |c| {
            let (lower, upper) = plu::plain::inverses(c.get(0), c.get(1), c.get(2));
            [numbers(lower), numbers(upper)].concat()
        }),
        door("exact_product::of_matrices", &[left, right], &[(0, 0), (1, 1)], |c| {
            numbers(exact_product::of_matrices(c.get(0), c.get(1)))
        }),
        door("attention", &[("projected", &[2, 12, 2, 3])], &[(0, 0), (0, 2), (0, 3)], |c| {
            numbers(attention::forward(c.get(0), 2))
        }),
        door(
            "attention::plain::forward",
            &[("projected", &[2, 12, 2, 3])],
            &[(0, 0), (0, 2), (0, 3)],
            |c| numbers(attention::plain::forward(c.get(0), 2)),
        ),
        door("projected_attention", &PROJECTION, &[(0, 0)], |c| {
            let projection = (c.get(2), Some(c.get(3)));
            numbers(projected_attention::forward(c.get(0), c.get(1), projection, 2))
        }),
        door("projected_attention::plain", &PROJECTION, &[(0, 0)], |c| {
            let projection = (c.get(2), Some(c.get(3)));
            numbers(projected_attention::plain::forward(c.get(0), c.get(1), projection, 2))
        }),
        door("AttentionOps::self_attention", &[projected], &[(0, 0), (0, 2)], |c| {
            let (projected,) = raw!(c, 3);
            let (output, log_sums) = <Dispatch as AttentionOps>::self_attention(projected, 2);
            all!(3 output, 3 log_sums)
        }),
        door(
            "AttentionGradient::self_attention_backward",
            &[projected, mixed("output"), ("log_sums", &[2, 2, 5]), mixed("gradient")],
            &[],
            |c| {
                let (projected, output, log_sums, gradient) = raw!(c, 3, 3, 3, 3);
                all!(3 <Dispatch as AttentionGradient>::self_attention_backward(
                    projected, output, log_sums, gradient, 2
                ))
            },
        ),
    ]
}

#[test]
#[should_panic(expected = "queries, keys and values of 6148914691236517206 heads")]
fn heads_whose_triple_overflows() {
    attention::forward(Tensor::zeros([1, 6, 2, 2], &Device::flex()), 6148914691236517206);
}

#[test]
#[should_panic(expected = "rows with at least one element")]
fn rows_that_hold_nothing() {
    let zeros = |shape: [usize; 2]| Tensor::<2>::zeros(shape, &Device::flex());
    linear::forward(
        zeros([3, 0]),
        zeros([0, 2]),
        Tensor::zeros([2], &Device::flex()),
        Epilogue::Nothing,
    );
}
