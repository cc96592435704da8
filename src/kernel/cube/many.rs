//! Launches that compute on many tensors.
//!
//! A launch takes a few microseconds whatever it computes, and a model has hundreds of parameters,
//! most of them small. So a kernel takes lists of tensors: the cubes of row `y` of its grid compute
//! on tensor `y` of each list, and step through its elements with as many units as the row has.

use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::UNITS;

/// Most tensors of a launch. Its kernel contains its code once for each item.
const MOST_TENSORS: usize = 160;

/// Most cubes of a tensor: with a row of them for each item, enough for every unit of a device.
const MOST_CUBES: usize = 128;

/// Bindings of a launch besides those of its tensors: shapes, numbers, and two more buffers.
const OTHER_BINDINGS: usize = 4;

/// The grid of a launch on many tensors: a row of cubes for each.
pub struct Grid {
    columns: u32,
    rows: u32,
}

impl Grid {
    /// A grid for these tensors, of which at least one has an element.
    pub fn of<'a>(tensors: impl ExactSizeIterator<Item = &'a CubeTensor>) -> Self {
        let rows = tensors.len() as u32;
        let largest = tensors.map(|tensor| tensor.meta.shape().num_elements()).max();
        let columns = largest.unwrap_or(0).div_ceil(UNITS as usize).clamp(1, MOST_CUBES) as u32;
        Self { columns, rows }
    }

    /// Number of cubes.
    pub fn cubes(&self) -> usize {
        self.columns as usize * self.rows as usize
    }

    pub fn count(&self) -> CubeCount {
        CubeCount::Static(self.columns, self.rows, 1)
    }

    /// Units of a cube.
    pub fn units(&self) -> CubeDim {
        CubeDim::new_1d(UNITS)
    }
}

/// Contiguous tensors as the list of a launch.
pub fn many<'a, F: CubePrimitive>(
    tensors: impl Iterator<Item = &'a CubeTensor>,
) -> SequenceArg<Box<[F]>> {
    tensors.map(|tensor| elements(tensor.clone())).collect()
}

/// The elements of a contiguous tensor, and not what lies behind them: CUDA rounds the memory of a
/// row up to a multiple of 16 to 512 bytes, and a kernel takes the length of a list from its
/// memory.
fn elements(mut tensor: CubeTensor) -> BufferArg {
    let length = tensor.meta.shape().num_elements() * tensor.dtype.size();
    let behind = tensor.handle.size_in_used() - length as u64;
    if behind > 0 {
        tensor.handle = tensor.handle.offset_end(behind);
    }
    tensor.into_buffer_arg()
}

/// A contiguous tensor with the elements of another that a kernel may overwrite: the tensor itself
/// if nobody else holds its memory.
pub fn writable(tensor: CubeTensor) -> CubeTensor {
    let tensor = into_contiguous(tensor);
    if tensor.can_mut() { tensor } else { into_contiguous(tensor.copy()) }
}

/// The items of each launch. `bindings` is the number of tensors of an item, and `result` is one of
/// them; items whose result has no element need no launch.
pub fn launches<T>(
    items: &[T],
    bindings: usize,
    result: impl Fn(&T) -> &CubeTensor,
) -> Vec<Vec<&T>> {
    let filled = |item: &&T| result(item).meta.shape().num_elements() > 0;
    let items: Vec<&T> = items.iter().filter(filled).collect();
    let Some(first) = items.first() else { return Vec::new() };
    let most = result(first).client.properties().hardware.max_bindings as usize;
    let most = most.saturating_sub(OTHER_BINDINGS).min(MOST_TENSORS) / bindings;
    items.chunks(most.max(1)).map(<[&T]>::to_vec).collect()
}
