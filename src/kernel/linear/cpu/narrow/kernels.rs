//! The passes over rows, compiled for each width of the narrow side.

use crate::kernel::cpu::remainder::{load, store};
use crate::kernel::cpu::simd::{Kernel, LANES, Lanes, MultiplyAdd, Real};
use crate::kernel::epilogue::Epilogue;

/// One chunk of a wide row.
#[inline(always)]
fn chunk<T: Real>(row: &[T], index: usize) -> Lanes<T> {
    let rest = &row[index * LANES..];
    match rest.first_chunk::<LANES>() {
        Some(chunk) => *chunk,
        None => load(rest),
    }
}

#[inline(always)]
fn put<T: Real>(lanes: &Lanes<T>, row: &mut [T], index: usize) {
    let rest = &mut row[index * LANES..];
    match rest.first_chunk_mut::<LANES>() {
        Some(chunk) => *chunk = *lanes,
        None => store(lanes, rest),
    }
}

/// The sum as a tree, four additions deep.
#[inline(always)]
fn sum<T: Real>(mut lanes: Lanes<T>) -> T {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// `y` of a layer with few inputs.
pub struct Widen<'a, T, const N: usize> {
    pub x: &'a [T],
    pub weight: &'a [Lanes<T>],
    pub bias: &'a [T],
    pub epilogue: Epilogue,
    pub y: &'a mut [T],
}

impl<T: Real, const N: usize> Kernel for Widen<'_, T, N> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { x, weight, bias, epilogue, y } = self;
        let width = bias.len();
        let chunks = width.div_ceil(LANES);
        let (x, _) = x.as_chunks::<N>();
        for (x, y) in x.iter().zip(y.chunks_exact_mut(width)) {
            for index in 0..chunks {
                let mut lanes = chunk(bias, index);
                for k in 0..N {
                    let weight = weight[k * chunks + index];
                    for lane in 0..LANES {
                        lanes[lane] = M::mul_add(x[k], weight[lane], lanes[lane]);
                    }
                }
                if epilogue == Epilogue::Relu {
                    for lane in &mut lanes {
                        // Keeps NaN.
                        *lane = if *lane < T::zero() { T::zero() } else { *lane };
                    }
                }
                put(&lanes, y, index);
            }
        }
    }
}

/// Gradients of a layer with few inputs. `sums` holds those of the `N` rows of weights.
pub struct WidenBackward<'a, T, const N: usize> {
    pub x: &'a [T],
    pub weight: &'a [Lanes<T>],
    pub outputs: usize,
    pub epilogue: Epilogue,
    pub y: &'a [T],
    pub gradient: &'a [T],
    /// Empty if it is not required.
    pub of_x: &'a mut [T],
    pub sums: &'a mut [Lanes<T>],
    pub of_bias: &'a mut [Lanes<T>],
}

impl<T: Real, const N: usize> Kernel for WidenBackward<'_, T, N> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { x, weight, outputs: width, epilogue, y, gradient, of_x, sums, of_bias } = self;
        let chunks = width.div_ceil(LANES);
        let (x, _) = x.as_chunks::<N>();
        let (of_x, _) = of_x.as_chunks_mut::<N>();
        for (r, x) in x.iter().enumerate() {
            let (y, gradient) = (&y[r * width..][..width], &gradient[r * width..][..width]);
            let mut dots = [[T::zero(); LANES]; N];
            for index in 0..chunks {
                let mut inner = chunk(gradient, index);
                if epilogue == Epilogue::Relu {
                    let y = chunk(y, index);
                    for lane in 0..LANES {
                        inner[lane] = if y[lane] <= T::zero() { T::zero() } else { inner[lane] };
                    }
                }
                for k in 0..N {
                    let (weight, mut sum) = (weight[k * chunks + index], sums[k * chunks + index]);
                    for lane in 0..LANES {
                        sum[lane] = M::mul_add(x[k], inner[lane], sum[lane]);
                        dots[k][lane] = M::mul_add(weight[lane], inner[lane], dots[k][lane]);
                    }
                    sums[k * chunks + index] = sum;
                }
                let bias = &mut of_bias[index];
                for lane in 0..LANES {
                    bias[lane] += inner[lane];
                }
            }
            if let Some(of_x) = of_x.get_mut(r) {
                for k in 0..N {
                    of_x[k] = sum(dots[k]);
                }
            }
        }
    }
}

/// `y` of a layer with few outputs.
pub struct Narrow<'a, T, const N: usize> {
    pub x: &'a [T],
    pub inputs: usize,
    pub weight: &'a [Lanes<T>],
    pub bias: &'a [T],
    pub epilogue: Epilogue,
    pub y: &'a mut [T],
}

impl<T: Real, const N: usize> Kernel for Narrow<'_, T, N> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { x, inputs: width, weight, bias, epilogue, y } = self;
        let chunks = width.div_ceil(LANES);
        let (y, _) = y.as_chunks_mut::<N>();
        for (x, y) in x.chunks_exact(width).zip(y) {
            let mut dots = [[T::zero(); LANES]; N];
            for index in 0..chunks {
                let x = chunk(x, index);
                for k in 0..N {
                    let weight = weight[k * chunks + index];
                    for lane in 0..LANES {
                        dots[k][lane] = M::mul_add(x[lane], weight[lane], dots[k][lane]);
                    }
                }
            }
            for k in 0..N {
                let value = sum(dots[k]) + bias[k];
                // Keeps NaN.
                y[k] =
                    if epilogue == Epilogue::Relu && value < T::zero() { T::zero() } else { value };
            }
        }
    }
}

/// Gradients of a layer with few outputs. `sums` holds those of the `N` rows of weights.
pub struct NarrowBackward<'a, T, const N: usize> {
    pub x: &'a [T],
    pub inputs: usize,
    pub weight: &'a [Lanes<T>],
    pub epilogue: Epilogue,
    pub y: &'a [T],
    pub gradient: &'a [T],
    /// Empty if it is not required.
    pub of_x: &'a mut [T],
    pub sums: &'a mut [Lanes<T>],
    pub of_bias: &'a mut [T],
}

impl<T: Real, const N: usize> Kernel for NarrowBackward<'_, T, N> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { x, inputs: width, weight, epilogue, y, gradient, of_x, sums, of_bias } = self;
        let chunks = width.div_ceil(LANES);
        let ((y, _), (gradient, _)) = (y.as_chunks::<N>(), gradient.as_chunks::<N>());
        let wanted = !of_x.is_empty();
        for (r, (y, gradient)) in y.iter().zip(gradient).enumerate() {
            let mut inner = *gradient;
            for k in 0..N {
                if epilogue == Epilogue::Relu && y[k] <= T::zero() {
                    inner[k] = T::zero();
                }
                of_bias[k] += inner[k];
            }
            let x = &x[r * width..][..width];
            for index in 0..chunks {
                let x = chunk(x, index);
                let mut back = [T::zero(); LANES];
                for k in 0..N {
                    let (weight, mut sum) = (weight[k * chunks + index], sums[k * chunks + index]);
                    for lane in 0..LANES {
                        sum[lane] = M::mul_add(inner[k], x[lane], sum[lane]);
                        back[lane] = M::mul_add(inner[k], weight[lane], back[lane]);
                    }
                    sums[k * chunks + index] = sum;
                }
                if wanted {
                    put(&back, &mut of_x[r * width..][..width], index);
                }
            }
        }
    }
}
