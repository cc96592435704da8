//! Errors of configurations.

use burn::tensor::DType;

use super::ShapeError;
use crate::counted::counted;
use crate::tensor::limit::{MOST_PARAMETERS, MOST_REPEATS, MOST_SIZE};

/// A configuration that breaks a rule, so no module can be built from it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A count or width is 0 but must be at least 1.
    #[error("{config}: `{field}` must be at least 1, found 0")]
    Zero {
        /// Type of the configuration.
        config: &'static str,
        /// Its field.
        field: &'static str,
    },
    /// A size or count exceeds its limit. [`limit`](crate::tensor::limit) gives the reasons for
    /// most limits.
    #[error("{config}: `{field}` must be at most {most}, found {found}")]
    TooLarge {
        /// Type of the configuration.
        config: &'static str,
        /// Its field.
        field: &'static str,
        /// Largest legal value.
        most: usize,
        /// Value that was found.
        found: usize,
    },
    /// More parameters than [`MOST_PARAMETERS`](crate::tensor::limit::MOST_PARAMETERS).
    #[error(
        "{config}: expected at most {most} parameters, found more; the largest size is `{field}` = \
         {found}"
    )]
    TooManyParameters {
        /// Type of the configuration.
        config: &'static str,
        /// The largest of the sizes that determine the number of parameters.
        field: &'static str,
        /// Its value.
        found: usize,
        /// Largest legal number of parameters.
        most: usize,
    },
    /// The members of a stack together have more parameters than
    /// [`MOST_PARAMETERS`](crate::tensor::limit::MOST_PARAMETERS).
    #[error("the layers up to this one: expected at most {most} parameters, found more")]
    StackTooLarge {
        /// Largest legal number of parameters.
        most: usize,
    },
    /// A number lies outside the range for which the module is defined.
    #[error("{config}: `{field}` must lie in {range}, found {found}")]
    OutOfRange {
        /// Type of the configuration.
        config: &'static str,
        /// Its field.
        field: &'static str,
        /// The legal range, in interval notation.
        range: &'static str,
        /// Value that was found.
        found: f64,
    },
    /// The type of a tensor differs from that of the others.
    #[error("{tensor} must have elements of type {expected:?}, found {found:?}")]
    OtherType {
        /// The tensor, and the module it is for.
        tensor: &'static str,
        /// Type of the others.
        expected: DType,
        /// Type that was found.
        found: DType,
    },
    /// A lower bound that is not below its upper bound.
    #[error("{config}: `lower` = {lower} of element {element} must be less than `upper` = {upper}")]
    EmptyInterval {
        /// Type of the configuration.
        config: &'static str,
        /// The element, counted from 0.
        element: usize,
        /// Its lower bound.
        lower: f64,
        /// Its upper bound.
        upper: f64,
    },
    /// An integer must be less than another.
    #[error("{config}: `{field}` = {found} must be less than `{of}` = {limit}")]
    NotBelow {
        /// Type of the configuration.
        config: &'static str,
        /// Its field.
        field: &'static str,
        /// Value that was found.
        found: u64,
        /// The field that it must be less than.
        of: &'static str,
        /// Value of that field.
        limit: u64,
    },
    /// A width must be a multiple of another.
    #[error("{config}: `{field}` = {found} must be a multiple of `{of}` = {factor}")]
    NotMultiple {
        /// Type of the configuration.
        config: &'static str,
        /// Its field.
        field: &'static str,
        /// Value that was found.
        found: usize,
        /// The field that must divide it.
        of: &'static str,
        /// Value of that field.
        factor: usize,
    },
    /// The rest of the configuration does not allow a choice.
    #[error("{config}: `{field}` = {found} needs {needs}")]
    Choice {
        /// Type of the configuration.
        config: &'static str,
        /// Its field.
        field: &'static str,
        /// What was chosen.
        found: &'static str,
        /// What the choice requires.
        needs: &'static str,
    },
    /// A list of indices does not contain each of `0..n` once.
    #[error("{config}: `{field}` must contain each index of 0..{n} exactly once, found {found:?}")]
    NotPermutation {
        /// Type of the configuration.
        config: &'static str,
        /// Its field.
        field: &'static str,
        /// Number of indices.
        n: usize,
        /// Indices that were found.
        found: Vec<usize>,
    },
    /// A list of indices contains one of them twice.
    #[error("{config}: `{field}` must contain each index once, found {found:?}")]
    RepeatedIndex {
        /// Type of the configuration.
        config: &'static str,
        /// Its field.
        field: &'static str,
        /// Indices that were found.
        found: Vec<usize>,
    },
    /// The number of entries of a list differs from the number of elements.
    #[error("{config}: `{field}` must have {}, found {found}", counted(*expected, "entry"))]
    Length {
        /// Type of the configuration.
        config: &'static str,
        /// Its field.
        field: &'static str,
        /// Number of elements.
        expected: usize,
        /// Number of entries.
        found: usize,
    },
    /// A mask whose identity half or transformed half is empty.
    #[error(
        "{config}: the mask leaves {identity} of {} unchanged; at least one must be unchanged and \
         one transformed",
        counted(*total, "element")
    )]
    OneSided {
        /// Type of the configuration.
        config: &'static str,
        /// Number of elements that pass unchanged.
        identity: usize,
        /// Number of all elements.
        total: usize,
    },
    /// More levels of discrete data than a type can represent with noise.
    #[error(
        "{config}: `n_levels` must be at most {most} in {dtype:?}, found {found}: with fewer than \
         256 values of the type in each level, a flow could assign density to single values, and \
         the result would not be a bound; use a float64 flow and `with_dtype(DType::F64)`, or \
         fewer bits"
    )]
    Levels {
        /// Type of the configuration.
        config: &'static str,
        /// Number of levels in the configuration.
        found: usize,
        /// Type that the flow computes in.
        dtype: DType,
        /// Largest number of levels that it allows.
        most: usize,
    },
    /// The number of outputs of a network does not fit the law.
    #[error(
        "{network}: expected {} of the law for each element, found {found}",
        counted(*expected, "parameter")
    )]
    Parameters {
        /// Type of the network.
        network: &'static str,
        /// Parameters of the law for each element.
        expected: usize,
        /// Parameters that the network outputs for each element.
        found: usize,
    },
    /// Initial parameters for which components of a law are equal.
    #[error(
        "{network}: components {first} and {second} of {law} have equal initial parameters; their \
         gradients would be equal too, so the components would never separate; leave `theta_init` \
         out to use the law's initial values, and initialise the last layer of a network of your \
         own to `NetSite::theta_init`"
    )]
    EqualComponents {
        /// Type of the network, or of the configuration that sets the initial parameters.
        network: &'static str,
        /// Type of the law.
        law: &'static str,
        /// The first of two equal components, counted from 0.
        first: usize,
        /// The second.
        second: usize,
    },
    /// Components of a mixture that are equal.
    #[error(
        "{config}: components {first} and {second} have equal means and scales; their gradients \
         would be equal too, so the components would never separate"
    )]
    SameComponents {
        /// The mixture.
        config: &'static str,
        /// The first of two equal components, counted from 0.
        first: usize,
        /// The second.
        second: usize,
    },
    /// An autoregressive layer of one element, with an affine law and no condition: its scale and
    /// shift are constants.
    #[error(
        "{config}: with one element, an affine law and no condition, every choice of parameters \
         gives a normal distribution; use a nonlinear law (`RationalQuadraticSpline`, `MixLogCdf` \
         with at least 2 components), or give a condition"
    )]
    OnlyNormal {
        /// Type of the configuration or network.
        config: &'static str,
    },
    /// Couplings of a vector with one element, which has no second half.
    #[error(
        "{config}: a vector of one element has no two halves; use `MafConfig` with a nonlinear \
         law, or `NsfConfig`"
    )]
    OneElement {
        /// Type of the configuration.
        config: &'static str,
    },
    /// An error of a part of a configuration, and the place of the part.
    #[error("{path}: {error}")]
    At {
        /// Place of the part, from the outermost configuration inwards: `[1][3].coupling`.
        path: String,
        /// The error of the part.
        error: Box<Self>,
    },
    /// The layers do not fit the data or each other.
    #[error(transparent)]
    Shape(ShapeError),
}

/// The place of a member becomes the place of the configuration's part.
impl From<ShapeError> for ConfigError {
    fn from(error: ShapeError) -> Self {
        match error {
            ShapeError::At { path, error } => Self::Shape(*error).at(path),
            error => Self::Shape(error),
        }
    }
}

impl ConfigError {
    /// This error, with `place` put before its path: `[1]` for a member of a list, `.law` for a
    /// field.
    pub fn at(self, place: impl std::fmt::Display) -> Self {
        match self {
            Self::At { path, error } => Self::At { path: format!("{place}{path}"), error },
            error => Self::At { path: place.to_string(), error: Box::new(error) },
        }
    }

    /// `Ok` for a width, a side or another size of at least 1 and at most [`MOST_SIZE`].
    pub(crate) fn positive(
        config: &'static str,
        field: &'static str,
        value: usize,
    ) -> Result<(), Self> {
        Self::counted(config, field, value, MOST_SIZE)
    }

    /// `Ok` for a number of layers, blocks, components or bins, of at least 1 and at most
    /// [`MOST_REPEATS`].
    pub(crate) fn repeated(
        config: &'static str,
        field: &'static str,
        value: usize,
    ) -> Result<(), Self> {
        Self::counted(config, field, value, MOST_REPEATS)
    }

    /// `Ok` when `value` is at least 1 and at most `most`.
    pub(crate) fn counted(
        config: &'static str,
        field: &'static str,
        value: usize,
        most: usize,
    ) -> Result<(), Self> {
        if value == 0 {
            Err(Self::Zero { config, field })
        } else {
            Self::at_most(config, field, value, most)
        }
    }

    /// `Ok` when `value` is at most `most`.
    pub(crate) fn at_most(
        config: &'static str,
        field: &'static str,
        value: usize,
        most: usize,
    ) -> Result<(), Self> {
        if value <= most {
            Ok(())
        } else {
            Err(Self::TooLarge { config, field, most, found: value })
        }
    }

    /// Returns the number of parameters `total` if it is at most [`MOST_PARAMETERS`]. `fields` are
    /// the sizes that determine it.
    pub(crate) fn parameters<const N: usize>(
        config: &'static str,
        total: usize,
        fields: [(&'static str, usize); N],
    ) -> Result<usize, Self> {
        if total <= MOST_PARAMETERS {
            return Ok(total);
        }
        let (field, found) =
            fields.into_iter().max_by_key(|(_, value)| *value).unwrap_or(("", total));
        Err(Self::TooManyParameters { config, field, found, most: MOST_PARAMETERS })
    }

    /// `Ok` when `value` is a probability below 1.
    pub(crate) fn dropout(config: &'static str, value: f64) -> Result<(), Self> {
        Self::below_one(config, "dropout", value)
    }

    /// `Ok` when `value` lies in `[0, 1)`.
    pub(crate) fn below_one(
        config: &'static str,
        field: &'static str,
        value: f64,
    ) -> Result<(), Self> {
        Self::within(config, field, "[0, 1)", value, (0.0..1.0).contains(&value))
    }

    /// `Ok` when `value` is positive and finite.
    pub(crate) fn positive_finite(
        config: &'static str,
        field: &'static str,
        value: f64,
    ) -> Result<(), Self> {
        Self::within(config, field, "(0, ∞)", value, value > 0.0 && value.is_finite())
    }

    /// `Ok` when `legal`, which states whether `found` lies in `range`.
    pub(crate) fn within(
        config: &'static str,
        field: &'static str,
        range: &'static str,
        found: f64,
        legal: bool,
    ) -> Result<(), Self> {
        if legal { Ok(()) } else { Err(Self::OutOfRange { config, field, range, found }) }
    }
}
