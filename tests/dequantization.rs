//! Dequantization: every level comes back from every noise, in each type and with as many levels as
//! the type carries; the noise has the mean that it should, bounds of known densities come out, and
//! more levels are refused.

#[path = "common/build.rs"]
mod build;

use std::f64::consts::LN_2;

use crate::build::{fixed, layer};
use burn::module::Module;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use flowkit::bijector::replay::Replay;
use flowkit::law::{AffineConfig, AffineForm};
use flowkit::model::flow_plus_plus::{EncoderBlock, FlowPlusPlusEncoderConfig};
use flowkit::testing::elements::{device_rng, elements, normal, tensor};
use flowkit::{
    ActNormConfig, ChannelOrder, ConfigError, ConvResNetConfig, CouplingConfig, Density, Encoder,
    Flow, FlowError, Invert, LogitConfig, PartitionConfig, Pattern, Prior, ScalarAffineConfig,
    Sigmoid, Site, SqueezeConfig, StandardNormal, Surjection, Swap, Uniform, UniformDequantization,
    UniformDequantizationConfig, VariationalDequantization, VariationalDequantizationConfig,
};

const TYPES: [DType; 2] = [DType::F32, DType::F64];

/// Levels that each type carries.
fn most(dtype: DType) -> usize {
    if dtype == DType::F64 { 1 << 45 } else { 1 << 16 }
}

fn uniform(n_levels: usize, dtype: DType) -> UniformDequantization {
    UniformDequantizationConfig::new().with_n_levels(n_levels).with_dtype(dtype).build().unwrap()
}

fn ints(levels: &[i64], device: &Device) -> Tensor<2, Int> {
    Tensor::from_data(TensorData::new(levels.to_vec(), [1, levels.len()]), (device, DType::I64))
}

fn levels(x: Tensor<2, Int>) -> Vec<i64> {
    x.into_data().iter::<i64>().collect()
}

/// Noise at the ends, at the largest number below 1, and where sums with levels round up or are
/// ties.
fn adversarial(dtype: DType) -> Vec<f64> {
    let digits = if dtype == DType::F64 { 53 } else { 24 };
    let mut noise =
        vec![0.0, 1e-30, 1e-7, 0.25, 1.0 / 3.0, 0.5, 0.7, 1.0 - 0.5f64.powi(digits), 1.0];
    for bits in 1..digits {
        let half_spacing = 0.5f64.powi(bits);
        noise.extend([
            half_spacing,
            1.0 - half_spacing,
            1.0 - half_spacing * 0.75,
            1.0 - half_spacing * 1.25,
        ]);
    }
    noise
}

/// `lower(lift(x, u))` is `x`, and `y` is `(x + u)/M` up to roundings.
fn comes_back(n_levels: usize, x: &[i64], dtype: DType) {
    let (dequantization, device) = (uniform(n_levels, dtype), Device::flex());
    let epsilon = if dtype == DType::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) };
    for u in adversarial(dtype) {
        let noise: Tensor<2> = tensor(vec![u; x.len()], [1, x.len()], dtype, &device);
        let u = elements(&noise)[0];
        let (y, _) = dequantization.lift(ints(x, &device), noise);
        assert_eq!(y.dtype(), dtype);
        for (y, x) in elements(&y).into_iter().zip(x) {
            let exact = (*x as f64 + u) / n_levels as f64;
            assert!((0.0..1.0).contains(&y), "{n_levels} levels, x = {x}, u = {u:e}: {y}");
            assert!(
                (y - exact).abs() <= 3.0 * epsilon * exact,
                "{n_levels} levels, x = {x}, u = {u:e}: {y} {exact}"
            );
        }
        let back = levels(Surjection::<2>::lower(&dequantization, y));
        let wrong = back.iter().zip(x).find(|(back, x)| back != x);
        assert!(wrong.is_none(), "{n_levels} levels, {dtype:?}, u = {u:e}: {wrong:?}");
    }
}

#[test]
fn every_level_of_few_comes_back() {
    for n_levels in 2..=256usize {
        let all: Vec<i64> = (0..n_levels as i64).collect();
        TYPES.into_iter().for_each(|dtype| comes_back(n_levels, &all, dtype));
    }
}

#[test]
fn levels_of_the_most_come_back() {
    for dtype in TYPES {
        let most = most(dtype);
        // A power of two, its neighbour, one whose inverse is badly rounded.
        for n_levels in [most, most - 1, most / 3 * 2 + 1, most / 5] {
            let last = (n_levels - 1) as i64;
            let mut x = vec![0, 1, last / 2, last / 2 + 1, last - 1, last];
            x.extend(
                normal(1, 2000, 1.0)
                    .into_iter()
                    .map(|draw| (draw.abs().fract() * last as f64) as i64),
            );
            comes_back(n_levels, &x, dtype);
        }
    }
}

/// Draws of the generator too, in numbers.
#[test]
fn drawn_noise_comes_back() {
    let _guard = device_rng();
    let device = Device::flex();
    device.seed(3);
    for n_levels in [256, 4095, 65_536] {
        let dequantization = uniform(n_levels, DType::F32);
        let x: Vec<i64> = (0..200_000).map(|i| (i * 7919) % n_levels as i64).collect();
        let noise: Tensor<2> =
            Surjection::<2>::noise(&dequantization, &ints(&x, &device), DType::F32);
        let (y, _) = dequantization.lift(ints(&x, &device), noise);
        assert_eq!(levels(Surjection::<2>::lower(&dequantization, y)), x, "{n_levels} levels");
    }
}

/// What the inverse of a flow gives outside of [0, 1) belongs to the first and last level.
#[test]
fn numbers_outside_are_cut_to_the_ends() {
    for dtype in TYPES {
        for n_levels in [2, 3, 255, 65_536] {
            let y = tensor(
                vec![-7.0, -1e-9, 0.0, 1.0 - 1e-7, 1.0, 3.0],
                [1, 6],
                dtype,
                &Device::flex(),
            );
            let last = n_levels as i64 - 1;
            let found = levels(Surjection::<2>::lower(&uniform(n_levels, dtype), y));
            assert_eq!(found, [0, 0, 0, last, last, last], "{n_levels} {dtype:?}");
        }
    }
}

/// Places of a grid of noise within a level, in float32.
fn places(n_levels: usize, x: i64) -> Vec<f64> {
    let n = 1 << 16;
    let noise = (0..n).map(|i| (f64::from(i) + 0.5) / f64::from(n)).collect();
    let noise: Tensor<2> = tensor(noise, [1, n as usize], DType::F32, &Device::flex());
    let (y, _) =
        uniform(n_levels, DType::F32).lift(ints(&vec![x; n as usize], &Device::flex()), noise);
    elements(&y)
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len() as f64;
    values.sum::<f64>() / n
}

/// The noise stays uniform: what is kept from the next level shifts the mean by 2^-17 of a level at
/// most, and no number of a level is left out.
#[test]
fn the_noise_keeps_its_mean() {
    for n_levels in [256, 1000, 4096, 65_535, 65_536] {
        for x in [0, 1, n_levels as i64 / 2, n_levels as i64 - 1] {
            let y = places(n_levels, x);
            let noise = mean(y.iter().map(|y| y * n_levels as f64 - x as f64));
            // Twice the rounding of 1/M, for numbers of levels that are no power of two.
            assert!(
                (noise - 0.5).abs() < 2.5 * 0.5f64.powi(17) + n_levels as f64 * 6e-8,
                "{n_levels} {x}: {noise}"
            );
            let mut distinct = y;
            distinct.dedup();
            assert!(distinct.len() >= 255, "{n_levels} {x}: {} elements", distinct.len());
        }
    }
}

/// `p(y) = 2y` on [0, 1]: `E ln p(y) − ln M = ln 2 − 2 ln M + (x + 1) ln(x + 1) − x ln x − 1`.
#[test]
fn the_bound_of_a_known_density_is_right_at_every_depth() {
    for depth in 1..=16 {
        let n_levels = 1usize << depth;
        for x in [0i64, n_levels as i64 / 3, n_levels as i64 - 1] {
            let found =
                mean(places(n_levels, x).iter().map(|y| (2.0 * y).ln())) - (n_levels as f64).ln();
            let (from, to) = (x as f64, x as f64 + 1.0);
            let below = if x == 0 { 0.0 } else { from * from.ln() };
            let expected = LN_2 - 2.0 * (n_levels as f64).ln() + to * to.ln() - below - 1.0;
            // The sum over the grid is off by 1/(4·2^16) where the density falls to 0.
            let allowed = if x == 0 { 1e-5 } else { 1e-6 };
            assert!(
                (found - expected).abs() / LN_2 < allowed,
                "{depth} bits, {x}: {found} {expected}"
            );
        }
    }
}

/// Uniform over the levels: as many bits as there are.
#[test]
fn a_uniform_density_costs_its_depth() {
    let _guard = device_rng();
    for depth in 1..=16 {
        let dequantization = uniform(1 << depth, DType::F32);
        let flow =
            Flow::new(Vec::<Swap>::new(), Uniform::new(), [1, 1]).unwrap().behind(dequantization);
        let x: Vec<i64> = (0..500).map(|i| (i * 7919) % (1 << depth)).collect();
        let x = ints(&x, &Device::flex()).reshape([500, 1]);
        let bits = flow.without_data().evaluate(x).unwrap().bits_per_dim().value();
        assert!((bits - f64::from(depth)).abs() < 1e-6, "{depth}: {bits}");
    }
    for depth in 1..=45 {
        let (device, x) = (Device::flex(), [0, (1i64 << depth) - 1]);
        let noise: Tensor<2> = tensor(vec![0.3, 1.0], [1, 2], DType::F64, &device);
        let (y, log_weight) = uniform(1 << depth, DType::F64).lift(ints(&x, &device), noise);
        let nats = elements(&(Uniform::new().log_prob(y, &()) + log_weight))[0];
        assert!((-nats / (2.0 * LN_2) - f64::from(depth)).abs() < 1e-12, "{depth}: {nats}");
    }
}

/// An encoder that tells the noise nothing.
#[derive(Module, Debug)]
struct Blind {}

impl Encoder<2> for Blind {
    type Code = ();

    fn encode(&self, _: Tensor<2>) {}

    fn initialize(self, _: Tensor<2>) -> (Self, ()) {
        (self, ())
    }
}

/// The sigmoid of large numbers rounds to 1, of very small ones to 0.
#[test]
fn noise_of_a_flow_stays_within_its_level() {
    for dtype in TYPES {
        for n_levels in [2, 3, 100, 255, 256, 4095, most(dtype)] {
            let config =
                VariationalDequantizationConfig::new().with_n_levels(n_levels).with_dtype(dtype);
            let dequantization =
                VariationalDequantization::new(&config, Blind {}, Sigmoid::new()).unwrap();
            let draws =
                [-800.0, -110.0, -20.0, 0.0, 5.0, 9.0, 12.0, 16.0, 17.0, 18.0, 36.0, 40.0, 800.0];
            let last = n_levels as i64 - 1;
            for level in [0, last / 2, last] {
                let x = || ints(&[level; 13], &Device::flex());
                let noise: Tensor<2> = tensor(draws.to_vec(), [1, 13], dtype, &Device::flex());
                let (y, _) = dequantization.lift(x(), noise);
                assert_eq!(levels(dequantization.lower(y)), [level; 13], "{n_levels} {dtype:?}");
                let noise: Tensor<2> =
                    tensor(draws.to_vec(), [1, 13], dtype, &Device::flex().autodiff());
                let x = ints(&[level; 13], &Device::flex().autodiff());
                let (y, _) = dequantization.replay_lift(x, noise, &mut Replay::new(0));
                assert_eq!(
                    levels(dequantization.lower(y)),
                    [level; 13],
                    "{n_levels} {dtype:?}, replay"
                );
            }
        }
    }
}

/// An example with a level outside of the range has a log-weight of NaN, and no other example has.
#[test]
fn levels_outside_have_no_log_weight() {
    let plain = Device::flex();
    for dtype in TYPES {
        for n_levels in [2, 3, 255, 256, most(dtype) - 1, most(dtype)] {
            let last = n_levels as i64 - 1;
            let inside = [0, last, last, 0, last / 2, last];
            let outside = [
                [-1, 0],
                [last, last + 1],
                [i64::MIN, last],
                [last, i64::MAX],
                [0, i64::from(u32::MAX) << 20],
            ];
            let x = |device: &Device| {
                let all: Vec<i64> =
                    inside.into_iter().chain(outside.into_iter().flatten()).collect();
                ints(&all, device).reshape([8, 2])
            };
            let few = |device: &Device| ints(&inside, device).reshape([3, 2]);
            let noise = |rows: usize, device: &Device| -> Tensor<2> {
                tensor(vec![0.25; 2 * rows], [rows, 2], dtype, device)
            };
            let check = |log_weight: Tensor<1>, good: Tensor<1>| {
                let (found, good) = (elements(&log_weight), elements(&good));
                assert!(good.iter().all(|value| value.is_finite()), "{n_levels} {dtype:?}");
                assert_eq!(found[..3], good, "{n_levels} {dtype:?}");
                assert!(found[3..].iter().all(|value| value.is_nan()), "{n_levels}: {found:?}");
            };
            let uniform = uniform(n_levels, dtype);
            let (_, good) = uniform.lift(few(&plain), noise(3, &plain));
            let exact = -2.0 * (n_levels as f64).ln();
            assert!(elements(&good).iter().all(|value| (value / exact - 1.0).abs() < 1e-6));
            check(uniform.lift(x(&plain), noise(8, &plain)).1, good);
            let config =
                VariationalDequantizationConfig::new().with_n_levels(n_levels).with_dtype(dtype);
            let noisy = VariationalDequantization::new(&config, Blind {}, Sigmoid::new()).unwrap();
            let (_, good) = noisy.lift(few(&plain), noise(3, &plain));
            check(noisy.lift(x(&plain), noise(8, &plain)).1, good.clone());
            let graph = plain.clone().autodiff();
            let (_, found) = noisy.replay_lift(x(&graph), noise(8, &graph), &mut Replay::new(0));
            check(found, good);
        }
    }
}

/// The derivative of `(x + u)/M` is `1/M`, also where rounding had to be kept from the next level.
#[test]
fn noise_at_the_end_of_a_level_has_its_gradient() {
    let device = Device::flex().autodiff();
    for n_levels in [256usize, 65_536] {
        let last = n_levels as i64 - 1;
        let noise =
            tensor::<2>(vec![0.0, 0.5, 1.0 - 0.5f64.powi(24), 1.0], [1, 4], DType::F32, &device)
                .require_grad();
        let (y, _) = uniform(n_levels, DType::F32).lift(ints(&[last; 4], &device), noise.clone());
        let gradient = noise.grad(&y.sum().backward()).unwrap();
        assert_eq!(elements(&gradient), [1.0 / n_levels as f64; 4]);
    }
}

#[test]
fn encoder_and_noise_are_built_for_the_data() {
    fn error<T>(found: Result<T, ConfigError>) -> String {
        found.map(|_| ()).unwrap_err().to_string()
    }
    let _guard = device_rng();
    let (config, device) = (VariationalDequantizationConfig::new(), Device::flex());
    let site = Site::new([1, 1, 4, 4], &device);
    let encoder =
        |width| FlowPlusPlusEncoderConfig::new(Pattern::Stripes, width, 1, EncoderBlock::Conv);
    let net = ConvResNetConfig::new().with_n_filters(4).with_n_blocks(1);
    let coupling = CouplingConfig::new(AffineConfig::new(AffineForm::Exponential), net);
    let partition = PartitionConfig::new(Pattern::Stripes);
    let noise = (partition.clone(), coupling.clone(), Invert::new(partition), Sigmoid::new());
    let dequantization = config.build(&encoder(3), &noise, &site).unwrap();
    let flow = Flow::build(&LogitConfig::new(), StandardNormal::new(), site.shape(), &device);
    let flow = flow.unwrap().behind(dequantization);
    let x = || Tensor::from_data(TensorData::new((0..32i64).collect(), [2, 1, 4, 4]), &device);
    let flow = flow.initialize(x()).unwrap();
    assert_eq!(flow.evaluate(x()).unwrap().nats().len(), 2);

    let found = error(config.build(&encoder(0), &noise, &site));
    assert!(found.starts_with(".encoder: FlowPlusPlusEncoderConfig: `n_context`"), "{found}");
    // One channel has no halves.
    let found = error(config.build(&encoder(3), &(coupling, Sigmoid::new()), &site));
    assert!(found.starts_with(".flow[0]: "), "{found}");
    let squeeze = SqueezeConfig::new(ChannelOrder::BlockMajor);
    let text = ".flow: VariationalDequantization: expected length 1 along axis 1, \
                found shape [1, 4, 2, 2]";
    assert_eq!(error(config.build(&encoder(3), &(squeeze, Sigmoid::new()), &site)), text);
    let none = config.with_n_levels(0);
    assert!(error(none.build(&encoder(3), &noise, &site)).contains("n_levels"));
}

#[test]
fn more_levels_than_a_type_carries_are_refused() {
    let refused = |n_levels: usize, dtype: DType| {
        let uniform =
            UniformDequantizationConfig::new().with_n_levels(n_levels).with_dtype(dtype).validate();
        let variational = VariationalDequantizationConfig::new()
            .with_n_levels(n_levels)
            .with_dtype(dtype)
            .validate();
        assert_eq!(uniform.is_err(), variational.is_err());
        match uniform {
            Ok(()) => None,
            Err(ConfigError::Levels { found, most, .. }) => Some((found, most)),
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(refused(1 << 16, DType::F32), None);
    assert_eq!(refused((1 << 16) + 1, DType::F32), Some((65_537, 65_536)));
    assert_eq!(refused(1 << 20, DType::F32), Some((1 << 20, 65_536)));
    assert_eq!(refused(1 << 20, DType::F64), None);
    assert_eq!(refused(1 << 45, DType::F64), None);
    assert_eq!(refused((1 << 45) + 1, DType::F64), Some(((1 << 45) + 1, 1 << 45)));
    assert_eq!(refused(2, DType::BF16), Some((2, 0)));
    let error = UniformDequantizationConfig::new()
        .with_n_levels(1 << 24)
        .validate()
        .unwrap_err()
        .to_string();
    let expected = "UniformDequantizationConfig: `n_levels` must be at most 65536 in F32, found \
                    16777216: with fewer than 256";
    assert!(error.starts_with(expected) && error.contains("with_dtype(DType::F64)"), "{error}");
}

/// A configuration that says float64 before a float32 flow is found where data enters.
#[test]
fn a_flow_of_another_type_is_found() {
    let init = |dtype| {
        let layers = (
            fixed(&ScalarAffineConfig::new(1.0, -0.5)),
            layer(&ActNormConfig::new(), [1, 2], &Device::flex()),
        );
        Flow::new(layers, StandardNormal::new(), [1, 2]).unwrap().behind(uniform(1 << 20, dtype))
    };
    let x = || ints(&[3, 1 << 19, 77, 1 << 18], &Device::flex()).reshape([2, 2]);
    let is_levels = |error: &FlowError| {
        matches!(error, FlowError::Config(ConfigError::Levels { found: 1_048_576, .. }))
    };
    assert!(is_levels(&init(DType::F64).initialize(x()).map(|_| ()).unwrap_err()));
    let flow = init(DType::F64).without_data();
    assert!(is_levels(&flow.evaluate(x()).map(|_| ()).unwrap_err()));
    assert!(is_levels(&flow.evaluate_importance_weighted(x(), 2).map(|_| ()).unwrap_err()));
    assert!(is_levels(&flow.round_trip(x()).map(|_| ()).unwrap_err()));
}
