//! Values and gradients beside those of an independent implementation, in float64 and float32.
//!
//! The files in `tests/golden` come from a PyTorch implementation that shares no code with this
//! crate. `FLOWKIT_GOLDEN` names another folder of files with the same layout. `--nocapture` prints
//! all errors.

mod common;
use common::build;
use std::f64::consts::LN_2;

use burn::module::{Param, ParamId};
use burn::tensor::{Device, Int, Tensor, TensorData};
use flowkit::conditioner::layer::{GateKernel, GatedAttentionConfig, GatedConvConfig, concat_elu};
use flowkit::law::{AffineConfig, AffineForm, Law, LawConfig, LogisticMixture, MixLogCdfConfig};
use flowkit::model::flow_plus_plus::{
    CouplingLaw, DequantizationConfig, EncoderBlock, FlowPlusPlusConfig, NoiseMixing, Resolution,
    StageConfig, VariationalConfig,
};
use flowkit::{
    ActNormConfig, Bijector, ChannelMatrixConfig, ChannelOrder, ContextShape, Conv1x1Config,
    ConvStyle, CouplingConfig, Density, GatedNetConfig, LayerConfig, Mixing, Net, NetConfig,
    NetSite, PartitionConfig, Pattern, PositionNormConfig, ShapeMap, Site, SqueezeConfig,
    Surjection,
};

use crate::build::{fixed_image, layer};
use common::Precision;
use common::comparison::Comparison;
use common::conv_net::ConvNetConfig;
use common::golden::Source;
use common::naming::{flow_plus_plus, gated_attention, gated_conv, net};
use common::parameters::{Naming, cast, compare_gradients, install};
use common::tolerance::{elementwise, exact};

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
        // The file's softplus(z) is z from z = 20 on, PyTorch's default: its log-weights are off by
        // e^-20 = 2e-9, its slopes by that times the magnitude of z. Replacing log1p(e^z) by that
        // rule reproduces it to 4e-16. `tests/cases.rs` has values that are exact to 1e-10 and
        // beyond.
        if c.precision == Precision::Double {
            c.limit = 1e-8;
        }
        let [x, a, b] = ["x", "a", "b"].map(|key| c.input::<4>(key));
        let [logits, means, log_scales] =
            ["logits", "means", "logscales"].map(|key| c.input::<5>(key));
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
        let law = MixLogCdfConfig::new(k).build().unwrap();
        let (z, log_derivative) = law.forward(flat(x), theta.clone());
        c.check_by(elementwise, z.clone(), Source::of("out.y"));
        c.check(log_derivative.sum_dim(1), Source::of("out.ldj"));
        c.check_by(elementwise, law.inverse(z, theta), Source::of("out.inv_x"));

        // Far tails, scales from e^-10 to e^10.
        let [logits, means, log_scales] = ["logits", "means", "logscales"].map(|key| {
            flat_parameters(c.truth.get(&format!("ext.{key}")).tensor::<4>(c.precision))
        });
        let mixture = LogisticMixture { logits, means, log_scales };
        let (t, log_derivative) =
            mixture.forward(flat(c.truth.get("ext.x").tensor::<3>(c.precision)));
        c.check_by(elementwise, t, Source::of("ext.logit_cdf"));
        c.check_by(elementwise, log_derivative, Source::of("ext.ldj_mix"));
    });
}

#[test]
fn flowpp_tiny() {
    const LEVELS: f64 = 256.0;
    let stage = |resolution, pattern| StageConfig { resolution, pattern, n_couplings: 2 };
    let noise = VariationalConfig {
        pattern: Pattern::Checkerboard,
        n_couplings: 2,
        n_filters: 8,
        n_blocks: 1,
        n_context: 4,
        mixing: NoiseMixing::AsFlow,
        n_encoder_blocks: 3,
        encoder_block: EncoderBlock::Conv,
    };
    let config = FlowPlusPlusConfig::new(
        [3, 8, 8],
        vec![
            stage(Resolution::Keep, Pattern::Checkerboard),
            stage(Resolution::Squeeze, Pattern::Channels),
            stage(Resolution::Keep, Pattern::Checkerboard),
        ],
        DequantizationConfig::Variational(noise),
    )
    .with_law(CouplingLaw::mix_log_cdf(4))
    .with_n_filters(8)
    .with_n_blocks(1)
    .with_mixing(Mixing::Attention { heads: 2 })
    .with_squeeze_order(ChannelOrder::ChannelMajor)
    .with_variance_floor(1e-2)
    .with_style(ConvStyle::fan_in());

    Comparison::of("flowpp_tiny", |c| {
        let device = c.precision.device();
        let model = install(config.build(&device).unwrap().without_data(), c, flow_plus_plus);
        let levels = c.truth.get("in.x");
        let shape: [usize; 4] = levels.shape.clone().try_into().unwrap();
        let n_dims = (shape[1] * shape[2] * shape[3]) as f64;
        let levels: Vec<i64> = levels.values.iter().map(|level| *level as i64).collect();
        let x = Tensor::<4, Int>::from_data(TensorData::new(levels, shape), &device);
        let epsilon = c.truth.get("in.eps").tensor::<4>(c.precision);

        // There, dequantized images lie in [0, 256] and the logit divides by 256; here the
        // dequantization does.
        let division = n_dims * LEVELS.ln();
        let (y, log_weight) = model.surjection.lift(x.clone(), epsilon.clone());
        let (z, log_det) = model.bijector.forward(y.clone(), &());
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
        let images = model.bijector.inverse(sample, &());
        c.check(images, Source::of("out.x_from_z_sample").scaled(LEVELS.recip()));
        let images = model.bijector.inverse(z, &());
        c.check(images, Source::of("out.x_roundtrip").scaled(LEVELS.recip()));
    });
}

/// Compares a bijector's latents, log-determinant, inverse and gradients with the file's `y`, `ldj`
/// and `inv_x`.
fn check_bijector<B: Bijector<4>>(c: &mut Comparison, bijector: B, naming: Naming) {
    let bijector = install(bijector, c, naming);
    let x = c.input::<4>("x");
    let (z, log_det) = bijector.forward(x.clone(), &());
    c.check(z.clone(), Source::of("out.y"));
    c.check(log_det.clone(), Source::of("out.ldj"));
    let (back, inverse_log_det) = bijector.inverse_with_log_det(z.clone(), &());
    c.check(back, Source::of("out.inv_x"));
    c.check(bijector.inverse(z.clone(), &()), Source::of("in.x"));
    c.check(inverse_log_det, Source::of("out.ldj").scaled(-1.0));
    let gradients = (c.probe("y", z) + c.probe("ldj", log_det)).backward();
    c.check_input_gradient("x", &x, &gradients);
    compare_gradients(c, &bijector, &gradients, naming);
}

#[test]
fn actnorm() {
    fn naming(path: &str) -> Source {
        Source::of(if path == "bias" { "b" } else { "logs" })
    }
    Comparison::of("actnorm", |c| {
        let fresh = layer(&ActNormConfig::new(), [1, 6, 1, 1], &c.precision.device());
        check_bijector(c, fresh.clone(), naming);
        let (started, z) = cast(fresh, c.precision).initialize(c.input("x"), &());
        c.check(started.bias.val(), Source::of("init.b"));
        c.check(started.log_scale.val(), Source::of("init.logs"));
        c.check(z, Source::of("init.y"));
    });
}

#[test]
fn pairnorm_pixel() {
    fn naming(path: &str) -> Source {
        let name = if path == "bias" { "b" } else { "log_g" };
        Source::joined([0, 1].map(|half| format!("{name}.{half}")))
    }
    Comparison::of("pairnorm_pixel", |c| {
        let halves = ["x0", "x1"].map(|key| c.input::<4>(key));
        let x = Tensor::cat(halves.to_vec(), 1);
        let fresh = layer(
            &PositionNormConfig::new().with_variance_floor(1e-2),
            x.dims(),
            &c.precision.device(),
        );
        let norm = install(fresh.clone(), c, naming);
        let (z, log_det) = norm.forward(x.clone(), &());
        let inverse = norm.inverse(z.clone(), &());
        // One log-determinant there for the batch, one for each example here.
        let one = log_det.clone().narrow(0, 0, 1);
        c.check((log_det - one.clone()).abs().max() + one.clone(), Source::of("out.ldj"));
        let mut loss = c.probe("ldj", one);
        for (i, half) in z.chunk(2, 1).into_iter().enumerate() {
            c.check(half.clone(), Source::of(format!("out.y{i}")));
            loss = loss + c.probe(&format!("y{i}"), half);
        }
        for (i, half) in inverse.chunk(2, 1).into_iter().enumerate() {
            c.check(half, Source::of(format!("out.inv_x{i}")));
        }
        let gradients = loss.backward();
        for (i, half) in halves.iter().enumerate() {
            c.check_input_gradient(&format!("x{i}"), half, &gradients);
        }
        compare_gradients(c, &norm, &gradients, naming);

        let (started, _) = cast(fresh, c.precision).initialize(x, &());
        c.check(started.log_scale.val(), naming("log_scale").under("init."));
        c.check(started.bias.val(), naming("bias").under("init."));
    });
}

#[test]
fn invconv_plain() {
    Comparison::of("invconv_plain", |c| {
        let matrix = layer(&ChannelMatrixConfig::new(), [1, 8], &c.precision.device());
        check_bijector(c, matrix, |_| Source::of("W"));
        c.truth.skip("W");
    });
}

#[test]
fn invconv_plu() {
    fn naming(path: &str) -> Source {
        Source::of(match path {
            "lower" => "L",
            "upper" => "U",
            _ => "logs",
        })
    }
    fn fixed(values: Vec<i64>, device: &Device) -> Param<Tensor<1, Int>> {
        let n = values.len();
        Param::initialized(ParamId::new(), Tensor::from_data(TensorData::new(values, [n]), device))
    }
    Comparison::of("invconv_plu", |c| {
        let device = c.precision.device();
        let mut conv = layer(&Conv1x1Config::new(), [1, 8], &device);
        // Row i of P picks the row of the product where its 1 stands.
        let rows = c.truth.get("w.P").values.chunks(8);
        let permutation =
            rows.map(|row| row.iter().position(|&p| p == 1.0).unwrap() as i64).collect();
        conv.permutation = fixed(permutation, &device);
        conv.sign =
            fixed(c.truth.get("w.sign").values.iter().map(|&sign| sign as i64).collect(), &device);
        c.truth.skip("w.eye");
        check_bijector(c, conv.clone(), naming);
        c.check(install(conv, c, naming).matrix(), Source::of("W"));
    });
}

#[test]
fn squeeze() {
    Comparison::of("squeeze", |c| {
        let x = c.truth.get("x").tensor::<4>(c.precision);
        for (order, key) in [
            (ChannelOrder::ChannelMajor, "squeezed"),
            (ChannelOrder::BlockMajor, "squeezed_tf_order"),
        ] {
            let squeeze = fixed_image(&SqueezeConfig::new(order));
            let (z, _) = squeeze.forward(x.clone(), &());
            c.check_by(exact, z.clone(), Source::of(key));
            c.check_by(exact, squeeze.inverse(z, &()), Source::of("x"));
        }
        for (pattern, key) in [(Pattern::Checkerboard, "checker"), (Pattern::Stripes, "colstripe")]
        {
            let partition = fixed_image(&PartitionConfig::new(pattern));
            let (z, _) = partition.forward(x.clone(), &());
            for (half, name) in z.clone().chunk(2, 1).into_iter().zip(["a", "b"]) {
                c.check_by(exact, half, Source::of(format!("{key}_{name}")));
            }
            c.check_by(exact, partition.inverse(z, &()), Source::of("x"));
        }
    });
}

#[test]
fn gated_conv_aux_nin() {
    Comparison::of("gated_conv_aux_nin", |c| {
        let block =
            GatedConvConfig::new(8).with_n_context(Some(4)).build(&c.precision.device()).unwrap();
        let block = install(block, c, gated_conv);
        let (x, context) = (c.input::<4>("x"), c.input::<4>("aux"));
        let y = block.forward(x.clone(), Some(&concat_elu(context.clone())));
        c.check(y.clone(), Source::of("out.y"));
        let gradients = c.probe("y", y).backward();
        c.check_input_gradient("x", &x, &gradients);
        c.check_input_gradient("aux", &context, &gradients);
        compare_gradients(c, &block, &gradients, gated_conv);
    });
}

#[test]
fn gated_conv_3x3() {
    Comparison::of("gated_conv_3x3", |c| {
        let block = GatedConvConfig::new(8)
            .with_gate(GateKernel::Three)
            .build(&c.precision.device())
            .unwrap();
        let block = install(block, c, gated_conv);
        let x = c.input::<4>("x");
        let y = block.forward(x.clone(), None);
        c.check(y.clone(), Source::of("out.y"));
        let gradients = c.probe("y", y).backward();
        c.check_input_gradient("x", &x, &gradients);
        compare_gradients(c, &block, &gradients, gated_conv);
    });
}

#[test]
fn gated_attn() {
    Comparison::of("gated_attn", |c| {
        let block = GatedAttentionConfig::new(8)
            .with_mixing(Mixing::Attention { heads: 2 })
            .build(&c.precision.device())
            .unwrap();
        let block = install(block, c, gated_attention);
        let (x, positions) = (c.input::<3>("x"), c.input::<2>("pos"));
        // [B, T, C] there, [B, C, T, 1] here.
        let image = x.clone().swap_dims(1, 2).unsqueeze_dim::<4>(3);
        let embedding =
            positions.clone().swap_dims(0, 1).unsqueeze_dim::<3>(0).unsqueeze_dim::<4>(3);
        let y = block.forward(image, embedding).squeeze_dim::<3>(3).swap_dims(1, 2);
        c.check(y.clone(), Source::of("out.y"));
        let gradients = c.probe("y", y).backward();
        c.check_input_gradient("x", &x, &gradients);
        c.check_input_gradient("pos", &positions, &gradients);
        compare_gradients(c, &block, &gradients, gated_attention);
    });
}

#[test]
fn conditioner() {
    Comparison::of("conditioner", |c| {
        let law = MixLogCdfConfig::new(4).build().unwrap();
        let config = GatedNetConfig::new(8, 2).with_mixing(Some(Mixing::Attention { heads: 2 }));
        let site =
            NetSite::new([1, 3, 4, 2], [1, 3, 4, 2], law.theta_init(), &c.precision.device());
        let network =
            config.build(&site.with_context(ContextShape::new(vec![vec![1, 4, 4, 2]]))).unwrap();
        let network = install(network, c, net);
        let (x, context) = (c.input::<4>("x"), c.input::<4>("aux"));
        let (log_scale, shift, mixture) =
            law.parts(network.forward(x.clone(), Some(context.clone())));
        let LogisticMixture { logits, means, log_scales } = mixture;
        let mut loss = Tensor::zeros([1], (&c.precision.device(), c.precision.dtype()));
        for (key, output) in [("a", log_scale), ("b", shift)] {
            c.check(output.clone(), Source::of(format!("out.{key}")));
            loss = loss + c.probe(key, output);
        }
        for (key, output) in [("logits", logits), ("means", means), ("logscales", log_scales)] {
            c.check(output.clone(), Source::of(format!("out.{key}")));
            loss = loss + c.probe(key, output);
        }
        let gradients = loss.backward();
        c.check_input_gradient("x", &x, &gradients);
        c.check_input_gradient("aux", &context, &gradients);
        compare_gradients(c, &network, &gradients, net);
    });
}

#[test]
fn affine_coupling() {
    fn naming(path: &str) -> Source {
        match path.split('.').collect::<Vec<_>>().as_slice() {
            ["conditioner", "net", "first", leaf] => Source::of(format!("net.0.{leaf}")),
            ["conditioner", "net", "second", leaf] => Source::of(format!("net.2.{leaf}")),
            ["conditioner", "net", "third", leaf] => Source::of(format!("net.4.{leaf}")),
            _ => panic!("the coupling has no parameter {path}"),
        }
    }
    Comparison::of("affine_coupling", |c| {
        let coupling = CouplingConfig::new(
            AffineConfig::new(AffineForm::Sigmoid),
            ConvNetConfig { n_hidden: 16 },
        );
        let coupling = coupling.build(&Site::new([1, 6, 4, 4], &c.precision.device())).unwrap();
        assert!(coupling.output_shape([2, 6, 4, 4]).is_ok());
        check_bijector(c, coupling, naming);
    });
}
