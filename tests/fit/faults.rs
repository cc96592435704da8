//! Sets that return other rows than they are asked for, conditions of one row, and fits that gain
//! nothing.

use std::cell::Cell;

use super::*;

/// Points with a condition. How many rows a batch has is a function of the number of the call, from
/// 1, and of the number of rows that are asked for.
struct Odd<X, C> {
    calls: Cell<usize>,
    data: X,
    condition: C,
}

fn odd<X: Fn(usize, usize) -> usize, C: Fn(usize) -> usize>(data: X, condition: C) -> Odd<X, C> {
    Odd { calls: Cell::new(0), data, condition }
}

impl<X: Fn(usize, usize) -> usize, C: Fn(usize) -> usize> FitData for Odd<X, C> {
    type Data = Tensor<2>;
    type Context = Tensor<2>;

    fn len(&self) -> usize {
        20
    }

    fn batch(&self, rows: &[usize], device: &Device) -> (Tensor<2>, Tensor<2>) {
        self.calls.set(self.calls.get() + 1);
        let draw = |rows| Tensor::random([rows, 2], Distribution::Normal(0.0, 1.0), device);
        (draw((self.data)(self.calls.get(), rows.len())), draw((self.condition)(rows.len())))
    }
}

fn given() -> Uninit<Plane<Tensor<2>>> {
    plane(1, Some(2))
}

fn fault<T>(fitted: Result<T, FitError<Plane<Tensor<2>>>>) -> FitDataError {
    match fitted.map(drop).unwrap_err() {
        FitError::Data(error) => error,
        error => panic!("{error}"),
    }
}

#[test]
fn a_batch_of_other_rows_is_refused() {
    let config = config().with_batch_size(8).with_epochs(1);
    let right = || odd(|_, n| n, |n| n);
    config.fit(given(), &right()).unwrap();
    config.fit(given(), &odd(|_, n| n, |_| 1)).unwrap();

    // An uninitialised flow meets 18 examples at once, an initialised one 8.
    for (error, what, expected, found) in [
        (fault(config.fit(given(), &odd(|_, n| n - 1, |n| n))), "data", 18, 17),
        (fault(config.fit(given(), &odd(|_, n| n, |n| n + 2))), "condition", 18, 20),
        (fault(config.fit(given().without_data(), &odd(|_, n| n + 1, |n| n))), "data", 8, 9),
        (fault(config.fit(given().without_data(), &odd(|_, n| n, |n| n - 1))), "condition", 8, 7),
    ] {
        let FitDataError::Batch { first, .. } = error else { panic!("{error}") };
        let named = FitDataError::Batch { set: "data", what, expected, found, first };
        assert_eq!(error, named);
        let text = format!(
            "data: `FitData::batch` was asked for {expected} examples, the first of them number \
             {first}: expected {expected} rows of {what}, found {found}"
        );
        assert!(first < 20 && error.to_string() == text, "{error}");
    }
    let held_out = odd(|_, n| n + 1, |n| n);
    let error = fault(config.fit_held_out(given(), &right(), &held_out));
    let (set, what) = ("held-out data", "data");
    assert_eq!(error, FitDataError::Batch { set, what, expected: 8, found: 9, first: 0 });
    // Three batches are checked and two held-out ones checked and evaluated before the training.
    let late = odd(|call, n| n + usize::from(call > 5), |n| n);
    let error = fault(config.fit(given().without_data(), &late));
    let FitDataError::Batch { set: "data", what: "data", expected: 8, found: 9, .. } = error else {
        panic!("{error}")
    };
    let empty = config.fit(given(), &odd(|_, _| 0, |_| 1)).unwrap_err();
    assert!(empty.to_string().contains("at least one element, found shape [0, 2]"), "{empty}");
}

/// One row serves all examples, as for a density.
#[test]
fn a_condition_of_one_row_is_repeated() {
    let config = config().with_batch_size(16).with_epochs(2);
    let data = TwoMoons::new(100, 0.1, 1);
    let row = Tensor::<2>::from_data([[0.5, -1.0]], &device());
    // Two flows from one seed are not the same where other tests draw meanwhile.
    let start = given();
    let one = config.fit(start.clone(), &(data.clone(), row.clone())).unwrap();
    let all = config.fit(start, &(data.clone(), row.clone().repeat_dim(0, 100))).unwrap();
    assert_eq!(one.report.held_out, all.report.held_out);
    let x = data.points(&device());
    let nats = one.flow.given(&row).evaluate(x.clone()).unwrap();
    assert_eq!(nats, all.flow.given(&row).evaluate(x).unwrap());
    assert!(one.report.best_step > 0);
}

/// A flow at its optimum, and a learning rate that moves it away.
#[test]
fn a_fit_that_gains_nothing_says_so() {
    let flow =
        || Flow::build(&ActNormConfig::new(), StandardNormal::new(), [1, 2], &device()).unwrap();
    let data = TwoMoons::new(400, 0.1, 1);
    let config = config().with_epochs(2).with_warm_up(1);
    let report = config.clone().with_learning_rate(1.0).fit(flow(), &data).unwrap().report;
    assert_eq!(report.best_step, 0, "{report}");
    let text = report.to_string();
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("No update improved on the initial weights: standardise"), "{text}");
    assert!(text.lines().count() == 3 && last.ends_with("or try another learning rate."), "{text}");

    let better = config.with_learning_rate(0.05).fit(normal(), &data).unwrap().report;
    assert!(better.best_step > 0 && better.to_string().lines().count() == 2, "{better}");
}
