//! The gradient of a model by a stored graph, and by replays.

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Device;
use flowkit::bijector::replay::Replay;
use flowkit::testing::elements::elements;
use flowkit::train::Objective;

/// Where the models of these tests live.
pub fn device() -> Device {
    Device::flex().autodiff()
}

/// Loss and gradients, the latter in a row.
pub fn gradient<M: Module>(
    model: &M,
    objective: &impl Objective<M>,
    replay: Option<Replay<()>>,
) -> (f64, Vec<f64>) {
    device().seed(11);
    let (loss, gradients) = match replay {
        None => {
            let loss = objective.loss(model);
            (loss.clone().inner(), GradientsParams::from_grads(loss.backward(), model))
        }
        Some(mut replay) => (objective.replay(model, &mut replay).unwrap(), replay.parameters),
    };
    let all = flowkit::testing::parameters::gradients_by_id(model, &gradients);
    (elements(&loss)[0], all.into_iter().flatten().flatten().collect())
}

/// Distance over length.
pub fn relative(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| {
        values.map(|value| value * value).sum::<f64>().sqrt()
    };
    norm(&mut found.iter().zip(expected).map(|(a, b)| a - b)) / norm(&mut expected.iter().copied())
}

/// Gradients of both replays against that of a stored graph; `exact` asks for all bits of the one
/// that recomputes.
pub fn agree<M: Module>(name: &str, model: &M, objective: &impl Objective<M>, exact: bool) {
    let (loss, expected) = gradient(model, objective, None);
    for (policy, replay, tolerance) in
        [("Recompute", Replay::recomputing(5), 1e-5), ("Reversible", Replay::new(5), 1e-3)]
    {
        let (replayed, found) = gradient(model, objective, Some(replay));
        let off = relative(&found, &expected);
        println!("{name} {policy}: gradient off by {off:.1e}, loss {loss} and {replayed}");
        assert_eq!(replayed, loss, "{name} {policy}");
        assert!(off < tolerance, "{name} {policy}: {off}");
        if exact && policy == "Recompute" {
            assert!(found == expected, "{name}: not bit for bit");
        }
    }
}
