//! Neural spline flow on rows of a table whose columns are of several kinds: real numbers, angles
//! and classes.
//! ```text
//! p(row | context) = Π_i p(class_i | classes before it, context)       logits of a network
//!                  · p(angles | classes, context)                      CircularNsf
//!                  · p(real numbers | cos and sin of angles, classes, context)         Nsf
//! ```
//! A factor that a row has no columns for is left out. Classes are numbers `0, …, n − 1`;
//! [`IntegerColumns`](crate::IntegerColumns) lifts them. Angles are in radians;
//! [`ColumnMap::Circular`] maps other positions on a circle to them.
//! [`MixedNsfConfig::of_columns`] is the flow behind the [`Columns`](crate::Columns) of a table.
//! [`MixedNsfConfig`] configures the layers, and [`MixedNsfConfig::prior`] is their prior.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::model::{MixedNsfConfig, RowElement};
//! use flowkit::{Density, Flow, IntegerColumnsConfig};
//!
//! // A length, a direction, and one of three kinds.
//! let elements = vec![RowElement::Real, RowElement::Angle, RowElement::Class { n: 3 }];
//! let config = MixedNsfConfig::new(elements);
//! let device = Device::flex();
//! let flow = Flow::build(&config, config.prior(), [1, 3], &device)?;
//! let flow = flow.behind(IntegerColumnsConfig::new(vec![2]).build()?);
//! let x = Tensor::<2>::from_data([[0.3, 3.1, 2.0], [0.1, -3.1, 0.0]], &device);
//! let flow = flow.initialize(x.clone())?;
//! assert_eq!(flow.evaluate(x)?.nats().len(), 2);
//! # Ok::<(), flowkit::Error>(())
//! ```

use std::f64::consts::PI;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::circular_nsf::CircularNsfConfig;
use super::nsf::{NsfConfig, NsfForm};
use crate::autoregressive::{MaskedAutoregressiveConfig, ResMadeConfig};
use crate::bijector::boxed::BoxBijector;
use crate::bijector::{ChainRule, ChainRuleConfig, LayerConfig, Plan, Reading, Site};
use crate::conditioner::Activation;
use crate::context::Features;
use crate::elementwise::{ColumnMap, ColumnsConfig};
use crate::error::ConfigError;
use crate::flow::Flow;
use crate::law::CategoricalConfig;
use crate::prior::{ElementPrior, NormalOrUniform, NormalOrUniformConfig};

/// The model: the layers of [`MixedNsfConfig`], followed by [`MixedNsfConfig::prior`].
pub type MixedNsf<C = ()> = Flow<BoxBijector<2, C>, NormalOrUniform, 2, C>;

/// What an element of a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum RowElement {
    /// A real number, standardised.
    Real,
    /// An angle in radians.
    Angle,
    /// A class, 0 to `n − 1`, lifted.
    Class {
        /// Number of classes, up to 4096.
        n: usize,
    },
}

config! {
    /// Configuration of the layers of [`MixedNsf`].
    #[derive(Debug)]
    pub struct MixedNsfConfig {
        /// What the elements of a row are.
        pub elements: Vec<RowElement>,
        /// Number of steps for the real numbers, and for the angles.
        pub n_steps: usize = 5,
        /// Which real numbers the parameters of one depend on.
        pub form: NsfForm = NsfForm::Coupling,
        /// Width of the networks.
        pub d_hidden: usize = 64,
        /// Number of blocks of each network.
        pub n_blocks: usize = 2,
        /// Number of bins of each spline.
        pub n_bins: usize = 8,
        /// Nonlinearity of the networks.
        pub activation: Activation = Activation::Relu,
        /// Probability that an activation is dropped in training.
        pub dropout: f64 = 0.0,
    }
}

/// Layers of one factor.
enum Factor {
    Class(MaskedAutoregressiveConfig<CategoricalConfig, ResMadeConfig>),
    Angles(CircularNsfConfig),
    Reals(NsfConfig),
}

impl<C: Features<2>> LayerConfig<2, C> for Factor {
    type Layer = BoxBijector<2, C>;

    fn build(&self, site: &Site<2, C>) -> Result<BoxBijector<2, C>, ConfigError> {
        Ok(match self {
            Self::Class(layer) => BoxBijector::new(layer.build(site)?),
            Self::Angles(layer) => BoxBijector::new(layer.build(site)?),
            Self::Reals(layer) => BoxBijector::new(layer.build(site)?),
        })
    }

    fn plan(&self, site: &Site<2, C>) -> Result<Plan<2>, ConfigError> {
        match self {
            Self::Class(layer) => layer.plan(site),
            Self::Angles(layer) => layer.plan(site),
            Self::Reals(layer) => layer.plan(site),
        }
    }
}

/// The factors, first to last: each with the elements that it describes.
type Factors = [(Vec<usize>, Reading, Factor)];

/// The layers of some factors, each given those before it.
struct Given<'a>(&'a Factors);

impl Given<'_> {
    /// The first factor and the rest of them, for elements that are counted without those of
    /// earlier factors.
    fn split(&self) -> Option<ChainRuleConfig<&Factor, Given<'_>>> {
        let [(elements, reading, factor), rest @ ..] = self.0 else { return None };
        if rest.is_empty() {
            return None;
        }
        let left: Vec<usize> = {
            let mut left: Vec<usize> =
                self.0.iter().flat_map(|(elements, ..)| elements.iter().copied()).collect();
            left.sort_unstable();
            left
        };
        let place = |element: &usize| left.partition_point(|other| other < element);
        let first = elements.iter().map(|element| (place(element), *reading)).collect();
        Some(ChainRuleConfig::new(first, factor, Given(rest)))
    }
}

impl<C: Features<2>> LayerConfig<2, C> for Given<'_> {
    type Layer = BoxBijector<2, C>;

    fn build(&self, site: &Site<2, C>) -> Result<BoxBijector<2, C>, ConfigError> {
        match self.split() {
            Some(chain) => {
                let layer: ChainRule<_, BoxBijector<2, Tensor<2>>> = chain.build(site)?;
                Ok(BoxBijector::new(layer))
            }
            None => self.0[0].2.build(site),
        }
    }

    fn plan(&self, site: &Site<2, C>) -> Result<Plan<2>, ConfigError> {
        match self.split() {
            Some(chain) => chain.plan(site),
            None => self.0[0].2.plan(site),
        }
    }
}

const NAME: &str = "MixedNsfConfig";

impl MixedNsfConfig {
    /// The flow behind such columns: circular ones are angles, those of classes are classes, and
    /// all others are real numbers.
    pub fn of_columns(columns: &ColumnsConfig) -> Self {
        let element = |map: &ColumnMap| match *map {
            ColumnMap::Circular { .. } => RowElement::Angle,
            ColumnMap::Class { n } => RowElement::Class { n },
            _ => RowElement::Real,
        };
        Self::new(columns.maps.iter().map(element).collect())
    }

    /// The prior of the layers: normal for real numbers, uniform on `[−π, π)` for angles and on
    /// [0, 1] for classes.
    pub fn prior(&self) -> NormalOrUniformConfig {
        let prior = |element: &RowElement| match element {
            RowElement::Real => ElementPrior::Normal,
            RowElement::Angle => ElementPrior::Uniform { lower: -PI, upper: PI },
            RowElement::Class { .. } => ElementPrior::Uniform { lower: 0.0, upper: 1.0 },
        };
        NormalOrUniformConfig::new(self.elements.iter().map(prior).collect())
    }

    /// Indices of the classes: the columns that a surjection must lift.
    pub fn classes(&self) -> Vec<usize> {
        let is_class = |index: &usize| matches!(self.elements[*index], RowElement::Class { .. });
        (0..self.elements.len()).filter(is_class).collect()
    }

    fn factors(&self) -> Vec<(Vec<usize>, Reading, Factor)> {
        let places = |kind: RowElement| -> Vec<usize> {
            (0..self.elements.len()).filter(|index| self.elements[*index] == kind).collect()
        };
        let mut factors = Vec::new();
        for (place, element) in self.elements.iter().enumerate() {
            if let RowElement::Class { n } = *element {
                let net = ResMadeConfig::new()
                    .with_d_hidden(self.d_hidden)
                    .with_n_blocks(self.n_blocks)
                    .with_activation(self.activation)
                    .with_dropout(self.dropout);
                let layer = MaskedAutoregressiveConfig::new(CategoricalConfig::new(n), net);
                factors.push((vec![place], Reading::Class { n }, Factor::Class(layer)));
            }
        }
        let angles = places(RowElement::Angle);
        if !angles.is_empty() {
            let layer = CircularNsfConfig::new(self.n_steps)
                .with_d_hidden(self.d_hidden)
                .with_n_blocks(self.n_blocks)
                .with_n_bins(self.n_bins)
                .with_activation(self.activation)
                .with_dropout(self.dropout);
            factors.push((angles, Reading::Angle, Factor::Angles(layer)));
        }
        let reals = places(RowElement::Real);
        if !reals.is_empty() {
            let layer = NsfConfig::new(self.n_steps)
                .with_form(self.form)
                .with_d_hidden(self.d_hidden)
                .with_n_blocks(self.n_blocks)
                .with_n_bins(self.n_bins)
                .with_activation(self.activation)
                .with_dropout(self.dropout);
            factors.push((reals, Reading::Number, Factor::Reals(layer)));
        }
        factors
    }

    fn check(&self, dims: usize) -> Result<(), ConfigError> {
        let found = self.elements.len();
        if found != dims {
            let (field, expected) = ("elements", dims);
            return Err(ConfigError::Length { config: NAME, field, expected, found });
        }
        for (place, element) in self.elements.iter().enumerate() {
            if let RowElement::Class { n } = *element {
                let valid = CategoricalConfig::new(n).validate();
                valid.map_err(|error| error.at(format_args!(".elements[{place}]")))?;
            }
        }
        Ok(())
    }
}

impl<C: Features<2>> LayerConfig<2, C> for MixedNsfConfig {
    type Layer = BoxBijector<2, C>;

    fn build(&self, site: &Site<2, C>) -> Result<BoxBijector<2, C>, ConfigError> {
        self.check(site.channels("MixedNsf")?)?;
        Given(&self.factors()).build(site)
    }

    fn plan(&self, site: &Site<2, C>) -> Result<Plan<2>, ConfigError> {
        self.check(site.channels("MixedNsf")?)?;
        Given(&self.factors()).plan(site)
    }
}
