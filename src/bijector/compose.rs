//! Bijectors made of bijectors: tuples, `Vec<B>`, `Option<B>`, [`Invert<B>`] and typed structs that delegate to them.
//!
//! A tuple runs left to right in `forward` and right to left in `inverse`; its log-determinants add. [`crate::BoxBijector`] is the form
//! for stacks that are chosen at run time.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::bijector::replay::{Cotangent, Replay};
use crate::bijector::visit::Visit;
use crate::bijector::{Bijector, ShapeMap};
use crate::context::Context;
use crate::error::ShapeError;
use crate::tensor::per_example::zero_log_det;

/// Runs `$step` on the indices of a tuple in reverse order.
macro_rules! reversed {
    ([$($done:tt)*] $step:ident) => { $($step!($done);)* };
    ([$($done:tt)*] $step:ident $head:tt $($tail:tt)*) => { reversed!([$head $($done)*] $step $($tail)*) };
}

macro_rules! tuple {
    ($($T:ident $i:tt),+) => {
        impl<const D: usize, $($T: ShapeMap<D>),+> ShapeMap<D> for ($($T,)+) {
            fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
                $( let shape = self.$i.output_shape(shape)?; )+
                Ok(shape)
            }

            fn input_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
                let mut shape = shape;
                macro_rules! step { ($j:tt) => { shape = self.$j.input_shape(shape)? }; }
                reversed!([] step $($i)+);
                Ok(shape)
            }
        }

        impl<const D: usize, C: Context, $($T: Bijector<D, C>),+> Bijector<D, C> for ($($T,)+) {
            fn forward(&self, x: Tensor<D>, context: &C) -> (Tensor<D>, Tensor<1>) {
                let log_det = zero_log_det(&x);
                $( let (x, part) = self.$i.forward(x, context); let log_det = log_det + part; )+
                (x, log_det)
            }

            fn inverse(&self, z: Tensor<D>, context: &C) -> Tensor<D> {
                let mut x = z;
                macro_rules! step { ($j:tt) => { x = self.$j.inverse(x, context) }; }
                reversed!([] step $($i)+);
                x
            }

            fn inverse_with_log_det(&self, z: Tensor<D>, context: &C) -> (Tensor<D>, Tensor<1>) {
                let mut log_det = zero_log_det(&z);
                let mut x = z;
                macro_rules! step { ($j:tt) => {
                    let (next, part) = self.$j.inverse_with_log_det(x, context);
                    x = next;
                    log_det = log_det + part;
                }; }
                reversed!([] step $($i)+);
                (x, log_det)
            }

            fn accepts(&self) -> Result<(), ShapeError> {
                $( self.$i.accepts()?; )+
                Ok(())
            }

            fn output_shape_given(&self, shape: [usize; D], context: &C) -> Result<[usize; D], ShapeError> {
                $( let shape = self.$i.output_shape_given(shape, context)?; )+
                Ok(shape)
            }

            #[allow(non_snake_case)]
            fn initialize(self, x: Tensor<D>, context: &C) -> (Self, Tensor<D>) {
                let ($($T,)+) = self;
                $( let ($T, x) = $T.initialize(x, context); )+
                (($($T,)+), x)
            }

            fn visit_layers(&self, x: Tensor<D>, context: &C, walk: &mut Visit<'_, D>) -> Tensor<D> {
                $( let x = walk.member(stringify!($i), &self.$i, x, context); )+
                x
            }

            fn walk_forward(&self, x: Tensor<D>, context: &C, walk: &mut Replay<C>) -> (Tensor<D>, Tensor<1>) {
                let log_det = zero_log_det(&x);
                $(
                    let (x, part) = walk.within($i, |walk| self.$i.walk_forward(x, context, walk));
                    let log_det = log_det + part;
                )+
                (x, log_det)
            }

            fn walk_back(&self, back: Cotangent<D>, context: &C, walk: &mut Replay<C>) -> Cotangent<D> {
                let mut back = back;
                macro_rules! step { ($j:tt) => {
                    back = walk.within($j, |walk| self.$j.walk_back(back, context, walk))
                }; }
                reversed!([] step $($i)+);
                back
            }
        }
    };
}

tuple!(B0 0, B1 1);
tuple!(B0 0, B1 1, B2 2);
tuple!(B0 0, B1 1, B2 2, B3 3);
tuple!(B0 0, B1 1, B2 2, B3 3, B4 4);
tuple!(B0 0, B1 1, B2 2, B3 3, B4 4, B5 5);
tuple!(B0 0, B1 1, B2 2, B3 3, B4 4, B5 5, B6 6);
tuple!(B0 0, B1 1, B2 2, B3 3, B4 4, B5 5, B6 6, B7 7);

impl<const D: usize, B: ShapeMap<D>> ShapeMap<D> for Vec<B> {
    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        self.iter().try_fold(shape, |shape, member| member.output_shape(shape))
    }

    fn input_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        self.iter().rev().try_fold(shape, |shape, member| member.input_shape(shape))
    }
}

/// A stack of equal type, first to last. Empty: the identity.
impl<const D: usize, C: Context, B: Bijector<D, C>> Bijector<D, C> for Vec<B> {
    fn forward(&self, x: Tensor<D>, context: &C) -> (Tensor<D>, Tensor<1>) {
        let log_det = zero_log_det(&x);
        self.iter().fold((x, log_det), |(x, log_det), member| {
            let (z, part) = member.forward(x, context);
            (z, log_det + part)
        })
    }

    fn inverse(&self, z: Tensor<D>, context: &C) -> Tensor<D> {
        self.iter().rev().fold(z, |z, member| member.inverse(z, context))
    }

    fn inverse_with_log_det(&self, z: Tensor<D>, context: &C) -> (Tensor<D>, Tensor<1>) {
        let log_det = zero_log_det(&z);
        self.iter().rev().fold((z, log_det), |(z, log_det), member| {
            let (x, part) = member.inverse_with_log_det(z, context);
            (x, log_det + part)
        })
    }

    fn accepts(&self) -> Result<(), ShapeError> {
        self.iter().try_for_each(B::accepts)
    }

    fn output_shape_given(&self, shape: [usize; D], context: &C) -> Result<[usize; D], ShapeError> {
        self.iter().try_fold(shape, |shape, member| member.output_shape_given(shape, context))
    }

    fn initialize(self, x: Tensor<D>, context: &C) -> (Self, Tensor<D>) {
        let mut x = x;
        let mut started = Vec::with_capacity(self.len());
        for member in self {
            let (member, z) = member.initialize(x, context);
            started.push(member);
            x = z;
        }
        (started, x)
    }

    fn visit_layers(&self, x: Tensor<D>, context: &C, walk: &mut Visit<'_, D>) -> Tensor<D> {
        self.iter().enumerate().fold(x, |x, (index, member)| walk.member(index, member, x, context))
    }

    fn walk_forward(&self, x: Tensor<D>, context: &C, walk: &mut Replay<C>) -> (Tensor<D>, Tensor<1>) {
        let mut log_det = zero_log_det(&x);
        let mut x = x;
        for (index, member) in self.iter().enumerate() {
            let (z, part) = walk.within(index, |walk| member.walk_forward(x, context, walk));
            x = z;
            log_det = log_det + part;
        }
        (x, log_det)
    }

    fn walk_back(&self, back: Cotangent<D>, context: &C, walk: &mut Replay<C>) -> Cotangent<D> {
        self.iter()
            .enumerate()
            .rev()
            .fold(back, |back, (index, member)| walk.within(index, |walk| member.walk_back(back, context, walk)))
    }
}

impl<const D: usize, B: ShapeMap<D>> ShapeMap<D> for Option<B> {
    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        self.iter().try_fold(shape, |shape, member| member.output_shape(shape))
    }

    fn input_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        self.iter().try_fold(shape, |shape, member| member.input_shape(shape))
    }
}

/// A layer that may be left out. `None`: the identity.
impl<const D: usize, C: Context, B: Bijector<D, C>> Bijector<D, C> for Option<B> {
    fn forward(&self, x: Tensor<D>, context: &C) -> (Tensor<D>, Tensor<1>) {
        match self {
            Some(member) => member.forward(x, context),
            None => {
                let log_det = zero_log_det(&x);
                (x, log_det)
            }
        }
    }

    fn inverse(&self, z: Tensor<D>, context: &C) -> Tensor<D> {
        match self {
            Some(member) => member.inverse(z, context),
            None => z,
        }
    }

    fn inverse_with_log_det(&self, z: Tensor<D>, context: &C) -> (Tensor<D>, Tensor<1>) {
        match self {
            Some(member) => member.inverse_with_log_det(z, context),
            None => {
                let log_det = zero_log_det(&z);
                (z, log_det)
            }
        }
    }

    fn accepts(&self) -> Result<(), ShapeError> {
        self.iter().try_for_each(B::accepts)
    }

    fn output_shape_given(&self, shape: [usize; D], context: &C) -> Result<[usize; D], ShapeError> {
        self.iter().try_fold(shape, |shape, member| member.output_shape_given(shape, context))
    }

    fn initialize(self, x: Tensor<D>, context: &C) -> (Self, Tensor<D>) {
        match self {
            Some(member) => {
                let (member, z) = member.initialize(x, context);
                (Some(member), z)
            }
            None => (None, x.detach()),
        }
    }

    fn visit_layers(&self, x: Tensor<D>, context: &C, walk: &mut Visit<'_, D>) -> Tensor<D> {
        match self {
            Some(member) => member.visit_layers(x, context, walk),
            None => x,
        }
    }

    fn walk_forward(&self, x: Tensor<D>, context: &C, walk: &mut Replay<C>) -> (Tensor<D>, Tensor<1>) {
        match self {
            Some(member) => member.walk_forward(x, context, walk),
            None => {
                let log_det = zero_log_det(&x);
                (x, log_det)
            }
        }
    }

    fn walk_back(&self, back: Cotangent<D>, context: &C, walk: &mut Replay<C>) -> Cotangent<D> {
        match self {
            Some(member) => member.walk_back(back, context, walk),
            None => back,
        }
    }
}

/// A bijector the other way round: `forward` is the inverse of `B`, `inverse` its forward.
///
/// A data-dependent start passes through unchanged: `B` normalises what comes out of its own forward, which is here the input.
#[derive(Module, Debug)]
pub struct Invert<B> {
    /// The bijector that runs backwards.
    pub inner: B,
}

impl<B> Invert<B> {
    /// Turns `inner` round.
    pub fn new(inner: B) -> Self {
        Self { inner }
    }
}

impl<const D: usize, B: ShapeMap<D>> ShapeMap<D> for Invert<B> {
    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        self.inner.input_shape(shape)
    }

    fn input_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        self.inner.output_shape(shape)
    }
}

impl<const D: usize, C: Context, B: Bijector<D, C>> Bijector<D, C> for Invert<B> {
    fn forward(&self, x: Tensor<D>, context: &C) -> (Tensor<D>, Tensor<1>) {
        self.inner.inverse_with_log_det(x, context)
    }

    fn inverse(&self, z: Tensor<D>, context: &C) -> Tensor<D> {
        self.inner.forward(z, context).0
    }

    fn inverse_with_log_det(&self, z: Tensor<D>, context: &C) -> (Tensor<D>, Tensor<1>) {
        self.inner.forward(z, context)
    }

    fn accepts(&self) -> Result<(), ShapeError> {
        self.inner.accepts()
    }

    fn output_shape_given(&self, shape: [usize; D], context: &C) -> Result<[usize; D], ShapeError> {
        let input = self.inner.input_shape(shape)?;
        self.inner.output_shape_given(input, context)?;
        Ok(input)
    }
}
