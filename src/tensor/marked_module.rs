//! Modules that compute in a type of their own, marked for visitors and mappers.
//!
//! burn tells a visitor the name of the struct whose field it enters. A user's own struct may have
//! any name, so these modules tell a mark instead, which is no name that burn's derive can make.

/// Mark of a module that holds a network, whatever the network is. It computes in a type of its
/// own, which may be a half-precision type.
pub(crate) const NETWORK: &str = "flowkit: network";

/// Mark of a module within a network whose parameters stay in float32.
pub(crate) const WIDE: &str = "flowkit: float32";

/// Implements burn's module for a struct as the derive does, but visitors and mappers are told a
/// mark. `modules` are the fields with parameters, `others` those without.
macro_rules! marked_module {
    (
        $mark:ident: $name:ident [$($own:tt)*], module [$($module_bounds:tt)*],
        display [$($display_bounds:tt)*], modules [$($module:ident),+], others [$($other:ident),*]
    ) => {
        impl<$($module_bounds)*> ::burn::module::Module for $name<$($own)*> {
            fn collect_devices(&self, devices: ::burn::module::Devices) -> ::burn::module::Devices {
                $(let devices = ::burn::module::Module::collect_devices(&self.$module, devices);)+
                devices
            }

            fn fork(self, device: &::burn::tensor::Device) -> Self {
                $(let $module = ::burn::module::Module::fork(self.$module, device);)+
                Self { $($module,)+ $($other: self.$other,)* }
            }

            fn to_device(self, device: &::burn::tensor::Device) -> Self {
                $(let $module = ::burn::module::Module::to_device(self.$module, device);)+
                Self { $($module,)+ $($other: self.$other,)* }
            }

            fn train(self) -> Self {
                $(let $module = ::burn::module::Module::train(self.$module);)+
                Self { $($module,)+ $($other: self.$other,)* }
            }

            fn valid(&self) -> Self {
                $(let $module = ::burn::module::Module::valid(&self.$module);)+
                Self { $($module,)+ $($other: self.$other.clone(),)* }
            }

            fn materialize(self) -> Self {
                $(let $module = ::burn::module::Module::materialize(self.$module);)+
                Self { $($module,)+ $($other: self.$other,)* }
            }

            fn visit<V: ::burn::module::ModuleVisitor>(&self, visitor: &mut V) {
                use $crate::tensor::marked_module::$mark;
                $(
                    visitor.enter_module(stringify!($module), $mark);
                    ::burn::module::Module::visit(&self.$module, visitor);
                    visitor.exit_module(stringify!($module), $mark);
                )+
            }

            fn map<M: ::burn::module::ModuleMapper>(self, mapper: &mut M) -> Self {
                use $crate::tensor::marked_module::$mark;
                $(
                    mapper.enter_module(stringify!($module), $mark);
                    let $module = ::burn::module::Module::map(self.$module, mapper);
                    mapper.exit_module(stringify!($module), $mark);
                )+
                Self { $($module,)+ $($other: self.$other,)* }
            }
        }

        impl<$($display_bounds)*> ::burn::module::ModuleDisplayDefault for $name<$($own)*> {
            fn content(
                &self,
                content: ::burn::module::Content,
            ) -> Option<::burn::module::Content> {
                content
                    .set_top_level_type(stringify!($name))
                    $(.add(stringify!($module), &self.$module))+
                    $(.add_debug_attribute(stringify!($other), &self.$other))*
                    .optional()
            }

            fn num_params(&self) -> usize {
                ::burn::module::Module::num_params(self)
            }
        }

        impl<$($display_bounds)*> ::std::fmt::Display for $name<$($own)*> {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(&::burn::module::ModuleDisplay::format(self, Default::default()))
            }
        }
    };
}
pub(crate) use marked_module;
