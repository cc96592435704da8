//! The operation on tensors of burn's CPU backend.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;

use super::Rates;
use super::cpu::{self, Moved};
use crate::kernel::flex_slices::{Contiguous, Number, in_place, tensor};
use crate::kernel::operands::operands;
use crate::kernel::simd::InstructionSet;
use crate::kernel::uninitialised::uninitialised;

pub fn update<T: Number>(
    parameter: &FloatTensor<Flex>,
    gradient: &FloatTensor<Flex>,
    mut mean: FloatTensor<Flex>,
    mut square: FloatTensor<Flex>,
    rates: Rates,
) -> (FloatTensor<Flex>, FloatTensor<Flex>, FloatTensor<Flex>) {
    let checked = operands!("adam", parameter, gradient, mean, square).alike();
    let shape = parameter.layout().shape().clone();
    let [parameter, gradient] = [parameter, gradient].map(Contiguous::of);
    let mut moved = uninitialised(parameter.elements::<T>().len(), &checked);
    let to =
        Moved { parameter: &mut moved, mean: in_place(&mut mean), square: in_place(&mut square) };
    cpu::update::<T>(
        InstructionSet::detect(),
        rates,
        parameter.elements(),
        gradient.elements(),
        to,
    );
    (tensor(moved, shape), mean, square)
}
