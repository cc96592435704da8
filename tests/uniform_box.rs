//! The uniform prior on boxes: densities, samples, types, JSON and errors.

use std::f64::consts::PI;

use burn::tensor::{DType, Device, Tensor, TensorData};
use flowkit::{
    BoxBound, ConfigError, Density, Flow, Prior, PriorConfig, Site, Swap, Uniform, UniformBox,
    UniformBoxConfig,
};

#[path = "common/prior.rs"]
mod prior;

use prior::{close, moments, near, numbers};

fn build(config: &UniformBoxConfig, shape: [usize; 2]) -> UniformBox {
    config.build(&Site::<2>::new(shape, &Device::flex())).unwrap()
}

fn tensor(values: &[f64], shape: [usize; 2], dtype: DType) -> Tensor<2> {
    let data = TensorData::new(values.to_vec(), shape).convert_dtype(dtype);
    Tensor::from_data(data, (&Device::flex(), dtype))
}

#[test]
fn densities_are_the_closed_form() {
    let config = UniformBoxConfig::between(vec![-1.0, 2.0], vec![3.0, 2.5]);
    let z = [0.0, 2.25, -1.0, 2.5, 3.0, 2.0, 3.1, 2.25, 0.0, 1.9];
    let found = numbers(build(&config, [1, 2]).log_prob(tensor(&z, [5, 2], DType::F64), &()));
    let inside = -2f64.ln();
    close(&found[..3], &[inside; 3]);
    assert_eq!(found[3..], [f64::NEG_INFINITY; 2]);
    // One bound for all, the other for each.
    let config = UniformBoxConfig::between(-1.0, vec![1.0, 3.0]);
    let found = numbers(build(&config, [1, 2]).log_prob(tensor(&z[..2], [1, 2], DType::F64), &()));
    close(&found, &[-8f64.ln()]);
    // Of images as well, with one bound for all of their elements.
    let site = Site::<4>::new([1, 2, 3, 3], &Device::flex());
    let prior = UniformBoxConfig::between(-PI, PI).build(&site).unwrap();
    let z = Tensor::<4>::zeros([2, 2, 3, 3], &Device::flex());
    for nats in numbers(prior.log_prob(z, &())) {
        assert!((nats + 18.0 * (2.0 * PI).ln()).abs() < 1e-5, "{nats}");
    }
    // The unit cube is `Uniform`.
    let z = tensor(&[0.0, 1.0, 0.5, 1.5, f64::NAN, 0.5], [3, 2], DType::F32);
    let own = numbers(build(&UniformBoxConfig::between(0.0, 1.0), [1, 2]).log_prob(z.clone(), &()));
    let other = numbers(Uniform::new().log_prob(z, &()));
    assert_eq!((&own[..2], own[2].is_nan()), (&other[..2], other[2].is_nan()));
}

#[test]
fn samples_fill_the_box_about_its_middle() {
    let prior = build(&UniformBoxConfig::between(vec![-1.0, 5.0], vec![3.0, 5.5]), [1, 2]);
    let n = 40_000;
    for dtype in [DType::F32, DType::F64] {
        for temperature in [1.0, 0.5, 0.0, 2.0] {
            Device::flex().seed(2);
            let z = numbers(prior.sample([n, 2], temperature, &(), &Device::flex(), dtype));
            let found = moments(&z);
            for (i, (middle, width)) in [(1.0, 4.0), (5.25, 0.5)].into_iter().enumerate() {
                let width: f64 = temperature * width;
                near(found[i], middle, width * width / 12.0, 1.8, n);
                let farthest = z.iter().skip(i).step_by(2).map(|z| (z - middle).abs());
                assert!(farthest.fold(0.0, f64::max) <= 0.5 * width);
            }
        }
    }
}

/// Bounds that float32 holds, and bounds that it rounds, far from 0 and near it.
#[test]
fn no_sample_is_outside() {
    for (lower, upper) in [
        (1e6, 1e6 + 1.0),
        (-1e6 - 0.25, -1e6),
        (0.1, 0.7),
        (-PI, PI),
        (1e-30, 2e-30),
        (-1e37, 1e37),
        // Between two numbers of float32: all samples are one of them.
        (1e6 + 0.01, 1e6 + 0.02),
    ] {
        let prior = build(&UniformBoxConfig::between(lower, upper), [1, 1]);
        for dtype in [DType::F32, DType::F64] {
            Device::flex().seed(3);
            let z = prior.sample([10_000, 1], 1.0, &(), &Device::flex(), dtype);
            let nats = numbers(prior.log_prob(z.clone(), &()));
            let expected = -(upper - lower).ln();
            let spacing = if dtype == DType::F32 { f64::from(f32::EPSILON) } else { f64::EPSILON };
            for nats in nats {
                let error = (nats - expected).abs();
                assert!(error <= spacing * expected.abs(), "{lower} {upper} {dtype:?}: {nats}");
            }
            let (low, high) = if dtype == DType::F32 {
                (f64::from(lower as f32), f64::from(upper as f32))
            } else {
                (lower, upper)
            };
            assert!(numbers(z).iter().all(|z| (low..=high).contains(z)));
        }
    }
    // The 17 points of float32 in a box of width 1 at 1e6.
    let prior = build(&UniformBoxConfig::between(1e6, 1e6 + 1.0), [1, 1]);
    let z = prior.sample([10_000, 1], 1.0, &(), &Device::flex(), DType::F32);
    let mut points: Vec<u64> = numbers(z).iter().map(|z| (16.0 * (z - 1e6)) as u64).collect();
    points.sort_unstable();
    points.dedup();
    assert_eq!(points, (0..=16).collect::<Vec<u64>>());
}

#[test]
fn a_flow_takes_it_and_its_shape_is_checked() {
    let prior = UniformBoxConfig::between(vec![0.0, 1.0], vec![1.0, 3.0]);
    let flow = Flow::build(&Vec::<Swap>::new(), prior, [1, 2], &Device::flex()).unwrap();
    let flow = flow.without_data();
    let nats = flow.evaluate(tensor(&[0.5, 2.0], [1, 2], DType::F32)).unwrap();
    assert!((nats.nats()[0] + 2f64.ln()).abs() < 1e-6);
    let prior = build(&UniformBoxConfig::between(0.0, 1.0), [1, 2]);
    let error = Prior::<2>::check(&prior, [4, 3]).unwrap_err();
    assert!(error.to_string().contains("UniformBox"), "{error}");
}

#[test]
fn bounds_are_numbers_or_lists_in_json() {
    let config: UniformBoxConfig =
        serde_json::from_str(r#"{ "lower": -1, "upper": [1.5, 2] }"#).unwrap();
    assert_eq!(config.lower, BoxBound::All(-1.0));
    assert_eq!(config.upper, BoxBound::Each(vec![1.5, 2.0]));
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(text, r#"{"lower":-1.0,"upper":[1.5,2.0]}"#);
    assert!(serde_json::from_str::<UniformBoxConfig>(r#"{ "lower": "a", "upper": 1 }"#).is_err());
}

#[test]
fn what_is_no_box_is_refused() {
    let site = Site::<2>::new([1, 3], &Device::flex());
    let error = |lower: BoxBound, upper: BoxBound| {
        UniformBoxConfig::new(lower, upper).build(&site).unwrap_err()
    };
    let each = |values: &[f64]| BoxBound::Each(values.to_vec());
    for (lower, upper, text) in [
        (0.0.into(), 0.0.into(), "`lower` = 0 of element 0 must be less than `upper` = 0"),
        (
            each(&[0.0, 1.0, 2.0]),
            each(&[1.0, 2.0, 1.5]),
            "`lower` = 2 of element 2 must be less than `upper` = 1.5",
        ),
        (0.0.into(), each(&[1.0, -2.0, 1.0]), "of element 1 must be less than `upper` = -2"),
        (each(&[0.0, 0.0]), 1.0.into(), "`lower` must have 3 entries, found 2"),
        (0.0.into(), each(&[1.0; 4]), "`upper` must have 3 entries, found 4"),
        (each(&[]), 1.0.into(), "`lower` must have 3 entries, found 0"),
        (f64::NAN.into(), 1.0.into(), "`lower` must lie in [-10³⁷, 10³⁷], found NaN"),
        (0.0.into(), f64::INFINITY.into(), "`upper` must lie in [-10³⁷, 10³⁷], found inf"),
        (each(&[0.0, 0.0, -1e38]), 1.0.into(), "`lower` must lie in"),
    ] {
        let error = error(lower, upper).to_string();
        assert!(error.starts_with("UniformBoxConfig: ") && error.contains(text), "{error}");
    }
    let equal = UniformBoxConfig::between(2.0, 1.0).validate().unwrap_err();
    let expected = ConfigError::EmptyInterval {
        config: "UniformBoxConfig",
        element: 0,
        lower: 2.0,
        upper: 1.0,
    };
    assert_eq!(equal, expected);
}
