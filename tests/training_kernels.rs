//! Kernels on parameters against their references, in float64 and float32, on lengths that no
//! vector and no task divides; and our Adam against burn's, step by step.

use burn::backend::{DispatchTensor, TensorMetadata};
use burn::module::Param;
use burn::optim::{
    AdamConfig, AdamState, GradientsParams, Optimizer, RecordState, StateSink, StateSource,
};
use burn::tensor::{DType, Device, Tensor, TensorData};
use flowkit::kernel::adam::{self, Rates};
use flowkit::kernel::moving_average;
use flowkit::train::{
    Adam, EmaDecay, TrainError, Trainer, TrainerConfig, clip_global_norm, global_norm,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;

#[path = "common/poison.rs"]
mod poison;

#[global_allocator]
static ALLOCATOR: poison::Poison = poison::Poison;

/// One number, less than a vector, one vector, more, several tasks.
const LENGTHS: [usize; 6] = [0, 1, 15, 16, 37, 140_001];

const RATES: Rates = Rates { beta_1: 0.9, beta_2: 0.999, rate: 1e-3, epsilon: 1e-8 };

fn normal(n: usize, rng: &mut StdRng) -> Vec<f64> {
    (0..n).map(|_| rng.sample(StandardNormal)).collect()
}

fn tensor<const D: usize>(
    numbers: &[f64],
    shape: [usize; D],
    device: &Device,
    dtype: DType,
) -> Tensor<D> {
    Tensor::from_data(
        TensorData::new(numbers.to_vec(), shape).convert_dtype(dtype),
        (device, dtype),
    )
}

fn numbers<const D: usize>(tensor: &Tensor<D>) -> Vec<f64> {
    tensor.clone().into_data().iter::<f64>().collect()
}

/// Float64 on the CPU, and the default device's float32, with the roundings that a number may
/// differ by.
fn kinds() -> [(Device, DType, f64); 2] {
    [
        (Device::flex(), DType::F64, f64::EPSILON),
        (Device::default(), DType::F32, f64::from(f32::EPSILON)),
    ]
}

fn assert_close(found: &[f64], expected: &[f64], epsilon: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let allowed = 4.0 * epsilon * expected.abs().max(1.0);
        let close = (found - expected).abs() <= allowed;
        assert!(close, "{what}, {index}: {found} is not {expected}");
    }
}

/// A parameter, a gradient, a mean and a square.
fn drawn(n: usize, rng: &mut StdRng) -> [Vec<f64>; 4] {
    let mut drawn = [(); 4].map(|()| normal(n, rng));
    drawn[3].iter_mut().for_each(|square| *square *= *square);
    drawn
}

#[test]
fn adam_is_its_reference() {
    let mut rng = StdRng::seed_from_u64(3);
    for n in LENGTHS {
        let operands = drawn(n, &mut rng);
        let run =
            |update: fn(Tensor<1>, Tensor<1>, Tensor<1>, Tensor<1>, Rates) -> [Tensor<1>; 3],
             device: &Device,
             dtype| {
                let [parameter, gradient, mean, square] =
                    operands.each_ref().map(|o| tensor(o, [n], device, dtype));
                update(parameter, gradient, mean, square, RATES)
            };
        let truth = run(adam::plain::update, &Device::flex(), DType::F64);
        for (device, dtype, epsilon) in kinds() {
            for (found, truth) in run(adam::update, &device, dtype).iter().zip(&truth) {
                assert_eq!(found.dtype(), dtype);
                assert_close(
                    &numbers(found),
                    &numbers(truth),
                    epsilon,
                    &format!("{n} numbers, {dtype:?}"),
                );
            }
        }
    }
}

#[test]
fn a_moving_average_is_its_reference() {
    let mut rng = StdRng::seed_from_u64(4);
    for n in LENGTHS {
        let [average, value] = [(); 2].map(|()| normal(n, &mut rng));
        let operands = |device: &Device, dtype| {
            (tensor(&average, [n], device, dtype), tensor(&value, [n], device, dtype))
        };
        let (wide_average, wide_value) = operands(&Device::flex(), DType::F64);
        let truth = numbers(&moving_average::plain::update(wide_average, wide_value, 0.01));
        for (device, dtype, epsilon) in kinds() {
            let (average, value) = operands(&device, dtype);
            let found = moving_average::update(average.clone(), value, 0.01);
            assert_close(&numbers(&found), &truth, epsilon, &format!("{n} numbers, {dtype:?}"));
            let equal = moving_average::update(average.clone(), average.clone(), 0.01);
            assert_eq!(numbers(&equal), numbers(&average), "equal numbers stay equal");
        }
    }
}

/// An update in place is not seen by who else holds a tensor, and a part or a transpose of a tensor
/// is read as what it is.
#[test]
fn what_is_shared_or_lies_elsewhere_is_left_alone() {
    let mut rng = StdRng::seed_from_u64(5);
    for (device, dtype, epsilon) in kinds() {
        let operands = drawn(15 * 37, &mut rng);
        let whole = operands.each_ref().map(|o| tensor(o, [15, 37], &device, dtype));
        let before = whole.each_ref().map(numbers);
        let part = |whole: &Tensor<2>| whole.clone().transpose().narrow(0, 3, 20);
        let packed = |whole: &Tensor<2>| tensor(&numbers(&part(whole)), [20, 15], &device, dtype);
        let [parameter, gradient, mean, square] = whole.each_ref().map(part);
        let found = adam::update(parameter, gradient, mean, square, RATES);
        let average = moving_average::update(part(&whole[0]), part(&whole[1]), 0.25);
        let [parameter, gradient, mean, square] = whole.each_ref().map(packed);
        let expected = adam::plain::update(parameter, gradient, mean, square, RATES);
        for (found, expected) in found.iter().zip(&expected) {
            assert_close(&numbers(found), &numbers(expected), epsilon, "a part");
        }
        let expected = moving_average::plain::update(packed(&whole[0]), packed(&whole[1]), 0.25);
        assert_close(&numbers(&average), &numbers(&expected), epsilon, "a part");
        let held = whole.clone();
        let [parameter, gradient, mean, square] = whole;
        drop(adam::update(parameter, gradient, mean, square, RATES));
        assert_eq!(held.each_ref().map(numbers), before, "{dtype:?}");
    }
}

/// Shapes of parameters as models have them: most of them small, some without an element.
fn shapes() -> Vec<Vec<usize>> {
    let mut shapes = vec![vec![1], vec![0], vec![1, 1, 1, 1], vec![257], vec![3, 5], vec![40_001]];
    shapes.extend((0..34).map(|index| vec![1 + index % 7, 1 + 13 * index]));
    shapes
}

/// A list of operands: a call computes on tensors of any shapes, devices and types, some of which
/// are parts of others.
struct Many {
    operands: Vec<[DispatchTensor; 4]>,
    /// The same numbers in float64, and the roundings that the results may differ by.
    truth: Vec<([Tensor<1>; 4], f64)>,
}

impl Many {
    fn new(rng: &mut StdRng) -> Self {
        let mut many = Self { operands: Vec::new(), truth: Vec::new() };
        for (index, shape) in shapes().into_iter().enumerate() {
            let n = shape.iter().product();
            for (device, dtype, epsilon) in kinds() {
                let numbers = drawn(n, rng);
                let flat = numbers.each_ref().map(|numbers| tensor(numbers, [n], &device, dtype));
                let operands = flat.each_ref().map(|flat| match (index % 5, shape.as_slice()) {
                    // Every second number of a tensor twice as long.
                    (3, _) => Tensor::<1>::stack::<2>(vec![flat.clone(), flat.clone()], 1)
                        .narrow(1, 1, 1)
                        .into_dispatch(),
                    (_, &[a, b]) => flat.clone().reshape([a, b]).into_dispatch(),
                    (_, &[a, b, c, d]) => flat.clone().reshape([a, b, c, d]).into_dispatch(),
                    _ => flat.clone().into_dispatch(),
                });
                let wide = flat
                    .each_ref()
                    .map(|flat| tensor(&self::numbers(flat), [n], &Device::flex(), DType::F64));
                many.operands.push(operands);
                many.truth.push((wide, epsilon));
            }
        }
        many
    }
}

/// The numbers of a tensor of any number of axes, and its shape.
fn of_any_rank(tensor: &DispatchTensor) -> (Vec<f64>, Vec<usize>) {
    let shape = tensor.shape().to_vec();
    let tensor = tensor.clone();
    let numbers = match shape.len() {
        1 => numbers(&Tensor::<1>::from_dispatch(tensor)),
        2 => numbers(&Tensor::<2>::from_dispatch(tensor)),
        _ => numbers(&Tensor::<4>::from_dispatch(tensor)),
    };
    (numbers, shape)
}

#[test]
fn adam_updates_many_parameters_together() {
    let many = Many::new(&mut StdRng::seed_from_u64(7));
    let before: Vec<_> = many.operands.iter().map(|o| o.each_ref().map(of_any_rank)).collect();
    let shapes: Vec<_> = many.operands.iter().map(|o| o[0].shape()).collect();
    let found = adam::update_all(many.operands.clone(), RATES);
    assert_eq!(found.len(), many.truth.len());
    for (index, (found, (wide, epsilon))) in found.iter().zip(&many.truth).enumerate() {
        let [parameter, gradient, mean, square] = wide.clone();
        let truth = adam::plain::update(parameter, gradient, mean, square, RATES);
        for (found, truth) in found.iter().zip(&truth) {
            assert_eq!(found.shape(), shapes[index]);
            let what = format!("parameter {index}");
            assert_close(&of_any_rank(found).0, &numbers(truth), *epsilon, &what);
        }
    }
    // Who else holds the operands does not see the update.
    let after: Vec<_> = many.operands.iter().map(|o| o.each_ref().map(of_any_rank)).collect();
    assert_eq!(after, before);
    // The result does not depend on whether an update is in place.
    let in_place = adam::update_all(many.operands, RATES);
    for (in_place, found) in in_place.iter().flatten().zip(found.iter().flatten()) {
        assert_eq!(of_any_rank(in_place), of_any_rank(found));
    }
    assert!(adam::update_all(Vec::new(), RATES).is_empty());
}

#[test]
fn many_averages_are_updated_together() {
    let many = Many::new(&mut StdRng::seed_from_u64(8));
    let pairs = many.operands.into_iter().map(|[average, value, ..]| [average, value]).collect();
    let found = moving_average::update_all(pairs, 0.01);
    assert_eq!(found.len(), many.truth.len());
    for (index, (found, (wide, epsilon))) in found.iter().zip(&many.truth).enumerate() {
        let [average, value, ..] = wide.clone();
        let truth = moving_average::plain::update(average, value, 0.01);
        let what = format!("average {index}");
        assert_close(&of_any_rank(found).0, &numbers(&truth), *epsilon, &what);
    }
    assert!(moving_average::update_all(Vec::new(), 0.01).is_empty());
}

/// A trainer's updates are those of Adam and of the average for each parameter by itself, also for
/// parameters that some updates leave out, and for one that occurs at two places.
#[test]
fn a_trainer_updates_each_parameter_as_if_it_were_alone() {
    let device = Device::default().autodiff();
    let mut rng = StdRng::seed_from_u64(9);
    let lengths = [1, 5, 300, 64, 1];
    let starts = lengths.map(|n| normal(n, &mut rng));
    let slopes = lengths.map(|n| normal(n, &mut rng));
    let mut model: Vec<Param<Tensor<1>>> = (starts.iter())
        .map(|start| {
            let start = tensor(start, [start.len()], &device, DType::F32);
            Param::from_tensor(start)
        })
        .collect();
    model.push(model[1].clone());
    let mut config = TrainerConfig::new();
    (config.learning_rate, config.warm_up) = (1e-2, 0);
    (config.max_norm, config.ema) = (f64::MAX, EmaDecay::Constant(0.75));
    let mut trainer = Trainer::new(model, config).unwrap();
    let used = |parameter: usize, step: u64| !(parameter == 2 && step.is_multiple_of(2));
    for step in 0..6 {
        let loss = |model: &Vec<Param<Tensor<1>>>| {
            let terms = (0..lengths.len()).filter(|&parameter| used(parameter, step));
            let term = |parameter: usize| {
                let slope = &slopes[parameter];
                let slope = tensor(slope, [slope.len()], &device, DType::F32);
                (model[parameter].val() * slope * (step as f64 + 1.0)).sum()
            };
            terms.map(term).reduce(|sum, term| sum + term).unwrap()
        };
        trainer.update(&device, loss).unwrap();
    }
    let [model, average] = [trainer.model(), trainer.average()];
    for (parameter, n) in lengths.into_iter().enumerate() {
        let wide = |numbers: &[f64]| tensor(numbers, [n], &Device::flex(), DType::F64);
        let (mut expected, mut state) = (wide(&starts[parameter]), None);
        let mut expected_average = expected.clone();
        for step in 0..6 {
            if used(parameter, step) {
                let gradient = wide(&slopes[parameter]) * (step as f64 + 1.0);
                (expected, state) = Adam::default().step(1e-2, expected, gradient, state);
            }
            expected_average =
                moving_average::plain::update(expected_average, expected.clone(), 0.25);
        }
        let what = format!("parameter {parameter}");
        let epsilon = 4.0 * f64::from(f32::EPSILON);
        assert_close(&numbers(&model[parameter].val()), &numbers(&expected), epsilon, &what);
        let found = numbers(&average[parameter].val());
        assert_close(&found, &numbers(&expected_average), epsilon, &what);
    }
    assert_eq!(numbers(&model[5].val()), numbers(&model[1].val()));
}

/// Parameters of many sizes on both devices, of several types, with gradients of their own: parts
/// of tensors too.
fn with_gradients(rng: &mut StdRng) -> (Vec<Param<Tensor<2>>>, GradientsParams, Vec<Vec<f64>>) {
    let (mut model, mut gradients, mut truth) = (Vec::new(), GradientsParams::new(), Vec::new());
    for (index, shape) in shapes().into_iter().enumerate() {
        let n: usize = shape.iter().product();
        for (device, dtype, _) in kinds() {
            let half = device.supports_dtype(DType::F16) && index % 4 == 1;
            let dtype = if half && dtype == DType::F32 { DType::F16 } else { dtype };
            let numbers = normal(2 * n, rng);
            let both = tensor(&numbers, [n, 2], &device, dtype);
            let gradient = if index % 3 == 2 { both.narrow(1, 1, 1) } else { both };
            truth.push(self::numbers(&gradient));
            let param = Param::from_tensor(gradient.zeros_like());
            gradients.register(param.id, gradient);
            model.push(param);
        }
    }
    // A parameter that occurs twice counts once, and one without a gradient not at all.
    model.push(model[3].clone());
    model.push(Param::from_tensor(model[0].val()));
    (model, gradients, truth)
}

#[test]
fn a_norm_over_many_gradients_is_that_of_all_their_numbers() {
    let (model, gradients, truth) = with_gradients(&mut StdRng::seed_from_u64(10));
    let length: f64 = truth.iter().flatten().map(|g| g * g).sum::<f64>().sqrt();
    let found = global_norm(&model, &gradients);
    assert_eq!(found.dims(), [1]);
    let found = found.into_scalar::<f64>();
    assert!((found / length - 1.0).abs() < 1e-6, "{found} is not {length}");
    let (clipped, norm) = clip_global_norm(gradients, &model, 0.5).unwrap();
    assert_eq!(norm, found);
    assert_eq!(clipped.len(), truth.len());
    for (param, truth) in model.iter().zip(&truth) {
        let clipped = clipped.get::<2>(param.id).unwrap();
        assert_eq!((clipped.dims(), clipped.dtype()), (param.dims(), param.dtype()));
        let half = clipped.dtype() == DType::F16;
        let epsilon = if half { 1e-3 } else { f64::from(f32::EPSILON) };
        let expected: Vec<f64> = truth.iter().map(|g| g * (0.5 / length)).collect();
        assert_close(&numbers(&clipped), &expected, epsilon, "a clipped gradient");
    }
}

/// Gradients of one device: not finite, so large that their squares are infinite, and none.
#[test]
fn a_norm_keeps_its_exceptions() {
    let (device, dtype) = (Device::default(), DType::F32);
    let model: Vec<Param<Tensor<2>>> =
        (0..3).map(|n| Param::from_tensor(Tensor::zeros([n + 1, 300], &device))).collect();
    let gradients = |values: [f64; 3]| {
        let mut gradients = GradientsParams::new();
        for (param, value) in model.iter().zip(values) {
            let [rows, columns] = param.dims();
            let mut numbers = vec![0.0; rows * columns];
            numbers[rows * columns - 1] = value;
            gradients.register(param.id, tensor(&numbers, [rows, columns], &device, dtype));
        }
        gradients
    };
    for (values, at) in [
        ([1.0, f64::NAN, 2.0], "1"),
        ([f64::INFINITY, 0.0, 1.0], "0"),
        ([f64::NAN, 1.0, f64::NEG_INFINITY], "2"),
    ] {
        let error = clip_global_norm(gradients(values), &model, 1.0).unwrap_err();
        let TrainError::NonFiniteGradient { parameter, .. } = error else { panic!("{error}") };
        assert_eq!(parameter, at, "{values:?}");
    }
    let (clipped, norm) = clip_global_norm(gradients([3e30, 0.0, 4e30]), &model, 1.0).unwrap();
    assert!((norm / 5e30 - 1.0).abs() < 1e-6, "{norm}");
    let last: Vec<f64> = (model.iter())
        .map(|param| *numbers(&clipped.get::<2>(param.id).unwrap()).last().unwrap())
        .collect();
    assert_close(&last, &[0.6, 0.0, 0.8], f64::from(f32::EPSILON), "a huge gradient");
    let (short, norm) = clip_global_norm(gradients([0.3, 0.0, 0.4]), &model, 1.0).unwrap();
    assert!((norm - 0.5).abs() < 1e-6, "{norm}");
    let expected = gradients([0.3, 0.0, 0.4]);
    for param in &model {
        let [short, expected] = [&short, &expected].map(|g| g.get::<2>(param.id).unwrap());
        assert_eq!(numbers(&short), numbers(&expected), "a short gradient stays as it is");
    }
    let (none, norm) = clip_global_norm(GradientsParams::new(), &model, 1.0).unwrap();
    assert!(none.is_empty() && norm == 0.0);
}

/// Loss and norm reach the host together. The error is about the loss if the loss is not finite,
/// and otherwise about the gradient; the trainer is as it was before.
#[test]
fn a_failed_update_names_its_cause() {
    let device = Device::default().autodiff();
    let model: Vec<Param<Tensor<1>>> =
        (0..3).map(|n| Param::from_tensor(Tensor::zeros([n + 1], &device))).collect();
    let mut config = TrainerConfig::new();
    (config.warm_up, config.max_norm) = (0, 1.0);
    let mut trainer = Trainer::new(model, config).unwrap();
    type Model = Vec<Param<Tensor<1>>>;
    let sum = |model: &Model| (model[0].val() * 3.0 + 1.0).sum() + model[2].val().sum() * 2.0;
    let update = trainer.update(&device, sum).unwrap();
    assert_eq!(update.loss, 1.0);
    assert!((update.gradient_norm / 21f64.sqrt() - 1.0).abs() < 1e-6, "{update:?}");
    let before: Vec<_> = trainer.model().iter().map(|param| numbers(&param.val())).collect();
    for (factor, value) in [(f32::NAN, f64::NAN), (f32::INFINITY, f64::INFINITY)] {
        let error = trainer.update(&device, |model| sum(model) * factor).unwrap_err();
        let TrainError::NonFiniteLoss { step: 2, value: found, .. } = error else {
            panic!("{error}")
        };
        assert!(found.is_nan() == value.is_nan() && !found.is_finite(), "{found}");
    }
    // A parameter that is 0, with an infinite slope.
    let steep = |model: &Model| sum(model) + (model[1].val() * 3e38 * 3e38).sum();
    let error = trainer.update(&device, steep).unwrap_err();
    let TrainError::NonFiniteGradient { step: Some(2), parameter, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(parameter, "1");
    let after: Vec<_> = trainer.model().iter().map(|param| numbers(&param.val())).collect();
    assert_eq!(after, before);
    assert_eq!(trainer.update(&device, sum).unwrap().step, 2);
}

/// A state as another optimizer reads it from a record.
fn as_recorded<A: RecordState, B: RecordState>(state: &A, device: &Device) -> B {
    let mut record = StateSink::default();
    state.state_flatten("parameter", &mut record);
    let mut source = StateSource::new(record.scalars.into_iter().collect());
    record.tensors.into_iter().for_each(|(name, data)| source.insert_tensor(name, data));
    B::state_unflatten("parameter", &mut source, device).expect("the names of burn's record")
}

/// A parameter after some steps, and how many the state counts. From `swap_at` on, burn's Adam goes
/// on with the state.
fn after_updates<O: Optimizer>(optimizer: O, swap_at: Option<usize>) -> (Vec<f64>, usize) {
    let other = AdamConfig::new().with_epsilon(1e-8).build();
    let mut rng = StdRng::seed_from_u64(6);
    let (device, dtype) = (Device::flex(), DType::F32);
    let mut parameter = tensor(&normal(50, &mut rng), [50], &device, dtype);
    let mut state: Option<O::State<1>> = None;
    for step in 0..200 {
        let mut gradient = normal(50, &mut rng);
        // Of all sizes, and one parameter that never has any.
        gradient
            .iter_mut()
            .enumerate()
            .for_each(|(index, g)| *g *= 10f64.powi(index as i32 / 5 - 6));
        gradient[49] = 0.0;
        let gradient = tensor(&gradient, [50], &device, dtype);
        (parameter, state) = match swap_at {
            Some(at) if step >= at => {
                let burns = state.map(|state| as_recorded(&state, &device));
                let (parameter, burns) = other.step(1e-2, parameter, gradient, burns);
                (parameter, burns.map(|state| as_recorded::<AdamState<1>, _>(&state, &device)))
            }
            _ => optimizer.step(1e-2, parameter, gradient, state),
        };
    }
    let state: AdamState<1> = as_recorded(&state.unwrap(), &device);
    (numbers(&parameter), state.momentum.time)
}

/// Over 200 updates, and where burn's takes over in the middle.
#[test]
fn our_adam_is_the_one_of_burn() {
    let (expected, time) = after_updates(AdamConfig::new().with_epsilon(1e-8).build(), None);
    assert_eq!(time, 200);
    for swap_at in [None, Some(77)] {
        let (found, time) = after_updates(Adam::default(), swap_at);
        assert_eq!(time, 200);
        for (found, expected) in found.iter().zip(&expected) {
            // 200 roundings of a number near 1; burn takes 1 − β in float32, which is 1.3e-5 off
            // for 0.999.
            assert!((found - expected).abs() < 2e-5, "{found} is not {expected}");
        }
    }
}
