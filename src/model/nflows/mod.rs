//! Flows that nflows trained: RealNVP, masked autoregressive flows, neural spline flows, and other
//! stacks of their transforms.
//!
//! [`load`] reads the state dict of a `Flow` of nflows, in Python
//! ```text
//! torch.save(flow.state_dict(), "flow.pt")
//! ```
//! and returns a flow with the same density: the transforms of the file, one after another, as
//! [`AnyLayerConfig`]s. Those are what a JSON file of layers has, so the flow can be built again
//! without nflows. Use [`load_given`] for a flow with a context.
//!
//! | transform | here |
//! |---|---|
//! | `CompositeTransform` | its transforms in a row |
//! | `MaskedAffineAutoregressiveTransform` | [`MaskedAutoregressive`](crate::MaskedAutoregressive) of [`FlooredAffine`](crate::law::FlooredAffine), in its form `Softplus` |
//! | `MaskedPiecewiseRationalQuadraticAutoregressiveTransform` | the same of [`RationalQuadraticSpline`](crate::law::RationalQuadraticSpline) |
//! | `AffineCouplingTransform`, `AdditiveCouplingTransform` | [`Coupling`](crate::Coupling) of [`FlooredAffine`](crate::law::FlooredAffine), in its form `Sigmoid`, or of [`Affine`](crate::law::Affine) |
//! | `PiecewiseRationalQuadraticCouplingTransform` | the same of [`RationalQuadraticSpline`](crate::law::RationalQuadraticSpline); with `apply_unconditional_transform`, splines of the other half |
//! | `PiecewiseRationalQuadraticCDF` | [`Elementwise`](crate::Elementwise) |
//! | `Permutation`, `RandomPermutation`, `ReversePermutation` | [`Permutation`](crate::Permutation) |
//! | `LULinear` | [`Conv1x1`](crate::Conv1x1), then an [`ActNorm`](crate::ActNorm) of its bias |
//! | `BatchNorm`, `ActNorm`, `PointwiseAffineTransform` | [`ActNorm`](crate::ActNorm), as in evaluation |
//!
//! So `MaskedAutoregressiveFlow` and `SimpleRealNVP` are read with all their options but batch
//! normalisation within layers, and so is a neural spline flow as nflows' authors build it. The
//! networks of couplings are `nflows.nn.nets.ResidualNet`, those of autoregressive transforms
//! `MADE`: residual, or feedforward without a context. A coupling whose halves are not next to each
//! other is between two permutations here.
//!
//! Features, context, widths, bins, masks, orders and the kinds of the transforms follow from the
//! arrays. What does not is in [`NflowsSettings`]. A transform without arrays, such as `Sigmoid`,
//! is not in a state dict: between others the gap in their numbers is an error, but nothing shows
//! one that is the last.
//!
//! # What cannot be read
//! Batch normalisation within networks, splines without linear tails, other splines, embedding
//! networks, other networks of couplings, other priors than the standard normal, a feedforward
//! `MADE` with a context, and halves of a coupling that differ by more than one element. Each is an
//! error that names what was found.
//!
//! # Reference
//! nflows 0.14: `flows/autoregressive.py`, `flows/realnvp.py`, `transforms/*.py`,
//! `nn/nets/resnet.py`.
//! `tests/peers_in.rs` compares log-densities and samples.
//!
//! # Example
//! ```no_run
//! use burn::tensor::{Device, Tensor};
//! use flowkit::Density;
//! use flowkit::model::nflows::{self, NflowsSettings};
//!
//! let settings = NflowsSettings::new().with_tail_bound(3.0);
//! let (flow, layers) = nflows::load("flow.pt", &settings, &Device::flex())?;
//! let x = Tensor::<2>::from_data([[0.5, -1.0, 2.0]], &Device::flex());
//! let log_prob = flow.log_prob(x);
//! // From here on it is a flow like any other: `Flow::build` with `layers` loads it again.
//! flow.save("ours.safetensors")?;
//! # let _ = (log_prob, layers);
//! # Ok::<(), flowkit::Error>(())
//! ```

mod autoregressive;
mod coupling;
mod elementwise;
mod reader;
mod settings;
mod spline;

use std::path::Path;

use burn::tensor::Device;

use self::reader::Reader;
pub use self::settings::NflowsSettings;
use super::translation::{build, check_context};
use crate::any_layer::AnyLayerConfig;
use crate::bijector::boxed::BoxBijector;
use crate::context::Features;
use crate::flow::Flow;
use crate::flow::uninit::Uninit;
use crate::prior::StandardNormal;
use crate::state_dict::{StateDict, StateDictError};

/// A flow that nflows trained.
pub type Nflows<C = ()> = Flow<Vec<BoxBijector<2, C>>, StandardNormal, 2, C>;

/// The flow of a file, and the configuration of its layers.
///
/// # Errors
/// Those of [`StateDict::read`], [`layers`] and [`fill`]; [`StateDictError::Undetermined`] if the
/// flow has a context.
pub fn load(
    path: impl AsRef<Path>,
    settings: &NflowsSettings,
    device: &Device,
) -> Result<(Nflows, Vec<AnyLayerConfig>), StateDictError> {
    load_given(path, settings, &(), device)
}

/// [`load`] for a flow with a context like `example`, of which only the shape is used.
///
/// # Errors
/// As [`load`]; [`StateDictError::Undetermined`] if the context has another width.
pub fn load_given<C: Features<2>>(
    path: impl AsRef<Path>,
    settings: &NflowsSettings,
    example: &C,
    device: &Device,
) -> Result<(Nflows<C>, Vec<AnyLayerConfig>), StateDictError> {
    let state = StateDict::read(path)?;
    let read = Reader::read(&state, settings)?;
    check_context(&state, read.context(), example)?;
    let layers = read.layers().to_vec();
    let uninit = build(&state, &layers, read.features()?, example, device)?;
    Ok((read.into_model(uninit)?, layers))
}

/// The configuration of the layers of a file.
///
/// # Errors
/// [`StateDictError::Missing`], [`StateDictError::Shape`], [`StateDictError::Value`],
/// [`StateDictError::NotFinite`], [`StateDictError::NotPositive`] and
/// [`StateDictError::Undetermined`] if the arrays are not those of transforms that can be read.
pub fn layers(
    state: &StateDict,
    settings: &NflowsSettings,
) -> Result<Vec<AnyLayerConfig>, StateDictError> {
    Ok(Reader::read(state, settings)?.layers().to_vec())
}

/// A flow that [`layers`] built with the same settings, with the weights of a file. Each array is
/// used, and each parameter set, in its own type.
///
/// # Errors
/// Those of [`layers`]; [`StateDictError::Unused`].
pub fn fill<C: Features<2>>(
    state: &StateDict,
    settings: &NflowsSettings,
    uninit: Uninit<Nflows<C>>,
) -> Result<Nflows<C>, StateDictError> {
    Reader::read(state, settings)?.into_model(uninit)
}
