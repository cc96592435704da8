//! The arrays of a checkpoint, from models.

use super::Weights;
use super::mixing::{self, Orders};
use super::scope::{FILE, Outputs, Scope, leaf};
use crate::model::glow::{ClassGlow, Glow, GlowClassifier, GlowLayers, GlowLevel, GlowStep, TopPrior};
use crate::state_dict::assign::collect;
use crate::state_dict::{Array, StateDict, StateDictError};

type Arrays = Vec<(String, Array)>;

/// The arrays of a model, as the released code names them, with the last weights and no training
/// state. [`load`](super::load) gives back the same bits, up to matrices in PLU form, which are
/// factored again. Orders of channels are written as 64-bit integers; the released code has 32 bits.
///
/// # Errors
/// If the model has couplings that the released code does not have, or several scales without
/// learned priors; if a parameter is not finite or cannot be copied from its device.
pub fn state_dict(model: &Glow) -> Result<StateDict, StateDictError> {
    layers(&model.bijector).map(StateDict::of)
}

/// The arrays of a class-conditional model and of a classifier on its latents.
///
/// # Errors
/// Those of [`state_dict`].
pub fn state_dict_classes(
    model: &ClassGlow,
    classifier: Option<&GlowClassifier>,
) -> Result<StateDict, StateDictError> {
    let mut arrays = layers(&model.bijector)?;
    if let Some(classifier) = classifier {
        let scope = Scope::model(Weights::Last).within("classifier");
        arrays.extend(collect(classifier, |path, shape| scope.dense(leaf(path), shape))?);
    }
    Ok(StateDict::of(arrays))
}

fn layers((_, scales): &GlowLayers) -> Result<Arrays, StateDictError> {
    let steps = scales.levels.iter().flat_map(|(_, steps, ..)| steps);
    let orders = Orders::of(steps.map(|(_, mixing, _)| mixing))?;
    let deepest = scales.levels.len().saturating_sub(1);
    let mut arrays = Arrays::new();
    for (index, own) in scales.levels.iter().enumerate() {
        if own.2.is_none() && index < deepest {
            let part = "factored-out half without a learned prior".to_owned();
            return Err(StateDictError::Inexpressible { file: FILE, part });
        }
        arrays.extend(level(index, own, orders)?);
    }
    Ok(arrays)
}

fn level(
    index: usize,
    (_, steps, half, top): &GlowLevel,
    orders: Orders,
) -> Result<Arrays, StateDictError> {
    let model = Scope::model(Weights::Last);
    let mut arrays = Arrays::new();
    for (place, own) in steps.iter().enumerate() {
        arrays.extend(step(&model.scale(index).within(place), own, orders)?);
    }
    if let Some(half) = half {
        let scope = model.factor_out(index);
        arrays.extend(collect(half, |path, shape| {
            scope.convolution(leaf(path), shape, Outputs::Interleaved)
        })?);
    }
    if let Some(top) = top {
        arrays.extend(top_prior(&model.within("prior"), top)?);
    }
    Ok(arrays)
}

fn step(
    scope: &Scope,
    (norm, mixing, coupling): &GlowStep,
    orders: Orders,
) -> Result<Arrays, StateDictError> {
    let outputs = Outputs::of(coupling.law.form())?;
    let mut arrays = collect(norm, |path, shape| scope.norm(path, shape))?;
    arrays.extend(mixing::write(scope, mixing, orders)?);
    arrays.extend(collect(coupling, |path, shape| scope.network(path, shape, outputs))?);
    Ok(arrays)
}

fn top_prior(scope: &Scope, top: &TopPrior) -> Result<Arrays, StateDictError> {
    let [conv, classes] = ["p", "y_emb"].map(|name| scope.within(name));
    let mut arrays =
        collect(&top.conv, |path, shape| conv.convolution(path, shape, Outputs::InOrder))?;
    if let Some(layer) = &top.classes {
        arrays.extend(collect(layer, |path, shape| classes.dense(path, shape))?);
    }
    Ok(arrays)
}
