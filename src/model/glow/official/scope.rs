//! Variable scopes of the released code: the names of their arrays, their shapes and layouts.

use std::fmt::Display;

use super::Weights;
use crate::law::AffineForm;
use crate::state_dict::StateDictError;
use crate::state_dict::slot::{Part, Slot};

/// The order of the outputs of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outputs {
    /// As in the file.
    InOrder,
    /// The file has the shift of channel `c` at `2c` and its log-scale at `2c + 1`. The parameter
    /// has all log-scales first.
    Interleaved,
}

impl Outputs {
    /// Those of the network of a coupling.
    pub(super) fn of(form: AffineForm) -> Result<Self, StateDictError> {
        match form {
            AffineForm::Additive => Ok(Self::InOrder),
            AffineForm::Sigmoid => Ok(Self::Interleaved),
            AffineForm::Exponential | AffineForm::Bounded | AffineForm::Normal => {
                let (field, expected) = ("coupling", "Additive or Affine");
                Err(StateDictError::NotTheAuthors { field, expected, found: format!("{form:?}") })
            }
        }
    }

    /// The part with the outputs, which are on its first axis, in the order of the parameter.
    fn ordered(self, part: Part, n: usize) -> Slot {
        Slot::of(match self {
            Self::InOrder => part,
            Self::Interleaved => {
                let pairs = 0..n / 2;
                let shifts = pairs.clone().map(|channel| 2 * channel);
                part.with_rows(pairs.map(|channel| 2 * channel + 1).chain(shifts).collect())
            }
        })
    }
}

/// The arrays of a convolution or a dense layer with initial weights of zero.
pub(super) const ZERO_LAYER: [&str; 3] = ["W", "b", "logs"];

/// What TensorFlow appends to the name of a variable for its moving average.
pub(super) const AVERAGE: &str = "/ExponentialMovingAverage";

/// The path of variables, and which of their values are meant.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    path: String,
    weights: Weights,
}

impl Scope {
    /// That of the whole model.
    pub(super) fn model(weights: Weights) -> Self {
        Self { path: "model".into(), weights }
    }

    /// That of scale `index`.
    pub(super) fn scale(&self, index: usize) -> Self {
        self.within(index)
    }

    /// That of the prior of the half that scale `index` factors out.
    pub(super) fn factor_out(&self, index: usize) -> Self {
        self.within(format_args!("pool{index}")).within("conv")
    }

    /// That of the convolution of the top prior.
    pub(super) fn top_prior(&self) -> Self {
        self.within("prior").within("p")
    }

    /// That of the classes of the top prior.
    pub(super) fn classes(&self) -> Self {
        self.within("prior").within("y_emb")
    }

    /// That of the classifier.
    pub(super) fn classifier(&self) -> Self {
        self.within("classifier")
    }

    /// That of `name` in this one.
    pub(super) fn within(&self, name: impl Display) -> Self {
        Self { path: format!("{}/{name}", self.path), ..*self }
    }

    /// The name of a trained variable.
    pub(super) fn trained(&self, variable: &str) -> String {
        match self.weights {
            Weights::Last => self.fixed(variable),
            Weights::Average => format!("{}{AVERAGE}", self.fixed(variable)),
        }
    }

    /// The name of a variable that is not trained and has no average.
    pub(super) fn fixed(&self, variable: &str) -> String {
        format!("{}/{variable}", self.path)
    }

    /// A norm, whose shift and scale have scopes of their own.
    pub(super) fn norm(&self, leaf: &str, shape: &[usize]) -> Slot {
        let (scope, variable) = match leaf {
            "bias" => ("actnorm_center", "b"),
            "log_scale" => ("actnorm_scale", "logs"),
            _ => unreachable!("a norm has no parameter {leaf}"),
        };
        Slot::of(Part::new(self.within(scope).trained(variable), [1, 1, 1, shape[1]]))
    }

    /// The plain matrix of a step.
    pub(super) fn matrix(&self, shape: &[usize]) -> Slot {
        let sides = [shape[1], shape[2]];
        Slot::of(Part::new(self.within("invconv").trained("W"), sides).permuted([1, 0]))
    }

    /// The network of a coupling, by the path of its parameter in the coupling.
    pub(super) fn network(&self, path: &str, shape: &[usize], outputs: Outputs) -> Slot {
        let scope = self.within("f1");
        let parts: Vec<&str> = path.split('.').collect();
        let ["conditioner", "net", layer, rest @ ..] = parts.as_slice() else {
            unreachable!("a coupling has no parameter {path}")
        };
        match (*layer, rest) {
            ("input", rest) => scope.within("l_1").normed_convolution(rest, shape),
            ("inner", rest) => scope.within("l_2").normed_convolution(rest, shape),
            ("output", [leaf]) => scope.within("l_last").convolution(leaf, shape, outputs),
            _ => unreachable!("a network has no parameter {path}"),
        }
    }

    fn normed_convolution(&self, path: &[&str], shape: &[usize]) -> Slot {
        match path {
            ["weight"] => self.convolution("weight", shape, Outputs::InOrder),
            ["norm", leaf] => self.norm(leaf, shape),
            _ => unreachable!("a convolution with a norm has no parameter {path:?}"),
        }
    }

    /// A convolution, by the last name of the path of its parameter.
    pub(super) fn convolution(&self, leaf: &str, shape: &[usize], outputs: Outputs) -> Slot {
        let n = shape[0];
        let part = match leaf {
            "weight" => Part::new(self.trained("W"), [shape[2], shape[3], shape[1], n])
                .permuted([3, 2, 0, 1]),
            "bias" => Part::new(self.trained("b"), [1, 1, 1, n]).permuted([3, 0, 1, 2]),
            "log_scale" => Part::new(self.trained("logs"), [1, n]).permuted([1, 0]),
            _ => unreachable!("a convolution has no parameter {leaf}"),
        };
        outputs.ordered(part, n)
    }

    /// A dense layer.
    pub(super) fn dense(&self, leaf: &str, shape: &[usize]) -> Slot {
        Slot::of(match leaf {
            "weight" => Part::new(self.trained("W"), shape),
            "bias" => Part::new(self.trained("b"), [1, shape[0]]),
            "log_scale" => Part::new(self.trained("logs"), [1, shape[0]]),
            _ => unreachable!("a dense layer has no parameter {leaf}"),
        })
    }
}

/// The last name of a path.
pub(super) fn leaf(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}
