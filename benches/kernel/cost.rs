//! Costs of the CPU's kernels, by which `src/kernel/cpu/tasks.rs` splits work.
//! ```text
//! cargo bench --bench kernels -- --threads 1 --filter '^k\.'
//! ```
//! A line has `ps_per_item`: the least processor time of a call, by the number of items that the
//! call processes. An item of work is an element, and of products a multiplication. Tensors have
//! the order of a few tasks, 65,536 elements, and a call repeats the operation.
//!
//! Checks see finite numbers only: `tests/network_kernels.rs` and `tests/training_kernels.rs`
//! compare these kernels with their definitions.

use std::collections::VecDeque;
use std::hint::black_box;

use burn::backend::{Dispatch, DispatchTensor};
use burn::tensor::{Device, Distribution, Tensor};
use flowkit::kernel::adam::{self, Rates};
use flowkit::kernel::affine_coupling::{AffineCouplingGradient, AffineCouplingOps, AffineForm};
use flowkit::kernel::attention::{AttentionGradient, AttentionOps};
use flowkit::kernel::channel_affine::{self, ChannelAffineGradient};
use flowkit::kernel::channel_norm::{self, ChannelNormGradient};
use flowkit::kernel::concat_elu::{self, ConcatEluGradient};
use flowkit::kernel::conv2d::{self, Conv2dGradient, ConvStages};
use flowkit::kernel::epilogue::Epilogue;
use flowkit::kernel::gated_residual::{self, GatedResidualGradient};
use flowkit::kernel::linear::{self, LinearGradient};
use flowkit::kernel::moving_average;
use flowkit::kernel::spline::{SplineEnds, SplineGradient, SplineOps, SplineShape};

use super::gap::values;
use crate::bench::{Item, Work};

/// How often a call repeats an operation.
const REPEATS: usize = 50;

/// Images of 65,536 elements.
const IMAGES: [usize; 4] = [2, 32, 32, 32];
const ELEMENTS: usize = 65_536;

/// Images with twice the channels.
const DOUBLED: [usize; 4] = [2, 64, 32, 32];

/// A tensor of the CPU.
fn normal<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Device::flex())
}

fn raw<const D: usize>(shape: [usize; D]) -> DispatchTensor {
    normal(shape).into_dispatch()
}

/// An operation that `make` prepares, on `items` items.
fn item<const D: usize, F: FnMut() -> Tensor<D> + 'static>(
    name: &str,
    items: usize,
    make: impl Fn() -> F + Copy + 'static,
) -> Item {
    let check = move |_: &Device| {
        let found = values(make()());
        assert!(found.iter().all(|number| number.is_finite()), "an infinite number or NaN");
        0.0
    };
    let prepare = move |_: &Device| {
        let mut call = make();
        let repeated = move || (0..REPEATS).for_each(|_| drop(call()));
        Work::new(repeated).note("items", REPEATS * items)
    };
    Item::new(format!("k.{name}"), check, prepare)
}

fn activations() -> Vec<Item> {
    vec![
        item("concat_elu.fwd", ELEMENTS, || {
            let x = normal(IMAGES);
            move || concat_elu::forward(x.clone())
        }),
        item("concat_elu.bwd", ELEMENTS, || {
            let (x, g) = (raw(IMAGES), raw(DOUBLED));
            move || {
                let gradient =
                    <Dispatch as ConcatEluGradient>::concat_elu_backward(x.clone(), g.clone());
                Tensor::<4>::from_dispatch(gradient)
            }
        }),
        item("gated_residual.fwd", ELEMENTS, || {
            let (x, h) = (normal(IMAGES), normal(DOUBLED));
            move || gated_residual::forward(x.clone(), h.clone())
        }),
        item("gated_residual.bwd", ELEMENTS, || {
            let (h, g) = (raw(DOUBLED), raw(IMAGES));
            move || {
                let gradient = <Dispatch as GatedResidualGradient>::gated_residual_backward(
                    h.clone(),
                    g.clone(),
                );
                Tensor::<4>::from_dispatch(gradient)
            }
        }),
    ]
}

fn channels() -> Vec<Item> {
    let gain = || normal([1, IMAGES[1], 1, 1]);
    let planes = [IMAGES[0], IMAGES[1], IMAGES[2] * IMAGES[3]];
    let channel = || raw([IMAGES[1]]);
    vec![
        item("channel_norm.fwd", ELEMENTS, move || {
            let (x, gain, shift) = (normal(IMAGES), gain(), gain());
            move || channel_norm::forward(x.clone(), gain.clone(), shift.clone(), 1e-5)
        }),
        item("channel_norm.bwd", ELEMENTS, move || {
            let (x, gain, g) = (raw(IMAGES), gain().into_dispatch(), raw(IMAGES));
            move || {
                let (x, gain, g) = (x.clone(), gain.clone(), g.clone());
                let (gradient, ..) =
                    <Dispatch as ChannelNormGradient>::channel_norm_backward(x, gain, g, 1e-5);
                Tensor::<4>::from_dispatch(gradient)
            }
        }),
        item("channel_affine.fwd", ELEMENTS, move || {
            let (x, shift, scale) = (normal(planes), normal([IMAGES[1]]), normal([IMAGES[1]]));
            move || channel_affine::forward(x.clone(), shift.clone(), scale.clone())
        }),
        item("channel_affine.bwd", ELEMENTS, move || {
            let operands = [raw(planes), channel(), channel(), raw(planes)];
            move || {
                let [x, shift, scale, g] = operands.clone();
                let (gradient, ..) = <Dispatch as ChannelAffineGradient>::channel_affine_backward(
                    x, shift, scale, g,
                );
                Tensor::<3>::from_dispatch(gradient)
            }
        }),
        item("channel_affine.of_parameters", ELEMENTS, move || {
            let operands = [raw(planes), channel(), channel(), raw(planes)];
            move || {
                let [x, shift, scale, g] = operands.clone();
                let (gradient, _) =
                    <Dispatch as ChannelAffineGradient>::channel_affine_backward_of_parameters(
                        x, shift, scale, g,
                    );
                Tensor::<1>::from_dispatch(gradient)
            }
        }),
    ]
}

/// Bins of 8,192 elements.
fn splines() -> Vec<Item> {
    let spline = SplineShape {
        n_bins: 8,
        bound: 3.0,
        min_width: 1e-3,
        min_height: 1e-3,
        min_slope: 1e-3,
        ends: SplineEnds::Identity,
    };
    let x = [ELEMENTS / 32, 4];
    let theta = [x[0], spline.n_params(), x[1]];
    vec![
        item("spline.fwd", ELEMENTS, move || {
            let (x, theta) = (raw(x), raw(theta));
            move || {
                let output = <Dispatch as SplineOps>::spline(x.clone(), theta.clone(), spline);
                Tensor::<3>::from_dispatch(output)
            }
        }),
        item("spline.inverse", ELEMENTS, move || {
            let (z, theta) = (raw(x), raw(theta));
            move || {
                let (z, theta) = (z.clone(), theta.clone());
                let x = <Dispatch as SplineOps>::spline_inverse(z, theta, spline);
                Tensor::<2>::from_dispatch(x)
            }
        }),
        item("spline.bwd", ELEMENTS, move || {
            let operands = (raw(x), raw(theta), raw([2, x[0], x[1]]));
            move || {
                let (x, theta, g) = operands.clone();
                let (_, gradient) =
                    <Dispatch as SplineGradient>::spline_backward(x, theta, g, spline);
                Tensor::<3>::from_dispatch(gradient)
            }
        }),
    ]
}

/// Half of the channels are transformed.
fn couplings() -> Vec<Item> {
    const EXAMPLES: usize = 2 * ELEMENTS / 1024;
    let (x, theta) = ([EXAMPLES, 16, 64], [EXAMPLES, 2, 512]);
    let mut items = Vec::new();
    for form in [AffineForm::Exponential, AffineForm::Sigmoid, AffineForm::Bounded] {
        let name = |what: &str| format!("affine_coupling.{what}.{form:?}").to_lowercase();
        items.push(item(&name("fwd"), ELEMENTS, move || {
            let (x, theta) = (raw(x), raw(theta));
            move || {
                let (x, theta) = (x.clone(), theta.clone());
                let z = <Dispatch as AffineCouplingOps>::affine_coupling(x, theta, form, 8..16);
                Tensor::<3>::from_dispatch(z)
            }
        }));
        items.push(item(&name("bwd"), ELEMENTS, move || {
            let (g, x, theta) = (raw(x), raw(x), raw(theta));
            move || {
                let (x, theta, g) = (x.clone(), theta.clone(), g.clone());
                let (_, gradient) = <Dispatch as AffineCouplingGradient>::affine_coupling_backward(
                    x,
                    theta,
                    g,
                    form,
                    8..16,
                );
                Tensor::<3>::from_dispatch(gradient)
            }
        }));
        items.push(item(&name("log_det"), ELEMENTS, move || {
            let theta = raw(theta);
            move || {
                let sums = <Dispatch as AffineCouplingOps>::affine_log_det(theta.clone(), form);
                Tensor::<1>::from_dispatch(sums)
            }
        }));
    }
    items
}

/// Each call takes other parameters, as a step of training does: no cache holds them all.
fn parameters() -> Vec<Item> {
    let rates = Rates { rate: 1e-3, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8 };
    vec![
        item("adam", ELEMENTS, move || {
            let zeros = || Tensor::<1>::zeros([ELEMENTS], &Device::flex());
            let states = (0..REPEATS).map(|_| [normal([ELEMENTS]), zeros(), zeros()]);
            let mut parameters: VecDeque<_> =
                states.map(|state| (state, normal([ELEMENTS]))).collect();
            move || {
                // The means are updated in place, as no one else has them.
                let ([parameter, mean, square], gradient) =
                    parameters.pop_front().expect("many parameters");
                let next = adam::update(parameter, gradient.clone(), mean, square, rates);
                let parameter = next[0].clone();
                parameters.push_back((next, gradient));
                parameter
            }
        }),
        item("moving_average", ELEMENTS, || {
            let mut averages: VecDeque<_> =
                (0..REPEATS).map(|_| [normal([ELEMENTS]), normal([ELEMENTS])]).collect();
            move || {
                let [average, value] = averages.pop_front().expect("many averages");
                let next = moving_average::update(average, value.clone(), 0.01);
                averages.push_back([next.clone(), value]);
                next
            }
        }),
    ]
}

/// Items are pairs of positions.
fn attention() -> Vec<Item> {
    const HEADS: usize = 4;
    const POSITIONS: usize = 256;
    let mut items = Vec::new();
    for channels in [8, 24] {
        let (pairs, filters) = (HEADS * POSITIONS * POSITIONS, HEADS * channels);
        let forward = move || {
            let projected = raw([1, 3 * filters, POSITIONS]);
            let output = {
                let projected = projected.clone();
                move || <Dispatch as AttentionOps>::self_attention(projected.clone(), HEADS)
            };
            (projected, output)
        };
        items.push(item(&format!("attention.fwd.{channels}"), pairs, move || {
            let (_, output) = forward();
            move || Tensor::<3>::from_dispatch(output().0)
        }));
        items.push(item(&format!("attention.bwd.{channels}"), pairs, move || {
            let (projected, output) = forward();
            let ((output, log_sums), g) = (output(), raw([1, filters, POSITIONS]));
            move || {
                let gradient = <Dispatch as AttentionGradient>::self_attention_backward(
                    projected.clone(),
                    output.clone(),
                    log_sums.clone(),
                    g.clone(),
                    HEADS,
                );
                Tensor::<3>::from_dispatch(gradient)
            }
        }));
    }
    items
}

/// Items are weights times rows.
fn layers() -> Vec<Item> {
    let mut items = Vec::new();
    for (name, rows, inputs, outputs) in
        [("product", 512, 64, 64), ("widening", 2048, 2, 64), ("narrowing", 2048, 64, 2)]
    {
        let weights = rows * inputs * outputs;
        items.push(item(&format!("linear.{name}.fwd"), weights, move || {
            let (x, weight) = (normal([rows, inputs]), normal([inputs, outputs]));
            let bias = normal([outputs]);
            move || linear::forward(x.clone(), weight.clone(), bias.clone(), Epilogue::Relu)
        }));
        items.push(item(&format!("linear.{name}.bwd"), weights, move || {
            let (x, weight) = (raw([rows, inputs]), raw([inputs, outputs]));
            let (y, g) = (raw([rows, outputs]), raw([rows, outputs]));
            move || {
                let (x, weight, y, g) = (x.clone(), weight.clone(), y.clone(), g.clone());
                let (gradient, ..) =
                    <Dispatch as LinearGradient>::dense_backward(x, weight, y, g, Epilogue::Relu);
                Tensor::<2>::from_dispatch(gradient)
            }
        }));
    }
    items
}

/// Items are multiplications of direct sums, and what their names say.
fn convolutions() -> Vec<Item> {
    let mut items = Vec::new();
    // The images, outputs and side of the kernel, and the items of an image.
    let cases = [
        ("direct", [8, 96, 16, 16], 96, 1, 256 * 96 * 96),
        ("winograd", [8, 96, 16, 16], 96, 3, 256 * 96 * 96 * 9),
        ("elements", [8, 4, 32, 32], 4, 1, 1024 * 8),
        ("weights", [1, 128, 2, 2], 128, 3, 128 * 128),
    ];
    for (name, x, outputs, side, of_image) in cases {
        let [batch, inputs, height, width] = x;
        let weight = [outputs, inputs, side, side];
        items.push(item(&format!("conv2d.{name}.fwd"), batch * of_image, move || {
            let (x, weight) = (normal(x), normal(weight));
            move || conv2d::forward(x.clone(), weight.clone(), None, ConvStages::PLAIN)
        }));
        items.push(item(&format!("conv2d.{name}.bwd"), batch * of_image, move || {
            let (x, weight, g) = (raw(x), raw(weight), raw([batch, outputs, height, width]));
            move || {
                let (gradient, ..) = <Dispatch as Conv2dGradient>::same_conv2d_backward(
                    x.clone(),
                    weight.clone(),
                    g.clone(),
                    g.clone(),
                    ConvStages::PLAIN,
                );
                Tensor::<4>::from_dispatch(gradient)
            }
        }));
    }
    // With one pixel, the products are no more than the sums, which are then put in order.
    items.push(item("conv2d.unpack", 256 * 256, || {
        let (x, weight, g) = (raw([1, 256, 1, 1]), raw([256, 256, 1, 1]), raw([1, 256, 1, 1]));
        move || {
            let (x, weight, g) = (x.clone(), weight.clone(), g.clone());
            let y = g.clone();
            let (gradient, _) = <Dispatch as Conv2dGradient>::same_conv2d_backward_of_parameters(
                x,
                weight,
                y,
                g,
                ConvStages::PLAIN,
            );
            Tensor::<4>::from_dispatch(gradient)
        }
    }));
    items
}

/// What splitting itself costs: a partial sum that is cleared and added to a total, and work that
/// is passed to the pool. The cost of the latter is `median_s` by `items`, as the calling thread
/// waits.
fn splitting() -> Vec<Item> {
    let sum = || {
        let (mut part, mut total) = (vec![0.0f32; ELEMENTS], vec![0.0f32; ELEMENTS]);
        move || {
            part.fill(1.0);
            black_box(&mut part);
            total.iter_mut().zip(&part).for_each(|(total, part)| *total += part);
            black_box(&mut total);
            Tensor::<1>::from_data([1.0f32], &Device::flex())
        }
    };
    let handover = || {
        || {
            rayon::join(|| black_box(0), || black_box(0));
            Tensor::<1>::from_data([1.0f32], &Device::flex())
        }
    };
    vec![item("sum", ELEMENTS, sum), item("handover", 1, handover)]
}

pub fn items() -> Vec<Item> {
    let items = [
        activations(),
        channels(),
        splines(),
        couplings(),
        parameters(),
        attention(),
        layers(),
        convolutions(),
        splitting(),
    ];
    items.into_iter().flatten().collect()
}
