//! Flow++: images as a stack of MixLogCDF couplings behind variational dequantization.
//! ```text
//! levels [B, C, H, W]
//!   dequantization    y = (x + u)/M,  u = flow(ε | context(x))                       a bound
//!   logit             margin 0.05
//!   stages            squeeze (or not) -> partition -> couplings times
//!                       (position norm, channel matrix, coupling, swap) -> partition undone
//!   prior             standard normal
//! ```
//! | configuration | image | stages (couplings) | filters | blocks | components | parameters |
//! |---|---|---|---|---|---|---|
//! | [`FlowPlusPlusConfig::tiny`] | 3x32x32 | squeeze, channels 2; checkerboard 2 | 16 | 1 | 4 | 243,872 |
//! | [`FlowPlusPlusConfig::small`] | 3x32x32 | checkerboard 4; squeeze, channels 2; checkerboard 3 | 32 | 2 | 8 | 1,716,336 |
//! | [`FlowPlusPlusConfig::cifar10`] | 3x32x32 | stripes 4; squeeze, channels 2; stripes 3 | 96 | 10 | 32 | 31,443,440 |
//! | [`FlowPlusPlusConfig::cifar10_uniform`] | | the same | 104 | 10 | 32 | 32,324,408 |
//! | [`FlowPlusPlusConfig::cifar10_affine`] | | the same | 108 | 10 | affine | 32,045,708 |
//! | [`FlowPlusPlusConfig::cifar10_without_attention`] | | the same | 96 | 10 | 32 | 31,443,440 |
//! | [`FlowPlusPlusConfig::imagenet32`] | 3x32x32 | stripes 4, 3; squeeze, channels 3; stripes 3 | 128 | 20 | 32 | 168,955,724 |
//! | [`FlowPlusPlusConfig::imagenet64`], [`FlowPlusPlusConfig::celeba64`] | 3x64x64 | squeeze, stripes 4; twice: squeeze, channels 2; stripes 2 | 96 | 16 | 4 | 72,703,528 of 73,489,960 |
//! | [`FlowPlusPlusConfig::celeba128`] | 3x128x128 | two squeezes, then as before | 96 | 12 | 4 | 119,645,224 of 122,790,952 |
//!
//! "Of": the released code counts position embeddings in the noise flow of these two that nothing reads. Here there are none.
//!
//! [`FlowPlusPlus`] is a [`Flow`] behind a dequantization: [`Density`](crate::Density) says what can be asked of it.
//!
//! # Reference
//! Ho et al. 2019. All but `tiny` and `small` follow the released code layer by layer, with two exceptions. The order
//! of parameters within a layer differs. So does the start of positions that are nearly constant in the first batch,
//! such as a dark border: the released code enlarges their noise to variance 1
//! ([`ConstantChannel`](crate::ConstantChannel)). `small` is the same model at a size for one machine, with a true
//! checkerboard, a larger variance floor in the norms and starts that ignore the data.

pub mod config;
pub mod encoder;
pub mod preset;

use burn::module::Module;
use burn::tensor::{DType, Device, Int, Tensor};

pub use config::{
    ChannelMixing, CouplingLaw, DequantizationConfig, FlowPlusPlusConfig, NetInit, NoiseMixing, Scale, StageConfig,
    VariationalConfig,
};
pub use encoder::{EncoderBlock, FlowPlusPlusEncoder, FlowPlusPlusEncoderConfig};
pub use preset::{Preset, UnknownPreset};

use crate::bijector::compose::Invert;
use crate::bijector::replay::{Cotangent, Replay};
use crate::bijector::visit::Visit;
use crate::bijector::{Bijector, ShapeMap};
use crate::conditioner::GatedNet;
use crate::context::Context;
use crate::coupling::Coupling;
use crate::elementwise::{Logit, Sigmoid};
use crate::error::{FlowError, ShapeError};
use crate::flow::Flow;
use crate::flow::likelihood::OneSampleBound;
use crate::flow::surjection::Surjection;
use crate::law::AnyLaw;
use crate::linear::{ChannelMatrix, PositionNorm};
use crate::prior::StandardNormal;
use crate::quantize::{UniformDequantization, VariationalDequantization};
use crate::reshape::{Partition, Squeeze, Swap};

/// The model. Built by [`FlowPlusPlusConfig::init`].
pub type FlowPlusPlus = Flow<FlowPlusPlusLayers, StandardNormal, 4, (), FlowPlusPlusDequantization>;

/// From dequantized images to latents: the logit, then the stages.
pub type FlowPlusPlusLayers = (Logit, Vec<Stage>);

/// One coupling with what surrounds it.
pub type Step = (PositionNorm<4>, Option<ChannelMatrix>, Coupling<AnyLaw, GatedNet>, Swap);

/// The flow of the dequantization noise.
pub type NoiseFlow = (Partition, Vec<Step>, Invert<Partition>, Sigmoid);

/// Couplings at one resolution, in one pattern.
#[derive(Module, Debug)]
pub struct Stage {
    /// Squeezes before the couplings, first to last.
    pub squeezes: Vec<Squeeze>,
    /// Pattern of the halves.
    pub partition: Partition,
    /// Couplings, first to last.
    pub steps: Vec<Step>,
}

impl ShapeMap<4> for Stage
where
    GatedNet: crate::conditioner::NetShape<4>,
{
    fn output_shape(&self, shape: [usize; 4]) -> Result<[usize; 4], ShapeError> {
        let squeezed = self.squeezes.output_shape(shape)?;
        let halves = self.partition.output_shape(squeezed)?;
        let halves = self.steps.output_shape(halves)?;
        self.partition.input_shape(halves)
    }

    fn input_shape(&self, shape: [usize; 4]) -> Result<[usize; 4], ShapeError> {
        let halves = self.partition.output_shape(shape)?;
        let halves = self.steps.input_shape(halves)?;
        let squeezed = self.partition.input_shape(halves)?;
        self.squeezes.input_shape(squeezed)
    }
}

impl<C: Context> Bijector<4, C> for Stage
where
    GatedNet: crate::conditioner::Conditioner<4, C>,
{
    fn forward(&self, x: Tensor<4>, context: &C) -> (Tensor<4>, Tensor<1>) {
        let (x, _) = self.squeezes.forward(x, context);
        let (x, _) = self.partition.forward(x, context);
        let (z, log_det) = self.steps.forward(x, context);
        (self.partition.inverse(z, context), log_det)
    }

    fn inverse(&self, z: Tensor<4>, context: &C) -> Tensor<4> {
        let (z, _) = self.partition.forward(z, context);
        let x = self.steps.inverse(z, context);
        self.squeezes.inverse(self.partition.inverse(x, context), context)
    }

    fn inverse_with_log_det(&self, z: Tensor<4>, context: &C) -> (Tensor<4>, Tensor<1>) {
        let (z, _) = self.partition.forward(z, context);
        let (x, log_det) = self.steps.inverse_with_log_det(z, context);
        (self.squeezes.inverse(self.partition.inverse(x, context), context), log_det)
    }

    fn output_shape_given(&self, shape: [usize; 4], context: &C) -> Result<[usize; 4], ShapeError> {
        let squeezed = self.squeezes.output_shape_given(shape, context)?;
        let halves = self.partition.output_shape_given(squeezed, context)?;
        let halves = self.steps.output_shape_given(halves, context)?;
        self.partition.input_shape(halves)
    }

    fn initialize(self, x: Tensor<4>, context: &C) -> (Self, Tensor<4>) {
        let (x, _) = self.squeezes.forward(x, context);
        let (x, _) = self.partition.forward(x, context);
        let (steps, z) = self.steps.initialize(x, context);
        let z = self.partition.inverse(z, context);
        (Self { squeezes: self.squeezes, partition: self.partition, steps }, z)
    }

    fn visit_layers(&self, x: Tensor<4>, context: &C, walk: &mut Visit<'_, 4>) -> Tensor<4> {
        let x = walk.member("squeezes", &self.squeezes, x, context);
        let x = walk.member("partition", &self.partition, x, context);
        let z = walk.member("steps", &self.steps, x, context);
        walk.member("partition", &Invert::new(self.partition.clone()), z, context)
    }

    fn walk_forward(&self, x: Tensor<4>, context: &C, walk: &mut Replay<C>) -> (Tensor<4>, Tensor<1>) {
        let (x, _) = self.squeezes.forward(x, context);
        let (x, _) = self.partition.forward(x, context);
        let (z, log_det) = walk.within("steps", |walk| self.steps.walk_forward(x, context, walk));
        (self.partition.inverse(z, context), log_det)
    }

    fn walk_back(&self, back: Cotangent<4>, context: &C, walk: &mut Replay<C>) -> Cotangent<4> {
        // Moving elements is orthogonal: gradients move as the values do.
        let Cotangent { z, grad_z, grad_log_det } = back;
        let (z, _) = self.partition.forward(z, context);
        let (grad_z, _) = self.partition.forward(grad_z, context);
        let back = Cotangent { z, grad_z, grad_log_det };
        let back = walk.within("steps", |walk| self.steps.walk_back(back, context, walk));
        let undo = |t| self.squeezes.inverse(self.partition.inverse(t, context), context);
        Cotangent { z: undo(back.z), grad_z: undo(back.grad_z), grad_log_det: back.grad_log_det }
    }
}

/// The dequantization that a configuration chooses.
#[derive(Module, Debug)]
// One value a model: its size is no matter, and a box would hide a module from burn.
#[allow(clippy::large_enum_variant)]
pub enum FlowPlusPlusDequantization {
    /// Uniform noise (the paper's ablation).
    Uniform(UniformDequantization),
    /// Noise from a conditional flow.
    Variational(VariationalDequantization<FlowPlusPlusEncoder, NoiseFlow>),
}

impl FlowPlusPlusDequantization {
    /// Levels of the data.
    pub fn n_levels(&self) -> usize {
        match self {
            Self::Uniform(inner) => inner.n_levels(),
            Self::Variational(inner) => inner.n_levels(),
        }
    }
}

impl Surjection<4> for FlowPlusPlusDequantization {
    type Data = Tensor<4, Int>;
    type Noise = Tensor<4>;
    type Provenance = OneSampleBound;
    const PROVENANCE: OneSampleBound = OneSampleBound;

    fn plain(&self, x: Self::Data) -> Self::Data {
        match self {
            Self::Uniform(inner) => Surjection::<4>::plain(inner, x),
            Self::Variational(inner) => inner.plain(x),
        }
    }

    fn noise(&self, x: &Self::Data, dtype: DType) -> Tensor<4> {
        match self {
            Self::Uniform(inner) => inner.noise(x, dtype),
            Self::Variational(inner) => inner.noise(x, dtype),
        }
    }

    fn lift(&self, x: Self::Data, noise: Tensor<4>) -> (Tensor<4>, Tensor<1>) {
        match self {
            Self::Uniform(inner) => inner.lift(x, noise),
            Self::Variational(inner) => inner.lift(x, noise),
        }
    }

    fn walk_lift(&self, x: Self::Data, noise: Tensor<4>, walk: &mut Replay<()>) -> (Tensor<4>, Tensor<1>) {
        match self {
            Self::Uniform(inner) => walk.within("Uniform", |walk| inner.walk_lift(x, noise, walk)),
            Self::Variational(inner) => walk.within("Variational", |walk| inner.walk_lift(x, noise, walk)),
        }
    }

    fn walk_back(&self, x: Self::Data, noise: Tensor<4>, back: Cotangent<4>, walk: &mut Replay<()>) {
        match self {
            Self::Uniform(inner) => walk.within("Uniform", |walk| inner.walk_back(x, noise, back, walk)),
            Self::Variational(inner) => walk.within("Variational", |walk| inner.walk_back(x, noise, back, walk)),
        }
    }

    fn lower(&self, y: Tensor<4>) -> Self::Data {
        match self {
            Self::Uniform(inner) => inner.lower(y),
            Self::Variational(inner) => inner.lower(y),
        }
    }

    fn numbers(&self, x: &Self::Data, dtype: DType) -> (DType, Device) {
        match self {
            Self::Uniform(inner) => Surjection::<4>::numbers(inner, x, dtype),
            Self::Variational(inner) => inner.numbers(x, dtype),
        }
    }

    fn check(&self, x: &Self::Data) -> Result<[usize; 4], FlowError> {
        match self {
            Self::Uniform(inner) => inner.check(x),
            Self::Variational(inner) => inner.check(x),
        }
    }

    fn check_dtype(&self, dtype: DType) -> Result<(), FlowError> {
        match self {
            Self::Uniform(inner) => Surjection::<4>::check_dtype(inner, dtype),
            Self::Variational(inner) => Surjection::<4>::check_dtype(inner, dtype),
        }
    }

    fn initialize(self, x: Self::Data, noise: Tensor<4>) -> (Self, Tensor<4>) {
        match self {
            Self::Uniform(inner) => {
                let (inner, y) = inner.initialize(x, noise);
                (Self::Uniform(inner), y)
            }
            Self::Variational(inner) => {
                let (inner, y) = inner.initialize(x, noise);
                (Self::Variational(inner), y)
            }
        }
    }

    fn visit_layers(&self, x: Self::Data, noise: Tensor<4>, walk: &mut Visit<'_, 4>) -> Tensor<4> {
        match self {
            Self::Uniform(inner) => walk.within("Uniform", |walk| inner.visit_layers(x, noise, walk)),
            Self::Variational(inner) => walk.within("Variational", |walk| inner.visit_layers(x, noise, walk)),
        }
    }
}
