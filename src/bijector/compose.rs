//! Compositions: [`chain!`](crate::chain), which defines one from its members, and tuples, `Vec`
//! and `Option`.
//!
//! A tuple runs left to right in `forward` and right to left in `inverse`; the log-determinants of
//! its members add up. For a stack that is chosen at run time, use [`crate::BoxBijector`].

use burn::tensor::Tensor;

use crate::bijector::chain::{Entry, Members, Place};
use crate::bijector::drive::Direction;
use crate::bijector::{Bijector, ShapeMap};
use crate::context::Context;
use crate::error::ShapeError;

/// Defines a composition: a module whose members run one after another.
///
/// List the members in the order of `forward`. `field: Type` declares a member, with its visibility
/// and documentation. `!field: Type` declares a member that runs inverted. `field` or `!field`
/// without a type runs a member that was declared before once more. The type is a [`Bijector`] for
/// every number of axes and every condition that all of its members accept. Data-dependent
/// initialisation initialises each member at its first occurrence, if it runs forward there.
///
/// The calling crate must depend on `burn`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use flowkit::{
///     Bijector, ChannelOrder, LayerConfig, LeakyRelu, LeakyReluConfig, Site, Squeeze,
///     SqueezeConfig, chain,
/// };
///
/// chain! {
///     /// Bends the elements of an image that is squeezed meanwhile.
///     pub struct Bent {
///         squeeze: Squeeze,
///         /// What bends.
///         pub bends: Vec<LeakyRelu>,
///         !squeeze,
///     }
/// }
///
/// let site = Site::new([1, 1, 4, 4], &Device::flex());
/// let squeeze = SqueezeConfig::new(ChannelOrder::ChannelMajor).build(&site)?;
/// let bend = LeakyReluConfig::new().build(&site.at([1, 4, 2, 2]))?;
/// let bent = Bent { squeeze, bends: vec![bend; 2] };
/// let x = Tensor::<4>::ones([2, 1, 4, 4], &Device::flex()).neg();
/// let (z, log_det) = bent.forward(x.clone(), &());
/// assert_eq!(z.dims(), [2, 1, 4, 4]);
/// assert!(log_det.max().into_scalar::<f32>() < 0.0);
/// let back = bent.inverse(z, &());
/// assert!((back - x).abs().max().into_scalar::<f32>() < 1e-6);
/// # Ok::<(), flowkit::ConfigError>(())
/// ```
#[macro_export]
macro_rules! chain {
    // The members, read one by one into the list of fields and the list of occurrences.
    (@member $head:tt [$($fields:tt)*] [$($order:tt)*]
        $(#[$meta:meta])* ! $vis:vis $field:ident : $type:ty $(, $($rest:tt)*)?
    ) => {
        $crate::chain!(@member $head [$($fields)* {[$(#[$meta])*] [$vis] $field : $type}]
            [$($order)* (Inverse $field $field)] $($($rest)*)?);
    };
    (@member $head:tt [$($fields:tt)*] [$($order:tt)*]
        $(#[$meta:meta])* $vis:vis $field:ident : $type:ty $(, $($rest:tt)*)?
    ) => {
        $crate::chain!(@member $head [$($fields)* {[$(#[$meta])*] [$vis] $field : $type}]
            [$($order)* (Forward $field $field)] $($($rest)*)?);
    };
    (@member $head:tt $fields:tt [$($order:tt)*] ! $field:ident $(, $($rest:tt)*)?) => {
        $crate::chain!(@member $head $fields [$($order)* (Inverse $field $field)] $($($rest)*)?);
    };
    (@member $head:tt $fields:tt [$($order:tt)*] $field:ident $(, $($rest:tt)*)?) => {
        $crate::chain!(@member $head $fields [$($order)* (Forward $field $field)] $($($rest)*)?);
    };
    (@member
        {[$(#[$meta:meta])*] [$vis:vis] $name:ident [$($param:ident)*]}
        [$({[$($field_meta:tt)*] [$field_vis:vis] $field:ident : $type:ty})+]
        [$($order:tt)+]
    ) => {
        $(#[$meta])*
        #[derive(::burn::module::Module, Debug)]
        $vis struct $name<$($param),*> {
            $($($field_meta)* $field_vis $field: $type),+
        }

        $crate::chain!(@build
            {
                [$($param),*] [$name<$($param),*>] [$($type),+]
                [Self { $($field),+ }] [Self { $($field: $field.done()),+ }] [$($field)+]
            }
            [$($order)+] [] $($order)+);
    };

    // The occurrences in reverse, for the inverse.
    (@build $what:tt $order:tt [$($reverse:tt)*] $head:tt $($tail:tt)*) => {
        $crate::chain!(@build $what $order [$head $($reverse)*] $($tail)*);
    };
    (@build
        {
            [$($param:ident),*] [$self:ty] [$($type:ty),+]
            [$open:pat] [$close:expr] [$($local:ident)+]
        }
        [$(($direction:ident $field:tt $member:ident))+]
        [$(($back:ident $back_field:tt $back_member:ident))+]
    ) => {
        impl<const D: usize, $($param),*> $crate::ShapeMap<D> for $self
        where
            $($type: $crate::ShapeMap<D>,)+
        {
            fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], $crate::ShapeError> {
                $(
                    let direction = $crate::bijector::Direction::$direction;
                    let shape = direction.shape(&self.$field, shape);
                    let place = $crate::bijector::chain::Place(stringify!($field));
                    let shape = shape.map_err(|error| error.at(place))?;
                )+
                Ok(shape)
            }

            fn input_shape(&self, shape: [usize; D]) -> Result<[usize; D], $crate::ShapeError> {
                $(
                    let back = $crate::bijector::Direction::$back;
                    let shape = back.input_shape(&self.$back_field, shape);
                    let place = $crate::bijector::chain::Place(stringify!($back_field));
                    let shape = shape.map_err(|error| error.at(place))?;
                )+
                Ok(shape)
            }
        }

        impl<const D: usize, C, $($param),*> $crate::bijector::Members<D, C> for $self
        where
            C: $crate::Context,
            $($param: ::burn::module::Module + ::burn::module::ModuleDisplay + 'static,)*
            $($type: $crate::Bijector<D, C>,)+
        {
            fn members(&self) -> Vec<$crate::bijector::Entry<'_, D, C>> {
                vec![$($crate::bijector::Entry::new(
                    stringify!($field),
                    $crate::bijector::Direction::$direction,
                    &self.$field,
                )),+]
            }
        }

        impl<const D: usize, C, $($param),*> $crate::Bijector<D, C> for $self
        where
            C: $crate::Context,
            $($param: ::burn::module::Module + ::burn::module::ModuleDisplay + 'static,)*
            $($type: $crate::Bijector<D, C>,)+
        {
            $crate::run_members!(D, C);

            #[allow(non_snake_case)]
            fn initialize(
                self,
                x: ::burn::tensor::Tensor<D>,
                context: &C,
            ) -> (Self, ::burn::tensor::Tensor<D>) {
                let $open = self;
                $(let $local = $crate::bijector::chain::InitOnce::new($local);)+
                $(
                    let direction = $crate::bijector::Direction::$direction;
                    let ($member, x) = $member.next(direction, x, context);
                )+
                ($close, x)
            }
        }
    };

    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident $(<$($param:ident),+ $(,)?>)? { $($members:tt)+ }
    ) => {
        $crate::chain!(@member {[$(#[$meta])*] [$vis] $name [$($($param)+)?]} [] [] $($members)+);
    };
}

/// The members of a tuple are its elements.
macro_rules! tuple {
    ($($T:ident $i:tt),+) => {
        crate::chain!(@build
            { [$($T),+] [($($T,)+)] [$($T),+] [($($T,)+)] [($($T.done(),)+)] [$($T)+] }
            [$((Forward $i $T))+] [] $((Forward $i $T))+);
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
        self.iter().enumerate().try_fold(shape, |shape, (index, member)| {
            member.output_shape(shape).map_err(|error| error.at(Place(index)))
        })
    }

    fn input_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        self.iter().enumerate().rev().try_fold(shape, |shape, (index, member)| {
            member.input_shape(shape).map_err(|error| error.at(Place(index)))
        })
    }
}

impl<const D: usize, C: Context, B: Bijector<D, C>> Members<D, C> for Vec<B> {
    fn members(&self) -> Vec<Entry<'_, D, C>> {
        let entries = self.iter().enumerate();
        entries.map(|(index, member)| Entry::new(index, Direction::Forward, member)).collect()
    }
}

/// A stack of layers of one type, first to last. An empty stack is the identity.
impl<const D: usize, C: Context, B: Bijector<D, C>> Bijector<D, C> for Vec<B> {
    crate::run_members!(D, C);

    fn initialize(self, x: Tensor<D>, context: &C) -> (Self, Tensor<D>) {
        let mut x = x.detach();
        let mut started = Vec::with_capacity(self.len());
        for member in self {
            let (member, z) = member.initialize(x, context);
            started.push(member);
            x = z;
        }
        (started, x)
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

impl<const D: usize, C: Context, B: Bijector<D, C>> Members<D, C> for Option<B> {
    fn members(&self) -> Vec<Entry<'_, D, C>> {
        self.iter().map(|member| Entry::unnamed(member)).collect()
    }
}

/// An optional layer. `None` is the identity.
impl<const D: usize, C: Context, B: Bijector<D, C>> Bijector<D, C> for Option<B> {
    crate::run_members!(D, C);

    fn initialize(self, x: Tensor<D>, context: &C) -> (Self, Tensor<D>) {
        match self {
            Some(member) => {
                let (member, z) = member.initialize(x, context);
                (Some(member), z)
            }
            None => (None, x.detach()),
        }
    }
}
