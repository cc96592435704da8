//! What Linux tells of this process and of the machine. `None` elsewhere.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

/// A line of `/proc/self/status` that counts KiB, in MiB.
pub fn memory(key: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
}

/// Lets the peak begin again at what is resident now.
pub fn reset_peak() {
    // Where the file is absent or closed to us, the peak is that of the whole process.
    fs::write("/proc/self/clear_refs", "5").ok();
}

/// Seconds that the threads of this process could have run but waited for a core.
pub fn waited() -> Option<f64> {
    let mut total = 0.0;
    for task in fs::read_dir("/proc/self/task").ok()? {
        // A thread may end in between.
        let Ok(text) = fs::read_to_string(task.ok()?.path().join("schedstat")) else { continue };
        total += text.split_whitespace().nth(1)?.parse::<f64>().ok()? * 1e-9;
    }
    Some(total)
}

/// Load of the last minute.
pub fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// Share of the machine's time that was not idle, over a quarter of a second.
pub fn busy() -> Option<f64> {
    let read = || -> Option<[f64; 2]> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let ticks: Vec<f64> =
            stat.lines().next()?.split_whitespace().skip(1).take(8).flat_map(str::parse).collect();
        // Idle, and waiting for a disk.
        Some([ticks.iter().sum(), ticks.get(3)? + ticks.get(4)?])
    };
    let [all, idle] = read()?;
    sleep(Duration::from_millis(250));
    let [later, later_idle] = read()?;
    Some(1.0 - (later_idle - idle) / (later - all).max(1.0))
}

/// Cores that this process may run on.
pub fn cores() -> Option<Vec<usize>> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let mut cores = Vec::new();
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        cores.extend(first.parse::<usize>().ok()?..=last.parse().ok()?);
    }
    Some(cores)
}
