//! A name that no preset of a model has.

/// A name that no preset has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no preset is named `{name}`; there are {}", known.join(", "))]
pub struct UnknownPreset {
    /// The unknown name.
    pub name: String,
    /// The names of all presets of the model.
    pub known: Vec<String>,
}

/// The preset of this name among `all`.
pub(super) fn named<P: ToString, const N: usize>(
    all: [P; N],
    name: &str,
) -> Result<P, UnknownPreset> {
    let known: Vec<String> = all.iter().map(P::to_string).collect();
    let found = all.into_iter().zip(&known).find(|(_, own)| *own == name);
    match found {
        Some((preset, _)) => Ok(preset),
        None => Err(UnknownPreset { name: name.into(), known }),
    }
}
