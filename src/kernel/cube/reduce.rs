//! Sums over the units of a cube, in shared memory.

use cubecl::prelude::*;

use super::UNITS;

/// The sum of one number of each unit of a cube of [`UNITS`] units, for all of them. Every unit has
/// to call it. The order of the additions is fixed, so the result is the same in each run.
#[cube]
pub fn sum_of_units<N: Float>(value: N) -> N {
    let mut sums = Shared::<[N]>::new_slice(comptime!(UNITS as usize));
    let unit = UNIT_POS as usize;
    sums[unit] = value;
    sync_cube();
    let mut width = (UNITS / 2).runtime();
    while width > 0 {
        if UNIT_POS < width {
            sums[unit] = sums[unit] + sums[unit + width as usize];
        }
        sync_cube();
        width /= 2;
    }
    let sum = sums[0];
    // Nobody overwrites the memory, which a next sum may share, before all have read it.
    sync_cube();
    sum
}
