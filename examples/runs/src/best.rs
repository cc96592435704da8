//! What a fit that failed had learnt until then.

use flowkit::train::fit::{FitError, FitFlow, Fitted};

use crate::complain;

/// The best weights of a fit whose training failed, if an update had improved on the first weights;
/// says so on the standard error. For [`Result::or_else`]: the run goes on with them.
///
/// # Errors
/// Every other error.
///
/// ```
/// use burn::tensor::Device;
/// use flowkit::data::TwoMoons;
/// use flowkit::model::RealNvpConfig;
/// use flowkit::train::fit::{FitConfig, FitError, Progress};
/// use flowkit::{Flow, StandardNormal};
/// use flowkit_runs::best::best_so_far;
///
/// let (data, device) = (TwoMoons::new(1000, 0.1, 0), Device::flex());
/// let fit = |learning_rate: f64| {
///     let layers = RealNvpConfig::new(2);
///     let flow = Flow::build(&layers, StandardNormal::new(), [1, 2], &device).unwrap();
///     let config = FitConfig::new().with_epochs(3).with_warm_up(0).with_progress(Progress::None);
///     config.with_learning_rate(learning_rate).fit(flow, &data)
/// };
/// // No float32 survives the first update.
/// let FitError::Broken { error, .. } = fit(1e39).unwrap_err() else { panic!() };
/// assert!(fit(1e39).or_else(best_so_far).is_err());
/// let best = Box::new(fit(1e-3).unwrap());
/// let step = best.report.best_step;
/// let later = Err(FitError::Broken { error, best });
/// assert_eq!(later.or_else(best_so_far)?.report.best_step, step);
/// # Ok::<(), flowkit::Error>(())
/// ```
pub fn best_so_far<F: FitFlow>(error: FitError<F>) -> Result<Fitted<F>, flowkit::Error> {
    match error {
        FitError::Broken { error, best } if best.report.best_step > 0 => {
            let step = best.report.best_step;
            complain!("training failed: {error}; goes on with the weights after update {step}");
            Ok(*best)
        }
        error => Err(error.into()),
    }
}
