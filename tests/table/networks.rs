//! Entries of couplings whose parameters come from each network, without condition and with each
//! kind of one.

use burn::tensor::{Device, Tensor};
use flowkit::law::{Affine, AffineConfig, AffineForm, LawConfig, MixLogCdfConfig};
use flowkit::testing::Inputs::Real;
use flowkit::*;

use super::Case;
use super::cases::{case, given};

fn affine() -> AffineConfig {
    AffineConfig::new(AffineForm::Exponential)
}

fn mixture() -> MixLogCdfConfig {
    MixLogCdfConfig::new(2)
}

fn mlp<L: LawConfig>(
    law: L,
    dims: usize,
    hidden: Vec<usize>,
    activation: Activation,
    device: &Device,
) -> Coupling<L::Law, Mlp> {
    let net = MlpConfig::new(hidden).with_activation(activation);
    CouplingConfig::new(law, net).build(&Site::new([1, dims], device)).unwrap()
}

fn res_net<L: LawConfig>(
    law: L,
    dims: usize,
    d_context: Option<usize>,
    device: &Device,
) -> Coupling<L::Law, ResNet> {
    let config =
        CouplingConfig::new(law, ResNetConfig::new().with_d_hidden(5)).with_identity(Half::Second);
    config.build(&Site::<2>::described([1, dims], ContextShape::vector(d_context), device)).unwrap()
}

fn conv_res_net<L: LawConfig>(
    law: L,
    channels: usize,
    context: Option<usize>,
    device: &Device,
) -> Coupling<L::Law, ConvResNet> {
    let net = ConvResNetConfig::new()
        .with_n_filters(4)
        .with_n_blocks(2)
        .with_activation(Activation::Silu);
    let site = Site::<4>::described([1, channels, 1, 1], ContextShape::vector(context), device);
    CouplingConfig::new(law, net).build(&site).unwrap()
}

fn gated_net(context: usize, device: &Device) -> Coupling<Affine, GatedNet> {
    let net = GatedNetConfig::new(4, 1).with_mixing(Some(Mixing::Attention { heads: 2 }));
    let site = Site::<4>::described([1, 2, 2, 2], ContextShape::vector(Some(context)), device);
    CouplingConfig::new(affine(), net).build(&site).unwrap()
}

pub fn networks() -> Vec<Case> {
    let size = Real(50.0);
    vec![
        case("Mlp, two layers of relu", [1, 4], size, |d| {
            mlp(affine(), 4, vec![6, 5], Activation::Relu, d)
        }),
        case("Mlp, two layers of elu", [1, 5], size, |d| {
            mlp(mixture(), 5, vec![5, 6], Activation::Elu, d)
        }),
        case("Mlp without hidden layers", [1, 3], Real(5.0), |d| {
            mlp(affine(), 3, vec![], Activation::Tanh, d)
        }),
        // At inputs as large, one start of four has a Jacobian below the smallest float64. This one
        // has not.
        case("ResNet", [1, 5], size, |d| {
            d.seed(0);
            res_net(mixture(), 5, None, d)
        }),
        given::<2, Tensor<2>, _>("ResNet given a vector", [1, 4], size, [1, 3], |d| {
            res_net(mixture(), 4, Some(3), d)
        }),
        given::<2, (Tensor<2>, Tensor<2>), _>(
            "ResNet given two",
            [1, 3],
            Real(20.0),
            ([1, 2], [1, 1]),
            |d| res_net(affine(), 3, Some(3), d),
        ),
        case("ConvResNet", [1, 3, 2, 2], size, |d| conv_res_net(affine(), 3, None, d)),
        given::<4, Tensor<4>, _>(
            "ConvResNet given an image",
            [1, 2, 2, 3],
            size,
            [1, 3, 2, 3],
            |d| conv_res_net(mixture(), 2, Some(3), d),
        ),
        given::<4, Tensor<2>, _>("ConvResNet given a vector", [1, 2, 2, 2], size, [1, 3], |d| {
            conv_res_net(mixture(), 2, Some(3), d)
        }),
        given::<4, (Tensor<2>, Tensor<4>), _>(
            "ConvResNet given both",
            [1, 2, 2, 2],
            size,
            ([1, 2], [1, 1, 2, 2]),
            |d| conv_res_net(affine(), 2, Some(3), d),
        ),
        given::<4, Tensor<2>, _>("GatedNet given a vector", [1, 2, 2, 2], size, [1, 3], |d| {
            gated_net(3, d)
        }),
        given::<4, (Tensor<2>, Tensor<4>), _>(
            "GatedNet given both",
            [1, 2, 2, 2],
            size,
            ([1, 2], [1, 1, 2, 2]),
            |d| gated_net(3, d),
        ),
    ]
}
