//! The law that a configuration chooses for its couplings.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::law::{Affine, Law, MixLogCdf};

/// The law of a Flow++ coupling.
#[derive(Module, Debug)]
pub enum FlowPlusPlusLaw {
    /// Affine (the paper's ablation).
    Affine(Affine),
    /// MixLogCDF.
    MixLogCdf(MixLogCdf),
}

impl Law for FlowPlusPlusLaw {
    fn n_params(&self) -> usize {
        match self {
            Self::Affine(law) => law.n_params(),
            Self::MixLogCdf(law) => law.n_params(),
        }
    }

    fn forward(&self, x: Tensor<2>, theta: Tensor<3>) -> (Tensor<2>, Tensor<2>) {
        match self {
            Self::Affine(law) => law.forward(x, theta),
            Self::MixLogCdf(law) => law.forward(x, theta),
        }
    }

    fn inverse(&self, z: Tensor<2>, theta: Tensor<3>) -> Tensor<2> {
        match self {
            Self::Affine(law) => law.inverse(z, theta),
            Self::MixLogCdf(law) => law.inverse(z, theta),
        }
    }
}
