//! Entries of elementwise functions, linear maps and masked couplings.

use burn::tensor::{Device, Tensor};
use flowkit::law::{
    AffineConfig, AffineForm, LawConfig, MixLogCdfConfig, RationalQuadraticSpline,
    RationalQuadraticSplineConfig,
};
use flowkit::testing::Inputs::{Positive, Real, Symmetric};
use flowkit::*;

use super::Case;
use super::cases::{case, given};
use crate::build;
use crate::build::layer;

fn affine() -> AffineConfig {
    AffineConfig::new(AffineForm::Exponential)
}

fn mixture() -> MixLogCdfConfig {
    MixLogCdfConfig::new(3)
}

fn spline(bins: usize) -> RationalQuadraticSplineConfig {
    RationalQuadraticSplineConfig::new(bins)
}

fn fixed(scale: f64, shift: f64) -> ScalarAffine {
    build::fixed(&ScalarAffineConfig::new(scale, shift))
}

fn elementwise<L: LawConfig>(law: L, c: usize, device: &Device) -> Elementwise<L::Law> {
    layer(&ElementwiseConfig::new(law), [1, c, 2], device)
}

fn bounded_conv(c: usize, device: &Device) -> Conv1x1 {
    let conditioning = Conditioning::Bounded { max_triangle: 0.5, max_log_scale: 1.0 };
    layer(&Conv1x1Config::new().with_conditioning(conditioning), [1, c], device)
}

fn permuted_conv(c: usize, device: &Device) -> Conv1x1 {
    layer(&Conv1x1Config::new().with_init(Conv1x1Init::Permutation), [1, c], device)
}

fn householder(c: usize, n: usize, device: &Device) -> Householder {
    layer(&HouseholderConfig::new(n), [1, c], device)
}

fn permutation(c: usize, order: Order, device: &Device) -> Permutation {
    layer(&PermutationConfig::new().with_order(order), [1, c], device)
}

fn mlp() -> MlpConfig {
    MlpConfig::new([6]).with_activation(Activation::Tanh)
}

/// A coupling of five elements.
fn coupling(device: &Device) -> Coupling<RationalQuadraticSpline, Mlp> {
    CouplingConfig::new(spline(4), mlp()).build(&Site::new([1, 5], device)).unwrap()
}

/// A masked coupling of vectors with as many elements as the mask has.
fn masked<L: LawConfig>(
    law: L,
    mask: Vec<bool>,
    identity: Half,
    context: Option<usize>,
    device: &Device,
) -> MaskedCoupling<L::Law, Mlp> {
    let site = Site::<2>::described([1, mask.len()], ContextShape::vector(context), device);
    MaskedCouplingConfig::new(law, mlp(), Mask::Explicit(mask))
        .with_identity(identity)
        .build(&site)
        .unwrap()
}

/// A masked coupling of images.
fn masked_image(
    mask: Mask,
    image: [usize; 3],
    device: &Device,
) -> MaskedCoupling<RationalQuadraticSpline, GatedNet> {
    let ([c, h, w], net) =
        (image, GatedNetConfig::new(4, 1).with_mixing(Some(Mixing::Attention { heads: 2 })));
    MaskedCouplingConfig::new(spline(4), net, mask).build(&Site::new([1, c, h, w], device)).unwrap()
}

pub fn blocks() -> Vec<Case> {
    let size = Real(50.0);
    vec![
        case("Tanh", [1, 5], Real(5.0), |_| Tanh::new()),
        case("Softplus", [1, 5], Real(80.0), |_| Softplus::new()),
        case("Exp", [1, 5], Real(40.0), |_| Exp::new()),
        case("LeakyRelu", [1, 5], Real(1e30), |_| {
            build::fixed(&LeakyReluConfig::new().with_negative_slope(0.2))
        }),
        case("ScalarAffine", [1, 2, 2, 2], Real(1e4), |_| fixed(-3.0, 0.5)),
        case("Elementwise, two bins", [1, 5, 2], Real(3.0), |d| {
            elementwise(RationalQuadraticSplineConfig::new(2), 5, d)
        }),
        case("Conv1x1, bounded", [1, 5, 2], Real(1e4), |d| bounded_conv(5, d)),
        case("Conv1x1, permutation", [1, 5, 2], Real(1e4), |d| permuted_conv(5, d)),
        case("Householder, one reflection", [1, 5], Real(1e4), |d| householder(5, 1, d)),
        case("Householder, all reflections", [1, 4, 1, 3], Real(1e4), |d| householder(4, 4, d)),
        case("Permutation, reversed", [1, 5], Real(1e30), |d| permutation(5, Order::Reversed, d)),
        case("Permutation, shuffled", [1, 6, 1, 2], Real(1e30), |d| {
            permutation(6, Order::Shuffled { seed: 3 }, d)
        }),
        case("Permutation, explicit", [1, 3, 2], Real(1e30), |d| {
            permutation(3, Order::Explicit(vec![2, 0, 1]), d)
        }),
        case("Coupling, spline", [1, 5], Real(4.0), coupling),
        case("MaskedCoupling", [1, 5], size, |d| {
            masked(mixture(), vec![true, false, false, true, false], Half::First, None, d)
        }),
        case("MaskedCoupling, second half unchanged", [1, 3], size, |d| {
            masked(affine(), vec![true, false, true], Half::Second, None, d)
        }),
        case("MaskedCoupling, checkerboard", [1, 2, 2, 3], Real(4.0), |d| {
            masked_image(Mask::Checkerboard, [2, 2, 3], d)
        }),
        case("MaskedCoupling, alternating", [1, 3, 2, 2], Real(4.0), |d| {
            masked_image(Mask::Alternating, [3, 2, 2], d)
        }),
        given::<2, Tensor<2>, _>("MaskedCoupling given a vector", [1, 4], size, [1, 2], |d| {
            masked(mixture(), vec![false, true, true, false], Half::First, Some(2), d)
        }),
        case("Invert<Conv1x1>, bounded", [1, 3, 1, 2], Real(10.0), |d| {
            Invert::new(bounded_conv(3, d))
        }),
        case("Invert<Householder>", [1, 3, 1, 2], Real(10.0), |d| {
            Invert::new(householder(3, 2, d))
        }),
        case("Invert<Permutation>", [1, 6], Real(10.0), |d| {
            Invert::new(permutation(6, Order::Shuffled { seed: 5 }, d))
        }),
        case("Invert<Tanh>", [1, 4], Symmetric, |_| Invert::new(Tanh::new())),
        case("Invert<Softplus>", [1, 5], Positive(80.0), |_| Invert::new(Softplus::new())),
        case("Invert<Exp>", [1, 5], Positive(1e10), |_| Invert::new(Exp::new())),
        case("Invert<LeakyRelu>", [1, 5], Real(1e30), |_| {
            Invert::new(build::fixed(&LeakyReluConfig::new()))
        }),
        case("Invert<ScalarAffine>", [1, 5], Real(10.0), |_| Invert::new(fixed(0.25, 7.0))),
        case("Invert<Elementwise>, MixLogCdf", [1, 2, 2], Real(10.0), |d| {
            Invert::new(elementwise(MixLogCdfConfig::new(3), 2, d))
        }),
        case("Invert<Elementwise>, spline", [1, 3, 2], Real(3.0), |d| {
            Invert::new(elementwise(RationalQuadraticSplineConfig::new(6), 3, d))
        }),
        case("Invert<MaskedCoupling>", [1, 4], Real(10.0), |d| {
            Invert::new(masked(mixture(), vec![false, true, true, false], Half::Second, None, d))
        }),
    ]
}
