//! The operation on tensors of burn's CPU backend.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;

use super::MovingAverageOps;
use super::cpu;
use crate::kernel::cpu::flex_slices::{Contiguous, Number, tensor, with_number};
use crate::kernel::cpu::simd::InstructionSet;
use crate::kernel::cpu::uninitialised::uninitialised;
use crate::kernel::operands::operands;

fn update<T: Number>(
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

impl MovingAverageOps for Flex {
    fn moving_average(
        average: FloatTensor<Self>,
        value: FloatTensor<Self>,
        rate: f64,
    ) -> FloatTensor<Self> {
        with_number!(average, update(&average, &value, rate))
    }
}
