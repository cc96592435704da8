//! Several small tensors in one device-to-host copy.
//! ```text
//! row i of the copy      tensor i; a tensor of one element is repeated
//! ```
//! Each copy waits for all that the device has to do, so two copies cost an update two waits.

use burn::tensor::{DType, Device, ExecutionError, FloatDType, Int, Tensor};

/// The values of tensors on one device, in one copy. Each tensor has one element, or as many as the
/// longest. They are copied in float32, or in float64 if one of them is of that type, so no value
/// is rounded.
///
/// # Errors
/// What the device reported, for any of the tensors. Each operation here reads what the one before
/// it wrote, so a tensor that was never written leaves none of the copy written. In burn's
/// `Transaction`, an error that its fusion carries would be a panic; in `cat`, the launch that
/// copies a tensor would clear the mark of one that was not written.
pub(super) fn read_together(tensors: Vec<Tensor<1>>) -> Result<Vec<Vec<f64>>, ExecutionError> {
    let lengths: Vec<usize> = tensors.iter().map(|tensor| tensor.dims()[0]).collect();
    let shape = [tensors.len(), lengths.iter().copied().max().unwrap_or(0)];
    let wide = tensors.iter().any(|tensor| tensor.dtype() == DType::F64);
    let dtype = if wide { FloatDType::F64 } else { FloatDType::F32 };
    let device = tensors.first().map(Tensor::device).unwrap_or_default();
    let mut rows = tensors.into_iter().map(|tensor| {
        let length = tensor.dims()[0];
        tensor.cast(dtype).reshape([1, length]).expand(shape)
    });
    let Some(mut all) = rows.next() else { return Ok(Vec::new()) };
    if shape[0] > 1 {
        let row = row_of_each(shape, &device);
        for (before, values) in rows.enumerate() {
            all = all.mask_where(row.clone().equal_elem(before as i64 + 1), values);
        }
    }
    let values: Vec<f64> = all.try_into_data()?.iter().collect();
    let rows = values.chunks(shape[1].max(1)).zip(lengths);
    Ok(rows.map(|(row, length)| row[..length].to_vec()).collect())
}

/// The index of its row, for each element.
fn row_of_each(shape: [usize; 2], device: &Device) -> Tensor<2, Int> {
    let rows: Vec<i64> = (0..shape[0] as i64).collect();
    Tensor::<1, Int>::from_data(rows.as_slice(), device).reshape([shape[0], 1]).expand(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_are() {
        let device = Device::flex();
        let samples: Vec<f32> = (0..8).map(|i| (i as f32).sin()).collect();
        let tensors = || {
            vec![
                Tensor::<1>::from_data([f32::NAN], &device),
                Tensor::from_data([-3.5f32], &device),
                Tensor::from_data(samples.as_slice(), &device),
                Tensor::from_data([f32::INFINITY], &device),
            ]
        };
        for more in [None, Some(Tensor::<1>::from_data([0.1f64], (&device, DType::F64)))] {
            let wide = more.is_some();
            let found = read_together(tensors().into_iter().chain(more).collect()).unwrap();
            assert!(found[0][0].is_nan() && found[0].len() == 1);
            assert_eq!((found[1][0], found[3][0]), (-3.5, f64::INFINITY));
            let back: Vec<f32> = found[2].iter().map(|&sample| sample as f32).collect();
            assert_eq!(back, samples);
            assert_eq!(found.get(4), wide.then(|| vec![0.1]).as_ref());
        }
        assert_eq!(read_together(vec![Tensor::from_data([2.5f32], &device)]).unwrap(), [[2.5]]);
        assert!(read_together(Vec::new()).unwrap().is_empty());
    }
}
