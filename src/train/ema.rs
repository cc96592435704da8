//! Exponential moving average: the weights to evaluate, smoother than the weights being trained.
//!
//! ```text
//! average ← average − (1 − d_t)·(average − parameter)
//! d_t = decay                                  constant
//! d_t = min(decay, (1 + t) / (10 + t))         warmed, t = updates already done
//! ```
//! The average starts at the parameters themselves, so there is no bias to correct. It is written
//! as a step towards the parameter, so equal values stay equal bit for bit.
//!
//! # Reference
//! Polyak & Juditsky 1992; the warmed decay is the `num_updates` rule of TensorFlow's
//! `ExponentialMovingAverage`. Flow++ uses a constant decay of 0.999 for all trained parameters.

use std::any::Any;
use std::collections::{HashMap, VecDeque};

use burn::backend::DispatchTensor;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Bool, Int, Tensor};
use serde::{Deserialize, Serialize};

use super::error::TrainError;
use crate::error::ConfigError;
use crate::kernel::moving_average;
use crate::tensor::parameter_path::ParameterPath;

/// Largest number of updates of a run. Decays and schedules are computed in float64, which
/// distinguishes integers up to 2⁵³.
pub(super) const MOST_UPDATES: u64 = 1 << 53;

/// The share of the average that remains after one update.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum EmaDecay {
    /// The same decay from the first update on. Flow++: 0.999.
    Constant(f64),
    /// min(decay, (1 + t) / (10 + t)) after t updates, so that a short run forgets its initial
    /// weights: 0.1 at the first update, 0.99 from t = 890 on, 0.999 from t = 8990 on.
    Warmed(f64),
}

impl EmaDecay {
    /// The decay of the update that follows `updates` finished ones.
    ///
    /// ```
    /// use flowkit::train::EmaDecay;
    ///
    /// assert_eq!(EmaDecay::Constant(0.999).at(0), 0.999);
    /// assert_eq!(EmaDecay::Warmed(0.999).at(0), 0.1);
    /// assert_eq!(EmaDecay::Warmed(0.999).at(1_000_000), 0.999);
    /// ```
    pub fn at(self, updates: u64) -> f64 {
        match self {
            EmaDecay::Constant(decay) => decay,
            EmaDecay::Warmed(decay) => decay.min((1.0 + updates as f64) / (10.0 + updates as f64)),
        }
    }

    /// Checks the decay.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] unless the decay lies in [0, 1).
    pub fn validate(self) -> Result<(), ConfigError> {
        let (EmaDecay::Constant(decay) | EmaDecay::Warmed(decay)) = self;
        ConfigError::below_one("EmaDecay", "decay", decay)
    }
}

/// An exponential moving average of the float parameters of a module.
///
/// Parameters are matched by their [`ParamId`]; a parameter that occurs at several places is
/// matched by the order of these places. Integer and boolean parameters (flags, permutations) are
/// copied. All float parameters are averaged, frozen ones too: create the average after
/// data-dependent initialisation, not before. The average has the element type of the parameters;
/// in half precision a decay of 0.999 rounds small steps away.
///
/// ```
/// use burn::module::Param;
/// use burn::tensor::{Device, Tensor};
/// use flowkit::train::{Ema, EmaDecay};
///
/// let device = Device::flex().autodiff();
/// let model: Param<Tensor<1>> = Param::from_data([1.0], &device);
/// let ema = Ema::new(&model, EmaDecay::Constant(0.75))?;
/// let model = model.map(|value| (value + 4.0).detach());
/// let ema = ema.update(&model)?; // 0.75·1 + 0.25·5
/// assert_eq!(ema.model().val().into_scalar::<f32>(), 2.0);
/// # Ok::<(), flowkit::train::TrainError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Ema<M> {
    average: M,
    decay: EmaDecay,
    updates: u64,
}

impl<M: Module> Ema<M> {
    /// An average that starts at the parameters of `model`. This initialises lazy parameters, so
    /// the model and its average start from the same values.
    ///
    /// # Errors
    /// [`TrainError::Config`] unless the decay lies in [0, 1).
    pub fn new(model: &M, decay: EmaDecay) -> Result<Self, TrainError> {
        Self::resume(model.valid(), decay, 0)
    }

    /// Continues an average that was stopped after `updates` updates.
    ///
    /// Its parameters must have the identities of those of the model: restore both from one
    /// checkpoint with [`Checkpoint::resume`](super::Checkpoint::resume).
    ///
    /// # Errors
    /// [`TrainError::Config`] unless the decay lies in [0, 1); [`TrainError::TooManyUpdates`] for
    /// more than 2⁵³.
    pub fn resume(average: M, decay: EmaDecay, updates: u64) -> Result<Self, TrainError> {
        decay.validate()?;
        if updates > MOST_UPDATES {
            return Err(TrainError::TooManyUpdates { found: updates, most: MOST_UPDATES });
        }
        Ok(Self { average: average.valid(), decay, updates })
    }

    /// Moves the average towards `model`, on the device and without a gradient.
    ///
    /// # Errors
    /// [`TrainError::ForeignParameter`] if `model` lacks a parameter of the average; then nothing
    /// is averaged.
    pub fn update(self, model: &M) -> Result<Self, TrainError> {
        let mut current = Current::default();
        model.visit(&mut current);
        let mut check = Check {
            current: &current,
            places: Places::default(),
            path: ParameterPath::default(),
            foreign: None,
        };
        self.average.visit(&mut check);
        if let Some(parameter) = check.foreign {
            return Err(TrainError::ForeignParameter { parameter });
        }
        let rate = 1.0 - self.decay.at(self.updates);
        let mut together =
            Together { current: &current, places: Places::default(), pairs: Vec::new() };
        self.average.visit(&mut together);
        let together = together.pairs;
        let moved = moving_average::update_all(together, rate).into();
        let mut step = Step { current, places: Places::default(), rate, moved };
        Ok(Self {
            average: self.average.map(&mut step),
            decay: self.decay,
            updates: self.updates + 1,
        })
    }

    /// The averaged module, in validation mode: without autodiff, dropout off.
    pub fn model(&self) -> &M {
        &self.average
    }

    /// The averaged module, taken out of the average.
    pub fn into_model(self) -> M {
        self.average
    }

    /// Number of updates of the average.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// The decay of the average.
    pub fn decay(&self) -> EmaDecay {
        self.decay
    }
}

/// The current parameters of the model, each a `Tensor<D>`, `Tensor<D, Int>` or `Tensor<D, Bool>`
/// without autodiff. A parameter has one value for each place where it occurs, in order.
#[derive(Default)]
struct Current(HashMap<ParamId, Vec<Box<dyn Any>>>);

impl Current {
    fn insert<T: Any>(&mut self, id: ParamId, value: T) {
        self.0.entry(id).or_default().push(Box::new(value));
    }

    /// The value at a place of the parameter.
    fn get<T: Any + Clone>(&self, id: ParamId, place: usize) -> Option<T> {
        self.0.get(&id)?.get(place)?.downcast_ref::<T>().cloned()
    }
}

/// How often each parameter has occurred.
#[derive(Default)]
struct Places(HashMap<ParamId, usize>);

impl Places {
    /// Index of this place of a parameter, from 0.
    fn next(&mut self, id: ParamId) -> usize {
        let met = self.0.entry(id).or_default();
        *met += 1;
        *met - 1
    }
}

impl ModuleVisitor for Current {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.insert(param.id, param.base().without_autodiff());
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.insert(param.id, param.base().without_autodiff());
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.insert(param.id, param.base().without_autodiff());
    }
}

/// Finds the first parameter of the average that the model lacks.
struct Check<'a> {
    current: &'a Current,
    places: Places,
    path: ParameterPath,
    foreign: Option<String>,
}

impl Check<'_> {
    fn expect(&mut self, known: bool) {
        if !known && self.foreign.is_none() {
            self.foreign = Some(self.path.join());
        }
    }
}

impl ModuleVisitor for Check<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let current = self.current.get::<Tensor<D>>(param.id, self.places.next(param.id));
        self.expect(current.is_some_and(|value| value.dims() == param.base().dims()));
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        let current = self.current.get::<Tensor<D, Int>>(param.id, self.places.next(param.id));
        self.expect(current.is_some_and(|value| value.dims() == param.base().dims()));
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        let current = self.current.get::<Tensor<D, Bool>>(param.id, self.places.next(param.id));
        self.expect(current.is_some_and(|value| value.dims() == param.base().dims()));
    }
}

/// The average and the value of each parameter on a GPU. Few launches update all of them.
struct Together<'a> {
    current: &'a Current,
    places: Places,
    pairs: Vec<[DispatchTensor; 2]>,
}

impl ModuleVisitor for Together<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = self.current.get::<Tensor<D>>(param.id, self.places.next(param.id));
        let average = param.base().without_autodiff();
        if let Some(value) = value.filter(|_| moving_average::SERVED.serves_on_gpu(&average)) {
            let value = like(value, &average);
            self.pairs.push([average, value].map(Tensor::into_dispatch));
        }
    }
}

/// A value on the device and in the type of its average.
fn like<const D: usize>(value: Tensor<D>, average: &Tensor<D>) -> Tensor<D> {
    value.to_device(&average.device()).cast(average.dtype())
}

/// One update of the average, after [`Check`] has found every parameter.
struct Step {
    current: Current,
    places: Places,
    rate: f64,
    /// The averages of [`Together`] after the update, in its order.
    moved: VecDeque<DispatchTensor>,
}

impl ModuleMapper for Step {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(value) = self.current.get::<Tensor<D>>(param.id, self.places.next(param.id))
        else {
            return param;
        };
        param.map(|average| {
            if moving_average::SERVED.serves_on_gpu(&average)
                && let Some(moved) = self.moved.pop_front()
            {
                return Tensor::from_dispatch(moved);
            }
            let value = like(value, &average);
            moving_average::update(average, value, self.rate)
        })
    }

    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        let Some(value) = self.current.get::<Tensor<D, Int>>(param.id, self.places.next(param.id))
        else {
            return param;
        };
        param.map(|average| value.to_device(&average.device()))
    }

    fn map_bool<const D: usize>(
        &mut self,
        param: Param<Tensor<D, Bool>>,
    ) -> Param<Tensor<D, Bool>> {
        let Some(value) = self.current.get::<Tensor<D, Bool>>(param.id, self.places.next(param.id))
        else {
            return param;
        };
        param.map(|average| value.to_device(&average.device()))
    }
}
