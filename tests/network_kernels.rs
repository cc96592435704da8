//! Kernels of networks against their references: values and the gradient of every operand, on sizes
//! that no vector divides, in float64 and float32, with every operand a leaf or a constant.

use burn::tensor::{DType, Device, Tensor};
use flowkit::kernel::conv2d::{Border, ConvStages, PreActivation};
use flowkit::kernel::epilogue::Epilogue;
use flowkit::kernel::gated_norm::Norm;
use flowkit::kernel::{
    affine_coupling, attention, channel_affine, channel_norm, concat_elu, conv2d, gated_norm,
    gated_residual, linear, projected_attention,
};
use flowkit::law::AffineForm;
use rand::SeedableRng;
use rand::rngs::StdRng;

#[path = "common/kernel_case.rs"]
mod kernel_case;
#[path = "common/poison.rs"]
mod poison;

use kernel_case::{Case, check, flat, normal, tensor_of};

#[global_allocator]
static ALLOCATOR: poison::Poison = poison::Poison;

fn images(shape: [usize; 4]) -> impl Fn(&Tensor<1>) -> Tensor<4> {
    move |tensor| tensor.clone().reshape(shape)
}

/// Images `[B, H, W]`: one position, one row, sides that differ, more than a vector.
const IMAGES: [[usize; 3]; 4] = [[1, 1, 1], [3, 1, 5], [2, 7, 3], [2, 6, 19]];

/// What precedes and follows the sums, and what lies around the image.
const CONVOLUTIONS: [ConvStages; 5] = [
    ConvStages::PLAIN,
    ConvStages::preceded_by(PreActivation::ConcatElu),
    ConvStages { epilogue: Epilogue::Relu, ..ConvStages::PLAIN },
    ConvStages { border: Border::Channel, epilogue: Epilogue::Relu, ..ConvStages::PLAIN },
    ConvStages { border: Border::Channel, ..ConvStages::preceded_by(PreActivation::ConcatElu) },
];

fn convolutions() -> Vec<Case> {
    let mut cases = Vec::new();
    let square =
        [(1, 1, 3), (2, 5, 1), (4, 3, 3), (6, 33, 3), (34, 7, 5), (20, 18, 3), (128, 64, 1)];
    let square = square.map(|(inputs, outputs, side)| (inputs, outputs, [side, side]));
    // The last image is worth more than one task and more than one block.
    let of_square = IMAGES.into_iter().chain([[2, 40, 33]]).map(|image| (image, square.to_vec()));
    let others = vec![(4, 3, [3, 1]), (6, 5, [1, 5])];
    let of_others = IMAGES.map(|image| (image, others.clone()));
    for ([b, h, w], kernels) in of_square.chain(of_others) {
        for (inputs, outputs, [kh, kw]) in kernels {
            for stages in CONVOLUTIONS {
                let border = if stages.border == Border::Channel { 1 } else { 0 };
                let channels =
                    if stages.before == PreActivation::ConcatElu { inputs / 2 } else { inputs };
                if channels == 0 {
                    continue;
                }
                let shapes = [[b, channels, h, w], [outputs, inputs + border, kh, kw]];
                let read = move |p: &[Tensor<1>]| {
                    (
                        p[0].clone().reshape(shapes[0]),
                        p[1].clone().reshape(shapes[1]),
                        Some(p[2].clone()),
                    )
                };
                cases.push(Case::new(
                    format!("conv2d {inputs} to {outputs}, {kh}x{kw}, {stages:?}, [{b}, {h}, {w}]"),
                    vec![shapes[0].to_vec(), shapes[1].to_vec(), vec![outputs]],
                    move |p| flat(conv2d::forward(read(p).0, read(p).1, read(p).2, stages)),
                    move |p| flat(conv2d::oracle::forward(read(p).0, read(p).1, read(p).2, stages)),
                ));
            }
        }
    }
    cases
}

const FORMS: [AffineForm; 5] = [
    AffineForm::Exponential,
    AffineForm::Sigmoid,
    AffineForm::Bounded,
    AffineForm::Normal,
    AffineForm::Additive,
];

fn couplings() -> Vec<Case> {
    let mut cases = Vec::new();
    // One number each, fewer than a vector, no multiple of it, more than one block of examples.
    for shape @ [b, c, p] in [[1usize, 2, 1], [37, 2, 1], [5, 5, 2], [3, 6, 19], [9000, 3, 1]] {
        let first = c.div_ceil(2);
        // Either half, all channels, and some in the middle where there is one.
        let ranges = move || {
            [first..c, 0..first, 0..c, 1..c - 1].into_iter().filter(|range| !range.is_empty())
        };
        for (form, range) in
            FORMS.into_iter().flat_map(|form| ranges().map(move |range| (form, range)))
        {
            let theta = [b, form.n_params(), range.len() * p];
            let [within, of_plain, of_inverse, of_plain_inverse] =
                std::array::from_fn(|_| range.clone());
            let read = move |numbers: &[Tensor<1>]| {
                (numbers[0].clone().reshape(shape), numbers[1].clone().reshape(theta))
            };
            let both =
                |(z, log_det): (Tensor<3>, Tensor<1>)| Tensor::cat(vec![flat(z), log_det], 0);
            let shapes = vec![shape.to_vec(), theta.to_vec()];
            cases.push(Case::new(
                format!("affine_coupling {form:?}, channels {range:?}, {shape:?}"),
                shapes.clone(),
                move |p| both(affine_coupling::forward(read(p).0, read(p).1, form, within.clone())),
                move |p| {
                    both(affine_coupling::plain::forward(
                        read(p).0,
                        read(p).1,
                        form,
                        of_plain.clone(),
                    ))
                },
            ));
            cases.push(Case::new(
                format!("inverse of affine_coupling {form:?}, channels {range:?}, {shape:?}"),
                shapes,
                move |p| {
                    let (z, theta) = read(p);
                    let plain = affine_coupling::inverse(
                        z.clone().inner(),
                        theta.clone().inner(),
                        form,
                        of_inverse.clone(),
                    );
                    let x = affine_coupling::inverse(z, theta, form, of_inverse.clone());
                    // The kernel's values with the plain operations' gradients.
                    flat(x.clone() + Tensor::from_inner(plain) - x.detach())
                },
                move |p| {
                    flat(affine_coupling::plain::inverse(
                        read(p).0,
                        read(p).1,
                        form,
                        of_plain_inverse.clone(),
                    ))
                },
            ));
        }
    }
    cases
}

fn pointwise() -> Vec<Case> {
    let mut cases = Vec::new();
    for [b, h, w] in IMAGES {
        for channels in [2, 3, 18] {
            let [x, half, twice] =
                [[b, channels, h, w], [b, channels, h, w], [b, 2 * channels, h, w]];
            let parameters = [1, channels, 1, 1];
            let size = format!("{x:?}");
            cases.push(Case::new(
                format!("concat_elu {size}"),
                vec![x.to_vec()],
                move |p| flat(concat_elu::forward(images(x)(&p[0]))),
                move |p| flat(concat_elu::plain::forward(images(x)(&p[0]))),
            ));
            cases.push(Case::new(
                format!("gated_residual {size}"),
                vec![half.to_vec(), twice.to_vec()],
                move |p| flat(gated_residual::forward(images(half)(&p[0]), images(twice)(&p[1]))),
                move |p| {
                    flat(gated_residual::plain::forward(images(half)(&p[0]), images(twice)(&p[1])))
                },
            ));
            let operands = move |p: &[Tensor<1>]| {
                (images(x)(&p[0]), images(parameters)(&p[1]), images(parameters)(&p[2]))
            };
            cases.push(Case::new(
                format!("channel_norm {size}"),
                vec![x.to_vec(), parameters.to_vec(), parameters.to_vec()],
                move |p| {
                    let (x, gain, shift) = operands(p);
                    flat(channel_norm::forward(x, gain, shift, 1e-5))
                },
                move |p| {
                    let (x, gain, shift) = operands(p);
                    flat(channel_norm::plain::forward(x, gain, shift, 1e-5))
                },
            ));
        }
    }
    cases
}

fn gates() -> Vec<Case> {
    let mut cases = Vec::new();
    for [b, h, w] in IMAGES {
        for (channels, before, side) in [
            (18, PreActivation::Identity, 1),
            (6, PreActivation::ConcatElu, 1),
            (5, PreActivation::Identity, 3),
        ] {
            let (x, inputs) =
                ([b, channels, h, w], if side == 1 { 2 * channels } else { channels });
            let c = [b, if before == PreActivation::ConcatElu { channels } else { inputs }, h, w];
            let (weight, parameters) = ([2 * channels, inputs, side, side], [1, channels, 1, 1]);
            let operands = move |p: &[Tensor<1>]| {
                let read = |index: usize, shape: [usize; 4]| p[index].clone().reshape(shape);
                let norm =
                    Norm { gain: read(4, parameters), shift: read(5, parameters), epsilon: 1e-5 };
                (read(0, x), read(1, c), (read(2, weight), Some(p[3].clone())), norm, before)
            };
            cases.push(Case::new(
                format!("gated_norm of {x:?} behind {before:?}, side {side}"),
                vec![
                    x.to_vec(),
                    c.to_vec(),
                    weight.to_vec(),
                    vec![2 * channels],
                    vec![channels],
                    vec![channels],
                ],
                move |p| {
                    let (x, c, conv, norm, before) = operands(p);
                    flat(gated_norm::forward(x, c, conv, norm, before))
                },
                move |p| {
                    let (x, c, conv, norm, before) = operands(p);
                    flat(gated_norm::oracle::forward(x, c, conv, norm, before))
                },
            ));
        }
    }
    cases
}

fn attentions() -> Vec<Case> {
    let several = IMAGES.into_iter().flat_map(|image| {
        [(1, 1), (6, 2), (32, 4), (24, 1)].map(|(filters, heads)| (image, filters, heads))
    });
    // Odd heads, a channel a head, more channels than a block of the GPU's kernels has, more than
    // one of their cubes holds; one position, and whole blocks.
    let further = [
        ([2, 1, 1], 9, 3),
        ([2, 5, 7], 15, 5),
        ([1, 8, 16], 3, 3),
        ([2, 3, 11], 40, 1),
        ([1, 5, 8], 128, 1),
        ([1, 3, 13], 170, 1),
    ];
    let case = |([b, h, w], filters, heads): ([usize; 3], usize, usize)| {
        let shape = [b, 3 * filters, h, w];
        Case::new(
            format!("attention of {heads} heads, {shape:?}"),
            vec![shape.to_vec()],
            move |p| flat(attention::forward(images(shape)(&p[0]), heads)),
            move |p| flat(attention::plain::forward(images(shape)(&p[0]), heads)),
        )
    };
    several.chain(further).map(case).collect()
}

/// Attention with its projection: of one example and several, odd heads, one position and several
/// blocks, with a bias and without.
fn projections() -> Vec<Case> {
    let sizes = [
        ([1, 1, 1], 6, 2),
        ([3, 1, 5], 6, 3),
        ([2, 7, 3], 15, 5),
        ([2, 6, 19], 32, 4),
        ([1, 5, 8], 128, 1),
        ([2, 3, 13], 34, 1),
    ];
    let case = |([b, h, w], filters, heads): ([usize; 3], usize, usize), biased: bool| {
        let shape = [b, filters, h, w];
        let (positions, weight) = ([1, filters, h, w], [3 * filters, filters, 1, 1]);
        let operands = move |p: &[Tensor<1>]| {
            let bias = biased.then(|| p[3].clone());
            // Scores of a usual size: sharp weights multiply the roundings of both forms.
            let weight_of = p[2].clone().mul_scalar((filters as f64).powf(-0.5));
            (images(shape)(&p[0]), images(positions)(&p[1]), (images(weight)(&weight_of), bias))
        };
        let mut operand_shapes = vec![shape.to_vec(), positions.to_vec(), weight.to_vec()];
        operand_shapes.extend(biased.then(|| vec![3 * filters]));
        Case::new(
            format!("projection and attention of {heads} heads, {shape:?}, bias {biased}"),
            operand_shapes,
            move |p| {
                let (x, positions, projection) = operands(p);
                flat(projected_attention::forward(x, positions, projection, heads))
            },
            move |p| {
                let (x, positions, projection) = operands(p);
                flat(projected_attention::plain::forward(x, positions, projection, heads))
            },
        )
    };
    let biased = sizes.map(|size| case(size, true));
    biased.into_iter().chain([case(sizes[2], false)]).collect()
}

fn layers() -> Vec<Case> {
    let mut cases = Vec::new();
    for (rows, inputs, outputs) in
        [(1, 1, 1), (3, 5, 2), (1100, 3, 17), (530, 33, 1), (7, 5, 6), (1100, 17, 35)]
    {
        for epilogue in [Epilogue::Nothing, Epilogue::Relu] {
            let (x, weight) = ([rows, inputs], [inputs, outputs]);
            cases.push(Case::new(
                format!("linear {rows} rows, {inputs} to {outputs}, {epilogue:?}"),
                vec![x.to_vec(), weight.to_vec(), vec![outputs]],
                move |p| {
                    flat(linear::forward(
                        p[0].clone().reshape(x),
                        p[1].clone().reshape(weight),
                        p[2].clone(),
                        epilogue,
                    ))
                },
                move |p| {
                    flat(linear::plain::forward(
                        p[0].clone().reshape(x),
                        p[1].clone().reshape(weight),
                        p[2].clone(),
                        epilogue,
                    ))
                },
            ));
        }
    }
    cases
}

/// One number a plane, fewer than a vector, whole vectors, more; one example, many.
fn channels() -> Vec<Case> {
    let shapes =
        [[2, 3, 1], [1, 1, 2], [3, 5, 19], [1, 33, 9], [2, 18, 114], [40, 3, 32], [3, 700, 400]];
    let cases = shapes.into_iter().map(|shape| {
        let read = move |p: &[Tensor<1>]| (p[0].clone().reshape(shape), p[1].clone(), p[2].clone());
        Case::new(
            format!("channel_affine {shape:?}"),
            vec![shape.to_vec(), vec![shape[1]], vec![shape[1]]],
            move |p| flat(channel_affine::forward(read(p).0, read(p).1, read(p).2)),
            move |p| flat(channel_affine::plain::forward(read(p).0, read(p).1, read(p).2)),
        )
    });
    cases.collect()
}

#[test]
fn channels_are_shifted_and_scaled_as_in_the_reference() {
    check(channels());
}

#[test]
fn convolutions_are_their_reference() {
    check(convolutions());
}

#[test]
fn pointwise_operations_are_their_references() {
    check(pointwise());
}

#[test]
fn gates_and_norms_in_one_are_their_reference() {
    check(gates());
}

#[test]
fn affine_couplings_are_their_reference() {
    check(couplings());
}

/// Where the scale's logarithm is large, the kernel goes wherever the definition goes in float64,
/// as far as float32 reaches.
#[test]
fn affine_couplings_hold_at_the_ends() {
    let device = Device::flex();
    let scales = [-300.0, -90.0, -30.0, -2.0, -1e-6, 0.0, 1e-6, 2.0, 30.0, 85.0];
    let shape = [scales.len(), 2, 1];
    let x: Vec<f64> = scales.iter().flat_map(|_| [0.5, -3.0]).collect();
    let theta: Vec<f64> = scales.iter().flat_map(|&s| [s, 1.25]).collect();
    for form in FORMS.into_iter().filter(|form| form.n_params() == 2) {
        let [wide, single] = [DType::F64, DType::F32].map(|dtype| {
            let tensor = |numbers: &[f64], shape: [usize; 3]| {
                tensor_of(numbers, &device).reshape(shape).cast(dtype)
            };
            let (x, theta) = (tensor(&x, shape), tensor(&theta, shape));
            let ((z, log_det), inverse) = match dtype {
                DType::F64 => (
                    affine_coupling::plain::forward(x.clone(), theta.clone(), form, 1..2),
                    affine_coupling::plain::inverse(x, theta, form, 1..2),
                ),
                _ => (
                    affine_coupling::forward(x.clone(), theta.clone(), form, 1..2),
                    affine_coupling::inverse(x, theta, form, 1..2),
                ),
            };
            [flat(z), log_det, flat(inverse)]
                .map(|numbers| numbers.into_data().iter::<f64>().collect::<Vec<_>>())
        });
        for (index, (single, wide)) in
            single.iter().flatten().zip(wide.iter().flatten()).enumerate()
        {
            let reach = f64::from(f32::MAX);
            let agree = if wide.abs() > reach {
                *single == f64::INFINITY.copysign(*wide)
            } else {
                // A number below the normal ones may come out as 0.
                (single - wide).abs() <= 4e-7 * wide.abs() + 1e-7
            };
            assert!(agree, "{form:?}, number {index}: {single:e}, not {wide:e}");
        }
    }
}

#[test]
fn attention_is_its_reference() {
    check(attentions());
}

#[test]
fn projections_with_attention_are_their_reference() {
    check(projections());
}

#[test]
fn dense_layers_are_their_reference() {
    check(layers());
}

/// Views are read as what they show.
#[test]
fn views_are_read() {
    let device = Device::flex();
    let mut rng = StdRng::seed_from_u64(3);
    let x = tensor_of(&normal(2 * 4 * 5 * 6, &mut rng), &device).reshape([2, 4, 5, 6]);
    let turned = x.clone().swap_dims(2, 3);
    let copy = Tensor::<4>::from_data(turned.to_data(), (&device, DType::F64));
    assert_eq!(
        concat_elu::forward(turned.clone()).to_data(),
        concat_elu::forward(copy.clone()).to_data()
    );
    let part = x.clone().narrow(1, 1, 3);
    let copy_of_part = Tensor::<4>::from_data(part.to_data(), (&device, DType::F64));
    assert_eq!(
        attention::forward(part, 1).to_data(),
        attention::forward(copy_of_part, 1).to_data()
    );
    let weight = tensor_of(&normal(3 * 4 * 9, &mut rng), &device).reshape([3, 4, 3, 3]);
    let found = conv2d::forward(turned, weight.clone().flip([2]), None, ConvStages::PLAIN);
    let flipped = Tensor::<4>::from_data(weight.flip([2]).to_data(), (&device, DType::F64));
    assert_eq!(found.to_data(), conv2d::forward(copy, flipped, None, ConvStages::PLAIN).to_data());
}

/// One example's NaN is not another's, and large scores do not overflow.
#[test]
fn examples_stay_apart() {
    let device = Device::flex();
    let mut rng = StdRng::seed_from_u64(4);
    let numbers =
        normal(2 * 6 * 20, &mut rng).iter().map(|number| 100.0 * number).collect::<Vec<_>>();
    let clean =
        attention::forward(tensor_of(&numbers, &device).reshape([2, 6, 4, 5]), 2).into_data();
    let clean: Vec<f64> = clean.iter().collect();
    assert!(clean.iter().all(|value| value.is_finite()));
    let mut spoiled = numbers;
    spoiled[2 * 20 + 7] = f64::NAN; // a key of the first head, which every query meets
    let found =
        attention::forward(tensor_of(&spoiled, &device).reshape([2, 6, 4, 5]), 2).into_data();
    let found: Vec<f64> = found.iter().collect();
    assert!(found[..20].iter().all(|value| value.is_nan()), "the spoiled head");
    assert_eq!(found[20..], clean[20..], "the other head and the other example");
}
