//! Masked autoregressive layer: every element is transformed by a law whose parameters depend only
//! on the elements before it.
//! ```text
//! theta = net(x, context)                 theta_i depends only on the elements before x_i
//! forward   z_i = law(x_i; theta_i)       all at once
//! inverse   x_i = law⁻¹(z_i; theta_i)     one after the other, in the net's order
//! log_det   Σ_i ln ∂z_i/∂x_i              of the law
//! ```
//! The Jacobian is triangular in the order of the network, with the law's derivatives on the
//! diagonal.
//!
//! # Cost
//! Forward: one pass of the network. Inverse: one device-to-host copy of the order, then `D` passes
//! of the network and one inverse of the law for each element. [`crate::Invert`] gives the inverse
//! autoregressive flow of Kingma et al. 2016, whose samples cost one pass and whose densities cost
//! `D`.
//!
//! # Reference
//! Papamakarios et al. 2017; with other laws than the affine one, Huang et al. 2018 and Durkan et
//! al. 2019.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//! use flowkit::law::{AffineConfig, AffineForm};
//! use flowkit::{
//!     Bijector, Invert, LayerConfig, MadeConfig, MaskedAutoregressiveConfig, Order, Site,
//! };
//!
//! let device = Device::flex();
//! let net = MadeConfig::new([64, 64]).with_order(Order::Reversed);
//! let config = MaskedAutoregressiveConfig::new(AffineConfig::new(AffineForm::Exponential), net);
//! let maf = config.build(&Site::new([1, 3], &device))?;
//! let x = Tensor::<2>::random([8, 3], Distribution::Normal(0.0, 1.0), &device);
//! let (z, log_det) = maf.forward(x.clone(), &());
//! // The last layer is initialised to 0, and the affine law of 0 is the identity.
//! assert_eq!((z - x.clone()).abs().max().into_scalar::<f32>(), 0.0);
//! assert_eq!(log_det.abs().max().into_scalar::<f32>(), 0.0);
//! let iaf = Invert::new(maf); // one pass to sample
//! assert_eq!(Bijector::<2>::inverse(&iaf, x, &()).dims(), [8, 3]);
//! # Ok::<(), flowkit::ConfigError>(())
//! ```

use burn::config::Config;
use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::AutoregressiveNet;
use crate::bijector::visit::Observer;
use crate::bijector::{Bijector, LayerConfig, Leaf, Plan, ShapeMap, Site};
use crate::conditioner::{Conditioned, Net, NetConfig, NetSite, theta_init};
use crate::context::Features;
use crate::error::{ConfigError, ShapeError, check_shape};
use crate::law::{Law, LawConfig};
use crate::tensor::finite::all_finite;
use crate::tensor::limit::sum;
use crate::tensor::per_example::sum_event;

const NAME: &str = "MaskedAutoregressiveConfig";

/// Configuration of [`MaskedAutoregressive`]: the law and the network. All widths are derived from
/// the site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskedAutoregressiveConfig<L, N> {
    /// The law of every element.
    pub law: L,
    /// The network that computes its parameters.
    pub net: N,
    /// Initial parameters of the law: one value for each parameter, the same for every element.
    /// `None`: those of the law ([`Law::theta_init`]).
    #[serde(default)]
    pub theta_init: Option<Vec<f64>>,
}

impl<L: Config, N: Config> Config for MaskedAutoregressiveConfig<L, N> {}

impl<L, N> MaskedAutoregressiveConfig<L, N> {
    /// The law defines its initial parameters.
    pub fn new(law: L, net: N) -> Self {
        Self { law, net, theta_init: None }
    }

    /// The same with other initial parameters of the law.
    pub fn with_theta_init(self, theta_init: Option<Vec<f64>>) -> Self {
        Self { theta_init, ..self }
    }

    /// The law, and the site of the network.
    fn parts<C: Features<2>>(&self, site: &Site<2, C>) -> Result<(L::Law, NetSite<2>), ConfigError>
    where
        L: LawConfig,
    {
        let shape = site.shape();
        let law = self.law.build().map_err(|error| error.at(".law"))?;
        if shape[1] == 1 && site.context().is_empty() && law.is_affine() {
            return Err(ConfigError::OnlyNormal { config: NAME });
        }
        let start = theta_init::of(NAME, &self.theta_init, &law)?;
        Ok((
            law,
            NetSite::new(shape, shape, start, site.device()).with_context(site.context().clone()),
        ))
    }
}

impl<C, L, N> LayerConfig<2, C> for MaskedAutoregressiveConfig<L, N>
where
    C: Features<2>,
    L: LawConfig,
    N: NetConfig<2>,
    N::Net: AutoregressiveNet,
{
    type Layer = MaskedAutoregressive<L::Law, N::Net>;

    fn build(&self, site: &Site<2, C>) -> Result<Self::Layer, ConfigError> {
        let (law, net) = self.parts(site)?;
        let conditioner = Conditioned::build_for(&self.net, &net, &law, None)
            .map_err(|error| error.at(".net"))?;
        Ok(MaskedAutoregressive { law, conditioner })
    }

    fn plan(&self, site: &Site<2, C>) -> Result<Plan<2>, ConfigError> {
        let (law, net) = self.parts(site)?;
        let net = self.net.num_params(&net).map_err(|error| error.at(".net"))?;
        Ok(Plan { output: site.shape(), num_params: sum([law.num_params(), net]) })
    }
}

/// Masked autoregressive layer of a [`Law`] and an [`AutoregressiveNet`]. The formulas head this
/// module.
///
/// Built by [`MaskedAutoregressiveConfig`], which passes the law's initial parameters to the
/// network.
#[derive(Module, Debug)]
#[non_exhaustive]
pub struct MaskedAutoregressive<L, N> {
    /// The law of every element.
    pub law: L,
    /// The network that computes its parameters.
    pub conditioner: Conditioned<N>,
}

impl<L, N> ShapeMap<2> for MaskedAutoregressive<L, N>
where
    L: Law,
    N: Net<2>,
{
    fn output_shape(&self, shape: [usize; 2]) -> Result<[usize; 2], ShapeError> {
        self.conditioner.check(shape, shape)?;
        Ok(shape)
    }
}

impl<C, L, N> Bijector<2, C> for MaskedAutoregressive<L, N>
where
    C: Features<2>,
    L: Law,
    N: AutoregressiveNet,
{
    type Driver = Leaf;

    fn forward(&self, x: Tensor<2>, context: &C) -> (Tensor<2>, Tensor<1>) {
        self.forward_observed(x, context, &mut |_, _| {})
    }

    fn forward_observed(
        &self,
        x: Tensor<2>,
        context: &C,
        observe: Observer<'_>,
    ) -> (Tensor<2>, Tensor<1>) {
        check_shape(self.output_shape_given(x.dims(), context));
        let theta = self.conditioner.forward(x.clone(), context);
        observe("conditioner", &|| all_finite(&theta));
        let (z, log_derivative) = self.law.forward(x, theta);
        (z, sum_event(log_derivative))
    }

    fn inverse(&self, z: Tensor<2>, context: &C) -> Tensor<2> {
        check_shape(self.output_shape_given(z.dims(), context));
        let [batch, _] = z.dims();
        // Elements that are not known yet are multiplied by weights that are masked to 0, so any
        // finite value serves.
        let mut x = z.zeros_like();
        for index in self.conditioner.net.order() {
            let theta = self.conditioner.forward(x.clone(), context).narrow(2, index, 1);
            let number = self.law.inverse(z.clone().narrow(1, index, 1), theta);
            x = x.slice_assign([0..batch, index..index + 1], number);
        }
        x
    }

    fn accepts(&self) -> Result<(), ShapeError> {
        self.conditioner.accepts::<2, C>()
    }

    fn check_context(&self, shape: [usize; 2], context: &C) -> Result<(), ShapeError> {
        self.conditioner.check_context(shape, context)
    }

    fn initialize(self, x: Tensor<2>, context: &C) -> (Self, Tensor<2>) {
        check_shape(self.output_shape_given(x.dims(), context));
        let (conditioner, theta) = self.conditioner.initialize(x.clone(), context);
        let (z, _) = self.law.forward(x, theta);
        (Self { law: self.law, conditioner }, z.detach())
    }
}
