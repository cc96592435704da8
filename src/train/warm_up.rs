//! Learning-rate warm-up: a straight line from zero to the peak, then the peak.
//!
//! ```text
//! lr(step) = peak · min(1, step / steps)        step = number of parameter updates already done
//! ```

/// A linear warm-up of the learning rate, computed from the step alone, so a resumed run needs no
/// scheduler state.
///
/// The *step* is the number of parameter updates already done: the first update is step 0 and has a
/// learning rate of **zero**, which is what the official Flow++ code does (`lr = max·step/2000`);
/// it still moves the moments of Adam. Pass `step + 1` to give every update a positive rate.
///
/// `steps == 0` means no warm-up: the rate is `peak` from step 0 on.
///
/// Source: Ho et al. 2019, *Flow++*, `run_cifar.py:90-97` (peak 3e-4, 2000 steps).
///
/// ```
/// use flowkit::train::WarmUp;
///
/// let warm_up = WarmUp { peak: 3e-4, steps: 2000 };
/// assert_eq!(warm_up.lr(0), 0.0);
/// assert_eq!(warm_up.lr(1000), 1.5e-4);
/// assert_eq!(warm_up.lr(1_000_000), 3e-4);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WarmUp {
    /// The learning rate after the warm-up.
    pub peak: f64,
    /// The number of updates until the peak is reached.
    pub steps: u64,
}

impl WarmUp {
    /// The learning rate of the update that follows `step` finished updates.
    pub fn lr(&self, step: u64) -> f64 {
        if step >= self.steps {
            return self.peak;
        }
        // step < steps, so steps is not zero. Beyond 2^53, steps lose digits that no learning rate
        // has.
        self.peak * step as f64 / self.steps as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by an independent implementation of the official schedule.
    #[test]
    fn the_schedule_of_flow_pp_on_cifar() {
        let warm_up = WarmUp { peak: 3e-4, steps: 2000 };
        let cases = [
            (0, 0.0),
            (1, 1.5e-7),
            (1000, 0.00015),
            (1999, 0.00029984999999999994),
            (2000, 0.0003),
            (100_000, 0.0003),
        ];
        for (step, lr) in cases {
            assert_eq!(warm_up.lr(step), lr, "step {step}");
        }
    }

    #[test]
    fn no_steps_is_no_warm_up() {
        assert_eq!(WarmUp { peak: 0.5, steps: 0 }.lr(0), 0.5);
    }
}
