//! Tests of gradients.

use crate::kernel::attention::cpu::parallel::{backward, backward_with, forward_with};
use crate::kernel::cpu::simd::{InstructionSet, Real};

use super::naive::{Problem, SIZES, error, rounded, widened};

/// Gradient of queries, keys and values, from the kernel's own outputs.
fn gradient<T: Real>(set: InstructionSet, problem: &Problem) -> Vec<T> {
    let dims = problem.dims();
    let mut output = vec![T::nan(); problem.output.len()];
    let mut log_sums = vec![T::nan(); problem.log_sums.len()];
    let mut found = vec![T::nan(); problem.projected.len()];
    let (projected, gradient) = (rounded::<T>(&problem.projected), rounded::<T>(&problem.gradient));
    forward_with(set, dims, &projected, &mut output, &mut log_sums);
    backward_with(set, dims, &projected, &output, &log_sums, &gradient, &mut found);
    found
}

fn check<T: Real>(problem: &Problem, tolerance: f64) {
    for set in InstructionSet::available() {
        let found = problem.parts(&widened(&gradient::<T>(set, problem)));
        let truth = problem.parts(&problem.projected_gradient);
        let largest = truth.iter().flatten().fold(0.0, |largest: f64, x| largest.max(x.abs()));
        let errors = [0, 1, 2].map(|part| {
            // With a single key, the gradients of queries and keys are rounding errors around 0.
            if problem.size[3] == 1 && part < 2 {
                return found[part].iter().fold(0.0, |worst: f64, x| worst.max(x.abs())) / largest;
            }
            error(&found[part], &truth[part])
        });
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
        check::<f32>(&problem, 4e-3);
        check::<f64>(&problem, 1e-11);
    }
}

/// The padding after the last key is 0, so its scores are far above those of the keys.
#[test]
fn all_scores_far_below_zero() {
    let mut problem = Problem::random([1, 1, 8, 19], 100.0);
    for (index, x) in problem.projected.iter_mut().enumerate() {
        match index / (8 * 19) {
            0 => *x = x.abs(),
            1 => *x = -x.abs(),
            _ => (),
        }
    }
    let problem = Problem::new(problem.size, problem.projected, problem.gradient);
    assert!(problem.log_sums.iter().all(|&x| x < -1e3));
    check::<f32>(&problem, 4e-3);
    check::<f64>(&problem, 1e-11);
}

#[test]
fn nan_stays_in_its_head() {
    let mut problem = Problem::random([2, 2, 8, 70], 1.0);
    let clean = gradient::<f32>(InstructionSet::detect(), &problem);
    let size = 8 * 70;
    // A value of the first head of the second example.
    problem.projected[6 * size + 4 * size + 3 * 70 + 5] = f64::NAN;
    let found = gradient::<f32>(InstructionSet::detect(), &problem);
    for (index, (found, clean)) in found.chunks(size).zip(clean.chunks(size)).enumerate() {
        let (example, part, head) = (index / 6, index / 2 % 3, index % 2);
        if (example, head) != (1, 0) {
            assert_eq!(found, clean);
        } else if part < 2 {
            assert!(found.iter().all(|x| x.is_nan()));
        }
    }
}

/// On sizes that are worth sharing.
#[test]
fn threads_do_not_matter() {
    for size in [[1, 1, 8, 500], [1, 3, 24, 300], [5, 2, 3, 200]] {
        let problem = Problem::random(size, 2.0);
        let of = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| gradient::<f32>(InstructionSet::detect(), &problem))
        };
        assert!(of(1) == of(2) && of(1) == of(3));
    }
}

#[test]
fn empty_batch() {
    backward::<f32>(&[], [0, 8, 5], 2, &[], &[], &[], &mut []);
    backward::<f32>(&[], [3, 8, 0], 2, &[], &[], &[], &mut []);
}
