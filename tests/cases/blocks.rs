//! Small cases of the blocks: every entry of the file has a test or a reason to have none.

use burn::module::{Module, Param, ParamId};
use burn::tensor::{Device, Int, Tensor, TensorData};
use flowkit::conditioner::layer::{
    ChannelNormConfig, ConvInit, DataInitConvConfig, GatedAttentionConfig, GatedConvConfig,
    concat_elu,
};
use flowkit::law::{AffineConfig, AffineForm, Law, LawConfig, MixLogCdfConfig};
use flowkit::model::flow_plus_plus::FlowPlusPlusPreset;
use flowkit::train::WarmUp;
use flowkit::{
    ActNormConfig, Bijector, ChannelOrder, Conv1x1Config, CouplingConfig, Density, Encoder, Flow,
    GatedNetConfig, LayerConfig, LogitConfig, Mixing, PartitionConfig, Pattern, PositionNormConfig,
    Prior, Sigmoid, Site, SqueezeConfig, StandardNormal, Surjection, UniformDequantizationConfig,
    VariationalDequantization, VariationalDequantizationConfig,
};
use serde_json::{Map, Value, json};

use super::common::parameters::{cast, set};
use super::common::values;
use super::{Findings, each_precision, number, numbers, training};
use crate::build;
use crate::build::{fixed_image, layer};

type Test = fn(&mut Findings, &Value);

const TESTED: [(&str, Test); 21] = [
    ("imgproc_256", |findings, case| imgproc(findings, case, 256.0)),
    ("imgproc_32", |findings, case| imgproc(findings, case, 32.0)),
    ("sigmoid_flow", sigmoid_flow),
    ("bpd_one_dim_uniform", bpd_one_dim_uniform),
    ("bpd_one_dim_variational", bpd_one_dim_variational),
    ("orderings", orderings),
    ("concat_elu", concat_elu_case),
    ("layernorm", layernorm),
    ("gated_conv_nin_aux", gated_conv_nin_aux),
    ("gated_attn", gated_attn),
    ("coupling_cifar_variant", coupling_cifar_variant),
    ("flowpp_norm_init", flowpp_norm_init),
    ("glow_actnorm_init", glow_actnorm_init),
    ("conv_init_scale_0.1", conv_init),
    ("glow_plu", glow_plu),
    ("glow_affine_coupling_pixel", glow_affine_coupling_pixel),
    ("glow_gaussian_diag", training::glow_gaussian_diag),
    ("glow_preprocess", training::glow_preprocess),
    ("lr_imagenet32", lr_imagenet32),
    ("adam_tf", training::adam_tf),
    ("glow_adamax", training::glow_adamax),
];

const UNTESTED: [(&str, &str); 1] = [("lr_cifar", "the tests of train::WarmUp have these numbers")];

fn cases() -> Map<String, Value> {
    serde_json::from_str(include_str!("small_cases.json")).unwrap()
}

#[test]
fn every_small_case_is_tested_or_has_a_reason_not_to_be() {
    let mut known: Vec<&str> = TESTED.iter().map(|(name, _)| *name).collect();
    known.extend(UNTESTED.iter().map(|(name, reason)| {
        assert!(!reason.is_empty());
        *name
    }));
    known.sort_unstable();
    let cases = cases();
    let mut found: Vec<&str> = cases.keys().map(String::as_str).collect();
    found.sort_unstable();
    assert_eq!(found, known);
}

#[test]
fn small_cases() {
    let cases = cases();
    each_precision(|findings| {
        for (name, test) in TESTED {
            findings.case = name.to_owned();
            test(findings, &cases[name]);
        }
    });
}

/// Field `key` of every entry of a list.
fn column(case: &Value, key: &str) -> Vec<f64> {
    case.as_array().unwrap().iter().map(|entry| number(&entry[key])).collect()
}

/// A tensor with the shape of the nested lists.
fn tensor<const D: usize>(findings: &Findings, value: &Value) -> Tensor<D> {
    let mut shape = [0; D];
    let mut inner = value;
    for length in &mut shape {
        *length = inner.as_array().unwrap().len();
        inner = &inner[0];
    }
    findings.precision.tensor(numbers(value), shape)
}

fn imgproc(findings: &mut Findings, case: &Value, levels: f64) {
    let x: Vec<f64> = column(case, "x").iter().map(|x| x / levels).collect();
    let shape = [x.len(), 1];
    let logit = build::fixed(&LogitConfig::new());
    let (z, log_det) = logit.forward(findings.precision.tensor(x.clone(), shape), &());
    findings.check("y", z.clone(), &json!(column(case, "y")));
    // The division by the levels belongs to the dequantization here.
    findings.check("logd", log_det.sub_scalar(levels.ln()), &json!(column(case, "logd")));
    findings.check("inverse", logit.inverse(z, &()), &json!(x));
}

fn sigmoid_flow(findings: &mut Findings, case: &Value) {
    let x = column(case, "x");
    let shape = [x.len(), 1];
    let (z, log_det) = Sigmoid::new().forward(findings.precision.tensor(x.clone(), shape), &());
    findings.check("y", z, &json!(column(case, "y")));
    findings.check("logd", log_det, &json!(column(case, "logd")));
    // Where 1 − y has digits left.
    let (x, y): (Vec<f64>, Vec<f64>) =
        x.into_iter().zip(column(case, "y")).filter(|(x, _)| (-30.0..=2.0).contains(x)).unzip();
    let shape = [y.len(), 1];
    findings.check(
        "inverse",
        Sigmoid::new().inverse(findings.precision.tensor(y, shape), &()),
        &json!(x),
    );
}

fn one_level(findings: &Findings, case: &Value) -> Tensor<2, Int> {
    Tensor::from_data(
        TensorData::new(vec![case["x"].as_i64().unwrap()], [1, 1]),
        &findings.precision.device(),
    )
}

/// Compares the bound of one pixel, and the flow behind the dequantization.
fn check_bound<S>(findings: &mut Findings, case: &Value, surjection: S, noise: &Value)
where
    S: Surjection<2, Data = Tensor<2, Int>, Noise = Tensor<2>>,
{
    let flow = Flow::new(build::fixed(&LogitConfig::new()), StandardNormal::new(), [1, 1])
        .unwrap()
        .behind(surjection)
        .without_data();
    let (x, noise) = (one_level(findings, case), findings.precision.tensor(numbers(noise), [1, 1]));
    let (y, log_weight) = flow.surjection.lift(x.clone(), noise.clone());
    let (z, log_det) = flow.bijector.forward(y.clone(), &());
    let levels = 256.0_f64;
    findings.check("(x + u)/256", y, &json!((number(&case["x"]) + number(&case["u"])) / levels));
    findings.check("z", z.clone(), &case["z"]);
    findings.check("imgproc_logd", log_det.sub_scalar(levels.ln()), &case["imgproc_logd"]);
    let dequantization = case.get("dequant_logd").cloned().unwrap_or(json!(0.0));
    findings.check("dequant_logd", log_weight.add_scalar(levels.ln()), &dequantization);
    findings.check("log_normal", flow.prior.log_prob(z, &()), &case["log_normal"]);
    findings.check(
        "bpd",
        flow.log_weight(x, noise).neg().div_scalar(std::f64::consts::LN_2),
        &case["bpd"],
    );
}

fn bpd_one_dim_uniform(findings: &mut Findings, case: &Value) {
    check_bound(findings, case, UniformDequantizationConfig::new().build().unwrap(), &case["u"]);
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

fn bpd_one_dim_variational(findings: &mut Findings, case: &Value) {
    let config = VariationalDequantizationConfig::new();
    let surjection = VariationalDequantization::new(&config, Blind {}, Sigmoid::new()).unwrap();
    check_bound(findings, case, surjection, &case["eps"]);
}

fn orderings(findings: &mut Findings, case: &Value) {
    let x = findings.precision.tensor((0..32).map(f64::from).collect(), [1, 2, 4, 4]);
    let squeezed = |order| fixed_image(&SqueezeConfig::new(order)).forward(x.clone(), &()).0;
    let list = values::<4>;
    let stripes = fixed_image(&PartitionConfig::new(Pattern::Stripes)).forward(x.clone(), &()).0;
    let [first, second] = [0, 2].map(|channel| list(stripes.clone().narrow(1, channel, 2)));
    for (key, found) in [
        ("flowpp_space_to_depth", list(squeezed(ChannelOrder::BlockMajor))),
        ("glow_squeeze", list(squeezed(ChannelOrder::ChannelMajor))),
        ("stripe_split_first", first),
        ("stripe_split_second", second),
    ] {
        findings.check_to(0.0, key, &found, &numbers(&case[key]));
    }
}

fn concat_elu_case(findings: &mut Findings, case: &Value) {
    let x = findings.precision.tensor(numbers(&case["x"]), [1, 2, 1, 1]);
    findings.check("y", concat_elu(x), &case["y"]);
}

fn layernorm(findings: &mut Findings, case: &Value) {
    let norm = ChannelNormConfig::new(4).build(&findings.precision.device()).unwrap();
    let norm = set(norm, findings.precision, |path| {
        numbers(&case[if path == "gain" { "g" } else { "b" }])
    });
    findings.check("y", norm.forward(tensor(findings, &case["x"])), &case["y"]);
}

/// `layer.conv.weight` as `name_w`, `layer.conv.bias` as `name_b`.
fn conv(params: &Value, names: &[(&str, &str)], path: &str) -> Vec<f64> {
    let (layer, leaf) =
        path.split_once(".conv.").unwrap_or_else(|| panic!("{path} is no convolution's"));
    let name = names
        .iter()
        .find(|(own, _)| *own == layer)
        .unwrap_or_else(|| panic!("unknown layer {layer}"))
        .1;
    numbers(&params[format!("{name}_{}", &leaf[..1])])
}

fn gated_conv_nin_aux(findings: &mut Findings, case: &Value) {
    let block = GatedConvConfig::new(4)
        .with_n_context(Some(3))
        .build(&findings.precision.device())
        .unwrap();
    let names = [("inner", "c1"), ("context", "a"), ("gate", "c2")];
    let block = set(block, findings.precision, |path| conv(&case["params"], &names, path));
    let context = concat_elu(tensor(findings, &case["aux"]));
    findings.check("y", block.forward(tensor(findings, &case["x"]), Some(&context)), &case["y"]);
}

fn heads(case: &Value) -> Mixing {
    Mixing::Attention { heads: case["heads"].as_u64().unwrap() as usize }
}

fn gated_attn(findings: &mut Findings, case: &Value) {
    let block = GatedAttentionConfig::new(4)
        .with_mixing(heads(case))
        .build(&findings.precision.device())
        .unwrap();
    let names = [("projection", "proj1"), ("gate", "proj2")];
    let block = set(block, findings.precision, |path| conv(&case["params"], &names, path));
    let positions = tensor::<3>(findings, &case["pos_emb"]).unsqueeze::<4>();
    findings.check("y", block.forward(tensor(findings, &case["x"]), positions), &case["y"]);
}

/// The released code orders the parameters of a law channel by channel, this crate parameter by
/// parameter.
fn parameter_major(channel_major: &[f64], channels: usize, params: usize) -> Vec<f64> {
    let each = channel_major.len() / (channels * params);
    let rows = (0..params).flat_map(|p| (0..channels).map(move |c| c * params + p));
    rows.flat_map(|row| channel_major[row * each..][..each].to_vec()).collect()
}

fn coupling_cifar_variant(findings: &mut Findings, case: &Value) {
    let law = MixLogCdfConfig::new(case["components"].as_u64().unwrap() as usize);
    let n_params = law.build().unwrap().n_params();
    let config = CouplingConfig::new(law, GatedNetConfig::new(4, 1).with_mixing(Some(heads(case))));
    let coupling = config.build(&Site::new([1, 4, 2, 2], &findings.precision.device())).unwrap();
    let params = &case["params"];
    let coupling = set(coupling, findings.precision, |path| {
        let path = path.strip_prefix("conditioner.net.").unwrap_or(path);
        if path == "positions" {
            return numbers(&params["pos_emb"]);
        }
        if path.starts_with("output") {
            return parameter_major(&conv(params, &[("output", "proj_out")], path), 2, n_params);
        }
        let Some(path) = path.strip_prefix("blocks.0.") else {
            return conv(params, &[("input", "proj_in")], path);
        };
        let block = &params["blocks"][0];
        match path {
            "conv_norm.gain" => numbers(&block["ln1_g"]),
            "conv_norm.bias" => numbers(&block["ln1_b"]),
            "attention_norm.gain" => numbers(&block["ln2_g"]),
            "attention_norm.bias" => numbers(&block["ln2_b"]),
            _ => {
                let names = [
                    ("conv.inner", "c1"),
                    ("conv.gate", "c2"),
                    ("attention.projection", "proj1"),
                    ("attention.gate", "proj2"),
                ];
                conv(block, &names, path)
            }
        }
    });
    let (identity, transformed) =
        (tensor::<4>(findings, &case["cf"]), tensor::<4>(findings, &case["ef"]));
    let theta = coupling.conditioner.forward(identity.clone(), &());
    // [B, params, C·H·W] here, [B, C, params, H, W] there.
    let theta = theta.reshape([2, n_params, 2, 2, 2]).swap_dims(1, 2);
    findings.check("proj_out_reshaped", theta, &case["proj_out_reshaped"]);

    let x = Tensor::cat(vec![identity, transformed], 1);
    let (z, log_det) = coupling.forward(x.clone(), &());
    findings.check("identity", z.clone().narrow(1, 0, 2), &case["cf"]);
    findings.check("y", z.clone().narrow(1, 2, 2), &case["y"]);
    findings.check("logdet", log_det, &case["logdet"]);
    findings.check("inverse", coupling.inverse(z, &()).narrow(1, 2, 2), &case["ef"]);
}

fn flowpp_norm_init(findings: &mut Findings, case: &Value) {
    let x = tensor::<4>(findings, &case["x"]);
    let norm = layer(&PositionNormConfig::new(), x.dims(), &findings.precision.device());
    let (norm, z) = cast(norm, findings.precision).initialize(x.clone(), &());
    findings.check("g", norm.log_scale.val().exp(), &case["g"]);
    findings.check("b", norm.bias.val(), &case["b"]);
    findings.check("y", z, &case["y"]);
    findings.check("logdet", norm.forward(x, &()).1.narrow(0, 0, 1), &case["logdet"]);
}

fn glow_actnorm_init(findings: &mut Findings, case: &Value) {
    let x = tensor::<4>(findings, &case["x"]);
    let norm = layer(
        &ActNormConfig::new().with_log_scale_factor(3.0),
        [1, 2, 1, 1],
        &findings.precision.device(),
    );
    let (norm, z) = cast(norm, findings.precision).initialize(x.clone(), &());
    findings.check("b", norm.bias.val(), &case["b"]);
    findings.check("logs_parameter", norm.log_scale.val(), &case["logs_parameter"]);
    findings.check("logs_effective", norm.effective_log_scale(), &case["logs_effective"]);
    findings.check("y", z, &case["y"]);
    findings.check("logdet", norm.forward(x, &()).1.narrow(0, 0, 1), &case["logdet"]);
}

fn conv_init(findings: &mut Findings, case: &Value) {
    let x = tensor::<4>(findings, &case["x"]);
    let start = ConvInit::DataDependent { scale: 0.1 };
    let conv =
        DataInitConvConfig::new(2, 3).with_init(start).build(&findings.precision.device()).unwrap();
    let w0 = numbers(&case["w0"]);
    let conv = set(conv, findings.precision, |path| {
        if path == "conv.weight" { w0.clone() } else { vec![0.5; 3] }
    });
    let (conv, y) = conv.initialize(x.clone());
    findings.check("w", conv.conv.weight.val(), &case["w"]);
    findings.check("b", conv.conv.bias.as_ref().unwrap().val(), &case["b"]);
    findings.check("the output of the start", y.clone() - conv.forward(x), &json!(vec![0.0; 30]));
    let mean = y.clone().mean_dims(&[0, 2, 3]);
    findings.check(
        "y_std",
        (y - mean.clone()).square().mean_dims(&[0, 2, 3]).sqrt(),
        &case["y_std"],
    );
    findings.check("y_mean", mean, &case["y_mean"]);
}

fn fixed(values: Vec<i64>, device: &Device) -> Param<Tensor<1, Int>> {
    let n = values.len();
    Param::initialized(ParamId::new(), Tensor::from_data(TensorData::new(values, [n]), device))
}

fn glow_plu(findings: &mut Findings, case: &Value) {
    let device = findings.precision.device();
    let mut conv = layer(&Conv1x1Config::new(), [1, 3], &device);
    let permutation = numbers(&case["P"]);
    let rows = permutation.chunks(3).map(|row| row.iter().position(|&p| p == 1.0).unwrap() as i64);
    conv.permutation = fixed(rows.collect(), &device);
    conv.sign = fixed(numbers(&case["sign_s"]).iter().map(|&sign| sign as i64).collect(), &device);
    let conv = set(conv, findings.precision, |path| {
        numbers(match path {
            "lower" => &case["L_strict"],
            "upper" => &case["U_strict"],
            _ => &case["log_s"],
        })
    });
    findings.check("W", conv.matrix(), &case["W"]);
    let x = findings.precision.tensor(numbers(&case["x"]), [1, 3]);
    let (z, log_det) = conv.forward(x, &());
    findings.check("z_torch_W_times_x", z.clone(), &case["z_torch_W_times_x"]);
    findings.check("logabsdet", log_det, &case["logabsdet"]);
    findings.check("inverse", conv.inverse(z, &()), &case["x"]);
    // Row i of the batch is unit vector i, whose image is column i of the inverse.
    let units =
        findings.precision.tensor(vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0], [3, 3]);
    findings.check("W_inv", Bijector::<2>::inverse(&conv, units, &()).transpose(), &case["W_inv"]);
    // TensorFlow multiplies row vectors from the left: the same matrix transposed.
    let x = findings.precision.tensor(numbers(&case["x"]), [1, 3]);
    findings.check(
        "z_tf_row_vector_x_times_W",
        x.matmul(conv.matrix()),
        &case["z_tf_row_vector_x_times_W"],
    );
}

fn glow_affine_coupling_pixel(findings: &mut Findings, case: &Value) {
    let law = AffineConfig::new(AffineForm::Sigmoid).build().unwrap();
    // Shifts on the even channels of h, scales on the odd ones: scales first here.
    let h = numbers(&case["h"]);
    let theta = findings.precision.tensor(vec![h[1], h[3], h[0], h[2]], [1, 2, 2]);
    let x = findings.precision.tensor(numbers(&case["z2"]), [1, 2]);
    let (z, log_derivative) = law.forward(x.clone(), theta.clone());
    findings.check("y", z.clone(), &case["y"]);
    findings.check("scale", log_derivative.clone().exp(), &case["scale"]);
    findings.check("logdet", log_derivative.sum(), &case["logdet"]);
    findings.check("inverse", law.inverse(z, theta.clone()), &case["z2"]);
    let (z, log_derivative) = law.forward(x.ones_like(), theta.zeros_like());
    let twice = |key: &str| json!([case[key], case[key]]);
    findings.check("zero_init_scale", z, &twice("zero_init_scale"));
    findings.check("zero_init_log_scale", log_derivative, &twice("zero_init_log_scale"));
}

fn lr_imagenet32(findings: &mut Findings, case: &Value) {
    let training = FlowPlusPlusPreset::ImageNet32.training();
    let warm_up = WarmUp { peak: training.learning_rate, steps: training.warm_up };
    let rate = |step| warm_up.lr(step) * training.schedule.factor(step);
    let points = [0, 2500, 5000, 50_000].map(rate);
    findings.check_to(0.0, "before the decay", &points, &[0.0, 5e-4, 1e-3, 1e-3]);
    let last = 50_000 + case["decay_steps_until_below_3e4"].as_u64().unwrap();
    assert!(rate(last - 1) > 3e-4 && rate(last) <= 3e-4, "{} {}", rate(last - 1), rate(last));
    // The code stays at the first rate below 3e-4, here 3e-4 itself is the end: less than one step
    // of the decay apart.
    let ratio = rate(1_000_000) / number(&case["final_lr"]);
    findings.check_to(1.0 - 0.99995, "final_lr", &[ratio], &[1.0]);
}
