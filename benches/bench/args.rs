//! The command line of a benchmark program.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use regex_lite::Regex;

/// What a child process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Phase {
    Check,
    Time,
}

#[derive(Debug, Parser)]
#[command(about = "Checks and times the items of this program")]
pub struct Args {
    /// Items whose NAME@flowkit this matches
    #[arg(long, default_value = "")]
    pub filter: Regex,
    /// Threads, one measurement for each
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    pub threads: Vec<usize>,
    /// Seconds that an item is repeated for
    #[arg(long, default_value_t = 2.0)]
    pub budget: f64,
    /// File to append the lines to, `-` for the screen [default: PROGRAM.jsonl in target/tmp]
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Written into the lines, for programs that are run in turns
    #[arg(long, default_value_t = 0)]
    pub round: u64,
    /// Names of the items
    #[arg(long)]
    pub list: bool,
    /// Checks each item and calls it once
    #[arg(long)]
    pub smoke: bool,
    /// Includes items that need a GPU or much memory
    #[arg(long)]
    pub large: bool,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    pub bench: bool,
    /// The one item of a child process
    #[arg(long, hide = true, requires = "phase")]
    pub item: Option<String>,
    #[arg(long, hide = true)]
    pub phase: Option<Phase>,
    /// Calls the item of a child process so often and measures nothing: for `benches/instructions`
    #[arg(long, hide = true, requires = "item")]
    pub calls: Option<u32>,
}
