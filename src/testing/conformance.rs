//! The bijector under test, how it is made, and its inputs.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Tensor};

use super::check::{Check, Outcome, Report};
use super::context::SampleContext;
use super::elements::{device_rng, normal, tensor};
use super::failure::{ConformanceError, Failure};
use super::inputs::{Inputs, Region};
use super::parameters::{change, parameters};
use crate::bijector::Bijector;
use crate::bijector::boxed::BoxBijector;
use crate::random::Seeded;
use crate::train::{Checkpoint, CheckpointError};

/// Deviation of the noise that is added to parameters: large enough to leave any special point,
/// small enough that matrices near the identity stay regular.
const NOISE: f64 = 0.3;

/// Makes a bijector on a device.
type Make<const D: usize, C> = Box<dyn Fn(&Device) -> BoxBijector<D, C>>;

/// Makes the checkpoint of a bijector that is not in a box, initialised from a batch.
type Save<const D: usize, C> =
    Box<dyn Fn(&Randomness, Tensor<D>, &C) -> Result<Checkpoint, CheckpointError>>;

/// A bijector of tensors with `D` axes under a condition `C`, to be checked.
///
/// Every check makes its bijectors anew, gives them random parameters and samples inputs from a
/// host generator, all from fixed seeds, so a failure repeats.
pub struct Conformance<const D: usize, C: SampleContext = ()> {
    name: String,
    shape: [usize; D],
    inputs: Inputs,
    context: C::Shape,
    device: Device,
    frozen: Vec<String>,
    make: Make<D, C>,
    save: Save<D, C>,
}

impl<const D: usize> Conformance<D, ()> {
    /// An unconditional bijector. `shape` is that of one example with the batch axis, `[1, ...]`;
    /// `make` builds the bijector on a device.
    ///
    /// Keep sizes small: a Jacobian takes one differentiation for each element of an example.
    pub fn new<B: Bijector<D> + Sync + 'static>(
        name: impl Into<String>,
        shape: [usize; D],
        make: impl Fn(&Device) -> B + Clone + 'static,
    ) -> Self {
        Self::given(name, shape, (), make)
    }
}

impl<const D: usize, C: SampleContext> Conformance<D, C> {
    /// Like [`Conformance::new`], for a bijector with a condition. `context` is the shape of the
    /// condition of one example: `[1, ...]`, or a pair of such shapes for a pair of tensors.
    pub fn given<B: Bijector<D, C> + Sync + 'static>(
        name: impl Into<String>,
        shape: [usize; D],
        context: C::Shape,
        make: impl Fn(&Device) -> B + Clone + 'static,
    ) -> Self {
        let bare = make.clone();
        let save = move |random: &Randomness, x: Tensor<D>, context: &C| {
            let module = random.apply(&bare);
            // Dropout draws from the device's stream.
            let _guard = device_rng();
            let (started, _) = module.initialize(x, context);
            let mut checkpoint = Checkpoint::new(BTreeMap::new())?;
            checkpoint.insert("bare", &started)?;
            Ok(checkpoint)
        };
        let boxed = move |device: &Device| BoxBijector::new(make(device));
        Self {
            name: name.into(),
            shape,
            inputs: Inputs::Real(10.0),
            context,
            device: Device::default(),
            frozen: Vec::new(),
            make: Box::new(boxed),
            save: Box::new(save),
        }
    }

    /// Where the bijector is defined, and how large the extreme inputs are. Default:
    /// `Inputs::Real(10.0)`.
    pub fn inputs(mut self, inputs: Inputs) -> Self {
        self.inputs = inputs;
        self
    }

    /// Device of the float32 checks. Default: burn's default device, which `BURN_DEVICE` names.
    ///
    /// Float64 checks run on burn's CPU backend if the feature `flex` is on, since GPUs may not
    /// support float64; otherwise on this device.
    pub fn device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// Names a float parameter that is not trained, by its path. It keeps the value that `make`
    /// gives it; all other parameters get random values.
    pub fn frozen(mut self, path: impl Into<String>) -> Self {
        self.frozen.push(path.into());
        self
    }

    /// Name of the bijector.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs all checks, even if some of them fail.
    ///
    /// # Errors
    /// All failures.
    pub fn check(&self) -> Result<Report, ConformanceError> {
        let (mut outcomes, mut failures) = (Vec::new(), Vec::new());
        for check in Check::ALL {
            match self.run(check) {
                Ok(outcome) => outcomes.push(outcome),
                Err(failure) => failures.push(failure),
            }
        }
        let name = self.name.clone();
        if failures.is_empty() {
            Ok(Report { name, outcomes })
        } else {
            Err(ConformanceError { name, failures })
        }
    }

    /// Runs one check, like the function of its name.
    ///
    /// # Errors
    /// The first failure.
    pub fn run(&self, check: Check) -> Result<Outcome, Failure> {
        check.run(self)
    }

    fn random(&self, seed: u64, dtype: DType) -> Randomness {
        Randomness { seed, dtype, device: self.device_for(dtype), frozen: self.frozen.clone() }
    }

    /// The bijector with random parameters, in training mode: layers with dropout apply it.
    pub fn build_training(&self, seed: u64, dtype: DType) -> BoxBijector<D, C> {
        self.random(seed, dtype).apply(&self.make)
    }

    /// The bijector with random parameters, on a graph, with dropout off.
    pub fn build(&self, seed: u64, dtype: DType) -> BoxBijector<D, C> {
        still(self.build_training(seed, dtype))
    }

    /// A float32 bijector in float64, with exactly the same parameters.
    pub(super) fn widen(&self, bijector: &BoxBijector<D, C>) -> BoxBijector<D, C> {
        change(bijector.clone().fork(&self.device_for(DType::F64)), DType::F64, |_, old| old)
    }

    /// A checkpoint of the initialised bijector, outside of its box, in the section `bare`.
    pub(super) fn checkpoint(
        &self,
        seed: u64,
        x: Tensor<D>,
        context: &C,
    ) -> Result<Checkpoint, CheckpointError> {
        (self.save)(&self.random(seed, x.dtype()), x, context)
    }

    /// Whether the parameter of this path is not trained.
    pub(super) fn is_frozen(&self, path: &str) -> bool {
        self.frozen.iter().any(|frozen| frozen == path)
    }

    /// Shape of `batch` examples.
    pub(super) fn batch(&self, batch: usize) -> [usize; D] {
        let mut shape = self.shape;
        shape[0] = batch;
        shape
    }

    /// Legal inputs.
    pub fn sample(&self, region: Region, seed: u64, batch: usize, dtype: DType) -> Tensor<D> {
        self.sample_shape(region, seed, self.batch(batch), dtype)
    }

    /// Legal inputs of another shape.
    pub(super) fn sample_shape(
        &self,
        region: Region,
        seed: u64,
        shape: [usize; D],
        dtype: DType,
    ) -> Tensor<D> {
        let values = self.inputs.sample(region, seed, shape.iter().product());
        tensor(values, shape, dtype, &self.device_for(dtype))
    }

    /// A condition for `batch` examples.
    pub fn sample_context(&self, seed: u64, batch: usize, dtype: DType) -> C {
        // A random stream that differs from that of the inputs.
        C::sample(&self.context, batch, dtype, &self.device_for(dtype), seed ^ 0x00c0_de00)
    }

    /// The device for elements of a type, with autodiff.
    pub fn device_for(&self, dtype: DType) -> Device {
        #[cfg(feature = "flex")]
        if dtype == DType::F64 {
            return Device::flex().autodiff();
        }
        let _ = dtype;
        self.device.clone().autodiff()
    }
}

/// How parameters are made random.
struct Randomness {
    seed: u64,
    dtype: DType,
    device: Device,
    frozen: Vec<String>,
}

impl Randomness {
    /// The device is seeded as well, for what cannot be set from outside (a permutation).
    fn apply<M: Module>(&self, make: impl Fn(&Device) -> M) -> M {
        let module = {
            let _guard = device_rng();
            let _scope = Seeded::new(&self.device, self.seed);
            change(make(&self.device), DType::F32, |_, old| old)
        };
        let frozen: Vec<bool> =
            parameters(&module).iter().map(|p| self.frozen.contains(&p.path)).collect();
        change(module, self.dtype, |index, old| {
            if frozen[index] {
                return old;
            }
            let noise = normal(self.seed.wrapping_mul(1000) + index as u64, old.len(), NOISE);
            old.iter().zip(noise).map(|(old, noise)| old + noise).collect()
        })
    }
}

/// The module on its graph, with dropout off. `freeze` turns off burn's training flags there; then
/// the parameters that were trained are trained again.
fn still<M: Module>(module: M) -> M {
    struct Thaw<I>(I);
    impl<I: Iterator<Item = bool>> ModuleMapper for Thaw<I> {
        fn map_float<const R: usize>(&mut self, param: Param<Tensor<R>>) -> Param<Tensor<R>> {
            let trained = self.0.next().unwrap_or(true);
            param.set_require_grad(trained)
        }
    }
    let trained: Vec<bool> =
        parameters(&module).into_iter().map(|parameter| parameter.trained).collect();
    module.freeze().map(&mut Thaw(trained.into_iter()))
}
