//! Entries of the multi-scale container and of Glow.

use burn::tensor::{Device, Tensor};
use flowkit::law::{Affine, AffineForm};
use flowkit::model::glow::{
    GlowConfig, GlowLayers, GlowMixing, GlowPermutation, GlowPrior, TopPrior,
};
use flowkit::testing::Inputs::Real;
use flowkit::*;

use super::Case;
use super::cases::{act_norm, affine, case, conv, coupling, given, image_coupling, squeeze};
use crate::build::layer;

fn orthogonal(c: usize, device: &Device) -> ChannelMatrix {
    layer(&ChannelMatrixConfig::new().with_init(MatrixInit::Orthogonal), [1, c], device)
}

/// A coupling with Glow's network, of `c` channels.
fn glow_coupling(
    form: AffineForm,
    identity: Half,
    c: usize,
    device: &Device,
) -> Coupling<Affine, GlowNet> {
    let config = CouplingConfig::new(affine(form), GlowNetConfig::new().with_n_filters(5))
        .with_identity(identity);
    config.build(&Site::new([1, c, 1, 1], device)).unwrap()
}

/// A learned prior of half of `c` channels.
fn learned_prior(c: usize, device: &Device) -> Coupling<Affine, ZeroConv> {
    let config = CouplingConfig::new(affine(AffineForm::Normal), ZeroConvConfig::new());
    config.build(&Site::new([1, c, 1, 1], device)).unwrap()
}

/// Of images with one channel.
fn glow_config(side: [usize; 2], n_scales: usize) -> GlowConfig {
    GlowConfig::new([1, side[0], side[1]], n_scales, 1).with_n_filters(4)
}

fn glow_layers(config: GlowConfig, device: &Device) -> GlowLayers {
    match config.prior {
        GlowPrior::Classes { .. } => config.build_classes(device).unwrap().without_data().bijector,
        GlowPrior::Standard | GlowPrior::Learned => {
            config.build(device).unwrap().without_data().bijector
        }
    }
}

fn top_prior(prior: GlowPrior, device: &Device) -> TopPrior {
    let layers = glow_layers(glow_config([2, 4], 1).with_prior(prior), device);
    layers.1.levels[0].3.clone().expect("the prior is learned")
}

pub fn multi_scale() -> Vec<Case> {
    let size = Real(10.0);
    let squeezed = |c: usize, d: &Device| {
        (squeeze(ChannelOrder::ChannelMajor), act_norm::<4>(c, d), conv(c, d))
    };
    vec![
        case("MultiScale of two levels", [1, 1, 4, 4], size, move |d| {
            MultiScale::new(vec![squeezed(4, d), squeezed(8, d)])
        }),
        case("MultiScale without squeezes", [1, 4, 1, 3], size, |d| {
            MultiScale::new([4, 2].map(|c| (conv(c, d), learned_prior(c, d))).into())
        }),
        // Couplings before and after the squeeze, as RealNVP has them.
        case("MultiScale, squeezed midway", [1, 2, 2, 2], size, |d| {
            let half = |identity| image_coupling(identity, [1, 2, 2], None, d);
            let level = |c: usize| {
                (half(Half::First), squeeze(ChannelOrder::BlockMajor), act_norm::<4>(4 * c, d))
            };
            MultiScale::new(vec![level(2)])
        }),
        case("MultiScale without levels", [1, 1, 2, 2], size, |_| {
            MultiScale::<Squeeze>::new(vec![])
        }),
    ]
}

pub fn glow() -> Vec<Case> {
    use AffineForm::{Additive, Normal, Sigmoid};
    use Half::{First, Second};
    let size = Real(10.0);
    let classes = GlowPrior::Classes { n_classes: 3 };
    vec![
        case("Coupling, normal", [1, 4], size, |d| coupling(affine(Normal), First, 4, 0, d)),
        case("Coupling, bounded", [1, 4], size, |d| {
            coupling(affine(AffineForm::Bounded), First, 4, 0, d)
        }),
        case("Coupling with GlowNet", [1, 4, 1, 3], size, |d| glow_coupling(Sigmoid, First, 4, d)),
        case("Coupling with GlowNet, second half unchanged", [1, 3, 2, 2], size, |d| {
            glow_coupling(Additive, Second, 3, d)
        }),
        case("Coupling with ZeroConv", [1, 4, 1, 3], size, |d| learned_prior(4, d)),
        case("GlowMixing", [1, 4, 1, 2], size, |d| {
            vec![GlowMixing::Matrix(orthogonal(4, d)), GlowMixing::Plu(conv(4, d))]
        }),
        case("GlowMixing, fixed", [1, 4], size, |d| {
            GlowMixing::Fixed(layer(
                &PermutationConfig::new().with_order(Order::Shuffled { seed: 1 }),
                [1, 4],
                d,
            ))
        }),
        case("TopPrior", [1, 4, 1, 2], size, |d| top_prior(GlowPrior::Learned, d)),
        given::<4, Tensor<2>, _>("TopPrior given a class", [1, 4, 1, 2], size, [1, 3], move |d| {
            top_prior(classes, d)
        }),
        // Two learned priors make three starts of four too badly conditioned for an inverse, once
        // noise is added. This one is not.
        case("GlowLayers", [1, 1, 4, 4], size, |d| {
            d.seed(0);
            glow_layers(glow_config([4, 4], 2), d)
        }),
        case("GlowLayers, PLU, standard prior", [1, 1, 2, 4], size, |d| {
            let config = glow_config([2, 4], 1).with_permutation(GlowPermutation::Plu);
            glow_layers(config.with_prior(GlowPrior::Standard), d)
        }),
        given::<4, Tensor<2>, _>(
            "GlowLayers given a class",
            [1, 1, 2, 4],
            size,
            [1, 3],
            move |d| glow_layers(glow_config([2, 4], 1).with_prior(classes), d),
        ),
    ]
}
