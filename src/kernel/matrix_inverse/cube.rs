//! The operation on tensors of burn's GPU backends, one launch: Gauss-Jordan elimination in place
//! with partial pivoting, in pairs of float32 numbers ([`crate::kernel::cube::double`]).
//!
//! A cube takes a matrix and a unit one of its columns, which nobody else reads or writes. In each
//! step the unit of the step's column shows it to all. With the pivot row `p` swapped into place
//! `k`, `f_i` the step's column and `d` its entry at `k`:
//! ```text
//! a_kj ← a_kj/d        a_ij ← a_ij − f_i·a_kj    i ≠ k
//! a_kk ← 1/d           a_ik ← −f_i/d
//! ```
//! The result is the inverse of the matrix with swapped rows: the swaps, last one first, are those
//! of its columns. The determinant is the product of the pivots; its logarithm is taken once, of
//! the product's mantissa.
//!
//! Loops over rows take [`ROWS`] rows in an iteration: software Vulkan (Mesa's llvmpipe) leaves the
//! loops of a unit after 65535 iterations, without an error.
//!
//! The matrix is first multiplied by a power of two, of at most 2¹²⁶, that brings its largest entry
//! into `[2²⁴, 2²⁵)`. So a pivot is a normal number down to 2⁻¹⁵⁰ of the largest entry; a device
//! may take smaller ones for 0. No product overflows unless the matrix is singular to rounding
//! level.

use burn::backend::cubecl::dtype_to_storage_type;
use burn::backend::tensor::FloatTensor;
use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use cubecl::prelude::*;

use super::{MOST_COLUMNS, MOST_MATRICES, MatrixInverseOps, check};
use crate::kernel::cube::double::{Double, add, divide, held, multiply};
use crate::kernel::cube::{empty, empty_in};
use crate::kernel::operands::operands;

/// Rows in an iteration of a loop, of which there are then at most `⅜·256²`.
const ROWS: usize = 4;

/// The exponent of the largest entry of a matrix that is factored.
const LARGEST: i32 = 24;

const NAN: u32 = 0x7fc0_0000;
const MINUS_INFINITY: u32 = 0xff80_0000;

/// The first 15 bits of `ln 2`, whose products with exponents below 512 are exact, and the rest.
const LN_2: f32 = 0.693_145_75;
const LN_2_REST: f32 = 1.428_606_8e-6;

/// `⌊log₂|x|⌋`; −127 for 0, 128 for infinities and NaN.
#[cube]
fn exponent(x: f32) -> i32 {
    i32::cast_from((u32::reinterpret(x) >> 23u32) & 255u32) - 127i32
}

/// `2ᵉ` for `e` in `[−126, 127]`.
#[cube]
fn power_of_two(e: i32) -> f32 {
    f32::reinterpret(u32::cast_from(e + 127i32) << 23u32)
}

/// `ln(m·2ᵉ)` for `m` in `[1, 2)`. The series of `artanh` at `|s| ≤ ⅕` is cut where terms are below
/// 1e−8 of the result.
#[cube]
fn logarithm(m: Double, e: i32) -> f32 {
    let above = m.high > 1.5f32;
    let half = select(above, 0.5f32, 1.0f32);
    let whole = f32::cast_from(select(above, e + 1i32, e));
    // Exact for a number in [½, 2].
    let rest = (m.high * half - 1.0f32) + m.low * half;
    let s = rest / (2.0f32 + rest);
    let t = s * s;
    let series = 1.0f32 / 3.0f32 + t * (0.2f32 + t * (1.0f32 / 7.0f32 + t * (1.0f32 / 9.0f32)));
    whole * LN_2 + (whole * LN_2_REST + (2.0f32 * s + 2.0f32 * s * t * series))
}

#[cube(launch)]
fn inverse_kernel<F: Float>(
    matrices: &Tensor<F>,
    inverses: &mut Tensor<F>,
    log_dets: &mut Tensor<F>,
    work: &mut Tensor<f32>,
    zero: u32,
    #[comptime] n: usize,
    #[define(F)] _storage: ElemType,
) {
    let unit = UNIT_POS as usize;
    let matrix = CUBE_POS;
    let first = matrix * n * n;
    // Of a column: the first parts of its numbers, then the second parts.
    let high = 2 * first + unit;
    let low = high + n * n;
    let mut step_high = Shared::<[f32]>::new_slice(n);
    let mut step_low = Shared::<[f32]>::new_slice(n);
    let mut swaps = Shared::<[u32]>::new_slice(n);

    let mut largest = held(0.0f32, zero);
    if unit < n {
        for row in 0..n {
            largest = max(largest, f32::abs(f32::cast_from(matrices[first + row * n + unit])));
        }
        step_high[unit] = largest;
    }
    sync_cube();
    for column in 0..n {
        largest = max(largest, step_high[column]);
    }
    sync_cube();
    let up = min(LARGEST - exponent(largest), 126i32);
    let scale = power_of_two(up);
    if unit < n {
        for row in 0..n {
            work[high + row * n] = f32::cast_from(matrices[first + row * n + unit]) * scale;
            work[low + row * n] = 0.0f32;
        }
    }

    let mut det_high = held(1.0f32, zero);
    let mut det_low = held(0.0f32, zero);
    let mut det_exponent = i32::cast_from(n as u32 + zero) * -up;
    let mut lost = zero;
    let mut singular = zero;
    for step in 0..n {
        if unit == step {
            for row in 0..n {
                step_high[row] = work[high + row * n];
                step_low[row] = work[low + row * n];
            }
        }
        sync_cube();
        let mut best = step;
        let mut most = f32::abs(step_high[step]);
        let rows = comptime!(ROWS);
        for block in 0..(n - step + rows - 2) / rows {
            #[unroll]
            for index in 0..rows {
                let row = step + 1 + block * rows + index;
                if row < n {
                    let candidate = f32::abs(step_high[row]);
                    if candidate > most {
                        most = candidate;
                        best = row;
                    }
                }
            }
        }
        if unit == 0 {
            swaps[step] = best as u32;
        }
        let shift = exponent(most);
        lost |= select(shift > 127i32, 1u32, 0u32);
        let none = most == 0.0f32;
        singular |= select(none, 1u32, 0u32);
        let pivot = Double {
            high: select(none, 1.0f32, step_high[best]),
            low: select(none, 0.0f32, step_low[best]),
        };

        let shift = clamp(exponent(pivot.high), -126i32, 126i32);
        let back = power_of_two(-shift);
        let mantissa = Double { high: pivot.high * back, low: pivot.low * back };
        let det = multiply(Double { high: det_high, low: det_low }, mantissa, zero);
        let carry = exponent(det.high);
        // The mantissa of a number below the normal ones may be as small as 2⁻²³.
        let carry = clamp(carry, -24i32, 2i32);
        det_high = det.high * power_of_two(-carry);
        det_low = det.low * power_of_two(-carry);
        det_exponent += shift + carry;

        if unit < n {
            let own = unit == step;
            // What the column has at the pivot's row moves to the step's row.
            let at = best * n;
            let numerator = Double {
                high: select(own, 1.0f32, work[high + at]),
                low: select(own, 0.0f32, work[low + at]),
            };
            work[high + at] = work[high + step * n];
            work[low + at] = work[low + step * n];
            let value = divide(numerator, pivot, zero);
            let (value_high, value_low) = (value.high, value.low);
            work[high + step * n] = value_high;
            work[low + step * n] = value_low;
            for block in 0..comptime!(n.div_ceil(ROWS)) {
                #[unroll]
                for index in 0..rows {
                    let row = block * rows + index;
                    if row < n && row != step {
                        let from = select(row == best, step, row);
                        let other = Double { high: step_high[from], low: step_low[from] };
                        let old = Double {
                            high: select(own, 0.0f32, work[high + row * n]),
                            low: select(own, 0.0f32, work[low + row * n]),
                        };
                        let factor = Double { high: -value_high, low: -value_low };
                        let new = add(old, multiply(other, factor, zero), zero);
                        work[high + row * n] = new.high;
                        work[low + row * n] = new.low;
                    }
                }
            }
        }
        sync_cube();
    }

    if unit < n {
        let mut place = unit;
        for back in 0..n {
            let step = n - 1 - back;
            let other = swaps[step] as usize;
            if place == step {
                place = other;
            } else if place == other {
                place = step;
            }
        }
        let bad = lost + singular > 0u32;
        for row in 0..n {
            let entry = select(bad, f32::reinterpret(NAN ^ zero), work[high + row * n] * scale);
            inverses[first + row * n + place] = F::cast_from(entry);
        }
    }
    if unit == 0 {
        let negative = det_high < 0.0f32;
        let mantissa =
            Double { high: f32::abs(det_high), low: select(negative, -det_low, det_low) };
        let value = logarithm(mantissa, det_exponent);
        let value = select(singular > 0u32, f32::reinterpret(MINUS_INFINITY ^ zero), value);
        let value = select(lost > 0u32, f32::reinterpret(NAN ^ zero), value);
        log_dets[matrix] = F::cast_from(value);
    }
}

impl MatrixInverseOps for CubeBackend {
    fn inverse_and_log_abs_det(
        matrices: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let call = operands!("inverse_and_log_abs_det", matrices);
        let [groups, n, _] = call.dims("matrices");
        let fits = (1..=MOST_COLUMNS).contains(&n) && groups <= MOST_MATRICES;
        call.require("matrices", fits, "at most 65535 of 1 to 256 columns");
        check(call);
        let matrices = into_contiguous(matrices);
        let (inverses, log_dets) = (empty(&matrices, [groups, n, n]), empty(&matrices, [groups]));
        let work = empty_in(&matrices, DType::F32, [groups, 2, n, n]);
        inverse_kernel::launch(
            &inverses.client,
            CubeCount::Static(groups as u32, 1, 1),
            CubeDim::new_1d(n.next_multiple_of(32) as u32),
            matrices.clone().into_tensor_arg(),
            inverses.clone().into_tensor_arg(),
            log_dets.clone().into_tensor_arg(),
            work.into_tensor_arg(),
            0,
            n,
            dtype_to_storage_type(matrices.dtype),
        );
        (inverses, log_dets)
    }

    fn inverse_of(_matrices: FloatTensor<Self>, inverses: FloatTensor<Self>) -> FloatTensor<Self> {
        inverses
    }

    fn log_abs_det_of(
        _matrices: FloatTensor<Self>,
        _inverses: FloatTensor<Self>,
        log_dets: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        log_dets
    }
}
