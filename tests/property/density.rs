//! Densities integrate to 1, and likelihoods of discrete data are anchored.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use flowkit::law::MixLogCdfConfig;
use flowkit::{
    Activation, Coupling, CouplingConfig, Density, Flow, Half, LayerConfig, Logit, LogitConfig,
    Mlp, MlpConfig, Site, StandardNormal, Swap, Uniform, UniformDequantizationConfig,
};

use crate::build::fixed;
use flowkit::testing::elements::{device_rng, elements, normal, tensor};
use flowkit::testing::parameters::change;

fn device() -> Device {
    Device::flex().autodiff()
}

type Layer = Coupling<flowkit::law::MixLogCdf, Mlp>;

/// Four couplings of two numbers with random parameters.
fn couplings(dtype: DType) -> Vec<Layer> {
    let _guard = device_rng();
    let config = CouplingConfig::new(
        MixLogCdfConfig::new(3),
        MlpConfig::new([6]).with_activation(Activation::Tanh),
    );
    let site = Site::<2>::new([1, 2], &device());
    let layer = |identity| config.clone().with_identity(identity).build(&site).unwrap();
    let layers: Vec<Layer> =
        [Half::First, Half::Second, Half::First, Half::Second].map(layer).into();
    let mut draws = normal(1, 10_000, 0.4).into_iter();
    change(layers, dtype, |_, old| draws.by_ref().take(old.len()).collect())
}

#[test]
fn densities_integrate_to_1() {
    use burn::module::Module;
    let flow = Flow::new(couplings(DType::F64), StandardNormal::new(), [1, 2])
        .unwrap()
        .without_data()
        .valid();
    // Wide enough for 1e-14 to be left outside (at ±60 it is 5e-8). The midpoint rule converges
    // faster than any power of the step where all vanishes at the ends.
    let (half_width, step) = (100.0, 0.2);
    let n = (2.0 * half_width / step) as usize;
    let at = |index: usize| -half_width + step * (index as f64 + 0.5);
    let row = |i: usize| -> f64 {
        let points = (0..n).flat_map(|j| [at(i), at(j)]).collect();
        let x: Tensor<2> = tensor(points, [n, 2], DType::F64, &device().inner());
        elements(&flow.log_prob(x)).iter().map(|log_prob| log_prob.exp()).sum()
    };
    let total = (0..n).map(row).sum::<f64>() * step * step;
    println!("integral - 1 = {:e}", total - 1.0);
    assert!((total - 1.0).abs() < 1e-8, "{total}");
}

fn levels(batch: usize) -> Tensor<2, Int> {
    let values: Vec<i64> = (0..2 * batch as i64).map(|i| (i * 97 + 13) % 256).collect();
    Tensor::from_data(TensorData::new(values, [batch, 2]), &device().inner())
}

/// The identity, a uniform prior and 256 levels: each number costs 8 bits whatever it is.
#[test]
fn the_identity_costs_8_bits() {
    let dequantization = UniformDequantizationConfig::new().build().unwrap();
    let flow = Flow::new(Vec::<Swap>::new(), Uniform::new(), [1, 2])
        .unwrap()
        .behind(dequantization)
        .without_data();
    let _guard = device_rng();
    for bits in [
        flow.evaluate(levels(100)).unwrap().bits_per_dim().value(),
        flow.evaluate_importance_weighted(levels(100), 5).unwrap().bits_per_dim().value(),
    ] {
        // Likelihoods are float32 numbers: ln 256 is off by half a spacing at most.
        assert!((bits - 8.0).abs() <= 8.0 * f64::from(f32::EPSILON) / 2.0, "{bits}");
    }
    assert_eq!(
        flow.evaluate(levels(100)).unwrap().bits_per_dim().to_string(),
        "8.0000 bits/dim (one-sample bound)"
    );
}

#[test]
fn importance_weights_tighten_the_bound() {
    use burn::module::Module;
    let layers: (Logit, Vec<Layer>) = (fixed(&LogitConfig::new()), couplings(DType::F32));
    // Four levels: the noise matters.
    let dequantization = UniformDequantizationConfig::new().with_n_levels(4).build().unwrap();
    let flow = Flow::new(layers, StandardNormal::new(), [1, 2])
        .unwrap()
        .behind(dequantization)
        .without_data()
        .valid();
    let x = || levels(50).div_scalar(64);
    let _guard = device_rng();
    let seed = || device().seed(5);
    seed();
    let one = flow.evaluate(x()).unwrap();
    seed();
    let weighted = flow.evaluate_importance_weighted(x(), 1).unwrap();
    for (one, weighted) in one.nats().iter().zip(weighted.nats()) {
        assert!((one - weighted).abs() <= 1e-12 * one.abs(), "{one} {weighted}");
    }
    // The same 64 draws: ln mean exp r >= mean r for every example, whatever the draws.
    seed();
    let draws: Vec<_> = (0..64).map(|_| flow.evaluate(x()).unwrap()).collect();
    seed();
    let weighted = flow.evaluate_importance_weighted(x(), 64).unwrap();
    let mut gain = 0.0;
    for example in 0..50 {
        let mean = draws.iter().map(|draw| draw.nats()[example]).sum::<f64>() / 64.0;
        assert!(weighted.nats()[example] >= mean - 1e-12, "{example}");
        gain += (weighted.nats()[example] - mean) / 50.0;
    }
    println!("64 samples gain {gain} nats");
    assert!(gain > 0.01, "{gain}");
    assert_eq!(weighted.provenance().samples, 64);
}
