//! Models from checkpoints.

use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;

use super::Weights;
use super::mixing;
use super::scope::{AVERAGE, Outputs, Scope, ZERO_LAYER, leaf};
use crate::bijector::multi_scale::MultiScale;
use crate::flow::uninit::Uninit;
use crate::model::glow::{
    ClassGlow, Glow, GlowClassifier, GlowClassifierConfig, GlowConfig, GlowLayers, GlowLevel,
    GlowStep, TopPrior,
};
use crate::state_dict::assign::Assignment;
use crate::state_dict::{StateDict, StateDictError};

/// The model of `config` with the weights of a file: a preset such as [`GlowConfig::cifar10`], or
/// what [`config()`](super::config) deduces.
///
/// # Errors
/// Those of [`StateDict::read`] and [`fill`]; [`StateDictError::Config`], also if the configuration
/// has classes.
pub fn load(
    path: impl AsRef<Path>,
    config: &GlowConfig,
    weights: Weights,
    device: &Device,
) -> Result<Glow, StateDictError> {
    let file = StateDict::read(path)?;
    let model = config.build(device).map_err(|error| file.invalid(error))?;
    fill(&file, weights, model)
}

/// The class-conditional model of `config` with the weights of a file (`--ycond`), and the
/// classifier on its latents if the file has one (`--weight_y`).
///
/// # Errors
/// Those of [`load`]; the configuration must have classes.
pub fn load_classes(
    path: impl AsRef<Path>,
    config: &GlowConfig,
    weights: Weights,
    device: &Device,
) -> Result<(ClassGlow, Option<GlowClassifier>), StateDictError> {
    let file = StateDict::read(path)?;
    let failed = |error| file.invalid(error);
    let model = config.build_classes(device).map_err(failed)?;
    let classifier = Reader::new(&file, weights)
        .has_any(&Scope::model(weights).classifier())
        .then(|| GlowClassifierConfig::for_model(config).and_then(|config| config.build(device)));
    fill_classes(&file, weights, model, classifier.transpose().map_err(failed)?)
}

/// A model that a configuration built, with the weights of a file, in the type of its parameters.
///
/// # Errors
/// [`StateDictError::NotTheAuthors`] for couplings that the released code does not have;
/// [`StateDictError::Missing`], [`StateDictError::Shape`], [`StateDictError::Integers`],
/// [`StateDictError::NotFinite`] for an array; [`StateDictError::Value`] for an order of channels
/// that is no permutation, or factors of a matrix that has no inverse; [`StateDictError::Unused`]
/// for arrays that the model has no parameter for.
pub fn fill(
    file: &StateDict,
    weights: Weights,
    model: Uninit<Glow>,
) -> Result<Glow, StateDictError> {
    let mut reader = Reader::new(file, weights);
    let model = reader.model(model)?;
    reader.finish()?;
    Ok(model)
}

/// A class-conditional model, and a classifier on its latents, with the weights of a file.
///
/// # Errors
/// Those of [`fill`]. The file must have the arrays of the classifier if there is one, and none of
/// them otherwise.
pub fn fill_classes(
    file: &StateDict,
    weights: Weights,
    model: Uninit<ClassGlow>,
    classifier: Option<GlowClassifier>,
) -> Result<(ClassGlow, Option<GlowClassifier>), StateDictError> {
    let mut reader = Reader::new(file, weights);
    let model = reader.model(model)?;
    let scope = reader.model.classifier();
    let naming = |path: &str, shape: &[usize]| scope.dense(leaf(path), shape);
    let classifier = classifier.map(|classifier| reader.assignment.fill(classifier, naming));
    let classifier = classifier.transpose()?;
    reader.finish()?;
    Ok((model, classifier))
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

    fn model<C>(&mut self, model: Uninit<Glow<C>>) -> Result<Glow<C>, StateDictError> {
        model.initialize_with(|mut model| {
            model.bijector = self.layers(model.bijector)?;
            Ok(model)
        })
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
        let (conv, classes) = (self.model.top_prior(), self.model.classes());
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
