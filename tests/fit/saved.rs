//! A flow in a file.

use std::fs;

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
    // burn's own record.
    let loaded = plane::<()>(3, None).without_data().load_record(fitted.flow.clone().into_record());
    assert_eq!(values(&loaded, &x), values(&fitted.flow, &x));

    // Other shapes, and equal shapes of another function.
    let other = RealNvpConfig::new(4).with_law(AffineConfig::new(AffineForm::Exponential).into());
    let error = Flow::build(&Boxed::new(other), StandardNormal::new(), [1, 2], &device())
        .unwrap()
        .load(&path)
        .unwrap_err()
        .to_string();
    for part in ["conditioner.net.output.weight", "[64, 2]", "[64, 14]"] {
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
    assert!(matches!(load(&path), CheckpointError::NotSafetensors { .. }));
    fs::write(&path, b"a picture, say").unwrap();
    assert!(matches!(load(&path), CheckpointError::NotSafetensors { .. }));
    fs::write(&path, b"\x02\0\0\0\0\0\0\0{}").unwrap();
    assert!(matches!(load(&path), CheckpointError::NotCheckpoint { .. }));
    assert!(matches!(load(&folder.path().join("none")), CheckpointError::Read { .. }));
    Trainer::new(normal().train(), TrainerConfig::new())
        .unwrap()
        .save(&path, Default::default())
        .unwrap();
    assert!(
        matches!(load(&path), CheckpointError::MissingSection { .. }),
        "a trainer's checkpoint is no flow's file"
    );
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
    assert!(
        matches!(flow.save(&path), Err(CheckpointError::NonFiniteWeights { name }) if name.starts_with("flow."))
    );
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
