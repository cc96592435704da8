//! Peak memory of a training run.

/// The largest resident set of this process so far, in bytes.
///
/// Linux only: the `VmHWM` line of `/proc/self/status`, which the kernel counts in KiB. It covers
/// host memory only (on the Flex backend that is all memory) and never falls, so measure one
/// configuration per process. `None` on other systems, or if the file cannot be read.
///
/// ```
/// if let Some(bytes) = flowkit::train::peak_rss_bytes() {
///     assert!(bytes > 100_000);
/// }
/// ```
pub fn peak_rss_bytes() -> Option<u64> {
    if cfg!(target_os = "linux") {
        high_water_mark(&std::fs::read_to_string("/proc/self/status").ok()?)
    } else {
        None
    }
}

/// Reads `VmHWM:   1234 kB` out of the text of `/proc/<pid>/status`.
fn high_water_mark(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_line_of_the_kernel() {
        let status = "Name:\tcargo\nVmPeak:\t  999 kB\nVmHWM:\t   12345 kB\nVmRSS:\t  1 kB\n";
        assert_eq!(high_water_mark(status), Some(12_345 * 1024));
        assert_eq!(high_water_mark("Name:\tcargo\n"), None);
        assert_eq!(high_water_mark("VmHWM:\t many kB\n"), None);
    }
}
