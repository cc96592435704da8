//! The least traffic of activations that a model can have without merging its layers.
//!
//! An activation is the output of a layer of the flow, or of a convolution or dense layer in a
//! network; activation functions, norms and gates are taken as done where the values are. Layers
//! that only move elements (no parameters, log-determinant 0) have none. Each activation is
//! written once and read once on the way forward, and twice more in the backward pass: itself, and
//! its gradient. Weights are not counted.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor};
use flowkit::bijector::visit::{Layer, LayerPath, LayerVisitor, Visit};
use flowkit::{Bijector, Flow, Surjection};

/// Bytes of a float32.
const BYTES: u64 = 4;

/// Elements of the activations of an example.
#[derive(Debug, Default)]
pub struct Activations {
    /// Of the dequantization, which samples do without.
    surjection: usize,
    bijector: usize,
}

impl Activations {
    /// Bytes of a training step, an evaluation or samples, whichever the name of the item says, of
    /// a number of examples.
    pub fn floor(&self, item: &str, examples: u64) -> u64 {
        let (elements, passes) = match () {
            () if item.contains(".train") => (self.surjection + self.bijector, 4),
            () if item.contains(".sample") => (self.bijector, 2),
            () => (self.surjection + self.bijector, 2),
        };
        BYTES * passes * elements as u64 * examples
    }

    fn add(&mut self, path: &str, elements: usize) {
        if path.starts_with(SURJECTION) {
            self.surjection += elements;
        } else {
            self.bijector += elements;
        }
    }
}

const SURJECTION: &str = "surjection";

/// A layer with a network.
const COUPLING: &str = "Coupling";

/// Activations of a flow, which runs a batch to find their shapes.
pub fn activations<B, P, S, const D: usize>(flow: &Flow<B, P, D, (), S>, x: S::Data) -> Activations
where
    B: Bijector<D, ()>,
    S: Surjection<D>,
    Flow<B, P, D, (), S>: Module,
{
    let noise = flow.surjection.noise(&x, DType::F32);
    let mut shapes = Shapes::default();
    let z = flow.visit_layers(x, noise, &(), &mut Visit::new(&mut shapes));
    let mut networks = Networks { path: Vec::new(), couplings: &shapes.couplings, found: vec![] };
    flow.visit(&mut networks);
    let found = networks.found;
    let mut sum = Activations::default();
    for (path, elements) in shapes.outputs.iter().chain(&found) {
        sum.add(path, elements / z.dims()[0]);
    }
    sum
}

#[derive(Default)]
struct Shapes {
    /// Path of each layer and elements of its output.
    outputs: Vec<(String, usize)>,
    /// Path of each coupling and elements of a channel of its batch.
    couplings: Vec<(String, usize)>,
}

impl<const D: usize> LayerVisitor<D> for Shapes {
    fn layer(&mut self, path: &LayerPath, layer: &dyn Layer<D>, x: Tensor<D>) -> Tensor<D> {
        let dims = x.dims();
        let (z, log_det) = layer.forward(x);
        let path = path.to_string();
        if layer.name() == COUPLING {
            self.couplings.push((path.clone(), dims.iter().product::<usize>() / dims[1]));
        }
        let moves = layer.num_params() == 0 && log_det.abs().max().into_scalar::<f32>() == 0.0;
        if !moves {
            self.outputs.push((path, z.dims().iter().product()));
        }
        z
    }
}

/// Collects the outputs of convolutions `[out, in, k, k]` and dense layers `[in, out]`, by their
/// weights.
struct Networks<'a> {
    path: Vec<String>,
    couplings: &'a [(String, usize)],
    found: Vec<(String, usize)>,
}

impl ModuleVisitor for Networks<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const R: usize>(&mut self, param: &Param<Tensor<R>>) {
        let path = self.path.join(".");
        let dims = param.dims();
        let outputs = match R {
            2 => dims[1],
            4 => dims[0],
            _ => return,
        };
        let within = |coupling: &&(String, usize)| path.starts_with(&format!("{}.", coupling.0));
        let at = match self.couplings.iter().find(within) {
            Some(coupling) => Some(coupling),
            // The network that the noise of the dequantization depends on has that flow's shape.
            None if path.contains(".encoder.") => self.couplings.first(),
            None => None,
        };
        if let (Some((_, positions)), true) = (at, path.ends_with("weight")) {
            self.found.push((path, outputs * positions));
        }
    }
}
