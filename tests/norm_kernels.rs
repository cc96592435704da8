//! The norm over channels, alone and after a gate: numbers at the ends of their ranges, operands
//! that are not contiguous, 16-bit floats, and the GPU's kernels without fusion.
//! `network_kernels` compares them with their plain forms on many shapes.

use burn::tensor::{DType, Device, Tensor};
use flowkit::kernel::conv2d::PreActivation;
use flowkit::kernel::gated_norm::Norm;
use flowkit::kernel::{channel_norm, gated_norm};
use flowkit::testing::tolerance::roughness;
use rand::SeedableRng;
use rand::rngs::StdRng;

#[path = "common/kernel_case.rs"]
mod kernel_case;
#[path = "common/kernel_errors.rs"]
mod kernel_errors;
#[path = "common/poison.rs"]
mod poison;

use kernel_case::{Case, Operation, check, error, flat, normal, outcome};
use kernel_errors::halves;

#[global_allocator]
static ALLOCATOR: poison::Poison = poison::Poison;

const EPSILON: f64 = 1e-5;

/// `[B, C, H, W]` of `x`, and of `c` in a gate, where a test needs no other.
const SHAPE: [usize; 4] = [3, 6, 5, 7];

fn length(shape: [usize; 4]) -> usize {
    shape.iter().product()
}

/// The shape of gain and shift for this one of `x`.
fn parameters([_, channels, _, _]: [usize; 4]) -> [usize; 4] {
    [1, channels, 1, 1]
}

/// The shape of the weights of a gate.
fn weight([_, channels, _, _]: [usize; 4]) -> [usize; 4] {
    [2 * channels, 2 * channels, 1, 1]
}

/// How an operand is laid out in memory.
type View = fn(Tensor<4>) -> Tensor<4>;

/// As it is.
const PLAIN: View = |tensor| tensor;

/// An operation and its plain form. `view` lays out the operands and the result of the first.
fn norm(shape: [usize; 4], view: View) -> [Operation; 2] {
    let read = move |p: &[Tensor<1>]| {
        let parameters = parameters(shape);
        let [gain, shift] = [&p[1], &p[2]].map(|tensor| tensor.clone().reshape(parameters));
        (p[0].clone().reshape(shape), gain, shift)
    };
    let kernel = move |p: &[Tensor<1>]| {
        let (x, gain, shift) = read(p);
        flat(view(channel_norm::forward(view(x), view(gain), view(shift), EPSILON)))
    };
    let plain = move |p: &[Tensor<1>]| {
        let (x, gain, shift) = read(p);
        flat(channel_norm::plain::forward(x, gain, shift, EPSILON))
    };
    [Box::new(kernel), Box::new(plain)]
}

/// The same of a gate.
fn gate(shape: [usize; 4], view: View) -> [Operation; 2] {
    let read = move |p: &[Tensor<1>], view: View| {
        let read = |index: usize, shape: [usize; 4]| view(p[index].clone().reshape(shape));
        let parameters = parameters(shape);
        let norm = Norm { gain: read(4, parameters), shift: read(5, parameters), epsilon: EPSILON };
        (read(0, shape), read(1, shape), (read(2, weight(shape)), Some(p[3].clone())), norm)
    };
    let kernel = move |p: &[Tensor<1>]| {
        let (x, c, conv, norm) = read(p, view);
        flat(view(gated_norm::forward(x, c, conv, norm, PreActivation::ConcatElu)))
    };
    let oracle = move |p: &[Tensor<1>]| {
        let (x, c, conv, norm) = read(p, PLAIN);
        flat(gated_norm::oracle::forward(x, c, conv, norm, PreActivation::ConcatElu))
    };
    [Box::new(kernel), Box::new(oracle)]
}

/// `x`, `c`, weights, bias, gain and shift of a gate.
fn gate_numbers(shape: [usize; 4]) -> Vec<Vec<f64>> {
    let mut rng = StdRng::seed_from_u64(11);
    let (weight, parameters) = (weight(shape), length(parameters(shape)));
    let lengths = [length(shape), length(shape), length(weight), weight[0], parameters, parameters];
    lengths.map(|length| normal(length, &mut rng)).to_vec()
}

/// `x`, gain and shift of a norm.
fn norm_numbers(shape: [usize; 4]) -> Vec<Vec<f64>> {
    let [x, _, _, _, gain, shift]: [_; 6] = gate_numbers(shape).try_into().unwrap();
    vec![x, gain, shift]
}

/// The gradient of the result.
fn gradient(shape: [usize; 4]) -> Vec<f64> {
    normal(length(shape), &mut StdRng::seed_from_u64(12))
}

/// [`kernel_errors::errors`] on some numbers, in float32 or another type.
fn errors(
    [kernel, plain]: &[Operation; 2],
    shape: [usize; 4],
    operands: &[Vec<f64>],
    dtype: DType,
) -> Vec<[f64; 2]> {
    kernel_errors::errors([kernel, plain], operands, &gradient(shape), dtype)
}

/// Twice the error of plain operations in float32, and some roundings.
fn limit(plain: f64) -> f64 {
    2.0 * plain + 16.0 * roughness(&Device::default()) * f64::from(f32::EPSILON)
}

/// One position, more positions than units in a cube of a GPU, more channels than that.
#[test]
fn sizes_do_not_matter() {
    for shape in [[1, 2, 1, 1], [2, 3, 1, 1], [5, 8, 3, 43], [1, 5, 32, 32], [2, 512, 2, 3]] {
        let norm = errors(&norm(shape, PLAIN), shape, &norm_numbers(shape), DType::F32);
        let gate = errors(&gate(shape, PLAIN), shape, &gate_numbers(shape), DType::F32);
        for (index, [kernel, plain]) in norm.into_iter().chain(gate).enumerate() {
            assert!(kernel <= limit(plain), "{shape:?}, {index}: {kernel:e}, plain {plain:e}");
        }
    }
}

/// A large mean is subtracted without loss on GPUs, also where the channels are equal and their
/// variance is 0. The CPU's kernel loses the rounding of the mean, as plain operations do; one
/// rounding may be larger than another, but not by much.
#[test]
fn a_large_mean_cancels() {
    let noise = norm_numbers(SHAPE)[0].clone();
    let position = |index: usize| index % (SHAPE[2] * SHAPE[3]);
    let equal = |offset: f64| (0..noise.len()).map(|i| offset + 0.1 * position(i) as f64).collect();
    let inputs: [(&str, Vec<f64>); 4] = [
        ("noise of 1 around 1e4", noise.iter().map(|x| 1e4 + x).collect()),
        ("noise of 0.01 around 1e4", noise.iter().map(|x| 1e4 + 0.01 * x).collect()),
        ("equal channels", equal(0.3)),
        ("equal channels around 1e4", equal(1e4)),
    ];
    for (name, x) in inputs {
        let mut operands = norm_numbers(SHAPE);
        operands[0] = x;
        for [kernel, plain] in errors(&norm(SHAPE, PLAIN), SHAPE, &operands, DType::F32) {
            let on_cpu = Device::default() == Device::flex();
            let allowed = if on_cpu { limit(2.0 * plain) } else { limit(0.0) };
            assert!(kernel <= allowed, "{name}: {kernel:e} > {allowed:e}");
        }
    }
}

/// One channel is its own mean: `y` is the shift, and the gradients of `x` and gain are 0 up to
/// roundings of terms of `1/√ε`.
#[test]
fn one_channel_is_its_own_mean() {
    let (image, one): ([usize; 4], [usize; 4]) = ([3, 1, 5, 7], [1, 1, 1, 1]);
    let mut rng = StdRng::seed_from_u64(14);
    let operands = [length(image), 1, 1].map(|length| normal(length, &mut rng));
    let weights = normal(length(image), &mut rng);
    let gated = move |p: &[Tensor<1>]| {
        let x = p[0].clone().reshape(image);
        let weight = x.clone().narrow(0, 0, 1).narrow(2, 0, 1).narrow(3, 0, 2).zeros_like();
        let conv = (weight.reshape([2, 1, 1, 1]), None);
        let norm = Norm {
            gain: p[1].clone().reshape(one),
            shift: p[2].clone().reshape(one),
            epsilon: EPSILON,
        };
        flat(gated_norm::forward(x.clone(), x, conv, norm, PreActivation::Identity))
    };
    let alone = move |p: &[Tensor<1>]| {
        let [x, gain, shift] =
            [(0, image), (1, one), (2, one)].map(|(index, shape)| p[index].clone().reshape(shape));
        flat(channel_norm::forward(x, gain, shift, EPSILON))
    };
    let operations: [Operation; 2] = [Box::new(alone), Box::new(gated)];
    for operation in operations {
        let device = Device::default();
        let found = outcome(&operation, &operands, &weights, &[true; 3], (&device, DType::F32));
        let shift = vec![operands[2][0]; length(image)];
        let truth = [shift, vec![0.0; length(image)], vec![0.0], vec![weights.iter().sum()]];
        for (found, truth) in found.iter().zip(&truth) {
            let allowed = 4.0 * f64::from(f32::EPSILON) / EPSILON.sqrt();
            assert!(error(found, truth) <= allowed, "{found:?} is not {truth:?}");
        }
    }
}

/// Gates that are open or closed to the last bit, with a linear half of ordinary size.
#[test]
fn gates_saturate() {
    for gates in [[100.0, 100.0], [-100.0, -100.0], [100.0, -100.0]] {
        let mut operands = gate_numbers(SHAPE);
        let features = SHAPE[1];
        for (feature, bias) in operands[3][features..].iter_mut().enumerate() {
            *bias = gates[feature % 2];
        }
        for [kernel, plain] in errors(&gate(SHAPE, PLAIN), SHAPE, &operands, DType::F32) {
            assert!(kernel <= limit(plain), "gates {gates:?}: {kernel:e}, plain {plain:e}");
        }
    }
}

/// Kernels compute in float32. The norm rounds its results only; a gate also rounds the results of
/// its convolutions and the sum, and its error is limited to twice that of plain operations.
#[test]
fn halves_are_rounded_results() {
    for (dtype, epsilon) in halves() {
        for (name, operation, operands, roundings) in [
            ("norm", norm(SHAPE, PLAIN), norm_numbers(SHAPE), 1.0),
            ("gate", gate(SHAPE, PLAIN), gate_numbers(SHAPE), 4.0),
        ] {
            for [kernel, plain] in errors(&operation, SHAPE, &operands, dtype) {
                let allowed = 2.0 * plain.min(roundings * epsilon) + epsilon;
                assert!(kernel <= allowed, "{name} of {dtype:?}: {kernel:e} > {allowed:e}");
            }
        }
    }
}

/// Views are read as what they show, and so are gradients that arrive as views.
#[test]
fn views_are_read() {
    let turned = |tensor: Tensor<4>| tensor.swap_dims(2, 3).add_scalar(0.0).swap_dims(2, 3);
    let inner = |tensor: Tensor<4>| {
        let channels = tensor.dims()[1];
        Tensor::cat(vec![tensor.clone().neg(), tensor.clone(), tensor], 1)
            .narrow(1, channels, channels)
    };
    let spread = |tensor: Tensor<4>| {
        let [b, c, h, w] = tensor.dims();
        Tensor::stack::<5>(vec![tensor.clone(), tensor.neg()], 4)
            .narrow(4, 0, 1)
            .reshape([b, c, h, w])
    };
    let device = Device::default();
    let run = |operation: &Operation, operands: &[Vec<f64>]| {
        let leaves = vec![true; operands.len()];
        outcome(operation, operands, &gradient(SHAPE), &leaves, (&device, DType::F32))
    };
    let both = |view: View| {
        let [of_norm, of_gate] = [norm(SHAPE, view), gate(SHAPE, view)].map(|[kernel, _]| kernel);
        [run(&of_norm, &norm_numbers(SHAPE)), run(&of_gate, &gate_numbers(SHAPE))].concat()
    };
    let expected = both(PLAIN);
    for (name, view) in [
        ("transposed", turned as View),
        ("channels of a longer tensor", inner),
        ("every second number", spread),
    ] {
        for (index, (found, expected)) in both(view).iter().zip(&expected).enumerate() {
            // burn may choose another algorithm for the convolution of a view.
            let error = error(found, expected);
            assert!(error <= 16.0 * f64::from(f32::EPSILON), "{name}, {index}: {error:e}");
        }
    }
}

/// Sides of the kernel, and a gate without a bias.
#[test]
fn gates_without_bias_are_their_definition() {
    let cases = [[1, 1], [3, 1], [1, 3], [5, 3]].map(|[height, width]| {
        let weight = [2 * SHAPE[1], SHAPE[1], height, width];
        let read = move |p: &[Tensor<1>]| {
            let one = Tensor::ones(parameters(SHAPE), (&p[0].device(), p[0].dtype()));
            let norm = Norm { gain: one.clone(), shift: one, epsilon: EPSILON };
            let conv = (p[2].clone().reshape(weight), None);
            (p[0].clone().reshape(SHAPE), p[1].clone().reshape(SHAPE), conv, norm)
        };
        Case::new(
            format!("gated_norm without bias, sides {height} and {width}"),
            vec![SHAPE.to_vec(), SHAPE.to_vec(), weight.to_vec()],
            move |p| {
                let (x, c, conv, norm) = read(p);
                flat(gated_norm::forward(x, c, conv, norm, PreActivation::Identity))
            },
            move |p| {
                let (x, c, conv, norm) = read(p);
                flat(gated_norm::oracle::forward(x, c, conv, norm, PreActivation::Identity))
            },
        )
    });
    check(cases.into());
}

/// The backend below fusion gives the same results, the same in each run, of tensors with strides.
#[cfg(feature = "_wgpu")]
#[test]
fn norms_run_without_fusion() {
    use burn::backend::ops::FloatTensorOps;
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{DispatchDevice, TensorMetadata};
    use burn::tensor::TensorData;
    use burn_cubecl::CubeBackend;
    use flowkit::kernel::channel_norm::{ChannelNormGradient, ChannelNormOps};
    use flowkit::kernel::gated_norm::{GatedNormGradient, GatedNormOps};

    let device = Device::default();
    let DispatchDevice::Cube(plain) = device.as_dispatch() else { return };
    let weights = gradient(SHAPE);
    let below = |numbers: &[f64], shape: &[usize]| {
        let data = TensorData::new(numbers.to_vec(), shape.to_vec()).convert_dtype(DType::F32);
        CubeBackend::float_from_data(data, plain)
    };
    // An image that is turned in memory.
    let turned = |numbers: &[f64]| {
        let swapped = CubeBackend::float_swap_dims(below(numbers, &SHAPE), 2, 3);
        let zero = 0.0f32.into();
        CubeBackend::float_swap_dims(CubeBackend::float_add_scalar(swapped, zero), 2, 3)
    };
    let read = |tensor: FloatTensor<CubeBackend>| -> Vec<f64> {
        burn::tensor::read_sync(CubeBackend::float_into_data(tensor)).unwrap().iter().collect()
    };
    let norm_below = || {
        let operands = norm_numbers(SHAPE);
        let [gain, shift] = [&operands[1], &operands[2]].map(|p| below(p, &parameters(SHAPE)));
        let x = turned(&operands[0]);
        let y = CubeBackend::channel_norm(x.clone(), gain.clone(), shift, EPSILON);
        assert_eq!(y.shape().to_vec(), SHAPE);
        let gradients = CubeBackend::channel_norm_backward(x, gain, turned(&weights), EPSILON);
        [y, gradients.0, gradients.1, gradients.2].map(read).to_vec()
    };
    let gate_below = || {
        let operands = gate_numbers(SHAPE);
        let [x, c] = [&operands[0], &operands[1]].map(|numbers| turned(numbers));
        let (weight, bias) =
            (below(&operands[2], &weight(SHAPE)), below(&operands[3], &weight(SHAPE)[..1]));
        let [gain, shift] = [&operands[4], &operands[5]].map(|p| below(p, &parameters(SHAPE)));
        let before = PreActivation::ConcatElu;
        let [x_, c_, weight_, bias_, gain_] = [&x, &c, &weight, &bias, &gain].map(Clone::clone);
        let y = CubeBackend::gated_norm(x_, c_, weight_, bias_, gain_, shift, before, EPSILON);
        assert_eq!(y.shape().to_vec(), SHAPE);
        let gradient = turned(&weights);
        let gradients =
            CubeBackend::gated_norm_backward(x, c, weight, bias, gain, gradient, before, EPSILON);
        let gradients = <[_; 6]>::from(gradients).map(read);
        std::iter::once(read(y)).chain(gradients).collect::<Vec<_>>()
    };
    let through = |operation: &Operation, operands: Vec<Vec<f64>>| {
        let leaves = vec![true; operands.len()];
        outcome(operation, &operands, &weights, &leaves, (&device, DType::F32))
    };
    assert_eq!(norm_below(), through(&norm(SHAPE, PLAIN)[0], norm_numbers(SHAPE)));
    assert_eq!(norm_below(), norm_below());
    // burn's convolution may be of another algorithm.
    for (found, expected) in
        gate_below().iter().zip(through(&gate(SHAPE, PLAIN)[0], gate_numbers(SHAPE)))
    {
        assert!(error(found, &expected) <= 16.0 * f64::from(f32::EPSILON));
    }
}
