//! The table of all bijectors. A new bijector is one entry in `cases.rs` and gets every property of `tests/property`.

mod autoregressive;
mod blocks;
mod cases;
mod condition;
mod flow_plus_plus;
mod jacobian;
mod networks;
pub mod numbers;
pub mod parameters;
mod scales;
pub mod tolerance;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};
use flowkit::train::Checkpoint;
use flowkit::{Bijector, BoxBijector};

pub use cases::cases;
pub use condition::Condition;
pub use jacobian::{jacobian, row_sum_norm};

use numbers::{device_rng, normal, rng, tensor};
use parameters::change;

/// Where a bijector is defined.
#[derive(Debug, Clone, Copy)]
pub enum Inputs {
    /// All numbers; extreme ones are of this size.
    Real(f64),
    /// The unit interval, ends included.
    Closed,
    /// The unit interval without its ends.
    Open,
    /// From −1 to 1 without the ends.
    Symmetric,
    /// Positive numbers; extreme ones are of this size or its reciprocal.
    Positive(f64),
}

/// Which inputs to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Draw {
    /// As data would be.
    Ordinary,
    /// Legal, no more.
    Extreme,
}

/// Makes a bijector on a device.
type Make<const D: usize, C> = Box<dyn Fn(&Device) -> BoxBijector<D, C>>;

/// Makes the checkpoint of a bijector, with parameters of a type.
type Save = Box<dyn Fn(&Device, DType) -> Checkpoint>;

/// A bijector of tensors with `D` axes under a condition `C`.
pub struct Entry<const D: usize, C: Condition> {
    pub name: &'static str,
    /// Shape of one example, batch axis included.
    pub shape: [usize; D],
    pub inputs: Inputs,
    context: C::Shape,
    boxed: Make<D, C>,
    save: Save,
}

/// A bijector with random parameters. The device's generator is seeded too, for what cannot be set from outside (a permutation).
fn randomised<M: Module>(make: impl Fn(&Device) -> M, seed: u64, dtype: DType, device: &Device) -> M {
    let module = {
        let _guard = device_rng();
        device.seed(seed);
        change(make(device), DType::F32, |_, old| old)
    };
    let mut rng = rng(seed);
    // 0.3: far from any special point, and matrices near the identity stay regular.
    change(module, dtype, |_, old| {
        let noise = normal(&mut rng, old.len(), 0.3);
        old.iter().zip(noise).map(|(old, noise)| old + noise).collect()
    })
}

/// Seed of the module that [`Entry::checkpoint`] stores.
pub const SAVED_SEED: u64 = 11;

impl<const D: usize, C: Condition> Entry<D, C> {
    pub fn new<B: Bijector<D, C> + Sync + 'static>(
        name: &'static str,
        shape: [usize; D],
        inputs: Inputs,
        context: C::Shape,
        make: impl Fn(&Device) -> B + Clone + 'static,
    ) -> Self {
        let bare = make.clone();
        let save = move |device: &Device, dtype: DType| {
            let mut checkpoint = Checkpoint::new(BTreeMap::new()).expect("no metadata");
            checkpoint.insert("bare", &randomised(&bare, SAVED_SEED, dtype, device)).expect("names are unique");
            checkpoint
        };
        let boxed = move |device: &Device| BoxBijector::new(make(device));
        Self { name, shape, inputs, context, boxed: Box::new(boxed), save: Box::new(save) }
    }

    /// The bijector with random parameters.
    pub fn build(&self, seed: u64, dtype: DType) -> BoxBijector<D, C> {
        randomised(&self.boxed, seed, dtype, &device_for(dtype))
    }

    /// A checkpoint of the bijector outside of its box, in the section `bare`.
    pub fn checkpoint(&self, dtype: DType) -> Checkpoint {
        (self.save)(&device_for(dtype), dtype)
    }

    /// Shape of `batch` examples.
    pub fn batch(&self, batch: usize) -> [usize; D] {
        let mut shape = self.shape;
        shape[0] = batch;
        shape
    }

    /// Legal inputs.
    pub fn draw(&self, draw: Draw, seed: u64, batch: usize, dtype: DType) -> Tensor<D> {
        let shape = self.batch(batch);
        let n = shape.iter().product();
        let values = normal(&mut rng(seed), n, 1.0);
        let unit = |x: f64| 0.5 + 0.45 * x.sin();
        let values = match (draw, self.inputs) {
            (Draw::Ordinary, Inputs::Real(_)) => values,
            (Draw::Ordinary, Inputs::Symmetric) => values.into_iter().map(|x| 2.0 * unit(x) - 1.0).collect(),
            (Draw::Ordinary, Inputs::Positive(_)) => values.into_iter().map(f64::exp).collect(),
            (Draw::Ordinary, _) => values.into_iter().map(unit).collect(),
            (Draw::Extreme, Inputs::Real(size)) => {
                let points = [size, -size, 0.0, 1e-6, -size / 3.0];
                (0..n).map(|i| points[(i + i / 5 + seed as usize) % 5]).collect()
            }
            (Draw::Extreme, Inputs::Closed) => {
                let points = [0.0, 1.0, 1e-6, 1.0 - 1e-6, 0.5];
                (0..n).map(|i| points[(i + i / 5 + seed as usize) % 5]).collect()
            }
            (Draw::Extreme, Inputs::Open) => {
                let points = [1e-5, 1.0 - 1e-5, 1e-3, 0.999, 0.5];
                (0..n).map(|i| points[(i + i / 5 + seed as usize) % 5]).collect()
            }
            (Draw::Extreme, Inputs::Symmetric) => {
                let points = [-0.9999, 0.9999, 0.0, 1e-6, 0.5];
                (0..n).map(|i| points[(i + i / 5 + seed as usize) % 5]).collect()
            }
            (Draw::Extreme, Inputs::Positive(size)) => {
                let points = [size, 1.0 / size, 1.0, 1e-6, size / 3.0];
                (0..n).map(|i| points[(i + i / 5 + seed as usize) % 5]).collect()
            }
        };
        tensor(values, shape, dtype, &device_for(dtype))
    }

    /// A condition for `batch` examples.
    pub fn condition(&self, seed: u64, batch: usize, dtype: DType) -> C {
        C::draw(&self.context, batch, dtype, &device_for(dtype), &mut rng(seed ^ 0x00c0_de00))
    }
}

/// The CPU, with autodiff: the device of float64.
pub fn device() -> Device {
    Device::flex().autodiff()
}

/// The device for numbers of a type, with autodiff: float32 is tested on the device that `BURN_DEVICE` names.
pub fn device_for(dtype: DType) -> Device {
    if dtype == DType::F64 { device() } else { Device::default().autodiff() }
}

/// Something that holds for every bijector.
pub trait Property {
    /// An error says what does not hold.
    fn check<const D: usize, C: Condition>(&self, entry: &Entry<D, C>) -> Result<(), String>;
}

macro_rules! case {
    ($($variant:ident($D:literal, $C:ty)),+ $(,)?) => {
        /// An entry of any rank and condition.
        pub enum Case {
            $($variant(Entry<$D, $C>),)+
        }

        $(impl From<Entry<$D, $C>> for Case {
            fn from(entry: Entry<$D, $C>) -> Self {
                Self::$variant(entry)
            }
        })+

        impl Case {
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(entry) => entry.name,)+
                }
            }

            pub fn check(&self, property: &impl Property) -> Result<(), String> {
                match self {
                    $(Self::$variant(entry) => property.check(entry),)+
                }
            }
        }
    };
}

case! {
    Vector(2, ()),
    Sequence(3, ()),
    Image(4, ()),
    VectorGiven(2, Tensor<2>),
    VectorGivenPair(2, (Tensor<2>, Tensor<2>)),
    ImageGiven(4, Tensor<4>),
    ImageGivenVector(4, Tensor<2>),
    ImageGivenPair(4, (Tensor<2>, Tensor<4>)),
}

/// Checks a property on every entry and reports all that it does not hold for.
pub fn check_all(property: &impl Property) {
    let mut failures = Vec::new();
    for case in cases() {
        let outcome = catch_unwind(AssertUnwindSafe(|| case.check(property)));
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => failures.push(format!("{}: {reason}", case.name())),
            Err(_) => failures.push(format!("{}: panicked", case.name())),
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// `Err` unless `error <= bound`; NaN is an error.
pub fn within(what: &str, error: f64, bound: f64) -> Result<(), String> {
    if error <= bound { Ok(()) } else { Err(format!("{what}: {error:.2e}, allowed {bound:.2e}")) }
}
