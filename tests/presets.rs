//! The released models: their sizes, and that each kind of them starts, trains, inverts and samples
//! at a width for one machine.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Int, Tensor};
use flowkit::Density;
use flowkit::data::photographs;
use flowkit::model::flow_plus_plus::{
    CouplingLaw, DequantizationConfig, FlowPlusPlusConfig, FlowPlusPlusPreset, NoiseMixing,
    VariationalConfig,
};
use flowkit::train::{NegativeLogLikelihood, Trainer, TrainerConfig};

#[path = "common/draws.rs"]
mod draws;

use draws::seeded;

#[test]
fn parameters_are_those_of_the_paper() {
    assert_eq!(FlowPlusPlusConfig::cifar10().num_params().unwrap(), 31_443_440);
    // The ablation without attention replaces it by a maximum with the same parameters.
    assert_eq!(FlowPlusPlusConfig::cifar10_without_attention().num_params().unwrap(), 31_443_440);
    assert_eq!(FlowPlusPlusConfig::cifar10_uniform().num_params().unwrap(), 32_324_408);
    assert_eq!(FlowPlusPlusConfig::cifar10_affine().num_params().unwrap(), 32_045_708);
    assert_eq!(FlowPlusPlusConfig::imagenet32().num_params().unwrap(), 168_955_724);
    assert_eq!(FlowPlusPlusConfig::small().num_params().unwrap(), 1_716_336);
    assert_eq!(FlowPlusPlusConfig::tiny().num_params().unwrap(), 243_872);
}

/// The released noise flow of the larger models has four couplings without attention, which own
/// position embeddings all the same. Nothing reads them, so that here there are none.
#[test]
fn parameters_are_those_of_the_paper_that_something_reads() {
    let unread = |config: &FlowPlusPlusConfig| {
        let [_, h, w] = config.image;
        let DequantizationConfig::Variational(noise) = config.dequantization else {
            panic!("noise from a flow")
        };
        assert_eq!(noise.mixing, NoiseMixing::None);
        noise.n_couplings * noise.n_filters * h * (w / 2)
    };
    for (config, released) in [
        (FlowPlusPlusConfig::imagenet64(), 73_489_960),
        (FlowPlusPlusConfig::celeba64(), 73_489_960),
        (FlowPlusPlusConfig::celeba128(), 122_790_952),
    ] {
        assert_eq!(config.num_params().unwrap() + unread(&config), released, "{:?}", config.image);
    }
    assert_eq!(FlowPlusPlusConfig::imagenet64().num_params().unwrap(), 72_703_528);
    assert_eq!(FlowPlusPlusConfig::celeba64().num_params().unwrap(), 72_703_528);
    assert_eq!(FlowPlusPlusConfig::celeba128().num_params().unwrap(), 119_645_224);
}

#[test]
fn presets_are_found_by_name() {
    for preset in FlowPlusPlusPreset::ALL {
        assert_eq!(preset.to_string().parse::<FlowPlusPlusPreset>().unwrap(), preset);
        let model = preset.model();
        model.validate().unwrap();
        preset.training().validate().unwrap();
        let json = serde_json::to_string(&model).unwrap();
        assert_eq!(serde_json::from_str::<FlowPlusPlusConfig>(&json).unwrap(), model);
    }
    let expected = "no preset is named `huge`; there are tiny, small, cifar10, imagenet32, \
                    imagenet64, celeba64, celeba128";
    assert_eq!("huge".parse::<FlowPlusPlusPreset>().unwrap_err().to_string(), expected);
}

/// Asked before a model is made, so that a mistake costs nothing.
#[test]
fn images_of_another_size_are_refused() {
    for preset in FlowPlusPlusPreset::ALL {
        let model = preset.model();
        model.check_images(model.image).unwrap();
        let [c, h, w] = model.image;
        for other in [[1, h, w], [c, h / 2, w], [c, h, 2 * w]] {
            let error = model.check_images(other).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "FlowPlusPlus: expected examples of shape {:?}, found {other:?}",
                    model.image
                )
            );
        }
    }
}

/// A model with the layers of a released one, a few filters wide.
fn narrow(config: FlowPlusPlusConfig, side: usize) -> FlowPlusPlusConfig {
    let mut config = config.with_n_filters(8).with_n_blocks(2);
    config.image = [3, side, side];
    if let CouplingLaw::MixLogCdf { n_components, .. } = &mut config.law {
        *n_components = 4;
    }
    if let DequantizationConfig::Variational(noise) = &mut config.dequantization {
        *noise = VariationalConfig {
            n_filters: 8,
            n_blocks: 1,
            n_context: 8,
            n_encoder_blocks: 2,
            ..*noise
        };
    }
    config
}

/// Corners of the photographs in as many levels as the model knows.
fn corners(n: usize, config: &FlowPlusPlusConfig, device: &Device) -> Tensor<4, Int> {
    let [_, side, _] = config.image;
    let images = photographs().train;
    let whole = images.batch(&(0..n).map(|i| i * 7).collect::<Vec<_>>(), device);
    whole.narrow(2, 0, side).narrow(3, 0, side).div_scalar(256 / config.n_levels as i64)
}

/// Parameters that got no gradient, or one that is not finite.
struct WithoutGradient<'a> {
    gradients: &'a Gradients,
    path: Vec<String>,
    found: Vec<String>,
}

impl ModuleVisitor for WithoutGradient<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = param.val().grad(self.gradients).map(|gradient| gradient.into_data());
        let finite = gradient.is_some_and(|data| data.iter::<f32>().all(f32::is_finite));
        if !finite {
            self.found.push(self.path.join("."));
        }
    }
}

/// Starts a narrow model, looks at its latents, its gradients and its inverse, trains and samples
/// it.
fn runs(config: FlowPlusPlusConfig, side: usize) {
    use flowkit::{Bijector, Surjection};
    let config = narrow(config, side);
    let device = Device::default().autodiff();
    let _guard = seeded(&device, 5);
    let model = config.build(&device).unwrap().initialize(corners(48, &config, &device)).unwrap();

    // After the start, latents of the batch have mean 0 and variance 1, up to what the last
    // couplings do.
    let x = corners(48, &config, &device);
    let noise = model.surjection.noise(&x, burn::tensor::DType::F32);
    let (z, _) = model.bijector.forward(model.surjection.lift(x, noise).0, &());
    let mean = z.clone().mean().into_scalar::<f32>();
    let variance = (z.clone() - z.mean().unsqueeze()).square().mean().into_scalar::<f32>();
    assert!(mean.abs() < 0.1 && (0.7..1.4).contains(&variance), "{mean} {variance}");

    let gradients = model.loss(corners(4, &config, &device)).backward();
    let mut visitor =
        WithoutGradient { gradients: &gradients, path: Vec::new(), found: Vec::new() };
    model.visit(&mut visitor);
    assert_eq!(visitor.found, Vec::<String>::new());

    let x = corners(4, &config, &device.clone().inner());
    let (back, error) = model.valid().round_trip(x.clone()).unwrap();
    // In units of the range: a level is 1/256 or more of it.
    assert!(error < 1e-4, "{error:e}");
    assert_eq!(back.into_data(), x.into_data());

    let mut trainer = Trainer::new(model, TrainerConfig::new()).unwrap();
    for _ in 0..2 {
        let x = corners(4, &config, &device);
        let update = trainer.update_on(&device, &NegativeLogLikelihood::new(x)).unwrap();
        assert!(
            update.bits_per_dim.value().is_finite() && update.gradient_norm > 0.0,
            "{update:?}"
        );
    }
    let samples = trainer.average().sample(2).unwrap();
    assert_eq!(samples.dims(), [2, 3, side, side]);
    assert!(samples.max().into_scalar::<i64>() < config.n_levels as i64);
}

#[test]
fn the_ablations_run() {
    runs(FlowPlusPlusConfig::cifar10_uniform(), 8);
    runs(FlowPlusPlusConfig::cifar10_affine(), 8);
    runs(FlowPlusPlusConfig::cifar10_without_attention(), 8);
}

#[test]
fn weight_normalised_models_run() {
    runs(FlowPlusPlusConfig::imagenet32(), 8);
}

#[test]
fn models_of_larger_images_run() {
    runs(FlowPlusPlusConfig::imagenet64(), 16);
    runs(FlowPlusPlusConfig::celeba64().with_n_levels(8), 16);
    runs(FlowPlusPlusConfig::celeba128(), 32);
}
