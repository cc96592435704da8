//! Kernels on parameters against their references, in float64 and float32, on lengths that no
//! vector and no task divides; and our Adam against burn's, step by step.

use burn::optim::{AdamConfig, AdamState, Optimizer, RecordState, StateSink, StateSource};
use burn::tensor::{DType, Device, Tensor, TensorData};
use flowkit::kernel::adam::{self, Rates};
use flowkit::kernel::moving_average;
use flowkit::train::Adam;
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
