//! burn's own operations, which no layer of this crate can be faster than: what a comparison of
//! whole models rests on.
//!
//! PyTorch is given the gradient of the convolution's output; here it comes from a product with the
//! same numbers, which is one pass more.

use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Distribution, Tensor};

use super::gap::{values, within};
use crate::bench::{Item, Work};

const BATCH: usize = 32;
const CHANNELS: usize = 96;
const SIDE: usize = 16;
const N: usize = 1024;

fn normal<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

fn image(device: &Device) -> Tensor<4> {
    normal([BATCH, CHANNELS, SIDE, SIDE], device)
}

fn weights(device: &Device) -> Tensor<4> {
    normal([CHANNELS, CHANNELS, 3, 3], device)
}

fn convolve(x: Tensor<4>, w: Tensor<4>) -> Tensor<4> {
    conv2d(x, w, None, ConvOptions::new([1, 1], [1, 1], [1, 1], 1))
}

/// One output of `x * w` by the definition.
fn output(x: &[f64], w: &[f64], [example, channel, row, column]: [usize; 4]) -> f64 {
    let mut sum = 0.0;
    for input in 0..CHANNELS {
        for (di, dj) in (0..3).flat_map(|di| (0..3).map(move |dj| (di, dj))) {
            let (i, j) = ((row + di).wrapping_sub(1), (column + dj).wrapping_sub(1));
            if i < SIDE && j < SIDE {
                let weight = w[((channel * CHANNELS + input) * 3 + di) * 3 + dj];
                sum += weight * x[((example * CHANNELS + input) * SIDE + i) * SIDE + j];
            }
        }
    }
    sum
}

/// Some outputs by the definition, and gradients by what a bilinear map owes:
/// `⟨g, x∗w⟩ = ⟨∂x, x⟩ = ⟨∂w, w⟩`.
fn check_convolution(device: &Device) -> f64 {
    let device = device.clone().autodiff();
    let (x, w, g) =
        (image(&device).require_grad(), weights(&device).require_grad(), image(&device));
    let y = convolve(x.clone(), w.clone());
    let [xs, ws, ys, gs] = [x.clone(), w.clone(), y.clone(), g.clone()].map(values);
    let mut gap = 0.0f64;
    for index in (0..ys.len()).step_by(997) {
        let (row, column) = (index / SIDE % SIDE, index % SIDE);
        let place =
            [index / (CHANNELS * SIDE * SIDE), index / (SIDE * SIDE) % CHANNELS, row, column];
        gap = gap.max(within(1e-4, "convolution", &[ys[index]], &[output(&xs, &ws, place)]));
    }
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    // A sum of millions of products of either sign: its rounding is that of its length, not of its
    // value.
    let length = (dot(&ys, &ys) * dot(&gs, &gs)).sqrt();
    let gradients = (y * g).sum().backward();
    let expected = dot(&ys, &gs) / length;
    for (leaf, own) in [(&x, &xs), (&w, &ws)] {
        let gradient = values(leaf.grad(&gradients).expect("a leaf"));
        gap = gap.max(within(1e-5, "gradient", &[dot(&gradient, own) / length], &[expected]));
    }
    gap
}

fn check_product(device: &Device) -> f64 {
    let (a, b) = (normal([N, N], device), normal([N, N], device));
    let [left, right, product] = [a.clone(), b.clone(), a.matmul(b)].map(values);
    let mut gap = 0.0f64;
    for index in (0..N * N).step_by(9973) {
        let expected: f64 =
            (0..N).map(|k| left[index / N * N + k] * right[k * N + index % N]).sum();
        gap = gap.max(within(1e-4, "product", &[product[index]], &[expected]));
    }
    gap
}

pub fn items() -> Vec<Item> {
    let flops = 2.0 * (BATCH * SIDE * SIDE * CHANNELS * CHANNELS * 9) as f64;
    let forward = move |device: &Device| {
        let (x, w) = (image(device), weights(device));
        Work::new(move || drop(convolve(x.clone(), w.clone()))).note("gflop", flops / 1e9)
    };
    let both = move |device: &Device| {
        let device = device.clone().autodiff();
        let (x, w, g) =
            (image(&device).require_grad(), weights(&device).require_grad(), image(&device));
        Work::new(move || {
            let gradients = (convolve(x.clone(), w.clone()) * g.clone()).sum().backward();
            drop((x.grad(&gradients), w.grad(&gradients)));
        })
        .note("gflop", 3.0 * flops / 1e9)
    };
    let product = |device: &Device| {
        let (a, b) = (normal([N, N], device), normal([N, N], device));
        Work::new(move || drop(a.clone().matmul(b.clone())))
            .note("gflop", 2.0 * (N as f64).powi(3) / 1e9)
    };
    vec![
        Item::new("g.conv2d.fwd", check_convolution, forward),
        Item::new("g.conv2d.fwdbwd", check_convolution, both),
        Item::new("g.matmul1024", check_product, product),
    ]
}
