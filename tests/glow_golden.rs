//! A whole Glow beside that of an independent implementation: values, gradients, the inverse, ten
//! updates.
//!
//! Its networks are plain convolutions with biases, and its latents standard normal: the same
//! container, norms, channel mixing and couplings around a conditioner of the tests.

mod common;

use common::build;
use std::f64::consts::LN_2;

use burn::module::{Param, ParamId};
use burn::tensor::{Device, Int, Tensor, TensorData};
use flowkit::law::{Affine, AffineConfig, AffineForm};
use flowkit::train::{Trainer, TrainerConfig};
use flowkit::{
    ActNorm, ActNormConfig, Bijector, ChannelOrder, Conv1x1, Conv1x1Config, Coupling,
    CouplingConfig, Density, Flow, LayerConfig, MultiScale, Site, Squeeze, SqueezeConfig,
    StandardNormal,
};

use crate::build::{fixed_image, layer};
use common::comparison::Comparison;
use common::conv_net::{ConvNet, ConvNetConfig};
use common::golden::Source;
use common::parameters::{compare_gradients, install};
use common::tolerance::normwise;

type Step = (ActNorm<4>, Conv1x1, Coupling<Affine, ConvNet>);
type Layers = MultiScale<(Squeeze, Vec<Step>)>;

fn naming(path: &str) -> Source {
    let parts: Vec<&str> = path.split('.').collect();
    let parts = parts.strip_prefix(["bijector"].as_slice()).unwrap_or(&parts);
    let ["levels", level, "1", step, rest @ ..] = parts else {
        panic!("no step has a parameter {path}")
    };
    let first = 3 * step.parse::<usize>().unwrap();
    let own =
        |member: usize, name: &str| Source::of(format!("levels.{level}.{}.{name}", first + member));
    match rest {
        ["0", "bias"] => own(0, "b"),
        ["0", "log_scale"] => own(0, "logs"),
        ["1", "lower"] => own(1, "L"),
        ["1", "upper"] => own(1, "U"),
        ["1", "log_scale"] => own(1, "logs"),
        ["2", "conditioner", "net", "first", leaf] => own(2, &format!("net.0.{leaf}")),
        ["2", "conditioner", "net", "second", leaf] => own(2, &format!("net.2.{leaf}")),
        ["2", "conditioner", "net", "third", leaf] => own(2, &format!("net.4.{leaf}")),
        _ => panic!("a step has no parameter {rest:?}"),
    }
}

fn fixed(values: Vec<i64>, device: &Device) -> Param<Tensor<1, Int>> {
    let n = values.len();
    Param::initialized(ParamId::new(), Tensor::from_data(TensorData::new(values, [n]), device))
}

/// A step on `c` channels with the file's fixed permutation and signs, at `levels.{level}.{place}`.
fn step(c: &Comparison, level: usize, index: usize, channels: usize) -> Step {
    let device = c.precision.device();
    let mut conv = layer(&Conv1x1Config::new(), [1, channels], &device);
    let get = |name: &str| {
        c.truth.get(&format!("w.levels.{level}.{}.{name}", 3 * index + 1)).values.clone()
    };
    // Row i of P picks the row of the product where its 1 stands.
    let rows = get("P");
    let rows = rows.chunks(channels).map(|row| row.iter().position(|&p| p == 1.0).unwrap() as i64);
    conv.permutation = fixed(rows.collect(), &device);
    conv.sign = fixed(get("sign").iter().map(|&sign| sign as i64).collect(), &device);
    c.truth.skip(&format!("w.levels.{level}.{}.eye", 3 * index + 1));
    let coupling =
        CouplingConfig::new(AffineConfig::new(AffineForm::Sigmoid), ConvNetConfig { n_hidden: 16 });
    let coupling = coupling.build(&Site::new([1, channels, 4, 4], &device)).unwrap();
    (layer(&ActNormConfig::new(), [1, channels, 1, 1], &device), conv, coupling)
}

fn layers(c: &Comparison) -> Layers {
    let level = |level: usize, channels: usize| {
        let squeeze = fixed_image(&SqueezeConfig::new(ChannelOrder::ChannelMajor));
        (squeeze, (0..2).map(|index| step(c, level, index, channels)).collect())
    };
    MultiScale::new(vec![level(0, 12), level(1, 24)])
}

#[test]
fn glow_tiny() {
    Comparison::of("glow_tiny", |c| {
        let flow =
            Flow::new(layers(c), StandardNormal::new(), [1, 3, 8, 8]).unwrap().without_data();
        let flow = install(flow, c, naming);
        let x = c.truth.get("in.x").tensor::<4>(c.precision);
        let (z, log_det) = flow.bijector.forward(x.clone(), &());
        c.check(log_det, Source::of("out.ldj"));
        let latents = flow.bijector.latents(z.clone(), &()).unwrap();
        for (index, level) in latents.levels.iter().enumerate() {
            c.check(level.clone(), Source::of(format!("out.z{index}")));
        }
        let packed = flow.bijector.pack(latents, &()).unwrap();
        assert_eq!(packed.into_data(), z.clone().into_data());
        c.check(flow.bijector.inverse(z, &()), Source::of("out.x_roundtrip"));
        c.check(
            flow.bijector.inverse(flow.bijector.forward(x.clone(), &()).0, &()),
            Source::of("in.x"),
        );

        let log_prob = flow.log_prob(x.clone());
        c.check(log_prob.clone(), Source::of("out.log_prob"));
        let loss = log_prob.mean().neg();
        c.check(loss.clone(), Source::of("out.loss"));
        c.check(loss.clone().div_scalar(192.0 * LN_2).add_scalar(8.0), Source::of("out.bpd"));
        compare_gradients(c, &flow, &loss.backward(), naming);

        // Ten updates of Adam, without warm-up and clip.
        let config = TrainerConfig::new().with_warm_up(0).with_max_norm(f64::MAX);
        let mut trainer = Trainer::new(flow, config).unwrap();
        let device = c.precision.device();
        let update =
            |_| trainer.update(&device, |flow| flow.log_prob(x.clone()).mean().neg()).unwrap().loss;
        let losses = (0..10).map(update).collect();
        c.check_values(normwise, losses, Source::of("adam10.losses"));
    });
}
