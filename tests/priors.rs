//! Priors: densities against closed forms and integrals, samples against moments, gradients,
//! records and errors.

use std::collections::BTreeMap;

use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{DType, Device, Tensor, TensorData};
use flowkit::law::{AffineConfig, AffineForm, Law, LawConfig};
use flowkit::train::Checkpoint;
use flowkit::{
    ConditionalNormal, ConditionalNormalConfig, ConfigError, Density, DiagonalNormal, Flow,
    FlowError, Net, NetConfig, NetSite, NormalMixture, NormalMixtureConfig, Prior, PriorConfig,
    Site, StandardNormal, Swap,
};

#[path = "common/draws.rs"]
mod draws;
#[path = "common/prior.rs"]
mod prior;

use draws::turn;
use prior::{close, device, double, moments, near, normal, numbers};

const MEANS: [f64; 4] = [0.5, -2.0, 3.0, 1.0];
const LOG_SCALES: [f64; 4] = [0.3, -1.0, 0.0, 0.7];
const LOGITS: [f64; 2] = [1.2, -0.3];

fn diagonal() -> DiagonalNormal<2> {
    DiagonalNormal {
        mean: Param::from_tensor(double(&MEANS[..2], [1, 2])),
        log_scale: Param::from_tensor(double(&LOG_SCALES[..2], [1, 2])),
    }
}

/// Two components of two numbers.
fn mixture() -> NormalMixture {
    let (means, log_scales) = (double(&MEANS, [2, 2]), double(&LOG_SCALES, [2, 2]));
    NormalMixture::from_parts([1, 2], double(&LOGITS, [2]), means, log_scales).unwrap()
}

/// `(s, μ) = linear(context)`.
#[derive(Module, Debug)]
struct Network {
    linear: Linear,
}

impl Net<2> for Network {
    fn forward(&self, context: Tensor<2>, _: Option<Tensor<2>>) -> Tensor<3> {
        let theta = self.linear.forward(context);
        let [batch, outputs] = theta.dims();
        theta.reshape([batch, 2, outputs / 2])
    }
}

/// A network that is there already.
struct Ready<N>(N);

impl<N: Net<2>> NetConfig<2> for Ready<N> {
    type Net = N;

    fn build(&self, _: &NetSite<2>) -> Result<N, ConfigError> {
        Ok(self.0.clone())
    }
}

/// The prior of two latents, given a condition of `width` elements, with a network.
fn given_by<N: Net<2>>(network: N, width: usize) -> ConditionalNormal<N> {
    let example = Tensor::<2>::zeros([1, width], &device());
    ConditionalNormalConfig::new(Ready(network))
        .build(&Site::given([1, 2], &example, &device()))
        .unwrap()
}

/// Means `(c, 2c)`, log-scales `(c/4, -c/4)` of a number `c`.
fn conditional(dtype: DType) -> ConditionalNormal<Network> {
    let weight = TensorData::new(vec![0.25, -0.25, 1.0, 2.0], [1, 4]).convert_dtype(dtype);
    let linear = LinearConfig::new(1, 4).with_bias(false).init(&device());
    let weight = Param::from_tensor(Tensor::from_data(weight, (&device(), dtype)));
    given_by(Network { linear: Linear { weight, ..linear } }, 1)
}

#[test]
fn densities_are_the_closed_forms() {
    let z = [0.1, -0.7, 2.0, 5.0, -30.0, 40.0];
    let batch = || double(&z, [3, 2]);
    let expected: Vec<f64> = z
        .chunks(2)
        .map(|z| normal(z[0], MEANS[0], LOG_SCALES[0]) + normal(z[1], MEANS[1], LOG_SCALES[1]))
        .collect();
    close(&numbers(diagonal().log_prob(batch(), &())), &expected);

    let weights = LOGITS.map(|logit| logit - (LOGITS[0].exp() + LOGITS[1].exp()).ln());
    let expected: Vec<f64> = z
        .chunks(2)
        .map(|z| {
            let [a, b] = [0, 1].map(|k| {
                let one = |i: usize| normal(z[i], MEANS[2 * k + i], LOG_SCALES[2 * k + i]);
                weights[k] + one(0) + one(1)
            });
            a.max(b) + (-(a - b).abs()).exp().ln_1p()
        })
        .collect();
    close(&numbers(mixture().log_prob(batch(), &())), &expected);

    let contexts = [0.5, -1.0, 2.0];
    let expected: Vec<f64> = z
        .chunks(2)
        .zip(contexts)
        .map(|(z, c)| normal(z[0], c, 0.25 * c) + normal(z[1], 2.0 * c, -0.25 * c))
        .collect();
    close(
        &numbers(conditional(DType::F64).log_prob(batch(), &double(&contexts, [3, 1]))),
        &expected,
    );
    // At zero parameters it is the standard normal distribution.
    let start = Prior::<2>::log_prob(
        &DiagonalNormal::new([1, 2], &device()),
        batch().cast(DType::F32),
        &(),
    );
    let standard = StandardNormal::new().log_prob(batch().cast(DType::F32), &());
    for (start, standard) in numbers(start).iter().zip(numbers(standard)) {
        assert!((start - standard).abs() <= 1e-6 * standard.abs(), "{start} {standard}");
    }
}

/// The midpoint rule on ±30, where all of these have vanished, converges faster than any power of
/// the step.
#[test]
fn densities_integrate_to_1() {
    let step = 0.05;
    let at: Vec<f64> = (0..1200).map(|i| -30.0 + step * (f64::from(i) + 0.5)).collect();
    let integral = |log_prob: &dyn Fn(Tensor<2>) -> Tensor<1>| -> f64 {
        at.iter()
            .map(|&a| {
                let points: Vec<f64> = at.iter().flat_map(|&b| [a, b]).collect();
                numbers(log_prob(double(&points, [at.len(), 2])))
                    .iter()
                    .map(|nats| nats.exp())
                    .sum::<f64>()
            })
            .sum::<f64>()
            * step
            * step
    };
    let (diagonal, mixture, conditional) = (diagonal(), mixture(), conditional(DType::F64));
    let context = double(&vec![0.8; at.len()], [at.len(), 1]);
    for total in [
        integral(&|z| diagonal.log_prob(z, &())),
        integral(&|z| mixture.log_prob(z, &())),
        integral(&|z| conditional.log_prob(z, &context)),
    ] {
        assert!((total - 1.0).abs() < 1e-10, "{total}");
    }
}

#[test]
fn samples_have_the_moments_of_the_density() {
    let _turn = turn();
    let n = 40_000;
    let plain = device().inner();
    let (diagonal, mixture) = (diagonal().valid(), mixture().valid());
    for temperature in [1.0, 0.5, 0.0] {
        plain.seed(1);
        let found =
            moments(&numbers(diagonal.sample([n, 2], temperature, &(), &plain, DType::F64)));
        for i in 0..2 {
            near(found[i], MEANS[i], (temperature * LOG_SCALES[i].exp()).powi(2), 3.0, n);
        }
        let context: Tensor<2> = double(&vec![0.8; n], [n, 1]).inner();
        let conditional = conditional(DType::F64).valid();
        let found = moments(&numbers(conditional.sample(
            [n, 2],
            temperature,
            &context,
            &plain,
            DType::F64,
        )));
        near(found[0], 0.8, (temperature * 0.2f64.exp()).powi(2), 3.0, n);
        near(found[1], 1.6, (temperature * (-0.2f64).exp()).powi(2), 3.0, n);

        let z = numbers(Prior::<2>::sample(&mixture, [n, 2], temperature, &(), &plain, DType::F64));
        let found = moments(&z);
        let weight = LOGITS[0].exp() / (LOGITS[0].exp() + LOGITS[1].exp());
        for i in 0..2 {
            let (a, b) = (MEANS[i], MEANS[2 + i]);
            let own = |k: usize| (temperature * LOG_SCALES[2 * k + i].exp()).powi(2);
            let mean = weight * a + (1.0 - weight) * b;
            let variance = weight * own(0)
                + (1.0 - weight) * own(1)
                + weight * (1.0 - weight) * (a - b).powi(2);
            // At most that of its flattest and steepest parts: 10 covers mixtures as unequal as
            // this one.
            near(found[i], mean, variance, 10.0, n);
        }
        if temperature == 0.0 {
            let first = z.chunks(2).filter(|z| z[0] == MEANS[0] && z[1] == MEANS[1]).count() as f64;
            let second =
                z.chunks(2).filter(|z| z[0] == MEANS[2] && z[1] == MEANS[3]).count() as f64;
            assert_eq!(first + second, n as f64, "a sample at temperature 0 is a mean");
            let error = (weight * (1.0 - weight) * n as f64).sqrt();
            assert!(
                (first - weight * n as f64).abs() < 5.0 * error,
                "{first} of {n}, weight {weight}"
            );
        }
    }
}

/// Gradients of `Σ a·ln p` meet central differences, one number of each parameter at a time.
#[test]
fn gradients_are_those_of_differences() {
    let z = || double(&[0.1, -0.7, 2.0, 5.0], [2, 2]);
    let a = || double(&[1.0, -0.6], [2]);
    let loss = |nats: Tensor<1>| (nats * a()).sum();
    let check =
        |what: &str, found: Vec<f64>, start: &[f64], evaluate: &dyn Fn(&[f64]) -> Tensor<1>| {
            assert_eq!(found.len(), start.len());
            for (index, gradient) in found.iter().enumerate() {
                let [up, down] = [1e-5, -1e-5].map(|h| {
                    let mut moved = start.to_vec();
                    moved[index] += h;
                    numbers(loss(evaluate(&moved)))[0]
                });
                let slope = (up - down) / 2e-5;
                assert!(
                    (gradient - slope).abs() <= 1e-7 * (1.0 + slope.abs()),
                    "{what} {index}: {gradient} {slope}"
                );
                assert!(gradient.abs() > 1e-6, "{what} {index} got no gradient");
            }
        };
    let prior = diagonal();
    let found = loss(prior.log_prob(z(), &())).backward();
    let with = |mean: &[f64], log_scale: &[f64]| DiagonalNormal {
        mean: Param::from_tensor(double(mean, [1, 2])),
        log_scale: Param::from_tensor(double(log_scale, [1, 2])),
    };
    check("mean", numbers(prior.mean.val().grad(&found).unwrap()), &MEANS[..2], &|mean| {
        with(mean, &LOG_SCALES[..2]).log_prob(z(), &())
    });
    check(
        "log-scale",
        numbers(prior.log_scale.val().grad(&found).unwrap()),
        &LOG_SCALES[..2],
        &|log_scale| with(&MEANS[..2], log_scale).log_prob(z(), &()),
    );
    let prior = mixture();
    let found = loss(prior.log_prob(z(), &())).backward();
    let with = |logits: &[f64], means: &[f64], log_scales: &[f64]| {
        let (means, log_scales) = (double(means, [2, 2]), double(log_scales, [2, 2]));
        NormalMixture::from_parts([1, 2], double(logits, [2]), means, log_scales)
            .unwrap()
            .log_prob(z(), &())
    };
    check("logits", numbers(prior.logits.val().grad(&found).unwrap()), &LOGITS, &|own| {
        with(own, &MEANS, &LOG_SCALES)
    });
    check("means", numbers(prior.means.val().grad(&found).unwrap()), &MEANS, &|own| {
        with(&LOGITS, own, &LOG_SCALES)
    });
    check(
        "log-scales",
        numbers(prior.log_scales.val().grad(&found).unwrap()),
        &LOG_SCALES,
        &|own| with(&LOGITS, &MEANS, own),
    );
    let prior = conditional(DType::F64);
    let context = [0.5, -1.0];
    let leaf = double(&context, [2, 1]).require_grad();
    let found = loss(prior.log_prob(z(), &leaf)).backward();
    check("context", numbers(leaf.grad(&found).unwrap()), &context, &|own| {
        prior.log_prob(z(), &double(own, [2, 1]))
    });
    assert!(
        numbers(prior.conditioner.net.linear.weight.val().grad(&found).unwrap())
            .iter()
            .all(|g| g.abs() > 1e-6)
    );
}

#[test]
fn priors_are_saved_with_their_flow() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flow.safetensors");
    let _turn = turn();
    let make = |seed: u64| {
        device().seed(seed);
        let prior = NormalMixtureConfig::new(3)
            .with_spread(2.0)
            .build(&Site::<2>::new([1, 2], &device()))
            .unwrap();
        Flow::new(Swap::new(), prior, [1, 2]).unwrap()
    };
    let x = Tensor::<2>::from_data([[0.3, -0.4], [2.0, 1.0]], &device());
    let saved = make(1).without_data();
    let nats = saved.evaluate(x.clone()).unwrap();
    let mut checkpoint = Checkpoint::new(BTreeMap::new()).unwrap();
    checkpoint.insert("flow", &saved).unwrap();
    checkpoint.save(&path).unwrap();
    let other = make(2).without_data().evaluate(x.clone()).unwrap();
    assert_ne!(nats.nats(), other.nats());
    let loaded = make(2).load_section(&Checkpoint::load(&path).unwrap(), "flow").unwrap();
    assert_eq!(loaded.evaluate(x).unwrap().nats(), nats.nats());
    assert_eq!(loaded.num_params(), 3 + 6 + 6);
}

/// Type and place of samples are those of the prior's parameters where no layer has any.
#[test]
fn flows_sample_from_learned_priors() {
    let _turn = turn();
    let flow = Flow::new(Vec::<Swap>::new(), diagonal(), [1, 2]).unwrap().without_data();
    let x = flow.sample_at(4, 0.0).unwrap();
    assert_eq!(x.dtype(), DType::F64);
    assert_eq!(numbers(x), [0.5, -2.0, 0.5, -2.0, 0.5, -2.0, 0.5, -2.0]);
    let given = Flow::<_, _, 2, Tensor<2>>::new_given(Swap::new(), conditional(DType::F32), [1, 2])
        .unwrap()
        .without_data();
    let context = Tensor::<2>::from_data([[1.0], [3.0]], &device().inner());
    let x: Tensor<2> = given.given(&context).sample_at(2, 0.0).unwrap();
    assert_eq!(numbers(x), [2.0, 1.0, 6.0, 3.0]);
}

#[test]
fn a_mixture_far_out_stays_finite() {
    let prior =
        NormalMixtureConfig::new(4).build(&Site::<2>::new([1, 2], &Device::default())).unwrap();
    // Squares that overflow leave a density of 0, as they do for one normal distribution.
    for size in [1e20f32, f32::MAX] {
        let z = Tensor::<2>::from_data([[size, -size], [0.0, 0.0]], &Device::default());
        let nats = numbers(prior.log_prob(z.clone(), &()));
        assert!(nats[0] == f64::NEG_INFINITY && nats[1].is_finite(), "{nats:?}");
        assert_eq!(numbers(StandardNormal::new().log_prob(z, &()))[0], f64::NEG_INFINITY);
    }
    for size in [1e3f32, 1e10, 1e18] {
        let z = Tensor::<2>::from_data([[size, -size]], &Device::default());
        let nats = numbers(prior.log_prob(z, &()))[0];
        assert!(nats.is_finite() && nats < -1e5, "{nats}");
    }
}

/// The theta of a network means the same in both: a number given another, by the law of a coupling
/// and as the latent of a prior.
#[test]
fn the_normal_law_and_a_prior_of_one_network_agree() {
    let law = AffineConfig::new(AffineForm::Normal).build().unwrap();
    let prior = conditional(DType::F64);
    let z = [0.1, -0.7, 2.0, 5.0];
    let context = [0.5, -1.0];
    let theta = prior.conditioner.forward(double(&context, [2, 1]), &());
    let (latent, log_derivative) = law.forward(double(&z, [2, 2]), theta);
    let density =
        StandardNormal::new().log_prob(latent, &()) + log_derivative.sum_dim(1).squeeze_dim::<1>(1);
    let given = prior.log_prob(double(&z, [2, 2]), &double(&context, [2, 1]));
    close(&numbers(density), &numbers(given));
}

/// Adds 1 to its mean whenever it is started.
#[derive(Module, Debug)]
struct Counted {
    starts: Param<Tensor<1>>,
}

impl Net<2> for Counted {
    fn forward(&self, context: Tensor<2>, _: Option<Tensor<2>>) -> Tensor<3> {
        let [batch, _] = context.dims();
        let mean = self.starts.val().reshape([1, 1, 1]).expand([batch, 1, 2]);
        Tensor::cat(vec![mean.zeros_like(), mean], 1)
    }

    fn initialize(self, context: Tensor<2>, _: Option<Tensor<2>>) -> (Self, Tensor<3>) {
        let started = Self { starts: Param::from_tensor((self.starts.val() + 1.0).detach()) };
        let theta = started.forward(context, None).detach();
        (started, theta)
    }
}

#[test]
fn the_network_of_a_prior_is_started_with_the_flow() {
    let network = Counted { starts: Param::from_tensor(Tensor::zeros([1], &device())) };
    let flow =
        Flow::<_, _, 2, Tensor<2>>::new_given(Swap::new(), given_by(network, 3), [1, 2]).unwrap();
    let x = Tensor::<2>::from_data([[0.3, -0.4], [2.0, 1.0]], &device());
    let flow = flow.initialize_given(x, &Tensor::<2>::zeros([2, 3], &device())).unwrap();
    assert_eq!(numbers(flow.prior.conditioner.net.starts.val()), [1.0]);
}

#[test]
fn temperatures_are_finite_and_not_negative() {
    let flow = Flow::new(Swap::new(), StandardNormal::new(), [1, 2]).unwrap().without_data();
    for temperature in [f64::NAN, f64::INFINITY, -0.5] {
        let error = flow.sample_at(3, temperature).unwrap_err();
        assert!(matches!(error, FlowError::Temperature { .. }), "{error}");
    }
    let _turn = turn();
    assert_eq!(numbers(flow.sample_at(3, 0.0).unwrap()), [0.0; 6]);
}
