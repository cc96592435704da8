//! The lines of what a reader reads. The lines that the crate `csv` counts are those before the
//! ends of lines that it passes over: one too few after a line that ends with two characters, and
//! after empty lines.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::rc::Rc;

/// Where lines that are not empty begin: the number of the byte, and of the line, from 1.
#[derive(Debug, Default)]
struct Begins {
    byte: u64,
    line: u64,
    within: bool,
    after_return: bool,
    begins: VecDeque<(u64, u64)>,
}

impl Begins {
    /// `\n`, `\r` and `\r\n` end a line.
    fn pass(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match byte {
                b'\n' if self.after_return => {}
                b'\n' | b'\r' => {
                    self.line += 1;
                    self.within = false;
                }
                _ if !self.within => {
                    self.begins.push_back((self.byte, self.line + 1));
                    self.within = true;
                }
                _ => {}
            }
            self.after_return = byte == b'\r';
            self.byte += 1;
        }
    }
}

/// A reader that counts the lines which it reads.
pub struct Counted<R> {
    source: R,
    begins: Rc<RefCell<Begins>>,
}

/// The lines that a [`Counted`] reader has read.
pub struct Lines(Rc<RefCell<Begins>>);

impl<R> Counted<R> {
    pub fn new(source: R) -> (Self, Lines) {
        let begins = Rc::default();
        (Self { source, begins: Rc::clone(&begins) }, Lines(begins))
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read(buffer)?;
        self.begins.borrow_mut().pass(&buffer[..n]);
        Ok(n)
    }
}

impl Lines {
    /// The first line that is not empty and begins at a byte or behind it. Lines before it are
    /// forgotten.
    pub fn at_byte(&self, byte: u64) -> u64 {
        let begins = &mut self.0.borrow_mut().begins;
        while begins.len() > 1 && begins[0].0 < byte {
            begins.pop_front();
        }
        begins.front().map_or(1, |&(_, line)| line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_in_three_ways() {
        let text = "a\n\n\r\nb\r\nc\r\rd\n\re";
        for length in 1..text.len() {
            let (mut source, lines) = Counted::new(text.as_bytes());
            let mut buffer = vec![0; length];
            while source.read(&mut buffer).unwrap() > 0 {}
            for (start, line) in [(0, 1), (1, 4), (6, 5), (9, 7), (12, 9)] {
                assert_eq!(lines.at_byte(start), line, "from byte {start}");
            }
        }
    }
}
