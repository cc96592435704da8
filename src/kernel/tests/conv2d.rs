//! Convolution, compared with plain loops in f64.

use super::samples::{cast, elements, error, on_threads};
use crate::kernel::conv2d::cpu::{Conv2d, ConvShape, Gradients};
use crate::kernel::conv2d::{Border, ConvStages, PreActivation};
use crate::kernel::cpu::scratch::Scratch;
use crate::kernel::cpu::simd::InstructionSet;

struct Case {
    shape: ConvShape,
    activation: PreActivation,
    x: Vec<f64>,
    w: Vec<f64>,
    bias: Vec<f64>,
    gy: Vec<f64>,
}

#[derive(Debug, PartialEq)]
struct Results<T> {
    y: Vec<T>,
    gx: Vec<T>,
    gw: Vec<T>,
    gb: Vec<T>,
}

impl Case {
    fn new(
        [batch, inputs, outputs, height, width]: [usize; 5],
        kernel: [usize; 2],
        activation: PreActivation,
    ) -> Self {
        let factor = if activation == PreActivation::Identity { 1 } else { 2 };
        let inputs = inputs.next_multiple_of(factor);
        let pixels = height * width;
        Self {
            shape: ConvShape { batch, inputs, outputs, height, width, kernel },
            activation,
            x: elements(batch * inputs / factor * pixels, 1),
            w: elements(outputs * inputs * kernel[0] * kernel[1], 2),
            bias: elements(outputs, 3),
            gy: elements(batch * outputs * pixels, 4),
        }
    }

    fn activated(&self) -> Vec<f64> {
        if self.activation == PreActivation::Identity {
            return self.x.clone();
        }
        let elu = |v: f64| if v > 0.0 { v } else { v.exp_m1() };
        let examples = self.x.chunks_exact(self.x.len() / self.shape.batch);
        examples
            .flat_map(|x| {
                x.iter().map(|&x| elu(x)).chain(x.iter().map(|&x| elu(-x))).collect::<Vec<_>>()
            })
            .collect()
    }

    fn naive(&self) -> Results<f64> {
        let ConvShape { batch, inputs, outputs, height, width, kernel: [kh, kw] } = self.shape;
        let v = self.activated();
        let mut y: Vec<f64> = vec![0.0; self.gy.len()];
        let (mut gv, mut gw, mut gb) =
            (vec![0.0; v.len()], vec![0.0; self.w.len()], vec![0.0; outputs]);
        for b in 0..batch {
            #[allow(clippy::needless_range_loop)]
            for o in 0..outputs {
                for i in 0..height {
                    for j in 0..width {
                        let at = ((b * outputs + o) * height + i) * width + j;
                        y[at] = self.bias[o];
                        gb[o] += self.gy[at];
                        for c in 0..inputs {
                            for r in 0..kh {
                                for s in 0..kw {
                                    let (row, column) = (
                                        (i + r).wrapping_sub(kh / 2),
                                        (j + s).wrapping_sub(kw / 2),
                                    );
                                    if row >= height || column >= width {
                                        continue;
                                    }
                                    let from = ((b * inputs + c) * height + row) * width + column;
                                    let weight = ((o * inputs + c) * kh + r) * kw + s;
                                    y[at] += self.w[weight] * v[from];
                                    gv[from] += self.w[weight] * self.gy[at];
                                    gw[weight] += v[from] * self.gy[at];
                                }
                            }
                        }
                    }
                }
            }
        }
        let gx = if self.activation == PreActivation::Identity {
            gv
        } else {
            let slope = |v: f64| if v >= 0.0 { 1.0 } else { v.exp() };
            let half = self.x.len() / batch;
            let at = |i: usize| i / half * 2 * half + i % half;
            let gradient =
                |(i, &x): (usize, &f64)| gv[at(i)] * slope(x) - gv[at(i) + half] * slope(-x);
            self.x.iter().enumerate().map(gradient).collect()
        };
        Results { y, gx, gw, gb }
    }

    fn run<T: Scratch>(&self, set: InstructionSet) -> Results<T> {
        let conv = Conv2d::new(self.shape, ConvStages::preceded_by(self.activation), set);
        let (x, w, bias, gy) =
            (cast::<T>(&self.x), cast::<T>(&self.w), cast::<T>(&self.bias), cast::<T>(&self.gy));
        let fresh = |length: usize| vec![T::nan(); length];
        let mut results = Results {
            y: fresh(gy.len()),
            gx: fresh(x.len()),
            gw: fresh(w.len()),
            gb: fresh(bias.len()),
        };
        conv.forward(&x, &w, Some(&bias), &mut results.y);
        let Results { gx, gw, gb, .. } = &mut results;
        conv.backward(&x, &w, &gy, Gradients { x: Some(gx), weight: Some(gw), bias: Some(gb) });
        results
    }

    fn check<T: Scratch>(&self, set: InstructionSet, expected: &Results<f64>, tolerance: f64) {
        let found = self.run::<T>(set);
        let errors = [
            error(&found.y, &expected.y),
            error(&found.gx, &expected.gx),
            error(&found.gw, &expected.gw),
            error(&found.gb, &expected.gb),
        ];
        let largest = errors.into_iter().fold(0.0, f64::max);
        assert!(
            errors.iter().all(|&error| error < tolerance),
            "{:?} {:?} {set:?}: {errors:?}",
            self.shape,
            self.activation
        );
        println!("{:?} {:?}: {largest:.1e}", self.shape, self.activation);
    }
}

const ACTIVATIONS: [PreActivation; 2] = [PreActivation::Identity, PreActivation::ConcatElu];

#[test]
fn meets_plain_loops() {
    let sizes = [
        [1, 1, 1, 1, 1],
        [3, 1, 1, 1, 5],
        [1, 2, 3, 5, 1],
        [3, 4, 5, 2, 3],
        [2, 6, 18, 7, 9],
        [5, 3, 2, 4, 4],
        [1, 140, 70, 3, 5],
        [1, 3, 2, 40, 33],
        [3, 2, 1, 1, 700],
        [2, 34, 33, 13, 11],
        [1, 70, 40, 16, 8],
        [1, 33, 32, 45, 16],
        [1, 32, 33, 3, 64],
        [21, 5, 34, 7, 5],
        [33, 13, 17, 4, 4],
        [5, 48, 20, 8, 8],
        [3, 16, 35, 2, 9],
        [2, 19, 16, 21, 2],
        [9, 26, 12, 3, 3],
    ];
    for size in sizes {
        for kernel in [[1, 1], [3, 3], [5, 3], [1, 7]] {
            for activation in ACTIVATIONS {
                let case = Case::new(size, kernel, activation);
                let expected = case.naive();
                for set in InstructionSet::available() {
                    case.check::<f64>(set, &expected, 1e-13);
                    case.check::<f32>(set, &expected, 3e-6);
                }
            }
        }
    }
}

#[test]
fn shapes_of_networks() {
    for (size, kernel) in [
        ([2, 64, 32, 16, 16], [3, 3]),
        ([2, 64, 64, 16, 8], [1, 1]),
        ([4, 24, 128, 8, 8], [3, 3]),
        ([1, 192, 96, 16, 32], [3, 3]),
    ] {
        for activation in ACTIVATIONS {
            let case = Case::new(size, kernel, activation);
            let expected = case.naive();
            case.check::<f32>(InstructionSet::detect(), &expected, 3e-6);
        }
    }
}

/// On sizes that are worth sharing.
#[test]
fn threads_do_not_change_a_bit() {
    for size in [
        [1, 96, 96, 16, 16],
        [7, 24, 48, 16, 16],
        [150, 4, 8, 9, 8],
        [80, 48, 20, 4, 4],
        [3, 64, 32, 32, 16],
    ] {
        for activation in ACTIVATIONS {
            let case = Case::new(size, [3, 3], activation);
            let run = || case.run::<f32>(InstructionSet::detect());
            let one = on_threads(1, run);
            assert!(one == on_threads(2, run) && one == on_threads(5, run));
        }
    }
}

#[test]
fn examples_do_not_touch_each_other() {
    for size in [
        [7, 32, 24, 4, 4],
        [6, 24, 33, 9, 7],
        [3, 64, 32, 32, 16],
        [5, 192, 96, 16, 16],
        [4, 8, 9, 6, 6],
    ] {
        for activation in ACTIVATIONS {
            let case = Case::new(size, [3, 3], activation);
            let together = case.run::<f32>(InstructionSet::detect());
            let batch = case.shape.batch;
            let (of_x, of_y) = (case.x.len() / batch, case.gy.len() / batch);
            for b in 0..batch {
                let (x, gy) =
                    (case.x[b * of_x..][..of_x].to_vec(), case.gy[b * of_y..][..of_y].to_vec());
                let (w, bias, shape) =
                    (case.w.clone(), case.bias.clone(), ConvShape { batch: 1, ..case.shape });
                let alone =
                    Case { shape, activation, x, w, bias, gy }.run::<f32>(InstructionSet::detect());
                assert!(alone.y == together.y[b * of_y..][..of_y], "{shape:?} {activation:?}: y");
                assert!(
                    alone.gx == together.gx[b * of_x..][..of_x],
                    "{shape:?} {activation:?}: gx"
                );
            }
        }
    }
}

#[test]
fn parts_are_optional() {
    let case = Case::new([2, 4, 5, 6, 7], [3, 3], PreActivation::ConcatElu);
    let conv =
        Conv2d::new(case.shape, ConvStages::preceded_by(case.activation), InstructionSet::detect());
    let mut y = vec![f64::NAN; case.gy.len()];
    conv.forward(&case.x, &case.w, None, &mut y);
    let with_bias = case.naive().y;
    let bias = (0..y.len()).map(|i| case.bias[i / 42 % 5]);
    let without: Vec<f64> = with_bias.iter().zip(bias).map(|(y, bias)| y - bias).collect();
    assert!(error(&y, &without) < 1e-13);
    let mut gw = vec![f64::NAN; case.w.len()];
    conv.backward(
        &case.x,
        &case.w,
        &case.gy,
        Gradients { x: None, weight: Some(&mut gw), bias: None },
    );
    assert!(error(&gw, &case.naive().gw) < 1e-13);
}

#[test]
fn nothing_to_do() {
    let bordered = ConvStages { border: Border::Channel, ..ConvStages::PLAIN };
    for (stages, channels) in [(ConvStages::PLAIN, 0), (bordered, 1)] {
        for [batch, inputs, outputs, height] in
            [[0, 2, 3, 2], [2, 2, 0, 2], [2, 0, 3, 2], [2, 2, 3, 0]]
        {
            let shape = ConvShape { batch, inputs, outputs, height, width: 2, kernel: [3, 3] };
            let conv = Conv2d::new(shape, stages, InstructionSet::detect());
            let pixels = 2 * height;
            let (x, gy) =
                (vec![1.0f32; batch * inputs * pixels], vec![1.0; batch * outputs * pixels]);
            // The weights of the border channel are 0, so only the bias is left.
            let (w, bias) = (vec![0.0; outputs * (inputs + channels) * 9], vec![2.0; outputs]);
            let (mut y, mut gx, mut gw, mut gb) =
                (gy.clone(), x.clone(), vec![1.0; w.len()], bias.clone());
            conv.forward(&x, &w, Some(&bias), &mut y);
            assert!(y.iter().all(|&y| y == 2.0));
            conv.backward(
                &x,
                &w,
                &gy,
                Gradients { x: Some(&mut gx), weight: Some(&mut gw), bias: Some(&mut gb) },
            );
            assert!(gx.iter().all(|&g| g == 0.0));
            let own = gw.chunks(((inputs + channels) * 9).max(1)).flat_map(|gw| &gw[..inputs * 9]);
            assert!(own.copied().all(|g| g == 0.0));
            // For 2x2 pixels, each corner of the kernel lies outside at three of them, each edge at
            // two, and the centre at none. With a batch of two these counts double.
            let outside_weights =
                gw.chunks(((inputs + channels) * 9).max(1)).flat_map(|gw| &gw[inputs * 9..]);
            let outside = if batch * height == 0 {
                [0.0; 9]
            } else {
                [6.0, 4.0, 6.0, 4.0, 0.0, 4.0, 6.0, 4.0, 6.0]
            };
            assert!(
                outside_weights
                    .zip(outside.iter().cycle())
                    .all(|(found, expected)| found == expected)
            );
            assert!(gb.iter().all(|&g| g == (batch * pixels) as f32));
        }
    }
}
