//! Classifier two-sample test (C2ST): the accuracy with which a classifier tells two sets of
//! samples apart.
//! ```text
//! z = (x − mean of the reference)/(deviation of the reference)     each column
//! accuracy   of classifiers that are trained on all but one of `folds` parts of both sets,
//!            on that part; the mean over the parts
//! ```
//! 1/2: the sets cannot be told apart. 1: they do not overlap. The two sets count alike: of the
//! larger one, only the first rows are used.
//!
//! # Reference
//! Lopez-Paz & Oquab 2017. The network, its training and the scaling are those of the benchmark of
//! Lueckmann et al. 2021: two hidden layers of ten units for each column, Adam, five folds, an end
//! after ten epochs without progress. Differs: no penalty of the weights (theirs is `1e-4`).

use std::fmt::{Display, Formatter, Result as FmtResult};

use burn::tensor::{Int, Tensor};

use super::CalibrationError;
use super::classifier::Classifier;
use super::classifier_test_config::ClassifierTestConfig;
use super::posterior_samples::finite;
use crate::error::FlowError;
use crate::random::Seeded;
use crate::random::shuffle::shuffled;
use crate::tensor::moments::on_device;

/// Separates the shuffles of the folds: more than the epochs of a classifier.
const STREAMS: u64 = 1 << 32;

/// The result of a classifier two-sample test.
///
/// Its text is one line: `accuracy 0.5512 ± 0.0035 on 20000 samples`.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassifierTest {
    /// Accuracy on each part.
    pub folds: Vec<f64>,
    /// Number of rows of both sets together.
    pub rows: usize,
}

impl ClassifierTest {
    /// Mean accuracy over the parts: 1/2 if the sets cannot be told apart.
    pub fn accuracy(&self) -> f64 {
        self.folds.iter().sum::<f64>() / self.folds.len() as f64
    }

    /// Standard error of the accuracy, as that of a share of independent rows:
    /// `√(a(1 − a)/rows)`.
    pub fn standard_error(&self) -> f64 {
        let accuracy = self.accuracy();
        (accuracy * (1.0 - accuracy) / self.rows as f64).sqrt()
    }
}

impl Display for ClassifierTest {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        let (accuracy, error) = (self.accuracy(), self.standard_error());
        write!(f, "accuracy {accuracy:.4} ± {error:.4} on {} samples", self.rows)
    }
}

impl ClassifierTestConfig {
    /// Tests whether `samples` and `reference`, both `[rows, columns]`, have the same distribution.
    ///
    /// ```
    /// use burn::tensor::{Device, Distribution, Tensor};
    /// use flowkit::calibration::ClassifierTestConfig;
    ///
    /// let device = Device::flex();
    /// let normal = |mean| Tensor::<2>::random([200, 2], Distribution::Normal(mean, 1.0), &device);
    /// let config = ClassifierTestConfig::new().with_epochs(60).with_batch_size(50);
    /// let far = config.test(&normal(0.0), &normal(9.0))?;
    /// assert!(far.accuracy() > 0.95, "{far}");
    /// # Ok::<(), flowkit::calibration::CalibrationError>(())
    /// ```
    ///
    /// # Errors
    /// A rule of [`ClassifierTestConfig::validate`]; sets with different columns, with fewer rows
    /// than parts, or that are not finite; a column of the reference that is constant.
    pub fn test(
        &self,
        reference: &Tensor<2>,
        samples: &Tensor<2>,
    ) -> Result<ClassifierTest, CalibrationError> {
        self.validate()?;
        let ([n_reference, columns], [n_samples, found]) = (reference.dims(), samples.dims());
        if found != columns {
            let (expected, found) = ([n_samples, columns], samples.dims());
            return Err(CalibrationError::Shape { what: "samples", expected, found });
        }
        self.width_for(columns)?;
        let (least, n) = (self.folds.max(2), n_reference.min(n_samples));
        for (what, found) in [("reference", n_reference), ("samples", n_samples)] {
            if found < least || columns == 0 {
                return Err(CalibrationError::TooFew { what, least, found });
            }
        }
        let device = reference.device().inner();
        let first = |x: &Tensor<2>| x.clone().inner().to_device(&device).narrow(0, 0, n);
        let (reference, samples) = (first(reference), first(samples).cast(reference.dtype()));
        let (mean, scale) = moments(&finite("reference", &reference)?, columns)?;
        finite("samples", &samples)?;
        let row = |values: Vec<f64>| on_device(values, [1, columns], &device, reference.dtype());
        let x = Tensor::cat(vec![reference.clone(), samples], 0);
        let x = (x - row(mean)) * row(scale);
        let sign = |sign: f64| Tensor::<2>::full([n, 1], sign, (&device, x.dtype()));
        let signs = Tensor::cat(vec![sign(-1.0), sign(1.0)], 0);
        let order = shuffled(2 * n, self.seed, u64::MAX);
        let _scope = Seeded::new(&device, self.seed);
        let fold = |fold: usize| self.fold(&x, &signs, &order, fold);
        let folds = (0..self.folds).map(fold).collect::<Result<Vec<f64>, _>>()?;
        Ok(ClassifierTest { folds, rows: 2 * n })
    }

    /// The accuracy on part `fold` of the rows, which are in the order `order`.
    fn fold(
        &self,
        x: &Tensor<2>,
        signs: &Tensor<2>,
        order: &[usize],
        fold: usize,
    ) -> Result<f64, CalibrationError> {
        let (start, end) = (fold * order.len() / self.folds, (fold + 1) * order.len() / self.folds);
        let places = |part: &[&[usize]]| {
            // The cast is safe: an index is below the length of a tensor.
            let rows: Vec<i64> = part.concat().into_iter().map(|row| row as i64).collect();
            Tensor::<1, Int>::from_data(rows.as_slice(), &x.device())
        };
        let train = places(&[&order[..start], &order[end..]]);
        let test = places(&[&order[start..end]]);
        let part =
            |values: &Tensor<2>, rows: &Tensor<1, Int>| values.clone().select(0, rows.clone());
        let stream = fold as u64 * STREAMS;
        let classifier = Classifier::trained(&part(x, &train), &part(signs, &train), self, stream)?;
        let margin = classifier.score(part(x, &test)) * part(signs, &test);
        let margins = margin.try_into_data();
        let margins = margins.map_err(|error| FlowError::Device(error.to_string()))?;
        let right = margins.iter::<f64>().filter(|&margin| margin > 0.0).count();
        Ok(right as f64 / (end - start) as f64)
    }
}

/// Mean and reciprocal of the deviation of each column.
fn moments(values: &[f64], columns: usize) -> Result<(Vec<f64>, Vec<f64>), CalibrationError> {
    let n = (values.len() / columns) as f64;
    let column = |column: usize| values.iter().skip(column).step_by(columns);
    let (mut means, mut scales) = (Vec::new(), Vec::new());
    for (index, &value) in values.iter().take(columns).enumerate() {
        let mean = column(index).sum::<f64>() / n;
        let squares: f64 = column(index).map(|x| (x - mean) * (x - mean)).sum();
        let deviation = (squares / (n - 1.0)).sqrt();
        if deviation <= f64::EPSILON * mean.abs() {
            let what = "reference";
            return Err(CalibrationError::Constant { what, column: index, value });
        }
        means.push(mean);
        scales.push(1.0 / deviation);
    }
    Ok((means, scales))
}
