//! Blocks: groups of the elements of a vector, each with a bijector of its own.
//! ```text
//! x = (x_1, …, x_n)      x_i the elements at the indices of block i
//! forward   z_i = f_i(x_i | context)       inverse   x_i = f_i⁻¹(z_i | context)
//! log_det   Σ_i log_det of f_i
//! ```
//! Nothing connects two blocks: layers before or after do. Each element keeps its place. Every
//! element is in exactly one block, and a block keeps its number of elements.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::{AnyLayerConfig, Bijector, Block, BlockwiseConfig, LayerConfig, Site};
//!
//! // Elements 0 and 2 change places; a sigmoid is undone in element 1.
//! let undo = AnyLayerConfig::Invert(Box::new(AnyLayerConfig::Sigmoid));
//! let config = BlockwiseConfig::new(vec![
//!     Block::new([0, 2], AnyLayerConfig::Swap),
//!     Block::new([1], undo),
//! ]);
//! let device = Device::flex();
//! let layer = config.build(&Site::new([1, 3], &device))?;
//! let x = Tensor::<2>::from_data([[1.0, 0.5, 3.0]], &device);
//! let (z, log_det) = layer.forward(x, &());
//! assert_eq!(z.to_data(), Tensor::<2>::from_data([[3.0, 0.0, 1.0]], &device).to_data());
//! // The slope of the logit at ½ is 4.
//! assert!((log_det.into_scalar::<f32>() - 4f32.ln()).abs() < 1e-6);
//! # Ok::<(), flowkit::ConfigError>(())
//! ```
//!
//! # Reference
//! `Blockwise` of TensorFlow Probability.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Bijector, LayerConfig, Leaf, Plan, ShapeMap, Site};
use crate::context::Context;
use crate::error::{ConfigError, InitProblem, ShapeError, check_event, check_shape};
use crate::tensor::channels::{select, unselect};
use crate::tensor::per_example::zero_log_det;

/// Some elements of a vector, and the configuration of their layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block<L> {
    /// Indices of the elements, in the order in which the layer gets them.
    pub elements: Vec<usize>,
    /// Their layer.
    pub layer: L,
}

impl<L> Block<L> {
    /// These elements, with this layer.
    pub fn new(elements: impl Into<Vec<usize>>, layer: L) -> Self {
        Self { elements: elements.into(), layer }
    }
}

/// Configuration of [`Blockwise`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockwiseConfig<L> {
    /// The blocks.
    pub blocks: Vec<Block<L>>,
}

impl<L: Config> Config for BlockwiseConfig<L> {}

/// The name of the configuration in its errors.
const NAME: &str = "BlockwiseConfig";

impl<L> BlockwiseConfig<L> {
    /// A layer of these blocks.
    pub fn new(blocks: Vec<Block<L>>) -> Self {
        Self { blocks }
    }

    /// Indices of all elements, block by block.
    fn order(&self) -> Vec<usize> {
        self.blocks.iter().flat_map(|block| block.elements.iter().copied()).collect()
    }

    /// Checks that every element of a vector is in exactly one block.
    fn check(&self, n: usize) -> Result<(), ConfigError> {
        for (place, block) in self.blocks.iter().enumerate() {
            ConfigError::positive(NAME, "elements", block.elements.len())
                .map_err(|error| error.at(format_args!(".blocks[{place}]")))?;
        }
        let order = self.order();
        let mut sorted = order.clone();
        sorted.sort_unstable();
        if sorted.into_iter().eq(0..n) {
            return Ok(());
        }
        Err(ConfigError::NotPermutation { config: NAME, field: "blocks", n, found: order })
    }
}

impl<C: Context, L: LayerConfig<2, C>> LayerConfig<2, C> for BlockwiseConfig<L> {
    type Layer = Blockwise<L::Layer>;

    fn build(&self, site: &Site<2, C>) -> Result<Self::Layer, ConfigError> {
        self.plan(site)?;
        let layer = |(place, block): (usize, &Block<L>)| {
            let layer = block.layer.build(&site.at([1, block.elements.len()]));
            layer.map_err(|error| error.at(format_args!(".blocks[{place}].layer")))
        };
        Ok(Blockwise {
            layers: self.blocks.iter().enumerate().map(layer).collect::<Result<_, _>>()?,
            elements: self.blocks.iter().map(|block| block.elements.clone()).collect(),
        })
    }

    fn plan(&self, site: &Site<2, C>) -> Result<Plan<2>, ConfigError> {
        self.check(site.channels("Blockwise")?)?;
        let mut total = site.keeps(0);
        for (place, block) in self.blocks.iter().enumerate() {
            let place = format!(".blocks[{place}].layer");
            let width = [1, block.elements.len()];
            let of_block = site.at(width);
            let plan = of_block.keeps(total.num_params).then(&block.layer, &of_block, &place)?;
            if plan.output != width {
                let shape = plan.output.to_vec();
                let expected = width[1];
                let error = ShapeError::Axis { layer: "Blockwise", axis: 1, expected, shape };
                return Err(ConfigError::from(error).at(place));
            }
            total = site.keeps(plan.num_params);
        }
        Ok(total)
    }
}

/// Blocks of elements, each with its own bijector. The formulas head this module.
#[derive(Module, Debug)]
pub struct Blockwise<B> {
    /// The bijector of each block.
    pub layers: Vec<B>,
    #[module(skip)]
    elements: Vec<Vec<usize>>,
}

impl<B> Blockwise<B> {
    /// The parts of all blocks, in the places of their elements.
    fn join(&self, parts: Vec<Tensor<2>>) -> Tensor<2> {
        unselect(parts, self.elements.iter().flatten().copied())
    }

    /// Maps the part of each block, and adds the log-determinants.
    fn each(
        &self,
        x: Tensor<2>,
        map: impl Fn(&B, Tensor<2>) -> (Tensor<2>, Tensor<1>),
    ) -> (Tensor<2>, Tensor<1>) {
        let mut log_det = zero_log_det(&x);
        let mut parts = Vec::with_capacity(self.layers.len());
        for (layer, elements) in self.layers.iter().zip(&self.elements) {
            let (part, of_part) = map(layer, select(x.clone(), elements));
            log_det = log_det + of_part;
            parts.push(part);
        }
        (self.join(parts), log_det)
    }

    fn n_elements(&self) -> usize {
        self.elements.iter().map(Vec::len).sum()
    }
}

impl<B: ShapeMap<2>> ShapeMap<2> for Blockwise<B> {
    fn output_shape(&self, shape: [usize; 2]) -> Result<[usize; 2], ShapeError> {
        check_event("Blockwise", &[self.n_elements()], shape)?;
        for (layer, elements) in self.layers.iter().zip(&self.elements) {
            layer.output_shape([shape[0], elements.len()])?;
        }
        Ok(shape)
    }
}

impl<C: Context, B: Bijector<2, C>> Bijector<2, C> for Blockwise<B> {
    type Driver = Leaf;

    fn forward(&self, x: Tensor<2>, context: &C) -> (Tensor<2>, Tensor<1>) {
        check_shape(self.output_shape_given(x.dims(), context));
        self.each(x, |layer, x| layer.forward(x, context))
    }

    fn inverse(&self, z: Tensor<2>, context: &C) -> Tensor<2> {
        check_shape(self.output_shape_given(z.dims(), context));
        let part = |(layer, elements): (&B, &Vec<usize>)| {
            layer.inverse(select(z.clone(), elements), context)
        };
        self.join(self.layers.iter().zip(&self.elements).map(part).collect())
    }

    fn inverse_with_log_det(&self, z: Tensor<2>, context: &C) -> (Tensor<2>, Tensor<1>) {
        check_shape(self.output_shape_given(z.dims(), context));
        self.each(z, |layer, z| layer.inverse_with_log_det(z, context))
    }

    fn accepts(&self) -> Result<(), ShapeError> {
        self.layers.iter().try_for_each(|layer| layer.accepts())
    }

    fn check_context(&self, shape: [usize; 2], context: &C) -> Result<(), ShapeError> {
        self.layers.iter().zip(&self.elements).try_for_each(|(layer, elements)| {
            layer.output_shape_given([shape[0], elements.len()], context).map(drop)
        })
    }

    fn initialize(self, x: Tensor<2>, context: &C) -> (Self, Tensor<2>) {
        check_shape(self.output_shape_given(x.dims(), context));
        let Self { layers, elements } = self;
        let initialized = layers
            .into_iter()
            .zip(&elements)
            .map(|(layer, elements)| layer.initialize(select(x.clone(), elements), context));
        let (layers, parts) = initialized.unzip();
        let blocks = Self { layers, elements };
        let z = blocks.join(parts);
        (blocks, z)
    }

    fn init_problem(&self, x: &Tensor<2>, context: &C) -> Option<InitProblem> {
        let mut blocks = self.layers.iter().zip(&self.elements);
        blocks
            .find_map(|(layer, elements)| layer.init_problem(&select(x.clone(), elements), context))
    }
}
