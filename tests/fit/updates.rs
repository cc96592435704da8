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
        let config = config.with_steps(Some(2));
        assert_eq!(config.updates(n), 2, "{n}");
        assert_eq!(config.fit(normal(), &data).unwrap().report.steps, 2, "{n}");
    }
    assert_eq!([0, 1].map(|n| config().updates(n)), [0, 0]);
}

/// A learning rate that falls to 0 is the cosine to the last update, whatever limits these: epochs,
/// steps, examples of weight 0, or other data to hold out.
#[test]
fn a_rate_falls_to_zero_with_the_last_update() {
    let data = TwoMoons::new(100, 0.1, 1);
    let base = || config().with_warm_up(2).with_batch_size(16).with_epochs(3);
    let to_zero = |config: FitConfig| config.with_schedule(FitSchedule::ToZero);
    let cosine = |config: FitConfig, end| {
        config.with_schedule(Schedule::Cosine { start: 2, end, floor: 0.0 }.into())
    };
    let weights = (0..100).map(|row| f64::from(u8::from(row % 2 == 0))).collect();
    let weighted = Weighted::new(TwoMoons::new(100, 0.1, 1), weights);
    for (config, updates) in [(base(), 15), (base().with_steps(Some(7)), 7)] {
        let fit = |config: FitConfig| config.fit(normal(), &data).unwrap().report.curve;
        assert_eq!(fit(to_zero(config.clone())), fit(cosine(config.clone(), updates)));
        assert_ne!(fit(to_zero(config.clone())), fit(cosine(config, updates + 1)));
    }
    let fit = |config: FitConfig| config.fit(normal(), &weighted).unwrap().report.curve;
    assert_eq!(fit(to_zero(base())), fit(cosine(base(), 6)));
    let fit = |config: FitConfig| config.fit_held_out(normal(), &data, &data).unwrap().report.curve;
    assert_eq!(fit(to_zero(base())), fit(cosine(base(), 18)));
}
