//! Images of one shape, in memory as bytes.

use std::fmt;
use std::sync::Arc;

use burn::data::dataset::{Dataset, DatasetError};
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::{DataError, Image, Labels};

/// Byte images of one shape, in memory: `[n, channels, height, width]`, levels 0 to 255, with or
/// without labels.
///
/// Bytes, not floats, because the data are levels: a flow gives discrete data a density only
/// through a quantization transform, which starts from integers. Bytes also take a quarter of the
/// memory.
///
/// Clones share the bytes, so a loader can take one. A set implements burn's [`Dataset`] of
/// [`Image`], so burn's loaders and transforms accept it, and so does [`Loader`](super::Loader).
///
/// # Example
///
/// ```
/// use flowkit::data::Images;
///
/// let images = Images::new(vec![0, 64, 128, 255], [1, 1, 2])?;
/// assert_eq!((images.len(), images.shape()), (2, [1, 1, 2]));
/// assert_eq!(images.image(1), [128, 255]);
/// # Ok::<(), flowkit::data::DataError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Images {
    pixels: Arc<Vec<u8>>,
    shape: [usize; 3],
    labels: Option<Labels>,
}

impl Images {
    /// Images of `shape` = `[channels, height, width]` from their bytes: image after image, each
    /// plane after plane, each row after row. No bytes at all make an empty set.
    ///
    /// # Errors
    ///
    /// [`DataError::ImageShape`] if a dimension is 0 or their product overflows;
    /// [`DataError::PixelCount`] if the bytes are not a whole number of images.
    pub fn new(pixels: Vec<u8>, shape: [usize; 3]) -> Result<Self, DataError> {
        let per_image = shape.iter().try_fold(1usize, |product, &d| product.checked_mul(d));
        match per_image {
            None | Some(0) => Err(DataError::ImageShape { found: shape }),
            Some(per_image) if !pixels.len().is_multiple_of(per_image) => {
                Err(DataError::PixelCount { expected: per_image, found: pixels.len() })
            }
            Some(_) => Ok(Self { pixels: Arc::new(pixels), shape, labels: None }),
        }
    }

    /// These images with a label for each.
    ///
    /// # Errors
    ///
    /// [`DataError::LabelCount`] if there are more or fewer labels than images.
    pub fn with_labels(self, labels: Labels) -> Result<Self, DataError> {
        if labels.len() != self.len() {
            return Err(DataError::LabelCount { expected: self.len(), found: labels.len() });
        }
        Ok(Self { labels: Some(labels), ..self })
    }

    /// The labels, if the set has them.
    pub fn labels(&self) -> Option<&Labels> {
        self.labels.as_ref()
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.pixels.len() / self.n_dims()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.pixels.is_empty()
    }

    /// The shape of each image, `[channels, height, width]`.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// The number of bytes of each image: the "dim" of bits/dim.
    pub fn n_dims(&self) -> usize {
        self.shape.iter().product()
    }

    /// The bytes of image `i`, plane after plane.
    ///
    /// # Panics
    ///
    /// If `i >= len()`.
    pub fn image(&self, i: usize) -> &[u8] {
        assert!(
            i < self.len(),
            "expected an index below {}, the number of images, found {i}",
            self.len()
        );
        let n_dims = self.n_dims();
        &self.pixels[i * n_dims..(i + 1) * n_dims]
    }

    /// The first `n` images, or all of them if there are fewer.
    ///
    /// If files are sorted by class, the first images are a sample of one class:
    /// [`select`](Self::select) can take a random sample.
    pub fn take(mut self, n: usize) -> Self {
        let n_bytes = n.saturating_mul(self.n_dims()).min(self.pixels.len());
        match Arc::get_mut(&mut self.pixels) {
            Some(pixels) => pixels.truncate(n_bytes),
            None => self.pixels = Arc::new(self.pixels[..n_bytes].to_vec()),
        }
        if let Some(labels) = &mut self.labels {
            labels.take(n);
        }
        self
    }

    /// The images at `indices`, in that order.
    ///
    /// ```
    /// # use flowkit::data::{Batches, Images};
    /// # let images = Images::new(vec![0; 100], [1, 1, 1])?;
    /// // Ten random images, the same ten for the same seed.
    /// let sample = images.select(&Batches::new(images.len(), 10, 7)?.indices(0));
    /// # assert_eq!(sample.len(), 10);
    /// # Ok::<(), flowkit::data::DataError>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If an index is out of range.
    pub fn select(&self, indices: &[usize]) -> Self {
        let labels = self.labels.as_ref().map(|labels| labels.select(indices));
        Self { pixels: Arc::new(self.gather(indices)), shape: self.shape, labels }
    }

    /// These images, then those of `other`.
    ///
    /// # Errors
    ///
    /// [`DataError::ShapesDiffer`] if the images of the two sets differ in shape;
    /// [`DataError::ClassesDiffer`] if their classes do, or if only one of them has labels.
    pub fn concat(mut self, other: &Self) -> Result<Self, DataError> {
        if self.shape != other.shape {
            return Err(DataError::ShapesDiffer { expected: self.shape, found: other.shape });
        }
        let names = |labels: &Option<Labels>| labels.as_ref().map(|labels| labels.names().to_vec());
        let (expected, found) = (names(&self.labels), names(&other.labels));
        if expected != found {
            let (expected, found) = (expected.unwrap_or_default(), found.unwrap_or_default());
            return Err(DataError::ClassesDiffer { expected, found });
        }
        Arc::make_mut(&mut self.pixels).extend_from_slice(&other.pixels);
        if let (Some(labels), Some(more)) = (&mut self.labels, &other.labels) {
            labels.extend(more);
        }
        Ok(self)
    }

    /// These images in `n_levels` levels, `⌊x·n_levels/256⌋`: 32 levels are 5 bits.
    ///
    /// ```
    /// # use flowkit::data::Images;
    /// let coarse = Images::new(vec![0, 7, 8, 255], [1, 2, 2])?.coarsened(32)?;
    /// assert_eq!(coarse.image(0), [0, 0, 1, 31]);
    /// # Ok::<(), flowkit::data::DataError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`DataError::Levels`] unless `n_levels` is a power of two from 2 to 256: with another
    /// number, some levels would stand for more bytes than others.
    pub fn coarsened(mut self, n_levels: usize) -> Result<Self, DataError> {
        if !(n_levels.is_power_of_two() && (2..=256).contains(&n_levels)) {
            return Err(DataError::Levels { found: n_levels });
        }
        // From 1 to 128, since there are at least 2 levels.
        let width = (256 / n_levels) as u8;
        Arc::make_mut(&mut self.pixels).iter_mut().for_each(|pixel| *pixel /= width);
        Ok(self)
    }

    /// These images with rows and columns exchanged: the pixel in row `y`, column `x` moves to row
    /// `x`, column `y`. EMNIST's files store their images that way.
    ///
    /// ```
    /// # use flowkit::data::Images;
    /// let turned = Images::new(vec![1, 2, 3, 4, 5, 6], [1, 2, 3])?.transposed();
    /// assert_eq!((turned.image(0), turned.shape()), (&[1, 4, 2, 5, 3, 6][..], [1, 3, 2]));
    /// # Ok::<(), flowkit::data::DataError>(())
    /// ```
    pub fn transposed(self) -> Self {
        let [channels, height, width] = self.shape;
        let mut pixels = Vec::with_capacity(self.pixels.len());
        for plane in self.pixels.chunks_exact(height * width) {
            pixels.extend((0..width).flat_map(|x| (0..height).map(move |y| plane[y * width + x])));
        }
        Self { pixels: Arc::new(pixels), shape: [channels, width, height], labels: self.labels }
    }

    /// The images at `indices` as a tensor `[indices.len(), channels, height, width]` of the
    /// device's default integer type, levels 0 to 255.
    ///
    /// # Panics
    ///
    /// If `indices` is empty, or an index is out of range.
    pub fn batch(&self, indices: &[usize], device: &Device) -> Tensor<4, Int> {
        assert!(!indices.is_empty(), "a batch must have at least one image");
        let [channels, height, width] = self.shape;
        let shape = [indices.len(), channels, height, width];
        Tensor::from_data(TensorData::new(self.gather(indices), shape), device)
    }

    fn gather(&self, indices: &[usize]) -> Vec<u8> {
        let mut pixels = Vec::with_capacity(indices.len() * self.n_dims());
        for &i in indices {
            pixels.extend_from_slice(self.image(i));
        }
        pixels
    }
}

/// Item `i` is [`Images::image`] with its label. Reading from memory cannot fail.
impl Dataset<Image> for Images {
    fn get(&self, index: usize) -> Result<Image, DatasetError> {
        let label = self.labels.as_ref().map(|labels| labels.get(index));
        Ok(Image { pixels: self.image(index).to_vec(), shape: self.shape, label })
    }

    fn len(&self) -> usize {
        self.len()
    }
}

/// The counts and the shape: the bytes of a set do not help in a message.
impl fmt::Debug for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let classes = self.labels.as_ref().map(Labels::n_classes);
        f.debug_struct("Images")
            .field("len", &self.len())
            .field("shape", &self.shape)
            .field("classes", &classes)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting(n: u8) -> Images {
        Images::new((0..n * 6).collect(), [3, 1, 2]).unwrap()
    }

    #[test]
    fn a_batch_holds_the_bytes_as_integers_in_the_order_asked() {
        let images = Images::new(vec![0, 127, 128, 255, 1, 2], [1, 2, 1]).unwrap();
        let batch = images.batch(&[1, 0, 1], &Device::default());
        assert_eq!(batch.dims(), [3, 1, 2, 1]);
        let levels: Vec<i64> = batch.into_data().iter::<i64>().collect();
        assert_eq!(levels, [128, 255, 0, 127, 128, 255]);
    }

    #[test]
    fn take_and_select_and_concat_count() {
        assert_eq!(counting(5).take(2), counting(2));
        assert_eq!(counting(5).take(usize::MAX), counting(5));
        assert!(counting(5).take(0).is_empty());
        let ends = counting(5).select(&[4, 0]);
        assert_eq!((ends.image(0), ends.image(1)), (counting(5).image(4), counting(5).image(0)));
        let five = counting(5);
        assert_eq!(
            (five.clone().take(2), five),
            (counting(2), counting(5)),
            "clones share their bytes, not their ends"
        );
        let joined = counting(2).concat(&counting(1)).unwrap();
        assert_eq!((joined.len(), joined.image(2)), (3, counting(1).image(0)));
    }

    #[test]
    fn levels_halve_and_nothing_between() {
        let ramp = || Images::new((0..=255).collect(), [1, 16, 16]).unwrap();
        assert_eq!(ramp().coarsened(256).unwrap(), ramp());
        assert_eq!(ramp().coarsened(2).unwrap().image(0), [[0; 128], [1; 128]].concat());
        for n_levels in [0, 1, 3, 31, 512] {
            let error = ramp().coarsened(n_levels).unwrap_err().to_string();
            assert!(
                error.contains(&n_levels.to_string()) && error.contains("power of two"),
                "{error}"
            );
        }
    }

    #[test]
    #[should_panic(expected = "expected an index below 5, the number of images, found 5")]
    fn an_index_past_the_end_is_named() {
        counting(5).batch(&[5], &Device::default());
    }

    #[test]
    #[should_panic(expected = "a batch must have at least one image")]
    fn an_empty_batch_is_named() {
        counting(5).batch(&[], &Device::default());
    }
}
