//! Values and gradients beside those of an independent implementation, in float64 and float32.
//!
//! The files in `tests/golden` come from a PyTorch implementation that shares no code with this crate. `FLOWKIT_GOLDEN` names another
//! folder of files with the same layout. `--nocapture` prints all errors.

mod common;

use std::f64::consts::LN_2;

use burn::tensor::{Int, Tensor, TensorData};
use flowkit::law::{Law, LogisticMixture, MixLogCdfConfig};
use flowkit::model::flow_plus_plus::{
    CouplingLaw, DequantizationConfig, FlowPlusPlusConfig, NetStart, Scale, StageConfig, VariationalConfig,
};
use flowkit::{Bijector, ChannelOrder, Mixing, Pattern, Surjection};

use common::Precision;
use common::comparison::Comparison;
use common::golden::Source;
use common::parameters::{compare_gradients, install};
use common::tolerance::elementwise;

/// `[B, ...]` to `[B, dims]`.
fn flat<const D: usize>(x: Tensor<D>) -> Tensor<2> {
    x.flatten(1, D - 1)
}

/// `[B, K, ...]` to `[B, K, dims]`.
fn flat_parameters<const D: usize>(x: Tensor<D>) -> Tensor<3> {
    x.flatten(2, D - 1)
}

#[test]
fn mixlogcdf() {
    Comparison::of("mixlogcdf", |c| {
        // The file's softplus(z) is z from z = 20 on, PyTorch's default: its log-weights are off by e^-20 = 2e-9, its slopes by that times
        // |z|. Replacing log1p(e^z) by that rule reproduces it to 4e-16. `tests/cases.rs` has values that are exact to 1e-10 and beyond.
        if c.precision == Precision::Double {
            c.limit = 1e-8;
        }
        let [x, a, b] = ["x", "a", "b"].map(|key| c.input::<4>(key));
        let [logits, means, log_scales] = ["logits", "means", "logscales"].map(|key| c.input::<5>(key));
        let mixture = LogisticMixture {
            logits: flat_parameters(logits.clone()),
            means: flat_parameters(means.clone()),
            log_scales: flat_parameters(log_scales.clone()),
        };
        let (t, log_derivative) = mixture.forward(flat(x.clone()));
        let y = t.clone() * flat(a.clone()).exp() + flat(b.clone());
        let log_det = (log_derivative.clone() + flat(a.clone())).sum_dim(1).squeeze_dim::<1>(1);
        c.check_by(elementwise, t.clone(), Source::of("out.logit_cdf"));
        c.check_by(elementwise, log_derivative.clone(), Source::of("out.ldj_mix"));
        c.check_by(elementwise, y.clone(), Source::of("out.y"));
        c.check(log_det.clone(), Source::of("out.ldj"));
        c.check_by(elementwise, mixture.inverse(t.clone()), Source::of("out.inv_x"));

        let loss = c.probe("logit_cdf", t) + c.probe("ldj_mix", log_derivative);
        let loss = loss + c.probe("y", y.clone()) + c.probe("ldj", log_det);
        let gradients = loss.backward();
        c.check_input_gradient("x", &x, &gradients);
        c.check_input_gradient("a", &a, &gradients);
        c.check_input_gradient("b", &b, &gradients);
        c.check_input_gradient("logits", &logits, &gradients);
        c.check_input_gradient("means", &means, &gradients);
        c.check_input_gradient("logscales", &log_scales, &gradients);

        // The whole law, whose log-scale is the tanh of its first parameter.
        let k = logits.dims()[1];
        let before_tanh = flat(a).atanh().unsqueeze_dim::<3>(1);
        let shift = flat(b).unsqueeze_dim::<3>(1);
        let theta = [before_tanh, shift, mixture.logits, mixture.means, mixture.log_scales];
        let theta = Tensor::cat(theta.to_vec(), 1);
        let law = MixLogCdfConfig::new(k).init();
        let (z, log_derivative) = law.forward(flat(x), theta.clone());
        c.check_by(elementwise, z.clone(), Source::of("out.y"));
        c.check(log_derivative.sum_dim(1), Source::of("out.ldj"));
        c.check_by(elementwise, law.inverse(z, theta), Source::of("out.inv_x"));

        // Far tails, scales from e^-10 to e^10.
        let [logits, means, log_scales] = ["logits", "means", "logscales"]
            .map(|key| flat_parameters(c.truth.get(&format!("ext.{key}")).tensor::<4>(c.precision)));
        let mixture = LogisticMixture { logits, means, log_scales };
        let (t, log_derivative) = mixture.forward(flat(c.truth.get("ext.x").tensor::<3>(c.precision)));
        c.check_by(elementwise, t, Source::of("ext.logit_cdf"));
        c.check_by(elementwise, log_derivative, Source::of("ext.ldj_mix"));
    });
}

/// Parameters of [`flowkit::GatedNet`].
fn net(path: &str) -> Source {
    let parts: Vec<&str> = path.split('.').collect();
    let of = Source::of;
    match parts.as_slice() {
        ["input", "conv", leaf] => of(format!("proj_in.{leaf}")),
        ["output", "conv", leaf] => of(format!("proj_out.{leaf}")),
        ["positions"] => Source::transposed("pos"),
        ["blocks", i, "conv", rest @ ..] => gated_conv(&rest.join(".")).under(&format!("blocks.{i}.conv.")),
        ["blocks", i, "conv_norm", "gain"] => of(format!("blocks.{i}.ln1.weight")),
        ["blocks", i, "conv_norm", "bias"] => of(format!("blocks.{i}.ln1.bias")),
        ["blocks", i, "attention", rest @ ..] => gated_attention(&rest.join(".")).under(&format!("blocks.{i}.attn.")),
        ["blocks", i, "attention_norm", "gain"] => of(format!("blocks.{i}.ln2.weight")),
        ["blocks", i, "attention_norm", "bias"] => of(format!("blocks.{i}.ln2.bias")),
        _ => panic!("a network has no parameter {path}"),
    }
}

/// Parameters of [`flowkit::GatedConv`].
fn gated_conv(path: &str) -> Source {
    match path.split('.').collect::<Vec<_>>().as_slice() {
        ["inner", "conv", leaf] => Source::of(format!("c1.{leaf}")),
        ["context", "conv", leaf] => Source::of(format!("aux.{leaf}")),
        ["gate", "conv", leaf] => Source::of(format!("c2.{leaf}")),
        _ => panic!("a gated convolution has no parameter {path}"),
    }
}

/// Parameters of [`flowkit::GatedAttention`].
fn gated_attention(path: &str) -> Source {
    match path.split('.').collect::<Vec<_>>().as_slice() {
        ["projection", "conv", leaf] => Source::of(format!("proj1.{leaf}")),
        ["gate", "conv", leaf] => Source::of(format!("proj2.{leaf}")),
        _ => panic!("gated attention has no parameter {path}"),
    }
}

/// Parameters of one step: norm, matrix, coupling.
fn step(index: &str, rest: &[&str]) -> Source {
    let first = 3 * index.parse::<usize>().unwrap();
    let halves = |layer: usize, name: &str| Source::joined([0, 1].map(|half| format!("{layer}.{name}.{half}")));
    match rest {
        ["0", "log_scale"] => halves(first, "log_g"),
        ["0", "bias"] => halves(first, "b"),
        ["1", "matrices"] => halves(first + 1, "W"),
        ["2", "conditioner", rest @ ..] => net(&rest.join(".")).under(&format!("{}.net.", first + 2)),
        _ => panic!("a step has no parameter {rest:?}"),
    }
}

/// Parameters of [`flowkit::model::flow_plus_plus::FlowPlusPlus`].
fn flow_plus_plus(path: &str) -> Source {
    match path.split('.').collect::<Vec<_>>().as_slice() {
        ["surjection", "Variational", "encoder", "input", "conv", leaf] => Source::of(format!("ctx_in.{leaf}")),
        ["surjection", "Variational", "encoder", "blocks", i, rest @ ..] => {
            gated_conv(&rest.join(".")).under(&format!("ctx.{i}."))
        }
        ["surjection", "Variational", "flow", "1", i, rest @ ..] => step(i, rest).under("dequant.layers."),
        ["flow", "bijector", "1", stage, "steps", i, rest @ ..] => {
            step(i, rest).under(&format!("s{}.layers.", stage.parse::<usize>().unwrap() + 1))
        }
        _ => panic!("the model has no parameter {path}"),
    }
}

#[test]
fn flowpp_tiny() {
    const LEVELS: f64 = 256.0;
    let stage = |scale, pattern| StageConfig { scale, pattern, n_couplings: 2 };
    let noise =
        VariationalConfig { pattern: Pattern::Checkerboard, n_couplings: 2, n_filters: 8, n_blocks: 1, n_context: 4 };
    let config = FlowPlusPlusConfig::new(
        [3, 8, 8],
        vec![
            stage(Scale::Keep, Pattern::Checkerboard),
            stage(Scale::Squeeze, Pattern::Channels),
            stage(Scale::Keep, Pattern::Checkerboard),
        ],
        DequantizationConfig::Variational(noise),
    )
    .with_law(CouplingLaw::MixLogCdf { n_components: 4 })
    .with_n_filters(8)
    .with_n_blocks(1)
    .with_mixing(Mixing::Attention { heads: 2 })
    .with_squeeze_order(ChannelOrder::ChannelMajor)
    .with_variance_floor(1e-2)
    .with_start(NetStart::FanIn);

    Comparison::of("flowpp_tiny", |c| {
        let device = c.precision.device();
        let model = install(config.init(&device), c, flow_plus_plus);
        let levels = c.truth.get("in.x");
        let shape: [usize; 4] = levels.shape.clone().try_into().unwrap();
        let n_dims = (shape[1] * shape[2] * shape[3]) as f64;
        let levels: Vec<i64> = levels.values.iter().map(|level| *level as i64).collect();
        let x = Tensor::<4, Int>::from_data(TensorData::new(levels, shape), &device);
        let epsilon = c.truth.get("in.eps").tensor::<4>(c.precision);

        // There, dequantized images lie in [0, 256] and the logit divides by 256; here the dequantization does.
        let division = n_dims * LEVELS.ln();
        let (y, log_weight) = model.surjection.lift(x.clone(), epsilon.clone());
        let (z, log_det) = model.flow.bijector.forward(y.clone(), &());
        c.check(y, Source::of("out.x_dequant").scaled(LEVELS.recip()));
        c.check(log_weight, Source::of("out.log_weight").shifted(-division));
        c.check(log_det, Source::of("out.ldj").shifted(division));
        c.check(z.clone(), Source::of("out.z"));

        let bound = model.log_weight(x, epsilon);
        let loss = bound.clone().mean().neg();
        c.check(bound, Source::of("out.elbo"));
        c.check(loss.clone(), Source::of("out.loss"));
        c.check(loss.clone().div_scalar(n_dims * LN_2), Source::of("out.bpd"));
        compare_gradients(c, &model, &loss.backward(), flow_plus_plus);

        let sample = c.truth.get("in.z_sample").tensor::<4>(c.precision);
        let images = model.flow.bijector.inverse(sample, &());
        c.check(images, Source::of("out.x_from_z_sample").scaled(LEVELS.recip()));
        let images = model.flow.bijector.inverse(z, &());
        c.check(images, Source::of("out.x_roundtrip").scaled(LEVELS.recip()));
    });
}
