//! Device-to-host copies on wgpu, counted in its own recording. Each waits for all that the device
//! has to do: an update makes one, for loss, norm and the key of the random stream, and sampling
//! one, for the check that every latent has an inverse.

#[allow(dead_code)]
#[path = "../benches/launch"]
mod launch {
    pub mod counts;
    pub mod recording;
    mod ron;
    mod shader;
}

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use flowkit::train::{NegativeLogLikelihood, Objective, Trainer, TrainerConfig};
use flowkit::{
    ActNormConfig, Density, Encoder, Flow, GradientMemory, LayerConfig, LogitConfig, Sigmoid, Site,
    StandardNormal, Surjection, UniformDequantizationConfig, VariationalDequantization,
    VariationalDequantizationConfig,
};
use launch::counts::Counts;
use launch::recording::Recording;

/// An encoder that tells the noise nothing.
#[derive(Module, Debug)]
struct Blind {}

impl Encoder<2> for Blind {
    type Code = ();

    fn encode(&self, _: Tensor<2>) {}

    fn initialize(self, _: Tensor<2>) -> (Self, ()) {
        (self, ())
    }
}

fn levels(device: &Device) -> Tensor<2, Int> {
    Tensor::from_data([[0, 255], [7, 31], [100, 2], [54, 9]], device)
}

/// Copies of one call, after two that compile kernels and fill caches.
fn host_reads(recording: &Recording, device: &Device, mut call: impl FnMut()) -> u64 {
    let mut finished = || {
        call();
        device.sync().unwrap();
    };
    finished();
    finished();
    let start = recording.position();
    finished();
    Counts::read(recording, start..recording.position()).unwrap().host_reads
}

/// Copies of an update under a policy, and of sampling.
fn of_a_flow<S>(
    surjection: S,
    recording: &Recording,
    device: &Device,
    gradient_memory: GradientMemory,
) -> [u64; 2]
where
    S: Surjection<2, Data = Tensor<2, Int>>,
{
    let tracked = device.clone().autodiff();
    let layers = (LogitConfig::new(), ActNormConfig::new());
    let flow = Flow::build(&layers, StandardNormal::new(), [1, 2], &tracked).unwrap();
    let flow = flow.behind(surjection).initialize(levels(&tracked)).unwrap();
    let sampled = flow.valid();
    let config = TrainerConfig::new().with_gradient_memory(gradient_memory);
    let mut trainer = Trainer::new(flow, config).unwrap();
    let objective = NegativeLogLikelihood::new(levels(&tracked));
    objective.check(trainer.model()).unwrap();
    let update = || drop(trainer.update_on(&tracked, &objective).unwrap());
    let sample = || drop(sampled.sample(4).unwrap());
    [host_reads(recording, device, update), host_reads(recording, device, sample)]
}

#[test]
fn an_update_and_sampling_copy_once_each() {
    let (recording, device) = match Recording::start() {
        Ok(started) => started,
        Err(error) => {
            let required = std::env::var_os("FLOWKIT_REQUIRE_DEVICE").is_some();
            assert!(!required, "wgpu finds no adapter: {error}");
            println!("skipped: wgpu finds no adapter: {error}");
            return;
        }
    };
    let uniform = || UniformDequantizationConfig::new().build().unwrap();
    let variational = || {
        let noise = (ActNormConfig::new(), Sigmoid::new());
        let noise = noise.build(&Site::new([1, 2], &device.clone().autodiff())).unwrap();
        let config = VariationalDequantizationConfig::new();
        VariationalDequantization::new(&config, Blind {}, noise).unwrap()
    };
    let store = GradientMemory::Store;
    assert_eq!(of_a_flow(uniform(), &recording, &device, store), [1, 1]);
    assert_eq!(of_a_flow(variational(), &recording, &device, store), [1, 1]);
    // A replay has no backward pass if the loss is not finite, and copies the answer.
    let recompute = GradientMemory::Recompute;
    assert_eq!(of_a_flow(variational(), &recording, &device, recompute), [2, 1]);
}
