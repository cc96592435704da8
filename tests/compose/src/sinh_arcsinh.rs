//! A law that flowkit does not have: the sinh-arcsinh transformation, for skewness and tails.
//! ```text
//! u = asinh(x)·exp(d) + e
//! forward   z = sinh(u)                    log_derivative   d + ln cosh u − ½ ln(1 + x²)
//! inverse   x = sinh((asinh(z) − e)·exp(−d))
//! ```
//! `theta = (d, e)`; zeros are the identity. Reference: Jones & Pewsey 2009, *Sinh-arcsinh
//! distributions*.

use std::f64::consts::LN_2;

use burn::module::Module;
use burn::tensor::Tensor;
use flowkit::law::{Law, LawConfig};
use flowkit::{ConfigError, config};

/// The law.
#[derive(Module, Debug)]
pub struct SinhArcsinh {}

/// `d` and `e` of every element.
fn parts(theta: Tensor<3>) -> [Tensor<2>; 2] {
    [0, 1].map(|index| theta.clone().narrow(1, index, 1).squeeze_dim(1))
}

impl Law for SinhArcsinh {
    fn n_params(&self) -> usize {
        2
    }

    fn forward(&self, x: Tensor<2>, theta: Tensor<3>) -> (Tensor<2>, Tensor<2>) {
        let [d, e] = parts(theta);
        let u = x.clone().asinh() * d.clone().exp() + e;
        // ln cosh u without overflow.
        let size = u.clone().abs();
        let log_cosh = (size.clone() + size.mul_scalar(-2.0).exp().log1p()).sub_scalar(LN_2);
        let log_derivative = d + log_cosh - x.square().log1p().mul_scalar(0.5);
        (u.sinh(), log_derivative)
    }

    fn inverse(&self, z: Tensor<2>, theta: Tensor<3>) -> Tensor<2> {
        let [d, e] = parts(theta);
        ((z.asinh() - e) * d.neg().exp()).sinh()
    }
}

config! {
    /// Configuration of [`SinhArcsinh`].
    #[derive(Debug)]
    pub struct SinhArcsinhConfig {}
}

impl LawConfig for SinhArcsinhConfig {
    type Law = SinhArcsinh;

    fn build(&self) -> Result<SinhArcsinh, ConfigError> {
        Ok(SinhArcsinh {})
    }
}
