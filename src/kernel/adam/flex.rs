//! The operation on tensors of burn's CPU backend.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;

use super::AdamOps;
use super::cpu::{self, Moved};
use super::rates::Rates;
use crate::kernel::cpu::flex_slices::{Contiguous, Number, in_place, tensor, with_number};
use crate::kernel::cpu::simd::InstructionSet;
use crate::kernel::cpu::uninitialised::uninitialised;
use crate::kernel::operands::operands;

fn update<T: Number>(
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

impl AdamOps for Flex {
    fn adam(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        square: FloatTensor<Self>,
        rates: Rates,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        with_number!(parameter, update(&parameter, &gradient, mean, square, rates))
    }
}
