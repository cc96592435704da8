//! Random changes of training images, as functions of the seed, the step and the image.

use serde::{Deserialize, Serialize};

use super::{DataError, Image};
use crate::random::draw::{below, generator};

/// Separates the random stream of augmentation from that of the shuffle, whose key ends in zeros.
/// It must never change.
const AUGMENTATION: u64 = u64::from_le_bytes(*b"augment\0");

/// A random change of a training image that leaves the distribution of images unchanged, or nearly:
/// more data from the same images.
///
/// The change is a function of the seed, of the training step and of the image's index, so a
/// resumed run sees the images that the uninterrupted run would have seen. Levels stay integers:
/// nothing is interpolated.
///
/// A flow that is trained on augmented images models augmented images. Bits/dim are reported on
/// unchanged images.
///
/// # Reference
///
/// Kingma & Dhariwal 2018, the released code (`data_loaders/get_mnist_cifar.py`): shifts of MNIST
/// and CIFAR-10 by up to 10 % of each side, with the border pixels repeated. They shift by
/// fractions of a pixel and interpolate; here shifts are whole pixels. Ho et al. 2019 flip CIFAR-10
/// left to right.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub enum Augmentation {
    /// Mirrors an image, left to right, with probability 1/2.
    HorizontalFlip,
    /// Moves the image vertically and horizontally, each by a uniform whole number of pixels. The
    /// border pixels are repeated where the image leaves the frame empty.
    Shift {
        /// The largest shift, as a fraction of height and width, rounded down to pixels.
        fraction: f64,
    },
}

impl Augmentation {
    /// Glow's shift: up to 10 % of each side.
    pub const GLOW_SHIFT: Self = Self::Shift { fraction: 0.1 };

    /// Whether the augmentation is valid.
    ///
    /// # Errors
    ///
    /// [`DataError::ShiftFraction`] unless the fraction is in [0, 1).
    pub fn validate(&self) -> Result<(), DataError> {
        match self {
            Self::Shift { fraction } if !(0.0..1.0).contains(fraction) => {
                Err(DataError::ShiftFraction { found: *fraction })
            }
            _ => Ok(()),
        }
    }
}

/// Applies `augmentations` to an image, in order, with the random numbers of this seed, step and
/// index.
pub(super) fn augment(
    mut image: Image,
    augmentations: &[Augmentation],
    seed: u64,
    [step, index]: [usize; 2],
) -> Image {
    let mut generator = generator([seed, step as u64, index as u64, AUGMENTATION]);
    let [_, height, width] = image.shape;
    for augmentation in augmentations {
        match augmentation {
            Augmentation::HorizontalFlip => {
                if below(&mut generator, 2) == 1 {
                    image.pixels.chunks_exact_mut(width).for_each(<[u8]>::reverse);
                }
            }
            Augmentation::Shift { fraction } => {
                let mut shift = |side: usize| {
                    let most = (fraction * side as f64) as usize;
                    below(&mut generator, 2 * most + 1) as isize - most as isize
                };
                let [down, right] = [shift(height), shift(width)];
                image.pixels = shifted(&image, down, right);
            }
        }
    }
    image
}

fn shifted(image: &Image, down: isize, right: isize) -> Vec<u8> {
    let [channels, height, width] = image.shape;
    let from =
        |to: usize, by: isize, side: usize| (to as isize - by).clamp(0, side as isize - 1) as usize;
    let mut pixels = Vec::with_capacity(image.pixels.len());
    for channel in 0..channels {
        for y in 0..height {
            let row = (channel * height + from(y, down, height)) * width;
            pixels.extend((0..width).map(|x| image.pixels[row + from(x, right, width)]));
        }
    }
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image {
        Image { pixels: (0..24).collect(), shape: [2, 3, 4], label: None }
    }

    #[test]
    fn a_shift_repeats_the_edge() {
        let down_left =
            [1, 2, 3, 3, 1, 2, 3, 3, 5, 6, 7, 7, 13, 14, 15, 15, 13, 14, 15, 15, 17, 18, 19, 19];
        assert_eq!(shifted(&image(), 1, -1), down_left);
        assert_eq!(shifted(&image(), 0, 0), image().pixels);
    }

    /// 4,000 samples of 3 × 3 shifts, and of two flips: binomial counts with p = 1/9 and 1/2, whose
    /// standard deviations are 19.9 and 31.6. The bounds are five deviations, and the seed is
    /// fixed.
    #[test]
    fn every_outcome_is_as_frequent_as_documented() {
        let shift = [Augmentation::Shift { fraction: 0.4 }]; // one pixel of three and of four
        let mut counts = [[0i32; 3]; 3];
        let mut flips = 0i32;
        for step in 0..4000 {
            let moved = augment(image(), &shift, 5, [step, 1]);
            let place = (0..9)
                .filter(|i| moved.pixels == shifted(&image(), i / 3 - 1, i % 3 - 1))
                .collect::<Vec<_>>();
            assert_eq!(place.len(), 1, "the nine shifts of this image differ");
            counts[(place[0] / 3) as usize][(place[0] % 3) as usize] += 1;
            let flipped = augment(image(), &[Augmentation::HorizontalFlip], 5, [step, 1]);
            assert!(flipped == image() || flipped.pixels[..4] == [3, 2, 1, 0]);
            flips += i32::from(flipped != image());
        }
        assert!(counts.iter().flatten().all(|count| (count - 444).abs() < 100), "{counts:?}");
        assert!((flips - 2000).abs() < 158, "{flips}");
    }
}
