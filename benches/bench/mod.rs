//! A benchmark program: items by name, each checked, then timed in a process of its own.
//! ```text
//! cargo bench --bench kernels                            all items, one thread and two; a table
//! PROGRAM --list                                         names
//! PROGRAM --filter REGEX --threads 1,2 --budget S --out FILE   some of them, a JSON line each
//! PROGRAM --smoke                                        every check, every item once
//! PROGRAM --large                                        those too that need a GPU or much memory
//! ```
//! An item runs three times as a process: nothing of one item is in the memory or the thread pool
//! of another, and what a check allocated is not in the peak of what is timed. The number of
//! threads is that of rayon's pool, which only a new process can choose; `taskset` binds the
//! process to as many cores, where there is one. Fields of a line are those of
//! `benches/peers/benchlib.py`, and so is the way to measure.
//!
//! A line of an item that counts what it does, in a note `items`, has the time of one of them:
//! `ps_per_item`, from the least processor time.
//!
//! `BURN_DEVICE` chooses the device. `BENCH_GATE=S` waits up to S seconds for a quiet machine
//! before each item, `BENCH_HARD=S` is the longest time an item may be repeated (12).
//! `BENCH_WARM=N` calls an item N times before its speed decides how often it is repeated (1): a
//! GPU compiles kernels at first use, and tries several where it can choose.

mod args;
mod child;
mod device;
mod memory;
mod process;
mod timing;

use std::process::ExitCode;

use burn::tensor::Device;
use serde_json::{Map, Value};

/// What a line says beside its times.
pub type Notes = Map<String, Value>;

/// Something to measure.
pub struct Item {
    /// Name, the same as that of the peers' program for the same work.
    pub name: String,
    /// Panics where the answer is wrong; gives the largest error otherwise.
    pub check: Box<dyn Fn(&Device) -> f64>,
    /// Makes what is timed.
    pub prepare: Box<dyn Fn(&Device) -> Work>,
    /// Left out unless the command line asks for large items.
    large: bool,
}

impl Item {
    pub fn new(
        name: impl Into<String>,
        check: impl Fn(&Device) -> f64 + 'static,
        prepare: impl Fn(&Device) -> Work + 'static,
    ) -> Self {
        Self { name: name.into(), check: Box::new(check), prepare: Box::new(prepare), large: false }
    }

    /// An item for a GPU: two cores take minutes for it, and tens of gigabytes.
    #[allow(dead_code)]
    pub fn large(self) -> Self {
        Self { large: true, ..self }
    }
}

/// What is timed: one call does the work once, and has done it when it returns or when the device
/// is synchronised.
pub struct Work {
    call: Box<dyn FnMut()>,
    notes: Notes,
}

impl Work {
    pub fn new(call: impl FnMut() + 'static) -> Self {
        Self { call: Box::new(call), notes: Notes::new() }
    }

    /// Does the work once.
    #[allow(dead_code)]
    pub fn call(&mut self) {
        (self.call)();
    }

    /// The fields of the line.
    #[allow(dead_code)]
    pub fn notes(self) -> Notes {
        self.notes
    }

    /// Adds a field to the line.
    pub fn note(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.notes.insert(key.into(), value.into());
        self
    }
}

/// The program: does what the command line asks for.
#[allow(dead_code)]
pub fn run(program: &str, items: Vec<Item>) -> ExitCode {
    memory::keep();
    child::main(program, &items)
}

/// [`run`] with an allocator that gives pages back: what is resident is what is in use.
#[allow(dead_code)]
pub fn run_thrifty(program: &str, items: Vec<Item>) -> ExitCode {
    child::main(program, &items)
}
