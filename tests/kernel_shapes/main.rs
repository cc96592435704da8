//! Every public function and method of the kernels, with one axis or the type of one operand
//! changed. The result must be a panic that names the operand, never values of memory that nobody
//! has written. The allocator fills new memory with NaN, and operands that fit give no NaN.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::{DType, Device, Tensor, TensorData};

#[path = "../common/poison.rs"]
mod poison;

#[global_allocator]
static ALLOCATOR: poison::Poison = poison::Poison;

/// Shapes and types of the operands of one call.
struct Call<'a>(&'a [(Vec<usize>, DType)]);

impl Call<'_> {
    fn get<const D: usize>(&self, index: usize) -> Tensor<D> {
        let (shape, dtype) = &self.0[index];
        let numbers: Vec<f64> =
            (0..shape.iter().product()).map(|i| ((i * 7 % 13) as f64 + 1.0) / 20.0).collect();
        Tensor::from_data(
            TensorData::new(numbers, shape.clone()).convert_dtype(*dtype),
            (&Device::flex(), *dtype),
        )
    }
}

/// The same as backends' tensors.
macro_rules! raw {
    ($call:ident, $($rank:literal),+) => {{
        let mut index = 0..;
        ($($call.get::<$rank>(index.next().unwrap()).into_dispatch(),)+)
    }};
}

/// The numbers of results.
macro_rules! all {
    ($($rank:literal $result:expr),+) => {
        [$(numbers(Tensor::<$rank>::from_dispatch($result))),+].concat()
    };
}

mod gates;
mod laws;
mod layers;
mod training;

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// An operand's name and shape.
type Named = (&'static str, &'static [usize]);

type Run = Box<dyn Fn(&Call<'_>) -> Vec<f64>>;

struct Door {
    name: &'static str,
    operands: Vec<(&'static str, Vec<usize>)>,
    /// Axes that may have any length beside the others: `(operand, axis)`.
    free: Vec<(usize, usize)>,
    run: Run,
}

fn door(
    name: &'static str,
    operands: &[Named],
    free: &[(usize, usize)],
    run: impl Fn(&Call<'_>) -> Vec<f64> + 'static,
) -> Door {
    let operands = operands.iter().map(|(name, shape)| (*name, shape.to_vec())).collect();
    Door { name, operands, free: free.to_vec(), run: Box::new(run) }
}

/// The message of a panic, or the numbers of the results.
fn outcome(door: &Door, operands: &[(Vec<usize>, DType)]) -> Result<Vec<f64>, String> {
    let run = catch_unwind(AssertUnwindSafe(|| (door.run)(&Call(operands))));
    run.map_err(|panic| {
        panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "another panic".into())
    })
}

fn assert_whole(numbers: &[f64], what: &str) {
    assert!(
        numbers.iter().all(|number| number.is_finite()),
        "{what}: memory that nobody has written"
    );
}

fn check(doors: Vec<Door>) {
    for door in doors {
        let operands: Vec<_> =
            door.operands.iter().map(|(_, shape)| (shape.clone(), DType::F32)).collect();
        let right =
            outcome(&door, &operands).unwrap_or_else(|message| panic!("{}: {message}", door.name));
        assert!(!right.is_empty());
        assert_whole(&right, door.name);
        for (index, (name, shape)) in door.operands.iter().enumerate() {
            for (axis, &right) in shape.iter().enumerate() {
                for length in [right - 1, right + 1] {
                    let mut changed = operands.clone();
                    changed[index].0[axis] = length;
                    let what = format!("{} with `{name}` {:?}", door.name, changed[index].0);
                    match outcome(&door, &changed) {
                        Ok(numbers) if door.free.contains(&(index, axis)) => {
                            assert_whole(&numbers, &what)
                        }
                        Ok(_) => panic!("{what}: returns"),
                        Err(message) => {
                            assert!(
                                message.contains(&format!("`{name}` {:?}", changed[index].0)),
                                "{what}: {message}"
                            );
                        }
                    }
                }
            }
            if operands.len() > 1 {
                let mut changed = operands.clone();
                changed[index].1 = DType::F64;
                let message = outcome(&door, &changed).expect_err(door.name);
                let named = format!("`{name}` {shape:?} F64");
                assert!(message.contains(&named), "{} with {named}: {message}", door.name);
            }
        }
    }
}

#[test]
fn kernels_of_training_refuse_operands_that_do_not_fit() {
    check(training::doors());
}

#[test]
fn kernels_of_laws_refuse_operands_that_do_not_fit() {
    check(laws::doors());
}

#[test]
fn convolutions_refuse_operands_that_do_not_fit() {
    check(layers::convolutions());
}

#[test]
fn kernels_of_layers_refuse_operands_that_do_not_fit() {
    check(layers::doors());
}

#[test]
fn kernels_of_gates_refuse_operands_that_do_not_fit() {
    check(gates::doors());
}
