//! The operation on tensors of burn's CPU backend.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;

use super::cpu;
use crate::kernel::flex_slices::{Contiguous, Number, tensor};
use crate::kernel::operands::operands;
use crate::kernel::simd::InstructionSet;
use crate::kernel::uninitialised::uninitialised;

pub fn update<T: Number>(
    average: &FloatTensor<Flex>,
    value: &FloatTensor<Flex>,
    rate: f64,
) -> FloatTensor<Flex> {
    let checked = operands!("moving_average", average, value).alike();
    let shape = average.layout().shape().clone();
    let [average, value] = [average, value].map(Contiguous::of);
    let mut moved = uninitialised(average.elements::<T>().len(), &checked);
    cpu::update::<T>(
        InstructionSet::detect(),
        T::of(rate),
        average.elements(),
        value.elements(),
        &mut moved,
    );
    tensor(moved, shape)
}
