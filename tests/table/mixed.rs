//! Entries of layers for elements of several kinds: angles, classes, and real numbers given them.

use burn::tensor::{Device, Tensor};
use flowkit::law::{AffineConfig, AffineForm, CategoricalConfig, CircularSplineConfig};
use flowkit::model::{CircularNsfConfig, MixedNsfConfig, RowElement};
use flowkit::testing::Conformance;
use flowkit::testing::Inputs::{Open, Real};
use flowkit::*;

use super::Case;
use super::cases::{case, given};
use crate::build::{layer, layer_given};

/// A condition of two elements.
fn vector() -> Tensor<2> {
    Tensor::zeros([1, 2], &Device::default())
}

fn coupling() -> CouplingConfig<AffineConfig, MlpConfig> {
    let net = MlpConfig::new([6]).with_activation(Activation::Tanh);
    CouplingConfig::new(AffineConfig::new(AffineForm::Exponential), net)
}

fn torus() -> CircularNsfConfig {
    CircularNsfConfig::new(2).with_d_hidden(6).with_n_bins(4).with_activation(Activation::Tanh)
}

fn mixed() -> MixedNsfConfig {
    use RowElement::{Angle, Class, Real};
    let elements = vec![Real, Class { n: 3 }, Angle, Real, Class { n: 2 }, Angle];
    let config = MixedNsfConfig::new(elements).with_n_steps(1).with_n_bins(4);
    config.with_d_hidden(6).with_activation(Activation::Tanh)
}

pub fn of_kinds() -> Vec<Case> {
    // Within the circle; for classes, the first.
    let size = Real(3.0);
    vec![
        case("Categorical", [1, 3], Open, |d| {
            layer(&ElementwiseConfig::new(CategoricalConfig::new(3)), [1, 3], d)
        }),
        case("ChainRule, an angle first", [1, 3], size, |d| {
            let angle = ElementwiseConfig::new(CircularSplineConfig::new(4));
            let config = ChainRuleConfig::new(vec![(1, Reading::Angle)], angle, coupling());
            layer(&config, [1, 3], d)
        }),
        case("ChainRule, a class and a number first", [1, 4], Open, |d| {
            let first = vec![(3, Reading::Class { n: 3 }), (0, Reading::Number)];
            let own = ElementwiseConfig::new(CategoricalConfig::new(3));
            layer(&ChainRuleConfig::new(first, own, coupling()), [1, 4], d)
        }),
        given::<2, Tensor<2>, _>("ChainRule given a vector", [1, 4], size, [1, 2], |d| {
            let first = vec![(2, Reading::Number), (1, Reading::Angle)];
            layer_given(&ChainRuleConfig::new(first, coupling(), coupling()), [1, 4], &vector(), d)
        }),
        case("CircularNsf", [1, 3], size, |d| layer(&torus(), [1, 3], d)),
        mixed_given_a_vector(),
    ]
}

/// The network of a class reads the condition alone: its weights of the class are not trained.
fn mixed_given_a_vector() -> Case {
    let make = |d: &Device| layer_given(&mixed(), [1, 6], &vector(), d);
    let conformance =
        Conformance::<2, Tensor<2>>::given("MixedNsf given a vector", [1, 6], [1, 2], make);
    let weight = "first.conditioner.net.input.linear.weight";
    Case::new(conformance.inputs(Open).frozen(weight).frozen(format!("then.{weight}")), make)
}
