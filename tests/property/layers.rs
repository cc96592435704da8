//! Visiting the layers one at a time is the forward pass, and a layer's path names its parameters.

use burn::tensor::{DType, Tensor};
use flowkit::{Bijector, Layer, LayerPath, LayerVisitor, LayerWalk};

use crate::table::numbers::{distance, largest, numbers};
use crate::table::parameters::parameters;
use crate::table::tolerance::{Kind, tolerance};
use crate::table::{Condition, Draw, Entry, Property, check_all, within};

#[derive(Default)]
struct Seen {
    log_det: Vec<f64>,
    parameters: Vec<(String, Vec<f64>)>,
    num_params: usize,
    round_trip: f64,
}

impl<const D: usize> LayerVisitor<D> for Seen {
    fn layer(&mut self, path: &LayerPath, layer: &dyn Layer<D>, x: Tensor<D>) -> Tensor<D> {
        let (z, log_det) = layer.forward(x.clone());
        let part = numbers(&log_det);
        self.log_det.resize(part.len(), 0.0);
        self.log_det.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        let x = numbers(&x);
        let error = distance(&numbers(&layer.inverse(z.clone())), &x) / (1.0 + largest(&x));
        self.round_trip = self.round_trip.max(error);
        self.num_params += layer.num_params();
        layer.parameters(&mut |name, value| {
            let root = path.to_string();
            let parts = [root.as_str(), name];
            let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            self.parameters.push((parts.join("."), numbers(&value)));
        });
        z
    }
}

struct Visits;

impl Property for Visits {
    fn check<const D: usize, C: Condition>(&self, entry: &Entry<D, C>) -> Result<(), String> {
        let dtype = DType::F64;
        let bijector = entry.build(91, dtype);
        let (x, context) = (entry.draw(Draw::Ordinary, 92, 2, dtype), entry.condition(93, 2, dtype));
        let (z, log_det) = bijector.forward(x.clone(), &context);
        let mut seen = Seen::default();
        let visited = bijector.visit_layers(x, &context, &mut LayerWalk::new(&mut seen));
        within("z", distance(&numbers(&visited), &numbers(&z)), 0.0)?;
        let log_det = numbers(&log_det);
        let bound = tolerance(Kind::Walk, dtype) * (1.0 + largest(&log_det));
        within(
            "log_det",
            if seen.log_det.is_empty() { largest(&log_det) } else { distance(&seen.log_det, &log_det) },
            bound,
        )?;
        within("round trip of a layer", seen.round_trip, tolerance(Kind::Walk, dtype))?;
        let all: Vec<_> = parameters(&bijector).into_iter().map(|own| (own.path, own.values)).collect();
        let numbers: usize = all.iter().map(|(_, values)| values.len()).sum();
        if seen.parameters == all && seen.num_params == numbers {
            return Ok(());
        }
        let names = |list: &[(String, Vec<f64>)]| list.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        Err(format!("the layers hold {:?}, the bijector {:?}", names(&seen.parameters), names(&all)))
    }
}

#[test]
fn visited_layers_make_the_forward_pass() {
    check_all(&Visits);
}
