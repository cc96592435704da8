//! Views: tensors whose elements lie in memory in another order than that of their axes, or with
//! others between them.

use burn::tensor::{Tensor, s};

use crate::kernel_case::flat;

/// How an operand, or the gradient of a result, lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// In the order of its axes.
    Plain,
    /// With the last two axes swapped.
    Transposed,
    /// With axis 1 as the last one.
    ChannelsLast,
    /// Backwards along every axis.
    Flipped,
    /// Some of more channels: of axis 1, or of the only one.
    Part,
    /// Every second element of the last axis of a larger tensor.
    Stepped,
    /// The same elements at each index of the first axis.
    Expanded,
}

/// The axis of the channels.
fn channels<const D: usize>() -> usize {
    1.min(D - 1)
}

impl View {
    pub const ALL: [Self; 7] = [
        Self::Plain,
        Self::Transposed,
        Self::ChannelsLast,
        Self::Flipped,
        Self::Part,
        Self::Stepped,
        Self::Expanded,
    ];

    /// The shape of the tensor that a view of some shape shows.
    pub fn source(self, shape: &[usize]) -> Vec<usize> {
        let (mut shape, last) = (shape.to_vec(), shape.len() - 1);
        match self {
            Self::Transposed if last > 0 => shape.swap(last - 1, last),
            Self::ChannelsLast if last > 0 => shape[1..].rotate_left(1),
            Self::Part => shape[1.min(last)] += 2,
            Self::Stepped => shape[last] *= 2,
            Self::Expanded => shape[0] = 1,
            _ => {}
        }
        shape
    }

    /// The view, of some shape, of a tensor that is a row here.
    pub fn of<const D: usize>(self, row: Tensor<1>, shape: [usize; D]) -> Tensor<D> {
        let source: [usize; D] = self.source(&shape).try_into().expect("as many axes");
        let source = row.reshape(source);
        match self {
            Self::Plain => source,
            Self::Transposed if D > 1 => source.swap_dims(D - 2, D - 1),
            Self::ChannelsLast if D > 1 => {
                let mut axes: Vec<isize> = (0..D as isize).collect();
                axes[1..].rotate_right(1);
                source.permute(<[isize; D]>::try_from(axes).expect("as many axes"))
            }
            Self::Transposed | Self::ChannelsLast => source,
            Self::Flipped => source.flip(std::array::from_fn::<isize, D, _>(|axis| axis as isize)),
            Self::Part => source.narrow(channels::<D>(), 1, shape[channels::<D>()]),
            Self::Stepped => source.slice_dim(D - 1, s![..;2]),
            Self::Expanded => source.expand(shape),
        }
    }

    /// A result as a row, so that its gradient arrives as this view.
    pub fn after<const D: usize>(self, y: Tensor<D>) -> Tensor<1> {
        match self {
            Self::Transposed if D > 1 => flat(y.swap_dims(D - 2, D - 1)),
            Self::ChannelsLast if D > 1 => {
                let mut axes: Vec<isize> = (0..D as isize).collect();
                axes[1..].rotate_left(1);
                flat(y.permute(<[isize; D]>::try_from(axes).expect("as many axes")))
            }
            Self::Flipped => flat(y.flip(std::array::from_fn::<isize, D, _>(|axis| axis as isize))),
            Self::Part => {
                let around = y.zeros_like().detach();
                flat(Tensor::cat(vec![around.clone(), y, around], channels::<D>()))
            }
            Self::Expanded => flat(y.sum_dim(0)),
            Self::Plain | Self::Transposed | Self::ChannelsLast | Self::Stepped => flat(y),
        }
    }
}
