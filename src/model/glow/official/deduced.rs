//! The configuration of a model, from the names and shapes of its arrays.

use std::collections::BTreeSet;

use super::Weights;
use super::scope::Scope;
use crate::conditioner::zero_conv;
use crate::model::glow::{GlowConfig, GlowCoupling, GlowPermutation, GlowPrior};
use crate::state_dict::{StateDict, StateDictError};

/// The configuration of the model in a file, for images of `[height, width]` pixels with `n_levels`
/// levels each (256 for 8 bits, 32 for 5). These two the file does not show.
///
/// | setting | from |
/// |---|---|
/// | `n_scales`, `n_steps` | the largest `i` and `j` of the names `model/i/j/...` |
/// | channels of the image | a quarter of those of the first norm |
/// | `n_filters` | outputs of the first network's first layer |
/// | `coupling` | outputs of that network: as many as the step has channels if it is affine, half as many if it is additive |
/// | `permutation` | the arrays of the first step: `invconv/W`, `invconv/L`, `shuffle/indices`, or none: reversed |
/// | `prior` | `Classes` if there is `model/prior/y_emb`, otherwise `Learned` |
///
/// The seed of [`GlowPermutation::Shuffle`] is 0: [`load`](super::load) takes the orders from the
/// file.
///
/// # Errors
/// [`StateDictError::Missing`] and [`StateDictError::Undetermined`] for an array that a setting is
/// read from; [`StateDictError::Config`] if the settings break a rule of [`GlowConfig`];
/// [`StateDictError::Undetermined`] if the file has less than half of the numbers of the model.
/// [`fill`](super::fill) checks all arrays.
pub fn config(
    file: &StateDict,
    [height, width]: [usize; 2],
    n_levels: usize,
) -> Result<GlowConfig, StateDictError> {
    let model = Scope::model(Weights::Last);
    let steps: BTreeSet<(usize, usize)> = file.names().filter_map(step).collect();
    let places = |of: fn(&(usize, usize)) -> usize| steps.iter().map(of).max();
    let (Some(scale), Some(step)) = (places(|place| place.0), places(|place| place.1)) else {
        return Err(undetermined(file, "expected arrays `model/0/0/...`, found none".into()));
    };
    let first = model.scale(0).within(0);
    let channels = last_side(file, &first.within("actnorm_center").fixed("b"))?;
    if !channels.is_multiple_of(4) {
        let reason =
            format!("expected a multiple of 4 channels in the first scale, found {channels}");
        return Err(undetermined(file, reason));
    }
    let network = first.within("f1");
    let n_filters = last_side(file, &network.within("l_1").fixed("W"))?;
    let outputs = last_side(file, &network.within("l_last").fixed("W"))?;
    let coupling = match outputs {
        _ if outputs == channels => GlowCoupling::Affine,
        _ if outputs == channels / 2 => GlowCoupling::Additive,
        _ => {
            let (name, half) = (network.within("l_last").fixed("W"), channels / 2);
            let reason =
                format!("array `{name}`: expected {half} or {channels} outputs, found {outputs}");
            return Err(undetermined(file, reason));
        }
    };
    let has = |name: String| file.get(&name).is_some();
    let permutation = match first.within("invconv") {
        matrix if has(matrix.fixed("W")) => GlowPermutation::Matrix,
        matrix if has(matrix.fixed("L")) => GlowPermutation::Plu,
        _ if has(first.within("shuffle").fixed("indices")) => GlowPermutation::Shuffle { seed: 0 },
        _ => GlowPermutation::Reverse,
    };
    let classes = model.classes().fixed("W");
    let prior = match file.get(&classes) {
        None => GlowPrior::Learned,
        Some(array) => match *array.shape() {
            [n_classes, _] => GlowPrior::Classes { n_classes },
            ref found => {
                let reason = format!("array `{classes}`: expected two axes, found shape {found:?}");
                return Err(undetermined(file, reason));
            }
        },
    };
    let [n_scales, n_steps] = [scale, step].map(|largest| largest.saturating_add(1));
    let config = GlowConfig::new([channels / 4, height, width], n_scales, n_steps)
        .with_n_levels(n_levels)
        .with_coupling(coupling)
        .with_permutation(permutation)
        .with_n_filters(n_filters)
        .with_prior(prior);
    check_size(file, &model, &config)?;
    Ok(config)
}

/// Checks the configuration, and that the file is about as large as the model: a few names claim
/// any size.
fn check_size(file: &StateDict, model: &Scope, config: &GlowConfig) -> Result<(), StateDictError> {
    let claimed = config.num_params().map_err(|error| file.invalid(error))?;
    let absent = match file.get(&model.top_prior().fixed("W")) {
        Some(_) => 0,
        None => {
            let sides = 2 * config.top_channels();
            zero_conv::count(sides, sides)
        }
    };
    file.check_claim(claimed - absent, 2)
}

/// Scale and step of an array.
fn step(name: &str) -> Option<(usize, usize)> {
    let mut parts = name.strip_prefix("model/")?.split('/');
    let mut index = || parts.next()?.parse().ok();
    Some((index()?, index()?))
}

/// The last side of an array, which must have one.
fn last_side(file: &StateDict, name: &str) -> Result<usize, StateDictError> {
    let array = file.get(name).ok_or_else(|| StateDictError::Missing {
        path: file.path().into(),
        name: name.to_owned(),
    })?;
    array.shape().last().copied().ok_or_else(|| {
        undetermined(file, format!("array `{name}`: expected several axes, found a single number"))
    })
}

fn undetermined(file: &StateDict, reason: String) -> StateDictError {
    StateDictError::Undetermined { path: file.path().into(), reason }
}
