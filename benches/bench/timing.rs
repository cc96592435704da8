//! Repeats a call and says how long it took: the rules of `benches/peers/benchlib.py`, so that both
//! sides are measured alike.

use std::env;
use std::time::Instant;

use cpu_time::ProcessTime;
use serde_json::{Value, json};

use super::{Notes, process};

/// How an item is repeated.
pub struct Timing {
    /// Seconds to repeat it for.
    pub budget: f64,
    /// One call and no more.
    pub once: bool,
}

/// One call.
struct Sample {
    seconds: f64,
    /// Seconds of all threads.
    cpu: f64,
    /// Share of the call that threads waited for a core: other programs' doing.
    waited: f64,
}

/// A sample counts as clean below this share of waiting.
const CLEAN: f64 = 0.03;

fn variable(name: &str, default: f64) -> f64 {
    env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn sample(call: &mut dyn FnMut()) -> Sample {
    let waited = process::waited();
    let (cpu, start) = (ProcessTime::now(), Instant::now());
    call();
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu.elapsed().as_secs_f64());
    let waited = waited.zip(process::waited()).map_or(0.0, |(before, after)| after - before);
    Sample { seconds, cpu, waited: waited / seconds }
}

/// Waits until less than 12 % of the machine is busy or `longest` seconds are over.
fn gate(longest: f64) -> (f64, bool) {
    let start = Instant::now();
    loop {
        let quiet = process::busy().is_none_or(|busy| busy < 0.12);
        let waited = start.elapsed().as_secs_f64();
        if quiet || waited > longest {
            return (waited, quiet);
        }
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Of sorted values, at least one.
fn median(values: &[f64]) -> f64 {
    0.5 * (values[(values.len() - 1) / 2] + values[values.len() / 2])
}

impl Timing {
    /// Times of a call. `median_s` is over the clean samples where there are three of them,
    /// `median_all_s` over all.
    pub fn measure(&self, call: &mut dyn FnMut()) -> Notes {
        let first_call = sample(call);
        let first = first_call.seconds;
        let warm = if self.once { 1 } else { variable("BENCH_WARM", 1.0) as u32 };
        let last = (1..warm).fold(first, |_, _| sample(call).seconds);
        let longest_wait = variable("BENCH_GATE", 0.0);
        let (waited, quiet) =
            if longest_wait > 0.0 && !self.once { gate(longest_wait) } else { (0.0, false) };
        if !self.once {
            process::reset_peak();
        }
        let before = process::memory("VmRSS");
        let samples = if self.once { vec![first_call] } else { self.repeat(call, last) };

        let clean = sorted(
            samples.iter().filter(|sample| sample.waited < CLEAN).map(|sample| sample.seconds),
        );
        let all = sorted(samples.iter().map(|sample| sample.seconds));
        let cpu = sorted(samples.iter().map(|sample| sample.cpu));
        let delay = sorted(samples.iter().map(|sample| sample.waited));
        let used = if clean.len() >= 3 { &clean } else { &all };
        let part = |share: f64| used[((share * used.len() as f64) as usize).min(used.len() - 1)];
        let fields = json!({
            "median_s": median(used), "min_s": all[0], "p25": part(0.25), "p75": part(0.75),
            "median_all_s": median(&all),
            "cpu_s": median(&cpu), "cpu_min_s": cpu[0], "n": all.len(), "clean_n": clean.len(),
            "delay_frac": median(&delay), "first_s": first,
            "quiet": (longest_wait > 0.0).then_some(quiet),
            "waited_s": waited, "rss_before_mb": before, "peak_rss_mb": process::memory("VmHWM"),
        });
        let Value::Object(fields) = fields else { unreachable!("an object was written") };
        fields
    }

    /// Samples of a call of which the last took `last` seconds.
    fn repeat(&self, call: &mut dyn FnMut(), last: f64) -> Vec<Sample> {
        let one = if last < 8.0 { sample(call).seconds } else { last };
        let (warm, at_least) = match one {
            ..3.0 => (1, 5),
            3.0..15.0 => (0, 3),
            _ => (0, 2),
        };
        (0..warm).for_each(|_| call());
        let hard = variable("BENCH_HARD", 12.0);
        let start = Instant::now();
        let mut samples: Vec<Sample> = Vec::new();
        loop {
            samples.push(sample(call));
            let elapsed = start.elapsed().as_secs_f64();
            let (n, clean) =
                (samples.len(), samples.iter().filter(|sample| sample.waited < CLEAN).count());
            let enough = (elapsed >= self.budget && clean >= at_least) || clean >= 40;
            if n >= at_least && (enough || elapsed >= hard || n >= 400) {
                return samples;
            }
        }
    }
}
