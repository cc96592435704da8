//! Chain rule of probability: some elements of a vector first, then the others given them.
//! ```text
//! x = (x_a, x_b)                          x_a the first elements, x_b the others
//! forward   z_a = f(x_a | context),  z_b = g(x_b | context, h(x_a))
//! inverse   x_a = f⁻¹(z_a | context),  x_b = g⁻¹(z_b | context, h(x_a))
//! log_det   that of f, plus that of g
//! ln p(x | context) = ln p(x_a | context) + ln p(x_b | x_a, context)
//! ```
//! `h` replaces each first element by what a network should read of it ([`Reading`]): an angle by
//! its cosine and sine, a class by a one-hot vector. Elements of one kind can so have layers that
//! suit them, and all depend on each other. Every element keeps its place.
//!
//! `g` gets a vector as its condition: that of the flow, if it has one, and `h(x_a)`. To split a
//! vector into more than two groups, `g` is a chain rule itself.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::law::{AffineConfig, AffineForm, CircularSplineConfig};
//! use flowkit::{
//!     Bijector, ChainRuleConfig, ElementwiseConfig, LayerConfig, MadeConfig,
//!     MaskedAutoregressiveConfig, Reading, Site,
//! };
//!
//! // Element 1 is an angle; the others depend on it.
//! let angle = ElementwiseConfig::new(CircularSplineConfig::new(8));
//! let affine = AffineConfig::new(AffineForm::Exponential);
//! let others = MaskedAutoregressiveConfig::new(affine, MadeConfig::new([16]));
//! let config = ChainRuleConfig::new(vec![(1, Reading::Angle)], angle, others);
//! let layer = config.build(&Site::new([1, 3], &Device::flex()))?;
//! let x = Tensor::<2>::from_data([[0.1, -3.0, 0.7]], &Device::flex());
//! let (z, _) = layer.forward(x.clone(), &());
//! let back = Bijector::<2>::inverse(&layer, z, &());
//! assert!((back - x).abs().max().into_scalar::<f32>() < 1e-5);
//! # Ok::<(), flowkit::ConfigError>(())
//! ```

use burn::config::Config;
use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Bijector, LayerConfig, Leaf, Plan, ShapeMap, Site};
use crate::context::{ContextShape, Features};
use crate::error::{ConfigError, InitProblem, ShapeError, check_event, check_shape};
use crate::tensor::channels::{select, unselect};
use crate::tensor::limit::sum;

/// What the other elements read of a first element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Reading {
    /// The number itself.
    Number,
    /// Cosine and sine of an angle in radians.
    Angle,
    /// A one-hot vector of the class `⌊x⌋`, 0 to `n − 1`; zeros for other numbers.
    Class {
        /// Number of classes.
        n: usize,
    },
}

impl Reading {
    fn width(self) -> usize {
        match self {
            Self::Number => 1,
            Self::Angle => 2,
            Self::Class { n } => n,
        }
    }

    /// `[batch, 1]` to `[batch, width]`.
    fn read(self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Number => x,
            Self::Angle => Tensor::cat(vec![x.clone().cos(), x.sin()], 1),
            Self::Class { n } => {
                let (device, dtype, batch) = (x.device(), x.dtype(), x.dims()[0]);
                let classes: Vec<f64> = (0..n).map(|class| class as f64).collect();
                let classes = Tensor::<1>::from_data(classes.as_slice(), (&device, dtype));
                let classes = classes.unsqueeze_dim::<2>(0).expand([batch, n]);
                // A step function: constant almost everywhere.
                let own = x.detach().floor().expand([batch, n]).equal(classes);
                own.float().cast(dtype)
            }
        }
    }
}

/// Configuration of [`ChainRule`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainRuleConfig<F, G> {
    /// Indices of the first elements, in the order in which `first` gets them, and what `then`
    /// reads of each.
    pub elements: Vec<(usize, Reading)>,
    /// The layer of the first elements.
    pub first: F,
    /// The layer of the other elements, given the first.
    pub then: G,
}

impl<F: Config, G: Config> Config for ChainRuleConfig<F, G> {}

const NAME: &str = "ChainRuleConfig";

impl<F, G> ChainRuleConfig<F, G> {
    /// The layer `first` on these elements, and `then` on the others.
    pub fn new(elements: Vec<(usize, Reading)>, first: F, then: G) -> Self {
        Self { elements, first, then }
    }

    fn split<C: Features<2>>(&self, site: &Site<2, C>) -> Result<Split, ConfigError> {
        let dims = site.channels("ChainRule")?;
        ConfigError::positive(NAME, "elements", self.elements.len())?;
        let first: Vec<usize> = self.elements.iter().map(|(element, _)| *element).collect();
        if let Some(&found) = first.iter().find(|element| **element >= dims) {
            let (field, most) = ("elements", dims - 1);
            return Err(ConfigError::TooLarge { config: NAME, field, most, found });
        }
        if (0..first.len()).any(|place| first[..place].contains(&first[place])) {
            return Err(ConfigError::RepeatedIndex {
                config: NAME,
                field: "elements",
                found: first,
            });
        }
        for (place, (_, reading)) in self.elements.iter().enumerate() {
            ConfigError::positive(NAME, "n", reading.width())
                .map_err(|error| error.at(format_args!(".elements[{place}]")))?;
        }
        let others: Vec<usize> = (0..dims).filter(|element| !first.contains(element)).collect();
        if others.is_empty() {
            let (layer, axis, shape) = ("ChainRule", 1, vec![1, dims]);
            return Err(ShapeError::Short { layer, axis, least: dims + 1, shape }.into());
        }
        let readings = self.elements.iter().map(|(_, reading)| *reading).collect();
        Ok(Split { first, others, readings, given: site.context().width() })
    }
}

/// The elements of both groups, and what the others read.
#[derive(Debug, Clone)]
struct Split {
    first: Vec<usize>,
    others: Vec<usize>,
    readings: Vec<Reading>,
    /// Width of the condition of the flow, if it has one.
    given: Option<usize>,
}

impl Split {
    /// The site of the layer of the others.
    fn then<C: Features<2>>(&self, site: &Site<2, C>) -> Site<2, Tensor<2>> {
        let read = self.readings.iter().fold(0, |read, reading| sum([read, reading.width()]));
        let width = sum([self.given.unwrap_or(0), read]);
        let context = ContextShape::vector(Some(width));
        Site::described([1, self.others.len()], context, site.device())
    }
}

impl<C, F, G> LayerConfig<2, C> for ChainRuleConfig<F, G>
where
    C: Features<2>,
    F: LayerConfig<2, C>,
    G: LayerConfig<2, Tensor<2>>,
{
    type Layer = ChainRule<F::Layer, G::Layer>;

    fn build(&self, site: &Site<2, C>) -> Result<Self::Layer, ConfigError> {
        self.plan(site)?;
        let split = self.split(site)?;
        let first = self.first.build(&site.at([1, split.first.len()]));
        let then = self.then.build(&split.then(site));
        Ok(ChainRule {
            first: first.map_err(|error| error.at(".first"))?,
            then: then.map_err(|error| error.at(".then"))?,
            split,
        })
    }

    fn plan(&self, site: &Site<2, C>) -> Result<Plan<2>, ConfigError> {
        let split = self.split(site)?;
        let (of_first, of_others) = (site.at([1, split.first.len()]), split.then(site));
        let first = of_first.keeps(0).then(&self.first, &of_first, ".first")?;
        let then = of_others.keeps(first.num_params).then(&self.then, &of_others, ".then")?;
        let parts = [(".first", first.output, &split.first), (".then", then.output, &split.others)];
        for (place, output, elements) in parts {
            let expected = elements.len();
            if output != [1, expected] {
                let (layer, axis, shape) = ("ChainRule", 1, output.to_vec());
                let error = ShapeError::Axis { layer, axis, expected, shape };
                return Err(ConfigError::from(error).at(place));
            }
        }
        Ok(site.keeps(then.num_params))
    }
}

/// Some elements first, and the others given them. The formulas head this module.
#[derive(Module, Debug)]
pub struct ChainRule<F, G> {
    /// The bijector of the first elements.
    pub first: F,
    /// The bijector of the others.
    pub then: G,
    #[module(skip)]
    split: Split,
}

impl<F, G> ChainRule<F, G> {
    /// The condition of the others: that of the flow, and what is read of the first elements.
    fn condition<C: Features<2>>(&self, first: &Tensor<2>, context: &C) -> Tensor<2> {
        let [batch, _] = first.dims();
        let given = context.for_batch(batch).features();
        let read = self.split.readings.iter().enumerate();
        let read = read.map(|(place, reading)| reading.read(first.clone().narrow(1, place, 1)));
        Tensor::cat(given.into_iter().chain(read).collect(), 1)
    }

    /// The elements of both groups.
    fn parts(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        (select(x.clone(), &self.split.first), select(x, &self.split.others))
    }

    /// Both groups, in the places of their elements.
    fn join(&self, first: Tensor<2>, others: Tensor<2>) -> Tensor<2> {
        let order = self.split.first.iter().chain(&self.split.others).copied();
        unselect(vec![first, others], order)
    }

    fn n_elements(&self) -> usize {
        self.split.first.len() + self.split.others.len()
    }
}

impl<F: ShapeMap<2>, G: ShapeMap<2>> ShapeMap<2> for ChainRule<F, G> {
    fn output_shape(&self, shape: [usize; 2]) -> Result<[usize; 2], ShapeError> {
        check_event("ChainRule", &[self.n_elements()], shape)?;
        self.first.output_shape([shape[0], self.split.first.len()])?;
        self.then.output_shape([shape[0], self.split.others.len()])?;
        Ok(shape)
    }
}

impl<C: Features<2>, F: Bijector<2, C>, G: Bijector<2, Tensor<2>>> Bijector<2, C>
    for ChainRule<F, G>
{
    type Driver = Leaf;

    fn forward(&self, x: Tensor<2>, context: &C) -> (Tensor<2>, Tensor<1>) {
        check_shape(self.output_shape_given(x.dims(), context));
        let (first, others) = self.parts(x);
        let condition = self.condition(&first, context);
        let (first, of_first) = self.first.forward(first, context);
        let (others, of_others) = self.then.forward(others, &condition);
        (self.join(first, others), of_first + of_others)
    }

    fn inverse(&self, z: Tensor<2>, context: &C) -> Tensor<2> {
        check_shape(self.output_shape_given(z.dims(), context));
        let (first, others) = self.parts(z);
        let first = self.first.inverse(first, context);
        let condition = self.condition(&first, context);
        self.join(first, self.then.inverse(others, &condition))
    }

    fn inverse_with_log_det(&self, z: Tensor<2>, context: &C) -> (Tensor<2>, Tensor<1>) {
        check_shape(self.output_shape_given(z.dims(), context));
        let (first, others) = self.parts(z);
        let (first, of_first) = self.first.inverse_with_log_det(first, context);
        let condition = self.condition(&first, context);
        let (others, of_others) = self.then.inverse_with_log_det(others, &condition);
        (self.join(first, others), of_first + of_others)
    }

    fn accepts(&self) -> Result<(), ShapeError> {
        self.first.accepts()?;
        self.then.accepts()
    }

    fn check_context(&self, shape: [usize; 2], context: &C) -> Result<(), ShapeError> {
        self.first.output_shape_given([shape[0], self.split.first.len()], context)?;
        let width = |width: Option<usize>| vec![shape[0], width.unwrap_or(0)];
        let found = ContextShape::of(context).width();
        if found != self.split.given {
            let (expected, found) = (width(self.split.given), width(found));
            return Err(ShapeError::ContextShape { layer: "ChainRule", expected, found });
        }
        Ok(())
    }

    fn initialize(self, x: Tensor<2>, context: &C) -> (Self, Tensor<2>) {
        check_shape(self.output_shape_given(x.dims(), context));
        let (of_first, of_others) = self.parts(x);
        let condition = self.condition(&of_first, context);
        let Self { first, then, split } = self;
        let (first, of_first) = first.initialize(of_first, context);
        let (then, of_others) = then.initialize(of_others, &condition);
        let layer = Self { first, then, split };
        let z = layer.join(of_first, of_others);
        (layer, z)
    }

    fn init_problem(&self, x: &Tensor<2>, context: &C) -> Option<InitProblem> {
        let (first, others) = self.parts(x.clone());
        let condition = self.condition(&first, context);
        let problem = self.first.init_problem(&first, context);
        problem.or_else(|| self.then.init_problem(&others, &condition))
    }
}
