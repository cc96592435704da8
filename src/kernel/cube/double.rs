//! Numbers of twice the precision of float32: a pair of a value and what its rounding lost.
//! ```text
//! a + b = s + e      s = fl(a + b),  t = fl(s − a),  e = fl(fl(a − fl(s − t)) + fl(b − t))
//! a·b   = p + e      p = fl(a·b),    e = ((a₁b₁ − p) + a₁b₂ + a₂b₁) + a₂b₂
//! ```
//! `a = a₁ + a₂`, where `a₁` has the first 12 bits, so the products of parts are exact. The sum is
//! Knuth's, the product Dekker's (T. J. Dekker 1971, "A floating-point technique for extending the
//! available precision").
//!
//! # Numerics
//! A compiler of shaders may reorder sums, and `(a + b) − a − b` is 0 then. So each result on which
//! another depends passes through [`held`]: its bits are joined with a zero that only the launch
//! knows. Sums and products lose about 2⁻⁴⁶ of the result, quotients 2⁻⁴⁴.
//! Float32 numbers below 2⁻¹²⁶ may be taken for 0, so operands should be of moderate size.

use cubecl::prelude::*;

/// The first 12 bits of a float32's mantissa, its sign and exponent.
const FIRST_BITS: u32 = 0xffff_f000;

/// A value `high + low`, `low` at most half a unit in the last place of `high`.
#[derive(CubeType)]
pub struct Double {
    pub high: f32,
    pub low: f32,
}

/// The same number, about which a compiler knows nothing. `zero` is 0.
#[cube]
pub fn held(x: f32, zero: u32) -> f32 {
    f32::reinterpret(u32::reinterpret(x) ^ zero)
}

#[cube]
fn sum_of_two(a: f32, b: f32, zero: u32) -> Double {
    let high = held(a + b, zero);
    let of_b = held(high - a, zero);
    let of_a = held(high - of_b, zero);
    Double { high, low: held(a - of_a, zero) + held(b - of_b, zero) }
}

/// The sum of numbers of which the first is the larger.
#[cube]
fn normalised(a: f32, b: f32, zero: u32) -> Double {
    let high = held(a + b, zero);
    Double { high, low: held(b - held(high - a, zero), zero) }
}

#[cube]
fn product_of_two(a: f32, b: f32, zero: u32) -> Double {
    let high = held(a * b, zero);
    let a_first = f32::reinterpret(u32::reinterpret(a) & FIRST_BITS);
    let b_first = f32::reinterpret(u32::reinterpret(b) & FIRST_BITS);
    let a_rest = held(a - a_first, zero);
    let b_rest = held(b - b_first, zero);
    let rest = held(held(a_first * b_first, zero) - high, zero);
    let rest = held(rest + held(a_first * b_rest, zero), zero);
    let rest = held(rest + held(a_rest * b_first, zero), zero);
    Double { high, low: held(rest + a_rest * b_rest, zero) }
}

/// `a + b`.
#[cube]
pub fn add(a: Double, b: Double, zero: u32) -> Double {
    let high = sum_of_two(a.high, b.high, zero);
    let low = sum_of_two(a.low, b.low, zero);
    let first = normalised(high.high, held(high.low + low.high, zero), zero);
    normalised(first.high, held(first.low + low.low, zero), zero)
}

/// `a·b`.
#[cube]
pub fn multiply(a: Double, b: Double, zero: u32) -> Double {
    let product = product_of_two(a.high, b.high, zero);
    let low = held(product.low + held(a.high * b.low + a.low * b.high, zero), zero);
    normalised(product.high, low, zero)
}

/// `a/b`: a quotient in float32, and that of what it leaves.
#[cube]
pub fn divide(a: Double, b: Double, zero: u32) -> Double {
    let divisor = b.high;
    let first = held(a.high / divisor, zero);
    let product = multiply(Double { high: first, low: held(0.0f32, zero) }, b, zero);
    let rest = add(a, Double { high: -product.high, low: -product.low }, zero);
    let second = held(rest.high / divisor, zero);
    normalised(first, second, zero)
}
