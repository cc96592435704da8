//! The mixture law on a range of channels, on every device.

use burn::tensor::Tensor;
use flowkit::kernel::{mixture_coupling, mixture_logistic};

#[path = "common/kernel_case.rs"]
mod kernel_case;

use kernel_case::{Case, check, flat};

const MIN_LOG_SCALE: f64 = -7.0;

/// The definition: one channel after the other, joined by hand.
fn defined(
    x: Tensor<3>,
    theta: Tensor<3>,
    range: std::ops::Range<usize>,
) -> (Tensor<3>, Tensor<1>) {
    let [batch, channels, positions] = x.dims();
    let mut log_det = Tensor::<1>::zeros([batch], (&x.device(), x.dtype()));
    let parts = (0..channels).map(|channel| {
        let own = x.clone().narrow(1, channel, 1);
        if !range.contains(&channel) {
            return own;
        }
        let theta = theta.clone().narrow(2, (channel - range.start) * positions, positions);
        let own = own.reshape([batch, positions]);
        let (z, log) = mixture_logistic::plain::forward(own, theta, MIN_LOG_SCALE);
        log_det = log_det.clone() + log.sum_dim(1).reshape([batch]);
        z.reshape([batch, 1, positions])
    });
    let z = Tensor::cat(parts.collect(), 1);
    (z, log_det)
}

/// One element, fewer and more than a cube has units; either half, the middle and all channels.
#[test]
fn couplings_are_their_definition() {
    let mut cases = Vec::new();
    for [batch, channels, positions] in [[1, 2, 1], [3, 3, 5], [2, 4, 129]] {
        for components in [1, 4] {
            for range in [0..1, 1..channels, 0..channels, 1..2] {
                let shape = [batch, channels, positions];
                let params = [batch, 2 + 3 * components, range.len() * positions];
                let row =
                    |(z, log_det): (Tensor<3>, Tensor<1>)| Tensor::cat(vec![flat(z), log_det], 0);
                let again = range.clone();
                cases.push(Case::new(
                    format!("{components} components on {range:?} of {shape:?}"),
                    vec![shape.to_vec(), params.to_vec()],
                    move |p| {
                        let (x, theta) = (p[0].clone().reshape(shape), p[1].clone());
                        let theta = theta.reshape(params);
                        row(mixture_coupling::forward(x, theta, range.clone(), MIN_LOG_SCALE))
                    },
                    move |p| {
                        let (x, theta) = (p[0].clone().reshape(shape), p[1].clone());
                        row(defined(x, theta.reshape(params), again.clone()))
                    },
                ));
            }
        }
    }
    check(cases);
}

/// The gradients of one output alone: the other's are then zero, not what the memory holds.
#[test]
fn each_output_has_its_own_gradient() {
    let device = burn::tensor::Device::default().autodiff();
    let numbers = |n: usize, phase: f32| {
        let values: Vec<f32> = (0..n).map(|i| (i as f32 * 1.3 + phase).sin()).collect();
        Tensor::<1>::from_data(values.as_slice(), &device)
    };
    for first in [true, false] {
        let found = [true, false].map(|kernel| {
            let x = numbers(2 * 3 * 4, 0.1).reshape([2, 3, 4]).require_grad();
            let theta = numbers(2 * 8 * 8, 0.7).reshape([2, 8, 8]).require_grad();
            let (z, log_det) = match kernel {
                true => mixture_coupling::forward(x.clone(), theta.clone(), 1..3, MIN_LOG_SCALE),
                false => defined(x.clone(), theta.clone(), 1..3),
            };
            let loss = if first { z.sum() } else { log_det.sum() };
            let gradients = loss.backward();
            let of_x = x.grad(&gradients).map(flat);
            let of_theta = flat(theta.grad(&gradients).expect("the gradient of theta"));
            (of_x.expect("the gradient of x"), of_theta)
        });
        let [(x, theta), (exact_x, exact_theta)] = found;
        for error in [x - exact_x, theta - exact_theta] {
            assert!(error.abs().max().into_scalar::<f32>() < 2e-5, "first output: {first}");
        }
    }
}
