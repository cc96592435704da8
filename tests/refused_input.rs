//! What is refused before anything is computed: counts and shapes that no memory holds, levels
//! outside a model's range, losses that are not one number, types that differ, decays outside [0,
//! 1), and items of a data set that were not requested.

#[path = "common/build.rs"]
mod build;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::build::{fixed, fixed_image, layer};
use burn::data::dataset::{Dataset, DatasetError};
use burn::tensor::{DType, Device, FloatDType, Int, Tensor, TensorData};
use flowkit::data::{
    DataError, Image, ImageBatcher, ItemError, Loader, LoaderConfig, Pass, TwoMoons,
};
use flowkit::flow::likelihood::Exact;
use flowkit::train::{
    Adam, Adamax, NegativeLogLikelihood, NonFinite, NonFinitePlace, Objective, TrainError, Trainer,
    TrainerConfig,
};
use flowkit::{
    ActNorm, ActNormConfig, Bijector, CapacityError, ChannelOrder, ConfigError, Density, Flow,
    FlowError, GradientMemory, Logit, LogitConfig, MultiScale, PartitionConfig, Pattern, Prior,
    ShapeError, Squeeze, SqueezeConfig, StandardNormal, Uniform, UniformDequantization,
    UniformDequantizationConfig,
};

fn device() -> Device {
    Device::flex().autodiff()
}

/// The text of a panic.
fn panics<T>(run: impl FnOnce() -> T) -> String {
    let Err(panic) = catch_unwind(AssertUnwindSafe(run)) else { panic!("no panic") };
    match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => (*panic.downcast::<&str>().expect("a message")).to_owned(),
    }
}

type Vectors = Flow<ActNorm<2>, StandardNormal, 2>;

fn vectors() -> Vectors {
    Flow::new(layer(&ActNormConfig::new(), [1, 2], &device()), StandardNormal::new(), [1, 2])
        .unwrap()
        .without_data()
}

type Pixels = Flow<(Logit, ActNorm<2>), StandardNormal, 2, (), UniformDequantization>;

fn pixels() -> Pixels {
    let layers = (fixed(&LogitConfig::new()), layer(&ActNormConfig::new(), [1, 2], &device()));
    let dequantization = UniformDequantizationConfig::new().build().unwrap();
    Flow::new(layers, StandardNormal::new(), [1, 2]).unwrap().behind(dequantization).without_data()
}

#[test]
fn counts_that_no_memory_holds() {
    let (flow, bound) = (vectors(), pixels());
    for n in [1 << 40, 1 << 60, usize::MAX] {
        // A TiB of eight bytes each.
        let expected = FlowError::Capacity(CapacityError::TooMany {
            what: "n",
            most: 1 << 37,
            found: n as u64,
        });
        assert_eq!(flow.sample(n).unwrap_err(), expected);
        assert_eq!(flow.sample_at(n, 0.0).unwrap_err(), expected);
        assert_eq!(flow.sample_rows(n).unwrap_err(), expected);
        assert_eq!(flow.sample_with_log_prob(n).unwrap_err(), expected);
        assert_eq!(flow.sample_rows_with_log_prob(n).unwrap_err(), expected);
        assert_eq!(bound.sample(n).unwrap_err(), expected);
        assert_eq!(bound.sample_rows(n).unwrap_err(), expected);
    }
    let x = || Tensor::<2, Int>::from_data([[3, 200]], &device());
    for samples in [1 << 32, usize::MAX] {
        let found = samples as u64;
        let expected = FlowError::Capacity(CapacityError::TooMany {
            what: "samples",
            most: (1 << 32) - 1,
            found,
        });
        assert_eq!(bound.evaluate_importance_weighted(x(), samples).unwrap_err(), expected);
        assert_eq!(bound.evaluate_importance_weighted_rows(x(), samples).unwrap_err(), expected);
    }
    assert_eq!(
        bound.sample(usize::MAX).unwrap_err().to_string(),
        format!("`n` must be at most {}, found {}", 1u64 << 37, usize::MAX)
    );
}

#[test]
fn events_that_no_memory_holds() {
    let large = [1, usize::MAX, usize::MAX];
    let error = Flow::new(Vec::<ActNorm<3>>::new(), StandardNormal::new(), large).unwrap_err();
    assert_eq!(error, ShapeError::TooLarge { layer: "Flow", most: 1 << 37, shape: large.to_vec() });
    let dequantization = UniformDequantizationConfig::new().build().unwrap();
    let error = Flow::new(Vec::<ActNorm<3>>::new(), StandardNormal::new(), large)
        .map(|flow| flow.behind(dequantization));
    assert!(matches!(error.unwrap_err(), ShapeError::TooLarge { .. }));

    let squeeze = || fixed_image(&SqueezeConfig::new(ChannelOrder::BlockMajor));
    let even = usize::MAX - 3;
    let shapes = |layer: &dyn Bijector4| {
        for shape in [[1, even, even, even], [even, 4, 2, 2], [1, 4, even, 2], [1, 4, 2, even]] {
            for found in [layer.forward_shape(shape), layer.inverse_shape(shape)] {
                assert!(matches!(found, Err(ShapeError::TooLarge { .. })), "{shape:?}: {found:?}");
            }
        }
    };
    shapes(&squeeze());
    shapes(&fixed_image(&PartitionConfig::new(Pattern::Checkerboard)));
    shapes(&fixed_image(&PartitionConfig::new(Pattern::Stripes)));
    shapes(&MultiScale::<Squeeze>::new(vec![squeeze(), squeeze()]));

    let draw = |prior: &dyn Fn([usize; 3]) -> Tensor<3>| panics(|| prior([1, usize::MAX, 3]));
    let plain = Device::flex();
    let text = draw(&|shape| StandardNormal::new().sample(shape, 1.0, &(), &plain, DType::F32));
    assert!(
        text.starts_with("StandardNormal: expected at most")
            && text.ends_with("found shape [1, 18446744073709551615, 3]"),
        "{text}"
    );
    let text = draw(&|shape| Uniform::new().sample(shape, 1.0, &(), &plain, DType::F32));
    assert!(text.starts_with("Uniform: expected at most"), "{text}");
}

/// Maps of shapes, whatever the layer.
trait Bijector4 {
    fn forward_shape(&self, shape: [usize; 4]) -> Result<[usize; 4], ShapeError>;
    fn inverse_shape(&self, shape: [usize; 4]) -> Result<[usize; 4], ShapeError>;
}

impl<B: Bijector<4>> Bijector4 for B {
    fn forward_shape(&self, shape: [usize; 4]) -> Result<[usize; 4], ShapeError> {
        self.output_shape(shape)
    }
    fn inverse_shape(&self, shape: [usize; 4]) -> Result<[usize; 4], ShapeError> {
        self.input_shape(shape)
    }
}

/// Training does not read the levels before it computes: the loss is NaN, and the update returns
/// the error of evaluation, whatever the policy for failed updates.
#[test]
fn levels_that_evaluation_refuses_are_no_training_data() {
    let model = pixels();
    let batch = |level: i64| Tensor::<2, Int>::from_data([[0, 255], [7, level]], &device());
    for level in [256, -1, i64::from(i32::MAX)] {
        let expected = FlowError::Level { example: 1, found: level.into(), levels: 256 };
        assert_eq!(model.evaluate(batch(level)).unwrap_err(), expected);
        let text = expected.to_string();
        assert_eq!(panics(|| model.loss(batch(level))), text);
        let noise = Tensor::<2>::full([2, 2], 0.5, &device());
        assert_eq!(panics(|| model.log_weight(batch(level), noise)), text);
        let objective = NegativeLogLikelihood::new(batch(level));
        assert_eq!(objective.check_unread(&model), Ok(()));
        assert_eq!(objective.check(&model), Err(expected.clone()));
        assert!(objective.loss(&model).into_scalar::<f32>().is_nan());
        let good = || NegativeLogLikelihood::new(batch(9));
        for backward in
            [GradientMemory::Store, GradientMemory::Recompute, GradientMemory::REVERSIBLE]
        {
            for policy in [NonFinite::Stop, NonFinite::Skip { at_most: 9 }] {
                let config = TrainerConfig::new().with_gradient_memory(backward);
                let mut trainer = Trainer::new(pixels(), config.with_non_finite(policy)).unwrap();
                let weighted = objective.clone().weighted(vec![1.0, 0.0]);
                for parts in
                    [vec![objective.clone()], vec![good(), objective.clone()], vec![weighted]]
                {
                    let error = trainer.update_on_parts(&device(), &parts).unwrap_err();
                    assert_eq!(error, TrainError::Batch(expected.clone()), "{backward:?}");
                }
                assert_eq!(trainer.step_count(), 0, "{backward:?}: counted as an update");
                assert_eq!(trainer.update_on(&device(), &good()).unwrap().step, 1);
            }
        }
    }
    // Beyond the signed integers of 64 bits.
    let data = TensorData::new(vec![0u64, 1, 2, u64::MAX], [2, 2]);
    let x = Tensor::<2, Int>::from_data(data, (&device(), DType::U64));
    let expected = FlowError::Level { example: 1, found: u64::MAX.into(), levels: 256 };
    assert_eq!(model.evaluate(x.clone()).unwrap_err(), expected);
    let mut trainer = Trainer::new(pixels(), TrainerConfig::new()).unwrap();
    let error = trainer.update_on(&device(), &NegativeLogLikelihood::new(x)).unwrap_err();
    assert_eq!(error, TrainError::Batch(expected));
}

/// Levels outside the range are found in a flow whose layers are finite there too, in the first
/// part that has them.
#[test]
fn levels_are_refused_where_layers_accept_them() {
    let norm = layer(&ActNormConfig::new(), [1, 2], &device());
    let flow = Flow::new(norm, StandardNormal::new(), [1, 2]);
    let dequantization = UniformDequantizationConfig::new().build().unwrap();
    let model = flow.unwrap().behind(dequantization).without_data();
    let batch = |level: i64| {
        NegativeLogLikelihood::new(Tensor::<2, Int>::from_data([[0, 255], [level, 7]], &device()))
    };
    let expected = TrainError::Batch(FlowError::Level { example: 1, found: 300, levels: 256 });
    let mut trainer = Trainer::new(model, TrainerConfig::new()).unwrap();
    assert_eq!(trainer.update_on(&device(), &batch(300)).unwrap_err(), expected);
    let error = trainer.update_on_parts(&device(), &[batch(256), batch(300)]).unwrap_err();
    assert_eq!(error, TrainError::Batch(FlowError::Level { example: 1, found: 256, levels: 256 }));
    assert!(matches!(
        trainer.update_on_parts(&device(), &[batch(3), batch(-1)]),
        Err(TrainError::Batch(FlowError::Level { example: 1, found: -1, .. }))
    ));
    assert_eq!(trainer.update_on(&device(), &batch(3)).unwrap().step, 1);
}

/// A loss of as many numbers as asked for, of a batch of as many examples.
struct Losses {
    numbers: usize,
    examples: usize,
}

impl Objective<Vectors> for Losses {
    type Provenance = Exact;
    fn provenance(&self) -> Exact {
        Exact
    }
    fn dims(&self, model: &Vectors) -> usize {
        model.dims()
    }
    fn loss(&self, model: &Vectors) -> Tensor<1> {
        let x = Tensor::<2>::from_data([[0.5, -1.0]], &device());
        model.log_prob(x).neg().expand([self.numbers])
    }
    fn examples(&self, _: &Vectors) -> usize {
        self.examples
    }
    fn fault(&self, _: &Vectors) -> Option<NonFinitePlace> {
        None
    }
    fn gradient_fault(&self, _: &Vectors) -> Option<NonFinitePlace> {
        None
    }
}

#[test]
fn losses_that_are_not_one_number() {
    let mut trainer = Trainer::new(vectors(), TrainerConfig::new()).unwrap();
    let expected = TrainError::LossShape { found: 64 };
    let x = || Tensor::<2>::ones([64, 2], &device());
    assert_eq!(trainer.update(&device(), |model| model.log_prob(x()).neg()).unwrap_err(), expected);
    assert_eq!(
        trainer.update_on(&device(), &Losses { numbers: 64, examples: 1 }).unwrap_err(),
        expected
    );
    assert_eq!(trainer.step_count(), 0);
    trainer.update_on(&device(), &Losses { numbers: 1, examples: 1 }).unwrap();

    let parts = [3, 0, 2].map(|examples| Losses { numbers: 1, examples });
    let error = trainer.update_on_parts(&device(), &parts).unwrap_err();
    assert_eq!(error, TrainError::NoExamples { part: 1 });
    assert_eq!(trainer.step_count(), 1);
}

#[test]
fn every_door_refuses_other_types() {
    let x = |dtype: FloatDType| {
        Tensor::<2>::from_data([[0.5, -1.0], [0.25, 2.0]], &device()).cast(dtype)
    };
    let flow = vectors();
    for (cast, found) in [
        (FloatDType::F64, DType::F64),
        (FloatDType::F16, DType::F16),
        (FloatDType::BF16, DType::BF16),
    ] {
        let expected = FlowError::Type { what: "data", expected: DType::F32, found };
        assert_eq!(flow.evaluate(x(cast)).unwrap_err(), expected);
        assert_eq!(flow.evaluate_rows(x(cast)).unwrap_err(), expected);
        assert_eq!(flow.diagnose(x(cast)).unwrap_err(), expected);
        let norm = layer(&ActNormConfig::new(), [1, 2], &device());
        let uninit = Flow::new(norm, StandardNormal::new(), [1, 2]).unwrap();
        assert_eq!(uninit.initialize(x(cast)).unwrap_err(), expected);
        assert_eq!(panics(|| flow.log_prob(x(cast))), expected.to_string());
        let mut trainer = Trainer::new(vectors(), TrainerConfig::new()).unwrap();
        let batch = |dtype| NegativeLogLikelihood::new(x(dtype));
        let expected = TrainError::Batch(expected);
        assert_eq!(trainer.update_on(&device(), &batch(cast)).unwrap_err(), expected);
        let parts = [batch(FloatDType::F32), batch(cast)];
        assert_eq!(trainer.update_on_parts(&device(), &parts).unwrap_err(), expected);
    }
}

#[test]
fn optimizers_and_points_out_of_range() {
    for decay in [2.0, 1.0, -1.0, f64::NAN] {
        let text = |config, field| {
            ConfigError::OutOfRange { config, field, range: "[0, 1)", found: decay }.to_string()
        };
        assert_eq!(panics(|| Adam::new(decay, 0.999, 1e-8)), text("Adam", "beta_1"));
        assert_eq!(panics(|| Adam::new(0.9, decay, 1e-8)), text("Adam", "beta_2"));
        assert_eq!(panics(|| Adamax::new(decay)), text("Adamax", "beta_2"));
    }
    for epsilon in [0.0, -1e-8, f64::INFINITY, f64::NAN] {
        let (config, field, range) = ("Adam", "epsilon", "(0, ∞)");
        let text = ConfigError::OutOfRange { config, field, range, found: epsilon }.to_string();
        assert_eq!(panics(|| Adam::new(0.9, 0.999, epsilon)), text);
    }
    let (_, _) = (Adam::new(0.0, 0.5, 1e-3), Adamax::new(0.0));
    for noise in [0.0, 1e300, f64::INFINITY, f64::NAN] {
        assert!(panics(|| TwoMoons::new(4, noise, 0)).contains("`noise` must lie in [0.02, 1e18]"));
    }
    for n in [1 << 40, usize::MAX] {
        assert_eq!(
            panics(|| TwoMoons::new(n, 0.1, 0)),
            format!("TwoMoons: not enough memory for {n} points")
        );
    }
    assert_eq!(
        panics(|| TwoMoons::new(0, 0.1, 0).mean_log_prob()),
        "TwoMoons: a mean requires at least one point"
    );
    let points = TwoMoons::new(100, 1e18, 0).points(&Device::flex());
    assert!(points.square().into_data().iter::<f32>().all(f32::is_finite));
}

/// Images of one pixel but for what is wrong.
#[derive(Clone, Copy)]
enum Wrong {
    TooFew,
    TooMany,
    Size,
    /// Of a whole batch.
    Later,
    Bytes,
}

impl Dataset<Image> for Wrong {
    fn get(&self, index: usize) -> Result<Image, DatasetError> {
        let (pixels, shape) = match self {
            Self::Size if index == 3 => (vec![0; 2], [1, 1, 2]),
            Self::Later if index >= 2 => (vec![0; 2], [1, 1, 2]),
            Self::Bytes if index == 3 => (vec![0; 3], [1, 1, 1]),
            _ => (vec![0], [1, 1, 1]),
        };
        Ok(Image { pixels, shape, label: None })
    }

    fn get_many(&self, indices: Vec<usize>) -> Result<Vec<Image>, DatasetError> {
        let n = match self {
            Self::TooFew => indices.len() - 1,
            Self::TooMany => indices.len() + 1,
            _ => indices.len(),
        };
        (0..n).map(|i| self.get(indices[i % indices.len()])).collect()
    }

    fn len(&self) -> usize {
        6
    }
}

#[test]
fn items_that_were_not_asked_for() {
    let other = |item| ItemError::Shape { item, expected: [1, 1, 1], found: [1, 1, 2] };
    let cases = [
        (Wrong::TooFew, 0, ItemError::Count { expected: 2, found: 1 }),
        (Wrong::TooMany, 0, ItemError::Count { expected: 2, found: 3 }),
        (Wrong::Size, 1, other(3)),
        (Wrong::Later, 1, other(2)),
        (Wrong::Bytes, 1, ItemError::Pixels { item: 3, shape: [1, 1, 1], found: 3 }),
    ];
    for (dataset, failing, expected) in cases {
        for prefetch in [0, 2] {
            let config = LoaderConfig::new(2).with_pass(Pass::Sequential).with_prefetch(prefetch);
            let loader: Loader<Tensor<4, Int>> =
                Loader::new(dataset, ImageBatcher, config, &Device::flex()).unwrap();
            let mut steps = loader.steps(0).unwrap();
            for _ in 0..failing {
                assert_eq!(steps.next().unwrap().unwrap().dims(), [2, 1, 1, 1]);
            }
            let Some(Err(DataError::Items { step, source })) = steps.next() else {
                panic!("{expected}")
            };
            assert_eq!((step, source), (failing, expected.clone()));
            assert!(steps.next().is_none());
        }
    }
}
