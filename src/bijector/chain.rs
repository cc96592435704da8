//! Compositions: bijectors whose members run one after another.
//! ```text
//! forward   z = f_n ∘ … ∘ f_1 (x)          log_det  Σ ln|det ∂f_i|
//! inverse   x = f_1⁻¹ ∘ … ∘ f_n⁻¹ (z)
//! ```
//! [`chain!`](crate::chain) defines a new composition; tuples, `Vec`, `Option`,
//! [`Invert`](crate::Invert) and [`BoxBijector`](crate::BoxBijector) are compositions too. Each
//! lists its members once, in [`Members`]; this file runs them.

use std::fmt::Display;

use burn::tensor::Tensor;

use super::Bijector;
use super::drive::{Direction, Drive};
use super::replay::{Cotangent, Replay};
use super::visit::Visit;
use crate::context::Context;
use crate::error::ShapeError;
use crate::tensor::per_example::zero_log_det;

/// Driver of a bijector that has [`Members`].
#[derive(Debug, Clone, Copy)]
pub struct Chain;

/// The members of a composition.
pub trait Members<const D: usize, C: Context> {
    /// The members, in the order of `forward`.
    fn members(&self) -> Vec<Entry<'_, D, C>>;
}

/// The place of a member with this name, as errors show it: `[0]` for an element of a tuple or a
/// list, `.squeeze` for a field. Used by [`chain!`](crate::chain).
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct Place<N>(pub N);

impl<N: Display> Display for Place<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.0.to_string();
        if name.starts_with(|first: char| first.is_ascii_digit()) {
            write!(f, "[{name}]")
        } else {
            write!(f, ".{name}")
        }
    }
}

/// A member of a composition, with its name and its direction.
pub struct Entry<'a, const D: usize, C: Context> {
    name: Option<String>,
    /// Whether an error shows the name. The configuration of a variant does not know it.
    placed: bool,
    direction: Direction,
    member: &'a dyn Member<D, C>,
}

impl<'a, const D: usize, C: Context> Entry<'a, D, C> {
    /// A member whose parameters have this name in their paths.
    pub fn new(name: impl Display, direction: Direction, member: &'a dyn Member<D, C>) -> Self {
        Self { name: Some(name.to_string()), placed: true, direction, member }
    }

    /// A member that adds no segment to the paths of its parameters.
    pub fn unnamed(member: &'a dyn Member<D, C>) -> Self {
        Self { name: None, placed: false, direction: Direction::Forward, member }
    }

    /// The layer in an enum, whose parameters have the variant's name in their paths.
    pub fn variant(name: impl Display, member: &'a dyn Member<D, C>) -> Self {
        Self { name: Some(name.to_string()), ..Self::unnamed(member) }
    }

    /// A result of the member, with its place in the error.
    fn at_place<T>(&self, result: Result<T, ShapeError>) -> Result<T, ShapeError> {
        result.map_err(|error| match &self.name {
            Some(name) if self.placed => error.at(Place(name)),
            _ => error,
        })
    }
}

/// The operations on a member of a composition, independent of its type.
pub trait Member<const D: usize, C: Context> {
    /// [`Direction::run`].
    fn run(&self, direction: Direction, x: Tensor<D>, context: &C) -> (Tensor<D>, Tensor<1>);

    /// [`Direction::map`].
    fn map(&self, direction: Direction, x: Tensor<D>, context: &C) -> Tensor<D>;

    /// [`Drive::visit`].
    fn visit(
        &self,
        direction: Direction,
        x: Tensor<D>,
        context: &C,
        visit: &mut Visit<'_, D>,
    ) -> Tensor<D>;

    /// [`Drive::replay_forward`].
    fn replay_forward(
        &self,
        direction: Direction,
        x: Tensor<D>,
        context: &C,
        replay: &mut Replay<C>,
    ) -> (Tensor<D>, Tensor<1>);

    /// [`Drive::replay_back`].
    fn replay_back(
        &self,
        direction: Direction,
        back: Cotangent<D>,
        context: &C,
        replay: &mut Replay<C>,
    ) -> Cotangent<D>;

    /// [`Bijector::accepts`].
    fn accepts(&self) -> Result<(), ShapeError>;

    /// [`Drive::shape_given`].
    fn shape_given(
        &self,
        direction: Direction,
        shape: [usize; D],
        context: &C,
    ) -> Result<[usize; D], ShapeError>;
}

impl<const D: usize, C: Context, B: Bijector<D, C>> Member<D, C> for B {
    fn run(&self, direction: Direction, x: Tensor<D>, context: &C) -> (Tensor<D>, Tensor<1>) {
        direction.run(self, x, context)
    }

    fn map(&self, direction: Direction, x: Tensor<D>, context: &C) -> Tensor<D> {
        direction.map(self, x, context)
    }

    fn visit(
        &self,
        direction: Direction,
        x: Tensor<D>,
        context: &C,
        visit: &mut Visit<'_, D>,
    ) -> Tensor<D> {
        B::Driver::visit(self, direction, x, context, visit)
    }

    fn replay_forward(
        &self,
        direction: Direction,
        x: Tensor<D>,
        context: &C,
        replay: &mut Replay<C>,
    ) -> (Tensor<D>, Tensor<1>) {
        B::Driver::replay_forward(self, direction, x, context, replay)
    }

    fn replay_back(
        &self,
        direction: Direction,
        back: Cotangent<D>,
        context: &C,
        replay: &mut Replay<C>,
    ) -> Cotangent<D> {
        B::Driver::replay_back(self, direction, back, context, replay)
    }

    fn accepts(&self) -> Result<(), ShapeError> {
        Bijector::<D, C>::accepts(self)
    }

    fn shape_given(
        &self,
        direction: Direction,
        shape: [usize; D],
        context: &C,
    ) -> Result<[usize; D], ShapeError> {
        B::Driver::shape_given(self, direction, shape, context)
    }
}

/// The members in the order in which they run, each with its own direction.
fn ordered<const D: usize, C: Context, B: Members<D, C>>(
    bijector: &B,
    direction: Direction,
) -> impl Iterator<Item = Entry<'_, D, C>> {
    let mut members = bijector.members();
    if direction == Direction::Inverse {
        members.reverse();
    }
    members
        .into_iter()
        .map(move |entry| Entry { direction: direction.of(entry.direction), ..entry })
}

/// Passes a batch from member to member and adds their log-determinants.
fn summed<'a, const D: usize, C: Context>(
    members: impl Iterator<Item = Entry<'a, D, C>>,
    x: Tensor<D>,
    mut run: impl FnMut(Entry<'a, D, C>, Tensor<D>) -> (Tensor<D>, Tensor<1>),
) -> (Tensor<D>, Tensor<1>) {
    let mut total: Option<Tensor<1>> = None;
    let z = members.fold(x, |x, entry| {
        let (z, part) = run(entry, x);
        total = Some(match total.take() {
            Some(sum) => sum + part,
            None => part,
        });
        z
    });
    let total = total.unwrap_or_else(|| zero_log_det(&z));
    (z, total)
}

/// The maps of the members, one after another, and the sum of their log-determinants.
#[doc(hidden)]
pub fn run<const D: usize, C: Context, B: Members<D, C>>(
    bijector: &B,
    direction: Direction,
    x: Tensor<D>,
    context: &C,
) -> (Tensor<D>, Tensor<1>) {
    summed(ordered(bijector, direction), x, |entry, x| {
        entry.member.run(entry.direction, x, context)
    })
}

/// The maps of the members, one after another.
#[doc(hidden)]
pub fn map<const D: usize, C: Context, B: Members<D, C>>(
    bijector: &B,
    direction: Direction,
    x: Tensor<D>,
    context: &C,
) -> Tensor<D> {
    ordered(bijector, direction).fold(x, |x, entry| entry.member.map(entry.direction, x, context))
}

/// What every composition writes in its `impl` of [`Bijector`], except for the initialisation: its
/// members run one after another.
#[doc(hidden)]
#[macro_export]
macro_rules! run_members {
    ($D:ident, $C:ident) => {
        type Driver = $crate::bijector::Chain;

        fn forward(
            &self,
            x: ::burn::tensor::Tensor<$D>,
            context: &$C,
        ) -> (::burn::tensor::Tensor<$D>, ::burn::tensor::Tensor<1>) {
            $crate::bijector::chain::run(self, $crate::bijector::Direction::Forward, x, context)
        }

        fn inverse(
            &self,
            z: ::burn::tensor::Tensor<$D>,
            context: &$C,
        ) -> ::burn::tensor::Tensor<$D> {
            $crate::bijector::chain::map(self, $crate::bijector::Direction::Inverse, z, context)
        }

        fn inverse_with_log_det(
            &self,
            z: ::burn::tensor::Tensor<$D>,
            context: &$C,
        ) -> (::burn::tensor::Tensor<$D>, ::burn::tensor::Tensor<1>) {
            $crate::bijector::chain::run(self, $crate::bijector::Direction::Inverse, z, context)
        }
    };
}

impl<const D: usize, C: Context, B: Members<D, C>> Drive<B, D, C> for Chain {
    fn visit(
        bijector: &B,
        direction: Direction,
        x: Tensor<D>,
        context: &C,
        visit: &mut Visit<'_, D>,
    ) -> Tensor<D> {
        ordered(bijector, direction).fold(x, |x, Entry { name, direction, member, .. }| {
            let layers = |visit: &mut Visit<'_, D>| member.visit(direction, x, context, visit);
            match name {
                Some(name) => visit.within(name, layers),
                None => layers(visit),
            }
        })
    }

    fn replay_forward(
        bijector: &B,
        direction: Direction,
        x: Tensor<D>,
        context: &C,
        replay: &mut Replay<C>,
    ) -> (Tensor<D>, Tensor<1>) {
        summed(ordered(bijector, direction), x, |Entry { name, direction, member, .. }, x| {
            let pass =
                |replay: &mut Replay<C>| member.replay_forward(direction, x, context, replay);
            match name {
                Some(name) => replay.within(name, pass),
                None => pass(replay),
            }
        })
    }

    fn replay_back(
        bijector: &B,
        direction: Direction,
        back: Cotangent<D>,
        context: &C,
        replay: &mut Replay<C>,
    ) -> Cotangent<D> {
        let members: Vec<_> = ordered(bijector, direction).collect();
        members.into_iter().rev().fold(back, |back, Entry { name, direction, member, .. }| {
            let pass =
                |replay: &mut Replay<C>| member.replay_back(direction, back, context, replay);
            match name {
                Some(name) => replay.within(name, pass),
                None => pass(replay),
            }
        })
    }

    fn accepts(bijector: &B) -> Result<(), ShapeError> {
        bijector.members().iter().try_for_each(|entry| entry.at_place(entry.member.accepts()))
    }

    fn shape_given(
        bijector: &B,
        direction: Direction,
        shape: [usize; D],
        context: &C,
    ) -> Result<[usize; D], ShapeError> {
        let mut members = ordered(bijector, direction);
        members.try_fold(shape, |shape, entry| {
            entry.at_place(entry.member.shape_given(entry.direction, shape, context))
        })
    }
}

/// A member during data-dependent initialisation. Used by [`chain!`](crate::chain).
///
/// A member that occurs several times is initialised at its first occurrence, if it runs forward
/// there.
#[doc(hidden)]
#[derive(Debug)]
pub struct InitOnce<B> {
    bijector: B,
    met: bool,
}

impl<B> InitOnce<B> {
    /// A member before its first occurrence.
    pub fn new(bijector: B) -> Self {
        Self { bijector, met: false }
    }

    /// Runs one occurrence: returns the image of the batch, detached from the graph.
    pub fn next<const D: usize, C: Context>(
        self,
        direction: Direction,
        x: Tensor<D>,
        context: &C,
    ) -> (Self, Tensor<D>)
    where
        B: Bijector<D, C>,
    {
        if self.met || direction == Direction::Inverse {
            let z = direction.map(&self.bijector, x, context).detach();
            return (Self { met: true, ..self }, z);
        }
        let (bijector, z) = self.bijector.initialize(x, context);
        (Self { bijector, met: true }, z)
    }

    /// The member after its last occurrence.
    pub fn done(self) -> B {
        self.bijector
    }
}
