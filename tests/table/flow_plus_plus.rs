//! Entries of Flow++'s steps and stages.

use burn::tensor::{Device, Tensor};
use flowkit::conditioner::layer::ConvWeight;
use flowkit::law::{AffineForm, AnyLaw, AnyLawConfig};
use flowkit::model::flow_plus_plus::{FlowPlusPlusLayers, NoiseFlow, Stage, Step};
use flowkit::testing::Inputs::{Closed, Real};
use flowkit::*;

use super::Case;
use super::cases::{ATTENTION, affine, case, given, image_site, mixture, net, partition, squeeze};
use crate::build::{fixed, layer};

/// A coupling of Flow++ on halves of the given shape.
fn coupling(
    law: impl Into<AnyLawConfig>,
    net: GatedNetConfig,
    half: [usize; 3],
    n_context: Option<usize>,
    device: &Device,
) -> Coupling<AnyLaw, GatedNet> {
    CouplingConfig::new(law.into(), net).build(&image_site(half, n_context, device)).unwrap()
}

/// A step of Flow++ on halves of the given shape.
fn step(half: [usize; 3], n_context: Option<usize>, device: &Device) -> Step {
    let [c, h, w] = half;
    (
        layer(&PositionNormConfig::new(), [1, 2 * c, h, w], device),
        Some(layer(&ChannelMatrixConfig::new().with_n_groups(2), [1, 2 * c], device)),
        coupling(mixture(), net(ATTENTION), half, n_context, device),
        Swap::new(),
    )
}

/// The ImageNet models: weight normalisation, an activation before the last convolution; with a
/// context, also without mixing.
fn weight_normed_step(half: [usize; 3], n_context: Option<usize>, device: &Device) -> Step {
    let [c, h, w] = half;
    let net = GatedNetConfig::new(4, 1)
        .with_mixing(if n_context.is_none() { Some(ATTENTION) } else { None })
        .with_output_activation(OutputActivation::ConcatElu)
        .with_style(ConvStyle::new().with_weight(ConvWeight::WeightNorm));
    let coupling = coupling(mixture(), net, half, n_context, device);
    (layer(&PositionNormConfig::new(), [1, 2 * c, h, w], device), None, coupling, Swap::new())
}

/// The ablations: affine, no channel matrix, no attention.
fn plain_step(half: [usize; 3], device: &Device) -> Step {
    let [c, h, w] = half;
    let coupling = coupling(
        affine(AffineForm::Exponential),
        net(Mixing::PositionwiseMaxout),
        half,
        None,
        device,
    );
    (layer(&PositionNormConfig::new(), [1, 2 * c, h, w], device), None, coupling, Swap::new())
}

pub fn flow_plus_plus() -> Vec<Case> {
    let size = Real(10.0);
    let squeezed = |d: &Device| Stage {
        squeezes: vec![squeeze(ChannelOrder::BlockMajor)],
        partition: partition(Pattern::Channels),
        steps: vec![step([2, 1, 2], None, d), step([2, 1, 2], None, d)],
    };
    let checkerboard = |d: &Device| Stage {
        squeezes: vec![],
        partition: partition(Pattern::Checkerboard),
        steps: vec![step([1, 2, 2], None, d), plain_step([1, 2, 2], d)],
    };
    vec![
        case("Flow++ Step", [1, 2, 2, 2], size, |d| step([1, 2, 2], None, d)),
        case("Flow++ Step, ablated", [1, 2, 2, 2], size, |d| plain_step([1, 2, 2], d)),
        case("Flow++ Step, weight-normalised", [1, 2, 2, 2], size, |d| {
            weight_normed_step([1, 2, 2], None, d)
        }),
        given::<4, Tensor<4>, _>(
            "Flow++ Step, without mixing",
            [1, 2, 2, 2],
            size,
            [1, 3, 2, 2],
            |d| weight_normed_step([1, 2, 2], Some(3), d),
        ),
        case("Flow++ Stage, squeezed", [1, 1, 2, 4], size, squeezed),
        case("Flow++ Stage, squeezed twice", [1, 1, 4, 4], Real(5.0), |d| Stage {
            squeezes: vec![squeeze(ChannelOrder::BlockMajor), squeeze(ChannelOrder::BlockMajor)],
            partition: partition(Pattern::Channels),
            steps: vec![plain_step([8, 1, 1], d)],
        }),
        case("Flow++ Stage, checkerboard", [1, 1, 2, 4], size, checkerboard),
        case("FlowPlusPlusLayers", [1, 1, 2, 4], Closed, |d| -> FlowPlusPlusLayers {
            let stage = |kept| Stage {
                squeezes: vec![],
                partition: partition(kept),
                steps: vec![step([1, 2, 2], None, d)],
            };
            (
                fixed(&LogitConfig::new()),
                vec![stage(Pattern::Stripes), stage(Pattern::Checkerboard)],
            )
        }),
        given::<4, Tensor<4>, _>(
            "Flow++ Stage given an image",
            [1, 1, 2, 2],
            size,
            [1, 2, 2, 1],
            |d| Stage {
                squeezes: vec![],
                partition: partition(Pattern::Stripes),
                steps: vec![step([1, 2, 1], Some(2), d), step([1, 2, 1], Some(2), d)],
            },
        ),
        // The sigmoid at the end rounds to 1 from 17 on.
        given::<4, Tensor<4>, _>(
            "Flow++ NoiseFlow",
            [1, 1, 2, 2],
            Real(3.0),
            [1, 2, 2, 1],
            |d| -> NoiseFlow {
                let (forth, back) = (
                    partition(Pattern::Checkerboard),
                    Invert::new(partition(Pattern::Checkerboard)),
                );
                (forth, vec![step([1, 2, 1], Some(2), d)], back, Sigmoid::new())
            },
        ),
    ]
}
