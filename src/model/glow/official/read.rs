//! Models from checkpoints.

use burn::module::Module;
use burn::tensor::Device;

use super::mixing;
use super::scope::{AVERAGE, Outputs, Scope, ZERO_LAYER, leaf};
use super::Weights;
use crate::bijector::multi_scale::MultiScale;
use crate::error::ConfigError;
use crate::model::glow::{
    ClassGlow, Glow, GlowClassifier, GlowClassifierConfig, GlowConfig, GlowLayers, GlowLevel,
    GlowStep, TopPrior,
};
use crate::state_dict::assign::Assignment;
use crate::state_dict::{StateDict, StateDictError};

/// The model of `config` with the weights of a file. [`config`](super::config) deduces the
/// configuration; a preset such as [`GlowConfig::cifar10`] does as well.
///
/// # Errors
/// If the configuration is invalid, has classes (then [`load_classes`] reads the file) or couplings
/// that the released code does not have; if an array is missing, has another shape than the
/// configuration says, is of integers or not finite; if orders of channels are no permutations; if
/// the file has arrays that the model does not use. The names of the arrays are in the errors.
pub fn load(
    file: &StateDict,
    config: &GlowConfig,
    weights: Weights,
    device: &Device,
) -> Result<Glow, StateDictError> {
    let mut glow = config.build(device).map_err(|error| invalid(file, error))?.without_data();
    let mut reader = Reader::new(file, weights);
    glow.bijector = reader.layers(glow.bijector)?;
    reader.finish()?;
    Ok(glow)
}

/// The class-conditional model of `config`, and the classifier on its latents if the file has one
/// (`--ycond`, `--weight_y`).
///
/// # Errors
/// Those of [`load`]; the configuration must have classes.
pub fn load_classes(
    file: &StateDict,
    config: &GlowConfig,
    weights: Weights,
    device: &Device,
) -> Result<(ClassGlow, Option<GlowClassifier>), StateDictError> {
    let failed = |error| invalid(file, error);
    let mut glow = config.build_classes(device).map_err(failed)?.without_data();
    let mut reader = Reader::new(file, weights);
    glow.bijector = reader.layers(glow.bijector)?;
    let scope = reader.model.within("classifier");
    let classifier = if reader.has_any(&scope) {
        let classifier = GlowClassifierConfig::for_model(config)
            .and_then(|config| config.build(device))
            .map_err(failed)?;
        let naming = |path: &str, shape: &[usize]| scope.dense(leaf(path), shape);
        Some(reader.assignment.fill(classifier, naming)?)
    } else {
        None
    };
    reader.finish()?;
    Ok((glow, classifier))
}

fn invalid(file: &StateDict, error: ConfigError) -> StateDictError {
    StateDictError::Config { path: file.path().into(), source: Box::new(error) }
}

/// A file whose arrays are given to the layers of a model.
struct Reader<'a> {
    assignment: Assignment<'a>,
    model: Scope,
    weights: Weights,
}

impl<'a> Reader<'a> {
    fn new(file: &'a StateDict, weights: Weights) -> Self {
        Self { assignment: Assignment::new(file), model: Scope::model(weights), weights }
    }

    fn layers(&mut self, (centre, scales): GlowLayers) -> Result<GlowLayers, StateDictError> {
        let levels = scales.levels.into_iter().enumerate();
        let levels = levels.map(|(index, level)| self.level(index, level));
        Ok((centre, MultiScale::new(levels.collect::<Result<_, _>>()?)))
    }

    fn level(
        &mut self,
        index: usize,
        (squeeze, steps, half, top): GlowLevel,
    ) -> Result<GlowLevel, StateDictError> {
        let scope = self.model.scale(index);
        let steps = steps.into_iter().enumerate();
        let steps = steps.map(|(step, layers)| self.step(&scope.within(step), layers));
        let steps = steps.collect::<Result<_, _>>()?;
        let scope = self.model.factor_out(index);
        let half = half.map(|half| self.convolution(half, &scope, Outputs::Interleaved));
        let half = half.transpose()?;
        let top = top.map(|top| self.top_prior(top)).transpose()?;
        Ok((squeeze, steps, half, top))
    }

    fn step(
        &mut self,
        scope: &Scope,
        (norm, mixing, coupling): GlowStep,
    ) -> Result<GlowStep, StateDictError> {
        let outputs = Outputs::of(coupling.law.form())?;
        let own = &mut self.assignment;
        let norm = own.fill(norm, |path, shape| scope.norm(path, shape))?;
        let mixing = mixing::read(own, scope, mixing)?;
        let naming = |path: &str, shape: &[usize]| scope.network(path, shape, outputs);
        Ok((norm, mixing, own.fill(coupling, naming)?))
    }

    /// Without `model/prior/p` the convolution keeps its initial zeros.
    fn top_prior(&mut self, mut top: TopPrior) -> Result<TopPrior, StateDictError> {
        let scope = self.model.within("prior");
        let [conv, classes] = ["p", "y_emb"].map(|name| scope.within(name));
        if self.has_any(&conv) {
            top.conv = self.convolution(top.conv, &conv, Outputs::InOrder)?;
        }
        let naming = |path: &str, shape: &[usize]| classes.dense(path, shape);
        let layer = top.classes.map(|layer| self.assignment.fill(layer, naming));
        top.classes = layer.transpose()?;
        Ok(top)
    }

    fn convolution<M: Module>(
        &mut self,
        module: M,
        scope: &Scope,
        outputs: Outputs,
    ) -> Result<M, StateDictError> {
        let naming = |path: &str, shape: &[usize]| scope.convolution(leaf(path), shape, outputs);
        self.assignment.fill(module, naming)
    }

    /// Whether the file has the layer at `scope`, or a part of it.
    fn has_any(&self, scope: &Scope) -> bool {
        ZERO_LAYER.iter().any(|variable| self.assignment.has(&scope.fixed(variable)))
    }

    /// Checks that nothing is left over but the training state.
    fn finish(mut self) -> Result<(), StateDictError> {
        let weights = self.weights;
        self.assignment.leave(|file, name| is_training_state(file, name, weights));
        self.assignment.finish()
    }
}

/// Whether an array is of the optimizer, or the other one of a last weight and its average.
fn is_training_state(file: &StateDict, name: &str, weights: Weights) -> bool {
    if let Some(number) = name.strip_prefix("Variable") {
        let digits = number.strip_prefix('_');
        return number.is_empty()
            || digits.is_some_and(|digits| digits.parse::<u64>().is_ok_and(|number| number > 0));
    }
    let has = |other: &str| file.get(other).is_some();
    match weights {
        Weights::Last => name.strip_suffix(AVERAGE).is_some_and(has),
        Weights::Average => has(&format!("{name}{AVERAGE}")),
    }
}
