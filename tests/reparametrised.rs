//! Samples that can be differentiated: gradients through the inverse against finite differences.

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};
use flowkit::law::{
    AffineConfig, AffineForm, LawConfig, MixLogCdfConfig, RationalQuadraticSplineConfig,
};
use flowkit::testing::elements::{device_rng, dot, elements, normal, tensor};
use flowkit::testing::parameters::{change, gradients, parameters};
use flowkit::{
    ActNormConfig, Bijector, Context, Conv1x1Config, CouplingConfig, Density, DiagonalNormal, Flow,
    LayerConfig, MlpConfig, Reparametrised, ReparametrisedPrior, Site, StandardNormal,
};

const N: usize = 6;
const DIMS: usize = 4;

fn device() -> Device {
    Device::flex().autodiff()
}

/// An expectation under the model that is no symmetric function of its elements.
fn objective(x: Tensor<2>, log_prob: Tensor<1>) -> Tensor<1> {
    let weights = tensor::<2>(normal(5, DIMS, 1.0), [1, DIMS], DType::F64, &device());
    let energy = (x.clone() * weights).sin() + x.square().mul_scalar(0.3);
    (log_prob + energy.sum_dim(1).squeeze_dim::<1>(1)).mean()
}

/// The gradient along a random direction of all parameters is the difference quotient along it.
fn check<B, P, C>(name: &str, flow: Flow<B, P, 2, C>, context: &C)
where
    C: Context,
    B: Bijector<2, C>,
    P: ReparametrisedPrior<2, C>,
{
    let flow = change(flow, DType::F64, |index, values| {
        values
            .iter()
            .zip(normal(70 + index as u64, values.len(), 0.2))
            .map(|(value, noise)| value + noise)
            .collect()
    });
    let loss = |flow: &Flow<B, P, 2, C>| {
        device().seed(17);
        let (x, log_prob) = flow.given(context).rsample(N).unwrap();
        objective(x, log_prob)
    };
    let found = gradients(&flow, &loss(&flow).backward());
    let directions: Vec<Vec<f64>> = parameters(&flow)
        .iter()
        .enumerate()
        .map(|(i, p)| normal(90 + i as u64, p.values.len(), 1.0))
        .collect();
    let slope: f64 =
        found.iter().zip(&directions).filter_map(|(g, d)| Some(dot(g.as_ref()?, d))).sum();
    let h = 1e-5;
    let moved = |by: f64| {
        let moved = change(flow.clone(), DType::F64, |index, values| {
            values.iter().zip(&directions[index]).map(|(value, d)| value + by * d).collect()
        });
        elements(&loss(&moved))[0]
    };
    let quotient = (moved(h) - moved(-h)) / (2.0 * h);
    assert!(slope.abs() > 1e-3, "{name}: the slope is {slope}");
    assert!(
        (slope - quotient).abs() < 1e-6 * (1.0 + slope.abs()),
        "{name}: {slope}, expected {quotient}"
    );
}

fn coupling<L: LawConfig>(law: L) -> flowkit::Coupling<L::Law, flowkit::Mlp> {
    CouplingConfig::new(law, MlpConfig::new([5]))
        .build(&Site::<2>::new([1, DIMS], &device()))
        .unwrap()
}

#[test]
fn gradients_reach_layers_and_prior() {
    let _guard = device_rng();
    let site = Site::new([1, DIMS], &device());
    let before = || (ActNormConfig::new(), Conv1x1Config::new()).build(&site).unwrap();
    let prior = || DiagonalNormal::new([1, DIMS], &device());
    let shape = [1, DIMS];
    let affine = coupling(AffineConfig::new(AffineForm::Exponential));
    check("affine", Flow::new((before(), affine), prior(), shape).unwrap().without_data(), &());
    let mixture = coupling(MixLogCdfConfig::new(3));
    check("mixture", Flow::new((before(), mixture), prior(), shape).unwrap().without_data(), &());
    let spline = coupling(RationalQuadraticSplineConfig::new(4));
    check(
        "spline",
        Flow::new((before(), spline), StandardNormal::new(), shape).unwrap().without_data(),
        &(),
    );
}

#[test]
fn samples_and_densities_are_those_of_the_model() {
    let _guard = device_rng();
    let site = Site::new([1, DIMS], &device());
    let layers = (ActNormConfig::new(), Conv1x1Config::new()).build(&site).unwrap();
    let flow = Flow::new(layers, StandardNormal::new(), [1, DIMS]).unwrap().without_data();
    device().seed(3);
    let (x, log_prob) = flow.rsample(N).unwrap();
    device().seed(3);
    let samples = flow.sample_with_log_prob(N).unwrap();
    assert_eq!(elements(&x), elements(&samples.x));
    assert_eq!(elements(&log_prob), samples.log_likelihood.nats());
    let evaluated = flow.evaluate(x).unwrap();
    for (a, b) in evaluated.nats().iter().zip(elements(&log_prob)) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
    assert!(flow.valid().rsample(0).is_err());
}
