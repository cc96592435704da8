//! The authors' name and layout of each parameter.

use super::super::config::FlowPlusPlusConfig;
use super::super::{DequantizationConfig, NoiseMixing};
use super::family::Family;
use crate::conditioner::ConvWeight;
use crate::state_dict::slot::{Part, Slot};

/// The scale that the authors compute with where `g` is below it.
const SMALLEST_SCALE: f64 = 1e-10;

/// What the names of a model depend on.
#[derive(Debug, Clone)]
pub(super) struct Names {
    family: Family,
    weight: ConvWeight,
    /// Couplings of the noise flow, which are counted first.
    n_noise: usize,
    noise_attention: bool,
    /// Number of the first coupling of each stage.
    stages: Vec<usize>,
    /// Parameters of the law for each element.
    n_params: usize,
}

impl Names {
    /// Those of a model that the family can store.
    pub(super) fn new(family: Family, config: &FlowPlusPlusConfig, n_params: usize) -> Self {
        let (n_noise, noise_attention) = match config.dequantization {
            DequantizationConfig::Variational(noise) => {
                (noise.n_couplings, noise.mixing == NoiseMixing::AsFlow)
            }
            DequantizationConfig::Uniform => (0, false),
        };
        let stages = config.stages.iter().scan(n_noise, |next, stage| {
            let first = *next;
            *next += stage.n_couplings;
            Some(first)
        });
        let (stages, weight) = (stages.collect(), config.style.weight);
        Self { family, weight, n_noise, noise_attention, stages, n_params }
    }

    /// The arrays of the parameter at `path`, of shape `shape`.
    pub(super) fn slot(&self, path: &str, shape: &[usize]) -> Slot {
        let parts: Vec<&str> = path.split('.').collect();
        match parts.as_slice() {
            ["surjection", "Variational", "encoder", "net", rest @ ..] => {
                Slot::of(self.encoder(rest, shape))
            }
            ["surjection", "Variational", "flow", "1", i, rest @ ..] => {
                self.step(index(i), rest, shape)
            }
            ["bijector", "1", stage, "steps", i, rest @ ..] => {
                self.step(self.stages[index(stage)] + index(i), rest, shape)
            }
            _ => unreachable!("Flow++ has no parameter {path}"),
        }
    }

    /// Position embeddings of couplings without attention, which the authors store and nothing
    /// reads: their names and shapes.
    pub(super) fn unread(&self, config: &FlowPlusPlusConfig) -> Vec<(String, [usize; 3])> {
        let DequantizationConfig::Variational(noise) = config.dequantization else {
            return vec![];
        };
        if self.noise_attention {
            return vec![];
        }
        let [_, height, width] = config.image;
        let name = |i| self.name(format!("{}/pos_emb", self.coupling(i)));
        (0..self.n_noise).map(|i| (name(i), [height, width / 2, noise.n_filters])).collect()
    }

    fn name(&self, name: String) -> String {
        self.family.stored(&name)
    }

    /// The scope of a coupling, by its number in the whole model.
    fn coupling(&self, number: usize) -> String {
        match (self.noise_attention, number.checked_sub(self.n_noise)) {
            (true, _) => numbered("MixLogisticAttnCoupling", number),
            (false, None) => numbered("MixLogisticCoupling", number),
            (false, Some(number)) => numbered("MixLogisticAttnCoupling", number),
        }
    }

    /// Norm, channel matrix and coupling.
    fn step(&self, number: usize, path: &[&str], shape: &[usize]) -> Slot {
        match path {
            ["0", leaf @ ("log_scale" | "bias")] => {
                let (theirs, scope) =
                    ([shape[2], shape[3], shape[1] / 2], numbered("Norm", number));
                Slot::joined([0, 1].map(|half| {
                    let part = |leaf| {
                        let name = self.name(format!("{scope}/norm{half}/{leaf}"));
                        Part::new(name, theirs).permuted([2, 0, 1])
                    };
                    if *leaf == "bias" {
                        part("b")
                    } else {
                        part("g").ln_of_at_least(SMALLEST_SCALE)
                    }
                }))
            }
            ["1", "matrices"] => {
                let scope = numbered("Pointwise", number);
                Slot::joined([0, 1].map(|half| {
                    let name = self.name(format!("{scope}/W{half}"));
                    Part::new(name, [shape[1], shape[2]]).permuted([1, 0])
                }))
            }
            ["2", "conditioner", "net", rest @ ..] => {
                Slot::of(self.net(&self.coupling(number), rest, shape))
            }
            _ => unreachable!("a step of Flow++ has no parameter {path:?}"),
        }
    }

    /// The network of a coupling.
    fn net(&self, scope: &str, path: &[&str], shape: &[usize]) -> Part {
        let [input, output] = self.family.projections();
        match path {
            ["positions"] => self.positions(&format!("{scope}/pos_emb"), shape),
            ["input", leaf @ ..] => self.conv(&format!("{scope}/{input}"), leaf, shape),
            ["output", leaf @ ..] => {
                let part = self.conv(&format!("{scope}/{output}"), leaf, shape);
                // Theirs are ordered by channel, then by parameter of the law.
                let (rows, params) = (shape[0], self.n_params);
                let channels = rows / params;
                part.with_rows(
                    (0..rows).map(|row| row % channels * params + row / channels).collect(),
                )
            }
            ["blocks", i, rest @ ..] => {
                let scope = format!("{scope}/block{i}");
                match rest {
                    ["conv", "context", leaf @ ..] => {
                        self.dense(&format!("{scope}/conv/a_proj"), leaf, shape)
                    }
                    ["conv", "inner", leaf @ ..] => {
                        self.conv(&format!("{scope}/conv/c1"), leaf, shape)
                    }
                    ["conv", "gate", leaf @ ..] => {
                        self.dense(&format!("{scope}/conv/c2"), leaf, shape)
                    }
                    ["attention", rest @ ..] => {
                        self.attention(&format!("{scope}/attn"), rest, shape)
                    }
                    ["conv_norm", leaf] => self.norm(&format!("{scope}/ln1"), leaf, shape),
                    ["attention_norm", leaf] => self.norm(&format!("{scope}/ln2"), leaf, shape),
                    _ => unreachable!("a block of Flow++ has no parameter {rest:?}"),
                }
            }
            _ => unreachable!("a network of Flow++ has no parameter {path:?}"),
        }
    }

    /// The network that computes the context of the noise flow.
    fn encoder(&self, path: &[&str], shape: &[usize]) -> Part {
        let scope = "context_proc";
        let conv = |i: &str, rest: &[&str]| match rest {
            ["inner", leaf @ ..] => self.conv(&format!("{scope}/c{i}/c1"), leaf, shape),
            ["gate", leaf @ ..] => self.conv(&format!("{scope}/c{i}/c2"), leaf, shape),
            _ => unreachable!("a gated convolution of the encoder has no parameter {rest:?}"),
        };
        match path {
            ["positions"] => self.positions(&format!("{scope}/pos_emb_dq"), shape),
            ["input", leaf @ ..] => self.conv(&format!("{scope}/proj"), leaf, shape),
            ["blocks", i, rest @ ..] | ["normed_blocks", i, "conv", rest @ ..] => conv(i, rest),
            ["normed_blocks", i, "conv_norm", leaf] => {
                self.norm(&format!("{scope}/dqln{i}"), leaf, shape)
            }
            ["normed_blocks", i, "attention", rest @ ..] => {
                self.attention(&format!("{scope}/dqattn{i}"), rest, shape)
            }
            ["normed_blocks", i, "attention_norm", leaf] => {
                self.norm(&format!("{scope}/ln{i}"), leaf, shape)
            }
            _ => unreachable!("the encoder of Flow++ has no parameter {path:?}"),
        }
    }

    fn attention(&self, scope: &str, path: &[&str], shape: &[usize]) -> Part {
        match path {
            ["projection", leaf @ ..] => self.dense(&format!("{scope}/proj1"), leaf, shape),
            ["gate", leaf @ ..] => self.dense(&format!("{scope}/proj2"), leaf, shape),
            _ => unreachable!("gated attention has no parameter {path:?}"),
        }
    }

    /// `[1, F, H, W]`, there `[H, W, F]`.
    fn positions(&self, name: &str, shape: &[usize]) -> Part {
        let theirs = [shape[2], shape[3], shape[1]];
        Part::new(self.name(name.to_owned()), theirs).permuted([2, 0, 1])
    }

    /// Gain and bias of a norm over channels.
    fn norm(&self, scope: &str, leaf: &str, shape: &[usize]) -> Part {
        let leaf = if leaf == "gain" { "g" } else { "b" };
        // `[1, F, 1, 1]` here.
        let channels = shape.iter().product();
        Part::new(self.name(format!("{scope}/{leaf}")), self.family.norm_shape(channels))
    }

    /// A convolution: `[out, in, k, k]`, there `[k, k, in, out]`.
    fn conv(&self, scope: &str, leaf: &[&str], shape: &[usize]) -> Part {
        match shape {
            &[outputs, inputs, height, width] => {
                let theirs = [height, width, inputs, outputs];
                Part::new(self.weight(scope), theirs).permuted([3, 2, 0, 1])
            }
            _ => self.of_channels(scope, leaf, shape),
        }
    }

    /// A 1x1 convolution, there a matrix `[in, out]`.
    fn dense(&self, scope: &str, leaf: &[&str], shape: &[usize]) -> Part {
        match shape {
            &[outputs, inputs, 1, 1] => {
                Part::new(self.weight(scope), [inputs, outputs]).permuted([1, 0])
            }
            _ => self.of_channels(scope, leaf, shape),
        }
    }

    fn weight(&self, scope: &str) -> String {
        let leaf = if self.weight == ConvWeight::Plain { "W" } else { "V" };
        self.name(format!("{scope}/{leaf}"))
    }

    /// Bias, or length of the weights, of each output channel.
    fn of_channels(&self, scope: &str, leaf: &[&str], shape: &[usize]) -> Part {
        let leaf = if leaf == ["gain"] { "g" } else { "b" };
        Part::new(self.name(format!("{scope}/{leaf}")), shape)
    }
}

/// The scope of the `number`-th layer of a kind: TensorFlow leaves out the first number.
pub(super) fn numbered(kind: &str, number: usize) -> String {
    if number == 0 { kind.to_owned() } else { format!("{kind}_{number}") }
}

/// A segment of a path that burn made from an index.
fn index(segment: &str) -> usize {
    segment.parse().unwrap_or_else(|_| unreachable!("`{segment}` is no index"))
}
