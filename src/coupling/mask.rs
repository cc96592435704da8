//! Masks: which elements of an example a coupling leaves unchanged.

use serde::{Deserialize, Serialize};

/// Divides the elements of an example into two halves. With [`Half::First`](crate::Half::First) as
/// the identity half, the elements of the first half pass unchanged and the others are transformed;
/// with [`Half::Second`](crate::Half::Second), the reverse.
///
/// For an image of two channels and 2x4 positions, `1` for the elements in the first half:
/// ```text
/// Alternating    1 1 1 1   0 0 0 0        Checkerboard   1 0 1 0   1 0 1 0
///                1 1 1 1   0 0 0 0                       0 1 0 1   0 1 0 1
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mask {
    /// Every other channel; the first channel is in the first half.
    Alternating,
    /// Every other position on the axes after the channels; the first position is in the first half
    /// (Dinh et al. 2017 §3.4).
    Checkerboard,
    /// `true` for the elements in the first half, row by row.
    Explicit(Vec<bool>),
}

impl Mask {
    /// Number of elements of an example of this shape, without the batch axis, that are in the
    /// first half. The work does not grow with the shape, only with the list of [`Mask::Explicit`].
    pub(super) fn first_half_size(&self, shape: &[usize]) -> usize {
        let odd = |length: usize| !length.is_multiple_of(2);
        let positions =
            shape.iter().skip(1).fold(1, |product: usize, &length| product.saturating_mul(length));
        match self {
            Self::Explicit(mask) => mask.iter().filter(|first| **first).count(),
            Self::Alternating => {
                shape.first().map_or(0, |channels| channels.div_ceil(2)).saturating_mul(positions)
            }
            Self::Checkerboard => {
                // There are as many even as odd positions, unless all sides are odd. Then there is
                // one more even position.
                let more = usize::from(shape.iter().skip(1).all(|&length| odd(length)));
                let even = positions / 2 + more;
                shape.first().map_or(0, |channels| channels.saturating_mul(even))
            }
        }
    }

    /// Whether each element of an example of this shape, without the batch axis, is in the first
    /// half.
    pub(super) fn first_half(&self, shape: &[usize]) -> Vec<bool> {
        let n: usize = shape.iter().product();
        let positions: usize = shape.iter().skip(1).product();
        match self {
            Self::Explicit(mask) => mask.clone(),
            Self::Alternating => {
                (0..n).map(|element| (element / positions).is_multiple_of(2)).collect()
            }
            Self::Checkerboard => {
                let parity = |element: usize| {
                    let folded = shape
                        .iter()
                        .skip(1)
                        .rev()
                        .fold((element % positions, 0), |(rest, sum), &length| {
                            (rest / length, sum + rest % length)
                        });
                    folded.1.is_multiple_of(2)
                };
                (0..n).map(parity).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_as_drawn() {
        let drawn = |mask: Mask, shape: &[usize]| -> String {
            mask.first_half(shape).into_iter().map(|first| if first { '1' } else { '0' }).collect()
        };
        assert_eq!(drawn(Mask::Alternating, &[2, 2, 4]), "1111111100000000");
        assert_eq!(drawn(Mask::Checkerboard, &[2, 2, 4]), "1010010110100101");
        assert_eq!(drawn(Mask::Checkerboard, &[1, 2, 3]), "101010");
        assert_eq!(drawn(Mask::Alternating, &[5]), "10101");
        assert_eq!(drawn(Mask::Checkerboard, &[2, 3]), "101101");
    }
}
