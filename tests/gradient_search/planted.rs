//! Faults planted in each part of a model behind a variational dequantization.

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Int, Tensor};
use flowkit::law::{AffineConfig, AffineForm};
use flowkit::quantize::{Encoder, VariationalDequantization, VariationalDequantizationConfig};
use flowkit::train::{
    NegativeLogLikelihood, NonFinite, NonFinitePlace, Objective, TrainError, Trainer,
    TrainerConfig, UpdateOutcome,
};
use flowkit::{
    ActNorm, ActNormConfig, Bijector, Context, ContextShape, Coupling, CouplingConfig, Flow,
    GradientMemory, LayerConfig, Logit, LogitConfig, Mlp, MlpConfig, Prior, ShapeError, ShapeMap,
    Sigmoid, Site, StandardNormal,
};

use crate::build::{fixed, layer};
use crate::{device, turn};

/// `x` again; its gradient is infinite if `distance` is 0, and finite otherwise.
fn kinked<const D: usize>(x: Tensor<D>, distance: f64) -> Tensor<D> {
    let zero = x.clone() - x.clone().detach();
    x + zero.add_scalar(distance).sqrt().sub_scalar(distance.sqrt())
}

/// Where a model has its fault.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Nowhere,
    Encoder,
    /// If the first level of the batch is 0.
    EncoderAtZero,
    NoiseFlow,
    /// In the gradient of a parameter; that of the layer's input is finite.
    Parameter,
    Layer,
    Prior,
}

/// A linear map with a bias.
#[derive(Module, Debug)]
struct Scale {
    weight: Param<Tensor<2>>,
    #[module(skip)]
    place: Place,
}

impl Scale {
    fn new(place: Place, device: &Device) -> Self {
        Self { weight: Param::from_data([[0.5], [-0.5]], device), place }
    }
}

impl Encoder<2> for Scale {
    type Code = Tensor<2>;

    fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        let first = x.clone().slice([0..1, 0..1]).into_data().iter::<f64>().sum::<f64>() + 0.5;
        let code = x.matmul(self.weight.val());
        match self.place {
            Place::Encoder => kinked(code, 0.0),
            Place::EncoderAtZero => kinked(code, first),
            _ => code,
        }
    }

    fn initialize(self, x: Tensor<2>) -> (Self, Tensor<2>) {
        let code = self.encode(x).detach();
        (self, code)
    }
}

/// The identity, with a fault if asked for.
#[derive(Module, Debug)]
struct Kink {
    shift: Param<Tensor<1>>,
    #[module(skip)]
    place: Option<Place>,
}

impl Kink {
    fn new(place: Option<Place>, device: &Device) -> Self {
        Self { shift: Param::from_data([0.0], device), place }
    }
}

impl ShapeMap<2> for Kink {
    fn output_shape(&self, shape: [usize; 2]) -> Result<[usize; 2], ShapeError> {
        Ok(shape)
    }
}

impl<C: Context> Bijector<2, C> for Kink {
    type Driver = flowkit::Leaf;

    fn forward(&self, x: Tensor<2>, _: &C) -> (Tensor<2>, Tensor<1>) {
        let log_det = Tensor::zeros([x.dims()[0]], &x.device());
        let shift = self.shift.val();
        let z = match self.place {
            None => x + shift.unsqueeze(),
            Some(Place::Parameter) => x + kinked(shift, 0.0).unsqueeze(),
            Some(_) => kinked(x, 0.0) + shift.unsqueeze(),
        };
        (z, log_det)
    }

    fn inverse(&self, z: Tensor<2>, _: &C) -> Tensor<2> {
        z - self.shift.val().unsqueeze()
    }
}

/// A standard normal, with a fault if asked for.
#[derive(Module, Debug)]
struct Latents {
    #[module(skip)]
    kink: bool,
}

impl<C: Context> Prior<2, C> for Latents {
    fn log_prob(&self, z: Tensor<2>, context: &C) -> Tensor<1> {
        StandardNormal::new().log_prob(if self.kink { kinked(z, 0.0) } else { z }, context)
    }

    fn sample(
        &self,
        shape: [usize; 2],
        temperature: f64,
        context: &C,
        device: &Device,
        dtype: DType,
    ) -> Tensor<2> {
        StandardNormal::new().sample(shape, temperature, context, device, dtype)
    }
}

type Noise =
    (Coupling<flowkit::law::Affine, Mlp>, Kink, Coupling<flowkit::law::Affine, Mlp>, Sigmoid);
type Model = Flow<
    (Logit, ActNorm<2>, Kink, ActNorm<2>),
    Latents,
    2,
    (),
    VariationalDequantization<Scale, Noise>,
>;

fn model(place: Place) -> Model {
    let device = device();
    let only = |at: &[Place]| at.contains(&place).then_some(place);
    // Two layers that share what the encoder made.
    let coupling = || {
        let config =
            CouplingConfig::new(AffineConfig::new(AffineForm::Exponential), MlpConfig::new([4]));
        config.build(&Site::<2>::described([1, 2], ContextShape::vector(Some(1)), &device)).unwrap()
    };
    let noise =
        (coupling(), Kink::new(only(&[Place::NoiseFlow]), &device), coupling(), Sigmoid::new());
    let config = VariationalDequantizationConfig::new();
    let encoder = Scale::new(place, &device);
    let dequantization = VariationalDequantization::new(&config, encoder, noise).unwrap();
    let norm = || layer(&ActNormConfig::new(), [1, 2], &device);
    let kink = Kink::new(only(&[Place::Layer, Place::Parameter]), &device);
    let layers = (fixed(&LogitConfig::new()), norm(), kink, norm());
    let prior = Latents { kink: place == Place::Prior };
    Flow::new(layers, prior, [1, 2]).unwrap().behind(dequantization).without_data()
}

fn batch(first: i64) -> NegativeLogLikelihood<Tensor<2, Int>> {
    NegativeLogLikelihood::new(Tensor::from_data([[first, 200], [7, 130], [255, 3]], &device()))
}

#[test]
fn a_fault_is_named_wherever_it_is() {
    let _turn = turn();
    assert_eq!(batch(9).gradient_fault(&model(Place::Nowhere)), None);
    let cases = [
        (Place::Encoder, "surjection.encoder", "network"),
        (Place::EncoderAtZero, "surjection.encoder", "network"),
        (Place::NoiseFlow, "surjection.flow.1", "Kink"),
        (Place::Parameter, "bijector.2", "Kink"),
        (Place::Layer, "bijector.2", "Kink"),
        (Place::Prior, "prior", "log-density"),
    ];
    for (place, path, what) in cases {
        let expected = Some(NonFinitePlace { path: path.into(), what: what.into() });
        let model = model(place);
        assert_eq!(batch(0).gradient_fault(&model), expected, "{place:?}");
        // And by an update, after its own backward pass, whose policy is another.
        for backward in [GradientMemory::Store, GradientMemory::Recompute] {
            let config = TrainerConfig::new().with_gradient_memory(backward);
            let mut trainer = Trainer::new(model.clone(), config).unwrap();
            let error = trainer.update_on(&device(), &batch(0)).unwrap_err();
            let TrainError::NonFiniteGradient { fault, .. } = error else {
                panic!("{place:?}: {error}")
            };
            assert_eq!(fault, expected, "{place:?} under {backward:?}");
        }
    }
}

/// Whichever part of a batch has it.
#[test]
fn a_fault_of_any_part_is_named() {
    let _turn = turn();
    for backward in [GradientMemory::Store, GradientMemory::Recompute, GradientMemory::REVERSIBLE] {
        for parts in [[batch(0), batch(9)], [batch(9), batch(0)]] {
            let config = TrainerConfig::new().with_gradient_memory(backward);
            let mut trainer = Trainer::new(model(Place::EncoderAtZero), config).unwrap();
            let error = trainer.update_on_parts(&device(), &parts).unwrap_err();
            let TrainError::NonFiniteGradient { fault: Some(fault), .. } = error else {
                panic!("{error}")
            };
            assert_eq!(fault.path, "surjection.encoder", "{backward:?}");
        }
    }
}

#[test]
fn skip_and_restore_go_on() {
    let _turn = turn();
    for policy in [NonFinite::Skip { at_most: 3 }, NonFinite::Restore { at_most: 3 }] {
        let config = TrainerConfig::new().with_warm_up(0).with_non_finite(policy);
        let mut trainer = Trainer::new(model(Place::EncoderAtZero), config).unwrap();
        assert_eq!(trainer.update_on(&device(), &batch(9)).unwrap().outcome, UpdateOutcome::Done);
        let error = match trainer.update_on(&device(), &batch(0)).unwrap().outcome {
            UpdateOutcome::Skipped(error) | UpdateOutcome::Restored(error) => error,
            other => panic!("{other:?}"),
        };
        assert!(error.to_string().contains("surjection.encoder"), "{error}");
        assert_eq!(trainer.update_on(&device(), &batch(9)).unwrap().outcome, UpdateOutcome::Done);
        assert_eq!(trainer.step_count(), 3);
    }
}
