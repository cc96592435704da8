//! Batches that start nothing: the error names the layer, and the channel or parameter.

use burn::tensor::Tensor;
use flowkit::law::{AffineConfig, AffineForm};
use flowkit::model::glow::GlowConfig;
use flowkit::model::{MafConfig, RealNvpConfig};
use flowkit::{
    ActNormConfig, CouplingConfig, Density, Exp, Flow, FlowError, GatedNetConfig, InitProblem,
    LayerConfig, LogitConfig, PositionNormConfig, ScalarAffineConfig, Site, StandardNormal,
    UniformDequantizationConfig,
};

use super::{around, device, failed, levels, numbers, table, tensor};
use crate::build::{fixed, layer};

fn act(n: usize) -> flowkit::ActNorm<2> {
    layer(&ActNormConfig::new(), [1, n], &device())
}

#[test]
fn one_row_starts_no_norm() {
    let row = || table(&[vec![0.3], vec![-8.0], vec![2.0]]);
    let too_few = || InitProblem::TooFew { what: "channel", found: 1 };
    let start = Flow::build(&RealNvpConfig::new(8), StandardNormal::new(), [1, 3], &device())
        .unwrap()
        .initialize(row());
    assert_eq!(failed(start), ("bijector.0.0.0".into(), "ActNorm".into(), too_few()));
    assert_eq!(
        failed(
            Flow::build(&MafConfig::new(5), StandardNormal::new(), [1, 3], &device())
                .unwrap()
                .initialize(row())
        )
        .2,
        too_few()
    );
    // Without norms there is nothing to take from data.
    assert!(
        Flow::build(&RealNvpConfig::plane(), StandardNormal::new(), [1, 2], &device())
            .unwrap()
            .initialize(table(&[vec![0.3], vec![1.0]]))
            .is_ok()
    );

    let image = tensor(around(1, 12, 0.0, 1.0), [1, 3, 2, 2]);
    let norm = layer(&PositionNormConfig::new(), [1, 3, 2, 2], &device());
    let flow = Flow::new(norm, StandardNormal::new(), [1, 3, 2, 2]).unwrap();
    let expected = InitProblem::TooFew { what: "element", found: 1 };
    assert_eq!(
        failed(flow.initialize(image.clone())),
        ("bijector".into(), "PositionNorm".into(), expected)
    );
    // The positions of one image have a variance, that of one pixel has none.
    let act = |size| {
        Flow::new(
            layer(&ActNormConfig::new(), [1, 3, 1, 1], &device()),
            StandardNormal::new(),
            [1, 3, size, size],
        )
    };
    assert!(act(2).unwrap().initialize(image.clone()).is_ok());
    let pixel = image.narrow(2, 0, 1).narrow(3, 0, 1);
    assert_eq!(failed(act(1).unwrap().initialize(pixel)).2, too_few());
    // The deepest of these is one pixel, and two images have two.
    let glow = || GlowConfig::new([1, 4, 4], 2, 1).with_n_filters(4).build(&device()).unwrap();
    let (path, layer, problem) = failed(glow().initialize(levels([1, 1, 4, 4], super::scattered)));
    assert_eq!(
        (path.as_str(), layer.as_str(), problem),
        ("bijector.1.levels.1.1.0.0", "ActNorm", too_few())
    );
    assert!(glow().initialize(levels([2, 1, 4, 4], super::scattered)).is_ok());
}

/// The statistics of a network are those of its layer.
#[test]
fn one_pixel_starts_no_network() {
    let coupling =
        CouplingConfig::new(AffineConfig::new(AffineForm::Exponential), GatedNetConfig::new(8, 1));
    let coupling = coupling.build(&Site::new([1, 2, 1, 1], &device())).unwrap();
    let flow = Flow::new(vec![coupling], StandardNormal::new(), [1, 2, 1, 1]).unwrap();
    let start = flow.initialize(tensor(vec![0.3, 0.4], [1, 2, 1, 1]));
    let expected = InitProblem::TooFew { what: "channel", found: 1 };
    assert_eq!(failed(start), ("bijector.0".into(), "Coupling".into(), expected));
}

/// The image of a layer before the norm is not finite: that layer is named, with the element, not
/// the prior and not the norm.
#[test]
fn a_layer_that_overflows_is_named() {
    let column = |index: usize, value: f32| {
        let mut column = around(index as u64, 10, 0.5, 0.1);
        column[4] = value;
        column
    };
    let x = table(&[around(1, 10, 0.0, 1.0), column(2, 200.0)]);
    let flow = Flow::new((act(2), Exp::new(), act(2)), StandardNormal::new(), [1, 2]).unwrap();
    // A norm in front brings 200 to 3.
    assert!(flow.initialize(x.clone()).is_ok());
    let flow = Flow::new((Exp::new(), act(2)), StandardNormal::new(), [1, 2]).unwrap();
    let output = InitProblem::Output { example: 4, channel: 1, value: f64::INFINITY };
    assert_eq!(failed(flow.initialize(x)), ("bijector.0".into(), "Exp".into(), output));

    let ends = table(&[around(3, 10, 0.5, 0.05), column(4, 0.0)]);
    let layers = (
        fixed(&ScalarAffineConfig::new(1.0, 0.0)),
        vec![fixed(&LogitConfig::new().with_margin(0.0))],
        act(2),
    );
    let flow = Flow::new(layers, StandardNormal::new(), [1, 2]).unwrap();
    let output = InitProblem::Output { example: 4, channel: 1, value: f64::NEG_INFINITY };
    let (path, name, problem) = failed(flow.initialize(ends));
    assert_eq!((path.as_str(), name.as_str(), problem), ("bijector.1.0", "Logit", output));

    // Behind a dequantization the path begins at the model.
    let images = Flow::new(
        (
            fixed(&ScalarAffineConfig::new(1e25, 0.0)),
            Exp::new(),
            layer(&ActNormConfig::new(), [1, 1, 1, 1], &device()),
        ),
        StandardNormal::new(),
        [1, 1, 2, 2],
    )
    .map(|flow| flow.behind(UniformDequantizationConfig::new().with_n_levels(2).build().unwrap()));
    let (path, layer, problem) = failed(images.unwrap().initialize(levels([3, 1, 2, 2], |_| 1)));
    assert_eq!((path.as_str(), layer.as_str()), ("bijector.1", "Exp"));
    let first = InitProblem::Output { example: 0, channel: 0, value: f64::INFINITY };
    assert_eq!(problem, first);
    let error = FlowError::Init { path, layer: layer.into(), problem };
    let expected = "`bijector.1` (Exp) cannot be initialised from this batch: its output is inf in \
                    example 0, channel 0";
    assert_eq!(error.to_string(), expected);
}

/// A marker for missing values is data: large, and no reason to fail.
#[test]
fn markers_and_huge_numbers_start() {
    let mut marked = around(1, 500, 3.0, 1.0);
    marked[7] = 1e20;
    let x = table(&[marked, around(2, 500, 0.0, 1e18), around(3, 500, 2e30, 1e30)]);
    let flow = Flow::build(&RealNvpConfig::new(8), StandardNormal::new(), [1, 3], &device())
        .unwrap()
        .initialize(x.clone())
        .unwrap();
    assert!(flow.evaluate(x).unwrap().nats().iter().all(|nats| nats.is_finite() && *nats > -1e4));
}

/// Data that is not finite is the batch's fault, as before.
#[test]
fn data_is_checked_before_it_starts_anything() {
    let x = table(&[vec![1.0, 2.0, f32::NAN], vec![1.0, 2.0, 3.0]]);
    let error =
        Flow::new(act(2), StandardNormal::new(), [1, 2]).unwrap().initialize(x).unwrap_err();
    assert!(
        matches!(error, FlowError::NonFiniteInput { count: 1, total: 6, example: 2 }),
        "{error}"
    );
}

/// A start by hand, without the checks of a flow, guesses nothing.
#[test]
fn a_norm_without_statistics_is_not_a_number() {
    use flowkit::Bijector;
    let (norm, z): (_, Tensor<2>) = act(2).initialize(table(&[vec![1.0], vec![2.0]]), &());
    assert!(
        numbers(&norm.log_scale.val()).iter().chain(&numbers(&z)).all(|number| number.is_nan())
    );
}
