//! Invertible 1x1 convolutions on `[32, 48, 16, 16]`: value, log-determinant and the gradients of
//! matrix and input.

use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor};
use flowkit::{Bijector, ChannelMatrixConfig, Conv1x1Config, LayerConfig, MatrixInit, Site};

use super::gap::{values, within};
use super::precision::{double, gradients, leaf};
use crate::bench::{Item, Work};

const CHANNELS: usize = 48;

fn input(device: &Device) -> Tensor<4> {
    Tensor::random([32, CHANNELS, 16, 16], Distribution::Normal(0.0, 1.0), device).require_grad()
}

/// Gradients of the sum of all outputs: of the input, then of the parameters.
fn both<B: Bijector<4>>(layer: &B, x: &Tensor<4>) -> Vec<Vec<f64>> {
    let (z, log_det) = layer.forward(x.clone(), &());
    let gradients_of = (z.sum() + log_det.sum()).backward();
    let mut found = vec![values(x.grad(&gradients_of).expect("a leaf"))];
    found.extend(gradients(layer, &gradients_of));
    found
}

/// Value, log-determinant and gradients beside the layer in float64, and the value beside its
/// inverse there.
fn check<B: Bijector<4> + Clone>(layer: B, device: &Device) -> f64 {
    let x = input(device);
    let wide = double(layer.clone());
    let wide_x = leaf(values(x.clone()), x.dims());
    let (z, log_det) = layer.forward(x.clone(), &());
    let (wide_z, wide_log_det) = wide.forward(wide_x.clone(), &());
    within(
        1e-9,
        "inverse in float64",
        &values(wide.inverse(wide_z.clone(), &())),
        &values(wide_x.clone()),
    );
    let mut gap = within(1e-5, "z", &values(z), &values(wide_z));
    gap = gap.max(within(1e-4, "log-determinant", &values(log_det), &values(wide_log_det)));
    let (found, expected) = (both(&layer, &x), both(&wide, &wide_x));
    assert_eq!(found.len(), expected.len());
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        gap = gap.max(within(1e-4, &format!("gradient {index}"), found, expected));
    }
    gap
}

fn work<B: Bijector<4>>(layer: B, device: &Device) -> Work {
    let x = input(device);
    let parameters = Module::num_params(&layer);
    Work::new(move || {
        let (z, log_det) = layer.forward(x.clone(), &());
        let gradients = (z.sum() + log_det.sum()).backward();
        drop((x.grad(&gradients), burn::optim::GradientsParams::from_grads(gradients, &layer)));
    })
    .note("params", parameters)
}

pub fn items() -> Vec<Item> {
    let site = |device: &Device| Site::new([1, CHANNELS, 1, 1], device);
    let plain = move |device: &Device| {
        let config = ChannelMatrixConfig::new().with_init(MatrixInit::Orthogonal);
        config.build(&site(device)).expect("a matrix of few channels")
    };
    let plu = move |device: &Device| {
        Conv1x1Config::new().build(&site(device)).expect("a matrix of few channels")
    };
    let graph = |device: &Device| device.clone().autodiff();
    vec![
        Item::new(
            "f.conv1x1.plain.fwdbwd",
            move |device| check(plain(&graph(device)), &graph(device)),
            move |device| work(plain(&graph(device)), &graph(device)),
        ),
        Item::new(
            "f.conv1x1.plu.fwdbwd",
            move |device| check(plu(&graph(device)), &graph(device)),
            move |device| work(plu(&graph(device)), &graph(device)),
        ),
    ]
}
