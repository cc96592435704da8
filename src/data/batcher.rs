//! From images to tensors.

use burn::data::dataloader::batcher::Batcher;
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::Image;

/// A batch of images with their classes.
#[derive(Clone, Debug)]
pub struct ImageBatch {
    /// `[batch, channels, height, width]`, levels 0 to 255.
    pub images: Tensor<4, Int>,
    /// `[batch]`; `None` unless every image of the batch has a label.
    pub labels: Option<Tensor<1, Int>>,
}

/// Makes tensors of the device's default integer type from [`Image`]s: the images alone, or an
/// [`ImageBatch`].
///
/// # Panics
///
/// If there are no images, or if they differ in shape.
///
/// # Example
///
/// ```
/// use burn::data::dataloader::batcher::Batcher;
/// use burn::tensor::{Device, Int, Tensor};
/// use flowkit::data::{Image, ImageBatch, ImageBatcher};
///
/// let image = Image { pixels: vec![0, 255], shape: [1, 1, 2], label: Some(3) };
/// let batch: ImageBatch = ImageBatcher.batch(vec![image.clone()], &Device::default());
/// assert_eq!(batch.labels.unwrap().into_scalar::<i64>(), 3);
/// let images: Tensor<4, Int> = ImageBatcher.batch(vec![image; 2], &Device::default());
/// assert_eq!(images.dims(), [2, 1, 1, 2]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageBatcher;

impl Batcher<Image, Tensor<4, Int>> for ImageBatcher {
    fn batch(&self, items: Vec<Image>, device: &Device) -> Tensor<4, Int> {
        let [channels, height, width] =
            items.first().expect("a batch must have at least one image").shape;
        let mut pixels = Vec::with_capacity(items.len() * channels * height * width);
        for image in &items {
            assert_eq!(
                image.shape,
                [channels, height, width],
                "the images of a batch must have one shape"
            );
            pixels.extend_from_slice(&image.pixels);
        }
        Tensor::from_data(TensorData::new(pixels, [items.len(), channels, height, width]), device)
    }
}

impl Batcher<Image, ImageBatch> for ImageBatcher {
    fn batch(&self, items: Vec<Image>, device: &Device) -> ImageBatch {
        let labels: Option<Vec<i32>> =
            items.iter().map(|image| image.label.map(i32::from)).collect();
        let labels = labels.map(|labels| {
            let n = labels.len();
            Tensor::from_data(TensorData::new(labels, [n]), device)
        });
        ImageBatch { images: self.batch(items, device), labels }
    }
}
