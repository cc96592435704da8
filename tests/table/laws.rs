//! Entries of every law in every layer that takes one. A new law is one line here.

use burn::tensor::Device;
use flowkit::law::*;
use flowkit::testing::Inputs::Real;
use flowkit::*;

use super::Case;
use super::autoregressive::maf;
use super::cases::{case, coupling};
use crate::build::layer;

/// The laws, with the size of their ordinary inputs.
fn all() -> Vec<(AnyLawConfig, f64)> {
    vec![
        (AffineConfig::new(AffineForm::Exponential).into(), 1e3),
        (MixLogCdfConfig::new(3).into(), 50.0),
        (RationalQuadraticSplineConfig::new(5).into(), 4.0),
        (BernsteinConfig::new(5).into(), 4.0),
        (GaussianizationConfig::new(3).into(), 50.0),
        (FlooredAffineConfig::new(ScaleForm::Softplus).into(), 1e3),
        (SoftClipSplineConfig::new(5).into(), 6.0),
        // Within the circle, since what is outside comes back inside.
        (CircularSplineConfig::new(5).into(), 3.0),
    ]
}

pub fn laws() -> Vec<Case> {
    all().into_iter().flat_map(|(law, size)| in_layers(law, size)).collect()
}

fn in_layers(law: AnyLawConfig, size: f64) -> [Case; 4] {
    let name = |layer: &str| -> &'static str {
        let law: String = format!("{law:?}").chars().take_while(|c| *c != '(').collect();
        format!("{layer} of {law}").leak()
    };
    let (elementwise, masked) = (law.clone(), law.clone());
    let (in_coupling, in_maf) = (law.clone(), law.clone());
    let mask = Mask::Explicit(vec![false, true, true, false]);
    [
        case(name("Elementwise"), [1, 2, 2], Real(size), move |d: &Device| {
            layer(&ElementwiseConfig::new(elementwise.clone()), [1, 2, 2], d)
        }),
        case(name("Coupling"), [1, 5], Real(size), move |d: &Device| {
            coupling(in_coupling.clone(), Half::First, 5, 0, d)
        }),
        case(name("MaskedCoupling"), [1, 4], Real(size), move |d: &Device| {
            let net = MlpConfig::new([6]).with_activation(Activation::Tanh);
            layer(&MaskedCouplingConfig::new(masked.clone(), net, mask.clone()), [1, 4], d)
        }),
        case(name("MaskedAutoregressive"), [1, 3], Real(size), move |d: &Device| {
            maf(in_maf.clone(), Order::Reversed, 3, None, d)
        }),
    ]
}
