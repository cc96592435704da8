//! Peak memory and time of a training step under the three policies of the backward pass, against
//! depth and batch.
//! ```text
//! cargo bench --bench memory -- --threads 2                      everything but the large models
//! cargo bench --bench memory -- --filter '^m\.large' --threads 2 the large ones, minutes each
//! ```
//! `m.depth.N.POLICY` is the small Flow++ with N couplings, half of them at full resolution, on 16
//! images; `m.batch.N.POLICY` the small preset on N images. `bench/mod.rs` has the command line: a
//! process for each item, whose peak is that of its repeated steps alone. The allocator gives freed
//! pages back, unlike that of the other programs: what is measured here is what a step needs.

mod bench;

use std::process::ExitCode;

use burn::module::Module;
use burn::tensor::{Device, Distribution, Int, Tensor};
use flowkit::model::flow_plus_plus::{FlowPlusPlus, FlowPlusPlusConfig, Resolution, StageConfig};
use flowkit::model::glow::{Glow, GlowConfig};
use flowkit::reshape::Pattern;
use flowkit::train::{GradientUnit, NegativeLogLikelihood, Objective, Trainer, TrainerConfig};
use flowkit::{GradientMemory, Uninit};

use bench::{Item, Work};

const POLICIES: [(&str, GradientMemory); 3] = [
    ("store", GradientMemory::Store),
    ("recompute", GradientMemory::Recompute),
    ("reversible", GradientMemory::REVERSIBLE),
];

/// Images of noise.
fn images([c, h, w]: [usize; 3], n_levels: usize, batch: usize, device: &Device) -> Tensor<4, Int> {
    Tensor::<4>::random([batch, c, h, w], Distribution::Uniform(0.0, n_levels as f64), device).int()
}

/// The small preset's couplings, `n` of them: half at full resolution, half behind a squeeze.
fn deep(n: usize) -> FlowPlusPlusConfig {
    let stages = vec![
        StageConfig {
            resolution: Resolution::Keep,
            pattern: Pattern::Checkerboard,
            n_couplings: n / 2,
        },
        StageConfig {
            resolution: Resolution::Squeeze,
            pattern: Pattern::Channels,
            n_couplings: n - n / 2,
        },
    ];
    FlowPlusPlusConfig { stages, ..FlowPlusPlusConfig::small() }
}

/// A step of a model that has started.
fn step<M: Module + 'static>(
    device: &Device,
    backward: GradientMemory,
    model: M,
    objective: impl Objective<M> + 'static,
) -> Work {
    let device = device.clone().autodiff();
    let config = TrainerConfig::new()
        .with_learning_rate(3e-4)
        .with_warm_up(1)
        .with_norm_unit(GradientUnit::BitsPerDim)
        .with_gradient_memory(backward);
    let parameters = model.num_params();
    let mut trainer = Trainer::new(model, config).expect("a valid configuration");
    let call = move || {
        let update = trainer.update_on(&device, &objective).expect("an update");
        assert!(update.loss.is_finite());
    };
    Work::new(call).note("params", parameters)
}

/// Starts a model on few images, and makes its step on `batch`.
fn item<M: Module + 'static>(
    name: String,
    (image, n_levels): ([usize; 3], usize),
    batch: usize,
    backward: GradientMemory,
    make: impl Fn(&Device) -> Uninit<M> + 'static,
    start: impl Fn(Uninit<M>, Tensor<4, Int>) -> M + 'static,
) -> Item
where
    NegativeLogLikelihood<Tensor<4, Int>>: Objective<M>,
{
    let prepare = move |device: &Device| {
        let device = device.clone().autodiff();
        device.seed(1);
        let model = start(make(&device), images(image, n_levels, 2, &device));
        let objective = NegativeLogLikelihood::new(images(image, n_levels, batch, &device));
        step(&device, backward, model, objective).note("batch", batch)
    };
    // That the policies agree is for `tests/backward.rs` to check.
    Item::new(name, |_| 0.0, prepare)
}

fn flow_plus_plus(
    name: String,
    config: FlowPlusPlusConfig,
    batch: usize,
    backward: GradientMemory,
) -> Item {
    let data = (config.image, config.n_levels);
    let start = |model: Uninit<FlowPlusPlus>, x| model.initialize(x).expect("images of this shape");
    item(
        name,
        data,
        batch,
        backward,
        move |device| config.build(device).expect("a valid configuration"),
        start,
    )
}

fn glow(name: String, config: GlowConfig, batch: usize, backward: GradientMemory) -> Item {
    let data = (config.image, config.n_levels);
    let start = |model: Uninit<Glow>, x| model.initialize(x).expect("images of this shape");
    item(
        name,
        data,
        batch,
        backward,
        move |device| config.build(device).expect("a valid configuration"),
        start,
    )
}

fn items() -> Vec<Item> {
    let mut items = Vec::new();
    for (policy, backward) in POLICIES {
        for n in [8, 16, 32, 64] {
            items.push(flow_plus_plus(format!("m.depth.{n}.{policy}"), deep(n), 16, backward));
        }
        for batch in [4, 8, 16, 32] {
            items.push(flow_plus_plus(
                format!("m.batch.{batch}.{policy}"),
                FlowPlusPlusConfig::small(),
                batch,
                backward,
            ));
        }
        items.push(glow(format!("m.glow.small.{policy}"), GlowConfig::small(), 16, backward));
        let large = |what: &str| format!("m.large.{what}.{policy}");
        items.push(flow_plus_plus(
            large("flowpp.cifar10"),
            FlowPlusPlusConfig::cifar10(),
            16,
            backward,
        ));
        items.push(flow_plus_plus(
            large("flowpp.imagenet32"),
            FlowPlusPlusConfig::imagenet32(),
            4,
            backward,
        ));
        items.push(glow(
            large("glow.celeba_hq256"),
            GlowConfig::celeba_hq256().with_n_levels(256),
            1,
            backward,
        ));
    }
    items
}

fn main() -> ExitCode {
    bench::run_thrifty("memory", items())
}
