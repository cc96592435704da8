//! How work is split into tasks for the threads of rayon's pool. No other module of `kernel` names
//! rayon, and none but this one asks how many threads there are.
//!
//! # Rule
//! An operation states the time that its items take on one core ([`Cost`]), measured by
//! `benches/kernel/cost.rs`. The rest follows from one more measurement: passing work to the pool
//! and waiting for it takes 12 µs, two switches of threads (`k.handover`, and in a pool of one
//! thread as well, 2026-11-29).
//!
//! * Work of less than four handovers, 50 µs, stays on the calling thread. Two idle cores gain from
//!   25 µs of work on while the pool is awake, and from 80 µs on once it sleeps.
//! * Of a pool of one thread, the calling thread does all the work.
//! * A task has at least two handovers of work, 25 µs: a thread may sleep until it is given one.
//! * A thread gets up to four tasks, because threads differ in speed and items in cost.
//!
//! A cost that is wrong by a third moves these bounds by a third, which changes times by little.
//! Costs are those of float32; those of float64 are about twice as large.
//!
//! # Results do not depend on the number of threads
//! Where the way in which work is cut changes roundings, it depends on the shape alone:
//! [`items_per_sum`] cuts sums over a batch into blocks, [`pieces`] cuts items of which there are
//! few. Only [`number_of_tasks`], for elements that are computed one by one, asks for the threads.

pub use rayon::iter::{IndexedParallelIterator, IntoParallelIterator};
pub use rayon::slice::{ParallelSlice, ParallelSliceMut};

use rayon::iter::ParallelIterator;

/// Passing work to the pool and waiting for it.
const HANDOVER: Cost = Cost::picoseconds(12_000_000);

/// Least work that is shared with other threads.
const WORTH_SHARING: Cost = HANDOVER.times(4);

/// Least work of a task.
const WORTH_A_TASK: Cost = HANDOVER.times(2);

/// Most tasks of a thread.
const TASKS_PER_THREAD: usize = 4;

/// Tasks that keep a few threads busy, where more of them would repeat work.
const FEW: usize = 4;

/// Most blocks of a sum over a batch. Each has sums of its own in memory.
const MOST_SUMS: usize = 8;

/// Writing a partial sum and adding it to the total, by `k.sum` of `benches/kernel/cost.rs`.
pub const SUM: Cost = Cost::picoseconds(160);

/// Least work of a block, relative to that of its sums: these take at most 3 % of the time.
const WORTH_SUMS: usize = 32;

/// Time of some work on one core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost {
    picoseconds: u64,
}

impl Cost {
    /// A time in picoseconds.
    pub const fn picoseconds(picoseconds: u64) -> Self {
        Self { picoseconds }
    }

    /// That of `n` times the work.
    pub const fn times(self, n: usize) -> Self {
        Self { picoseconds: self.picoseconds.saturating_mul(n as u64) }
    }

    /// That of both works.
    pub const fn plus(self, other: Self) -> Self {
        Self { picoseconds: self.picoseconds.saturating_add(other.picoseconds) }
    }

    /// That of one of `n` equal parts of the work.
    pub const fn part(self, n: usize) -> Self {
        Self { picoseconds: self.picoseconds / if n == 0 { 1 } else { n as u64 } }
    }

    /// How often this work contains the other.
    const fn over(self, other: Self) -> usize {
        let other = if other.picoseconds == 0 { 1 } else { other.picoseconds };
        (self.picoseconds / other) as usize
    }
}

/// Whether work is shared with other threads.
fn is_shared(work: Cost) -> bool {
    work >= WORTH_SHARING && rayon::current_num_threads() > 1
}

/// Most tasks of a piece of work.
fn most_tasks() -> usize {
    TASKS_PER_THREAD * rayon::current_num_threads()
}

/// Number of items that make a task, at least one. It does not depend on the number of threads.
pub fn items_per_task(item: Cost) -> usize {
    WORTH_A_TASK.over(item).max(1)
}

/// Number of equal tasks for work that can be cut anywhere, at least one.
pub fn number_of_tasks(work: Cost) -> usize {
    if is_shared(work) { work.over(WORTH_A_TASK).min(most_tasks()) } else { 1 }
}

/// Number of pieces into which each of `items` items is cut where this repeats work, so that there
/// are tasks for a few threads. It does not depend on their number.
pub fn pieces(items: usize) -> usize {
    FEW.div_ceil(items.max(1))
}

/// Number of items of a block whose `sums` sums are computed apart and then added to the total: at
/// least one, and a number that depends on the arguments alone. There are at most a power of
/// two of such blocks, as of most machines' cores.
pub fn items_per_sum(items: usize, item: Cost, sums: usize) -> usize {
    let work = item.times(items);
    let least = WORTH_A_TASK.max(SUM.times(sums).times(WORTH_SUMS));
    let blocks = work.over(least).clamp(1, MOST_SUMS.min(items.max(1)));
    items.div_ceil(1 << blocks.ilog2()).max(1)
}

/// Runs `run` on each item.
pub fn for_each<I: IndexedParallelIterator>(
    items: I,
    item: Cost,
    run: impl Fn(I::Item) + Send + Sync,
) {
    for_each_with(items, item, || (), |(), item| run(item));
}

/// Runs `run` on each item, with something that `start` makes for each task and that its items use
/// one after the other.
pub fn for_each_with<I: IndexedParallelIterator, S>(
    items: I,
    item: Cost,
    start: impl Fn() -> S + Send + Sync,
    run: impl Fn(&mut S, I::Item) + Send + Sync,
) {
    let n = items.len();
    let together = if is_shared(item.times(n)) {
        items_per_task(item).max(n.div_ceil(most_tasks()))
    } else {
        // One task, which rayon runs on the calling thread.
        n.max(1)
    };
    items.with_min_len(together).with_max_len(together).for_each_init(start, run);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Mutex;
    use std::thread;

    use super::*;

    fn on<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
    }

    /// The lengths of the runs of items that had one start, for items of this cost.
    fn runs(n: usize, item: Cost) -> Vec<usize> {
        let runs = Mutex::new(Vec::new());
        let start = || {
            let mut runs = runs.lock().unwrap();
            runs.push(0);
            runs.len() - 1
        };
        for_each_with((0..n).into_par_iter(), item, start, |run, _| {
            runs.lock().unwrap()[*run] += 1;
        });
        runs.into_inner().unwrap()
    }

    #[test]
    fn little_work_stays_on_the_calling_thread() {
        let item = WORTH_SHARING.part(100);
        let threads = Mutex::new(HashSet::new());
        for_each((0..99).into_par_iter(), item, |_| {
            threads.lock().unwrap().insert(thread::current().id());
        });
        assert_eq!(threads.into_inner().unwrap(), HashSet::from([thread::current().id()]));
        assert_eq!(on(4, || runs(99, item)), [99]);
        assert_eq!(on(4, || number_of_tasks(item.times(99))), 1);
    }

    #[test]
    fn a_thread_alone_has_one_task() {
        assert_eq!(on(1, || runs(1000, WORTH_SHARING)), [1000]);
        assert_eq!(on(1, || number_of_tasks(WORTH_SHARING.times(1000))), 1);
    }

    #[test]
    fn tasks_are_large_enough_and_few() {
        for (n, item) in [(1000, WORTH_A_TASK), (1000, WORTH_A_TASK.part(50)), (7, WORTH_SHARING)] {
            let found = on(2, || runs(n, item));
            assert_eq!(found.iter().sum::<usize>(), n);
            assert!(found.len() > 1 && found.len() <= 2 * TASKS_PER_THREAD, "{found:?}");
            assert!(found.iter().all(|&run| item.times(run) >= WORTH_A_TASK), "{found:?}");
        }
        assert_eq!(on(2, || number_of_tasks(WORTH_SHARING)), 2);
        assert_eq!(on(2, || number_of_tasks(WORTH_SHARING.times(100))), 8);
    }

    #[test]
    fn blocks_of_sums_depend_on_the_shape_alone() {
        let item = WORTH_A_TASK;
        for threads in [1, 2, 5] {
            assert_eq!(on(threads, || items_per_sum(64, item, 1)), 8);
            assert_eq!(on(threads, || items_per_task(item.part(10))), 10);
            assert_eq!([1, 2, 3, 4, 5].map(|n| on(threads, || pieces(n))), [4, 2, 2, 1, 1]);
        }
        // As many sums as make a block of the cost of 16, 10 and more than all items.
        let sums = |items| item.times(items).over(SUM.times(WORTH_SUMS));
        let found = [16, 10, 100].map(|n| items_per_sum(64, item, sums(n)));
        assert_eq!(found, [16, 16, 64]);
        assert_eq!(items_per_sum(3, item, 1), 2);
        assert_eq!([0, 1].map(|n| items_per_sum(n, item, 1)), [1, 1]);
    }

    #[test]
    fn costs_do_not_overflow() {
        let endless = Cost::picoseconds(u64::MAX);
        assert_eq!(endless.plus(endless).times(usize::MAX), endless);
        assert_eq!(items_per_task(endless), 1);
        assert!(items_per_task(Cost::picoseconds(0)) > 1);
    }
}
