//! How many updates a fit makes.

use super::*;
use flowkit::train::Schedule;

#[test]
fn steps_and_seconds_end_it() {
    let data = TwoMoons::new(1000, 0.1, 1);
    let report = config().with_steps(Some(5)).fit(normal(), &data).unwrap().report;
    assert_eq!((report.end, report.steps, report.epochs), (FitEnd::Steps, 5, 2));
    assert_eq!(report.curve.last().unwrap().step, 5);
    let report = config().with_seconds(Some(1e-9)).fit(normal(), &data).unwrap().report;
    assert_eq!((report.end, report.steps), (FitEnd::Seconds, 1));
    assert!(report.seconds > 0.0);
}

/// The number of updates is known before the fit, for a learning rate that falls to 0 with them.
#[test]
fn updates_are_those_that_are_announced() {
    for (n, batch_size, held_out) in [(100, 16, 0.1), (20, 256, 0.5), (2, 1, 0.01), (35, 32, 0.9)] {
        let data = TwoMoons::new(n, 0.1, 1);
        let config = config().with_epochs(3).with_batch_size(batch_size).with_held_out(held_out);
        let report = config.fit(normal(), &data).unwrap().report;
        assert_eq!((report.end, report.steps), (FitEnd::Epochs, config.updates(n)), "{n}");
        let config = config.with_steps(Some(2)).with_warm_up(0).with_rate_to_zero(n);
        assert_eq!(config.updates(n), 2, "{n}");
        assert_eq!(config.schedule, Schedule::Cosine { start: 0, end: 2, floor: 0.0 });
        assert_eq!(config.fit(normal(), &data).unwrap().report.steps, 2, "{n}");
    }
    assert_eq!([0, 1].map(|n| config().updates(n)), [0, 0]);
    let short = config().with_epochs(1).with_rate_to_zero(300);
    assert_eq!(short.schedule, Schedule::Cosine { start: 100, end: 101, floor: 0.0 });
}
