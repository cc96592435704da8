//! Tensors of burn's CPU backend as slices, and slices as tensors.

use burn::backend::Flex;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::tensor::{Bytes, DType, Element, Shape};
use burn_flex::{FlexTensor, Layout};
use bytemuck::Pod;

use super::scratch::Scratch;

/// Types of elements on which the kernels run, as tensors hold them.
pub trait Number: Scratch + Element + Pod {}
impl Number for f32 {}
impl Number for f64 {}

/// A tensor whose elements are contiguous: the tensor itself, or a copy.
pub struct Contiguous(FlexTensor);

impl Contiguous {
    pub fn of(tensor: &FloatTensor<Flex>) -> Self {
        Self(tensor.to_contiguous())
    }

    pub fn elements<T: Number>(&self) -> &[T] {
        self.0.as_slice().expect("contiguous, and of the type that was matched")
    }
}

/// A tensor of these elements.
pub fn tensor<T: Number>(elements: Vec<T>, shape: impl Into<Shape>) -> FloatTensor<Flex> {
    FlexTensor::new(Bytes::from_elems(elements), Layout::contiguous(shape.into()), T::dtype())
}

/// The elements of a tensor, to be changed: in place if the tensor is contiguous and nobody else
/// holds its memory, otherwise in a copy.
pub fn in_place<T: Number>(tensor: &mut FloatTensor<Flex>) -> &mut [T] {
    let length = tensor.layout().num_elements();
    if tensor.as_slice::<T>().is_none_or(|elements| elements.len() != tensor.storage::<T>().len()) {
        *tensor = self::tensor(
            Contiguous::of(tensor).elements::<T>().to_vec(),
            tensor.layout().shape().clone(),
        );
    }
    &mut tensor.storage_mut()[..length]
}

/// The lengths of a tensor's axes.
pub fn dims<const D: usize>(tensor: &FloatTensor<Flex>) -> [usize; D] {
    tensor.layout().shape().dims()
}

/// Casts a 16-bit tensor to f32.
pub fn wide(tensor: FlexTensor) -> FlexTensor {
    Flex::float_cast(tensor, DType::F32.into())
}

/// Casts a tensor back.
pub fn narrow(tensor: FlexTensor, dtype: DType) -> FlexTensor {
    Flex::float_cast(tensor, dtype.into())
}

/// A tensor whose rows are read in place: the elements of its last axis are contiguous.
pub struct Rows {
    tensor: FlexTensor,
    start: usize,
    /// Distances between neighbours on all axes.
    pub strides: Vec<usize>,
}

impl Rows {
    /// The tensor itself if its last axis is contiguous, otherwise a copy.
    pub fn of(tensor: &FlexTensor) -> Self {
        let layout = tensor.layout();
        let inner = layout.strides().last() == Some(&1);
        let tensor = if inner && layout.has_positive_strides() {
            tensor.clone()
        } else {
            tensor.to_contiguous()
        };
        let layout = tensor.layout();
        let strides = layout.strides().iter().map(|&stride| stride.unsigned_abs()).collect();
        Self { start: layout.start_offset(), strides, tensor }
    }

    pub fn elements<T: Number>(&self) -> &[T] {
        &self.tensor.storage::<T>()[self.start..]
    }
}

/// Calls a function that is generic over a [`Number`] with the type of a tensor's elements.
macro_rules! with_number {
    ($tensor:expr, $function:ident($($argument:expr),*)) => {
        match $tensor.dtype() {
            burn::tensor::DType::F64 => $function::<f64>($($argument),*),
            burn::tensor::DType::F32 => $function::<f32>($($argument),*),
            dtype => panic!("kernels of networks take float32 and float64, not {dtype:?}"),
        }
    };
}
pub(in crate::kernel) use with_number;
