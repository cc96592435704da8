//! Neural spline flows and masked autoregressive flows that zuko trained.
//!
//! [`load`] reads the state dict of `zuko.flows.NSF` and of `zuko.flows.MAF`, in Python
//! ```text
//! torch.save(flow.state_dict(), "flow.pt")
//! ```
//! and returns a [`Maf`] with the same density. Both flows of zuko are masked autoregressive: `MAF`
//! with an affine law ([`FlooredAffine`](crate::law::FlooredAffine) in its form `SoftClip`), `NSF`
//! with a spline ([`SoftClipSpline`](crate::law::SoftClipSpline)). Use [`load_given`] for a flow
//! with a context.
//!
//! | array | shape | what it is here |
//! |---|---|---|
//! | `transform.transforms.{i}.order` | `[D]` | the order of the elements; ties are groups (`passes`) |
//! | `...hyper.{2j}.weight`, `.bias` | `[out, in]`, `[out]` | layer `j` of [`Made`](crate::Made), transposed; outputs of the last by element, then by parameter |
//! | `...hyper.{2j}.mask` | `[out, in]` | compared with the mask that follows from the order |
//! | `...phi.{k}` | `[1, ..]` | parameters of a single element without a context |
//! | `base.loc`, `base.scale` | `[D]` | compared with 0 and 1 |
//!
//! Number of features, context, transforms, widths, bins and the law follow from the shapes. What
//! does not is in [`ZukoSettings`].
//!
//! # What cannot be read
//! Residual networks (`residual=True`), transforms with an `adjacency` of their own, a base other
//! than the standard normal distribution, and other flows of zuko. Each is an error that names what
//! was found.
//!
//! # Reference
//! zuko 1.6.0: `flows/autoregressive.py`, `flows/spline.py`, `nn.py`. `tests/peers_in.rs` compares
//! log-densities and samples.
//!
//! # Example
//! ```no_run
//! use burn::tensor::{Device, Tensor};
//! use flowkit::Density;
//! use flowkit::model::zuko::{self, ZukoSettings};
//!
//! let (flow, config) = zuko::load("flow.pt", &ZukoSettings::new(), &Device::flex())?;
//! let x = Tensor::<2>::from_data([[0.5, -1.0, 2.0]], &Device::flex());
//! let log_prob = flow.log_prob(x);
//! // From here on it is a flow like any other: `Flow::build` with `config` loads it again.
//! flow.save("ours.safetensors")?;
//! # let _ = (log_prob, config);
//! # Ok::<(), flowkit::Error>(())
//! ```

use std::path::Path;

use burn::tensor::Device;

use super::LinearKind;
use super::maf::{Maf, MafConfig};
use super::translation::{Rows, Translation, build, by_element, check_context};
use crate::conditioner::Activation;
use crate::context::Features;
use crate::flow::uninit::Uninit;
use crate::law::{AnyLawConfig, FlooredAffineConfig, ScaleForm, SoftClipSplineConfig};
use crate::state_dict::slot::Part;
use crate::state_dict::{StateDict, StateDictError};

config! {
    /// What a state dict of zuko does not say, with zuko's defaults.
    #[derive(Debug)]
    pub struct ZukoSettings {
        /// Nonlinearity of the networks.
        pub activation: Activation = Activation::Relu,
        /// Bound of the splines.
        pub bound: f64 = 5.0,
        /// Smallest slope of the splines or smallest scale of the affine maps.
        pub slope: f64 = 1e-3,
    }
}

/// The flow of a file, and the configuration of its layers.
///
/// # Errors
/// Those of [`StateDict::read`], [`config()`] and [`fill`]; [`StateDictError::Undetermined`] if the
/// flow has a context.
pub fn load(
    path: impl AsRef<Path>,
    settings: &ZukoSettings,
    device: &Device,
) -> Result<(Maf, MafConfig), StateDictError> {
    load_given(path, settings, &(), device)
}

/// [`load`] for a flow with a context like `example`, of which only the shape is used.
///
/// # Errors
/// As [`load`]; [`StateDictError::Undetermined`] if the context has another width.
pub fn load_given<C: Features<2>>(
    path: impl AsRef<Path>,
    settings: &ZukoSettings,
    example: &C,
    device: &Device,
) -> Result<(Maf<C>, MafConfig), StateDictError> {
    let state = StateDict::read(path)?;
    let sizes = Sizes::of(&Translation::new(&state))?;
    check_context(&state, sizes.context, example)?;
    let config = config(&state, settings)?;
    let uninit = build(&state, &config, sizes.features, example, device)?;
    Ok((fill(&state, uninit)?, config))
}

/// The configuration of the layers of a file.
///
/// # Errors
/// [`StateDictError::Missing`], [`StateDictError::Value`] and [`StateDictError::Undetermined`] if
/// the arrays are not those of an `NSF` or `MAF`.
pub fn config(state: &StateDict, settings: &ZukoSettings) -> Result<MafConfig, StateDictError> {
    let file = Translation::new(state);
    let sizes = Sizes::of(&file)?;
    let ZukoSettings { activation, bound, slope } = *settings;
    let law: AnyLawConfig = match sizes.law(&file)? {
        Law::Affine => FlooredAffineConfig::new(ScaleForm::SoftClip).with_least(slope).into(),
        Law::Spline { n_bins } => {
            SoftClipSplineConfig::new(n_bins).with_bound(bound).with_slope(slope).into()
        }
    };
    Ok(MafConfig::new(sizes.n_transforms)
        .with_hidden(sizes.hidden)
        .with_activation(activation)
        .with_law(law)
        .with_linear(LinearKind::None))
}

/// A flow that [`config()`] built, with the weights of a file. Each array is used, and each
/// parameter set, in its own type.
///
/// # Errors
/// Those of [`config()`]; [`StateDictError::Shape`], [`StateDictError::Integers`] and
/// [`StateDictError::NotFinite`] for an array; [`StateDictError::Unused`].
pub fn fill<C: Features<2>>(
    state: &StateDict,
    uninit: Uninit<Maf<C>>,
) -> Result<Maf<C>, StateDictError> {
    let mut file = Translation::new(state);
    let sizes = Sizes::of(&file)?;
    let features = sizes.features;
    file.expect("base.loc", &[features], |_| 0.0)?;
    file.expect("base.scale", &[features], |_| 1.0)?;
    // Shift and scale there are in the opposite order.
    let order: Vec<usize> = match sizes.law(&file)? {
        Law::Affine => vec![1, 0],
        Law::Spline { .. } => (0..sizes.n_params).collect(),
    };
    for index in 0..sizes.n_transforms {
        let name = format!("transform.transforms.{index}");
        let net = format!("bijector.{index}.1.conditioner.net");
        if features == 1 {
            sizes.single(&mut file, &name, &net, &order)?;
        } else {
            sizes.masked(&mut file, &name, &net, &order)?;
        }
    }
    file.into_model(uninit)
}

enum Law {
    Affine,
    Spline { n_bins: usize },
}

/// What the shapes of a file say.
struct Sizes {
    features: usize,
    context: Option<usize>,
    n_transforms: usize,
    hidden: Vec<usize>,
    /// Number of parameters of each element.
    n_params: usize,
}

impl Sizes {
    fn of(file: &Translation<'_>) -> Result<Self, StateDictError> {
        const FIRST: &str = "transform.transforms.0";
        let [features] = file.shape("base.loc")?;
        let n_transforms = file.count("transform.transforms.");
        if file.has_within(&format!("{FIRST}.phi.")) {
            let n_params =
                (0..file.count_arrays(&format!("{FIRST}.phi."))).try_fold(0, |n, k| {
                    let name = format!("{FIRST}.phi.{k}");
                    // One parameter is a number, several are a list.
                    let of_part = file
                        .shape::<1>(&name)
                        .map(|_| 1)
                        .or_else(|_| file.shape(&name).map(|[_, n]| n));
                    of_part.map(|count: usize| n + count)
                })?;
            return Ok(Self { features, context: None, n_transforms, hidden: vec![], n_params });
        }
        if file.has_within(&format!("{FIRST}.hyper.1.")) {
            let reason = "`transform.transforms.0.hyper.1` has arrays: zuko's residual networks, \
                          and activations with parameters, have no layer here";
            return Err(file.undetermined(reason));
        }
        if features > 1 && !file.has(&format!("{FIRST}.order")) {
            let reason = "there is no `transform.transforms.0.order`: expected an `NSF` or `MAF` \
                          of zuko 1.6 whose transforms have an order, not an adjacency";
            return Err(file.undetermined(reason));
        }
        let widths = |layer: usize| file.shape::<2>(&format!("{FIRST}.hyper.{}.weight", 2 * layer));
        let [_, inputs] = widths(0)?;
        let n_layers = (0..)
            .take_while(|layer| file.has(&format!("{FIRST}.hyper.{}.weight", 2 * layer)))
            .count();
        let outputs = (0..n_layers).map(|layer| Ok(widths(layer)?[0]));
        let mut hidden = outputs.collect::<Result<Vec<usize>, StateDictError>>()?;
        let outputs = hidden.pop().unwrap_or_default();
        // The network of a single element reads the context alone.
        let own = if features == 1 { 0 } else { features };
        if inputs < own || outputs % features != 0 {
            let reason = format!(
                "expected networks from at least {features} numbers to a multiple of them, found \
                 one from {inputs} to {outputs}"
            );
            return Err(file.undetermined(reason));
        }
        let context = Some(inputs - own).filter(|&width| width > 0);
        Ok(Self { features, context, n_transforms, hidden, n_params: outputs / features })
    }

    fn law(&self, file: &Translation<'_>) -> Result<Law, StateDictError> {
        match self.n_params {
            2 => Ok(Law::Affine),
            n if n > 2 && n % 3 == 2 => Ok(Law::Spline { n_bins: n.div_ceil(3) }),
            n => Err(file.undetermined(format!(
                "expected 2 parameters for each element (MAF), or one less than 3 for each bin \
                 (NSF), found {n}"
            ))),
        }
    }

    /// One transform of several elements.
    fn masked(
        &self,
        file: &mut Translation<'_>,
        name: &str,
        net: &str,
        parameters: &[usize],
    ) -> Result<(), StateDictError> {
        let features = self.features;
        let order = file.indices(&format!("{name}.order"), features)?;
        if order.len() != features {
            return Err(file.undetermined(format!(
                "`{name}.order`: expected {features} elements, found {}",
                order.len()
            )));
        }
        // Elements of one place do not depend on each other. A unit of degree `g` depends on the
        // elements of the first `g` places.
        let mut places = order.clone();
        places.sort_unstable();
        places.dedup();
        let degree = |place: &usize| places.partition_point(|other| other < place) + 1;
        let elements: Vec<usize> = order.iter().map(degree).collect();
        let least = usize::from(self.context.is_none());
        let used: Vec<usize> = (least..places.len()).collect();
        if used.is_empty() {
            return Err(file.undetermined(format!("`{name}.order`: no element precedes another")));
        }
        let mut inputs = elements.clone();
        inputs.extend(vec![0; self.context.unwrap_or(0)]);
        for (layer, &width) in self.hidden.iter().enumerate() {
            let outputs: Vec<usize> = used.iter().copied().cycle().take(width).collect();
            let (path, theirs) = (format!("{net}.hidden.{layer}"), format!("{name}.hyper"));
            let theirs = format!("{theirs}.{}", 2 * layer);
            file.expect_mask(&format!("{theirs}.mask"), &inputs, &outputs, |i, o| i <= o)?;
            file.dense(&format!("{path}.linear"), &theirs, [width, inputs.len()])?;
            file.degrees(&path, &inputs, &outputs);
            inputs = outputs;
        }
        let theirs = format!("{name}.hyper.{}", 2 * self.hidden.len());
        let by_element_there: Vec<usize> =
            elements.iter().flat_map(|&degree| vec![degree; self.n_params]).collect();
        file.expect_mask(&format!("{theirs}.mask"), &inputs, &by_element_there, |i, o| i < o)?;
        let rows = by_element(parameters, features);
        let rows = Rows { rows, factor: &|_| 1.0, offset: &|_| 0.0 };
        file.dense_with(&format!("{net}.output.linear"), &theirs, rows, inputs.len())?;
        file.degrees(&format!("{net}.output"), &inputs, &elements.repeat(self.n_params));
        let mut sorted: Vec<usize> = (0..features).collect();
        sorted.sort_by_key(|&element| order[element]);
        file.put_indices(format!("{net}.order"), &sorted);
        Ok(())
    }

    /// One transform of a single element, whose parameters depend on the context alone.
    fn single(
        &self,
        file: &mut Translation<'_>,
        name: &str,
        net: &str,
        parameters: &[usize],
    ) -> Result<(), StateDictError> {
        let mut inputs = vec![1];
        inputs.extend(vec![0; self.context.unwrap_or(0)]);
        let output = format!("{net}.output.linear");
        if self.context.is_none() {
            let mut theta = Vec::with_capacity(self.n_params);
            for k in 0..file.count_arrays(&format!("{name}.phi.")) {
                let part = format!("{name}.phi.{k}");
                // A number for the element, or a row of them.
                let shape = match file.shape::<1>(&part) {
                    Ok(_) => vec![1],
                    Err(_) => vec![1, file.shape::<2>(&part)?[1]],
                };
                theta.extend(file.values(Part::new(part, shape))?);
            }
            if theta.len() != self.n_params {
                let (expected, found) = (self.n_params, theta.len());
                let reason = format!("`{name}.phi`: expected {expected} numbers, found {found}");
                return Err(file.undetermined(reason));
            }
            let bias = parameters.iter().map(|&parameter| theta[parameter]).collect();
            file.put(format!("{output}.bias"), [self.n_params], bias);
            file.put(format!("{output}.weight"), [1, self.n_params], vec![0.0; self.n_params]);
        } else {
            for (layer, &width) in self.hidden.iter().enumerate() {
                let path = format!("{net}.hidden.{layer}");
                let read = if layer == 0 { inputs.len() - 1 } else { inputs.len() };
                let theirs = format!("{name}.hyper.{}", 2 * layer);
                file.dense(&format!("{path}.linear"), &theirs, [width, read])?;
                if layer == 0 {
                    file.put_zero_row(&format!("{path}.linear.weight"));
                }
                let outputs = vec![0; width];
                file.degrees(&path, &inputs, &outputs);
                inputs = outputs;
            }
            let theirs = format!("{name}.hyper.{}", 2 * self.hidden.len());
            let rows = Rows { rows: parameters.to_vec(), factor: &|_| 1.0, offset: &|_| 0.0 };
            let read = if self.hidden.is_empty() { inputs.len() - 1 } else { inputs.len() };
            file.dense_with(&output, &theirs, rows, read)?;
            if self.hidden.is_empty() {
                file.put_zero_row(&format!("{output}.weight"));
            }
        }
        file.degrees(&format!("{net}.output"), &inputs, &vec![1; self.n_params]);
        file.put_indices(format!("{net}.order"), &[0]);
        Ok(())
    }
}
