//! What the fused mixture law holds beside its operands: its results and a twentieth of all.
//!
//! One test in this program, since the allocator counts for all threads.

use burn::tensor::{Device, Distribution, Tensor};
use flowkit::kernel::mixture_logistic;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const BATCH: usize = 16;
const DIMS: usize = 6144;
const N_PARAMS: usize = 2 + 3 * 32;
const MIN_LOG_SCALE: f64 = -7.0;

/// Bytes of so many numbers.
fn bytes(numbers: usize) -> usize {
    numbers * size_of::<f32>()
}

/// Bytes allocated at once at most, beside what there was before.
fn peak<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let result = work();
    (ALLOCATOR.peak_usage() - before, result)
}

fn assert_lean(what: &str, found: usize, inputs: usize, outputs: usize) {
    let allowed = outputs + (inputs + outputs) / 20;
    println!("{what}: {found} bytes, of them results {outputs}; operands {inputs}");
    assert!(
        found <= allowed,
        "{what}: {found} bytes beside {inputs} of operands, allowed {allowed}"
    );
    assert!(found >= outputs, "{what}: the results were not counted");
}

#[test]
fn the_mixture_law_allocates_its_results() {
    let device = Device::flex();
    let (n, n_theta) = (BATCH * DIMS, BATCH * N_PARAMS * DIMS);
    let x = Tensor::<2>::random([BATCH, DIMS], Distribution::Default, &device);
    let theta = Tensor::<3>::random([BATCH, N_PARAMS, DIMS], Distribution::Default, &device);
    let inputs = bytes(n + n_theta);

    let forward = || mixture_logistic::forward(x.clone(), theta.clone(), MIN_LOG_SCALE);
    forward(); // threads start
    let (found, (z, _)) = peak(forward);
    assert_lean("forward", found, inputs, bytes(2 * n));

    let (found, _) = peak(|| mixture_logistic::solve(z.clone(), theta.clone(), MIN_LOG_SCALE));
    assert_lean("inverse, with residual and flags", found, inputs, bytes(2 * n));

    let graph = device.autodiff();
    let x = Tensor::<2>::from_data(x.into_data(), &graph).require_grad();
    let theta = Tensor::<3>::from_data(theta.into_data(), &graph).require_grad();
    let (z, log_derivative) = mixture_logistic::forward(x.clone(), theta.clone(), MIN_LOG_SCALE);
    let loss = z.sum() + log_derivative.sum();
    let (found, gradients) = peak(|| loss.backward());
    assert!(x.grad(&gradients).is_some() && theta.grad(&gradients).is_some());
    // The gradients of z and of the log-derivative are operands that the graph makes.
    assert_lean("backward", found, inputs + bytes(2 * n), bytes(n + n_theta + 2 * n));
}
