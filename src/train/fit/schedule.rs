//! The learning rate of a fit after the warm-up.

use serde::{Deserialize, Serialize};

use crate::train::Schedule;

/// The learning rate of a fit after the warm-up.
///
/// ```
/// use flowkit::train::Schedule;
/// use flowkit::train::fit::FitSchedule;
///
/// let (warm_up, updates) = (100, 900);
/// let cosine = Schedule::Cosine { start: 100, end: 900, floor: 0.0 };
/// assert_eq!(FitSchedule::ToZero.over(warm_up, updates), cosine);
/// let given = FitSchedule::Given(Schedule::Constant);
/// assert_eq!(given.over(warm_up, updates), Schedule::Constant);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum FitSchedule {
    /// This one, which counts updates and does not depend on the length of the fit.
    Given(Schedule),
    /// Half a cosine: from the full rate at the end of the warm-up to 0 at the last update that
    /// epochs and steps allow. With more epochs the rate falls more slowly. A fit that ends before,
    /// by its patience or its limit of time, ends at a higher rate.
    ToZero,
}

impl FitSchedule {
    /// The schedule of a fit with so many updates, of which the first `warm_up` raise the rate.
    pub fn over(self, warm_up: u64, updates: u64) -> Schedule {
        match self {
            Self::Given(schedule) => schedule,
            // The cosine has to end after it starts.
            Self::ToZero => Schedule::Cosine {
                start: warm_up,
                end: updates.max(warm_up.saturating_add(1)),
                floor: 0.0,
            },
        }
    }
}

impl From<Schedule> for FitSchedule {
    fn from(schedule: Schedule) -> Self {
        Self::Given(schedule)
    }
}
