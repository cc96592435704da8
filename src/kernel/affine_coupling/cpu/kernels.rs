//! The passes, compiled for each form and instruction set. An example of `theta` holds `s`, then
//! `t`.

use std::marker::PhantomData;

use super::scale::AffineScale;
use super::sizes::AffineCoupling;
use super::tile::Tile;
use crate::kernel::cpu::simd::{Kernel, LANES, MultiplyAdd, Real};

/// `multiple·t`. The multiples are constants of the form, and those of 0 leave `t` out: 0 times an
/// infinite shift would be NaN.
#[inline(always)]
fn shift<T: Real>(multiple: f64, t: T) -> T {
    if multiple == 0.0 { T::zero() } else { T::of(multiple) * t }
}

pub struct Forward<'a, T, F> {
    pub at: AffineCoupling,
    pub theta: &'a [T],
    pub z: &'a mut [T],
    pub form: PhantomData<F>,
}

impl<T: Real, F: AffineScale> Kernel for Forward<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { at: AffineCoupling { example, start, dims, .. }, theta, z, .. } = self;
        let n = z.len() / example;
        for index in 0..Tile::number(n, dims) {
            let tile = Tile::new(index, n, dims);
            let mut x = tile.read(z, example, start);
            let (s, t) = (tile.read(theta, 2 * dims, 0), tile.read(theta, 2 * dims, dims));
            for lane in 0..LANES {
                let (scale, _) = F::scale::<T, M>(s[lane]);
                let (before, after) = (shift(F::BEFORE, t[lane]), shift(F::AFTER, t[lane]));
                x[lane] = M::mul_add(x[lane] + before, scale, after);
            }
            tile.write(&x, z, example, start);
        }
    }
}

pub struct Inverse<'a, T, F> {
    pub at: AffineCoupling,
    pub theta: &'a [T],
    pub x: &'a mut [T],
    pub form: PhantomData<F>,
}

impl<T: Real, F: AffineScale> Kernel for Inverse<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { at: AffineCoupling { example, start, dims, .. }, theta, x, .. } = self;
        let n = x.len() / example;
        for index in 0..Tile::number(n, dims) {
            let tile = Tile::new(index, n, dims);
            let mut z = tile.read(x, example, start);
            let (s, t) = (tile.read(theta, 2 * dims, 0), tile.read(theta, 2 * dims, dims));
            for lane in 0..LANES {
                let scale = F::inverse_scale::<T, M>(s[lane]);
                let (before, after) = (shift(F::BEFORE, t[lane]), shift(F::AFTER, t[lane]));
                z[lane] = M::mul_add(z[lane] - after, scale, -before);
            }
            tile.write(&z, x, example, start);
        }
    }
}

pub struct Backward<'a, T, F> {
    pub at: AffineCoupling,
    pub x: &'a [T],
    pub theta: &'a [T],
    pub of_x: &'a mut [T],
    pub of_theta: &'a mut [T],
    pub form: PhantomData<F>,
}

impl<T: Real, F: AffineScale> Kernel for Backward<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self {
            at: AffineCoupling { example, start, dims, .. }, x, theta, of_x, of_theta, ..
        } = self;
        let (before, after) = (T::of(F::BEFORE), T::of(F::AFTER));
        let n = x.len() / example;
        for index in 0..Tile::number(n, dims) {
            let tile = Tile::new(index, n, dims);
            let (x, mut g) = (tile.read(x, example, start), tile.read(of_x, example, start));
            let (mut s, mut t) = (tile.read(theta, 2 * dims, 0), tile.read(theta, 2 * dims, dims));
            for lane in 0..LANES {
                let (scale, slope) = F::scale::<T, M>(s[lane]);
                let scaled = g[lane] * scale;
                s[lane] = scaled * (x[lane] + shift(F::BEFORE, t[lane])) * slope;
                t[lane] = M::mul_add(before, scaled, after * g[lane]);
                g[lane] = scaled;
            }
            tile.write(&g, of_x, example, start);
            tile.write(&s, of_theta, 2 * dims, 0);
            tile.write(&t, of_theta, 2 * dims, dims);
        }
    }
}

pub struct LogDet<'a, T, F> {
    pub at: AffineCoupling,
    pub theta: &'a [T],
    pub sums: &'a mut [T],
    pub form: PhantomData<F>,
}

impl<T: Real, F: AffineScale> Kernel for LogDet<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { at: AffineCoupling { dims, .. }, theta, sums, .. } = self;
        let n = sums.len();
        for index in 0..Tile::number(n, dims) {
            let tile = Tile::new(index, n, dims);
            let mut s = tile.read(theta, 2 * dims, 0);
            for s in &mut s {
                *s = F::log_scale::<T, M>(*s);
            }
            tile.gather(&s, sums);
        }
    }
}

pub struct LogDetBackward<'a, T, F> {
    pub at: AffineCoupling,
    pub theta: &'a [T],
    pub gradient: &'a [T],
    pub of_theta: &'a mut [T],
    pub form: PhantomData<F>,
}

impl<T: Real, F: AffineScale> Kernel for LogDetBackward<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { at: AffineCoupling { dims, .. }, theta, gradient, of_theta, .. } = self;
        let n = gradient.len();
        for index in 0..Tile::number(n, dims) {
            let tile = Tile::new(index, n, dims);
            let (mut s, gradient) = (tile.read(theta, 2 * dims, 0), tile.spread(gradient));
            for lane in 0..LANES {
                s[lane] = gradient[lane] * F::scale::<T, M>(s[lane]).1;
            }
            tile.write(&s, of_theta, 2 * dims, 0);
        }
    }
}
