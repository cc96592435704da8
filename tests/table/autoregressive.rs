//! Entries of autoregressive layers, without condition and with each kind of one.

use burn::tensor::{Device, Tensor};
use flowkit::law::{Affine, AffineForm, LawConfig};
use flowkit::testing::Inputs::Real;
use flowkit::*;

use super::Case;
use super::cases::{affine, case, given, mixture, of_one};

/// An autoregressive layer of `dims` elements.
pub fn maf<L: LawConfig>(
    law: L,
    order: Order,
    dims: usize,
    d_context: Option<usize>,
    device: &Device,
) -> MaskedAutoregressive<L::Law, Made> {
    let net = MadeConfig::new([6, 5]).with_activation(Activation::Tanh).with_order(order);
    let site = Site::<2>::described([1, dims], ContextShape::vector(d_context), device);
    MaskedAutoregressiveConfig::new(law, net).build(&site).unwrap()
}

/// An autoregressive layer of `dims` elements with a residual network.
fn res_made(
    order: Order,
    dims: usize,
    d_context: Option<usize>,
    device: &Device,
) -> MaskedAutoregressive<Affine, ResMade> {
    let net =
        ResMadeConfig::new().with_d_hidden(6).with_activation(Activation::Tanh).with_order(order);
    let site = Site::<2>::described([1, dims], ContextShape::vector(d_context), device);
    MaskedAutoregressiveConfig::new(affine(AffineForm::Exponential), net).build(&site).unwrap()
}

pub fn autoregressive() -> Vec<Case> {
    use Order::{Natural, Reversed, Shuffled};
    let size = Real(50.0);
    let exponential = || affine(AffineForm::Exponential);
    vec![
        case("MaskedAutoregressive", [1, 4], size, move |d| {
            maf(exponential(), Natural, 4, None, d)
        }),
        case("MaskedAutoregressive, MixLogCdf, reversed", [1, 3], size, |d| {
            maf(mixture(), Reversed, 3, None, d)
        }),
        case("MaskedAutoregressive, shuffled", [1, 5], size, |d| {
            maf(affine(AffineForm::Sigmoid), Shuffled { seed: 3 }, 5, None, d)
        }),
        given::<2, Tensor<2>, _>("MaskedAutoregressive of one number", [1, 1], size, [1, 2], |d| {
            maf(mixture(), Natural, 1, Some(2), d)
        }),
        case("ResMade", [1, 4], size, |d| res_made(Natural, 4, None, d)),
        case("ResMade, shuffled", [1, 3], size, |d| res_made(Shuffled { seed: 2 }, 3, None, d)),
        given::<2, Tensor<2>, _>("ResMade given a vector", [1, 3], size, [1, 2], |d| {
            res_made(Reversed, 3, Some(2), d)
        }),
        of_one("ResMade of one number", 2, "conditioner.net.input.linear.weight", |d| {
            res_made(Natural, 1, Some(2), d)
        }),
        case("Invert<MaskedAutoregressive>", [1, 3], Real(10.0), move |d| {
            Invert::new(maf(exponential(), Natural, 3, None, d))
        }),
        given::<2, Tensor<2>, _>(
            "MaskedAutoregressive given a vector",
            [1, 3],
            size,
            [1, 2],
            |d| maf(mixture(), Shuffled { seed: 1 }, 3, Some(2), d),
        ),
        given::<2, (Tensor<2>, Tensor<2>), _>(
            "MaskedAutoregressive given two",
            [1, 3],
            size,
            ([1, 2], [1, 1]),
            move |d| maf(exponential(), Reversed, 3, Some(3), d),
        ),
    ]
}
