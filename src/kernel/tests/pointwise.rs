//! Activation, gate and norm, compared with plain loops in f64; gradients, compared with
//! differences.

use super::samples::{cast, differences, elements, error, on_threads};
use crate::kernel::channel_norm::cpu::{ChannelNorm, Gradients};
use crate::kernel::concat_elu::cpu as concat_elu;
use crate::kernel::cpu::scratch::Scratch;
use crate::kernel::cpu::simd::InstructionSet;
use crate::kernel::gated_residual::cpu as gated_residual;

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn naive_concat_elu(length: usize, x: &[f64]) -> Vec<f64> {
    let elu = |v: f64| if v > 0.0 { v } else { v.exp_m1() };
    x.chunks_exact(length)
        .flat_map(|x| {
            x.iter().map(|&x| elu(x)).chain(x.iter().map(|&x| elu(-x))).collect::<Vec<_>>()
        })
        .collect()
}

fn naive_gate(length: usize, x: &[f64], h: &[f64]) -> Vec<f64> {
    let value = |(i, &x): (usize, &f64)| {
        let at = i / length * 2 * length + i % length;
        x + h[at] * sigmoid(h[at + length])
    };
    x.iter().enumerate().map(value).collect()
}

fn naive_norm([batch, c, p]: [usize; 3], v: &[f64], gain: &[f64], shift: &[f64]) -> Vec<f64> {
    let mut y = vec![0.0; v.len()];
    for b in 0..batch {
        for i in 0..p {
            let at = |k: usize| (b * c + k) * p + i;
            let mean = (0..c).map(|k| v[at(k)]).sum::<f64>() / c as f64;
            let variance = (0..c).map(|k| (v[at(k)] - mean).powi(2)).sum::<f64>() / c as f64;
            for k in 0..c {
                y[at(k)] = (v[at(k)] - mean) / (variance + 1e-5).sqrt() * gain[k] + shift[k];
            }
        }
    }
    y
}

/// Runs a case in all instruction sets.
fn everywhere(case: impl Fn(InstructionSet)) {
    InstructionSet::available().into_iter().for_each(case);
}

#[test]
fn concat_elu_meets_its_formulas() {
    for [batch, length] in [[1, 1], [3, 5], [2, 64], [3, 131]] {
        let (x, g) = (elements(batch * length, 1), elements(batch * 2 * length, 2));
        let y = naive_concat_elu(length, &x);
        // Away from 0, where the second derivative jumps, differences are accurate.
        let shifted: Vec<f64> = x.iter().map(|&x| if x == 0.0 { 0.01 } else { x }).collect();
        let gx = differences(&shifted, &g, |x| naive_concat_elu(length, x));
        fn run<T: Scratch>(
            set: InstructionSet,
            length: usize,
            x: &[f64],
            g: &[f64],
        ) -> (Vec<T>, Vec<T>) {
            let (mut y, mut gx) = (vec![T::nan(); g.len()], vec![T::nan(); x.len()]);
            concat_elu::forward(set, length, &cast::<T>(x), &mut y);
            concat_elu::backward(set, length, &cast::<T>(x), &cast::<T>(g), &mut gx);
            (y, gx)
        }
        everywhere(|set| {
            assert!(error(&run::<f64>(set, length, &x, &g).0, &y) < 1e-15);
            assert!(error(&run::<f32>(set, length, &x, &g).0, &y) < 2e-7);
            assert!(error(&run::<f64>(set, length, &shifted, &g).1, &gx) < 1e-8);
            assert!(error(&run::<f32>(set, length, &shifted, &g).1, &gx) < 1e-6);
        });
    }
}

#[test]
fn concat_elu_at_zero() {
    let mut gx = [f32::NAN];
    concat_elu::backward(InstructionSet::detect(), 1, &[0.0], &[3.0, 1.0], &mut gx);
    assert_eq!(gx, [2.0]);
}

#[test]
fn gated_residual_meets_its_formulas() {
    for [batch, length] in [[1, 1], [3, 5], [2, 64], [3, 131]] {
        let (x, h) = (elements(batch * length, 1), elements(batch * 2 * length, 2));
        let g = elements(x.len(), 3);
        let y = naive_gate(length, &x, &h);
        let gh = differences(&h, &g, |h| naive_gate(length, &x, h));
        fn run<T: Scratch>(
            set: InstructionSet,
            length: usize,
            [x, h, g]: [&[f64]; 3],
        ) -> (Vec<T>, Vec<T>) {
            let (mut y, mut gh) = (vec![T::nan(); x.len()], vec![T::nan(); h.len()]);
            gated_residual::forward(set, length, &cast::<T>(x), &cast::<T>(h), &mut y);
            gated_residual::backward(set, length, &cast::<T>(h), &cast::<T>(g), &mut gh);
            (y, gh)
        }
        everywhere(|set| {
            let (double, single) =
                (run::<f64>(set, length, [&x, &h, &g]), run::<f32>(set, length, [&x, &h, &g]));
            assert!(error(&double.0, &y) < 1e-15 && error(&double.1, &gh) < 1e-8);
            assert!(error(&single.0, &y) < 3e-7 && error(&single.1, &gh) < 1e-6);
        });
    }
}

/// `[y, gx, gγ, gβ]`.
fn norm<T: Scratch>(set: InstructionSet, [batch, channels, positions]: [usize; 3]) -> [Vec<T>; 4] {
    let [x, gain, shift, g] =
        norm_arguments([batch, channels, positions]).map(|elements| cast::<T>(&elements));
    let norm = ChannelNorm { batch, channels, positions, epsilon: 1e-5, set };
    let fresh = |length: usize| vec![T::nan(); length];
    let (mut y, mut gx, mut of_gain, mut of_shift) =
        (fresh(x.len()), fresh(x.len()), fresh(channels), fresh(channels));
    norm.forward(&x, &gain, &shift, &mut y);
    norm.backward(
        &x,
        &gain,
        &g,
        Gradients { x: &mut gx, gain: &mut of_gain, shift: &mut of_shift },
    );
    [y, gx, of_gain, of_shift]
}

fn norm_arguments([batch, c, p]: [usize; 3]) -> [Vec<f64>; 4] {
    let n = batch * c * p;
    [elements(n, 1), elements(c, 3), elements(c, 4), elements(n, 5)]
}

#[test]
fn channel_norm_meets_its_formulas() {
    for shape @ [_, c, _] in [[1, 1, 1], [3, 2, 7], [1, 5, 64], [2, 3, 200], [3, 33, 16]] {
        let [x, gain, shift, g] = norm_arguments(shape);
        let y = naive_norm(shape, &x, &gain, &shift);
        let gx = differences(&x, &g, |x| naive_norm(shape, x, &gain, &shift));
        let of_gain = differences(&gain, &g, |gain| naive_norm(shape, &x, gain, &shift));
        let of_shift = differences(&shift, &g, |shift| naive_norm(shape, &x, &gain, shift));
        everywhere(|set| {
            let found = norm::<f64>(set, shape);
            assert!(error(&found[0], &y) < 1e-12);
            if c == 1 {
                // One channel is its own mean: both gradients are 0.
                assert!(found[1].iter().chain(&found[2]).all(|g| g.abs() < 1e-12));
                return;
            }
            let errors =
                [error(&found[1], &gx), error(&found[2], &of_gain), error(&found[3], &of_shift)];
            assert!(errors.iter().all(|&error| error < 3e-6), "{shape:?}: {errors:?}");
            let single = norm::<f32>(set, shape);
            // If two channels nearly agree, the result is mostly rounding error.
            if c > 2 {
                for (single, double) in single.iter().zip(&found) {
                    assert!(error(single, double) < 3e-6, "{shape:?}: {}", error(single, double));
                }
            }
        });
    }
}

/// On a size that is worth sharing.
#[test]
fn threads_do_not_change_a_bit() {
    let run = || norm::<f32>(InstructionSet::detect(), [23, 32, 300]);
    let one = on_threads(1, run);
    assert!(one == on_threads(2, run) && one == on_threads(5, run));
}
