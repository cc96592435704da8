//! A bijector whose type is chosen at run time, and which is still a burn module.
//!
//! burn's visitors are generic over the rank of a parameter, which a trait object does not allow.
//! The box therefore passes on a parameter without its rank (as `&dyn Any` and a number), and the
//! caller restores the rank. All of burn's operations on a module (visit, map, save, move, fork)
//! thus reach the module in the box. The box adds no segment to the names of parameters.

use std::any::Any;
use std::fmt::{Debug, Display, Formatter, Result as FmtResult};

use burn::module::{
    Content, Devices, DisplaySettings, Flag, Module, ModuleDisplay, ModuleDisplayDefault,
    ModuleMapper, ModuleVisitor, Param,
};
use burn::tensor::{Bool, Device, Int, Tensor};

use crate::bijector::replay::{Cotangent, Replay};
use crate::bijector::visit::{Observer, Visit};
use crate::bijector::{Bijector, Direction, Drive, Member, ShapeMap};
use crate::context::Context;
use crate::error::{InitProblem, ShapeError};

/// A bijector of any type in a box. `Vec<BoxBijector<D>>` is a stack that is chosen at run time,
/// for example by a configuration file.
pub struct BoxBijector<const D: usize, C: Context = ()>(Box<dyn DynBijector<D, C>>);

impl<const D: usize, C: Context> BoxBijector<D, C> {
    /// Puts a bijector into a box.
    pub fn new<B: Bijector<D, C> + Sync + 'static>(bijector: B) -> Self {
        Self(Box::new(bijector))
    }

    /// The bijector inside, if it is a `B`.
    pub fn downcast_ref<B: Bijector<D, C> + 'static>(&self) -> Option<&B> {
        self.0.as_any().downcast_ref()
    }
}

/// [`Bijector`] and [`Module`] without the parts that a trait object cannot have.
trait DynBijector<const D: usize, C: Context>:
    Member<D, C> + ShapeMap<D> + Send + Sync + Debug
{
    fn initialize(self: Box<Self>, x: Tensor<D>, context: &C) -> (BoxBijector<D, C>, Tensor<D>);
    fn init_problem(&self, x: &Tensor<D>, context: &C) -> Option<InitProblem>;
    fn forward_observed(
        &self,
        x: Tensor<D>,
        context: &C,
        observe: Observer<'_>,
    ) -> (Tensor<D>, Tensor<1>);
    fn check_context(&self, shape: [usize; D], context: &C) -> Result<(), ShapeError>;
    fn pull_back(&self, back: Cotangent<D>, context: &C, replay: &mut Replay<C>) -> Cotangent<D>;
    fn format_dyn(&self, settings: DisplaySettings) -> String;
    fn clone_box(&self) -> BoxBijector<D, C>;
    fn visit_dyn(&self, visitor: &mut dyn DynVisitor);
    fn map_dyn(self: Box<Self>, mapper: &mut dyn DynMapper) -> BoxBijector<D, C>;
    fn to_device(self: Box<Self>, device: &Device) -> BoxBijector<D, C>;
    fn fork(self: Box<Self>, device: &Device) -> BoxBijector<D, C>;
    fn valid(&self) -> BoxBijector<D, C>;
    fn train(self: Box<Self>) -> BoxBijector<D, C>;
    fn materialize(self: Box<Self>) -> BoxBijector<D, C>;
    fn collect_devices(&self, devices: Devices) -> Devices;
    fn as_any(&self) -> &dyn Any;
}

impl<const D: usize, C: Context, B: Bijector<D, C> + Sync + 'static> DynBijector<D, C> for B {
    fn initialize(self: Box<Self>, x: Tensor<D>, context: &C) -> (BoxBijector<D, C>, Tensor<D>) {
        let (bijector, z) = Bijector::initialize(*self, x, context);
        (BoxBijector::new(bijector), z)
    }
    fn init_problem(&self, x: &Tensor<D>, context: &C) -> Option<InitProblem> {
        Bijector::init_problem(self, x, context)
    }
    fn forward_observed(
        &self,
        x: Tensor<D>,
        context: &C,
        observe: Observer<'_>,
    ) -> (Tensor<D>, Tensor<1>) {
        Bijector::forward_observed(self, x, context, observe)
    }
    fn check_context(&self, shape: [usize; D], context: &C) -> Result<(), ShapeError> {
        Bijector::check_context(self, shape, context)
    }
    fn pull_back(&self, back: Cotangent<D>, context: &C, replay: &mut Replay<C>) -> Cotangent<D> {
        Bijector::pull_back(self, back, context, replay)
    }
    fn format_dyn(&self, settings: DisplaySettings) -> String {
        ModuleDisplay::format(self, settings)
    }
    fn clone_box(&self) -> BoxBijector<D, C> {
        BoxBijector::new(self.clone())
    }
    fn visit_dyn(&self, visitor: &mut dyn DynVisitor) {
        Module::visit(self, &mut Erase(visitor));
    }
    fn map_dyn(self: Box<Self>, mapper: &mut dyn DynMapper) -> BoxBijector<D, C> {
        BoxBijector::new(Module::map(*self, &mut Erase(mapper)))
    }
    fn to_device(self: Box<Self>, device: &Device) -> BoxBijector<D, C> {
        BoxBijector::new(Module::to_device(*self, device))
    }
    fn fork(self: Box<Self>, device: &Device) -> BoxBijector<D, C> {
        BoxBijector::new(Module::fork(*self, device))
    }
    fn valid(&self) -> BoxBijector<D, C> {
        BoxBijector::new(Module::valid(self))
    }
    fn train(self: Box<Self>) -> BoxBijector<D, C> {
        BoxBijector::new(Module::train(*self))
    }
    fn materialize(self: Box<Self>) -> BoxBijector<D, C> {
        BoxBijector::new(Module::materialize(*self))
    }
    fn collect_devices(&self, devices: Devices) -> Devices {
        Module::collect_devices(self, devices)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Kind of a tensor parameter.
#[derive(Clone, Copy)]
enum Kind {
    Float,
    Int,
    Bool,
}

/// A [`ModuleVisitor`] whose ranks are values instead of types.
trait DynVisitor {
    fn parameter(&mut self, kind: Kind, rank: usize, parameter: &dyn Any);
    fn flag(&mut self, flag: &Param<Flag>);
    fn enter(&mut self, name: &str, container: &str);
    fn exit(&mut self, name: &str, container: &str);
}

/// A [`ModuleMapper`] whose ranks are values instead of types.
trait DynMapper {
    fn parameter(&mut self, kind: Kind, rank: usize, parameter: Box<dyn Any>) -> Box<dyn Any>;
    fn flag(&mut self, flag: Param<Flag>) -> Param<Flag>;
    fn enter(&mut self, name: &str, container: &str);
    fn exit(&mut self, name: &str, container: &str);
}

/// Turns ranks in types into values.
struct Erase<'a, T: ?Sized>(&'a mut T);

/// Turns values back into ranks in types.
struct Restore<'a, T>(&'a mut T);

impl ModuleVisitor for Erase<'_, dyn DynVisitor + '_> {
    fn visit_float<const R: usize>(&mut self, parameter: &Param<Tensor<R>>) {
        self.0.parameter(Kind::Float, R, parameter);
    }
    fn visit_int<const R: usize>(&mut self, parameter: &Param<Tensor<R, Int>>) {
        self.0.parameter(Kind::Int, R, parameter);
    }
    fn visit_bool<const R: usize>(&mut self, parameter: &Param<Tensor<R, Bool>>) {
        self.0.parameter(Kind::Bool, R, parameter);
    }
    fn visit_flag(&mut self, flag: &Param<Flag>) {
        self.0.flag(flag);
    }
    fn enter_module(&mut self, name: &str, container: &str) {
        self.0.enter(name, container);
    }
    fn exit_module(&mut self, name: &str, container: &str) {
        self.0.exit(name, container);
    }
}

/// A mapper returns a parameter of the same kind and rank; anything else is a bug in this file.
fn same<T: 'static>(parameter: Box<dyn Any>) -> T {
    match parameter.downcast::<T>() {
        Ok(parameter) => *parameter,
        Err(_) => unreachable!("a mapper returns the kind and rank it was given"),
    }
}

impl ModuleMapper for Erase<'_, dyn DynMapper + '_> {
    fn map_float<const R: usize>(&mut self, parameter: Param<Tensor<R>>) -> Param<Tensor<R>> {
        same(self.0.parameter(Kind::Float, R, Box::new(parameter)))
    }
    fn map_int<const R: usize>(
        &mut self,
        parameter: Param<Tensor<R, Int>>,
    ) -> Param<Tensor<R, Int>> {
        same(self.0.parameter(Kind::Int, R, Box::new(parameter)))
    }
    fn map_bool<const R: usize>(
        &mut self,
        parameter: Param<Tensor<R, Bool>>,
    ) -> Param<Tensor<R, Bool>> {
        same(self.0.parameter(Kind::Bool, R, Box::new(parameter)))
    }
    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        self.0.flag(flag)
    }
    fn enter_module(&mut self, name: &str, container: &str) {
        self.0.enter(name, container);
    }
    fn exit_module(&mut self, name: &str, container: &str) {
        self.0.exit(name, container);
    }
}

/// Runs `$body` with the constant `$R` equal to a rank.
macro_rules! with_rank {
    ($rank:expr, $R:ident => $body:expr) => {
        with_rank!(@ $rank, $R, $body, 1 2 3 4 5 6 7 8)
    };
    (@ $rank:expr, $R:ident, $body:expr, $($n:literal)*) => {
        match $rank {
            $( $n => { const $R: usize = $n; $body } )*
            rank => unreachable!("burn's tensors have at most 8 axes, not {rank}"),
        }
    };
}

fn seen<T: 'static>(parameter: &dyn Any) -> &T {
    match parameter.downcast_ref::<T>() {
        Some(parameter) => parameter,
        None => unreachable!("a parameter has the kind and rank that it is announced with"),
    }
}

impl<V: ModuleVisitor> DynVisitor for Restore<'_, V> {
    fn parameter(&mut self, kind: Kind, rank: usize, parameter: &dyn Any) {
        with_rank!(rank, R => match kind {
            Kind::Float => self.0.visit_float(seen::<Param<Tensor<R>>>(parameter)),
            Kind::Int => self.0.visit_int(seen::<Param<Tensor<R, Int>>>(parameter)),
            Kind::Bool => self.0.visit_bool(seen::<Param<Tensor<R, Bool>>>(parameter)),
        });
    }
    fn flag(&mut self, flag: &Param<Flag>) {
        self.0.visit_flag(flag);
    }
    fn enter(&mut self, name: &str, container: &str) {
        self.0.enter_module(name, container);
    }
    fn exit(&mut self, name: &str, container: &str) {
        self.0.exit_module(name, container);
    }
}

impl<M: ModuleMapper> DynMapper for Restore<'_, M> {
    fn parameter(&mut self, kind: Kind, rank: usize, parameter: Box<dyn Any>) -> Box<dyn Any> {
        with_rank!(rank, R => match kind {
            Kind::Float => Box::new(self.0.map_float(same::<Param<Tensor<R>>>(parameter))),
            Kind::Int => Box::new(self.0.map_int(same::<Param<Tensor<R, Int>>>(parameter))),
            Kind::Bool => Box::new(self.0.map_bool(same::<Param<Tensor<R, Bool>>>(parameter))),
        })
    }
    fn flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        self.0.map_flag(flag)
    }
    fn enter(&mut self, name: &str, container: &str) {
        self.0.enter_module(name, container);
    }
    fn exit(&mut self, name: &str, container: &str) {
        self.0.exit_module(name, container);
    }
}

impl<const D: usize, C: Context> Clone for BoxBijector<D, C> {
    fn clone(&self) -> Self {
        self.0.clone_box()
    }
}

impl<const D: usize, C: Context> Debug for BoxBijector<D, C> {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        Debug::fmt(&self.0, f)
    }
}

impl<const D: usize, C: Context> Display for BoxBijector<D, C> {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.write_str(&self.0.format_dyn(DisplaySettings::default()))
    }
}

impl<const D: usize, C: Context> ModuleDisplayDefault for BoxBijector<D, C> {
    fn content(&self, content: Content) -> Option<Content> {
        content.add_formatted(&self.to_string()).optional()
    }
}

/// A box is displayed as the bijector inside it.
impl<const D: usize, C: Context> ModuleDisplay for BoxBijector<D, C> {
    fn format(&self, settings: DisplaySettings) -> String {
        self.0.format_dyn(settings)
    }
}

impl<const D: usize, C: Context> Module for BoxBijector<D, C> {
    fn collect_devices(&self, devices: Devices) -> Devices {
        self.0.collect_devices(devices)
    }
    fn fork(self, device: &Device) -> Self {
        self.0.fork(device)
    }
    fn to_device(self, device: &Device) -> Self {
        self.0.to_device(device)
    }
    fn train(self) -> Self {
        self.0.train()
    }
    fn valid(&self) -> Self {
        self.0.valid()
    }
    fn materialize(self) -> Self {
        self.0.materialize()
    }
    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        self.0.visit_dyn(&mut Restore(visitor));
    }
    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        self.0.map_dyn(&mut Restore(mapper))
    }
}

impl<const D: usize, C: Context> ShapeMap<D> for BoxBijector<D, C> {
    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        self.0.output_shape(shape)
    }

    fn input_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        self.0.input_shape(shape)
    }
}

impl<const D: usize, C: Context> Bijector<D, C> for BoxBijector<D, C> {
    type Driver = BoxDriver;

    fn forward(&self, x: Tensor<D>, context: &C) -> (Tensor<D>, Tensor<1>) {
        self.0.run(Direction::Forward, x, context)
    }
    fn inverse(&self, z: Tensor<D>, context: &C) -> Tensor<D> {
        self.0.map(Direction::Inverse, z, context)
    }
    fn inverse_with_log_det(&self, z: Tensor<D>, context: &C) -> (Tensor<D>, Tensor<1>) {
        self.0.run(Direction::Inverse, z, context)
    }
    fn initialize(self, x: Tensor<D>, context: &C) -> (Self, Tensor<D>) {
        self.0.initialize(x, context)
    }
    fn init_problem(&self, x: &Tensor<D>, context: &C) -> Option<InitProblem> {
        self.0.init_problem(x, context)
    }
    fn forward_observed(
        &self,
        x: Tensor<D>,
        context: &C,
        observe: Observer<'_>,
    ) -> (Tensor<D>, Tensor<1>) {
        self.0.forward_observed(x, context, observe)
    }
    fn check_context(&self, shape: [usize; D], context: &C) -> Result<(), ShapeError> {
        self.0.check_context(shape, context)
    }
    fn pull_back(&self, back: Cotangent<D>, context: &C, replay: &mut Replay<C>) -> Cotangent<D> {
        self.0.pull_back(back, context, replay)
    }
}

/// Driver of a [`BoxBijector`]: it calls the driver of the bijector inside.
#[derive(Debug, Clone, Copy)]
pub struct BoxDriver;

impl<const D: usize, C: Context> Drive<BoxBijector<D, C>, D, C> for BoxDriver {
    fn visit(
        bijector: &BoxBijector<D, C>,
        direction: Direction,
        x: Tensor<D>,
        context: &C,
        visit: &mut Visit<'_, D>,
    ) -> Tensor<D> {
        bijector.0.visit(direction, x, context, visit)
    }
    fn replay_forward(
        bijector: &BoxBijector<D, C>,
        direction: Direction,
        x: Tensor<D>,
        context: &C,
        replay: &mut Replay<C>,
    ) -> (Tensor<D>, Tensor<1>) {
        bijector.0.replay_forward(direction, x, context, replay)
    }
    fn replay_back(
        bijector: &BoxBijector<D, C>,
        direction: Direction,
        back: Cotangent<D>,
        context: &C,
        replay: &mut Replay<C>,
    ) -> Cotangent<D> {
        bijector.0.replay_back(direction, back, context, replay)
    }
    fn accepts(bijector: &BoxBijector<D, C>) -> Result<(), ShapeError> {
        bijector.0.accepts()
    }
    fn shape_given(
        bijector: &BoxBijector<D, C>,
        direction: Direction,
        shape: [usize; D],
        context: &C,
    ) -> Result<[usize; D], ShapeError> {
        bijector.0.shape_given(direction, shape, context)
    }
}
