//! The network of a Flow++ coupling, with what the law does to its outputs before the mixture:
//! tanh, clamp, parts.
//!
//! Layers and parameter counts are those of the peers' `Conditioner`: `PARAMETERS` is what it
//! reports.

use burn::module::Module;
use burn::tensor::{DType, Device, Distribution, Tensor, TensorData};
use flowkit::law::{Law, LawConfig, MixLogCdf, MixLogCdfConfig};
use flowkit::{ConvStyle, GatedNet, GatedNetConfig, Net, NetConfig, NetSite};

use super::gap::{values, within};
use super::precision::{double, gradients};
use crate::bench::{Item, Work};

const COMPONENTS: usize = 32;
const HALF: [usize; 3] = [3, 16, 32];
const BATCH: usize = 8;

#[derive(Clone, Copy)]
struct Size {
    name: &'static str,
    filters: usize,
    blocks: usize,
    parameters: usize,
}

const SIZES: [Size; 2] = [
    Size { name: "f96b10", filters: 96, blocks: 10, parameters: PARAMETERS[0] },
    Size { name: "f32b2", filters: 32, blocks: 2, parameters: PARAMETERS[1] },
];

/// Parameters of the peers' networks.
const PARAMETERS: [usize; 2] = [2_805_990, 158_310];

struct Case {
    net: GatedNet,
    law: MixLogCdf,
    x: Tensor<4>,
}

impl Case {
    fn new(size: Size, device: &Device) -> Self {
        // The peers' formula, which has no upper bound of log-scales.
        let law =
            MixLogCdfConfig::new(COMPONENTS).with_max_log_scale(None).build().expect("a valid law");
        // The peers' starts: all weights count, and the outputs are small.
        let [c, h, w] = HALF;
        let site = NetSite::new([1, c, h, w], [1, c, h, w], law.theta_init(), device);
        let net = GatedNetConfig::new(size.filters, size.blocks)
            .with_style(ConvStyle::fan_in())
            .build(&site)
            .expect("a network");
        Self {
            net,
            law,
            x: Tensor::random([BATCH, c, h, w], Distribution::Normal(0.0, 1.0), device),
        }
    }
}

/// Log-scale, shift and mixture.
fn outputs(
    net: &GatedNet,
    law: &MixLogCdf,
    x: Tensor<4>,
) -> (Tensor<2>, Tensor<2>, [Tensor<3>; 3]) {
    let (log_scale, shift, mixture) = law.parts(net.forward(x, None));
    (log_scale, shift, [mixture.logits, mixture.means, mixture.log_scales])
}

/// The sum of all outputs.
fn total(net: &GatedNet, law: &MixLogCdf, x: Tensor<4>) -> Tensor<1> {
    let (log_scale, shift, mixture) = outputs(net, law, x);
    mixture.into_iter().fold(log_scale.sum() + shift.sum(), |total, part| total + part.sum())
}

/// Two examples and all gradients beside the same network in float64.
fn check(size: Size, device: &Device) -> f64 {
    let Case { net, law, x } = Case::new(size, &device.clone().autodiff());
    assert_eq!(net.num_params(), size.parameters, "parameters of the peers' network");
    let x = x.narrow(0, 0, 2);
    let wide = double(net.clone());
    let data = TensorData::new(values(x.clone()), x.dims());
    let wide_x = Tensor::from_data(data, (&Device::flex().autodiff(), DType::F64));
    let theta = |net: &GatedNet, x: &Tensor<4>| values(net.forward(x.clone(), None));
    let gap = within(1e-4, "theta", &theta(&net, &x), &theta(&wide, &wide_x));
    let found = gradients(&net, &total(&net, &law, x).backward());
    let expected = gradients(&wide, &total(&wide, &law, wide_x).backward());
    let pairs = found.iter().zip(&expected).enumerate();
    pairs
        .map(|(index, (a, b))| within(1e-4, &format!("gradient {index}"), a, b))
        .fold(gap, f64::max)
}

pub fn items() -> Vec<Item> {
    let mut items = Vec::new();
    for size in SIZES {
        let forward = move |device: &Device| {
            let Case { net, law, x } = Case::new(size, device);
            let parameters = net.num_params();
            Work::new(move || drop(outputs(&net, &law, x.clone()))).note("params", parameters)
        };
        let both = move |device: &Device| {
            let Case { net, law, x } = Case::new(size, &device.clone().autodiff());
            let parameters = net.num_params();
            Work::new(move || {
                let gradients = total(&net, &law, x.clone()).backward();
                drop(burn::optim::GradientsParams::from_grads(gradients, &net));
            })
            .note("params", parameters)
        };
        items.push(Item::new(
            format!("b.cond.fwd.{}", size.name),
            move |device| check(size, device),
            forward,
        ));
        items.push(Item::new(
            format!("b.cond.fwdbwd.{}", size.name),
            move |device| check(size, device),
            both,
        ));
    }
    items
}
