//! Mean and standard deviation of every channel of a batch, in float64 on the host, for
//! data-dependent initialisation.
//! ```text
//! in a block    m = k + Σ(x − k)/n,  S = Σ(x − m)²     k the channel's first element in the block
//! of two        m = m_a + δ·n_b/n,   S = S_a + S_b + δ²·n_a·n_b/n,   δ = m_b − m_a,  n = n_a + n_b
//! deviation     √(S/n)                                         biased
//! ```
//! # Numerics
//! Float64 holds the square of every float32 and the sum of 10⁹ of them, so the result is accurate
//! at any offset, scale and count. A constant channel has a deviation of exactly 0, because `x − k`
//! is 0. If the device cannot return the batch, the moments are NaN.
//!
//! # Cost
//! One device-to-host copy of the batch, in blocks of [`BLOCK`] elements, so memory does not grow
//! with the batch.
//!
//! # Reference
//! Chan, Golub & LeVeque 1979 (moments of two sets from those of each).

use burn::tensor::{DType, Device, Tensor, TensorData};

/// Elements of a block, unless a single example has more.
const BLOCK: usize = 1 << 20;

/// A deviation of at most this share of the channel's largest magnitude counts as rounding. A mix
/// of a value and its neighbour deviates by at most half their spacing. The share covers that: it
/// amounts to between half a spacing and one.
fn resolution(dtype: DType) -> f64 {
    let digits = if dtype == DType::F64 { 52 } else { 23 };
    (-f64::from(digits + 1)).exp2()
}

/// Moments of every channel.
#[derive(Debug, Clone)]
pub(crate) struct Moments {
    /// Elements of each channel.
    pub count: usize,
    pub mean: Vec<f64>,
    /// Standard deviation, biased.
    pub deviation: Vec<f64>,
    /// Largest deviation at which the channel counts as constant, from the resolution of its type.
    pub resolution: Vec<f64>,
}

/// Moments of the elements seen so far.
struct Sums {
    count: usize,
    mean: Vec<f64>,
    squares: Vec<f64>,
    largest: Vec<f64>,
}

impl Moments {
    /// Moments of the channels along axis 1, over batch and positions.
    pub fn of_channels<const D: usize>(x: &Tensor<D>) -> Self {
        let dims = x.dims();
        Self::of(x.clone().inner().reshape([dims[0], dims[1], dims[2..].iter().product()]))
    }

    /// Moments of every element of an example, over the batch.
    pub fn of_elements<const D: usize>(x: &Tensor<D>) -> Self {
        let dims = x.dims();
        Self::of(x.clone().inner().reshape([dims[0], dims[1..].iter().product(), 1]))
    }

    fn of(x: Tensor<3>) -> Self {
        let [batch, channels, positions] = x.dims();
        let resolution = resolution(x.dtype());
        let rows = (BLOCK / (channels * positions).max(1)).max(1);
        let mut sums = Sums::new(channels);
        for start in (0..batch).step_by(rows) {
            let block = x.clone().narrow(0, start, rows.min(batch - start));
            let Ok(data) = block.try_into_data() else {
                sums.mean.fill(f64::NAN);
                break;
            };
            match data.as_slice::<f32>() {
                Ok(values) => sums.join(Sums::of(values, channels, positions)),
                Err(_) => sums.join(Sums::of(
                    &data.iter::<f64>().collect::<Vec<_>>(),
                    channels,
                    positions,
                )),
            }
        }
        let Sums { count, mean, squares, largest } = sums;
        // A NaN mean makes the deviation NaN too.
        let deviation = |(mean, squares): (&f64, f64)| (squares / count as f64).sqrt() + 0.0 * mean;
        Self {
            count,
            deviation: mean.iter().zip(squares).map(deviation).collect(),
            resolution: largest.into_iter().map(|largest| resolution * largest).collect(),
            mean,
        }
    }
}

impl Sums {
    fn new(channels: usize) -> Self {
        let zeros = || vec![0.0; channels];
        Self { count: 0, mean: zeros(), squares: zeros(), largest: zeros() }
    }

    /// Moments of a block `[rows, channels, positions]`.
    fn of<T: Copy + Into<f64>>(values: &[T], channels: usize, positions: usize) -> Self {
        let mut sums = Self::new(channels);
        let row = channels * positions;
        if row == 0 || values.len() < row {
            return sums;
        }
        sums.count = values.len() / channels;
        let first: Vec<f64> = values[..row].iter().step_by(positions).map(|&x| x.into()).collect();
        for row in values.chunks_exact(row) {
            for (channel, numbers) in row.chunks_exact(positions).enumerate() {
                let k = first[channel];
                sums.mean[channel] += sum(numbers, |x| x - k);
                let largest =
                    numbers.iter().fold(sums.largest[channel], |most, &x| most.max(x.into().abs()));
                sums.largest[channel] = largest;
            }
        }
        for (mean, k) in sums.mean.iter_mut().zip(first) {
            *mean = k + *mean / sums.count as f64;
        }
        for row in values.chunks_exact(row) {
            for (channel, numbers) in row.chunks_exact(positions).enumerate() {
                let mean = sums.mean[channel];
                sums.squares[channel] += sum(numbers, |x| (x - mean) * (x - mean));
            }
        }
        sums
    }

    fn join(&mut self, more: Self) {
        let all = (self.count + more.count) as f64;
        // The first block is copied bit for bit.
        let share = if self.count == 0 { 1.0 } else { more.count as f64 / all };
        let squares = self.squares.iter_mut().zip(more.squares);
        for ((mean, other), (squares, others)) in self.mean.iter_mut().zip(more.mean).zip(squares) {
            let apart = other - *mean;
            *squares += others + apart * apart * share * self.count as f64;
            *mean = if share == 1.0 { other } else { *mean + apart * share };
        }
        for (largest, other) in self.largest.iter_mut().zip(more.largest) {
            *largest = largest.max(other);
        }
        self.count += more.count;
    }
}

/// Σ f(x), in eight parallel sums.
fn sum<T: Copy + Into<f64>>(numbers: &[T], f: impl Fn(f64) -> f64) -> f64 {
    let (eights, rest) = numbers.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for eight in eights {
        for (sum, &x) in sums.iter_mut().zip(eight) {
            *sum += f(x.into());
        }
    }
    sums.into_iter().sum::<f64>() + rest.iter().map(|&x| f(x.into())).sum::<f64>()
}

/// Host values as a tensor on a device, each rounded to the nearest of its type, outside any graph.
pub(crate) fn on_device<const D: usize>(
    values: Vec<f64>,
    shape: [usize; D],
    device: &Device,
    dtype: DType,
) -> Tensor<D> {
    Tensor::from_data(
        TensorData::new(values, shape).convert_dtype(dtype),
        (&device.clone().inner(), dtype),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The joined moments of unequal blocks agree with those of the whole.
    #[test]
    fn blocks_join() {
        let (channels, positions, rows) = (3, 5, 7);
        let values: Vec<f64> =
            (0..rows * channels * positions).map(|i| 1e6 + ((i * 7919) % 101) as f64).collect();
        let mut joined = Sums::new(channels);
        for (start, end) in [(0, 1), (1, 4), (4, 7)] {
            let row = channels * positions;
            joined.join(Sums::of(&values[start * row..end * row], channels, positions));
        }
        let whole = Sums::of(&values, channels, positions);
        assert_eq!(joined.count, whole.count);
        assert!(joined.mean.iter().zip(&whole.mean).all(|(a, b)| (a - b).abs() < 1e-9));
        assert!(
            joined.squares.iter().zip(&whole.squares).all(|(a, b)| (a / b - 1.0).abs() < 1e-12)
        );
        let own = |i: &usize| (i / positions).is_multiple_of(channels);
        let first: Vec<f64> = (0..values.len()).filter(own).map(|i| values[i]).collect();
        assert!((first.iter().sum::<f64>() / first.len() as f64 - whole.mean[0]).abs() < 1e-9);
    }
}
