//! Files of tensors from the independent implementation.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use burn::tensor::Tensor;
use safetensors::{Dtype, SafeTensors};

use super::Precision;

/// One tensor of a file, as float64.
#[derive(Debug, Clone)]
pub struct Stored {
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

impl Stored {
    fn dims<const D: usize>(&self) -> [usize; D] {
        self.shape
            .clone()
            .try_into()
            .unwrap_or_else(|shape| panic!("{D} axes expected, found {shape:?}"))
    }

    pub fn tensor<const D: usize>(&self, precision: Precision) -> Tensor<D> {
        precision.tensor(self.values.clone(), self.dims())
    }

    pub fn leaf<const D: usize>(&self, precision: Precision) -> Tensor<D> {
        precision.leaf(self.values.clone(), self.dims())
    }
}

/// A file, which remembers what was asked of it.
#[derive(Debug)]
pub struct Golden {
    pub name: String,
    tensors: BTreeMap<String, Stored>,
    used: RefCell<BTreeSet<String>>,
}

impl Golden {
    /// Reads `name.tag.safetensors` from `tests/golden`, or from the folder that `FLOWKIT_GOLDEN`
    /// names.
    pub fn load(name: &str, tag: &str) -> Self {
        let folder = match std::env::var_os("FLOWKIT_GOLDEN") {
            Some(folder) => PathBuf::from(folder),
            None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden"),
        };
        let path = folder.join(format!("{name}.{tag}.safetensors"));
        let bytes =
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file = SafeTensors::deserialize(&bytes)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let tensors = file.iter().map(|(key, view)| {
            let values = match view.dtype() {
                Dtype::F64 => {
                    view.data().as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect()
                }
                Dtype::F32 => view
                    .data()
                    .as_chunks()
                    .0
                    .iter()
                    .map(|b| f64::from(f32::from_le_bytes(*b)))
                    .collect(),
                other => panic!("{name}.{tag}: {key} holds {other:?}"),
            };
            (key.to_owned(), Stored { shape: view.shape().to_vec(), values })
        });
        Self { name: name.to_owned(), tensors: tensors.collect(), used: RefCell::default() }
    }

    pub fn get(&self, key: &str) -> &Stored {
        self.used.borrow_mut().insert(key.to_owned());
        self.tensors.get(key).unwrap_or_else(|| panic!("{} has no tensor {key}", self.name))
    }

    /// Tensors that nothing asked for.
    pub fn unused(&self) -> Vec<&str> {
        let used = self.used.borrow();
        self.tensors.keys().filter(|key| !used.contains(*key)).map(String::as_str).collect()
    }

    /// Marks a tensor that a test has no use for.
    pub fn skip(&self, key: &str) {
        self.get(key);
    }

    /// Tensors whose names start with `prefix`.
    pub fn starting_with(&self, prefix: &str) -> impl Iterator<Item = (&str, &Stored)> {
        self.tensors
            .iter()
            .filter(move |(key, _)| key.starts_with(prefix))
            .map(|(key, stored)| (key.as_str(), stored))
    }
}

/// Where in a file a tensor of ours is, and how it is laid out there.
#[derive(Debug, Clone)]
pub struct Source {
    keys: Vec<String>,
    transposed: bool,
    factor: f64,
    offset: f64,
}

impl Source {
    /// One tensor, up to axes of length 1.
    pub fn of(key: impl Into<String>) -> Self {
        Self { keys: vec![key.into()], transposed: false, factor: 1.0, offset: 0.0 }
    }

    /// Several tensors, one behind the other.
    pub fn joined(keys: impl IntoIterator<Item = String>) -> Self {
        Self { keys: keys.into_iter().collect(), transposed: false, factor: 1.0, offset: 0.0 }
    }

    /// A matrix that is ours when its axes are exchanged.
    pub fn transposed(key: impl Into<String>) -> Self {
        Self { transposed: true, ..Self::of(key) }
    }

    /// In other units.
    pub fn scaled(self, factor: f64) -> Self {
        Self { factor, ..self }
    }

    /// With a constant added.
    pub fn shifted(self, offset: f64) -> Self {
        Self { offset, ..self }
    }

    /// The same under a longer name.
    pub fn under(self, prefix: &str) -> Self {
        let keys = self.keys.iter().map(|key| format!("{prefix}{key}")).collect();
        Self { keys, ..self }
    }

    pub fn label(&self) -> String {
        self.keys.join(" + ")
    }

    pub fn read(&self, golden: &Golden) -> Vec<f64> {
        let mut values = Vec::new();
        for key in &self.keys {
            let stored = golden.get(key);
            if self.transposed {
                let [rows, columns] = stored.dims();
                values.extend(
                    (0..columns)
                        .flat_map(|c| (0..rows).map(move |r| stored.values[r * columns + c])),
                );
            } else {
                values.extend(&stored.values);
            }
        }
        values.iter_mut().for_each(|value| *value = self.factor * *value + self.offset);
        values
    }
}
