//! Errors of 3x3 convolutions in float32 against what their documentation allows: by Winograd's
//! algorithm and by direct sums, forward and for both gradients, on data of which one pixel is up
//! to a million times as large as the others.

use burn::tensor::{DType, Device, Tensor, TensorData};
use flowkit::kernel::conv2d::{self, ConvStages};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;

const EPSILON: f64 = f32::EPSILON as f64;

/// Images, weights, and the gradient of the results, in float64; all of their numbers are numbers
/// of float32.
#[derive(Clone)]
struct Convolution {
    x: Tensor<4>,
    w: Tensor<4>,
    g: Tensor<4>,
}

fn normal(shape: [usize; 4], rng: &mut StdRng) -> Vec<f64> {
    (0..shape.iter().product()).map(|_| f64::from(rng.sample::<f32, _>(StandardNormal))).collect()
}

fn tensor(numbers: Vec<f64>, shape: [usize; 4]) -> Tensor<4> {
    Tensor::from_data(TensorData::new(numbers, shape), (&Device::flex(), DType::F64))
}

impl Convolution {
    /// Of normal numbers, of which a pixel of every image and the gradient of a result are `spread`
    /// times as large.
    fn new([batch, inputs, outputs, height, width]: [usize; 5], spread: f64) -> Self {
        let mut rng = StdRng::seed_from_u64(11);
        let shapes = [
            [batch, inputs, height, width],
            [outputs, inputs, 3, 3],
            [batch, outputs, height, width],
        ];
        let [mut x, mut w, mut g] = shapes.map(|shape| normal(shape, &mut rng));
        let pixels = height * width;
        for example in 0..batch {
            let at = pixels / 2 + example;
            x[(example * inputs + example % inputs) * pixels + at] *= spread;
            g[(example * outputs + 1) * pixels + at] *= spread;
        }
        // A tap that is small beside the others of its channel.
        w.iter_mut().step_by(9).for_each(|w| *w = f64::from((*w * 1e-3) as f32));
        Self { x: tensor(x, shapes[0]), w: tensor(w, shapes[1]), g: tensor(g, shapes[2]) }
    }

    /// The same with kernels of 5x5 whose outermost taps are zero: these are summed directly.
    fn padded(&self) -> Self {
        Self { w: self.w.clone().pad((1, 1, 1, 1), 0.0), ..self.clone() }
    }

    fn absolute(&self) -> Self {
        Self { x: self.x.clone().abs(), w: self.w.clone().abs(), g: self.g.clone().abs() }
    }

    /// Results, the gradient of `x` and that of `w`.
    fn run(
        &self,
        convolve: fn(Tensor<4>, Tensor<4>, Option<Tensor<1>>, ConvStages) -> Tensor<4>,
        dtype: DType,
    ) -> [Tensor<4>; 3] {
        let graph = Device::flex().autodiff();
        let on = |tensor: &Tensor<4>| {
            Tensor::<4>::from_data(tensor.to_data().convert_dtype(dtype), (&graph, dtype))
        };
        let (x, w) = (on(&self.x).require_grad(), on(&self.w).require_grad());
        let y = convolve(x.clone(), w.clone(), None, ConvStages::PLAIN);
        let gradients = (y.clone() * on(&self.g)).sum().backward();
        let found = [y.inner(), x.grad(&gradients).unwrap(), w.grad(&gradients).unwrap()];
        found.map(|found| tensor(found.to_data().iter::<f64>().collect(), found.dims()))
    }
}

/// Largest error in units of `ε` times what is given for each number.
fn worst(found: &Tensor<4>, truth: &Tensor<4>, scale: &Tensor<4>) -> f64 {
    let numbers = |tensor: &Tensor<4>| tensor.to_data().iter::<f64>().collect::<Vec<_>>();
    let (found, truth, scale) = (numbers(found), numbers(truth), numbers(scale));
    let errors = found
        .iter()
        .zip(truth)
        .zip(scale)
        .map(|((found, truth), scale)| (found - truth).abs() / (EPSILON * scale));
    errors.fold(0.0, |worst, error| if error.is_nan() { f64::INFINITY } else { error.max(worst) })
}

/// `[B, C, O, H, W]`: odd sides, a small image, several chunks.
const SHAPES: [[usize; 5]; 3] = [[2, 24, 20, 9, 10], [3, 12, 13, 8, 8], [1, 40, 33, 31, 30]];
const NAMES: [&str; 3] = ["y", "gradient of x", "gradient of w"];

/// Largest error in units of `ε` times the largest number.
fn normwise(found: &Tensor<4>, truth: &Tensor<4>) -> f64 {
    let largest = truth.clone().abs().max().into_scalar::<f64>();
    worst(found, truth, &truth.ones_like().mul_scalar(largest))
}

fn cases() -> impl Iterator<Item = ([usize; 5], f64)> {
    SHAPES.into_iter().flat_map(|shape| [1.0, 1e2, 1e4, 1e6].map(|spread| (shape, spread)))
}

/// A pixel counts with all weights of its channel: in windows of which one pixel is far larger, the
/// error may be far larger than that of direct sums, but never in comparison with the largest
/// result.
#[test]
fn winograds_errors_are_those_of_every_weight_with_every_pixel() {
    for (shape, spread) in cases() {
        let convolution = Convolution::new(shape, spread);
        let truth = convolution.run(conv2d::oracle::forward, DType::F64);
        let found = convolution.run(conv2d::forward, DType::F32);
        let Convolution { x, w, g } = convolution.absolute();
        let every = w.clone().sum_dim(2).sum_dim(3).repeat(&[1, 1, 3, 3]);
        let [y, gx, _] = Convolution { x: x.clone(), w: every, g: g.clone() }
            .run(conv2d::oracle::forward, DType::F64);
        // A gradient of a tile and a pixel of it are two apart at most.
        let wide = w.pad((1, 1, 1, 1), 0.0);
        let [_, _, gw] = Convolution { x, w: wide, g }.run(conv2d::oracle::forward, DType::F64);
        let gw = gw.sum_dim(2).sum_dim(3).repeat(&[1, 1, 3, 3]);
        for (index, scale) in [y, gx, gw].iter().enumerate() {
            let worst = worst(&found[index], &truth[index], scale);
            let normwise = normwise(&found[index], &truth[index]);
            let what = format!("{}, {shape:?}, spread {spread:e}", NAMES[index]);
            assert!(worst <= 3.0, "{what}: {worst} ε of all weights with all pixels");
            assert!(normwise <= 8.0, "{what}: {normwise} ε of the largest");
        }
    }
}

/// A pixel counts with the weight that it meets.
#[test]
fn errors_of_direct_sums_are_those_of_their_terms() {
    for (shape, spread) in cases() {
        let convolution = Convolution::new(shape, spread).padded();
        let truth = convolution.run(conv2d::oracle::forward, DType::F64);
        let found = convolution.run(conv2d::forward, DType::F32);
        let scales = convolution.absolute().run(conv2d::oracle::forward, DType::F64);
        let [batch, inputs, outputs, height, width] = shape;
        // Roundings of so many sums, of either sign.
        let terms = [9 * inputs, 9 * outputs, batch * height * width].map(|n| (n as f64).sqrt());
        for (index, allowed) in terms.into_iter().enumerate() {
            let worst = worst(&found[index], &truth[index], &scales[index]);
            let normwise = normwise(&found[index], &truth[index]);
            let what = format!("{}, {shape:?}, spread {spread:e}", NAMES[index]);
            assert!(worst <= allowed, "{what}: {worst} ε of the terms, {allowed} allowed");
            assert!(normwise <= 8.0, "{what}: {normwise} ε of the largest");
        }
    }
}
