//! Enums whose variants are surjections: their arm of [`choice!`](crate::choice).

/// The arm of [`choice!`](crate::choice) for surjections.
#[doc(hidden)]
#[macro_export]
macro_rules! choice_of_surjections {
    // One method, forwarded to the chosen surjection.
    (@each $self:ident, $D:literal, $method:ident $arguments:tt, $($variant:ident),+) => {
        match $self {
            $(Self::$variant(inner) => {
                $crate::choice_of_surjections!(@call $D, $method inner $arguments)
            }),+
        }
    };
    // The same, one segment deeper in the paths of parameters. The last argument is the state of
    // the pass.
    (
        @within $self:ident, $D:literal, $pass:ident, $method:ident $arguments:tt,
        $($variant:ident),+
    ) => {
        match $self {
            $(Self::$variant(inner) => $pass.within(stringify!($variant), |$pass| {
                $crate::choice_of_surjections!(@call $D, $method inner $arguments)
            })),+
        }
    };
    (@call $D:literal, $method:ident $inner:ident ($($argument:expr),*)) => {
        $crate::Surjection::<$D>::$method($inner, $($argument),*)
    };
    ({$($head:tt)*} $name:ident $D:literal
        $(#[$first_meta:meta])* $first:ident($first_type:ty)
        $(, $(#[$meta:meta])* $variant:ident($type:ty))* $(,)?
    ) => {
        #[derive(::burn::module::Module, Debug)]
        // There is one value per model, so its size does not matter. A box would hide a module from
        // burn.
        #[allow(clippy::large_enum_variant)]
        #[module(custom_display)]
        $($head)* enum $name {
            $(#[$first_meta])* $first($first_type)
            $(, $(#[$meta])* $variant($type))*
        }

        $crate::choice! { @display $name $first $($variant)* }

        // All find the log-likelihood in the same way: a bound must not be called exact.
        const _: () = {
            #[allow(dead_code)]
            fn is_found_alike<S>()
            where
                S: $crate::Surjection<
                    $D,
                    Provenance = <$first_type as $crate::Surjection<$D>>::Provenance,
                >,
            {
            }
            $(let _ = is_found_alike::<$type>;)*
        };

        impl $crate::Surjection<$D> for $name {
            type Data = <$first_type as $crate::Surjection<$D>>::Data;
            type Noise = <$first_type as $crate::Surjection<$D>>::Noise;
            type Provenance = <$first_type as $crate::Surjection<$D>>::Provenance;
            const PROVENANCE: Self::Provenance =
                <$first_type as $crate::Surjection<$D>>::PROVENANCE;

            fn plain(&self, x: Self::Data) -> Self::Data {
                $crate::choice_of_surjections!(@each self, $D, plain(x), $first $(, $variant)*)
            }

            fn noise(&self, x: &Self::Data, dtype: ::burn::tensor::DType) -> Self::Noise {
                $crate::choice_of_surjections!(
                    @each self, $D, noise(x, dtype), $first $(, $variant)*
                )
            }

            fn lift(
                &self,
                x: Self::Data,
                noise: Self::Noise,
            ) -> (::burn::tensor::Tensor<$D>, ::burn::tensor::Tensor<1>) {
                $crate::choice_of_surjections!(
                    @each self, $D, lift(x, noise), $first $(, $variant)*
                )
            }

            fn lower(&self, y: ::burn::tensor::Tensor<$D>) -> Self::Data {
                $crate::choice_of_surjections!(@each self, $D, lower(y), $first $(, $variant)*)
            }

            fn shape(&self, x: &Self::Data) -> Result<[usize; $D], $crate::FlowError> {
                $crate::choice_of_surjections!(@each self, $D, shape(x), $first $(, $variant)*)
            }

            fn check(&self, x: &Self::Data) -> Result<[usize; $D], $crate::FlowError> {
                $crate::choice_of_surjections!(@each self, $D, check(x), $first $(, $variant)*)
            }

            fn placement(
                &self,
                x: &Self::Data,
                dtype: ::burn::tensor::DType,
            ) -> (::burn::tensor::DType, ::burn::tensor::Device) {
                $crate::choice_of_surjections!(
                    @each self, $D, placement(x, dtype), $first $(, $variant)*
                )
            }

            fn dims(&self, shape: [usize; $D]) -> usize {
                $crate::choice_of_surjections!(@each self, $D, dims(shape), $first $(, $variant)*)
            }

            fn non_finite(&self, x: &Self::Data) -> Result<Option<Vec<usize>>, $crate::FlowError> {
                $crate::choice_of_surjections!(@each self, $D, non_finite(x), $first $(, $variant)*)
            }

            fn check_dtype(&self, dtype: ::burn::tensor::DType) -> Result<(), $crate::FlowError> {
                $crate::choice_of_surjections!(
                    @each self, $D, check_dtype(dtype), $first $(, $variant)*
                )
            }

            fn initialize(
                self,
                x: Self::Data,
                noise: Self::Noise,
            ) -> (Self, ::burn::tensor::Tensor<$D>) {
                match self {
                    Self::$first(inner) => {
                        let (inner, y) = $crate::Surjection::<$D>::initialize(inner, x, noise);
                        (Self::$first(inner), y)
                    }
                    $(Self::$variant(inner) => {
                        let (inner, y) = $crate::Surjection::<$D>::initialize(inner, x, noise);
                        (Self::$variant(inner), y)
                    })*
                }
            }

            fn replay_lift(
                &self,
                x: Self::Data,
                noise: Self::Noise,
                replay: &mut $crate::bijector::replay::Replay<()>,
            ) -> (::burn::tensor::Tensor<$D>, ::burn::tensor::Tensor<1>) {
                $crate::choice_of_surjections!(
                    @within self, $D, replay, replay_lift(x, noise, replay), $first $(, $variant)*
                )
            }

            fn replay_back(
                &self,
                x: Self::Data,
                noise: Self::Noise,
                back: $crate::bijector::replay::Cotangent<$D>,
                replay: &mut $crate::bijector::replay::Replay<()>,
            ) {
                $crate::choice_of_surjections!(
                    @within self, $D, replay, replay_back(x, noise, back, replay),
                    $first $(, $variant)*
                )
            }

            fn visit_layers(
                &self,
                x: Self::Data,
                noise: Self::Noise,
                visit: &mut $crate::bijector::visit::Visit<'_, $D>,
            ) -> ::burn::tensor::Tensor<$D> {
                $crate::choice_of_surjections!(
                    @within self, $D, visit, visit_layers(x, noise, visit), $first $(, $variant)*
                )
            }
        }
    };
}
