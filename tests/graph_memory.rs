//! What evaluating, sampling and training leave behind: nothing.
//!
//! burn registers every operation on a device with autodiff, tracked or not, in a graph of the
//! process, and frees what nobody has gone back through only with a later backward pass. Methods
//! that answer on the host must not leave any.
//!
//! One test in this program, since the allocator counts for all threads.

#[path = "common/build.rs"]
mod build;

use crate::build::layer;
use burn::tensor::{Device, Int, Tensor, TensorData};
use flowkit::flow::diagnose::diagnose;
use flowkit::law::MixLogCdfConfig;
use flowkit::model::flow_plus_plus::{
    DequantizationConfig, EncoderBlock, FlowPlusPlusConfig, NoiseMixing, Resolution, StageConfig,
    VariationalConfig,
};
use flowkit::model::glow::{GlowClassifierConfig, GlowConfig, GlowPrior};
use flowkit::testing::elements::normal;
use flowkit::train::{Ema, EmaDecay, NegativeLogLikelihood, Trainer, TrainerConfig};
use flowkit::{
    ActNormConfig, ContextShape, CouplingConfig, Density, DiagnosisConfig, Flow, GradientMemory,
    LayerConfig, MlpConfig, Pattern, Site, StandardNormal,
};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const CALLS: usize = 200;

/// Updates are the slowest.
const UPDATES: usize = 60;

/// Bytes that all calls together may leave: less than the smallest node of a graph each.
const ALLOWED: isize = 16 * 1024;

/// Bytes that so many calls leave.
fn left_by(calls: usize, mut call: impl FnMut()) -> isize {
    // Threads, caches and buffers that grow once.
    (0..calls / 10 + 2).for_each(|_| call());
    let before = ALLOCATOR.current_usage() as isize;
    (0..calls).for_each(|_| call());
    ALLOCATOR.current_usage() as isize - before
}

fn assert_flat(what: &str, calls: usize, call: impl FnMut()) {
    let grown = left_by(calls, call);
    println!("{what}: {grown} bytes after {calls} calls");
    assert!(grown <= ALLOWED, "{what}: {grown} bytes more after {calls} calls");
}

/// The same numbers without autodiff, on a device with it, and tracked.
fn placed<const D: usize>(seed: u64, shape: [usize; D]) -> [(&'static str, Tensor<D>); 3] {
    let numbers: Vec<f32> =
        normal(seed, shape.iter().product(), 1.0).into_iter().map(|value| value as f32).collect();
    let on =
        |device: &Device| Tensor::<D>::from_data(TensorData::new(numbers.clone(), shape), device);
    let graph = Device::flex().autodiff();
    [
        ("plain", on(&Device::flex())),
        ("autodiff", on(&graph)),
        ("tracked", on(&graph).require_grad()),
    ]
}

fn levels(n: usize, shape: [usize; 3], device: &Device) -> Tensor<4, Int> {
    let [c, h, w] = shape;
    let values: Vec<i64> =
        (0..(n * c * h * w) as i64).map(|i| (i * 53 + i * i * 7) % 256).collect();
    Tensor::from_data(TensorData::new(values, [n, c, h, w]), device)
}

/// A flow on vectors, in training, with and without a condition.
fn vectors(graph: &Device) {
    let layers = |d_context| {
        let coupling = CouplingConfig::new(MixLogCdfConfig::new(2), MlpConfig::new([64, 64]));
        let site = Site::<2>::described([1, 4], ContextShape::vector(d_context), graph);
        (layer(&ActNormConfig::new(), [1, 4], graph), coupling.build(&site).unwrap())
    };
    let [(_, first), ..] = placed(1, [8, 4]);
    let flow = Flow::new(layers(None), StandardNormal::new(), [1, 4])
        .unwrap()
        .initialize(first.clone())
        .unwrap();
    let given =
        Flow::<_, _, 2, Tensor<2>>::new_given(layers(Some(3)), StandardNormal::new(), [1, 4])
            .unwrap();
    let given = given.initialize_given(first, &placed(2, [8, 3])[0].1).unwrap();
    // The counter sees a graph that is left: of a density that nobody differentiates.
    for (_, x) in placed(3, [8, 4]).into_iter().skip(1) {
        let left = left_by(CALLS, || drop(flow.log_prob(x.clone())));
        assert!(left > 8 * ALLOWED, "{left} bytes");
    }
    // Singular values take most of a diagnosis: a few of those.
    let few = DiagnosisConfig::new().with_power_steps(0);
    let singular = DiagnosisConfig::new().with_power_steps(1);
    let (_, tracked) = placed(3, [8, 4]).into_iter().next_back().unwrap();
    let diagnosed = || drop(flow.diagnose_with(&singular, tracked.clone()).unwrap());
    assert_flat("diagnose with singular values", 20, diagnosed);
    assert_flat("sample", CALLS, || drop(flow.sample(8).unwrap()));
    assert_flat("sample_with_log_prob", CALLS, || drop(flow.sample_with_log_prob(8).unwrap()));
    assert_flat("sample_rows", CALLS, || drop(flow.sample_rows(8).unwrap()));
    for (place, x) in placed(3, [8, 4]) {
        let what = |name: &str| format!("{name}, data {place}");
        assert_flat(&what("evaluate"), CALLS, || drop(flow.evaluate(x.clone()).unwrap()));
        assert_flat(&what("evaluate_rows"), CALLS, || drop(flow.evaluate_rows(x.clone()).unwrap()));
        assert_flat(&what("diagnose"), CALLS, || {
            drop(flow.diagnose_with(&few, x.clone()).unwrap())
        });
        let alone = || drop(diagnose(&few, &flow.bijector, x.clone(), &()).unwrap());
        assert_flat(&what("diagnose of a bijector"), CALLS, alone);
        for (context_place, context) in placed(4, [8, 3]) {
            let what = |name: &str| format!("{name}, data {place}, condition {context_place}");
            let one = context.clone().narrow(0, 0, 1);
            assert_flat(&what("evaluate_given"), CALLS, || {
                drop(given.given(&context).evaluate(x.clone()).unwrap())
            });
            assert_flat(&what("evaluate_given one"), CALLS, || {
                drop(given.given(&one).evaluate(x.clone()).unwrap())
            });
            let sample = || drop(given.given(&context).sample(8).unwrap());
            assert_flat(&what("sample_given"), CALLS, sample);
            let rows = || drop(given.given(&context).sample_rows_with_log_prob(8).unwrap());
            assert_flat(&what("sample_rows_with_log_prob_given"), CALLS, rows);
            let diagnosed = || drop(given.given(&context).diagnose_with(&few, x.clone()).unwrap());
            assert_flat(&what("diagnose_given"), CALLS, diagnosed);
        }
        for backward in
            [GradientMemory::Store, GradientMemory::Recompute, GradientMemory::REVERSIBLE]
        {
            let training = TrainerConfig::new().with_gradient_memory(backward);
            let mut trainer = Trainer::new(flow.clone(), training.clone()).unwrap();
            let batch = NegativeLogLikelihood::new(x.clone());
            let what = |name: &str| format!("{name} under {backward:?}, data {place}");
            let mut update = || drop(trainer.update_on(graph, &batch).unwrap());
            assert_flat(&what("update_on"), UPDATES, &mut update);
            assert_flat(&what("update_on and evaluate"), UPDATES, || {
                drop(trainer.update_on(graph, &batch).unwrap());
                drop(trainer.model().evaluate(x.clone()).unwrap());
                drop(trainer.average().sample(4).unwrap());
            });
            let mut trainer = Trainer::new(given.clone(), training).unwrap();
            let context = placed(5, [8, 3])[2].1.clone();
            let batch = NegativeLogLikelihood::given(x.clone(), context);
            let update = || drop(trainer.update_on(graph, &batch).unwrap());
            assert_flat(&what("update_on with a condition"), UPDATES, update);
        }
        let mut trainer = Trainer::new(flow.clone(), TrainerConfig::new()).unwrap();
        let closure =
            || drop(trainer.update(graph, |flow| flow.log_prob(x.clone()).mean().neg()).unwrap());
        assert_flat(&what("update"), UPDATES, closure);
    }
    let mut ema = Some(Ema::new(&flow, EmaDecay::Constant(0.9)).unwrap());
    assert_flat("Ema::update", CALLS, || ema = ema.take().map(|ema| ema.update(&flow).unwrap()));
}

/// Glow with classes and its classifier.
fn glow(graph: &Device) {
    let config = GlowConfig::new([2, 4, 4], 2, 1)
        .with_n_filters(4)
        .with_prior(GlowPrior::Classes { n_classes: 3 });
    let [(_, first), ..] = placed(6, [4, 3]);
    let glow = config
        .build_classes(graph)
        .unwrap()
        .initialize_given(levels(4, [2, 4, 4], graph), &first)
        .unwrap();
    let classifier = GlowClassifierConfig::for_model(&config).unwrap().build(graph).unwrap();
    for device in [Device::flex(), graph.clone()] {
        let x = levels(4, [2, 4, 4], &device);
        for (place, class) in placed(6, [4, 3]) {
            let what = |name: &str| {
                format!("Glow {name}, data autodiff: {}, class {place}", device.is_autodiff())
            };
            let calls = CALLS / 2;
            assert_flat(&what("bound"), calls, || {
                drop(glow.given(&class).evaluate(x.clone()).unwrap())
            });
            let weighted =
                || drop(glow.given(&class).evaluate_importance_weighted(x.clone(), 2).unwrap());
            assert_flat(&what("importance-weighted"), calls, weighted);
            assert_flat(&what("round trip"), calls, || {
                drop(glow.given(&class).round_trip(x.clone()).unwrap())
            });
            assert_flat(&what("sample"), calls, || {
                drop(glow.given(&class).sample_at(4, 0.7).unwrap())
            });
            assert_flat(&what("sample_rows"), calls, || {
                drop(glow.given(&class).sample_rows_at(4, 0.7).unwrap())
            });
            let none = DiagnosisConfig::new().with_power_steps(0);
            assert_flat(&what("diagnosis"), calls, || {
                drop(glow.given(&class).diagnose_with(&none, x.clone()).unwrap())
            });
            let training = TrainerConfig::new();
            let mut trainer = Trainer::new((glow.clone(), classifier.clone()), training).unwrap();
            let step = || {
                let loss = |(glow, classifier): &(_, flowkit::model::glow::GlowClassifier)| {
                    classifier.loss(glow, x.clone(), &class, 0.01)
                };
                drop(trainer.update(graph, loss).unwrap());
            };
            assert_flat(&what("classifier"), UPDATES, step);
        }
    }
}

/// Flow++ with a flow inside its dequantization.
fn flow_plus_plus(graph: &Device) {
    let pattern = Pattern::Checkerboard;
    let noise = VariationalConfig {
        pattern,
        n_couplings: 1,
        n_filters: 4,
        n_blocks: 1,
        n_context: 2,
        mixing: NoiseMixing::AsFlow,
        n_encoder_blocks: 1,
        encoder_block: EncoderBlock::Conv,
    };
    let stages = vec![StageConfig {
        resolution: Resolution::Squeeze,
        pattern: Pattern::Channels,
        n_couplings: 1,
    }];
    let config =
        FlowPlusPlusConfig::new([1, 4, 4], stages, DequantizationConfig::Variational(noise));
    let config = config.with_n_filters(4).with_n_blocks(1);
    let model = config.build(graph).unwrap().initialize(levels(4, [1, 4, 4], graph)).unwrap();
    for device in [Device::flex(), graph.clone()] {
        let x = levels(4, [1, 4, 4], &device);
        let what = |name: &str| format!("Flow++ {name}, data autodiff: {}", device.is_autodiff());
        let calls = CALLS / 2;
        assert_flat(&what("bound"), calls, || drop(model.evaluate(x.clone()).unwrap()));
        let weighted = || drop(model.evaluate_importance_weighted(x.clone(), 2).unwrap());
        assert_flat(&what("importance-weighted"), calls, weighted);
        assert_flat(&what("sample"), calls, || drop(model.sample_at(4, 0.7).unwrap()));
        for backward in
            [GradientMemory::Store, GradientMemory::Recompute, GradientMemory::REVERSIBLE]
        {
            let training = TrainerConfig::new().with_gradient_memory(backward);
            let mut trainer = Trainer::new(model.clone(), training).unwrap();
            let batch = NegativeLogLikelihood::new(x.clone());
            let update = || drop(trainer.update_on(graph, &batch).unwrap());
            assert_flat(&what(&format!("update_on under {backward:?}")), UPDATES, update);
        }
    }
}

#[test]
fn nothing_is_left_behind() {
    let graph = Device::flex().autodiff();
    vectors(&graph);
    glow(&graph);
    flow_plus_plus(&graph);
}
