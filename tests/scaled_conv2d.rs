//! Convolutions with scaled outputs, on every device.

use burn::tensor::Tensor;
use flowkit::kernel::conv2d::{self, Border, ConvStages, PreActivation};
use flowkit::kernel::epilogue::Epilogue;
use flowkit::kernel::scaled_conv2d;

#[path = "common/kernel_case.rs"]
mod kernel_case;

use kernel_case::{Case, check, flat};

/// Scales as in Glow's networks.
const FACTOR: f64 = 3.0;

const STAGES: [ConvStages; 4] = [
    ConvStages::PLAIN,
    ConvStages { epilogue: Epilogue::Relu, ..ConvStages::PLAIN },
    ConvStages { border: Border::Channel, ..ConvStages::PLAIN },
    ConvStages {
        before: PreActivation::ConcatElu,
        border: Border::Channel,
        epilogue: Epilogue::Relu,
    },
];

/// The definition: the outputs of a convolution without an epilogue are scaled, and then pass
/// through it.
fn defined(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    log_scale: Tensor<1>,
    stages: ConvStages,
) -> Tensor<4> {
    let outputs = bias.dims()[0];
    let sums = ConvStages { epilogue: Epilogue::Nothing, ..stages };
    let scale = (log_scale * FACTOR).exp().reshape([1, outputs, 1, 1]);
    let y = conv2d::oracle::forward(x, weight, Some(bias), sums) * scale;
    if stages.epilogue == Epilogue::Relu { burn::tensor::activation::relu(y) } else { y }
}

/// Images of one pixel, smaller than a kernel, and with more positions than a cube has units.
#[test]
fn scaled_convolutions_are_their_definition() {
    let mut cases = Vec::new();
    for [b, h, w] in [[1, 1, 1], [2, 2, 1], [3, 5, 4], [2, 17, 13]] {
        for (inputs, outputs, [kh, kw]) in [
            (1, 1, [3, 3]),
            (2, 5, [1, 1]),
            (4, 3, [3, 3]),
            (2, 7, [5, 5]),
            (2, 3, [3, 1]),
            (3, 2, [1, 5]),
        ] {
            for stages in STAGES {
                let border = usize::from(stages.border == Border::Channel);
                let twice = stages.before == PreActivation::ConcatElu;
                let seen = if twice { 2 * inputs } else { inputs };
                let x = [b, inputs, h, w];
                let weight = [outputs, seen + border, kh, kw];
                let read = move |p: &[Tensor<1>]| {
                    (p[0].clone().reshape(x), p[1].clone().reshape(weight), p[2].clone())
                };
                // Normal numbers times the factor would be scales of e^9.
                let log_scale = |p: &[Tensor<1>]| p[3].clone().mul_scalar(0.2);
                cases.push(Case::new(
                    format!("{inputs} to {outputs}, {kh}x{kw}, {stages:?}, [{b}, {h}, {w}]"),
                    vec![x.to_vec(), weight.to_vec(), vec![outputs], vec![outputs]],
                    move |p| {
                        let (x, weight, bias) = read(p);
                        let scales = (log_scale(p), FACTOR);
                        flat(scaled_conv2d::forward(x, weight, bias, scales, stages))
                    },
                    move |p| {
                        let (x, weight, bias) = read(p);
                        flat(defined(x, weight, bias, log_scale(p), stages))
                    },
                ));
            }
        }
    }
    check(cases);
}

/// A scale that underflows makes zeros, and gradients of zero: nothing divides by it.
#[test]
fn scales_that_vanish_leave_no_nan() {
    let device = burn::tensor::Device::default().autodiff();
    let tensor = |values: [f32; 2]| Tensor::<1>::from_data(values, &device);
    let weight = tensor([2.0, -3.0]).reshape([2, 1, 1, 1]).require_grad();
    let log_scale = tensor([-50.0, 0.0]).require_grad();
    let x = tensor([0.5, 1.5]).reshape([2, 1, 1, 1]);
    let y = scaled_conv2d::forward(
        x,
        weight.clone(),
        tensor([1.0, 1.0]),
        (log_scale.clone(), FACTOR),
        ConvStages::PLAIN,
    );
    let gradients = y.clone().sum().backward();
    let numbers = |tensor: Tensor<1>| tensor.into_data().iter::<f64>().collect::<Vec<_>>();
    assert_eq!(numbers(flat(y).inner()), [0.0, -0.5, 0.0, -3.5]);
    assert_eq!(numbers(log_scale.grad(&gradients).unwrap()), [0.0, -12.0]);
    assert_eq!(numbers(flat(weight.grad(&gradients).unwrap())), [0.0, 2.0]);
}

/// A ReLU must not hide what went wrong before it, or no guard would find it.
#[test]
fn nan_stays_nan() {
    let device = burn::tensor::Device::default().autodiff();
    let relu = |border| ConvStages { border, epilogue: Epilogue::Relu, ..ConvStages::PLAIN };
    for border in [Border::Zeros, Border::Channel] {
        for scaled in [false, true] {
            let inputs = 1 + usize::from(border == Border::Channel);
            let x = Tensor::<1>::from_data([1.0f32, f32::NAN, 2.0, 3.0, -1.0], &device);
            let weight = Tensor::<4>::ones([2, inputs, 3, 3], &device).require_grad();
            let bias = Tensor::<1>::zeros([2], &device).require_grad();
            let x = x.reshape([1, 1, 1, 5]);
            let y = if scaled {
                let scales = (Tensor::<1>::zeros([2], &device), FACTOR);
                scaled_conv2d::forward(x, weight.clone(), bias.clone(), scales, relu(border))
            } else {
                conv2d::forward(x, weight.clone(), Some(bias.clone()), relu(border))
            };
            let gradients = (y.clone() * y.clone()).sum().backward();
            let lost = |tensor: Tensor<1>| {
                let data = tensor.into_data();
                data.iter::<f64>().map(f64::is_nan).collect::<Vec<_>>()
            };
            let seen = [true, true, true, false, false];
            assert_eq!(lost(flat(y.inner())), seen.repeat(2), "{border:?}, scaled: {scaled}");
            let of_bias = lost(bias.grad(&gradients).expect("the gradient of the bias"));
            assert_eq!(of_bias, [true, true], "{border:?}, scaled: {scaled}");
            let of_weight = lost(flat(weight.grad(&gradients).expect("that of the weights")));
            assert!(of_weight.contains(&true), "{border:?}, scaled: {scaled}");
        }
    }
}
