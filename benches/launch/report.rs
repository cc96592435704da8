//! The lines as tables.

use std::fmt::Write;

use serde_json::Value;

/// Kernels that a table names.
const MOST: usize = 15;

/// The items, and the kernels with the most launches of each training step.
pub fn markdown(lines: &[Value]) -> String {
    let mut text = String::from(
        "| item | launches | read | written | floor | host reads | uploads | peak memory |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for line in lines {
        let mb = |field: &str| megabytes(&line[field]);
        let name = line["item"].as_str().unwrap_or_default();
        writeln!(
            text,
            "| {name} | {} | {} | {} | {} | {} ({} B) | {} ({} B) | {} |",
            line["launches"],
            mb("read_bytes"),
            mb("written_bytes"),
            mb("floor_bytes"),
            line["host_reads"],
            line["host_read_bytes"],
            line["uploads"],
            line["upload_bytes"],
            mb("peak_bytes"),
        )
        .expect("a string takes what is written");
    }
    for line in lines.iter().filter(|line| line["item"].as_str().is_some_and(is_training)) {
        text.push_str(&kernels(line));
    }
    text
}

fn is_training(item: &str) -> bool {
    item.contains(".train")
}

/// Bytes as megabytes.
fn megabytes(bytes: &Value) -> String {
    format!("{:.1} MB", bytes.as_f64().unwrap_or(f64::NAN) / 1e6)
}

fn kernels(line: &Value) -> String {
    let mut kernels: Vec<_> = line["kernels"].as_object().into_iter().flatten().collect();
    kernels.sort_by_key(|(_, kernel)| std::cmp::Reverse(kernel["launches"].as_u64()));
    let name = line["item"].as_str().unwrap_or_default();
    let mut text = format!("\n| {name} | launches | read | written |\n|---|---|---|---|\n");
    for (kernel, counts) in kernels.into_iter().take(MOST) {
        let mb = |field: &str| megabytes(&counts[field]);
        let (read, written) = (mb("read_bytes"), mb("written_bytes"));
        writeln!(text, "| `{kernel}` | {} | {read} | {written} |", counts["launches"])
            .expect("a string takes what is written");
    }
    text
}
