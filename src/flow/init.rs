//! Data-dependent initialisation, with a check of its result: every parameter and every latent must
//! be finite; otherwise an error names the first layer at fault.
//!
//! Initialisation never guesses: if a batch does not determine a layer's parameters, they become
//! NaN. In that case the batch passes through the layers one at a time, in forward order. The error
//! names the first layer whose parameters or output are not finite, by the path of its parameters.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

use crate::bijector::Bijector;
use crate::bijector::visit::{Layer, LayerName, LayerPath, LayerVisitor, Visit};
use crate::context::Context;
use crate::encoder::Encoder;
use crate::error::{FlowError, InitProblem};
use crate::flow::surjection::Surjection;
use crate::flow::uninit::Uninit;
use crate::flow::{Admitted, Flow};
use crate::prior::Prior;
use crate::tensor::finite::all_finite;
use crate::tensor::type_name::type_name;

/// The first element that is not finite: its index in the flattened tensor, and its value. If all
/// are finite, a single value is copied to the host.
fn first_non_finite<const D: usize>(x: &Tensor<D>) -> Result<Option<(usize, f64)>, FlowError> {
    if all_finite(x) {
        return Ok(None);
    }
    let data =
        x.clone().inner().try_into_data().map_err(|error| FlowError::Device(error.to_string()))?;
    Ok(data.iter::<f64>().enumerate().find(|(_, value)| !value.is_finite()))
}

/// The first parameter that is not finite.
struct Parameters {
    path: Vec<String>,
    found: Result<Option<(String, usize, f64)>, FlowError>,
}

impl ModuleVisitor for Parameters {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const R: usize>(&mut self, param: &Param<Tensor<R>>) {
        if let Ok(None) = self.found {
            let name = || self.path.join(".");
            self.found = first_non_finite(&param.val())
                .map(|at| at.map(|(index, value)| (name(), index, value)));
        }
    }
}

fn first_bad_parameter<M: Module>(module: &M) -> Result<Option<(String, usize, f64)>, FlowError> {
    let mut parameters = Parameters { path: Vec::new(), found: Ok(None) };
    module.visit(&mut parameters);
    parameters.found
}

/// Finds the first layer at fault. It runs every layer, also those after the fault, so that the
/// shapes stay correct.
#[derive(Default)]
struct Search {
    found: Option<FlowError>,
}

impl Search {
    fn note(
        &mut self,
        path: &LayerPath,
        layer: LayerName,
        problem: Result<Option<InitProblem>, FlowError>,
    ) {
        let found = match problem {
            Ok(None) => return,
            Ok(Some(problem)) => FlowError::Init { path: path.to_string(), layer, problem },
            Err(error) => error,
        };
        self.found.get_or_insert(found);
    }
}

/// What is wrong with an initialised layer that maps `x` to `z`.
fn problem<const D: usize>(
    layer: &dyn Layer<D>,
    x: &Tensor<D>,
    z: &Tensor<D>,
) -> Result<Option<InitProblem>, FlowError> {
    let mut bad = Ok(None);
    layer.parameters(&mut |name, values| {
        if let Ok(None) = bad {
            bad = first_non_finite(&values)
                .map(|at| at.map(|(index, value)| (name.to_owned(), index, value)));
        }
    });
    if let Some((parameter, index, value)) = bad? {
        let dims = x.dims();
        let found = dims[0] * dims[2..].iter().product::<usize>();
        return Ok(Some(match layer.init_problem(x) {
            Some(problem) => problem,
            // The layer's network needs statistics, and a single element has none.
            None if found < 2 => InitProblem::TooFew { what: "channel", found },
            None => InitProblem::Parameter { parameter, index, value },
        }));
    }
    let Some((index, value)) = first_non_finite(z)? else { return Ok(None) };
    let dims = z.dims();
    let positions: usize = dims[2..].iter().product();
    let (example, channel) = (index / (dims[1] * positions), index / positions % dims[1]);
    Ok(Some(InitProblem::Output { example, channel, value }))
}

impl<const D: usize> LayerVisitor<D> for Search {
    fn layer(&mut self, path: &LayerPath, layer: &dyn Layer<D>, x: Tensor<D>) -> Tensor<D> {
        let (z, _) = layer.forward(x.clone());
        // Only one layer's graph exists at a time.
        let z = z.detach();
        if self.found.is_none() {
            self.note(path, layer.name(), problem(layer, &x, &z));
        }
        z
    }

    fn part(&mut self, path: &LayerPath, finite: &dyn Fn() -> bool) {
        if self.found.is_none() && !finite() {
            self.note(path, "network".into(), Ok(Some(InitProblem::Network)));
        }
    }
}

/// `Ok` if all parameters that initialisation set, and its output, are finite.
fn check<M: Module, const D: usize>(
    started: &M,
    made: &Tensor<D>,
    visit: impl FnOnce(&mut Search),
) -> Result<(), FlowError> {
    let bad = first_bad_parameter(started)?;
    if bad.is_none() && all_finite(made) {
        return Ok(());
    }
    let mut search = Search::default();
    visit(&mut search);
    if let Some(found) = search.found {
        return Err(found);
    }
    // No layer shows the fault. It is in a prior, or in a layer whose `initialize` returns a
    // different output than `forward`.
    let layer = LayerName::from(type_name::<M>());
    Err(match bad {
        Some((path, index, value)) => {
            let (path, parameter) = path.rsplit_once('.').unwrap_or(("", &path));
            let problem = InitProblem::Parameter { parameter: parameter.to_owned(), index, value };
            FlowError::Init { path: path.to_owned(), layer, problem }
        }
        None => FlowError::Init { path: String::new(), layer, problem: InitProblem::Network },
    })
}

impl<B, P, const D: usize, S> Uninit<Flow<B, P, D, (), S>>
where
    S: Surjection<D>,
    B: Bijector<D>,
    P: Prior<D>,
{
    /// Data-dependent initialisation from a batch: of the surjection, of every layer, one after
    /// another, and of the prior.
    ///
    /// # Errors
    /// If the batch does not fit the flow, if the batch or the condition contains a value that is
    /// not finite, or if a layer cannot be initialised from it: [`FlowError::Init`] names the
    /// layer.
    pub fn initialize(self, x: S::Data) -> Result<Flow<B, P, D, (), S>, FlowError> {
        self.initialize_given(x, &())
    }
}

impl<B, P, const D: usize, C, S> Uninit<Flow<B, P, D, C, S>>
where
    C: Context,
    S: Surjection<D>,
    B: Bijector<D, C>,
    P: Prior<D, C>,
{
    /// [`Uninit::initialize`] with a condition.
    ///
    /// # Errors
    /// As [`Uninit::initialize`].
    pub fn initialize_given(
        self,
        x: S::Data,
        context: &C,
    ) -> Result<Flow<B, P, D, C, S>, FlowError> {
        self.initialize_with(|flow| {
            let Admitted { context, .. } = flow.admit(&x, context)?;
            flow.check_input(&x)?;
            let noise = flow.surjection.noise(&x, flow.dtype());
            let Flow { surjection, bijector, prior, .. } = flow;
            let (surjection, y) = surjection.initialize(x.clone(), noise.clone());
            check_surjection(&surjection, x.clone(), noise.clone(), &y)?;
            let (bijector, z) = bijector.initialize(y.clone(), &context);
            let prior = prior.initialize(z.clone(), &context);
            let flow = Flow { surjection, bijector, prior, ..flow };
            check(&flow, &z, |search| {
                Visit::new(search).member("bijector", &flow.bijector, y, &context);
            })?;
            Ok(flow)
        })
    }
}

/// Checks that the parameters of an initialised surjection, and its output `y` for `x`, are finite.
fn check_surjection<const D: usize, S: Surjection<D>>(
    surjection: &S,
    x: S::Data,
    noise: S::Noise,
    y: &Tensor<D>,
) -> Result<(), FlowError> {
    let found = check(surjection, y, |search| {
        surjection.visit_layers(x, noise, &mut Visit::new(search));
    });
    found.map_err(|error| within("surjection", error))
}

/// An error of the initialisation of a member, with the name of the member before its path.
pub(super) fn within(member: &str, error: FlowError) -> FlowError {
    match error {
        FlowError::Init { path, layer, problem } => {
            let path = if path.is_empty() { member.to_owned() } else { format!("{member}.{path}") };
            FlowError::Init { path, layer, problem }
        }
        other => other,
    }
}

/// Checks that the parameters of an initialised encoder, and the condition that it computes, are
/// finite. `x` is the batch that it was initialised from.
pub(super) fn check_encoder<const K: usize, E: Encoder<K>>(
    encoder: &E,
    x: &Tensor<K>,
    code: &E::Code,
) -> Result<(), FlowError> {
    let bad = first_bad_parameter(encoder)?;
    if bad.is_none() && code.is_finite() {
        return Ok(());
    }
    let problem = encoder.init_problem(x).unwrap_or(match bad {
        Some((parameter, index, value)) => InitProblem::Parameter { parameter, index, value },
        None => InitProblem::Network,
    });
    Err(FlowError::Init { path: "encoder".into(), layer: type_name::<E>().into(), problem })
}
