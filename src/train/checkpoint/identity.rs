//! Ids of parameters, which are random in every process, and the numbers that replace them in a
//! file.
//! ```text
//! number     order of the first visit, from 0;
//!            a parameter that occurs in several places has one number
//! ```
//! Equal runs therefore write equal files. A loaded module keeps its own ids, so two models loaded
//! from one file have different ids.

use std::collections::HashMap;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{Bool, Int, Tensor};

use crate::tensor::parameter_path::ParameterPath;

/// Path and id of each parameter, in the order of the module.
pub(super) fn identities<M: Module>(module: &M) -> Vec<(String, ParamId)> {
    let mut search = Search { path: ParameterPath::default(), found: Vec::new() };
    module.visit(&mut search);
    search.found
}

/// The number of each id.
pub(super) fn numbers<M: Module>(module: &M) -> HashMap<u64, u64> {
    let mut numbers = HashMap::new();
    for (_, id) in identities(module) {
        let next = numbers.len() as u64;
        numbers.entry(id.val()).or_insert(next);
    }
    numbers
}

/// The first two places that hold one parameter by the id in the module but not by the number in
/// the file, or the reverse. The flag is true if it is one parameter by the number in the file.
pub(super) fn other_ties<'a>(
    places: impl Iterator<Item = (&'a str, u64, u64)>,
) -> Option<(&'a str, &'a str, bool)> {
    let (mut by_id, mut by_number) = (HashMap::new(), HashMap::new());
    for (path, id, number) in places {
        let (first, of_number) = *by_id.entry(id).or_insert((path, number));
        if of_number != number {
            return Some((first, path, false));
        }
        let (first, of_id) = *by_number.entry(number).or_insert((path, id));
        if of_id != id {
            return Some((first, path, true));
        }
    }
    None
}

struct Search {
    path: ParameterPath,
    found: Vec<(String, ParamId)>,
}

impl ModuleVisitor for Search {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.found.push((self.path.join(), param.id));
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.found.push((self.path.join(), param.id));
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.found.push((self.path.join(), param.id));
    }
}
