//! Matrices and scales: `LULinear`, `BatchNorm`, `ActNorm`, `PointwiseAffineTransform`.

use super::reader::Reader;
use crate::any_layer::AnyLayerConfig;
use crate::linear::{ActNormConfig, Conv1x1Config};
use crate::state_dict::StateDictError;
use crate::state_dict::slot::Part;

/// `eps` of `LULinear`, the smallest diagonal.
const LEAST_DIAGONAL: f64 = 1e-3;
/// `eps` of `BatchNorm`, of its weight and of its variance.
const BATCH_NORM: f64 = 1e-5;

/// `ln(1 + e^x)`.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

impl Reader<'_> {
    /// `y = L U x + b`.
    pub(super) fn matrix(&mut self, prefix: &str) -> Result<(), StateDictError> {
        let diagonal = format!("{prefix}.unconstrained_upper_diag");
        let [n] = self.file.shape(&diagonal)?;
        self.has_features(prefix, n)?;
        let diagonal = self.file.vector(&diagonal, n)?;
        let log_scale = diagonal.into_iter().map(|value| (softplus(value) + LEAST_DIAGONAL).ln());
        let log_scale = log_scale.collect();
        let entries = n * (n - 1) / 2;
        let mut triangle = |name: &str, inside: fn(usize, usize) -> bool| {
            let mut entries = self.file.vector(&format!("{prefix}.{name}"), entries)?.into_iter();
            let places = (0..n * n).map(|place| (place / n, place % n));
            let entry = |(row, column)| match inside(row, column) {
                true => entries.next().unwrap_or_default(),
                false => 0.0,
            };
            Ok(places.map(entry).collect::<Vec<f64>>())
        };
        let lower = triangle("lower_entries", |row, column| row > column)?;
        let upper = triangle("upper_entries", |row, column| row < column)?;
        let bias = self.file.vector(&format!("{prefix}.bias"), n)?;
        let path = self.push(AnyLayerConfig::Conv1x1(Conv1x1Config::new()));
        self.file.put(format!("{path}.lower"), [n, n], lower);
        self.file.put(format!("{path}.upper"), [n, n], upper);
        self.file.put(format!("{path}.log_scale"), [n], log_scale);
        self.file.put_indices(format!("{path}.sign"), &vec![1; n]);
        self.file.put_indices(format!("{path}.permutation"), &(0..n).collect::<Vec<_>>());
        self.scale(bias, vec![0.0; n]);
        Ok(())
    }

    /// Adds `z = (x + bias)·exp(log_scale)`.
    fn scale(&mut self, bias: Vec<f64>, log_scale: Vec<f64>) {
        let shape = [1, bias.len()];
        let path = self.push(AnyLayerConfig::ActNorm(ActNormConfig::new()));
        self.file.put(format!("{path}.bias"), shape, bias);
        self.file.put(format!("{path}.log_scale"), shape, log_scale);
    }

    /// `y = weight·(x − mean)/√(variance + ε) + bias`, with the averages of training.
    pub(super) fn batch_norm(&mut self, prefix: &str) -> Result<(), StateDictError> {
        let [n] = self.file.shape(&format!("{prefix}.running_mean"))?;
        self.has_features(prefix, n)?;
        let mut vector = |name: &str| self.file.vector(&format!("{prefix}.{name}"), n);
        let (mean, variance) = (vector("running_mean")?, vector("running_var")?);
        let (weight, shift) = (vector("unconstrained_weight")?, vector("bias")?);
        if let Some(found) = variance.iter().copied().find(|&found| found < 0.0) {
            let (path, name) = (self.file.path().into(), format!("{prefix}.running_var"));
            return Err(StateDictError::NotPositive { path, name, found });
        }
        let log_scale = weight.into_iter().zip(variance).map(|(weight, variance)| {
            (softplus(weight) + BATCH_NORM).ln() - 0.5 * (variance + BATCH_NORM).ln()
        });
        let log_scale: Vec<f64> = log_scale.collect();
        let bias = mean.into_iter().zip(shift).zip(&log_scale);
        let bias = bias.map(|((mean, shift), log_scale)| shift * (-log_scale).exp() - mean);
        self.scale(bias.collect(), log_scale);
        Ok(())
    }

    /// `y = x·exp(log_scale) + shift`.
    pub(super) fn norm(&mut self, prefix: &str) -> Result<(), StateDictError> {
        let [n] = self.file.shape(&format!("{prefix}.log_scale"))?;
        self.has_features(prefix, n)?;
        let log_scale = self.file.vector(&format!("{prefix}.log_scale"), n)?;
        let shift = self.file.vector(&format!("{prefix}.shift"), n)?;
        // One that was never trained is the identity, as its scale and shift are.
        self.file.expect_shape(&format!("{prefix}.initialized"), &[])?;
        let bias = shift.iter().zip(&log_scale).map(|(shift, scale)| shift * (-scale).exp());
        self.scale(bias.collect(), log_scale);
        Ok(())
    }

    /// `y = x·scale + shift`, with one number for each element or for all of them.
    pub(super) fn affine(&mut self, prefix: &str) -> Result<(), StateDictError> {
        let names = [format!("{prefix}._shift"), format!("{prefix}._scale")];
        let length = |name: &String| match self.file.shape::<1>(name) {
            Ok([n]) => Ok(n),
            Err(_) => self.file.shape::<0>(name).map(|[]| 1),
        };
        let longest = length(&names[0])?.max(length(&names[1])?);
        let n = if longest == 1 { self.features()? } else { longest };
        self.has_features(prefix, n)?;
        let mut vector = |name: &String, is_log: bool| {
            let part = |shape: &[usize]| Part::new(name, shape);
            let part = match self.file.shape::<1>(name) {
                Ok(shape) => part(&shape),
                Err(_) => part(&[]),
            };
            let values = self.file.values(if is_log { part.ln() } else { part })?;
            match values.as_slice() {
                &[one] => Ok(vec![one; n]),
                all if all.len() == n => Ok(values),
                all => {
                    let reason = format!("`{name}`: expected 1 or {n} values, found {}", all.len());
                    Err(self.file.undetermined(reason))
                }
            }
        };
        let (shift, log_scale) = (vector(&names[0], false)?, vector(&names[1], true)?);
        let bias = shift.iter().zip(&log_scale).map(|(shift, scale)| shift * (-scale).exp());
        self.scale(bias.collect(), log_scale);
        Ok(())
    }
}
