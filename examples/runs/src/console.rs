//! Prints what the examples say. The output may be closed, as by `| head -1`, or lead to a full
//! disk. `println!` would then end the program by a panic. A training goes on instead, since its
//! results are files.

use std::fmt::Arguments;
use std::io::{Write, stderr, stdout};

/// A line to the standard output, if it takes one.
pub fn print_line(line: Arguments<'_>) {
    let _ = writeln!(stdout().lock(), "{line}");
}

/// A line to the standard error, if it takes one.
pub fn print_error(line: Arguments<'_>) {
    let _ = writeln!(stderr().lock(), "{line}");
}

/// `println!` that does not panic.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => { $crate::console::print_line(format_args!($($text)*)) };
}

/// `eprintln!` that does not panic.
#[macro_export]
macro_rules! complain {
    ($($text:tt)*) => { $crate::console::print_error(format_args!($($text)*)) };
}
