//! Why a batch cannot initialise a layer.

/// Why a batch cannot initialise a layer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InitProblem {
    /// Too few values: a variance needs at least two.
    #[error("a variance requires at least 2 values for each {what}, the batch has {found}")]
    TooFew {
        /// What has the variance: `"channel"`, or `"element"` of an example.
        what: &'static str,
        /// Number of values of each in the batch.
        found: usize,
    },
    /// A channel is constant, and the norm is configured to refuse constant channels.
    #[error(
        "{what} {index} is constant in the batch, with mean {value} and standard deviation \
         {deviation}"
    )]
    Constant {
        /// `"channel"`, or `"element"` of an example.
        what: &'static str,
        /// Its index, from 0.
        index: usize,
        /// Its mean.
        value: f64,
        /// Its deviation.
        deviation: f64,
    },
    /// The input of a norm has no finite mean or variance.
    #[error("{what} {index} has no finite variance: its mean is {mean}")]
    NoMoments {
        /// `"channel"`, or `"element"` of an example.
        what: &'static str,
        /// Its index, from 0.
        index: usize,
        /// Its mean.
        mean: f64,
    },
    /// A parameter was initialised to NaN or an infinity.
    #[error("`{parameter}` was initialised to {value} at index {index}")]
    Parameter {
        /// Path of the parameter within the layer.
        parameter: String,
        /// Index of the first such element, in memory order. For a parameter with one element per
        /// channel, this is the channel.
        index: usize,
        /// The value there.
        value: f64,
    },
    /// The output of the initialised layer for the batch is not finite.
    #[error("its output is {value} in example {example}, channel {channel}")]
    Output {
        /// First example with such an element.
        example: usize,
        /// Its channel: index along axis 1.
        channel: usize,
        /// The value.
        value: f64,
    },
    /// The output of a network that is not a layer, such as a dequantization's, is not finite.
    #[error("its output is not finite")]
    Network,
}
