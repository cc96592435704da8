//! The lengths of weights that the authors' convolutions normalise.
//! ```text
//! theirs   W = g·V/(‖V‖ + 1e-10)     convolutions; matrices have no 1e-10
//! ours     W = g·V/‖V‖
//! ```
//! So our `g` is theirs times `‖V‖/(‖V‖ + 1e-10)`, computed and written in float64.

use super::family::Family;
use crate::state_dict::{Array, StateDict, Values};

/// What the authors add to the norm.
const ADDED: f64 = 1e-10;

/// Our lengths, from arrays of the authors.
pub(super) fn ours(state: &StateDict) -> StateDict {
    StateDict::of(scaled(state, |norm| norm / (norm + ADDED)))
}

/// The authors' lengths, from our arrays.
pub(super) fn theirs(state: &StateDict) -> Vec<(String, Array)> {
    // A channel without weights has no length, with and without the addition.
    scaled(state, |norm| if norm > 0.0 { (norm + ADDED) / norm } else { 1.0 })
}

fn scaled(state: &StateDict, factor: impl Fn(f64) -> f64) -> Vec<(String, Array)> {
    let mut scaled = Vec::new();
    let leaf = |name| Family::ImageNet.stored(name);
    for name in state.names() {
        let Some(scope) = name.strip_suffix(leaf("V").as_str()) else { continue };
        let length = format!("{scope}{}", leaf("g"));
        let (Some(direction), Some(array)) = (state.get(name), state.get(&length)) else {
            continue;
        };
        let &[_, _, _, outputs] = direction.shape() else { continue };
        let (Some(direction), Some(lengths)) = (numbers(direction), numbers(array)) else {
            continue;
        };
        // A file with lengths of another number is refused where they are used.
        if array.shape() != [outputs] {
            continue;
        }
        let mut squares = vec![0.0; outputs];
        for (place, value) in direction.iter().enumerate() {
            squares[place % outputs] += value * value;
        }
        let values = lengths.iter().zip(squares);
        let values = values.map(|(length, square)| length * factor(square.sqrt())).collect();
        scaled.push((length, Array::new([outputs], Values::F64(values))));
    }
    scaled
}

fn numbers(array: &Array) -> Option<Vec<f64>> {
    match array.values() {
        Values::F32(values) => Some(values.iter().copied().map(f64::from).collect()),
        Values::F64(values) => Some(values.clone()),
        Values::I64(_) => None,
    }
}
