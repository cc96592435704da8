//! Channels that are constant in the first batch: bounded once, whatever the number of norms, or
//! refused.

use std::f64::consts::PI;

use flowkit::conditioner::layer::{ConvInit, DataInitConvConfig};
use flowkit::model::flow_plus_plus::{
    DequantizationConfig, FlowPlusPlusConfig, Resolution, StageConfig,
};
use flowkit::model::glow::GlowConfig;
use flowkit::model::{MafConfig, RealNvpConfig};
use flowkit::{
    ActNormConfig, Bijector, ConstantChannel, Conv1x1Config, ConvStyle, Density, Flow, InitProblem,
    Mixing, Pattern, PositionNormConfig, StandardNormal,
};

use super::{around, device, failed, levels, moments, numbers, scattered, table, tensor};
use crate::build::layer;

fn log_normal(x: f64, mean: f64, deviation: f64) -> f64 {
    -0.5 * ((x - mean) / deviation).powi(2) - deviation.ln() - 0.5 * (2.0 * PI).ln()
}

/// What rounding leaves of a constant is not data: two neighbouring floats, in any shares, in any
/// of the norms.
#[test]
fn a_constant_that_was_rounded_is_not_enlarged_by_a_later_norm() {
    let (rows, one, kelvin) = (600, 1f32, 273.15f32);
    for (value, other, every) in [
        (kelvin, kelvin.next_up(), 600),
        (kelvin, kelvin.next_up(), 2),
        (one, one.next_down(), 3),
        (0.1f32, 0.1f32.next_up(), 7),
        (-4e12f32, (-4e12f32).next_down(), 5),
    ] {
        let column: Vec<f32> =
            (0..rows).map(|row| if row % every == 0 { other } else { value }).collect();
        let batch = table(&[column.clone(), around(6, rows, 0.0, 1.0)]);
        let what = format!("{value} and {other}, one in {every}");
        let bounded = |log_scale: f64| assert!(log_scale <= 1e-6, "{what}: {log_scale}");
        let (first, z) =
            layer(&ActNormConfig::new(), [1, 2], &device()).initialize(batch.clone(), &());
        let (second, _) = layer(&ActNormConfig::new(), [1, 2], &device()).initialize(z, &());
        [first, second].iter().for_each(|norm| bounded(numbers(&norm.effective_log_scale())[0]));
        let (first, z) =
            layer(&PositionNormConfig::new(), [1, 2], &device()).initialize(batch.clone(), &());
        let (second, _) = layer(&PositionNormConfig::new(), [1, 2], &device()).initialize(z, &());
        [first, second].iter().for_each(|norm| bounded(numbers(&norm.log_scale.val())[0]));
        let later = table(&[column.iter().map(|x| x + 0.01).collect(), around(7, rows, 0.0, 1.0)]);
        let maf = Flow::build(&MafConfig::new(5), StandardNormal::new(), [1, 2], &device())
            .unwrap()
            .initialize(batch.clone())
            .unwrap();
        let nvp = Flow::build(&RealNvpConfig::new(8), StandardNormal::new(), [1, 2], &device())
            .unwrap()
            .initialize(batch)
            .unwrap();
        for nats in [maf.evaluate(later.clone()).unwrap(), nvp.evaluate(later).unwrap()] {
            assert!(nats.nats().iter().all(|&nats| nats > -60.0), "{what}: {:?}", nats.nats());
        }
    }
}

/// Eight norms start as one: the flow is the product of normal densities, that of the constant
/// column as wide as the constant.
#[test]
fn a_constant_column_has_a_sane_density_behind_many_norms() {
    for value in [7.0, 0.0, 1e-6, 273.15, -1e18, 1e30] {
        let rows = 200;
        let batch =
            [around(1, rows, 3.0, 2.0), vec![value as f32; rows], around(2, rows, -50.0, 0.1)];
        let flow = Flow::build(&RealNvpConfig::new(8), StandardNormal::new(), [1, 3], &device())
            .unwrap()
            .initialize(table(&batch))
            .unwrap();
        for (norm, _) in flow.bijector.iter().map(|(between, ..)| between) {
            let norm = norm.as_ref().unwrap();
            let log_scale = numbers(&norm.effective_log_scale())[1];
            assert!((-70.0..=1e-6).contains(&log_scale), "{value}: {log_scale}");
        }
        let wide = f64::from(value as f32).abs().max(1.0);
        let later =
            [around(3, 50, 3.0, 2.0), around(4, 50, value, wide), around(5, 50, -50.0, 0.1)];
        let nats = flow.evaluate(table(&later)).unwrap().nats().to_vec();
        let of = |index: usize| moments(batch[index].iter().map(|&x| f64::from(x)));
        for (row, nats) in nats.into_iter().enumerate() {
            let x = |index: usize| f64::from(later[index][row]);
            let constant = log_normal(x(1), f64::from(value as f32), wide);
            let expected = constant
                + [0, 2]
                    .map(|index| log_normal(x(index), of(index).0, of(index).1))
                    .iter()
                    .sum::<f64>();
            assert!(
                (nats - expected).abs() < 2e-3 * (1.0 + expected.abs()),
                "{value}: {nats} {expected}"
            );
        }
    }
    // Rows that are all alike are constant throughout.
    let alike = table(&[vec![2.0; 9], vec![-3.5; 9]]);
    let flow = Flow::build(&MafConfig::new(5), StandardNormal::new(), [1, 2], &device())
        .unwrap()
        .initialize(alike.clone())
        .unwrap();
    assert!(flow.evaluate(alike + 1.0).unwrap().nats().iter().all(|nats| nats.abs() < 20.0));
}

/// One and the same channel through norms of both kinds, with a mixing of channels between.
#[test]
fn a_constant_channel_of_images_stays_bounded() {
    let plane = 4 * 9;
    let values: Vec<f32> = around(6, 3 * plane, 10.0, 2.0)
        .into_iter()
        .enumerate()
        .map(|(index, x)| if index / 9 % 3 == 1 { 0.37 } else { x })
        .collect();
    let x = tensor(values, [4, 3, 3, 3]);
    let act = || layer(&ActNormConfig::new(), [1, 3, 1, 1], &device());
    let position = || layer(&PositionNormConfig::new(), [1, 3, 3, 3], &device());
    let layers = (
        act(),
        position(),
        act(),
        position(),
        layer(&Conv1x1Config::new(), [1, 3], &device()),
        act(),
    );
    let flow = Flow::new(layers, StandardNormal::new(), [1, 3, 3, 3])
        .unwrap()
        .initialize(x.clone())
        .unwrap();
    for norm in [&flow.bijector.0, &flow.bijector.2] {
        assert_eq!(numbers(&norm.effective_log_scale())[1], 0.0);
    }
    for norm in [&flow.bijector.1, &flow.bijector.3] {
        assert_eq!(numbers(&norm.log_scale.val())[9..18], [0.0; 9]);
    }
    assert!(flow.evaluate(x + 1.0).unwrap().nats().iter().all(|nats| nats.abs() < 1e4));
}

#[test]
fn a_constant_channel_can_be_refused() {
    let x = table(&[around(1, 20, 0.0, 1.0), vec![4.0; 20], vec![5.0; 20]]);
    let norm = ActNormConfig::new().with_constant(ConstantChannel::Error);
    let flow = Flow::new(
        (layer(&Conv1x1Config::new(), [1, 3], &device()), layer(&norm, [1, 3], &device())),
        StandardNormal::new(),
        [1, 3],
    );
    // Mixed with a column that varies, none is constant.
    assert!(flow.unwrap().initialize(x.clone()).is_ok());
}

#[test]
fn a_refused_channel_is_named() {
    let x = table(&[around(1, 20, 0.0, 1.0), vec![4.0; 20], around(2, 20, 9.0, 1e-3)]);
    let act = || ActNormConfig::new().with_constant(ConstantChannel::Error);
    let flow =
        Flow::new(vec![layer(&act(), [1, 3], &device())], StandardNormal::new(), [1, 3]).unwrap();
    let expected = InitProblem::Constant { what: "channel", index: 1, value: 4.0, deviation: 0.0 };
    assert_eq!(
        failed(flow.initialize(x.clone())),
        ("bijector.0".into(), "ActNorm".into(), expected)
    );
    // Two channels deviate by less than 0.01.
    let flow = Flow::new(
        layer(&act().with_least_deviation(0.01), [1, 3], &device()),
        StandardNormal::new(),
        [1, 3],
    )
    .unwrap();
    let error = flow.initialize(x.clone().flip([1])).unwrap_err().to_string();
    let expected = "`bijector` (ActNorm) cannot be initialised from this batch: channel 0 is \
                    constant in the batch, with ";
    assert!(error.starts_with(expected), "{error}");
    let position =
        layer(&PositionNormConfig::new().with_constant(ConstantChannel::Error), [1, 3], &device());
    let flow = Flow::new(position, StandardNormal::new(), [1, 3]).unwrap();
    let expected = InitProblem::Constant { what: "element", index: 1, value: 4.0, deviation: 0.0 };
    assert_eq!(failed(flow.initialize(x)), ("bijector".into(), "PositionNorm".into(), expected));
    for least_deviation in [-1e-9, f64::NAN, f64::INFINITY] {
        let error = act().with_least_deviation(least_deviation).validate().unwrap_err().to_string();
        assert!(
            error.starts_with("ActNormConfig: `least_deviation` must lie in [0, ∞), found"),
            "{error}"
        );
        let error = PositionNormConfig::new()
            .with_least_deviation(least_deviation)
            .validate()
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("PositionNormConfig: `least_deviation`"), "{error}");
    }
}

/// A model passes the rule to its norms: the error names the norm, the channel and its value.
#[test]
fn models_refuse_a_constant_channel_where_they_are_told_to() {
    let refuse = ConstantChannel::Error;
    let x = table(&[around(1, 9, 3.0, 2.0), vec![4.0; 9]]);
    let expected = |what, index, value, deviation| {
        let norm = "ActNorm".to_owned();
        (norm, InitProblem::Constant { what, index, value, deviation })
    };
    let (_, layer, problem) = failed(
        Flow::build(
            &RealNvpConfig::new(2).with_constant(refuse),
            StandardNormal::new(),
            [1, 2],
            &device(),
        )
        .unwrap()
        .initialize(x.clone()),
    );
    assert_eq!((layer, problem), expected("channel", 1, 4.0, 0.0));
    let (_, layer, problem) = failed(
        Flow::build(
            &MafConfig::new(2).with_constant(refuse),
            StandardNormal::new(),
            [1, 2],
            &device(),
        )
        .unwrap()
        .initialize(x),
    );
    assert_eq!((layer, problem), expected("channel", 1, 4.0, 0.0));
    let glow = GlowConfig::new([1, 4, 4], 1, 1).with_n_filters(4);
    let black = || levels([4, 1, 4, 4], |_| 0);
    assert!(glow.clone().build(&device()).unwrap().initialize(black()).is_ok());
    let (_, layer, problem) =
        failed(glow.with_constant(refuse).build(&device()).unwrap().initialize(black()));
    assert_eq!(layer, "ActNorm");
    // Dequantized black: the noise of one level.
    assert!(
        matches!(
            problem,
            InitProblem::Constant { index: 0, deviation, .. }
                if deviation < 1.5 / 12f64.sqrt() / 256.0
        ),
        "{problem:?}"
    );
}

/// Convolutions in a row multiply nothing either.
#[test]
fn convolutions_of_a_constant_stay_bounded() {
    let mut x = tensor(vec![0.5; 4 * 2 * 9], [4, 2, 3, 3]);
    let mut later = tensor(around(8, 4 * 2 * 9, 0.5, 1.0), [4, 2, 3, 3]);
    for _ in 0..4 {
        let start = ConvInit::DataDependent { scale: 1.0 };
        let (conv, y) = DataInitConvConfig::new(2, 2)
            .with_kernel(1)
            .with_init(start)
            .build(&device())
            .unwrap()
            .initialize(x);
        assert!(numbers(&y).iter().all(|y| y.abs() < 1e-6));
        assert!(numbers(&conv.conv.weight.val()).iter().all(|w| w.abs() < 1.0));
        (x, later) = (y, conv.forward(later));
    }
    assert!(numbers(&later).iter().all(|y| y.abs() < 10.0));
}

#[test]
fn black_images_start_a_glow_that_noise_is_possible_to() {
    let shape = [8, 3, 8, 8];
    for (bits, black) in [(8, 0), (8, 255), (5, 7)] {
        let config = GlowConfig::new([3, 8, 8], 2, 4).with_n_levels(1 << bits).with_n_filters(12);
        let model = config.build(&device()).unwrap().initialize(levels(shape, |_| black)).unwrap();
        let noise = levels(shape, |index| scattered(index) >> (8 - bits));
        let found = model.evaluate(noise).unwrap().bits_per_dim().value();
        assert!((0.0..16.0).contains(&found), "{bits} bits, {black}: {found} bits/dim");
        assert!(
            model.evaluate(levels(shape, |_| black)).unwrap().bits_per_dim().value().is_finite()
        );
    }
    // Images that differ by more than their noise are normalised.
    let x = levels(shape, |index| 3 * (scattered(index) % 2));
    let model = GlowConfig::new([3, 8, 8], 1, 1)
        .with_n_filters(12)
        .build(&device())
        .unwrap()
        .initialize(x)
        .unwrap();
    let norm = &model.bijector.1.levels[0].1[0].0;
    // Levels 0 and 3 at random deviate by 1.5 levels, the noise by 0.29.
    let deviation = (1.5f64.powi(2) + 1.0 / 12.0).sqrt() / 256.0;
    for log_scale in numbers(&norm.effective_log_scale()) {
        assert!((log_scale + deviation.ln()).abs() < 0.1, "{log_scale} {}", -deviation.ln());
    }
}

/// A dark border, as that of MNIST, and an image that has ink there.
#[test]
fn a_dark_border_starts_a_flow_that_ink_is_possible_to() {
    let stages = vec![StageConfig {
        resolution: Resolution::Keep,
        pattern: Pattern::Checkerboard,
        n_couplings: 4,
    }];
    let config = FlowPlusPlusConfig::new([1, 8, 8], stages, DequantizationConfig::Uniform)
        .with_n_filters(8)
        .with_n_blocks(1)
        .with_mixing(Mixing::Attention { heads: 2 })
        .with_style(ConvStyle::fan_in());
    let border = |index: usize| index % 8 < 2 || index / 8 % 8 < 2;
    let x = levels([32, 1, 8, 8], |index| if border(index) { 0 } else { scattered(index) });
    let model = config.build(&device()).unwrap().initialize(x).unwrap();
    let found = model.evaluate(levels([8, 1, 8, 8], scattered)).unwrap().bits_per_dim().value();
    assert!((0.0..60.0).contains(&found), "{found} bits/dim");
}

/// What rounding makes of a constant is one.
#[test]
fn a_trace_of_rounding_is_no_deviation() {
    let mut column = vec![0.1f32; 1000];
    column[17] = 0.1f32.next_up();
    let (norm, _) = Bijector::<2>::initialize(
        layer(&ActNormConfig::new(), [1, 1], &device()),
        table(&[column]),
        &(),
    );
    assert_eq!(numbers(&norm.log_scale.val()), [0.0]);
}
