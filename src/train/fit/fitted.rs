//! The result of a fit.

use super::flow::FitFlow;
use super::report::FitReport;

/// A fitted flow and its report.
#[derive(Debug, Clone)]
pub struct Fitted<F: FitFlow> {
    /// The flow with the best weights, outside any graph, as it is evaluated, sampled and saved. It
    /// can be fitted further.
    pub flow: F,
    /// The report of the fit.
    pub report: FitReport<F::Provenance>,
}
