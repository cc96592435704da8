//! Counts of what a call makes a GPU do, taken from wgpu's own recording.
//! ```text
//! cargo bench --features launches --bench launches                  a table of all items
//! PROGRAM --list                                                    names
//! PROGRAM --filter REGEX --out FILE                                 some of them, a JSON line each
//! PROGRAM --smoke                                                   every item, called once
//! ```
//! wgpu writes what it is given to a file (`trace`, see [`recording`]): buffers, shaders, bindings,
//! dispatches and copies. An item is called until nothing is new to the device, then once more, and
//! what this call added to the recording is counted:
//!
//! | figure | counted |
//! |---|---|
//! | launches | dispatches, by the name of their kernel |
//! | bytes read, written | sizes of the bindings that a kernel loads from, and that it stores to |
//! | host reads | submissions that copy to a buffer which the host maps, and their bytes |
//! | uploads | writes from the host to a buffer, and their bytes |
//! | peak memory | the largest sum of the sizes of the buffers that exist at once |
//!
//! Which bindings a kernel loads from and stores to is read from its shader ([`shader`]). The bytes
//! are declared traffic: what a kernel reads twice counts once, what it reads and writes counts as
//! both, a view counts with the elements of its range. Shapes and scalars of a launch (`info_var`)
//! do not count. CubeCL's launch observer counts as well, and both counts have to agree.
//!
//! The floor is the traffic of a model whose layers and network layers read and write each
//! activation once ([`floor`]).

mod args;
mod counts;
mod floor;
mod recording;
mod report;
mod ron;
mod shader;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::{env, fs};

use burn::tensor::Device;
use clap::Parser;
use cubecl::logging::{LaunchObservation, LaunchObserver};
use serde_json::{Value, json};

use args::Args;
use counts::Counts;
pub use floor::{Activations, activations};
use recording::Recording;

use crate::bench::{Item, Work};

/// Calls that precede the counted one: the first compiles, the second repeats what is cached.
const WARM_UP: usize = 2;

/// An item of `models`, and the activations of its model.
pub struct Counted {
    pub item: Item,
    pub floor: fn() -> Activations,
}

/// The kernels that CubeCL launched, first to last.
#[derive(Default)]
struct Launched(Mutex<Vec<&'static str>>);

impl Launched {
    fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl LaunchObserver for Launched {
    fn launched(&self, kernel: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(kernel);
    }
}

pub fn main(items: Vec<Counted>) -> ExitCode {
    let args = Args::parse();
    let chosen = items.iter().filter(|counted| args.filter.is_match(&counted.item.name));
    if args.list {
        chosen.for_each(|counted| println!("{}", counted.item.name));
        return ExitCode::SUCCESS;
    }
    if let Some(name) = &args.item {
        let counted =
            items.iter().find(|counted| counted.item.name == *name).expect("the parent knows it");
        println!("{}", line(counted, &args));
        return ExitCode::SUCCESS;
    }
    match lines(chosen, &args) {
        Ok((lines, true)) => {
            println!("{}", report::markdown(&lines));
            ExitCode::SUCCESS
        }
        Ok((_, false)) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What a child does: calls an item on a device that records, and counts.
fn line(counted: &Counted, args: &Args) -> Value {
    let (recording, device) = Recording::start().expect("a device that records");
    device.seed(0);
    let mut work = (counted.item.prepare)(&device);
    device.sync().expect("the device finishes what it was given");
    for _ in 0..if args.smoke { 0 } else { WARM_UP } {
        call(&mut work, &device);
    }
    let launched = Arc::new(Launched::default());
    let observation = LaunchObservation::new(launched.clone());
    let start = recording.position();
    call(&mut work, &device);
    let end = recording.position();
    drop(observation);
    if let Some(folder) = &args.keep {
        recording.copy_to(folder).expect("the recording is copied");
    }
    let counts = Counts::read(&recording, start..end).expect("wgpu's recording is readable");
    let kernels = counts.by_name(&launched.take());
    let activations = (counted.floor)();
    let mut line = json!({
        "item": counted.item.name, "impl": "flowkit", "mode": recording.adapter,
        "launches": counts.dispatches.len(), "read_bytes": counts.read_bytes(),
        "written_bytes": counts.written_bytes(), "host_reads": counts.host_reads,
        "host_read_bytes": counts.host_read_bytes, "uploads": counts.uploads,
        "upload_bytes": counts.upload_bytes, "peak_bytes": counts.peak_bytes,
        "kernels": kernels,
    });
    let mut notes = work.notes();
    let examples = notes["batch"].as_u64().expect("each item says how many examples it has");
    notes.insert("floor_bytes".into(), json!(activations.floor(&counted.item.name, examples)));
    if let Value::Object(fields) = &mut line {
        fields.append(&mut notes);
    }
    line
}

fn call(work: &mut Work, device: &Device) {
    work.call();
    device.sync().expect("the device finishes what it was given");
}

/// Runs the items, each in a process of its own; whether all went well.
fn lines<'a>(
    items: impl Iterator<Item = &'a Counted>,
    args: &Args,
) -> io::Result<(Vec<Value>, bool)> {
    let own = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("launches.jsonl");
    if args.out.is_none() {
        // Absent at the first run.
        fs::remove_file(&own).ok();
    }
    let (mut lines, mut good) = (Vec::new(), true);
    for counted in items {
        let name = &counted.item.name;
        match spawn(name, args)? {
            Ok(line) => {
                eprintln!("{name}: {} launches", line["launches"]);
                writeln!(append(args.out.as_deref().unwrap_or(&own))?, "{line}")?;
                lines.push(line);
            }
            Err(error) => {
                eprintln!("{name}: ERROR {error}");
                good = false;
            }
        }
    }
    Ok((lines, good))
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// The line of a child, or the last words of one that panicked.
fn spawn(name: &str, args: &Args) -> io::Result<Result<Value, String>> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["--item", name]).stderr(Stdio::piped());
    if args.smoke {
        command.arg("--smoke");
    }
    if let Some(folder) = &args.keep {
        command.arg("--keep").arg(folder.join(name));
    }
    let output = command.output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if !output.status.success() {
        return Ok(Err(format!("{}: {}", output.status, text(&output.stderr))));
    }
    let line = text(&output.stdout);
    Ok(serde_json::from_str(&line).map_err(|error| format!("{error}: {line}")))
}
