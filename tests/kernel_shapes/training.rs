//! Updates of parameters and of their average.

use burn::backend::Dispatch;
use burn::tensor::Tensor;
use flowkit::kernel::adam::AdamOps;
use flowkit::kernel::adam::{self, Rates};
use flowkit::kernel::moving_average;
use flowkit::kernel::moving_average::MovingAverageOps;

use crate::{Door, Named, door, numbers};

const RATES: Rates = Rates { beta_1: 0.9, beta_2: 0.999, rate: 1e-3, epsilon: 1e-8 };

pub fn doors() -> Vec<Door> {
    let four: [Named; 4] =
        [("parameter", &[3, 5]), ("gradient", &[3, 5]), ("mean", &[3, 5]), ("square", &[3, 5])];
    let two: [Named; 2] = [("average", &[3, 5]), ("value", &[3, 5])];
    vec![
        door("adam", &four, &[], |c| {
            adam::update::<2>(c.get(0), c.get(1), c.get(2), c.get(3), RATES).map(numbers).concat()
        }),
        door("adam::plain::update", &four, &[], |c| {
            adam::plain::update::<2>(c.get(0), c.get(1), c.get(2), c.get(3), RATES)
                .map(numbers)
                .concat()
        }),
        door("AdamOps::adam", &four, &[], |c| {
            let (parameter, gradient, mean, square) = raw!(c, 2, 2, 2, 2);
            let (parameter, mean, square) =
                <Dispatch as AdamOps>::adam(parameter, gradient, mean, square, RATES);
            all!(2 parameter, 2 mean, 2 square)
        }),
        door("moving_average", &two, &[], |c| {
            numbers(moving_average::update::<2>(c.get(0), c.get(1), 0.1))
        }),
        door("moving_average::plain::update", &two, &[], |c| {
            numbers(moving_average::plain::update::<2>(c.get(0), c.get(1), 0.1))
        }),
        door("MovingAverageOps::moving_average", &two, &[], |c| {
            let (average, value) = raw!(c, 2, 2);
            all!(2 <Dispatch as MovingAverageOps>::moving_average(average, value, 0.1))
        }),
    ]
}
