//! Evaluation of a flow: log-densities on the host, of a whole batch or row by row.

use burn::module::Module;
use burn::tensor::Tensor;

use super::Flow;
use super::rows::{RowFault, RowLikelihoods};
use crate::bijector::Bijector;
use crate::context::Context;
use crate::error::FlowError;
use crate::flow::likelihood::{Exact, LogLikelihood};
use crate::prior::Prior;

impl<B, P> Flow<B, P> {
    /// `ln p` of every example in nats, on the host, without dropout and outside any graph.
    ///
    /// # Errors
    /// If `x` does not have the flow's shape, type and device, if it is not finite, or if a likelihood is not finite.
    /// Errors name the example; [`Flow::evaluate_rows`] returns the likelihoods of the others.
    pub fn evaluate<const D: usize>(&self, x: Tensor<D>) -> Result<LogLikelihood<Exact>, FlowError>
    where
        B: Bijector<D>,
        P: Prior<D>,
    {
        self.evaluate_given(x, &())
    }

    /// As [`Flow::evaluate`], given a condition: a row for each example, or one row for all of them.
    ///
    /// # Errors
    /// As [`Flow::evaluate`], and if a layer cannot take the condition.
    pub fn evaluate_given<const D: usize, C: Context>(
        &self,
        x: Tensor<D>,
        context: &C,
    ) -> Result<LogLikelihood<Exact>, FlowError>
    where
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        let x = x.inner();
        let context = self.admit(&x, &context.plain())?;
        if let Some((count, total, example)) = non_finite(x.clone())? {
            return Err(FlowError::NonFiniteInput { count, total, example });
        }
        let nats = read_likelihood(self.valid().density(x, &context))?;
        Ok(LogLikelihood::new(nats, self.dims(), Exact))
    }

    /// [`Flow::evaluate`] row by row: an example that is not finite, or whose likelihood is not, is marked as failed,
    /// and the others have their likelihoods.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use flowkit::{Flow, LayerConfig, LogitConfig, RowFault, Site, StandardNormal};
    ///
    /// let logit = LogitConfig::new().with_margin(0.0).build(&Site::new([1, 1], &Device::flex()))?;
    /// let flow = Flow::new(logit, StandardNormal::new(), [1, 1])?.without_data();
    /// let x = Tensor::<2>::from_data([[0.5], [1.0], [f32::NAN]], &Device::flex());
    /// assert!(flow.evaluate(x.clone()).is_err());
    /// let rows = flow.evaluate_rows(x)?;
    /// // ln N(0; 0, 1) − ln ¼
    /// assert!((rows.rows()[0].unwrap() - 0.467356).abs() < 1e-5);
    /// assert_eq!((rows.good(), rows.failed()[1].row), (vec![0], 2));
    /// assert_eq!(rows.failed()[1].fault, RowFault::Input { count: 1, total: 1 });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If `x` does not have the flow's shape, type and device.
    pub fn evaluate_rows<const D: usize>(&self, x: Tensor<D>) -> Result<RowLikelihoods<Exact>, FlowError>
    where
        B: Bijector<D>,
        P: Prior<D>,
    {
        self.evaluate_rows_given(x, &())
    }

    /// As [`Flow::evaluate_rows`], given a condition: a row for each example, or one row for all of them.
    ///
    /// # Errors
    /// As [`Flow::evaluate_rows`], and if a layer cannot take the condition, or if the condition is not finite, in any row.
    pub fn evaluate_rows_given<const D: usize, C: Context>(
        &self,
        x: Tensor<D>,
        context: &C,
    ) -> Result<RowLikelihoods<Exact>, FlowError>
    where
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        let x = x.inner();
        let context = self.admit(&x, &context.plain())?;
        let (counts, total) = (non_finite_counts(x.clone())?, self.dims());
        let good: Vec<usize> = (0..counts.len()).filter(|&row| counts[row] == 0).collect();
        let mut rows: Vec<Result<f64, RowFault>> =
            counts.iter().map(|&count| Err(RowFault::Input { count, total })).collect();
        if !good.is_empty() {
            // Layers only see finite values.
            let whole = good.len() == counts.len();
            let (x, context) = if whole { (x, context) } else { (Context::select(&x, &good), context.select(&good)) };
            let values = read(self.valid().density(x, &context))?;
            good.into_iter().zip(values).for_each(|(row, value)| rows[row] = Ok(value));
        }
        Ok(RowLikelihoods::new(rows, self.dims(), Exact))
    }
}

/// For each example, how many of its elements are not finite. One device-to-host copy.
pub(crate) fn non_finite_counts<const D: usize>(x: Tensor<D>) -> Result<Vec<usize>, FlowError> {
    let dims = x.dims();
    let per_example: usize = dims[1..].iter().product();
    let finite = x.inner().is_finite().int().reshape([dims[0], per_example]).sum_dim(1);
    let data = finite.try_into_data().map_err(|error| FlowError::Device(error.to_string()))?;
    Ok(data.iter::<i64>().map(|n| per_example - n as usize).collect())
}

/// Number of elements that are not finite, number of all elements, and the first example that holds such an element;
/// `None` if all are finite. One device-to-host copy.
pub(crate) fn non_finite<const D: usize>(x: Tensor<D>) -> Result<Option<(usize, usize, usize)>, FlowError> {
    let total: usize = x.dims().iter().product();
    let counts = non_finite_counts(x)?;
    Ok(counts.iter().position(|&n| n > 0).map(|example| (counts.iter().sum(), total, example)))
}

/// Values on the host.
pub(crate) fn read(values: Tensor<1>) -> Result<Vec<f64>, FlowError> {
    let data = values.inner().try_into_data().map_err(|error| FlowError::Device(error.to_string()))?;
    Ok(data.iter::<f64>().collect())
}

/// Log-likelihoods on the host, all finite.
pub(crate) fn read_likelihood(log_prob: Tensor<1>) -> Result<Vec<f64>, FlowError> {
    let nats = read(log_prob)?;
    match nats.iter().position(|value| !value.is_finite()) {
        None => Ok(nats),
        Some(example) => Err(FlowError::NonFiniteLikelihood { example, value: nats[example] }),
    }
}
