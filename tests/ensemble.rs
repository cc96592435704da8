//! Ensembles: the mean of densities, and samples of random members.

use burn::tensor::{DType, Device};
use flowkit::testing::elements::{device_rng, elements, normal, tensor};
use flowkit::{
    ActNorm, ActNormConfig, ConfigError, Density, Ensemble, Flow, FlowError, StandardNormal, Swap,
    UniformBoxConfig,
};

type Member = Flow<ActNorm<2>, StandardNormal, 2>;

/// A normal distribution around `mean` with deviation `scale`.
fn member(mean: f64, scale: f64, device: &Device) -> Member {
    let x = tensor::<2>(vec![mean - scale, mean + scale], [2, 1], DType::F32, device);
    let flow = Flow::build(&ActNormConfig::new(), StandardNormal::new(), [1, 1], device).unwrap();
    flow.initialize(x).unwrap()
}

#[test]
fn the_density_is_the_mean_of_the_densities() {
    let members = vec![
        member(-3.0, 1.0, &Device::flex()),
        member(0.5, 0.1, &Device::flex()),
        member(2.0, 5.0, &Device::flex()),
    ];
    let ensemble = Ensemble::new(members.clone()).unwrap();
    // Far from all members, where each density underflows.
    let values = vec![-3.0, 0.5, 1.0, 60.0, -900.0];
    let x = tensor::<2>(values, [5, 1], DType::F32, &Device::flex());
    let each: Vec<Vec<f64>> =
        members.iter().map(|one| one.evaluate(x.clone()).unwrap().nats().to_vec()).collect();
    let found = ensemble.evaluate(x.clone()).unwrap();
    let differentiable = elements(&ensemble.log_prob(x));
    for row in 0..5 {
        let largest = each.iter().map(|nats| nats[row]).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = each.iter().map(|nats| (nats[row] - largest).exp()).sum();
        let expected = largest + (sum / 3.0).ln();
        for found in [found.nats()[row], differentiable[row]] {
            assert!((found - expected).abs() < 1e-5 * (1.0 + expected.abs()), "{row}: {found}");
        }
    }
    assert_eq!(
        Ensemble::<Member>::new(vec![]).unwrap_err(),
        ConfigError::Zero { config: "Ensemble", field: "members" }
    );
    let one = Ensemble::new(members[..1].to_vec()).unwrap();
    let x = tensor::<2>(vec![0.7], [1, 1], DType::F32, &Device::flex());
    assert_eq!(one.evaluate(x.clone()).unwrap(), members[0].evaluate(x).unwrap());
}

/// A member without density somewhere says nothing against the others; nor do all of them.
#[test]
fn members_may_have_no_density() {
    let uniform = |upper: f64| {
        let prior = UniformBoxConfig::between(0.0, upper);
        Flow::build(&Swap::new(), prior, [1, 2], &Device::flex()).unwrap().without_data()
    };
    let ensemble = Ensemble::new(vec![uniform(1.0), uniform(2.0)]).unwrap();
    let x = tensor::<2>(vec![0.5, 0.5, 1.5, 1.5, 3.0, 3.0], [3, 2], DType::F32, &Device::flex());
    let found = elements(&ensemble.log_prob(x));
    for (found, expected) in found.iter().zip([0.625f64.ln(), 0.125f64.ln()]) {
        assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
    }
    assert_eq!(found[2], f64::NEG_INFINITY);
}

#[test]
fn members_of_other_shapes_are_named() {
    // The members are sampled before their shapes are compared.
    let _guard = device_rng();
    let of = |dims: usize| {
        let layer = ActNormConfig::new();
        let flow = Flow::build(&layer, StandardNormal::new(), [1, dims], &Device::flex());
        flow.unwrap().without_data()
    };
    let ensemble = Ensemble::new(vec![of(2), of(3)]).unwrap();
    let error = ensemble.sample(4, 0).unwrap_err();
    assert!(matches!(error, FlowError::Shape(_)), "{error}");
    assert!(error.to_string().contains("Ensemble"), "{error}");
}

#[test]
fn gradients_reach_all_members() {
    let device = Device::flex().autodiff();
    let ensemble = Ensemble::new(vec![member(-1.0, 1.0, &device), member(1.0, 1.0, &device)]);
    let ensemble = ensemble.unwrap();
    let x = tensor::<2>(normal(1, 8, 1.0), [8, 1], DType::F32, &device);
    let gradients = ensemble.log_prob(x.clone()).mean().backward();
    // The slope of the mean is that of each member, weighted by its share of the density.
    for (index, one) in ensemble.members().iter().enumerate() {
        let shares = (one.log_prob(x.clone()) - ensemble.log_prob(x.clone())).exp().div_scalar(2.0);
        let slope = (one.log_prob(x.clone()) * shares.detach()).mean().backward();
        let found = elements(&one.bijector.bias.val().grad(&gradients).unwrap())[0];
        let expected = elements(&one.bijector.bias.val().grad(&slope).unwrap())[0];
        assert!((found - expected).abs() < 1e-5, "{index}: {found}, expected {expected}");
    }
}

#[test]
fn samples_are_of_all_members_alike() {
    let _guard = device_rng();
    let device = Device::flex();
    let ensemble = Ensemble::new(vec![member(-50.0, 1.0, &device), member(50.0, 1.0, &device)]);
    let ensemble = ensemble.unwrap();
    let sample = |seed| {
        device.seed(4);
        elements(&ensemble.sample(2000, seed).unwrap())
    };
    let samples = sample(0);
    let positive = samples.iter().filter(|&&x| x > 0.0).count();
    // The deviation of a fair coin is 22.
    assert!((900..1100).contains(&positive), "{positive}");
    assert!(samples.iter().all(|x| (x.abs() - 50.0).abs() < 6.0));
    // Members alternate at random, and by the seed.
    let changes = samples.windows(2).filter(|pair| pair[0] * pair[1] < 0.0).count();
    assert!((900..1100).contains(&changes), "{changes}");
    assert_eq!(samples, sample(0));
    assert_ne!(samples, sample(1));
    assert!(ensemble.sample(0, 0).is_err());
}
