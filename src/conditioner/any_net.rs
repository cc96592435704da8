//! A network selected by a configuration.
//!
//! A configuration used as a `NetConfig<2>` builds networks for vectors, and used as a
//! `NetConfig<4>` networks for images. A network of the other kind is an error that names the
//! expected number of axes.
//!
//! ```
//! use burn::tensor::Device;
//! use flowkit::law::AnyLawConfig;
//! use flowkit::{AnyNetConfig, CouplingConfig, LayerConfig, Site};
//!
//! let config: CouplingConfig<AnyLawConfig, AnyNetConfig> = serde_json::from_str(
//!     r#"{"law": {"Affine": {"form": "Sigmoid"}}, "net": {"Mlp": {"hidden": [16]}}}"#,
//! )?;
//! let device = Device::flex();
//! assert!(config.build(&Site::<2>::new([1, 3], &device)).is_ok());
//! let error = config.build(&Site::<4>::new([1, 3, 8, 8], &device)).unwrap_err();
//! assert_eq!(error.to_string(), ".net: Mlp: expected 2 axes, found shape [1, 2, 8, 8]");
//! # Ok::<(), serde_json::Error>(())
//! ```

use super::{
    ConvResNet, ConvResNetConfig, GatedNet, GatedNetConfig, GlowNet, GlowNetConfig, Mlp, MlpConfig,
    ResNet, ResNetConfig, ZeroConv, ZeroConvConfig,
};

crate::choice! {
    /// One of the networks.
    pub enum AnyNet: Net,
    /// Configuration of [`AnyNet`].
    AnyNetConfig: NetConfig {
        /// Multilayer perceptron, for vectors.
        Mlp<2>(Mlp, MlpConfig),
        /// Residual network, for vectors.
        ResNet<2>(ResNet, ResNetConfig),
        /// Residual convolutions, for images of any size.
        ConvResNet<4>(ConvResNet, ConvResNetConfig),
        /// Gated convolutions and attention (Flow++), for images.
        GatedNet<4>(GatedNet, GatedNetConfig),
        /// Glow's network, for images.
        GlowNet<4>(GlowNet, GlowNetConfig),
        /// One convolution with initial weights of zero, for images.
        ZeroConv<4>(ZeroConv, ZeroConvConfig),
    }
}
