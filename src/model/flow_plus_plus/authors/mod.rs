//! The authors' own weights: Flow++ in the format of the released files, and from it.
//!
//! The authors published three trained models, `flowpp_cifar_model.npz`,
//! `flowpp_imagenet32_model.npz` and `flowpp_imagenet64_model.npz`. [`load`] reads them and models
//! of any other size in the same format; [`save`] writes the format.
//!
//! | array | shape | what it is here |
//! |---|---|---|
//! | `context_proc/proj/{W,b}`, `context_proc/c{i}/{c1,c2}/{W,b}` | `[3, 3, in, out]`, `[out]` | the network of the context: first convolution; gated convolution, its gate |
//! | `Norm[_i]/norm{0,1}/{g,b}` | `[H, W, C]` | [`PositionNorm`](crate::PositionNorm): halves of `exp(log_scale)` and of the shift |
//! | `Pointwise[_i]/W{0,1}` | `[in, out]` | [`ChannelMatrix`](crate::ChannelMatrix), transposed |
//! | `MixLogisticAttnCoupling[_i]/pos_emb` | `[H, W, F]` | position embedding |
//! | `.../proj_in/{W,b}`, `.../proj_out/{W,b}` | `[3, 3, in, out]`, `[out]` | first and last convolution; rows of the last one by channel, then by parameter of the law |
//! | `.../block{j}/conv/{c1,a_proj,c2}/{W,b}` | `[3, 3, in, out]`; matrices `[in, out]` | gated convolution: convolution, context, gate |
//! | `.../block{j}/attn/{proj1,proj2}/{W,b}` | `[in, out]` | gated attention: queries, keys and values; gate |
//! | `.../block{j}/ln{1,2}/{g,b}` | `[1, 1, 1, F]` | norms over channels |
//!
//! `_i` is the number of the layer among those of its kind, left out for the first. It runs through
//! the noise flow, then through the flow.
//!
//! The ImageNet files differ: each name ends in `/ExponentialMovingAverage`; `proj_in` and
//! `proj_out` are `c1` and `c2`; norms have the shape `[F]`. In the 32x32 model convolutions and
//! matrices have the direction `V` and the length `g` in place of `W`, and the context has
//! `pos_emb_dq`, `dqln{i}`, `dqattn{i}` and `ln{i}`. In the 64x64 model the noise flow's couplings
//! are `MixLogisticCoupling[_i]`, with position embeddings that nothing reads.
//!
//! # What a file does not say
//! The number of heads (the released models have 4) and of levels (256; the models of fewer bits
//! have the same arrays). [`config()`] gives the released numbers, which the caller may change
//! before [`fill`]. Two stages with the same resolution and pattern are taken as one, which is the
//! same function if the first has an even number of couplings.
//!
//! # Numerics
//! The authors train the scale `g` of a norm, and compute with 1e-10 where it is smaller; here its
//! logarithm is trained, which is then `ln 1e-10`. [`save`] writes `g` in float64, whose
//! logarithm rounds to the float32 it came from, so what [`load`] reads from it are the same bits.
//! A model in float64 comes back within the rounding of `ln` and `exp`.
//!
//! Their convolutions with weight normalisation divide by `‖V‖ + 1e-10`. The difference is in `g`,
//! which is therefore in float64 in a file that [`save`] writes, too.
//!
//! Their CIFAR-10 model has no bound on the log-scales of the mixture: `min_log_scale` is −80,
//! which is the smallest whose scale is a float32. In the ImageNet models it is −7.
//!
//! # Reference
//! `hojonathanho/localbitsback` on GitHub, `compression/models/load_flowpp_{cifar,imagenet32,
//! imagenet64}.py` (MIT), the code that reads the released files (Ho, Lohn & Abbeel 2019).
//!
//! # Example
//! ```no_run
//! use burn::tensor::Device;
//! use flowkit::Density;
//! use flowkit::model::flow_plus_plus::authors;
//!
//! let (flow, config) = authors::load("flowpp_cifar_model.npz", &Device::flex())?;
//! assert_eq!(config.image, [3, 32, 32]);
//! let images = flow.sample(16)?; // levels, [16, 3, 32, 32]
//! # Ok::<(), flowkit::Error>(())
//! ```

mod deduce;
mod family;
mod lengths;
mod names;

use std::path::Path;

use burn::tensor::Device;

use self::family::Family;
use self::names::Names;
use super::{
    ChannelMixing, CouplingLaw, DequantizationConfig, EncoderBlock, FlowPlusPlus,
    FlowPlusPlusConfig, NoiseMixing,
};
use crate::conditioner::{ConvWeight, Mixing, OutputActivation};
use crate::flow::uninit::Uninit;
use crate::reshape::{ChannelOrder, Pattern};
use crate::state_dict::assign::{Assignment, collect, shapes};
use crate::state_dict::{Array, StateDict, StateDictError, Values};

/// Heads of the attention in all released models.
const HEADS: usize = 4;

/// A smallest log-scale that bounds nothing: see the module's head.
const NO_CLAMP: f64 = -80.0;

/// The model of a file and its configuration. A file of fewer levels or with another number of
/// heads is read by [`config()`] and [`fill`].
///
/// # Errors
/// Those of [`StateDict::read`], [`config()`] and [`fill`].
pub fn load(
    path: impl AsRef<Path>,
    device: &Device,
) -> Result<(FlowPlusPlus, FlowPlusPlusConfig), StateDictError> {
    let state = StateDict::read(path)?;
    let config = config(&state)?;
    check_size(&state, &config)?;
    let uninit = config.build(device).map_err(|error| state.invalid(error))?;
    Ok((fill(&state, &config, uninit)?, config))
}

/// The configuration of a file, deduced from the names and shapes of its arrays. For the released
/// files it is the preset of that name, and for CIFAR-10 without the bound of the log-scales.
///
/// # Errors
/// [`StateDictError::Missing`] and [`StateDictError::Undetermined`] if the arrays are not those of
/// a Flow++.
pub fn config(state: &StateDict) -> Result<FlowPlusPlusConfig, StateDictError> {
    deduce::config(state)
}

/// A model that `config` built, with the weights of a file. Each array is used, and each parameter
/// set, in its own type.
///
/// # Errors
/// [`StateDictError::Config`]; [`StateDictError::NotTheAuthors`]; [`StateDictError::Missing`],
/// [`StateDictError::Shape`], [`StateDictError::Integers`], [`StateDictError::NotFinite`] for an
/// array; [`StateDictError::Unused`];
/// [`StateDictError::Undetermined`] if the model has more parameters than the file has numbers.
pub fn fill(
    state: &StateDict,
    config: &FlowPlusPlusConfig,
    uninit: Uninit<FlowPlusPlus>,
) -> Result<FlowPlusPlus, StateDictError> {
    check_size(state, config)?;
    let family = state.names().next().map_or(Family::Cifar, Family::of);
    let names = Names::new(family, config, n_params(config, family)?);
    let lengths = lengths::ours(state);
    let mut assignment = Assignment::new(state).with_changed(&lengths);
    let flow = uninit
        .initialize_with(|flow| assignment.fill(flow, |path, shape| names.slot(path, shape)))?;
    for (name, shape) in names.unread(config) {
        assignment.expect_shape(&name, &shape)?;
    }
    assignment.finish()?;
    Ok(flow)
}

fn check_size(state: &StateDict, config: &FlowPlusPlusConfig) -> Result<(), StateDictError> {
    let claimed = config.num_params().map_err(|error| state.invalid(error))?;
    state.check_claim(claimed, 1)
}

/// Writes a model in the format of the authors, uncompressed: either the whole file or nothing.
/// `config` is the model's.
///
/// # Errors
/// [`StateDictError::NotTheAuthors`] for a model that the authors' code does not compute;
/// [`StateDictError::NonFiniteParameter`]; [`StateDictError::Device`]; [`StateDictError::Write`].
pub fn save(
    flow: &FlowPlusPlus,
    config: &FlowPlusPlusConfig,
    path: impl AsRef<Path>,
) -> Result<(), StateDictError> {
    let family = family_of(config);
    let names = Names::new(family, config, n_params(config, family)?);
    let mut state = StateDict::of(collect(flow, |path, shape| names.slot(path, shape))?);
    for (name, shape) in names.unread(config) {
        let count = shape.iter().product();
        state.insert(name, Array::new(shape, Values::F32(vec![0.0; count])));
    }
    for (name, array) in lengths::theirs(&state) {
        state.insert(name, array);
    }
    state.write_npz(path)
}

/// Name and shape of each array in a file of this model.
///
/// # Errors
/// [`StateDictError::NotTheAuthors`]; [`StateDictError::Config`].
pub fn arrays(config: &FlowPlusPlusConfig) -> Result<Vec<(String, Vec<usize>)>, StateDictError> {
    let family = family_of(config);
    let names = Names::new(family, config, n_params(config, family)?);
    let built = config.build(&Device::default());
    let flow = built.map_err(|error| StateDict::new().invalid(error))?.without_data();
    let mut arrays = shapes(&flow, |path, shape| names.slot(path, shape));
    arrays.extend(names.unread(config).into_iter().map(|(name, shape)| (name, shape.to_vec())));
    Ok(arrays)
}

/// The family that a model is written in.
fn family_of(config: &FlowPlusPlusConfig) -> Family {
    match config.output_activation {
        OutputActivation::None => Family::Cifar,
        OutputActivation::ConcatElu => Family::ImageNet,
    }
}

/// Parameters of the law for each element, of a model that the authors' code computes, too.
fn n_params(config: &FlowPlusPlusConfig, family: Family) -> Result<usize, StateDictError> {
    let other = |field, expected, found| {
        Err(StateDictError::NotTheAuthors { field, expected, found: format!("{found:?}") })
    };
    let CouplingLaw::MixLogCdf { n_components, .. } = config.law else {
        return other("law", "MixLogCdf", &config.law as &dyn std::fmt::Debug);
    };
    let DequantizationConfig::Variational(noise) = config.dequantization else {
        return other("dequantization", "Variational", &config.dequantization);
    };
    if !matches!(config.mixing, Mixing::Attention { .. }) {
        return other("mixing", "Attention", &config.mixing);
    }
    if config.squeeze_order != ChannelOrder::BlockMajor {
        return other("squeeze_order", "BlockMajor", &config.squeeze_order);
    }
    let patterns = config.stages.iter().map(|stage| stage.pattern);
    if let Some(found) =
        patterns.into_iter().find(|found| !matches!(found, Pattern::Stripes | Pattern::Channels))
    {
        return other("stages.pattern", "Stripes or Channels", &found);
    }
    if noise.pattern != Pattern::Stripes {
        return other("dequantization.pattern", "Stripes", &noise.pattern);
    }
    let kind = (config.channel_mixing, config.style.weight, noise.mixing, noise.encoder_block);
    let is_theirs = match family {
        Family::Cifar => matches!(
            (config.output_activation, kind),
            (
                OutputActivation::None,
                (ChannelMixing::Matrix, ConvWeight::Plain, NoiseMixing::AsFlow, EncoderBlock::Conv)
            )
        ),
        Family::ImageNet => matches!(
            (config.output_activation, kind),
            (
                OutputActivation::ConcatElu,
                (
                    ChannelMixing::None,
                    ConvWeight::WeightNorm,
                    NoiseMixing::AsFlow,
                    EncoderBlock::Attention { .. }
                ) | (
                    ChannelMixing::None,
                    ConvWeight::Plain,
                    NoiseMixing::None,
                    EncoderBlock::NormedConv
                )
            )
        ),
    };
    if !is_theirs {
        let expected = "the channel mixing, weights, noise mixing and encoder blocks of `cifar10`, \
                        `imagenet32` or `imagenet64`";
        return other("output_activation", expected, &(config.output_activation, kind));
    }
    Ok(2 + 3 * n_components)
}
