//! Kernel launches of whole models on wgpu, the bytes that they read and write, device-to-host
//! copies and device memory: of a training step, an evaluation and 16 samples.
//!
//! `launch/mod.rs` says how they are counted. The items are those of `models`.

mod bench;
mod launch;
mod model;

use std::process::ExitCode;

use burn::tensor::Device;

use bench::Item;
use launch::{Activations, Counted, activations};
use model::{flow_plus_plus, glow, plane};

fn main() -> ExitCode {
    // The shapes are the same on every device.
    let couplings = || {
        let (device, [cifar, _]) = (Device::flex(), flow_plus_plus::CASES);
        activations(&cifar.model(&device), cifar.images(&device))
    };
    let scales = || {
        let device = Device::flex();
        activations(&glow::model(&device), glow::images(&device))
    };
    let points = || {
        let device = Device::flex();
        activations(&plane::model(&device), plane::points(&device))
    };
    let of = |floor: fn() -> Activations, items: Vec<Item>| {
        items.into_iter().map(move |item| Counted { item, floor })
    };
    let cifar = flow_plus_plus::items().into_iter().filter(|item| item.name.ends_with(".cifar"));
    let items = of(couplings, cifar.collect())
        .chain(of(scales, glow::items()))
        .chain(of(points, plane::items()));
    launch::main(items.collect())
}
