//! What is saved comes back, and neither moves nor boxes change the names of parameters.

use burn::module::Module;
use burn::tensor::{DType, Tensor};
use flowkit::train::Checkpoint;
use flowkit::{Bijector, BoxBijector};

use crate::table::numbers::numbers;
use crate::table::parameters::parameters;
use crate::table::{Condition, Draw, Entry, Property, SAVED_SEED, check_all, device};

/// A bijector saved outside of its box is loaded into a boxed one with other values: the outputs are those of the saved one, bit for bit.
/// That the names fit shows that a box adds no segment.
struct Records;

impl Property for Records {
    fn check<const D: usize, C: Condition>(&self, entry: &Entry<D, C>) -> Result<(), String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let path = folder.path().join("bijector.safetensors");
        for dtype in [DType::F32, DType::F64] {
            entry.checkpoint(dtype).save(&path).map_err(|error| error.to_string())?;
            let saved = entry.build(SAVED_SEED, dtype);
            let other = entry.build(SAVED_SEED + 1, dtype);
            let loaded = Checkpoint::load(&path).and_then(|file| file.apply("bare", other));
            let loaded = loaded.map_err(|error| error.to_string())?;
            let (x, context) = (entry.draw(Draw::Ordinary, 2, 2, dtype), entry.condition(3, 2, dtype));
            let outputs = |bijector: &BoxBijector<D, C>| {
                let (z, log_det) = bijector.forward(x.clone(), &context);
                let back = bijector.inverse(z.clone(), &context);
                [numbers(&z), numbers(&log_det), numbers(&back)]
            };
            if outputs(&saved) != outputs(&loaded) {
                return Err(format!("{dtype:?}: other outputs after loading"));
            }
        }
        Ok(())
    }
}

#[test]
fn records_come_back_bit_for_bit() {
    check_all(&Records);
}

/// Names, ids and values survive whatever burn does to a module.
struct Moves;

impl Property for Moves {
    fn check<const D: usize, C: Condition>(&self, entry: &Entry<D, C>) -> Result<(), String> {
        let bijector = entry.build(1, DType::F32);
        let state = |bijector: &BoxBijector<D, C>| -> Vec<_> {
            parameters(bijector).into_iter().map(|p| (p.path, p.id, p.values)).collect()
        };
        let trained = |bijector: &BoxBijector<D, C>| parameters(bijector).iter().all(|p| p.trained);
        let moved = [
            ("clone", bijector.clone()),
            ("box", BoxBijector::new(bijector.clone())),
            ("to_device", bijector.clone().to_device(&device())),
            ("fork", bijector.clone().fork(&device())),
            ("materialize", bijector.clone().materialize()),
            ("valid and train", bijector.valid().train()),
            ("valid", bijector.valid()),
        ];
        for (how, moved) in &moved {
            if state(moved) != state(&bijector) {
                return Err(format!("{how} changed names, ids or values"));
            }
            // burn's `to_device` is an operation of the graph, which parameters are the leaves of; `fork` makes new leaves.
            let leaves = !["valid", "to_device"].contains(how);
            if trained(moved) != leaves && !state(&bijector).is_empty() {
                return Err(format!("{how} changed what is trained"));
            }
        }
        if moved[0].1.num_params() != bijector.num_params() || bijector.to_string().is_empty() {
            return Err("count or display".to_owned());
        }
        Ok(())
    }
}

#[test]
fn moves_keep_parameters() {
    check_all(&Moves);
}

#[test]
fn a_box_gives_back_what_is_inside() {
    let boxed = BoxBijector::<2>::new(flowkit::Sigmoid::new());
    assert!(boxed.downcast_ref::<flowkit::Sigmoid>().is_some());
    assert!(boxed.downcast_ref::<flowkit::Swap>().is_none());
    let x = Tensor::<2>::from_data([[0.0]], &device().inner());
    assert_eq!(numbers(&boxed.forward(x, &()).0), [0.5]);
}
