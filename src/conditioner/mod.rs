//! Networks that compute the parameters of a law.
//!
//! A network implements [`Net`], and its configuration implements [`NetConfig`], which builds it
//! for a [`NetSite`]. A layer holds it in a [`Conditioned`], which checks and casts its inputs.

pub mod angle_net;
pub mod any_net;
pub mod choice;
pub mod conditioned;
pub mod conv_res_net;
pub mod gated_net;
pub mod glow_net;
pub mod layer;
pub mod mlp;
pub mod net;
pub mod net_site;
pub mod res_net;
pub mod theta_init;
pub mod zero_conv;

pub use angle_net::{AngleNet, AngleNetConfig};
pub use any_net::{AnyNet, AnyNetConfig};
pub use conditioned::Conditioned;
pub use conv_res_net::{ConvResBlock, ConvResNet, ConvResNetConfig};
pub use gated_net::{GatedNet, GatedNetConfig, OutputActivation};
pub use glow_net::{GlowNet, GlowNetConfig, NormedConv};
pub use mlp::{Mlp, MlpConfig};
pub use net::{Net, NetConfig, theta};
pub use net_site::NetSite;
pub use res_net::{ResBlock, ResNet, ResNetConfig};
pub use zero_conv::{ZeroConv, ZeroConvConfig};

// The parts of networks are exported by `layer` alone; these are settings of the networks'
// configurations.
pub use layer::{Activation, ConvStyle, ConvWeight, Mixing};
