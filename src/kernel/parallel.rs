//! How much work a task should have.

/// Floating-point operations that are worth a task of their own: about 20 µs.
const WORTH_A_TASK: usize = 4_000_000;

/// Fewest items of a task, for items of so many operations each.
pub fn items_per_task(operations: usize) -> usize {
    (WORTH_A_TASK / operations.max(1)).max(1)
}
