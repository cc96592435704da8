//! Lists of tensors as operands: what an operation needs that computes on many tensors in one
//! launch.
//!
//! burn's derive for such types knows structs with a fixed number of tensors. This is what it would
//! write for a list.

use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Backend, BackendTensor, Dispatch, DispatchAutodiffContext, DispatchTensor, DispatchTensorKind,
    ExtensionType, TensorMetadata,
};

/// Float tensors of a backend, of any shapes and numbers of axes.
#[derive(Debug)]
pub struct Tensors<B: Backend>(pub Vec<FloatTensor<B>>);

impl<B: Backend> ExtensionType<B> for Tensors<B> {
    type Target = Tensors<Dispatch>;

    fn map_to_dispatch<F>(self, map_kind: F, autodiff: DispatchAutodiffContext) -> Self::Target
    where
        F: Fn(BackendTensor<B>) -> DispatchTensorKind,
    {
        let dispatch =
            |tensor| DispatchTensor { kind: map_kind(BackendTensor::Float(tensor)), autodiff };
        Tensors(self.0.into_iter().map(dispatch).collect())
    }

    fn map_from_dispatch<F>(target: Self::Target, unwrap_kind: F) -> Self
    where
        F: Fn(DispatchTensor) -> BackendTensor<B>,
    {
        Self(target.0.into_iter().map(|tensor| unwrap_kind(tensor).float()).collect())
    }

    fn routing_tensor(target: &Self::Target) -> Option<&DispatchTensor> {
        target.0.first()
    }

    fn routing_float_tensor(target: &Self::Target) -> Option<&DispatchTensor> {
        target.0.first()
    }

    fn autodiff_context(target: &Self::Target) -> DispatchAutodiffContext {
        let contexts = target.0.iter().map(|tensor| tensor.autodiff);
        contexts.fold(DispatchAutodiffContext::Disabled, DispatchAutodiffContext::merge)
    }
}

/// Checks that the lists of a call have one length.
///
/// # Panics
/// If they differ.
pub(super) fn of_one_length<B: Backend, const N: usize>(kernel: &str, lists: [&Tensors<B>; N]) {
    let lengths = lists.map(|list| list.0.len());
    let same = lengths.iter().all(|length| *length == lengths[0]);
    assert!(same, "{kernel}: expected lists of one length, found lengths {lengths:?}");
}

/// Calls `operation` on the items of each device and type; the results are in the order of the
/// items. The tensors of an item have one device and type.
pub(super) fn grouped<const N: usize, const M: usize>(
    items: Vec<[DispatchTensor; N]>,
    mut operation: impl FnMut([Tensors<Dispatch>; N]) -> [Tensors<Dispatch>; M],
) -> Vec<[DispatchTensor; M]> {
    let mut results: Vec<Option<[DispatchTensor; M]>> = items.iter().map(|_| None).collect();
    let mut left: Vec<(usize, [DispatchTensor; N])> = items.into_iter().enumerate().collect();
    while let Some((_, first)) = left.first() {
        let kind = |item: &[DispatchTensor; N]| (item[0].device(), item[0].dtype());
        let of_first = kind(first);
        let (group, others) = left.into_iter().partition(|(_, item)| kind(item) == of_first);
        left = others;
        let mut operands = [(); N].map(|()| Vec::new());
        let mut places = Vec::new();
        for (place, item) in group {
            places.push(place);
            operands.iter_mut().zip(item).for_each(|(operand, tensor)| operand.push(tensor));
        }
        let mut lists = operation(operands.map(Tensors)).map(|list| list.0.into_iter());
        for place in places {
            let tensors = lists.each_mut().map(|list| list.next().expect("a result for each item"));
            results[place] = Some(tensors);
        }
    }
    results.into_iter().flatten().collect()
}

#[cfg(feature = "_gpu")]
mod fusion {
    use std::vec::IntoIter;

    use burn::backend::Backend;
    use burn::backend::fusion::custom::{
        ExtensionMetadata, Float, FusionValueAdapter, HandleContainer, OutputTensor, TensorId,
        TensorIr, TensorSpec,
    };
    use burn::backend::fusion::{
        ExecutionError, Fusion, FusionBackend, FusionRuntime, FusionTensor,
    };

    use super::Tensors;

    type Handles<B> =
        HandleContainer<<<B as FusionBackend>::FusionRuntime as FusionRuntime>::FusionHandle>;

    /// The adapter of one tensor of the list.
    type One<B> = <Float as FusionValueAdapter<B>>::Fused;

    impl<B: Backend> ExtensionMetadata for Tensors<B> {
        type Metadata = Vec<TensorSpec>;
        type Input = Vec<TensorIr>;
        type Output = Vec<OutputTensor>;
    }

    impl<B: FusionBackend> FusionValueAdapter<B> for Tensors<B> {
        type Metadata = Vec<TensorSpec>;
        type Input = Vec<TensorIr>;
        type Output = Vec<OutputTensor>;
        type Inner = Self;
        type Fused = Tensors<Fusion<B>>;

        fn to_metadata(value: &Self::Fused) -> Self::Metadata {
            let spec = |tensor: &One<B>| <Float as FusionValueAdapter<B>>::to_metadata(tensor);
            value.0.iter().map(spec).collect()
        }

        fn visit_fused_tensors(
            value: &Self::Fused,
            visit: &mut impl FnMut(&FusionTensor<B::FusionRuntime>),
        ) {
            value.0.iter().for_each(visit);
        }

        fn tensor_count(meta: &Self::Metadata) -> usize {
            meta.len()
        }

        fn append_input_ir(value: Self::Fused, inputs: &mut Vec<TensorIr>) -> Self::Input {
            let ir = |tensor| <Float as FusionValueAdapter<B>>::append_input_ir(tensor, inputs);
            value.0.into_iter().map(ir).collect()
        }

        fn resolve_inputs(input: &Self::Input, handles: &mut Handles<B>) -> Self::Inner {
            let tensor = |ir| <Float as FusionValueAdapter<B>>::resolve_inputs(ir, handles);
            Self(input.iter().map(tensor).collect())
        }

        fn append_output_ir(
            meta: &Self::Metadata,
            out: &mut Vec<TensorIr>,
            create: &mut impl FnMut() -> TensorId,
        ) -> Self::Output {
            let output =
                |spec| <Float as FusionValueAdapter<B>>::append_output_ir(spec, out, create);
            meta.iter().map(output).collect()
        }

        fn validate_outputs(
            value: &Self,
            output: &Self::Output,
            device: Option<&B::Device>,
        ) -> Result<(), ExecutionError> {
            let check = |(value, output)| {
                <Float as FusionValueAdapter<B>>::validate_outputs(value, output, device)
            };
            value.0.iter().zip(output).try_for_each(check)
        }

        fn register_output_handles(value: Self, output: &Self::Output, handles: &mut Handles<B>) {
            for (value, output) in value.0.into_iter().zip(output) {
                <Float as FusionValueAdapter<B>>::register_output_handles(value, output, handles);
            }
        }

        fn build_fused_output(
            meta: &Self::Metadata,
            tensors: &mut IntoIter<FusionTensor<B::FusionRuntime>>,
        ) -> Self::Fused {
            let tensor = |spec| <Float as FusionValueAdapter<B>>::build_fused_output(spec, tensors);
            Tensors(meta.iter().map(tensor).collect())
        }
    }
}
