//! Launches that compute on many tensors.
//!
//! A launch takes a few microseconds whatever it computes, and a model has hundreds of parameters,
//! most of them small. So a kernel takes lists of tensors: the cubes of row `y` of its grid compute
//! on tensor `y` of each list, and step through its elements with as many units as the row has.

use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::UNITS;

/// Most items of a launch: its kernel has the code once for each.
const MOST_ITEMS: usize = 32;

/// Most cubes of a tensor: with a row of them for each item, enough for every unit of a device.
const MOST_CUBES: usize = 128;

/// Bindings of a launch besides those of its tensors: shapes, numbers, and one more output.
const OTHER_BINDINGS: usize = 3;

/// The grid and the cubes of a launch on many tensors.
pub struct Grid {
    pub count: CubeCount,
    pub units: CubeDim,
}

impl Grid {
    /// A row of cubes for each tensor.
    pub fn of<'a>(tensors: impl ExactSizeIterator<Item = &'a CubeTensor>) -> Self {
        let rows = tensors.len();
        let largest = tensors.map(|tensor| tensor.meta.shape().num_elements()).max();
        let count = CubeCount::Static(cubes(largest.unwrap_or(0)) as u32, rows as u32, 1);
        Self { count, units: CubeDim::new_1d(UNITS) }
    }
}

/// Cubes of a row whose largest tensor has this many elements.
pub fn cubes(largest: usize) -> usize {
    largest.div_ceil(UNITS as usize).clamp(1, MOST_CUBES)
}

/// Contiguous tensors as the list of a launch.
pub fn many<'a, F: CubePrimitive>(
    tensors: impl Iterator<Item = &'a CubeTensor>,
) -> SequenceArg<Box<[F]>> {
    tensors.map(|tensor| tensor.clone().into_buffer_arg()).collect()
}

/// A contiguous tensor with the elements of another that a kernel may overwrite: the tensor itself
/// if nobody else holds its memory.
pub fn writable(tensor: CubeTensor) -> CubeTensor {
    let tensor = into_contiguous(tensor);
    if tensor.can_mut() { tensor } else { into_contiguous(tensor.copy()) }
}

/// Splits items into launches. `bindings` is the number of tensors of an item, and `result` one of
/// them; items whose result has no element need no launch.
pub fn filled<'a, T: 'a>(
    items: impl IntoIterator<Item = &'a T>,
    bindings: usize,
    result: impl Fn(&T) -> &CubeTensor,
    mut launch: impl FnMut(&[&'a T]),
) {
    let filled = |item: &&'a T| result(item).meta.shape().num_elements() > 0;
    let items: Vec<&T> = items.into_iter().filter(filled).collect();
    let Some(first) = items.first() else { return };
    let most = result(first).client.properties().hardware.max_bindings as usize;
    let most = (most.saturating_sub(OTHER_BINDINGS) / bindings).clamp(1, MOST_ITEMS);
    items.chunks(most).for_each(|items| launch(items));
}
