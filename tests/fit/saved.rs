//! A flow in a file.

use std::fs;

use burn_store::{BurnpackStore, ModuleSnapshot, SafetensorsStore};
use flowkit::law::AnyLawConfig;
use flowkit::{
    Activation, Conv1x1Config, CouplingConfig, Half, MlpConfig, Order, PermutationConfig,
};

use super::*;

#[test]
fn a_saved_flow_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moons.safetensors");
    let data = TwoMoons::new(300, 0.1, 1);
    let fitted = config().with_epochs(2).fit(plane::<()>(1, None), &data).unwrap();
    fitted.flow.save(&path).unwrap();
    let loaded = plane::<()>(2, None).load(&path).unwrap();
    let x = data.points(&device());
    assert_eq!(values(&loaded, &x), values(&fitted.flow, &x));

    // Another law, and equal shapes of another function.
    let other = RealNvpConfig::new(4).with_law(AffineConfig::new(AffineForm::Exponential).into());
    let error = Flow::build(&Boxed::new(other), StandardNormal::new(), [1, 2], &device())
        .unwrap()
        .load(&path)
        .unwrap_err()
        .to_string();
    for part in ["conditioner.net.n_params`", "`2`", "`14`"] {
        assert!(error.contains(part), "{error}");
    }
    let factor = |factor| {
        let config = ActNormConfig::new().with_log_scale_factor(factor);
        Flow::build(&config, StandardNormal::new(), [1, 2], &device()).unwrap()
    };
    factor(1.5).without_data().save(&path).unwrap();
    let error = factor(3.0).load(&path).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, CheckpointError::OtherArchitecture { .. }), "{text}");
    assert!(["log_scale_factor", "1.5", "3.0"].iter().all(|part| text.contains(part)), "{text}");

    fitted.flow.save(&path).unwrap();
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let load = |path: &std::path::Path| plane::<()>(1, None).load(path).unwrap_err();
    let named = |path: &std::path::Path| {
        let error = load(path);
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        error
    };
    assert!(matches!(named(&path), CheckpointError::NotSafetensors { .. }));
    fs::write(&path, b"a picture, say").unwrap();
    assert!(matches!(named(&path), CheckpointError::NotSafetensors { .. }));
    fs::write(&path, b"\x02\0\0\0\0\0\0\0{}").unwrap();
    assert!(matches!(named(&path), CheckpointError::NotCheckpoint { .. }));
    assert!(matches!(named(&folder.path().join("none")), CheckpointError::Read { .. }));
    // The last byte of a parameter.
    fitted.flow.save(&path).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    assert!(matches!(named(&path), CheckpointError::Checksum { .. }));
    // A file of burn-store has no architecture.
    fitted.flow.save_into(&mut SafetensorsStore::from_file(&path).overwrite(true)).unwrap();
    assert!(matches!(named(&path), CheckpointError::NotCheckpoint { .. }));
    Trainer::new(normal().train(), TrainerConfig::new())
        .unwrap()
        .save(&path, Default::default())
        .unwrap();
    assert!(
        matches!(load(&path), CheckpointError::MissingSection { .. }),
        "a trainer's checkpoint is no flow's file"
    );
}

/// burn's records and files, which hold the parameters: permutations and signs too.
#[test]
fn burns_own_records_work() {
    let folder = tempfile::tempdir().unwrap();
    let x = TwoMoons::new(50, 0.1, 1).points(&device());
    let flow = |seed| {
        device().seed(seed);
        let order = Order::Shuffled { seed };
        let layers = (
            ActNormConfig::new(),
            Conv1x1Config::new(),
            PermutationConfig::new().with_order(order),
            RealNvpConfig::new(2),
        );
        Flow::build(&layers, StandardNormal::new(), [1, 2], &device()).unwrap()
    };
    let saved = flow(1).initialize(x.clone()).unwrap();
    let expected = values(&saved, &x);
    assert_ne!(values(&flow(2).without_data(), &x), expected);
    let loaded = flow(2).without_data().load_record(saved.clone().into_record());
    assert_eq!(values(&loaded, &x), expected);

    let path = folder.path().join("flow.safetensors");
    saved.save_into(&mut SafetensorsStore::from_file(&path)).unwrap();
    let mut loaded = flow(2).without_data();
    let result = loaded.load_from(&mut SafetensorsStore::from_file(&path)).unwrap();
    assert!(result.is_success() && result.unused.is_empty(), "{result:?}");
    assert_eq!(values(&loaded, &x), expected);

    let path = folder.path().join("flow.bpk");
    saved.save_into(&mut BurnpackStore::from_file(&path)).unwrap();
    let mut loaded = flow(3).without_data();
    loaded.load_from(&mut BurnpackStore::from_file(&path)).unwrap();
    assert_eq!(values(&loaded, &x), expected);
}

/// What differs, where, and both values.
#[test]
fn another_architecture_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flow.safetensors");
    let net = || MlpConfig::new([8]);
    let affine = |form| AnyLawConfig::from(AffineConfig::new(form));
    let coupling = |law, net| vec![CouplingConfig::<AnyLawConfig, _>::new(law, net); 2];
    let flow = |layers: &Vec<CouplingConfig<AnyLawConfig, MlpConfig>>| {
        Flow::build(&Boxed::new(layers.clone()), StandardNormal::new(), [1, 2], &device()).unwrap()
    };
    flow(&coupling(affine(AffineForm::Sigmoid), net())).without_data().save(&path).unwrap();
    let mut second = coupling(affine(AffineForm::Sigmoid), net());
    second[1].identity = Half::Second;
    let cases = [
        (
            coupling(affine(AffineForm::Exponential), net()),
            ["`flow.bijector.0.law", "Exponential", "Sigmoid"],
        ),
        (
            coupling(affine(AffineForm::Sigmoid), net().with_activation(Activation::Tanh)),
            ["`flow.bijector.0.conditioner.net.activation`", "Tanh", "Silu"],
        ),
        (second, ["`flow.bijector.1.identity`", "Second", "First"]),
        (
            coupling(affine(AffineForm::Sigmoid), MlpConfig::new([9])),
            ["`flow.bijector.0.conditioner.net.hidden.0.weight`", "[1, 9]", "[1, 8]"],
        ),
        (
            coupling(affine(AffineForm::Sigmoid), MlpConfig::new([8, 8])),
            ["`flow.bijector.0.conditioner.net.hidden.1`", "has `Linear`", "with nothing"],
        ),
        (
            coupling(affine(AffineForm::Sigmoid), net())[..1].to_vec(),
            ["`flow.bijector.1`", "has nothing", "with `Coupling`"],
        ),
    ];
    for (layers, parts) in cases {
        let text = flow(&layers).load(&path).unwrap_err().to_string();
        println!("{text}");
        for part in parts {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
}

/// Weights that are not finite are not written.
#[test]
fn a_flow_that_is_not_finite_is_not_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flow.safetensors");
    let x = Tensor::<2>::from_data([[1e38, 0.0], [-1e38, 1.0]], &device());
    let mut flow = normal();
    flow.bijector = flow.bijector.map(&mut Nan);
    assert!(flow.evaluate(x).is_err());
    assert!(matches!(
        flow.save(&path),
        Err(CheckpointError::NonFiniteWeights { name }) if name.starts_with("flow.")
    ));
    assert!(!path.exists());
}

struct Nan;

impl burn::module::ModuleMapper for Nan {
    fn map_float<const D: usize>(
        &mut self,
        param: burn::module::Param<Tensor<D>>,
    ) -> burn::module::Param<Tensor<D>> {
        param.map(|value| value.mul_scalar(f32::NAN))
    }
}
