//! Types of elements over which kernels are generic, with the constants of their elementary
//! functions.

use std::fmt::Debug;
use std::iter::Sum;

use num_traits::{Float, NumAssign};

/// f32 or f64.
pub trait Real: Float + NumAssign + Sum + Default + Debug + Send + Sync + 'static {
    /// `1.5·2^m + bias` for a mantissa of `m` bits. Added to a number of moderate size, it leaves
    /// the nearest integer plus the exponent's bias in the low bits of the sum. The 1.5 allows the
    /// integer to be negative.
    const ROUNDER: Self;
    /// `log₂ e`.
    const LOG2_E: Self;
    /// `ln 2` to so few bits that its products with exponents are exact.
    const LN_2_HIGH: Self;
    /// `ln 2 − LN_2_HIGH`.
    const LN_2_LOW: Self;
    /// Coefficients of `q(r) ≈ (e^r − 1 − r)/r²`, constant first.
    const EXP_POLYNOMIAL: &'static [Self];
    /// Coefficients of `p(y)` in `ln((1 + s)/(1 − s))/s − 2 ≈ y p(y)` with `y = s²`, constant
    /// first.
    const LN_POLYNOMIAL: &'static [Self];
    /// Smallest and largest argument whose exponential is a normal number.
    const EXP_RANGE: (Self, Self);
    /// `2^m` for a mantissa of `m` bits, which scales subnormal numbers to normal ones, and `m`.
    const NORMALISER: (Self, Self);

    /// The nearest number of this type.
    fn of(value: f64) -> Self;

    /// `a·b + c`, rounded once.
    fn fused(self, b: Self, c: Self) -> Self;

    /// The power of two whose biased exponent is in the low bits of `self`, a sum with
    /// [`Real::ROUNDER`].
    fn power_of_low_bits(self) -> Self;

    /// `(m, e)` with `m·2^e = self` and `m` in `[√½, √2)`, for a normal positive number.
    fn mantissa_and_exponent(self) -> (Self, Self);
}

/// The rounding of a product followed by a sum: with or without rounding in between.
pub trait MultiplyAdd: Copy + Send + Sync + 'static {
    /// `a·b + c`.
    fn mul_add<T: Real>(a: T, b: T, c: T) -> T;
}

/// One rounding, by the machine's instruction.
#[derive(Debug, Clone, Copy)]
pub struct Fused;

impl MultiplyAdd for Fused {
    #[inline(always)]
    fn mul_add<T: Real>(a: T, b: T, c: T) -> T {
        a.fused(b, c)
    }
}

/// Two roundings.
#[derive(Debug, Clone, Copy)]
pub struct Unfused;

impl MultiplyAdd for Unfused {
    #[inline(always)]
    fn mul_add<T: Real>(a: T, b: T, c: T) -> T {
        a * b + c
    }
}

macro_rules! bit_operations {
    ($float:ty, $bits:ty, $mantissa:literal, $half_root:literal) => {
        #[inline(always)]
        fn of(value: f64) -> Self {
            value as $float
        }

        #[inline(always)]
        fn fused(self, b: Self, c: Self) -> Self {
            <$float>::mul_add(self, b, c)
        }

        #[inline(always)]
        fn power_of_low_bits(self) -> Self {
            <$float>::from_bits(self.to_bits() << $mantissa)
        }

        #[inline(always)]
        fn mantissa_and_exponent(self) -> (Self, Self) {
            const ONE: $bits = <$float>::to_bits(1.0);
            // If exponents are counted from √½, the exponent's field belongs to the wanted
            // mantissa.
            let shifted = self.to_bits().wrapping_add(ONE - $half_root);
            let biased = shifted >> $mantissa;
            let mantissa =
                <$float>::from_bits((shifted & ((1 << $mantissa) - 1)).wrapping_add($half_root));
            // The low bits of the rounder itself are those of the bias.
            let rounded = <$float>::from_bits(
                (Self::ROUNDER.to_bits() - (ONE >> $mantissa)).wrapping_add(biased),
            );
            (mantissa, rounded - Self::ROUNDER)
        }
    };
}

/// The polynomial of `exp` is minimax on `|r| ≤ ½ ln 2`, relative to `e^r` (Remez exchange in 60
/// digits, error 3.1e-9); that of `ln`, and the two parts of `ln 2`, are those of FreeBSD's
/// `e_logf.c` (error 2^−34).
impl Real for f32 {
    const ROUNDER: Self = 12_582_912.0 + 127.0;
    const LOG2_E: Self = std::f32::consts::LOG2_E;
    const LN_2_HIGH: Self = 6.931_381e-1;
    const LN_2_LOW: Self = 9.058_001e-6;
    const EXP_POLYNOMIAL: &'static [Self] =
        &[4.999_999_3e-1, 1.666_652_1e-1, 4.166_839_1e-2, 8.368_745e-3, 1.381_453_9e-3];
    const LN_POLYNOMIAL: &'static [Self] =
        &[6.666_666e-1, 4.000_097_2e-1, 2.849_878_7e-1, 2.427_907_9e-1];
    const EXP_RANGE: (Self, Self) = (-87.336, 88.37);
    const NORMALISER: (Self, Self) = (8_388_608.0, 23.0);

    bit_operations!(f32, u32, 23, 0x3f35_04f3);
}

/// As for f32: errors 3.6e-18 and, of FreeBSD's `e_log.c`, 2^−58.
impl Real for f64 {
    const ROUNDER: Self = 6_755_399_441_055_744.0 + 1023.0;
    const LOG2_E: Self = std::f64::consts::LOG2_E;
    const LN_2_HIGH: Self = 6.931_471_803_691_238e-1;
    const LN_2_LOW: Self = 1.908_214_929_270_587_7e-10;
    const EXP_POLYNOMIAL: &'static [Self] = &[
        0.500_000_000_000_001_1,
        0.166_666_666_666_664_12,
        0.041_666_666_666_529_73,
        0.008_333_333_333_494_98,
        0.001_388_888_894_375_992_5,
        0.000_198_412_695_057_666_6,
        2.480_149_294_965_677_4e-5,
        2.755_758_680_944_447_8e-6,
        2.763_030_624_632_774e-7,
        2.500_001_727_044_47e-8,
    ];
    const LN_POLYNOMIAL: &'static [Self] = &[
        6.666_666_666_666_735e-1,
        3.999_999_999_940_942e-1,
        2.857_142_874_366_239e-1,
        2.222_219_843_214_978_4e-1,
        1.818_357_216_161_805e-1,
        1.531_383_769_920_937_3e-1,
        1.479_819_860_511_658_6e-1,
    ];
    const EXP_RANGE: (Self, Self) = (-708.396, 709.43);
    const NORMALISER: (Self, Self) = (4_503_599_627_370_496.0, 52.0);

    bit_operations!(f64, u64, 52, 0x3fe6_a09e_667f_3bcd);
}
