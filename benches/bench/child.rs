//! One process for each item and number of threads.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use burn::tensor::Device;
use clap::Parser;
use serde_json::{Value, json};

use super::args::{Args, Phase};
use super::timing::Timing;
use super::{Item, Notes, device, process};

pub fn main(program: &str, items: &[Item]) -> ExitCode {
    let args = Args::parse();
    let chosen = items
        .iter()
        .filter(|item| args.large || !item.large)
        .filter(|item| args.filter.is_match(&format!("{}@flowkit", item.name)));
    if args.list {
        chosen.for_each(|item| println!("{}", item.name));
        return ExitCode::SUCCESS;
    }
    if let (Some(name), Some(phase)) = (&args.item, args.phase) {
        let item =
            items.iter().find(|item| item.name == *name).expect("the parent knows the names");
        println!("{}", Value::Object(work(item, phase, &args)));
        return ExitCode::SUCCESS;
    }
    if args.out.is_none() {
        // Absent at the first run.
        fs::remove_file(own_file(program)).ok();
    }
    match chosen.map(|item| run(program, item, &args)).collect::<io::Result<Vec<bool>>>() {
        Ok(outcomes) if outcomes.iter().all(|good| *good) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What a child does.
fn work(item: &Item, phase: Phase, args: &Args) -> Notes {
    let device = Device::default();
    device.seed(0);
    match phase {
        Phase::Check => Notes::from_iter([("max_err".to_owned(), json!((item.check)(&device)))]),
        Phase::Time => {
            let mut work = (item.prepare)(&device);
            let mut call = || {
                (work.call)();
                device.sync().expect("the device finishes what it was given");
            };
            if let Some(calls) = args.calls {
                (0..calls).for_each(|_| call());
                return Notes::from_iter([("calls".to_owned(), json!(calls))]);
            }
            let mut line = Timing { budget: args.budget, once: args.smoke }.measure(&mut call);
            line.append(&mut work.notes);
            line.append(&mut device::notes(&device));
            let number = |key: &str| line.get(key).and_then(Value::as_f64);
            if let Some((seconds, items)) = number("cpu_min_s").zip(number("items")) {
                line.insert("ps_per_item".into(), json!(1e12 * seconds / items));
            }
            line.insert("load1".into(), json!(process::load()));
            line
        }
    }
}

/// Checks an item and times it for each number of threads; whether all went well.
fn run(program: &str, item: &Item, args: &Args) -> io::Result<bool> {
    let most = args.threads.iter().copied().max().unwrap_or(1);
    let threads = if args.smoke { vec![most] } else { args.threads.clone() };
    let checked = spawn(item, Phase::Check, most, args)?;
    let mut good = true;
    for threads in threads {
        let mut line = Notes::new();
        let mode = env::var("BURN_DEVICE").unwrap_or_else(|_| "flex".into());
        let fields = json!({
            "item": item.name, "impl": "flowkit", "mode": mode, "threads": threads,
            "round": args.round,
        });
        line.extend(fields.as_object().cloned().unwrap_or_default());
        let timed = match &checked {
            Ok(notes) => {
                spawn(item, Phase::Time, threads, args)?.map(|times| (notes.clone(), times))
            }
            Err(error) => Err(error.clone()),
        };
        let shown = match timed {
            Ok((mut notes, mut times)) => {
                let number = |key: &str| times.get(key).and_then(Value::as_f64).unwrap_or(f64::NAN);
                let mut shown = format!(
                    "{:>10.2} ms {:>8.0} MB",
                    1e3 * number("median_s"),
                    number("peak_rss_mb")
                );
                if times.contains_key("ps_per_item") {
                    shown += &format!(" {:>8.0} ps", number("ps_per_item"));
                }
                line.append(&mut times);
                line.append(&mut notes);
                shown
            }
            Err(error) => {
                good = false;
                let shown = format!("ERROR {error}");
                line.insert("error".into(), json!(error));
                shown
            }
        };
        write(program, &line, args)?;
        if args.out.as_deref() != Some(Path::new("-")) {
            println!("{:<28} {threads} {shown}", item.name);
        }
    }
    Ok(good)
}

/// The line of a child, or the last words of one that panicked.
fn spawn(
    item: &Item,
    phase: Phase,
    threads: usize,
    args: &Args,
) -> io::Result<Result<Notes, String>> {
    let own = env::current_exe()?;
    let mut command = match bound_to(threads) {
        Some(cores) => {
            let mut command = Command::new("taskset");
            command.args(["-c", &cores]).arg(own);
            command
        }
        None => Command::new(own),
    };
    let phase = match phase {
        Phase::Check => "check",
        Phase::Time => "time",
    };
    command.args(["--item", &item.name, "--phase", phase, "--budget", &args.budget.to_string()]);
    if args.smoke {
        command.arg("--smoke");
    }
    let output =
        command.env("RAYON_NUM_THREADS", threads.to_string()).stderr(Stdio::piped()).output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if !output.status.success() {
        return Ok(Err(format!("{phase}: {}: {}", output.status, text(&output.stderr))));
    }
    let line = text(&output.stdout);
    Ok(serde_json::from_str(&line).map_err(|error| format!("{phase}: {error}: {line}")))
}

/// The last cores of those that there are, the first has the system's interrupts; `None` without
/// `taskset`.
fn bound_to(threads: usize) -> Option<String> {
    let cores = process::cores()?;
    let cores = cores.get(cores.len().checked_sub(threads)?..)?;
    Command::new("taskset").arg("--version").output().ok()?;
    Some(cores.iter().map(usize::to_string).collect::<Vec<_>>().join(","))
}

fn write(program: &str, line: &Notes, args: &Args) -> io::Result<()> {
    let line = serde_json::to_string(line)?;
    let mut file = match &args.out {
        Some(path) if path == Path::new("-") => {
            println!("{line}");
            return Ok(());
        }
        Some(path) => append(path)?,
        None => append(&own_file(program))?,
    };
    writeln!(file, "{line}")
}

/// Where the lines go unless the command line says.
fn own_file(program: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{program}.jsonl"))
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}
