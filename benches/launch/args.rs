//! The command line.

use std::path::PathBuf;

use clap::Parser;
use regex_lite::Regex;

#[derive(Debug, Parser)]
#[command(about = "Counts kernel launches, their bytes and device-to-host copies")]
pub struct Args {
    /// Items whose name this matches
    #[arg(long, default_value = "")]
    pub filter: Regex,
    /// File to append the lines to [default: launches.jsonl in target/tmp]
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Names of the items
    #[arg(long)]
    pub list: bool,
    /// Counts the first call of each item, which compiles its kernels
    #[arg(long)]
    pub smoke: bool,
    /// Folder to keep the recordings in, with the shaders of all kernels
    #[arg(long)]
    pub keep: Option<PathBuf>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    pub bench: bool,
    /// The one item of a child process
    #[arg(long, hide = true)]
    pub item: Option<String>,
}
