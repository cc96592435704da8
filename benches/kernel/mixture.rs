//! The MixLogCDF law of Flow++ with 32 components.
//!
//! The peers evaluate the mixture alone. Here it is the whole law, with its scale, shift and clamp,
//! on the layout in which a network gives its parameters, which is more work. The peers bisect or
//! take Newton steps until a tolerance of 1e-6; the law's inverse goes to rounding level.

use burn::tensor::{DType, Device, Distribution, Tensor, TensorData};
use flowkit::law::{Law, LawConfig, MixLogCdf, MixLogCdfConfig};

use super::gap::{values, within};
use super::precision::leaf;
use crate::bench::{Item, Work};

const COMPONENTS: usize = 32;

/// Numbers of an example: 3 channels of 32x16 positions, half of an image.
const DIMS: usize = 3 * 32 * 16;

/// Examples that are compared with float64, of a batch that may be larger: elements do not see each
/// other.
const CHECKED: usize = 32;

struct Case {
    law: MixLogCdf,
    x: Tensor<2>,
    theta: Tensor<3>,
}

impl Case {
    /// The peers' distributions: `x`, weights and means from N(0, 1), log-scales from N(−1, 0.5²).
    fn new(batch: usize, device: &Device) -> Self {
        // The peers' formula, which has no upper bound of log-scales.
        let law =
            MixLogCdfConfig::new(COMPONENTS).with_max_log_scale(None).build().expect("a valid law");
        let normal = |params, mean, deviation| {
            Tensor::<3>::random(
                [batch, params, DIMS],
                Distribution::Normal(mean, deviation),
                device,
            )
        };
        let theta = Tensor::cat(
            vec![normal(2 + 2 * COMPONENTS, 0.0, 1.0), normal(COMPONENTS, -1.0, 0.5)],
            1,
        );
        Self { law, x: normal(1, 0.0, 1.0).squeeze_dim(1), theta }
    }

    /// The first examples.
    fn first(self, n: usize) -> Self {
        Self { x: self.x.narrow(0, 0, n), theta: self.theta.narrow(0, 0, n), ..self }
    }
}

/// `ln Σ_k e^v`.
fn log_sum_exp(v: Tensor<3>) -> Tensor<2> {
    v.exp().sum_dim(1).log().squeeze_dim(1)
}

/// The formula as it is written in the paper, in the log domain: right in float64 for these inputs,
/// where `|z| < 700`, and not beyond.
fn reference(x: Tensor<2>, theta: Tensor<3>) -> (Tensor<2>, Tensor<2>) {
    let part = |from, n| theta.clone().narrow(1, from, n);
    let [a, b] = [0, 1].map(|index| part(index, 1).squeeze_dim::<2>(1));
    let [logits, means, log_scales] =
        [0, 1, 2].map(|index| part(2 + index * COMPONENTS, COMPONENTS));
    let z = (x.unsqueeze_dim::<3>(1) - means) * log_scales.clone().neg().exp();
    let log_above = z.clone().exp().add_scalar(1.0).log().neg();
    let log_below = z + log_above.clone();
    let below = log_sum_exp(logits.clone() + log_below.clone());
    let above = log_sum_exp(logits.clone() + log_above.clone());
    let density = log_sum_exp(logits.clone() - log_scales + log_below + log_above);
    let log_derivative = density + log_sum_exp(logits) - below.clone() - above.clone();
    let alpha = a.tanh();
    ((below - above) * alpha.clone().exp() + b, log_derivative + alpha)
}

/// Values and the gradients of their sum.
fn evaluate(
    law: impl Fn(Tensor<2>, Tensor<3>) -> (Tensor<2>, Tensor<2>),
    x: Tensor<2>,
    theta: Tensor<3>,
) -> [Vec<f64>; 4] {
    let (z, log_derivative) = law(x.clone(), theta.clone());
    let gradients = (z.clone().sum() + log_derivative.clone().sum()).backward();
    let of_x = x.grad(&gradients).expect("a leaf");
    let of_theta = theta.grad(&gradients).expect("a leaf");
    [values(z), values(log_derivative), values(of_x), values(of_theta)]
}

/// The law and its gradients beside the formula in float64.
fn check(batch: usize, device: &Device) -> f64 {
    let device = device.clone().autodiff();
    let Case { law, x, theta } = Case::new(batch, &device).first(CHECKED);
    let (x, theta) = (x.require_grad(), theta.require_grad());
    let expected = evaluate(
        reference,
        leaf(values(x.clone()), x.dims()),
        leaf(values(theta.clone()), theta.dims()),
    );
    let found = evaluate(|x, theta| law.forward(x, theta), x, theta);
    let names = ["z", "log-derivative", "gradient of x", "gradient of theta"];
    let gaps = names.iter().zip(&found).zip(&expected);
    gaps.map(|((name, found), expected)| within(1e-5, name, found, expected)).fold(0.0, f64::max)
}

/// The inverse of the values that the formula has in float64, rounded.
fn check_inverse(batch: usize, device: &Device) -> f64 {
    let Case { law, x, theta } = Case::new(batch, device).first(CHECKED);
    let double = Device::flex();
    let widen = |values: Vec<f64>, shape: Vec<usize>| (TensorData::new(values, shape), DType::F64);
    let (data, dtype) = widen(values(theta.clone()), theta.dims().to_vec());
    let theta_double = Tensor::<3>::from_data(data, (&double, dtype));
    let (data, dtype) = widen(values(x.clone()), x.dims().to_vec());
    let (z, _) = reference(Tensor::from_data(data, (&double, dtype)), theta_double);
    let z = Tensor::from_data(
        TensorData::new(values(z), x.dims()).convert_dtype(DType::F32),
        (device, DType::F32),
    );
    // Slopes from 0.1 up: an error of one rounding in z, of 1e-6, is 1e-5 in x.
    within(1e-4, "inverse", &values(law.inverse(z, theta)), &values(x))
}

pub fn items() -> Vec<Item> {
    let mut items = Vec::new();
    for (size, batch) in [("49k", 32), ("1.5M", 1000)] {
        let forward = move |device: &Device| {
            let Case { law, x, theta } = Case::new(batch, device);
            Work::new(move || drop(law.forward(x.clone(), theta.clone())))
                .note("items", batch * DIMS * COMPONENTS)
        };
        let both = move |device: &Device| {
            let Case { law, x, theta } = Case::new(batch, &device.clone().autodiff());
            let (x, theta) = (x.require_grad(), theta.require_grad());
            Work::new(move || {
                let (z, log_derivative) = law.forward(x.clone(), theta.clone());
                let gradients = (z.sum() + log_derivative.sum()).backward();
                drop((x.grad(&gradients), theta.grad(&gradients)));
            })
            .note("items", batch * DIMS * COMPONENTS)
        };
        let inverse = move |device: &Device| {
            let Case { law, x, theta } = Case::new(batch, device);
            let (z, _) = law.forward(x, theta.clone());
            Work::new(move || drop(law.inverse(z.clone(), theta.clone())))
                .note("items", batch * DIMS * COMPONENTS)
        };
        items.push(Item::new(
            format!("a.mixlog.fwd.{size}"),
            move |device| check(batch, device),
            forward,
        ));
        items.push(Item::new(
            format!("a.mixlog.fwdbwd.{size}"),
            move |device| check(batch, device),
            both,
        ));
        let name = format!("a.mixlog.inv_newton.{size}");
        items.push(Item::new(name, move |device| check_inverse(batch, device), inverse));
    }
    items
}
