//! What a file can name: parts of this crate beside those of flowkit.
//!
//! `flows/conditional.json` is such a file.

use flowkit::law::{AnyLaw, AnyLawConfig};
use flowkit::{AnyLayerConfig, AnyNet, AnyNetConfig, CouplingConfig, choice};

use crate::arcsinh::ArcsinhConfig;
use crate::rotated::RotatedConfig;
use crate::sines::{Sines, SinesConfig};
use crate::sinh_arcsinh::{SinhArcsinh, SinhArcsinhConfig};

choice! {
    /// A law.
    pub enum MyLaw: Law,
    /// Configuration of [`MyLaw`].
    MyLawConfig: LawConfig {
        /// The law of this crate.
        SinhArcsinh(SinhArcsinh, SinhArcsinhConfig),
        /// A law of flowkit.
        Ours(AnyLaw, AnyLawConfig),
    }
}

choice! {
    /// A network.
    pub enum MyNet: Net,
    /// Configuration of [`MyNet`].
    MyNetConfig: NetConfig {
        /// The network of this crate, for vectors.
        Sines<2>(Sines, SinesConfig),
        /// A network of flowkit.
        Ours(AnyNet, AnyNetConfig),
    }
}

choice! {
    /// A layer.
    pub enum MyLayerConfig: LayerConfig {
        /// The bijector of this crate, for vectors.
        Arcsinh<2>(ArcsinhConfig),
        /// The composition of this crate, for vectors.
        Rotated<2>(RotatedConfig),
        /// A coupling with any law and any network.
        Coupling(CouplingConfig<MyLawConfig, MyNetConfig>),
        /// A layer of flowkit.
        Ours(AnyLayerConfig),
    }
}
