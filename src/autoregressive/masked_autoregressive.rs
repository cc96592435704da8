//! Masked autoregressive layer: every number is transformed by a law whose parameters depend on the numbers before it.
//! ```text
//! theta = net(x, context)                 parameters of x_i depend on the numbers before x_i alone
//! forward   z_i = law(x_i; theta_i)       all at once            log_det  Σ ln ∂z_i/∂x_i of the law
//! inverse   x_i = law⁻¹(z_i; theta_i)     one after the other, in the net's order
//! ```
//! The Jacobian is triangular in the net's order, with the law's derivatives on the diagonal.
//!
//! # Cost
//! Forward: one pass of the net. Inverse: `D` passes of the net, and the law's inverse once for each number, after one
//! device-to-host copy of the order. [`crate::Invert`] turns this round into the inverse autoregressive flow of Kingma
//! et al. 2016, whose samples cost one pass and whose densities cost `D`.
//!
//! # Reference
//! Papamakarios et al. 2017; with laws other than the affine one, Huang et al. 2018 and Durkan et al. 2019.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//! use flowkit::law::{AffineConfig, AffineForm, Law};
//! use flowkit::{Bijector, Invert, MadeConfig, MaskedAutoregressive, Order};
//!
//! let device = Device::flex();
//! let law = AffineConfig::new(AffineForm::Exponential).init();
//! let net = MadeConfig::new(3, law.n_params()).with_order(Order::Reversed).init(&device);
//! let maf = MaskedAutoregressive::new(law, net);
//! let x = Tensor::<2>::random([8, 3], Distribution::Normal(0.0, 1.0), &device);
//! let (z, log_det) = maf.forward(x.clone(), &());
//! // The last layer starts at 0, and the affine law of 0 is the identity.
//! assert_eq!((z - x.clone()).abs().max().into_scalar::<f32>(), 0.0);
//! assert_eq!(log_det.abs().max().into_scalar::<f32>(), 0.0);
//! let iaf = Invert::new(maf); // one pass to sample
//! assert_eq!(Bijector::<2>::inverse(&iaf, x, &()).dims(), [8, 3]);
//! ```

use burn::module::Module;
use burn::tensor::Tensor;

use super::AutoregressiveNet;
use crate::bijector::visit::See;
use crate::bijector::{Bijector, Leaf, ShapeMap};
use crate::conditioner::{NetShape, ThetaInit};
use crate::context::Context;
use crate::error::{ConfigError, ShapeError, check_shape};
use crate::law::Law;
use crate::tensor::finite::all_finite;
use crate::tensor::per_example::sum_event;

/// Masked autoregressive layer of a [`Law`] and an [`AutoregressiveNet`]. The formulas head this module.
///
/// Build it with [`MaskedAutoregressive::new`], which sets the network's start. The struct is `non_exhaustive`, because
/// a struct literal would skip that.
#[derive(Module, Debug)]
#[non_exhaustive]
pub struct MaskedAutoregressive<L, N> {
    /// The law of every number.
    pub law: L,
    /// The network that gives its parameters.
    pub net: N,
}

impl<L: Law, N: ThetaInit> MaskedAutoregressive<L, N> {
    /// The layer of `law`, with parameters from `net`, which start at the law's start ([`ThetaInit`]).
    ///
    /// # Panics
    /// If the two do not fit. [`MaskedAutoregressive::try_new`] returns the error.
    pub fn new(law: L, net: N) -> Self {
        match Self::try_new(law, net) {
            Ok(layer) => layer,
            Err(error) => panic!("{error}"),
        }
    }

    /// The layer, or why law and network do not fit.
    ///
    /// # Errors
    /// Those of [`ThetaInit::init_at`]; for [`super::Made`] also an affine law of one element without a condition.
    pub fn try_new(law: L, net: N) -> Result<Self, ConfigError> {
        let net = net.init_at(&law)?;
        Ok(Self { law, net })
    }
}

impl<L, N> ShapeMap<2> for MaskedAutoregressive<L, N>
where
    L: Law,
    N: NetShape<2>,
{
    fn output_shape(&self, shape: [usize; 2]) -> Result<[usize; 2], ShapeError> {
        self.net.check(shape, shape, self.law.n_params())?;
        Ok(shape)
    }
}

impl<C, L, N> Bijector<2, C> for MaskedAutoregressive<L, N>
where
    C: Context,
    L: Law,
    N: AutoregressiveNet<C>,
{
    type Driver = Leaf;

    fn forward(&self, x: Tensor<2>, context: &C) -> (Tensor<2>, Tensor<1>) {
        self.forward_observed(x, context, &mut |_, _| {})
    }

    fn forward_observed(&self, x: Tensor<2>, context: &C, see: See<'_>) -> (Tensor<2>, Tensor<1>) {
        check_shape(self.output_shape_given(x.dims(), context));
        let theta = self.net.forward(x.clone(), context);
        see("net", &|| all_finite(&theta));
        let (z, log_derivative) = self.law.forward(x, theta);
        (z, sum_event(log_derivative))
    }

    fn inverse(&self, z: Tensor<2>, context: &C) -> Tensor<2> {
        check_shape(self.output_shape_given(z.dims(), context));
        let [batch, _] = z.dims();
        // Numbers that are not known yet are read through weights that are cut: any finite one does.
        let mut x = z.zeros_like();
        for index in self.net.order() {
            let theta = self.net.forward(x.clone(), context).narrow(2, index, 1);
            let number = self.law.inverse(z.clone().narrow(1, index, 1), theta);
            x = x.slice_assign([0..batch, index..index + 1], number);
        }
        x
    }

    fn accepts(&self) -> Result<(), ShapeError> {
        self.net.accepts()
    }

    fn check_context(&self, shape: [usize; 2], context: &C) -> Result<(), ShapeError> {
        self.net.check_context(shape, context)
    }

    fn initialize(self, x: Tensor<2>, context: &C) -> (Self, Tensor<2>) {
        check_shape(self.output_shape_given(x.dims(), context));
        let (net, theta) = self.net.initialize(x.clone(), context);
        let (z, _) = self.law.forward(x, theta);
        (Self { law: self.law, net }, z.detach())
    }
}
