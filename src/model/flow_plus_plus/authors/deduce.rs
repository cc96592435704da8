//! The configuration of a file of the authors, from the names and shapes of its arrays.

use super::super::{
    ChannelMixing, CouplingLaw, DequantizationConfig, EncoderBlock, FlowPlusPlusConfig,
    NoiseMixing, Resolution, StageConfig, VariationalConfig,
};
use super::family::Family;
use super::names::numbered;
use super::{HEADS, NO_CLAMP};
use crate::conditioner::{ConvStyle, ConvWeight, Mixing, OutputActivation};
use crate::reshape::Pattern;
use crate::state_dict::{StateDict, StateDictError};

/// Dropout of the authors' CIFAR-10 model in training; the others have none.
const CIFAR_DROPOUT: f64 = 0.2;

/// The arrays of a file, by the names that both families share.
struct Shapes<'a> {
    state: &'a StateDict,
    family: Family,
}

impl<'a> Shapes<'a> {
    fn find(&self, name: &str) -> Option<&'a [usize]> {
        Some(self.state.get(&self.family.stored(name))?.shape())
    }

    fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The shape of an array with `N` axes.
    fn shape<const N: usize>(&self, name: &str) -> Result<[usize; N], StateDictError> {
        let stored = self.family.stored(name);
        let path = self.state.path().to_path_buf();
        let Some(shape) = self.find(name) else {
            return Err(StateDictError::Missing { path, name: stored });
        };
        shape.try_into().map_err(|_| StateDictError::Undetermined {
            path,
            reason: format!("array `{stored}`: expected {N} axes, found shape {shape:?}"),
        })
    }

    /// The length of an array with one axis.
    fn length(&self, name: &str) -> Result<usize, StateDictError> {
        let [length] = self.shape(name)?;
        Ok(length)
    }

    fn undetermined(&self, reason: String) -> StateDictError {
        StateDictError::Undetermined { path: self.state.path().to_path_buf(), reason }
    }

    /// Number of the names that `name` gives for 0, 1, and so on.
    fn count(&self, name: impl Fn(usize) -> String) -> usize {
        (0..).take_while(|&i| self.has(&name(i))).count()
    }
}

/// Height, width and channels of one half at a coupling.
type HalfShape = [usize; 3];

pub(super) fn config(state: &StateDict) -> Result<FlowPlusPlusConfig, StateDictError> {
    let family = state.names().next().map_or(Family::Cifar, Family::of);
    let shapes = Shapes { state, family };
    let [input, output] = family.projections();
    let norm = |i| format!("{}/norm0/b", numbered("Norm", i));
    let halves = (0..shapes.count(norm))
        .map(|i| shapes.shape::<3>(&norm(i)))
        .collect::<Result<Vec<HalfShape>, _>>()?;

    // The couplings of the noise flow are the first, and the only ones with a context.
    let plain = shapes.count(|i| format!("{}/pos_emb", numbered("MixLogisticCoupling", i)));
    let attentive = |i| numbered("MixLogisticAttnCoupling", i);
    let noisy = |i| format!("{}/block0/conv/a_proj/b", attentive(i));
    let (noise_mixing, n_noise, scopes) = match plain {
        0 => (
            NoiseMixing::AsFlow,
            shapes.count(noisy),
            [attentive(0), attentive(shapes.count(noisy))],
        ),
        _ => (NoiseMixing::None, plain, [numbered("MixLogisticCoupling", 0), attentive(0)]),
    };
    if n_noise == 0 || halves.len() <= n_noise {
        let found = halves.len();
        return Err(shapes.undetermined(format!(
            "expected couplings of a noise flow and of a flow behind them, found {found} couplings, \
             {n_noise} of them with a context"
        )));
    }
    let [noise, main] = scopes.map(|scope| -> Result<Net, StateDictError> {
        Ok(Net {
            n_filters: shapes.length(&format!("{scope}/{input}/b"))?,
            n_blocks: shapes.count(|i| format!("{scope}/block{i}/conv/c1/b")),
            n_outputs: shapes.length(&format!("{scope}/{output}/b"))?,
            scope,
        })
    });
    let (noise, main) = (noise?, main?);
    let [height, half_width, channels] = halves[0];
    let Some(width) = half_width.checked_mul(2) else {
        return Err(shapes.undetermined(format!("a half is {half_width} wide")));
    };
    let image = [channels, height, width];

    let weight = match shapes.has(&format!("{}/{input}/V", main.scope)) {
        true => ConvWeight::WeightNorm,
        false => ConvWeight::Plain,
    };
    let leaf = if weight == ConvWeight::Plain { "W" } else { "V" };
    let [_, _, before_output, _] = shapes.shape(&format!("{}/{output}/{leaf}", main.scope))?;
    let encoder_block =
        match (shapes.has("context_proc/dqattn0/proj1/b"), shapes.has("context_proc/dqln0/b")) {
            (true, _) => EncoderBlock::Attention { heads: HEADS },
            (false, true) => EncoderBlock::NormedConv,
            (false, false) => EncoderBlock::Conv,
        };
    let dequantization = DequantizationConfig::Variational(VariationalConfig {
        pattern: Pattern::Stripes,
        n_couplings: n_noise,
        n_filters: noise.n_filters,
        n_blocks: noise.n_blocks,
        mixing: noise_mixing,
        n_context: shapes.length("context_proc/proj/b")?,
        n_encoder_blocks: shapes.count(|i| format!("context_proc/c{i}/c1/b")),
        encoder_block,
    });
    let law = CouplingLaw::MixLogCdf {
        n_components: components(&shapes, &main, halves[n_noise])?,
        min_log_scale: if family == Family::Cifar { NO_CLAMP } else { -7.0 },
    };
    let dropout = if family == Family::Cifar { CIFAR_DROPOUT } else { 0.0 };
    let stages = released(stages(&shapes, image, &halves[n_noise..])?);
    let config = FlowPlusPlusConfig::new(image, stages, dequantization)
        .with_law(law)
        .with_n_filters(main.n_filters)
        .with_n_blocks(main.n_blocks)
        .with_mixing(Mixing::Attention { heads: HEADS })
        .with_channel_mixing(match shapes.has("Pointwise/W0") {
            true => ChannelMixing::Matrix,
            false => ChannelMixing::None,
        })
        .with_output_activation(match before_output == main.n_filters {
            true => OutputActivation::None,
            false => OutputActivation::ConcatElu,
        })
        .with_style(ConvStyle::new().with_weight(weight).with_dropout(dropout));
    Ok(config)
}

/// Sizes of a coupling's network.
struct Net {
    scope: String,
    n_filters: usize,
    n_blocks: usize,
    n_outputs: usize,
}

/// Components of the mixture: of `2 + 3K` parameters for each channel.
fn components(shapes: &Shapes<'_>, net: &Net, half: HalfShape) -> Result<usize, StateDictError> {
    let (outputs, channels) = (net.n_outputs, half[2]);
    let components = outputs
        .checked_div(channels)
        .and_then(|params| params.checked_sub(2))
        .map(|params| params / 3)
        .filter(|components| channels * (2 + 3 * components) == outputs);
    components.ok_or_else(|| {
        shapes.undetermined(format!(
            "the network of `{}` has {outputs} outputs for {channels} channels, which is not 2 + 3K \
             for each",
            net.scope
        ))
    })
}

/// The stages whose couplings see halves of these shapes.
fn stages(
    shapes: &Shapes<'_>,
    image: [usize; 3],
    halves: &[HalfShape],
) -> Result<Vec<StageConfig>, StateDictError> {
    let mut current = image;
    let mut stages: Vec<StageConfig> = Vec::new();
    for &half in halves {
        let Some((n_squeezes, pattern)) = resolution(current, half) else {
            return Err(shapes.undetermined(format!(
                "a coupling on halves of shape [H, W, C] = {half:?} does not follow one on images of \
                 shape [C, H, W] = {current:?}"
            )));
        };
        for _ in 0..n_squeezes {
            current = squeezed(current).unwrap_or(current);
        }
        match stages.last_mut() {
            Some(stage) if n_squeezes == 0 && stage.pattern == pattern => stage.n_couplings += 1,
            _ => {
                let resolution = match n_squeezes {
                    0 => Resolution::Keep,
                    1 => Resolution::Squeeze,
                    times => Resolution::SqueezeRepeatedly { times },
                };
                stages.push(StageConfig { resolution, pattern, n_couplings: 1 });
            }
        }
    }
    Ok(stages)
}

/// The number of squeezes after which an image has halves of this shape, and their pattern.
fn resolution(mut image: [usize; 3], half: HalfShape) -> Option<(usize, Pattern)> {
    let [height, width, channels] = half;
    for n_squeezes in 0.. {
        let [c, h, w] = image;
        if (c, h) == (channels, height) && Some(w) == width.checked_mul(2) {
            return Some((n_squeezes, Pattern::Stripes));
        }
        if Some(c) == channels.checked_mul(2) && (h, w) == (height, width) {
            return Some((n_squeezes, Pattern::Channels));
        }
        image = squeezed(image)?;
    }
    None
}

fn squeezed([c, h, w]: [usize; 3]) -> Option<[usize; 3]> {
    let is_even = h > 0 && w > 0 && h.is_multiple_of(2) && w.is_multiple_of(2);
    is_even.then_some([c.checked_mul(4)?, h / 2, w / 2])
}

/// The stages of the released model that has these couplings, if there is one: it may divide a stage
/// in two, which makes no difference after an even number of couplings.
fn released(deduced: Vec<StageConfig>) -> Vec<StageConfig> {
    let models = [
        FlowPlusPlusConfig::cifar10(),
        FlowPlusPlusConfig::imagenet32(),
        FlowPlusPlusConfig::imagenet64(),
    ];
    let stages = models.into_iter().map(|model| model.stages);
    stages.into_iter().find(|stages| joined(stages) == deduced).unwrap_or(deduced)
}

/// The same couplings, where stages that differ in nothing are one.
fn joined(stages: &[StageConfig]) -> Vec<StageConfig> {
    let mut joined: Vec<StageConfig> = Vec::new();
    for &stage in stages {
        match joined.last_mut() {
            Some(last)
                if stage.resolution == Resolution::Keep
                    && last.pattern == stage.pattern
                    && last.n_couplings.is_multiple_of(2) =>
            {
                last.n_couplings += stage.n_couplings;
            }
            _ => joined.push(stage),
        }
    }
    joined
}
