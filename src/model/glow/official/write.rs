//! Checkpoints from models, and the arrays of a checkpoint from configurations.

use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;

use super::Weights;
use super::mixing::{self, Orders};
use super::scope::{Outputs, Scope, leaf};
use crate::error::ConfigError;
use crate::model::glow::{
    ClassGlow, Glow, GlowClassifier, GlowConfig, GlowLayers, GlowLevel, GlowMixing,
    GlowPermutation, GlowPrior, GlowStep,
};
use crate::state_dict::assign::{collect, shapes};
use crate::state_dict::slot::Slot;
use crate::state_dict::{Array, StateDict, StateDictError};

/// Writes the weights of a model as an npz file of the released code's variables, uncompressed:
/// either the whole file or nothing. There is no training state in it.
///
/// [`load`](super::load) gives back the same bits, up to matrices in PLU form, which are factored
/// again. Orders of channels are written as 64-bit integers; the released code has 32 bits.
///
/// # Errors
/// [`StateDictError::NotTheAuthors`] for couplings that the released code does not have, or several
/// scales without learned priors; [`StateDictError::NonFiniteParameter`];
/// [`StateDictError::Device`]; [`StateDictError::Write`].
pub fn save(model: &Glow, path: impl AsRef<Path>) -> Result<(), StateDictError> {
    StateDict::of(values(&model.bijector)?).write_npz(path)
}

/// Writes a class-conditional model, and a classifier on its latents if there is one.
///
/// # Errors
/// Those of [`save`].
pub fn save_classes(
    model: &ClassGlow,
    classifier: Option<&GlowClassifier>,
    path: impl AsRef<Path>,
) -> Result<(), StateDictError> {
    let mut arrays = values(&model.bijector)?;
    if let Some(classifier) = classifier {
        let scope = Scope::model(Weights::Last).classifier();
        arrays.extend(collect(classifier, |path, shape| scope.dense(leaf(path), shape))?);
    }
    StateDict::of(arrays).write_npz(path)
}

/// Name and shape of each array in a file of this model, without those of a classifier and of the
/// training state.
///
/// # Errors
/// [`StateDictError::NotTheAuthors`]; [`StateDictError::Config`].
pub fn arrays(config: &GlowConfig) -> Result<Vec<(String, Vec<usize>)>, StateDictError> {
    let device = Device::default();
    let layers = match config.prior {
        GlowPrior::Classes { .. } => {
            config.build_classes(&device).map(|model| model.without_data().bijector)
        }
        GlowPrior::Standard | GlowPrior::Learned => {
            config.build(&device).map(|model| model.without_data().bijector)
        }
    };
    let invalid = |error: ConfigError| StateDictError::Config {
        path: StateDict::new().path().into(),
        source: Box::new(error),
    };
    let orders = match config.permutation {
        GlowPermutation::Reverse => Orders::Reversed,
        _ => Orders::Listed,
    };
    let mut shapes = Shapes { orders, found: vec![] };
    write(&mut shapes, &layers.map_err(invalid)?)?;
    Ok(shapes.found)
}

/// What is collected from each layer that has arrays.
trait Collection {
    /// A layer whose parameters are arrays.
    fn layer<M: Module>(
        &mut self,
        layer: &M,
        naming: impl Fn(&str, &[usize]) -> Slot,
    ) -> Result<(), StateDictError>;

    /// The channel mixing of a step.
    fn mixing(&mut self, scope: &Scope, layer: &GlowMixing) -> Result<(), StateDictError>;
}

/// Their arrays.
struct Values {
    orders: Orders,
    found: Vec<(String, Array)>,
}

impl Collection for Values {
    fn layer<M: Module>(
        &mut self,
        layer: &M,
        naming: impl Fn(&str, &[usize]) -> Slot,
    ) -> Result<(), StateDictError> {
        self.found.extend(collect(layer, naming)?);
        Ok(())
    }

    fn mixing(&mut self, scope: &Scope, layer: &GlowMixing) -> Result<(), StateDictError> {
        self.found.extend(mixing::write(scope, layer, self.orders)?);
        Ok(())
    }
}

/// The shapes of their arrays. Nothing is initialised.
struct Shapes {
    orders: Orders,
    found: Vec<(String, Vec<usize>)>,
}

impl Collection for Shapes {
    fn layer<M: Module>(
        &mut self,
        layer: &M,
        naming: impl Fn(&str, &[usize]) -> Slot,
    ) -> Result<(), StateDictError> {
        self.found.extend(shapes(layer, naming));
        Ok(())
    }

    fn mixing(&mut self, scope: &Scope, layer: &GlowMixing) -> Result<(), StateDictError> {
        self.found.extend(mixing::shapes_of(scope, layer, self.orders));
        Ok(())
    }
}

fn values(layers: &GlowLayers) -> Result<Vec<(String, Array)>, StateDictError> {
    let steps = layers.1.levels.iter().flat_map(|(_, steps, ..)| steps);
    let orders = Orders::of(steps.map(|(_, mixing, _)| mixing))?;
    let mut values = Values { orders, found: vec![] };
    write(&mut values, layers)?;
    Ok(values.found)
}

fn write(into: &mut impl Collection, (_, scales): &GlowLayers) -> Result<(), StateDictError> {
    let deepest = scales.levels.len().saturating_sub(1);
    for (index, own) in scales.levels.iter().enumerate() {
        if own.2.is_none() && index < deepest {
            let (field, expected) = ("prior", "Learned or Classes");
            let found = "Standard".to_owned();
            return Err(StateDictError::NotTheAuthors { field, expected, found });
        }
        level(into, index, own)?;
    }
    Ok(())
}

fn level(
    into: &mut impl Collection,
    index: usize,
    (_, steps, half, top): &GlowLevel,
) -> Result<(), StateDictError> {
    let model = Scope::model(Weights::Last);
    for (place, own) in steps.iter().enumerate() {
        step(into, &model.scale(index).within(place), own)?;
    }
    if let Some(half) = half {
        let scope = model.factor_out(index);
        into.layer(half, |path, shape| scope.convolution(leaf(path), shape, Outputs::Interleaved))?;
    }
    let Some(top) = top else { return Ok(()) };
    let (conv, classes) = (model.top_prior(), model.classes());
    into.layer(&top.conv, |path, shape| conv.convolution(path, shape, Outputs::InOrder))?;
    match &top.classes {
        Some(layer) => into.layer(layer, |path, shape| classes.dense(path, shape)),
        None => Ok(()),
    }
}

fn step(
    into: &mut impl Collection,
    scope: &Scope,
    (norm, mixing, coupling): &GlowStep,
) -> Result<(), StateDictError> {
    let outputs = Outputs::of(coupling.law.form())?;
    into.layer(norm, |path, shape| scope.norm(path, shape))?;
    into.mixing(scope, mixing)?;
    into.layer(coupling, |path, shape| scope.network(path, shape, outputs))
}
