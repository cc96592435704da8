//! Scratch memory of a task, kept by its thread for the next task.
//!
//! The page faults of fresh memory of some hundred KiB cost more than a small matrix product, so a
//! thread keeps the largest buffers that it has used, for f32 and f64 separately.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};

use super::simd::Real;

/// Bytes of a cache line, and of the widest vector: a load that crosses a line costs as much as
/// two.
const ALIGNMENT: usize = 64;

/// Types of elements that have buffers of their own on every thread.
pub trait Scratch: Real {
    /// Runs `work` on a buffer that starts at a cache line and holds arbitrary values.
    ///
    /// Calls may nest: a thread keeps a buffer for each depth.
    fn with_scratch<R>(length: usize, work: impl FnOnce(&mut [Self]) -> R) -> R;
}

macro_rules! scratch {
    ($float:ty) => {
        impl Scratch for $float {
            fn with_scratch<R>(length: usize, work: impl FnOnce(&mut [Self]) -> R) -> R {
                thread_local! {
                    static KEPT: Cell<Vec<Aligned<$float>>> = const { Cell::new(Vec::new()) };
                }
                let mut kept = KEPT.take();
                let mut buffer = kept.pop().unwrap_or_default();
                KEPT.set(kept);
                if buffer.len() < length {
                    buffer = Aligned::zeros(length);
                }
                let result = work(&mut buffer[..length]);
                let mut kept = KEPT.take();
                kept.push(buffer);
                KEPT.set(kept);
                result
            }
        }
    };
}

scratch!(f32);
scratch!(f64);

/// Elements that start at a cache line.
#[derive(Debug, Default)]
pub struct Aligned<T> {
    elements: Vec<T>,
    start: usize,
    length: usize,
}

impl<T: Real> Aligned<T> {
    /// `length` zeros.
    pub fn zeros(length: usize) -> Self {
        let slack = ALIGNMENT / size_of::<T>();
        let elements = vec![T::zero(); length + slack];
        let start = elements.as_ptr().align_offset(ALIGNMENT).min(slack);
        Self { elements, start, length }
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.elements[self.start..self.start + self.length]
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.elements[self.start..self.start + self.length]
    }
}

/// Cuts `length` elements off the front.
pub fn cut<'a, T>(buffer: &mut &'a mut [T], length: usize) -> &'a mut [T] {
    let (front, rest) = std::mem::take(buffer).split_at_mut(length);
    *buffer = rest;
    front
}
