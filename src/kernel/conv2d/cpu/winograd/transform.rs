//! The four small matrices, each on vectors of channels.

use crate::kernel::cpu::simd::{LANES, Lanes, Real};

/// `Bᵀ d`: pixels to places.
#[inline(always)]
pub fn of_pixels<T: Real>(d: &[Lanes<T>; 4]) -> [Lanes<T>; 4] {
    let mut out = [[T::zero(); LANES]; 4];
    for lane in 0..LANES {
        out[0][lane] = d[0][lane] - d[2][lane];
        out[1][lane] = d[1][lane] + d[2][lane];
        out[2][lane] = d[2][lane] - d[1][lane];
        out[3][lane] = d[1][lane] - d[3][lane];
    }
    out
}

/// `G w`: weights to places.
#[inline(always)]
pub fn of_weights<T: Real>(w: &[Lanes<T>; 3]) -> [Lanes<T>; 4] {
    let half = T::of(0.5);
    let mut out = [[T::zero(); LANES]; 4];
    for lane in 0..LANES {
        let (ends, centre) = (w[0][lane] + w[2][lane], w[1][lane]);
        out[0][lane] = w[0][lane];
        out[1][lane] = (ends + centre) * half;
        out[2][lane] = (ends - centre) * half;
        out[3][lane] = w[2][lane];
    }
    out
}

/// `Aᵀ m`: places to results.
#[inline(always)]
pub fn to_results<T: Real>(m: &[Lanes<T>; 4]) -> [Lanes<T>; 2] {
    let mut out = [[T::zero(); LANES]; 2];
    for lane in 0..LANES {
        out[0][lane] = m[0][lane] + (m[1][lane] + m[2][lane]);
        out[1][lane] = (m[1][lane] - m[2][lane]) - m[3][lane];
    }
    out
}

/// `A g`: gradients of results to those of places.
#[inline(always)]
pub fn of_results<T: Real>(g: &[Lanes<T>; 2]) -> [Lanes<T>; 4] {
    let mut out = [[T::zero(); LANES]; 4];
    for lane in 0..LANES {
        out[0][lane] = g[0][lane];
        out[1][lane] = g[0][lane] + g[1][lane];
        out[2][lane] = g[0][lane] - g[1][lane];
        out[3][lane] = -g[1][lane];
    }
    out
}

/// `Gᵀ m`: gradients of places to those of weights.
#[inline(always)]
pub fn to_weights<T: Real>(m: &[Lanes<T>; 4]) -> [Lanes<T>; 3] {
    let half = T::of(0.5);
    let mut out = [[T::zero(); LANES]; 3];
    for lane in 0..LANES {
        let sum = (m[1][lane] + m[2][lane]) * half;
        out[0][lane] = m[0][lane] + sum;
        out[1][lane] = (m[1][lane] - m[2][lane]) * half;
        out[2][lane] = sum + m[3][lane];
    }
    out
}
