//! Tests of outputs.

use crate::kernel::attention::cpu::parallel::{forward, forward_with};
use crate::kernel::cpu::simd::{InstructionSet, Real};

use super::naive::{Problem, SIZES, error, rounded, widened};

/// Output and logarithms of sums.
fn values<T: Real>(set: InstructionSet, problem: &Problem) -> [Vec<T>; 2] {
    let mut output = vec![T::nan(); problem.output.len()];
    let mut log_sums = vec![T::nan(); problem.log_sums.len()];
    let projected = rounded::<T>(&problem.projected);
    forward_with(set, problem.dims(), &projected, &mut output, &mut log_sums);
    [output, log_sums]
}

fn check<T: Real>(problem: &Problem, tolerance: f64) {
    for set in InstructionSet::available() {
        let [output, log_sums] = values::<T>(set, problem).map(|x| widened(&x));
        let errors = [error(&output, &problem.output), error(&log_sums, &problem.log_sums)];
        println!("{:?} {errors:?}", problem.size);
        assert!(
            errors.iter().all(|&error| error < tolerance),
            "{:?} {set:?} {errors:?}",
            problem.size
        );
    }
}

#[test]
fn equals_plain_loops_in_f32() {
    SIZES.iter().for_each(|&size| check::<f32>(&Problem::random(size, 2.0), 2e-6));
}

#[test]
fn equals_plain_loops_in_f64() {
    SIZES.iter().for_each(|&size| check::<f64>(&Problem::random(size, 2.0), 1e-13));
}

/// The largest score is about 1e4: one unit in the last place of f32 is 1e-3 there, and so are the
/// errors of weights.
#[test]
fn large_scores() {
    for size in [[1, 2, 8, 100], [1, 1, 24, 512], [2, 1, 3, 17]] {
        let problem = Problem::random(size, 100.0);
        let largest = problem.log_sums.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
        assert!(largest > 4e3, "{largest}");
        check::<f32>(&problem, 4e-3);
        check::<f64>(&problem, 1e-11);
    }
}

#[test]
fn nan_stays_in_its_head() {
    let mut problem = Problem::random([2, 2, 8, 70], 1.0);
    let clean = values::<f32>(InstructionSet::detect(), &problem);
    let size = 8 * 70;
    // A key of the second head of the first example.
    problem.projected[2 * size + size + 3 * 70 + 5] = f64::NAN;
    let [output, log_sums] = values::<f32>(InstructionSet::detect(), &problem);
    for (head, (output, clean)) in output.chunks(size).zip(clean[0].chunks(size)).enumerate() {
        assert!(if head == 1 { output.iter().all(|x| x.is_nan()) } else { output == clean });
    }
    assert!(log_sums[70..140].iter().all(|x| x.is_nan()) && log_sums[..70] == clean[1][..70]);
}

/// On sizes that are worth sharing.
#[test]
fn threads_do_not_matter() {
    for size in [[1, 1, 8, 1000], [1, 3, 24, 300], [5, 2, 3, 200]] {
        let problem = Problem::random(size, 2.0);
        let of = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| values::<f32>(InstructionSet::detect(), &problem))
        };
        assert!(of(1) == of(2) && of(1) == of(3));
    }
}

#[test]
fn empty_batch() {
    forward::<f32>(&[], [0, 8, 5], 2, &mut [], &mut []);
    forward::<f32>(&[], [3, 8, 0], 2, &mut [], &mut []);
}
