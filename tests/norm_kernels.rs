//! The norm over channels, alone and after a gate: numbers at the ends of their ranges, operands
//! that are not contiguous, 16-bit floats, and the GPU's kernels without fusion.
//! `network_kernels` compares them with their plain forms on many shapes.

use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use flowkit::kernel::conv2d::PreActivation;
use flowkit::kernel::gated_norm::Norm;
use flowkit::kernel::{channel_norm, gated_norm};
use flowkit::testing::tolerance::roughness;
use rand::SeedableRng;
use rand::rngs::StdRng;

#[path = "common/kernel_case.rs"]
mod kernel_case;
#[path = "common/poison.rs"]
mod poison;

use kernel_case::{Case, Operation, check, error, flat, normal, outcome};

#[global_allocator]
static ALLOCATOR: poison::Poison = poison::Poison;

const EPSILON: f64 = 1e-5;

/// `[B, C, H, W]` of `x`, and of `c` in a gate.
const SHAPE: [usize; 4] = [3, 6, 5, 7];
const PARAMETERS: [usize; 4] = [1, SHAPE[1], 1, 1];
const WEIGHT: [usize; 4] = [2 * SHAPE[1], 2 * SHAPE[1], 1, 1];

fn length(shape: [usize; 4]) -> usize {
    shape.iter().product()
}

/// `x`, gain and shift.
fn norm_operands(p: &[Tensor<1>]) -> (Tensor<4>, Tensor<4>, Tensor<4>) {
    (
        p[0].clone().reshape(SHAPE),
        p[1].clone().reshape(PARAMETERS),
        p[2].clone().reshape(PARAMETERS),
    )
}

fn norm() -> [Operation; 2] {
    let kernel = |p: &[Tensor<1>]| {
        let (x, gain, shift) = norm_operands(p);
        flat(channel_norm::forward(x, gain, shift, EPSILON))
    };
    let plain = |p: &[Tensor<1>]| {
        let (x, gain, shift) = norm_operands(p);
        flat(channel_norm::plain::forward(x, gain, shift, EPSILON))
    };
    [Box::new(kernel), Box::new(plain)]
}

/// `x`, `c`, weights and bias, and the norm.
type GateOperands = (Tensor<4>, Tensor<4>, (Tensor<4>, Option<Tensor<1>>), Norm);

fn gate_operands(p: &[Tensor<1>]) -> GateOperands {
    let read = |index: usize, shape: [usize; 4]| p[index].clone().reshape(shape);
    let norm = Norm { gain: read(4, PARAMETERS), shift: read(5, PARAMETERS), epsilon: EPSILON };
    (read(0, SHAPE), read(1, SHAPE), (read(2, WEIGHT), Some(p[3].clone())), norm)
}

fn gate() -> [Operation; 2] {
    let kernel = |p: &[Tensor<1>]| {
        let (x, c, conv, norm) = gate_operands(p);
        flat(gated_norm::forward(x, c, conv, norm, PreActivation::ConcatElu))
    };
    let oracle = |p: &[Tensor<1>]| {
        let (x, c, conv, norm) = gate_operands(p);
        flat(gated_norm::oracle::forward(x, c, conv, norm, PreActivation::ConcatElu))
    };
    [Box::new(kernel), Box::new(oracle)]
}

/// Numbers of the operands of both operations: those of the gate, without `c` and its convolution
/// those of the norm.
fn gate_numbers() -> Vec<Vec<f64>> {
    let mut rng = StdRng::seed_from_u64(11);
    let lengths = [
        length(SHAPE),
        length(SHAPE),
        length(WEIGHT),
        WEIGHT[0],
        length(PARAMETERS),
        length(PARAMETERS),
    ];
    lengths.map(|length| normal(length, &mut rng)).to_vec()
}

fn norm_numbers() -> Vec<Vec<f64>> {
    let [x, _, _, _, gain, shift]: [_; 6] = gate_numbers().try_into().unwrap();
    vec![x, gain, shift]
}

fn rounded(numbers: &[f64], dtype: DType) -> Vec<f64> {
    TensorData::new(numbers.to_vec(), [numbers.len()]).convert_dtype(dtype).iter::<f64>().collect()
}

/// The errors of the result and of each gradient, of the kernel and of the plain form, on the
/// device that is tested.
fn errors([kernel, plain]: &[Operation; 2], operands: &[Vec<f64>], dtype: DType) -> Vec<[f64; 2]> {
    let operands: Vec<_> = operands.iter().map(|numbers| rounded(numbers, dtype)).collect();
    let leaves = vec![true; operands.len()];
    let weights = rounded(&normal(length(SHAPE), &mut StdRng::seed_from_u64(12)), dtype);
    let run = |operation: &Operation, device: &Device, dtype: DType| {
        outcome(operation, &operands, &weights, &leaves, (device, dtype))
    };
    let truth = run(plain, &Device::flex(), DType::F64);
    let found = [kernel, plain].map(|operation| run(operation, &Device::default(), dtype));
    let [kernel, plain] = found.map(|found| {
        found.iter().zip(&truth).map(|(found, truth)| error(found, truth)).collect::<Vec<_>>()
    });
    kernel.into_iter().zip(plain).map(|(kernel, plain)| [kernel, plain]).collect()
}

/// A large mean is subtracted without loss on GPUs, also where the channels are equal and their
/// variance is 0. The CPU's kernel may lose what plain operations lose.
#[test]
fn a_large_mean_cancels() {
    let noise = norm_numbers()[0].clone();
    let position = |index: usize| index % (SHAPE[2] * SHAPE[3]);
    let equal = |offset: f64| (0..noise.len()).map(|i| offset + 0.1 * position(i) as f64).collect();
    let inputs: [(&str, Vec<f64>); 4] = [
        ("noise of 1 around 1e4", noise.iter().map(|x| 1e4 + x).collect()),
        ("noise of 0.01 around 1e4", noise.iter().map(|x| 1e4 + 0.01 * x).collect()),
        ("equal channels", equal(0.3)),
        ("equal channels around 1e4", equal(1e4)),
    ];
    for (name, x) in inputs {
        let mut operands = norm_numbers();
        operands[0] = x;
        for [kernel, plain] in errors(&norm(), &operands, DType::F32) {
            let strict = 64.0 * f64::from(f32::EPSILON);
            println!("{name}: {kernel:e} {plain:e}");
            let exact = Device::default() != Device::flex();
            let allowed = if exact { strict } else { 2.0 * plain + strict };
            assert!(kernel <= allowed, "{name}: {kernel:e} > {allowed:e}");
        }
    }
}

/// Gates that are open or closed to the last bit, with a linear half of ordinary size.
#[test]
fn gates_saturate() {
    for gates in [[100.0, 100.0], [-100.0, -100.0], [100.0, -100.0]] {
        let mut operands = gate_numbers();
        let features = SHAPE[1];
        for (feature, bias) in operands[3][features..].iter_mut().enumerate() {
            *bias = gates[feature % 2];
        }
        for [kernel, plain] in errors(&gate(), &operands, DType::F32) {
            let allowed =
                2.0 * plain + 16.0 * roughness(&Device::default()) * f64::from(f32::EPSILON);
            println!("{gates:?}: {kernel:e} {plain:e}");
            assert!(kernel <= allowed, "gates {gates:?}: {kernel:e} > {allowed:e}");
        }
    }
}

/// Kernels compute in float32 and round once, or where a result of a convolution is stored.
#[test]
fn halves_are_rounded_results() {
    let device = Device::default();
    for (dtype, epsilon) in [(FloatDType::F16, 2f64.powi(-10)), (FloatDType::BF16, 2f64.powi(-7))] {
        let dtype = DType::from(dtype);
        if !device.supports_dtype(dtype) {
            continue;
        }
        for (name, operation, operands, roundings) in
            [("norm", norm(), norm_numbers(), 1.0), ("gate", gate(), gate_numbers(), 8.0)]
        {
            for [kernel, plain] in errors(&operation, &operands, dtype) {
                println!("{name} {dtype:?} {kernel:e} {plain:e}");
                let allowed = 2.0 * plain.min(roundings * epsilon) + roundings * epsilon;
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
    let kernel = |view: fn(Tensor<4>) -> Tensor<4>| -> [Operation; 2] {
        let of_norm = move |p: &[Tensor<1>]| {
            let (x, gain, shift) = norm_operands(p);
            let y = channel_norm::forward(view(x), view(gain), view(shift), EPSILON);
            flat(view(y))
        };
        let of_gate = move |p: &[Tensor<1>]| {
            let (x, c, (weight, bias), norm) = gate_operands(p);
            let norm = Norm { gain: view(norm.gain), shift: view(norm.shift), epsilon: EPSILON };
            let conv = (view(weight), bias);
            let y = gated_norm::forward(view(x), view(c), conv, norm, PreActivation::ConcatElu);
            flat(view(y))
        };
        [Box::new(of_norm), Box::new(of_gate)]
    };
    let device = Device::default();
    let weights = normal(length(SHAPE), &mut StdRng::seed_from_u64(13));
    let numbers = [norm_numbers(), gate_numbers()];
    let run = |operation: &Operation, operands: &[Vec<f64>]| {
        outcome(operation, operands, &weights, &vec![true; operands.len()], (&device, DType::F32))
    };
    let expected = kernel(|tensor| tensor);
    for (name, view) in [
        ("transposed", turned as fn(Tensor<4>) -> Tensor<4>),
        ("channels of a longer tensor", inner),
        ("every second number", spread),
    ] {
        for ((operation, expected), operands) in kernel(view).iter().zip(&expected).zip(&numbers) {
            let pairs = run(operation, operands).into_iter().zip(run(expected, operands));
            for (index, (found, expected)) in pairs.enumerate() {
                // burn may choose another algorithm for the convolution of a view.
                let error = error(&found, &expected);
                assert!(error <= 16.0 * f64::from(f32::EPSILON), "{name}, {index}: {error:e}");
            }
        }
    }
}

/// Sides of the kernel, and a gate without a bias.
#[test]
fn gates_without_bias_are_their_definition() {
    let cases = [[1, 1], [3, 1], [1, 3], [5, 3]].map(|[height, width]| {
        let weight = [2 * SHAPE[1], SHAPE[1], height, width];
        let read = move |p: &[Tensor<1>]| {
            let one = Tensor::ones(PARAMETERS, (&p[0].device(), p[0].dtype()));
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
#[cfg(feature = "wgpu")]
#[test]
fn norms_run_without_fusion() {
    use burn::backend::ops::FloatTensorOps;
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{DispatchDevice, TensorMetadata};
    use burn_cubecl::CubeBackend;
    use flowkit::kernel::channel_norm::{ChannelNormGradient, ChannelNormOps};
    use flowkit::kernel::gated_norm::{GatedNormGradient, GatedNormOps};

    let device = Device::default();
    let DispatchDevice::Cube(plain) = device.as_dispatch() else { return };
    let weights = normal(length(SHAPE), &mut StdRng::seed_from_u64(13));
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
        let operands = norm_numbers();
        let [gain, shift] = [&operands[1], &operands[2]].map(|p| below(p, &PARAMETERS));
        let x = turned(&operands[0]);
        let y = CubeBackend::channel_norm(x.clone(), gain.clone(), shift, EPSILON);
        assert_eq!(y.shape().to_vec(), SHAPE);
        let gradients = CubeBackend::channel_norm_backward(x, gain, turned(&weights), EPSILON);
        [y, gradients.0, gradients.1, gradients.2].map(read).to_vec()
    };
    let gate_below = || {
        let operands = gate_numbers();
        let [x, c] = [&operands[0], &operands[1]].map(|numbers| turned(numbers));
        let (weight, bias) = (below(&operands[2], &WEIGHT), below(&operands[3], &WEIGHT[..1]));
        let [gain, shift] = [&operands[4], &operands[5]].map(|p| below(p, &PARAMETERS));
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
    assert_eq!(norm_below(), through(&norm()[0], norm_numbers()));
    assert_eq!(norm_below(), norm_below());
    // burn's convolution may be of another algorithm.
    for (found, expected) in gate_below().iter().zip(through(&gate()[0], gate_numbers())) {
        assert!(error(found, &expected) <= 16.0 * f64::from(f32::EPSILON));
    }
}
