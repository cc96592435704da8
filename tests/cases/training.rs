//! Small cases of Glow's data and priors, and of what trains the models.

use burn::module::{Param, ParamId};
use burn::tensor::{Int, Tensor, TensorData};
use flowkit::law::{AffineConfig, AffineForm, Law, LawConfig};
use flowkit::train::{OptimizerConfig, Trainer, TrainerConfig};
use flowkit::{
    Bijector, BitDepth, Prior, ScalarAffineConfig, StandardNormal, Surjection,
    UniformDequantizationConfig,
};
use serde_json::Value;

use super::common::{Precision, values};
use super::{Findings, number, numbers};
use crate::build::fixed;

/// A normal density is the standard one of `epsilon`, less the log-deviation.
pub fn glow_gaussian_diag(findings: &mut Findings, case: &Value) {
    let law = AffineConfig::new(AffineForm::Normal).build().unwrap();
    let theta =
        findings.precision.tensor(vec![number(&case["logsd"]), number(&case["mean"])], [1, 2, 1]);
    let x = findings.precision.tensor(numbers(&case["x"]), [1, 1]);
    let (epsilon, log_derivative) = law.forward(x.clone(), theta.clone());
    findings.check("eps", epsilon.clone(), &case["eps"]);
    let log_prob = StandardNormal::new().log_prob(epsilon.clone(), &()) + log_derivative.sum();
    findings.check("logp", log_prob, &case["logp"]);
    findings.check("x", law.inverse(epsilon, theta), &case["x"]);
}

/// Levels reduced, dequantized without noise, centred.
pub fn glow_preprocess(findings: &mut Findings, case: &Value) {
    for entry in case.as_array().unwrap() {
        let depth = BitDepth::new(entry["n_bits"].as_u64().unwrap() as usize).unwrap();
        let level = vec![entry["x"].as_i64().unwrap()];
        let x = Tensor::<2, Int>::from_data(
            TensorData::new(level, [1, 1]),
            &findings.precision.device(),
        );
        let dequantization =
            UniformDequantizationConfig::new().with_n_levels(depth.n_levels()).build().unwrap();
        let (y, _) =
            dequantization.lift(depth.reduce(x), findings.precision.tensor(vec![0.0], [1, 1]));
        let centre = fixed(&ScalarAffineConfig::new(1.0, -0.5));
        findings.check("y", centre.forward(y, &()).0, &entry["y"]);
    }
}

/// One parameter, led along given gradients.
fn follow(findings: &Findings, case: &Value, optimizer: OptimizerConfig) -> Vec<f64> {
    let theta = findings.precision.leaf(numbers(&case["theta0"]), [1]);
    let config = TrainerConfig::new()
        .with_learning_rate(number(&case["lr"]))
        .with_warm_up(0)
        .with_max_norm(f64::MAX)
        .with_optimizer(optimizer);
    let mut trainer = Trainer::new(Param::initialized(ParamId::new(), theta), config).unwrap();
    let step = |gradient: f64| {
        let update = |theta: &Param<Tensor<1>>| theta.val().mul_scalar(gradient);
        trainer.update(&findings.precision.device(), update).unwrap();
        values(trainer.model().val())
    };
    numbers(&case["grads"]).into_iter().flat_map(step).collect()
}

pub fn adam_tf(findings: &mut Findings, case: &Value) {
    // TensorFlow adds epsilon to the root before the correction of its bias, burn after: 6e-10 in
    // the first step. Burn holds 1 − β₂ in float32, 1.3e-5 off: 1e-8 in a step of 1e-3. Float32
    // rounds θ itself by 6e-8.
    let limit = if findings.precision == Precision::Double { 3e-8 } else { 2e-7 };
    findings.check_to(
        limit,
        "theta",
        &follow(findings, case, OptimizerConfig::Adam),
        &numbers(&case["theta"]),
    );
}

pub fn glow_adamax(findings: &mut Findings, case: &Value) {
    let limit = if findings.precision == Precision::Double { 1e-14 } else { 2e-7 };
    let optimizer = OptimizerConfig::Adamax { beta_2: number(&case["beta2"]) };
    findings.check_to(limit, "theta", &follow(findings, case, optimizer), &numbers(&case["theta"]));
}
