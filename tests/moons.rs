//! Flows on vectors learn: two moons, whose true density is known, with the moon as a condition and
//! without.

use burn::tensor::{Device, Tensor};
use flowkit::data::{Batches, TwoMoons};
use flowkit::law::MixLogCdfConfig;
use flowkit::model::{MafConfig, RealNvpConfig};
use flowkit::train::{Trainer, TrainerConfig};
use flowkit::{BoxBijector, Boxed, Density, Features, Flow, LayerConfig, Site, StandardNormal};

/// The layers for points of a plane, with a condition like `example`.
fn boxed<C: Features<2>, T>(layers: T, example: &C, device: &Device) -> BoxBijector<2, C>
where
    T: LayerConfig<2, C>,
    T::Layer: Sync,
{
    Boxed::new(layers).build(&Site::given([1, 2], example, device)).unwrap()
}

/// Mean held-out log-likelihood in nats after some updates.
fn train<C: Features<2>>(
    layers: BoxBijector<2, C>,
    steps: usize,
    context: impl Fn(Tensor<2>) -> C,
) -> f64 {
    let device = Device::flex().autodiff();
    let (data, test) = (TwoMoons::new(8000, 0.1, 1), TwoMoons::new(2000, 0.1, 2));
    let (x, moons) = (data.points(&device), data.moons(&device));
    let flow = Flow::<_, _, 2, C>::new_given(layers, StandardNormal::new(), [1, 2]).unwrap();
    let flow = flow.initialize_given(x.clone(), &context(moons.clone())).unwrap();
    let training = TrainerConfig::new().with_learning_rate(5e-3).with_warm_up(20);
    let mut trainer = Trainer::new(flow, training).unwrap();
    let batches = Batches::new(data.len(), 200, 3).unwrap();
    for step in 0..steps {
        let rows: Vec<i64> = batches.indices(step).into_iter().map(|index| index as i64).collect();
        let rows = Tensor::from_data(rows.as_slice(), &device);
        let (x, given) =
            (x.clone().select(0, rows.clone()), context(moons.clone().select(0, rows)));
        trainer.update(&device, |flow| flow.given(&given).log_prob(x).mean().neg()).unwrap();
    }
    let plain = Device::flex();
    let nats = trainer
        .average()
        .given(&context(test.moons(&plain)))
        .evaluate(test.points(&plain))
        .unwrap();
    nats.nats().iter().sum::<f64>() / test.len() as f64
}

/// 8 networks 1 -> 64 -> 64 -> 2, as other libraries' benchmarks have them.
#[test]
fn the_plane_preset_has_the_size_of_its_peers() {
    let parameters = 8 * (2 * 64 + 65 * 64 + 65 * 2);
    let plan = RealNvpConfig::plane().plan(&Site::new([1, 2], &Device::flex())).unwrap();
    assert_eq!(plan.num_params, parameters);
}

/// Seeds of the networks' starts, in one test so that draws do not mix.
#[test]
fn knowing_the_moon_is_worth_a_bit() {
    let device = Device::flex().autodiff();
    device.seed(5);
    let test = TwoMoons::new(2000, 0.1, 2);
    let (truth, truth_given) = (test.mean_log_prob(), test.mean_log_prob_given_moon());
    let nvp = || RealNvpConfig::new(4).with_law(MixLogCdfConfig::new(4).into());
    let maf = || MafConfig::new(2).with_law(MixLogCdfConfig::new(4).into());
    let moon = Tensor::<2>::zeros([1, 2], &device);
    let cases = [
        (
            "RealNVP",
            train(boxed(nvp(), &(), &device), 300, |_| ()),
            train(boxed(nvp(), &moon, &device), 300, |moons| moons),
        ),
        (
            "MAF",
            train(boxed(maf(), &(), &device), 300, |_| ()),
            train(boxed(maf(), &moon, &device), 300, |moons| moons),
        ),
    ];
    for (name, plain, given) in cases {
        println!(
            "{name}: {plain:.3} nats of {truth:.3}, given the moon {given:.3} of {truth_given:.3}"
        );
        // A Gaussian has -1.92. The gain is ln 2 = 0.69 for whoever knows everything; 2000 points
        // scatter the mean by 0.02.
        assert!(plain > -1.6 && plain < truth + 0.05, "{name}: {plain}");
        assert!(
            given > plain + 0.4 && given < truth_given + 0.05,
            "{name}: {given}, without the moon {plain}"
        );
    }
}
