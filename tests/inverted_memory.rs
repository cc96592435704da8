//! An inverted stack is driven layer by layer: under the policies that save memory, a training step
//! does not hold the graph of the whole stack. `Recompute` holds one input for each layer, and
//! `Reversible` the inputs at its checkpoints.
//!
//! One test in this program, since the allocator counts for all threads.

use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use flowkit::bijector::replay::{Cotangent, Replay};
use flowkit::testing::elements::{elements, normal};
use flowkit::testing::parameters::{gradients, gradients_by_id};
use flowkit::train::{NegativeLogLikelihood, Trainer, TrainerConfig};
use flowkit::{
    Bijector, Context, Flow, GradientMemory, Invert, Leaf, ShapeError, ShapeMap, StandardNormal,
};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const BATCH: usize = 512;
const ELEMENTS: usize = 64;

/// Factors that a layer multiplies by: each leaves a tensor on the graph.
const FACTORS: usize = 16;

/// `z = x·exp(16·s)`, by sixteen factors.
#[derive(Module, Debug)]
struct Scaled {
    log_scale: Param<Tensor<2>>,
}

impl Scaled {
    fn new(device: &Device) -> Self {
        Self { log_scale: Initializer::Constant { value: 0.01 }.init([1, ELEMENTS], device) }
    }

    fn times(&self, x: Tensor<2>, sign: f64) -> Tensor<2> {
        (0..FACTORS).fold(x, |x, _| x * self.log_scale.val().mul_scalar(sign).exp())
    }
}

impl ShapeMap<2> for Scaled {
    fn output_shape(&self, shape: [usize; 2]) -> Result<[usize; 2], ShapeError> {
        Ok(shape)
    }
}

impl<C: Context> Bijector<2, C> for Scaled {
    type Driver = Leaf;

    fn forward(&self, x: Tensor<2>, _: &C) -> (Tensor<2>, Tensor<1>) {
        let log_det = self.log_scale.val().sum().mul_scalar(FACTORS as f64).expand([x.dims()[0]]);
        (self.times(x, 1.0), log_det)
    }

    fn inverse(&self, z: Tensor<2>, _: &C) -> Tensor<2> {
        self.times(z, -1.0)
    }
}

type Stack = Invert<Vec<Scaled>>;

fn stack(depth: usize) -> Stack {
    let device = Device::flex().autodiff();
    Invert::new((0..depth).map(|_| Scaled::new(&device)).collect())
}

fn batch() -> Tensor<2> {
    let values: Vec<f32> =
        normal(1, BATCH * ELEMENTS, 1.0).into_iter().map(|value| value as f32).collect();
    Tensor::from_data(TensorData::new(values, [BATCH, ELEMENTS]), &Device::flex().autodiff())
}

/// Bytes that a training step takes at its peak beside what is there before.
fn peak(depth: usize, policy: GradientMemory) -> usize {
    let device = Device::flex().autodiff();
    let flow =
        Flow::new(stack(depth), StandardNormal::new(), [1, ELEMENTS]).unwrap().without_data();
    let config = TrainerConfig::new().with_gradient_memory(policy);
    let mut trainer = Trainer::new(flow, config).unwrap();
    let objective = NegativeLogLikelihood::new(batch());
    // Threads, buffers and moments that are made once.
    trainer.update_on(&device, &objective).unwrap();
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    trainer.update_on(&device, &objective).unwrap();
    ALLOCATOR.peak_usage() - before
}

/// Distance over length.
fn relative(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let norm = |values: Vec<f64>| values.iter().map(|value| value * value).sum::<f64>().sqrt();
    norm(found.iter().zip(expected).map(|(a, b)| a - b).collect()) / norm(expected.to_vec())
}

/// Gradients by replays that recompute and that rebuild, against those of a stored graph.
fn gradients_agree() {
    let stack = stack(5);
    let leaf = batch().require_grad();
    let (z, log_det) = stack.forward(leaf.clone(), &());
    let found = (z.clone().square().sum() + log_det.sum()).backward();
    let expected: Vec<f64> = gradients(&stack, &found).into_iter().flatten().flatten().collect();
    let expected_x = elements(&leaf.grad(&found).unwrap());
    for mut replay in [Replay::recomputing(1), Replay::new(1)] {
        let (z, log_det) = stack.replay_forward(batch().inner(), &(), &mut replay);
        let back =
            Cotangent { grad_z: z.clone().mul_scalar(2.0), grad_log_det: log_det.ones_like(), z };
        let back = stack.replay_back(back, &(), &mut replay);
        let found: Vec<f64> =
            gradients_by_id(&stack, &replay.parameters).into_iter().flatten().flatten().collect();
        assert!(relative(&found, &expected) < 1e-5, "{}", relative(&found, &expected));
        let off = relative(&elements(&back.grad_z), &expected_x);
        assert!(off < 1e-5, "{off}");
    }
}

#[test]
fn an_inverted_stack_holds_one_input_a_layer_or_none() {
    gradients_agree();
    let (shallow, deep) = (4, 24);
    let grown = |policy| peak(deep, policy) as f64 - peak(shallow, policy) as f64;
    let input = (BATCH * ELEMENTS * size_of::<f32>()) as f64;
    let added = (deep - shallow) as f64;
    let [store, recompute, reversible] =
        [GradientMemory::Store, GradientMemory::Recompute, GradientMemory::REVERSIBLE].map(grown);
    println!(
        "grown by inputs a layer: {:?}",
        [store, recompute, reversible].map(|grown| grown / input / added)
    );
    // A stored graph holds each factor's product.
    assert!(store > 0.9 * FACTORS as f64 * added * input, "{store}");
    // The inputs of layers, and no graph.
    assert!(recompute < 1.5 * added * input, "{recompute}");
    // The inputs at two checkpoints of sixteen layers, and the parameters of the layers.
    assert!(reversible < 4.0 * input, "{reversible}");
}
