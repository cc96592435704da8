//! The amount of work of a task.

/// Floating-point operations that justify a task of their own: about 20 µs.
const WORTH_A_TASK: usize = 4_000_000;

/// Smallest number of items of a task, if each item takes this many operations.
pub fn items_per_task(operations: usize) -> usize {
    (WORTH_A_TASK / operations.max(1)).max(1)
}
