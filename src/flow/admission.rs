//! Input checks of a flow: shapes, types and devices of data and conditions, before any operation.
//! ```text
//! data        the flow's shape;  type and device of its parameters, with or without autodiff
//! condition   one row, or one for each example;  the type and device of the data
//! ```
//! A flow without parameters computes in float32 or float64, on the device of its data. The
//! parameters of layers and prior are of one type; those of a network may be of another.
//!
//! Whether the values of the data are in the range of the surjection takes a device-to-host copy.
//! Training does without that check: outside the range a log-weight is NaN, see
//! [`Surjection::lift`].

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};

use super::Flow;
use crate::bijector::Bijector;
use crate::context::{Context, ContextPart, check_finite};
use crate::error::{FlowError, ShapeError};
use crate::flow::surjection::Surjection;
use crate::prior::Prior;
use crate::tensor::dtype::{first_other, widest};

/// Type and device of a tensor.
#[derive(Debug, Clone)]
pub(crate) struct Placement {
    pub dtype: DType,
    pub device: Device,
}

impl Placement {
    pub(crate) fn of<const D: usize>(x: &Tensor<D>) -> Self {
        Self { dtype: x.dtype(), device: x.device() }
    }

    /// Checks that `found` can be combined with these. Devices that differ only in autodiff count
    /// as the same.
    ///
    /// # Errors
    /// [`FlowError::Type`] or [`FlowError::OtherDevice`].
    pub(crate) fn expect(&self, what: &'static str, found: &Self) -> Result<(), FlowError> {
        if found.dtype != self.dtype {
            return Err(FlowError::Type { what, expected: self.dtype, found: found.dtype });
        }
        if found.device != self.device {
            let name = |device: &Device| format!("{:?}", device.clone().inner());
            return Err(FlowError::OtherDevice {
                what,
                expected: name(&self.device),
                found: name(&found.device),
            });
        }
        Ok(())
    }

    /// [`Placement::expect`] for every tensor of a condition.
    pub(crate) fn expect_context<C: Context>(&self, context: &C) -> Result<(), FlowError> {
        let mut parts = context.parts().into_iter();
        parts.try_for_each(|ContextPart { dtype, device, .. }| {
            self.expect("condition", &Self { dtype, device })
        })
    }

    /// Type and device in which modules compute on `data`: those of their parameters, or those of
    /// the data if they have none.
    ///
    /// # Errors
    /// [`FlowError::Type`] for data in a half-precision type, if no parameter determines the type.
    pub(crate) fn of_modules(
        module: &impl Module,
        prior: &impl Module,
        data: &Self,
    ) -> Result<Self, FlowError> {
        let dtype = match widest(module, prior) {
            Some(dtype) => dtype,
            None if data.dtype == DType::F64 => DType::F64,
            // A half-precision type is too coarse for densities.
            None => DType::F32,
        };
        let device = module.devices().into_iter().chain(prior.devices()).next();
        Ok(Self { dtype, device: device.unwrap_or_else(|| data.device.clone()) })
    }
}

/// Checks that the tensors of a condition have one row for each of `batch` examples. Layers that
/// ignore a condition do not check this.
pub(crate) fn check_rows<C: Context>(batch: usize, context: &C) -> Result<(), ShapeError> {
    match context
        .parts()
        .into_iter()
        .find(|part| part.shape.first().is_some_and(|&rows| rows != batch))
    {
        None => Ok(()),
        Some(ContextPart { shape: found, .. }) => {
            let mut expected = found.clone();
            expected[0] = batch;
            Err(ShapeError::ContextShape { layer: "Flow", expected, found })
        }
    }
}

/// A batch that passed the checks of a flow.
pub(crate) struct Admitted<C> {
    /// Number of examples of the batch.
    pub batch: usize,
    /// Type and device of the lifted batch.
    pub placement: Placement,
    /// The condition with one row for each example.
    pub context: C,
}

impl<B, P, const D: usize, C, S> Flow<B, P, D, C, S>
where
    C: Context,
    S: Surjection<D>,
    B: Bijector<D, C>,
    P: Prior<D, C>,
{
    /// Checks that a batch and its condition fit the flow. The check of the data's values may need
    /// a device-to-host copy.
    ///
    /// # Errors
    /// If one of the rules that head this module is broken.
    pub(crate) fn fit(&self, x: &S::Data, context: &C) -> Result<Admitted<C>, FlowError> {
        self.surjection.check_dtype(self.dtype())?;
        self.fit_shape(self.surjection.check(x)?, x, context)
    }

    /// [`Flow::fit`] without the check of the data's values.
    pub(crate) fn fit_unread(&self, x: &S::Data, context: &C) -> Result<Admitted<C>, FlowError> {
        self.surjection.check_dtype(self.dtype())?;
        self.fit_shape(self.surjection.shape(x)?, x, context)
    }

    fn fit_shape(
        &self,
        shape: [usize; D],
        x: &S::Data,
        context: &C,
    ) -> Result<Admitted<C>, FlowError> {
        let placement = self.place(shape, x)?;
        let context = self.fit_context(shape, &placement, context)?;
        Ok(Admitted { batch: shape[0], placement, context })
    }

    /// The part of [`Flow::fit_shape`] that does not depend on the condition. Returns type and
    /// device of the lifted batch.
    fn place(&self, shape: [usize; D], x: &S::Data) -> Result<Placement, FlowError> {
        self.check(shape)?;
        let (dtype, device) = self.surjection.placement(x, self.dtype());
        let placement = Placement { dtype, device };
        self.expect("data", &placement)?;
        Ok(placement)
    }

    /// [`Flow::fit_unread`] before the condition is known. Returns the number of examples.
    pub(crate) fn fit_data(&self, x: &S::Data) -> Result<usize, FlowError> {
        self.surjection.check_dtype(self.dtype())?;
        let shape = self.surjection.shape(x)?;
        self.place(shape, x)?;
        self.expect_one_type()?;
        Ok(shape[0])
    }

    /// [`Flow::fit`] for the condition alone, with lifted data of the given shape, type and device.
    /// Returns the condition with one row for each example, as the layers expect it.
    pub(crate) fn fit_context(
        &self,
        shape: [usize; D],
        placement: &Placement,
        context: &C,
    ) -> Result<C, FlowError> {
        self.expect_one_type()?;
        placement.expect_context(context)?;
        let context = context.for_batch(shape[0]);
        self.check(shape)?;
        self.prior.check_given(self.bijector.output_shape_given(shape, &context)?, &context)?;
        check_rows(shape[0], &context)?;
        Ok(context)
    }

    /// [`Flow::fit`], and a check that the condition is finite, which needs one device-to-host
    /// copy.
    pub(crate) fn admit(&self, x: &S::Data, context: &C) -> Result<Admitted<C>, FlowError> {
        let admitted = self.fit(x, context)?;
        check_finite(context)?;
        Ok(admitted)
    }

    /// Checks that layers and prior have parameters of one type.
    fn expect_one_type(&self) -> Result<(), FlowError> {
        let expected = self.dtype();
        let layers = first_other(&self.bijector, expected).map(|found| ("layers", found));
        let prior = || first_other(&self.prior, expected).map(|found| ("prior", found));
        match layers.or_else(prior) {
            None => Ok(()),
            Some((what, found)) => Err(FlowError::Type { what, expected, found }),
        }
    }

    /// Checks that a tensor has the type and device of the flow.
    pub(crate) fn expect(&self, what: &'static str, found: &Placement) -> Result<(), FlowError> {
        Placement::of_modules(&self.bijector, &self.prior, found)?.expect(what, found)?;
        match self.surjection.devices().into_iter().next() {
            Some(device) => Placement { device, ..found.clone() }.expect(what, found),
            None => Ok(()),
        }
    }

    /// [`Flow::expect`] for the noise of a batch.
    pub(crate) fn expect_noise(&self, noise: &S::Noise) -> Result<(), FlowError> {
        let mut parts = noise.parts().into_iter();
        parts.try_for_each(|ContextPart { dtype, device, .. }| {
            self.expect("noise", &Placement { dtype, device })
        })
    }
}

/// The value, for methods that panic on a bad batch.
///
/// # Panics
/// With the text of the error.
pub(crate) fn or_panic<T>(found: Result<T, FlowError>) -> T {
    match found {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}
