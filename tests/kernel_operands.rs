//! Kernels on operands that are views, of half types, and of no example, on every device.
//! Gradients arrive as views too. `network_kernels` and others compare the kernels on many shapes.

use burn::tensor::{DType, Device, Tensor};
use flowkit::kernel::conv2d::{Border, ConvStages, PreActivation};
use flowkit::kernel::epilogue::Epilogue;
use flowkit::kernel::gated_norm::{self, Norm};
use flowkit::kernel::{
    attention, channel_norm, concat_elu, conv2d, gated_residual, mixture_coupling,
    mixture_logistic, projected_attention, scaled_conv2d,
};
use rand::SeedableRng;
use rand::rngs::StdRng;

#[path = "common/kernel_case.rs"]
mod kernel_case;
#[path = "common/kernel_errors.rs"]
mod kernel_errors;
#[path = "common/poison.rs"]
mod poison;
#[path = "common/view.rs"]
mod view;

use kernel_case::{Case, Operation, check, normal, outcome};
use kernel_errors::{errors, halves};
use view::View;

#[global_allocator]
static ALLOCATOR: poison::Poison = poison::Poison;

/// Channels and sides of images. A channel has 64 elements, so that where one begins a GPU can bind
/// its memory, and a part of the channels is a view there too.
const IMAGE: [usize; 3] = [4, 4, 16];

/// The operands of an operation, as views of rows.
struct Operands<'a> {
    rows: &'a [Tensor<1>],
    shapes: &'a [Vec<usize>],
    view: View,
}

impl Operands<'_> {
    fn get<const D: usize>(&self, index: usize) -> Tensor<D> {
        let shape = self.shapes[index].as_slice().try_into().expect("the number of axes");
        self.view.of(self.rows[index].clone(), shape)
    }
}

type Form = Box<dyn Fn(&Operands<'_>) -> Tensor<1>>;

/// An operation and its plain form, with the shapes of their operands.
struct Tested {
    name: String,
    shapes: Vec<Vec<usize>>,
    kernel: Form,
    plain: Form,
}

impl Tested {
    /// `kernel` and `plain` give the result, of `D` axes.
    fn new<const D: usize>(
        name: String,
        shapes: Vec<Vec<usize>>,
        kernel: impl Fn(&Operands<'_>) -> Tensor<D> + 'static,
        plain: impl Fn(&Operands<'_>) -> Tensor<D> + 'static,
    ) -> Self {
        let kernel = move |operands: &Operands<'_>| operands.view.after(kernel(operands));
        let plain = move |operands: &Operands<'_>| operands.view.after(plain(operands));
        Self { name, shapes, kernel: Box::new(kernel), plain: Box::new(plain) }
    }

    /// The lengths of the operands, the operation and its plain form, all as functions of rows.
    fn seen(self, view: View) -> (String, Vec<Vec<usize>>, [Operation; 2]) {
        let sources = self.shapes.iter().map(|shape| view.source(shape)).collect();
        let forms = [self.kernel, self.plain].map(|form| {
            let shapes = self.shapes.clone();
            let form = move |rows: &[Tensor<1>]| form(&Operands { rows, shapes: &shapes, view });
            Box::new(form) as Operation
        });
        (format!("{}, {view:?}", self.name), sources, forms)
    }
}

/// Stages, with the sides of a kernel. Sides that differ go with the border channel.
const CONVOLUTIONS: [(ConvStages, [usize; 2]); 5] = [
    (ConvStages::PLAIN, [3, 3]),
    (ConvStages::preceded_by(PreActivation::ConcatElu), [1, 1]),
    (ConvStages { epilogue: Epilogue::Relu, ..ConvStages::PLAIN }, [1, 1]),
    (
        ConvStages { border: Border::Channel, ..ConvStages::preceded_by(PreActivation::ConcatElu) },
        [3, 1],
    ),
    (ConvStages { border: Border::Channel, epilogue: Epilogue::Relu, ..ConvStages::PLAIN }, [1, 5]),
];

const OUTPUTS: usize = 3;

/// Scales as in Glow's networks.
const FACTOR: f64 = 3.0;

fn convolutions(batch: usize) -> Vec<Tested> {
    let mut all = Vec::new();
    for (stages, [kh, kw]) in CONVOLUTIONS {
        let [inputs, height, width] = IMAGE;
        let border = usize::from(stages.border == Border::Channel);
        let twice = stages.before == PreActivation::ConcatElu;
        let seen = if twice { 2 * inputs } else { inputs } + border;
        let mut shapes =
            vec![vec![batch, inputs, height, width], vec![OUTPUTS, seen, kh, kw], vec![OUTPUTS]];
        let name = format!("sides {kh} and {kw}, {stages:?}");
        all.push(Tested::new(
            format!("conv2d, {name}"),
            shapes.clone(),
            move |o| conv2d::forward(o.get(0), o.get(1), Some(o.get(2)), stages),
            move |o| conv2d::oracle::forward(o.get(0), o.get(1), Some(o.get(2)), stages),
        ));
        shapes.push(vec![OUTPUTS]);
        // Normal numbers times the factor would be scales of e^9.
        let scales = |o: &Operands<'_>| (o.get::<1>(3).mul_scalar(0.2), FACTOR);
        all.push(Tested::new(
            format!("scaled_conv2d, {name}"),
            shapes,
            move |o| scaled_conv2d::forward(o.get(0), o.get(1), o.get(2), scales(o), stages),
            move |o| scaled_conv2d::plain::forward(o.get(0), o.get(1), o.get(2), scales(o), stages),
        ));
    }
    all
}

/// What the blocks of Flow++'s networks are made of, besides convolutions with a bias.
fn blocks(batch: usize) -> Vec<Tested> {
    let [channels, height, width] = IMAGE;
    let image = |batch: usize, channels: usize| vec![batch, channels, height, width];
    let one_tap = |outputs: usize, inputs: usize| vec![outputs, inputs, 1, 1];
    let (x, each, heads) = (image(batch, channels), vec![1, channels, 1, 1], 2);
    let gated = [x.clone(), x.clone(), one_tap(2 * channels, 2 * channels), vec![2 * channels]];
    let before = PreActivation::ConcatElu;
    let norm = |o: &Operands<'_>| Norm { gain: o.get(4), shift: o.get(5), epsilon: 1e-5 };
    let behind = |o: &Operands<'_>| (o.get(2), Some(o.get(3)));
    let projection = |o: &Operands<'_>| (o.get(2), Some(o.get(3)));
    vec![
        Tested::new(
            "conv2d without a bias".into(),
            vec![x.clone(), one_tap(OUTPUTS, channels)],
            |o| conv2d::forward(o.get(0), o.get(1), None, ConvStages::PLAIN),
            |o| conv2d::oracle::forward(o.get(0), o.get(1), None, ConvStages::PLAIN),
        ),
        Tested::new(
            "attention".into(),
            vec![image(batch, 3 * channels)],
            move |o| attention::forward(o.get(0), heads),
            move |o| attention::plain::forward(o.get(0), heads),
        ),
        Tested::new(
            "projected_attention".into(),
            vec![x, image(1, channels), one_tap(3 * channels, channels), vec![3 * channels]],
            move |o| projected_attention::forward(o.get(0), o.get(1), projection(o), heads),
            move |o| projected_attention::plain::forward(o.get(0), o.get(1), projection(o), heads),
        ),
        Tested::new(
            "gated_norm".into(),
            gated.into_iter().chain([each.clone(), each]).collect(),
            move |o| gated_norm::forward(o.get(0), o.get(1), behind(o), norm(o), before),
            // burn's convolution fails on a GPU if each element of its bias is the same in memory.
            move |o| {
                let stages = ConvStages::preceded_by(before);
                let sums = conv2d::oracle::forward(o.get(1), o.get(2), None, stages);
                let h = sums + o.get::<1>(3).reshape([1, 2 * channels, 1, 1]);
                let Norm { gain, shift, epsilon } = norm(o);
                channel_norm::plain::forward(
                    gated_residual::plain::forward(o.get(0), h),
                    gain,
                    shift,
                    epsilon,
                )
            },
        ),
    ]
}

const MIN_LOG_SCALE: f64 = -7.0;

fn pointwise(batch: usize) -> Vec<Tested> {
    let [channels, height, width] = IMAGE;
    let x = vec![batch, channels, height, width];
    let h = vec![batch, 2 * channels, height, width];
    let (range, positions) = (1..3, height * width);
    let theta = vec![batch, 2 + 3 * 2, range.len() * positions];
    let again = range.clone();
    let both = |(z, log_det): (Tensor<3>, Tensor<1>)| z + log_det.unsqueeze_dims(&[1, 2]);
    vec![
        Tested::new(
            "concat_elu".into(),
            vec![x.clone()],
            |o| concat_elu::forward(o.get(0)),
            |o| concat_elu::plain::forward(o.get(0)),
        ),
        Tested::new(
            "gated_residual".into(),
            vec![x, h],
            |o| gated_residual::forward(o.get(0), o.get(1)),
            |o| gated_residual::plain::forward(o.get(0), o.get(1)),
        ),
        Tested::new(
            "mixture_coupling".into(),
            vec![vec![batch, channels, positions], theta],
            move |o| {
                both(mixture_coupling::forward(o.get(0), o.get(1), range.clone(), MIN_LOG_SCALE))
            },
            move |o| both(cut_and_joined(o.get(0), o.get(1), again.clone())),
        ),
    ]
}

/// The mixture law's plain form on a range of channels, which are cut out by hand.
fn cut_and_joined(
    x: Tensor<3>,
    theta: Tensor<3>,
    range: std::ops::Range<usize>,
) -> (Tensor<3>, Tensor<1>) {
    let [batch, channels, positions] = x.dims();
    let part = |first: usize, end: usize| x.clone().narrow(1, first, end - first);
    let dims = range.len() * positions;
    let own = part(range.start, range.end).reshape([batch, dims]);
    let (z, log_derivative) = mixture_logistic::plain::forward(own, theta, MIN_LOG_SCALE);
    let z = z.reshape([batch, range.len(), positions]);
    let z = Tensor::cat(vec![part(0, range.start), z, part(range.end, channels)], 1);
    (z, log_derivative.sum_dim(1).reshape([batch]))
}

fn cases(tested: impl Fn(usize) -> Vec<Tested>) -> Vec<Case> {
    let views = View::ALL.into_iter().flat_map(|view| {
        tested(2).into_iter().map(move |operation| operation.seen(view)).collect::<Vec<_>>()
    });
    views.map(|(name, sources, [kernel, plain])| Case::new(name, sources, kernel, plain)).collect()
}

#[test]
fn convolutions_read_views() {
    check(cases(convolutions));
}

#[test]
fn blocks_read_views() {
    check(cases(blocks));
}

#[test]
fn pointwise_operations_read_views() {
    check(cases(pointwise));
}

/// Kernels compute in float32 and round what they store: `y`, and before it the sums of a
/// convolution and the activated input. Operations without a kernel for the type round more often.
#[test]
fn halves_are_rounded_results() {
    let mut rng = StdRng::seed_from_u64(21);
    for (dtype, epsilon) in halves() {
        for tested in convolutions(2).into_iter().chain(pointwise(2)) {
            let (name, shapes, [kernel, plain]) = tested.seen(View::Plain);
            let served = Device::default() != Device::flex() && !name.starts_with("scaled");
            let operands: Vec<_> =
                shapes.iter().map(|shape| normal(shape.iter().product(), &mut rng)).collect();
            let flex = Device::flex();
            let rows: Vec<_> =
                operands.iter().map(|row| kernel_case::tensor_of(row, &flex)).collect();
            let weights = normal(kernel(&rows).dims()[0], &mut rng);
            for (index, [kernel, plain]) in
                errors([&kernel, &plain], &operands, &weights, dtype).into_iter().enumerate()
            {
                let plain = if served { plain.min(4.0 * epsilon) } else { plain };
                let allowed = 2.0 * plain + epsilon;
                assert!(kernel <= allowed, "{name}, {dtype:?}, {index}: {kernel:e} > {allowed:e}");
            }
        }
    }
}

/// Of no example nothing is computed, and the gradients of parameters are zeros. A coupling has no
/// parameters, and burn's `cat`, which its plain form calls, takes empty tensors out of the graph.
#[test]
fn no_example_is_no_fault() {
    let mut rng = StdRng::seed_from_u64(22);
    let without_coupling = pointwise(0).into_iter().take(2);
    for tested in convolutions(0).into_iter().chain(blocks(0)).chain(without_coupling) {
        let (name, shapes, [kernel, _]) = tested.seen(View::Plain);
        let lengths: Vec<usize> = shapes.iter().map(|shape| shape.iter().product()).collect();
        let operands: Vec<_> = lengths.iter().map(|length| normal(*length, &mut rng)).collect();
        let alone =
            (0..operands.len()).map(|only| (0..operands.len()).map(|i| i == only).collect());
        for leaves in std::iter::once(vec![true; operands.len()]).chain(alone) {
            let of_leaves = lengths.iter().zip(&leaves).filter(|(_, leaf)| **leaf);
            let zeros = of_leaves.map(|(length, _)| vec![0.0; *length]);
            let expected: Vec<Vec<f64>> = std::iter::once(Vec::new()).chain(zeros).collect();
            for device in [Device::flex(), Device::default()] {
                let found = outcome(&kernel, &operands, &[], &leaves, (&device, DType::F32));
                assert_eq!(found, expected, "{name}, {leaves:?}, {device:?}");
            }
        }
    }
}

#[test]
fn a_coupling_of_no_example_has_no_result() {
    for device in [Device::flex(), Device::default()] {
        for device in [device.clone(), device.autodiff()] {
            let x = Tensor::<3>::zeros([0, 4, 64], &device);
            let theta = Tensor::<3>::zeros([0, 8, 128], &device);
            let (z, log_det) = mixture_coupling::forward(x, theta, 1..3, MIN_LOG_SCALE);
            assert_eq!((z.dims(), log_det.dims()), ([0, 4, 64], [0]), "{device:?}");
            assert_eq!(z.into_data().num_elements() + log_det.into_data().num_elements(), 0);
        }
    }
}
