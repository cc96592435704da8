//! Weight-normalised convolution against its closed form, computed number by number in float64.

mod common;

use burn::module::Module;
use burn::tensor::Tensor;
use flowkit::conditioner::layer::{ConvInit, ConvWeight, DataInitConv, DataInitConvConfig};

use common::parameters::set;
use common::tolerance::{limit, normwise};
use common::{Precision, values};

const INPUTS: usize = 2;
const OUTPUTS: usize = 3;
const SIDE: usize = 4;
const BATCH: usize = 5;

/// Numbers without a pattern, within ±1.
fn wave(n: usize, phase: f64) -> Vec<f64> {
    (0..n).map(|i| (phase + 2.3 * i as f64 + 0.01 * (i * i) as f64).sin()).collect()
}

fn directions(kernel: usize) -> Vec<f64> {
    wave(OUTPUTS * INPUTS * kernel * kernel, 0.4)
}

const GAINS: [f64; OUTPUTS] = [1.3, -0.4, 2.1];
const BIASES: [f64; OUTPUTS] = [0.2, 0.0, -0.7];

/// The layer with the numbers above.
fn layer(kernel: usize, precision: Precision) -> DataInitConv {
    let config = DataInitConvConfig::new(INPUTS, OUTPUTS)
        .with_kernel(kernel)
        .with_weight(ConvWeight::WeightNorm);
    let layer = config
        .with_init(ConvInit::DataDependent { scale: 0.1 })
        .build(&precision.device())
        .unwrap();
    set(layer, precision, |path| match path {
        "gain" => GAINS.to_vec(),
        "conv.bias" => BIASES.to_vec(),
        "conv.weight" => directions(kernel),
        _ => panic!("the layer has no parameter {path}"),
    })
}

fn input(precision: Precision) -> Tensor<4> {
    precision.tensor(wave(BATCH * INPUTS * SIDE * SIDE, 1.0), [BATCH, INPUTS, SIDE, SIDE])
}

/// `Σ gain·V/‖V‖·x + bias`, term by term.
fn closed_form(kernel: usize, directions: &[f64], gains: &[f64], biases: &[f64]) -> Vec<f64> {
    let x = wave(BATCH * INPUTS * SIDE * SIDE, 1.0);
    let (area, pad) = (kernel * kernel, kernel / 2);
    let mut y = Vec::new();
    for b in 0..BATCH {
        for o in 0..OUTPUTS {
            let own = &directions[o * INPUTS * area..][..INPUTS * area];
            let norm = own.iter().map(|v| v * v).sum::<f64>().sqrt();
            for (row, column) in (0..SIDE * SIDE).map(|p| (p / SIDE, p % SIDE)) {
                let mut sum = 0.0;
                for (index, v) in own.iter().enumerate() {
                    let (i, dr, dc) = (index / area, index % area / kernel, index % kernel);
                    let (Some(r), Some(c)) =
                        ((row + dr).checked_sub(pad), (column + dc).checked_sub(pad))
                    else {
                        continue;
                    };
                    if r < SIDE && c < SIDE {
                        sum += v * x[((b * INPUTS + i) * SIDE + r) * SIDE + c];
                    }
                }
                y.push(gains[o] * sum / norm + biases[o]);
            }
        }
    }
    y
}

/// `Σ probe·y`.
fn loss(y: &[f64]) -> f64 {
    y.iter().zip(wave(y.len(), 3.0)).map(|(y, probe)| y * probe).sum()
}

#[test]
fn forward_is_the_closed_form() {
    for precision in Precision::BOTH {
        for kernel in [1, 3] {
            let y = values(layer(kernel, precision).forward(input(precision)));
            let error = normwise(&y, &closed_form(kernel, &directions(kernel), &GAINS, &BIASES));
            assert!(error <= limit(precision), "{precision:?} {kernel}: {error:e}");
        }
    }
}

#[test]
fn gradients_are_the_slopes_of_the_closed_form() {
    let precision = Precision::Double;
    let layer = layer(3, precision);
    let y = layer.forward(input(precision));
    let probe = precision.tensor(wave(BATCH * OUTPUTS * SIDE * SIDE, 3.0), y.dims());
    let gradients = (y * probe).sum().backward();
    let h = 1e-6;
    let slopes = |own: &[f64], f: &dyn Fn(&[f64]) -> f64| -> Vec<f64> {
        let moved = |i: usize, by: f64| {
            let mut moved = own.to_vec();
            moved[i] += by;
            f(&moved)
        };
        (0..own.len()).map(|i| (moved(i, h) - moved(i, -h)) / (2.0 * h)).collect()
    };
    let own = directions(3);
    let truth = slopes(&own, &|v| loss(&closed_form(3, v, &GAINS, &BIASES)));
    let found = values(layer.conv.weight.val().grad(&gradients).unwrap());
    // Differences of a loss of about 10 at 1e-6 carry roundings of 1e-9.
    assert!(normwise(&found, &truth) < 1e-7, "{found:?} {truth:?}");
    // A direction's length changes nothing: its gradient is orthogonal to it.
    for (gradient, v) in found.chunks(own.len() / OUTPUTS).zip(own.chunks(own.len() / OUTPUTS)) {
        let along: f64 = gradient.iter().zip(v).map(|(g, v)| g * v).sum();
        assert!(along.abs() < 1e-12, "{along:e}");
    }
    let truth = slopes(&GAINS, &|g| loss(&closed_form(3, &own, g, &BIASES)));
    let found = values(layer.gain.as_ref().unwrap().val().grad(&gradients).unwrap());
    assert!(normwise(&found, &truth) < 1e-7, "{found:?} {truth:?}");
    let truth = slopes(&BIASES, &|b| loss(&closed_form(3, &own, &GAINS, b)));
    let found = values(layer.conv.bias.as_ref().unwrap().val().grad(&gradients).unwrap());
    assert!(normwise(&found, &truth) < 1e-7, "{found:?} {truth:?}");
}

/// `g ← g·s` and `bias ← −m·s` with `s = scale/√(v + 1e-8)`; the directions stay.
#[test]
fn the_start_sets_length_and_bias() {
    for precision in Precision::BOTH {
        let limit = 10.0 * limit(precision);
        let (started, passed) = layer(3, precision).initialize(input(precision));
        let y = closed_form(3, &directions(3), &GAINS, &[0.0; OUTPUTS]);
        let plane = SIDE * SIDE;
        let mut gains = Vec::new();
        let mut biases = Vec::new();
        for (o, gain) in GAINS.iter().enumerate() {
            let own: Vec<f64> =
                (0..BATCH).flat_map(|b| y[(b * OUTPUTS + o) * plane..][..plane].to_vec()).collect();
            let mean = own.iter().sum::<f64>() / own.len() as f64;
            let variance = own.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / own.len() as f64;
            let factor = 0.1 / (variance + 1e-8).sqrt();
            gains.push(gain * factor);
            biases.push(-mean * factor);
        }
        assert!(
            normwise(&values(started.gain.as_ref().unwrap().val()), &gains) < limit,
            "{precision:?}"
        );
        assert!(
            normwise(&values(started.conv.bias.as_ref().unwrap().val()), &biases) < limit,
            "{precision:?}"
        );
        let kept = precision.tensor(directions(3), [OUTPUTS, INPUTS, 3, 3]);
        assert_eq!(values(started.conv.weight.val()), values(kept));
        let truth = closed_form(3, &directions(3), &gains, &biases);
        assert!(normwise(&values(passed), &truth) < limit, "{precision:?}");
        assert!(
            normwise(&values(started.forward(input(precision))), &truth) < limit,
            "{precision:?}"
        );
    }
}

/// Nothing keeps a direction from becoming 0 in training. The layer then gives its bias, and
/// gradients are finite.
#[test]
fn directions_of_length_0_give_numbers() {
    for precision in Precision::BOTH {
        let layer = set(layer(3, precision), precision, |path| match path {
            "conv.weight" => vec![0.0; OUTPUTS * INPUTS * 9],
            "conv.bias" => BIASES.to_vec(),
            _ => GAINS.to_vec(),
        });
        let y = layer.forward(input(precision));
        let [first, ..] = BIASES;
        let truth = precision.tensor(vec![first], [1]);
        assert_eq!(values(y.clone().slice([0..1, 0..1, 0..1, 0..1])), values(truth));
        let gradients = y.sum().backward();
        let gradient = values(layer.conv.weight.val().grad(&gradients).unwrap());
        assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
        assert_eq!(layer.num_params(), OUTPUTS * INPUTS * 9 + 2 * OUTPUTS);
    }
}
