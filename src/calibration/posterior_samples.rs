//! True parameters, each with samples of the density given its observation.
//! ```text
//! x*_i [d],  x_i1 … x_iL [d]                i = 1..n simulations
//! ```

use burn::tensor::Tensor;

use super::CalibrationError;
use crate::context::{Context, ContextPart};
use crate::error::FlowError;

/// Samples that are requested at once.
const BLOCK: usize = 1 << 14;

/// True parameters of simulations, and for each of them samples of a density given the observation.
/// They are held on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct PosteriorSamples {
    truth: Vec<f64>,
    samples: Vec<f64>,
    dims: usize,
    per_observation: usize,
}

/// Copies a tensor to the host and checks that its elements are finite.
pub(super) fn finite(what: &'static str, x: &Tensor<2>) -> Result<Vec<f64>, CalibrationError> {
    let data = x.clone().inner().try_into_data();
    let data = data.map_err(|error| FlowError::Device(error.to_string()))?;
    let values: Vec<f64> = data.iter::<f64>().collect();
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(values),
        Some(at) => {
            let (width, found) = (x.dims()[1].max(1), values[at]);
            Err(CalibrationError::NotFinite { what, row: at / width, column: at % width, found })
        }
    }
}

impl PosteriorSamples {
    /// Samples a density for each of many observations.
    ///
    /// `parameters [n, d]` and `observed`, with one row for each of them, are simulations. `sample`
    /// returns one sample for each row of a condition, whose number is its second argument:
    /// `|observed, n| model.given(observed).sample(n)`. It is called for blocks of rows, in which
    /// each observation occurs `per_observation` times.
    ///
    /// # Errors
    /// Those of `sample`; tensors that do not fit each other, or are not finite; no row or sample.
    pub fn collect<C: Context>(
        parameters: &Tensor<2>,
        observed: &C,
        per_observation: usize,
        sample: impl Fn(&C, usize) -> Result<Tensor<2>, FlowError>,
    ) -> Result<Self, CalibrationError> {
        let [n, dims] = parameters.dims();
        let rows = |part: ContextPart| part.shape.first().copied().unwrap_or(0);
        if let Some(found) = observed.parts().into_iter().map(rows).find(|&found| found != n) {
            return Err(CalibrationError::Observations { expected: n, found });
        }
        for (what, found) in [("parameters", n.min(dims)), ("samples", per_observation)] {
            if found == 0 {
                return Err(CalibrationError::TooFew { what, least: 1, found });
            }
        }
        let truth = finite("parameters", parameters)?;
        let observed = observed.plain();
        let at_once = (BLOCK / per_observation).max(1);
        let mut samples = Vec::with_capacity(truth.len() * per_observation);
        for start in (0..n).step_by(at_once) {
            let block = start..n.min(start + at_once);
            let rows: Vec<usize> =
                block.flat_map(|row| std::iter::repeat_n(row, per_observation)).collect();
            let found = sample(&observed.select(&rows), rows.len())?;
            let expected = [rows.len(), dims];
            if found.dims() != expected {
                let (what, found) = ("samples", found.dims());
                return Err(CalibrationError::Shape { what, expected, found });
            }
            samples.extend(finite("samples", &found)?);
        }
        Ok(Self { truth, samples, dims, per_observation })
    }

    /// Number of simulations `n`.
    pub fn len(&self) -> usize {
        self.truth.len() / self.dims
    }

    /// Whether there are no simulations. There is always at least one.
    pub fn is_empty(&self) -> bool {
        self.truth.is_empty()
    }

    /// Number of parameters `d`.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// Number of samples `L` for each simulation.
    pub fn per_observation(&self) -> usize {
        self.per_observation
    }

    /// The true parameters of a simulation.
    ///
    /// # Panics
    /// If there is no such simulation.
    pub fn truth(&self, simulation: usize) -> &[f64] {
        &self.truth[simulation * self.dims..][..self.dims]
    }

    /// The samples for a simulation.
    ///
    /// # Panics
    /// If there is no such simulation.
    pub fn samples(&self, simulation: usize) -> impl Iterator<Item = &[f64]> {
        let all = self.dims * self.per_observation;
        self.samples[simulation * all..][..all].chunks_exact(self.dims)
    }
}
