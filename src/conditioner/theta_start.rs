//! Where the parameters that a network gives start: the bias of its last layer, whose weights start at 0.

use burn::module::{Initializer, Param};
use burn::tensor::{Device, Tensor, TensorData};

use crate::error::ConfigError;

/// Whether `start` is `None` or names a finite number for each of `n_params` parameters.
pub(crate) fn validate(config: &'static str, start: &Option<Vec<f64>>, n_params: usize) -> Result<(), ConfigError> {
    const FIELD: &str = "theta_start";
    let Some(start) = start else { return Ok(()) };
    if start.len() != n_params {
        return Err(ConfigError::Length { config, field: FIELD, expected: n_params, found: start.len() });
    }
    match start.iter().find(|value| value.is_nan() || value.abs() > f64::from(f32::MAX)) {
        None => Ok(()),
        Some(&found) => Err(ConfigError::OutOfRange { config, field: FIELD, range: "the float32 numbers", found }),
    }
}

/// The bias of `n_params·n_other` outputs, ordered by parameter, at which every number's parameters are `start`; `None`: 0.
pub(crate) fn bias(start: &Option<Vec<f64>>, n_params: usize, n_other: usize, device: &Device) -> Param<Tensor<1>> {
    match start {
        Some(start) if start.iter().any(|&value| value != 0.0) => {
            let values: Vec<f32> = start.iter().flat_map(|&value| vec![value as f32; n_other]).collect();
            Param::from_tensor(Tensor::from_data(TensorData::new(values, [n_params * n_other]), device))
        }
        // Lazy, as all other parameters.
        _ => Initializer::Zeros.init([n_params * n_other], device),
    }
}
