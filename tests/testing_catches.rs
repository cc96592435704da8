//! The conformance checks can fail: a bijector with one mistake at a time, each found by the check
//! that is there for it.

use std::fmt::{Display, Formatter};

use burn::module::{
    Content, Devices, Initializer, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper,
    ModuleVisitor, Param,
};
use burn::tensor::{DType, Device, Distribution, FloatDType, Tensor};
use flowkit::bijector::replay::{Cotangent, Replay};
use flowkit::bijector::visit::Visit;
use flowkit::bijector::{Direction, Drive};
use flowkit::testing::{Check, Conformance, ConformanceError, Inputs, Region};
use flowkit::{Bijector, Context, Leaf, ShapeError, ShapeMap, check_shape};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Mistake {
    None,
    LogDetSign,
    LogDetFactor,
    LogDetCut,
    InverseOff,
    Unsaved,
    StartedUnsaved,
    Unused,
    Frozen,
    Coupled,
    ShapeLies,
    ShapeTakesAll,
    LogDetShape,
    Overflows,
    Cancels,
    OtherInEvaluation,
    RandomInEvaluation,
    StartOnGraph,
    ReplayHalves,
    Half,
    Panics,
    LayerLeftOut,
}

use Mistake::*;

/// `z = (x + b)·exp(s)` on `[batch, 3]`, right but for the mistake.
#[derive(Module, Debug)]
struct Scale {
    bias: Param<Tensor<2>>,
    log_scale: Param<Tensor<2>>,
    unsaved: Tensor<2>,
    #[module(skip)]
    mistake: Mistake,
}

fn scale(mistake: Mistake) -> impl Fn(&Device) -> Scale + Clone + 'static {
    move |device| {
        let bias: Param<Tensor<2>> = Initializer::Zeros.init([1, 3], device);
        Scale {
            bias: if mistake == Frozen { bias.set_require_grad(false) } else { bias },
            log_scale: Initializer::Zeros.init([1, 3], device),
            unsaved: Tensor::random([1, 3], Distribution::Default, device),
            mistake,
        }
    }
}

impl Scale {
    /// What is added, in the type of `x`.
    fn shift(&self, x: &Tensor<2>) -> Tensor<2> {
        let dtype = x.dtype();
        let own = match self.mistake {
            Unused => self.bias.val().zeros_like(),
            _ => self.bias.val(),
        };
        match self.mistake {
            Unsaved | StartedUnsaved => {
                let constant = if x.is_autodiff() {
                    self.unsaved.clone()
                } else {
                    self.unsaved.clone().inner()
                };
                own + constant.cast(dtype)
            }
            // Not from the device: its generator is one for all tests, and the checks that make a
            // module twice from a seed beside this one would find two.
            RandomInEvaluation if !x.is_autodiff() => own.add_scalar(rand::random::<f64>()),
            OtherInEvaluation if !x.is_autodiff() => own.add_scalar(1e-3),
            _ => own,
        }
    }
}

impl ShapeMap<2> for Scale {
    fn output_shape(&self, shape: [usize; 2]) -> Result<[usize; 2], ShapeError> {
        if shape[1] == 3 || self.mistake == ShapeTakesAll {
            return Ok(shape);
        }
        Err(ShapeError::Axis { layer: "Scale", axis: 1, expected: 3, shape: shape.to_vec() })
    }
}

impl<C: Context> Bijector<2, C> for Scale {
    type Driver = Skipping;

    fn forward(&self, x: Tensor<2>, _: &C) -> (Tensor<2>, Tensor<1>) {
        if self.mistake != ShapeTakesAll {
            check_shape(self.output_shape(x.dims()));
        }
        assert!(self.mistake != Panics, "not written yet");
        let (batch, scale) = (x.dims()[0], self.log_scale.val());
        let log_det = scale.clone().sum().expand([batch]);
        let log_det = match self.mistake {
            LogDetSign => log_det.neg(),
            LogDetFactor => log_det.mul_scalar(0.5),
            LogDetCut => log_det.detach(),
            LogDetShape => log_det.mean(),
            _ => log_det,
        };
        let z = (x.clone() + self.shift(&x)) * scale.exp();
        let z = match self.mistake {
            Coupled => z + (x.clone().mean_dim(0) - x).mul_scalar(0.1),
            Overflows => z.clone() + (z.clone().exp() / z.exp()).mul_scalar(0.0),
            Cancels => z.add_scalar(1e3).sub_scalar(1e3),
            ShapeLies => z.narrow(1, 0, 2),
            Half => z.cast(FloatDType::F64),
            _ => z,
        };
        (z, log_det)
    }

    fn inverse(&self, z: Tensor<2>, _: &C) -> Tensor<2> {
        check_shape(self.input_shape(z.dims()));
        let x = z.clone() * self.log_scale.val().neg().exp() - self.shift(&z);
        if self.mistake == InverseOff { x.add_scalar(1e-2) } else { x }
    }

    fn initialize(mut self, x: Tensor<2>, context: &C) -> (Self, Tensor<2>) {
        if self.mistake == StartedUnsaved {
            self.unsaved = x.clone().detach().mean_dim(0);
        }
        let (z, _) = self.forward(x, context);
        let z = if self.mistake == StartOnGraph { z } else { z.detach() };
        (self, z)
    }

    fn pull_back(&self, back: Cotangent<2>, context: &C, replay: &mut Replay<C>) -> Cotangent<2> {
        let x = self.inverse(Tensor::from_inner(back.z), context).inner();
        let leaf = Tensor::from_inner(x.clone()).require_grad();
        let (z, log_det) = self.forward(leaf.clone(), context);
        let loss = (z * Tensor::from_inner(back.grad_z)).sum()
            + (log_det * Tensor::from_inner(back.grad_log_det.clone())).sum();
        let loss = if self.mistake == ReplayHalves { loss.mul_scalar(0.5) } else { loss };
        let mut found = loss.backward();
        let grad_z = leaf.grad_remove(&mut found).expect("the input is a leaf");
        for parameter in [&self.bias, &self.log_scale] {
            if let Some(gradient) = parameter.val().grad_remove(&mut found) {
                replay.parameters.register(parameter.id, gradient);
            }
        }
        Cotangent { z: x, grad_z, grad_log_det: back.grad_log_det }
    }
}

/// The driver of a layer, but for a visit that may leave it out.
struct Skipping;

impl<C: Context> Drive<Scale, 2, C> for Skipping {
    fn visit(
        bijector: &Scale,
        direction: Direction,
        x: Tensor<2>,
        context: &C,
        visit: &mut Visit<'_, 2>,
    ) -> Tensor<2> {
        if bijector.mistake == LayerLeftOut {
            x
        } else {
            Leaf::visit(bijector, direction, x, context, visit)
        }
    }

    fn replay_forward(
        bijector: &Scale,
        direction: Direction,
        x: Tensor<2>,
        context: &C,
        replay: &mut Replay<C>,
    ) -> (Tensor<2>, Tensor<1>) {
        Leaf::replay_forward(bijector, direction, x, context, replay)
    }

    fn replay_back(
        bijector: &Scale,
        direction: Direction,
        back: Cotangent<2>,
        context: &C,
        replay: &mut Replay<C>,
    ) -> Cotangent<2> {
        Leaf::replay_back(bijector, direction, back, context, replay)
    }

    fn accepts(_: &Scale) -> Result<(), ShapeError> {
        Ok(())
    }

    fn shape_given(
        bijector: &Scale,
        direction: Direction,
        shape: [usize; 2],
        context: &C,
    ) -> Result<[usize; 2], ShapeError> {
        Leaf::shape_given(bijector, direction, shape, context)
    }
}

fn checked(mistake: Mistake) -> Result<(), ConformanceError> {
    let conformance = Conformance::new("Scale", [1, 3], scale(mistake)).inputs(Inputs::Real(1e3));
    conformance.check().map(|report| println!("{report}"))
}

#[test]
fn a_bijector_without_mistake_passes() {
    checked(None).unwrap();
}

/// Mistake, the check that is there for it, and what the failure says.
const TABLE: [(Mistake, Check, &str); 21] = [
    (LogDetSign, Check::LogDet, "log_det of forward, against its Jacobian, at [0]: expected"),
    (LogDetFactor, Check::LogDet, "log_det of forward, against its Jacobian, at [0]: expected"),
    (
        LogDetCut,
        Check::Gradients,
        "gradient of log_scale through log_det: expected the error of the first-order model",
    ),
    (InverseOff, Check::RoundTrip, "x -> z -> x at [0,"),
    (Unsaved, Check::Records, "z after loading at [0,"),
    (StartedUnsaved, Check::Records, "z after loading at [0,"),
    (Unused, Check::Training, "parameter bias receives no gradient"),
    (Frozen, Check::Training, "parameter bias is not trained"),
    (Coupled, Check::Independence, "z in a batch, against the example alone, at ["),
    (
        ShapeLies,
        Check::Shapes,
        "z of forward, against output_shape, must have shape [1, 3], found [1, 2]",
    ),
    (
        ShapeTakesAll,
        Check::Shapes,
        "output of forward at shape [1, 1] must have shape [1, 1], found [1, 3]",
    ),
    (LogDetShape, Check::Shapes, "log_det of forward must have shape [3], found [1]"),
    (Overflows, Check::Finite, "z at [0, 0] is NaN"),
    (Cancels, Check::Precision, "z in float32, against float64, at ["),
    (OtherInEvaluation, Check::Evaluation, "z of valid() at [0, 0]: expected"),
    (RandomInEvaluation, Check::Repeats, "z of valid(), a second time, at [0, 0]: expected"),
    (
        StartOnGraph,
        Check::Initialization,
        "output of initialize is still attached to an autodiff graph",
    ),
    (ReplayHalves, Check::Replay, "gradient of the input by replay_back at ["),
    (Half, Check::Shapes, "z must have type F32, found F64"),
    (LayerLeftOut, Check::Layers, "z of visit_layers, against forward, at ["),
    (Panics, Check::Shapes, "panicked: not written yet"),
];

#[test]
fn each_mistake_is_found_by_its_check() {
    for (mistake, check, text) in TABLE {
        let error = checked(mistake).expect_err(&format!("{mistake:?} passes"));
        println!("{mistake:?}: {error}\n");
        assert!(error.failed(check), "{mistake:?} passes {check}: {error}");
        let failure =
            error.failures.iter().find(|failure| failure.check == check).expect("it failed");
        assert!(failure.to_string().contains(text), "{mistake:?} expects \"{text}\": {failure}");
        assert!(failure.to_string().starts_with(&format!("{check} (float")), "{failure}");
        assert!(error.to_string().starts_with("Scale fails "), "{error}");
    }
}

/// What is wrong in one place only is found there and nowhere else.
#[test]
fn mistakes_do_not_blur() {
    let single = [
        (LogDetSign, Check::LogDet),
        (LogDetFactor, Check::LogDet),
        (LogDetCut, Check::Gradients),
        (Frozen, Check::Training),
        (StartOnGraph, Check::Initialization),
        (Unused, Check::Training),
        (Unsaved, Check::Records),
        (ReplayHalves, Check::Replay),
        (ShapeTakesAll, Check::Shapes),
        (LayerLeftOut, Check::Layers),
    ];
    for (mistake, check) in single {
        let failed: Vec<Check> =
            checked(mistake).unwrap_err().failures.iter().map(|failure| failure.check).collect();
        assert_eq!(failed, [check], "{mistake:?}");
    }
}

#[test]
fn frozen_parameters_are_named() {
    let frozen = Conformance::new("Scale", [1, 3], scale(Frozen)).frozen("bias");
    frozen.check().unwrap();
    let failure = Conformance::new("Scale", [1, 3], scale(None))
        .frozen("bias")
        .run(Check::Training)
        .unwrap_err();
    assert!(failure.to_string().contains("parameter bias receives a gradient"), "{failure}");
}

/// Every check is shown to fail, [`Check::Moves`] by [`Forgetful`].
#[test]
fn the_table_shows_every_check() {
    for check in Check::ALL.into_iter().filter(|&check| check != Check::Moves) {
        assert!(TABLE.iter().any(|(_, shown, _)| *shown == check), "{check}");
    }
}

/// A module without burn's derive, whose clones are other parameters to an optimizer.
#[derive(Debug)]
struct Forgetful(Scale);

impl Clone for Forgetful {
    fn clone(&self) -> Self {
        let mut own = self.0.clone();
        own.bias = Param::from_tensor(own.bias.val());
        Self(own)
    }
}

impl Display for Forgetful {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("Forgetful")
    }
}

impl ModuleDisplayDefault for Forgetful {
    fn content(&self, content: Content) -> Option<Content> {
        content.optional()
    }
}

impl ModuleDisplay for Forgetful {}

impl Module for Forgetful {
    fn collect_devices(&self, devices: Devices) -> Devices {
        self.0.collect_devices(devices)
    }
    fn fork(self, device: &Device) -> Self {
        Self(self.0.fork(device))
    }
    fn to_device(self, device: &Device) -> Self {
        Self(self.0.to_device(device))
    }
    fn train(self) -> Self {
        Self(self.0.train())
    }
    fn valid(&self) -> Self {
        Self(self.0.valid())
    }
    fn materialize(self) -> Self {
        Self(self.0.materialize())
    }
    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        self.0.visit(visitor);
    }
    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        Self(self.0.map(mapper))
    }
}

impl ShapeMap<2> for Forgetful {
    fn output_shape(&self, shape: [usize; 2]) -> Result<[usize; 2], ShapeError> {
        self.0.output_shape(shape)
    }
}

impl Bijector<2> for Forgetful {
    type Driver = Leaf;

    fn forward(&self, x: Tensor<2>, context: &()) -> (Tensor<2>, Tensor<1>) {
        self.0.forward(x, context)
    }
    fn inverse(&self, z: Tensor<2>, context: &()) -> Tensor<2> {
        self.0.inverse(z, context)
    }
}

#[test]
fn clones_with_other_ids_are_found() {
    let error = Conformance::new("Forgetful", [1, 3], |device| Forgetful(scale(None)(device)))
        .check()
        .unwrap_err();
    let failure =
        error.failures.iter().find(|failure| failure.check == Check::Moves).expect("it fails");
    assert!(
        failure.to_string().contains("clone changed names, ids or values of parameters"),
        "{error}"
    );
}

#[test]
fn types_of_parameters_are_those_of_the_check() {
    let conformance = Conformance::new("Scale", [1, 3], scale(None));
    for dtype in [DType::F32, DType::F64] {
        let x = conformance.sample(Region::Ordinary, 2, 1, dtype);
        assert_eq!(conformance.build(1, dtype).forward(x, &()).0.dtype(), dtype);
    }
}
