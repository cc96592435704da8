//! The classes of the images of a set, and their names.

use super::DataError;

/// The class of each image of a set, and the names of the classes.
///
/// A label is the index of a name. Two sets that are to be used together, such as those of a
/// [`Split`](super::Split), have the same names in the same order.
///
/// # Example
///
/// ```
/// use flowkit::data::Labels;
///
/// let labels = Labels::new(vec![1, 0, 1], vec!["cat".into(), "dog".into()])?;
/// assert_eq!((labels.get(2), labels.n_classes()), (1, 2));
/// # Ok::<(), flowkit::data::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    of: Vec<u16>,
    names: Vec<String>,
}

impl Labels {
    /// The label of each image, and the names of the classes.
    ///
    /// # Errors
    ///
    /// [`DataError::NoSuchClass`] for the first label that has no name.
    pub fn new(labels: Vec<u16>, names: Vec<String>) -> Result<Self, DataError> {
        match labels.iter().position(|&label| usize::from(label) >= names.len()) {
            Some(item) => {
                Err(DataError::NoSuchClass { item, n_classes: names.len(), found: labels[item] })
            }
            None => Ok(Self { of: labels, names }),
        }
    }

    /// The number of labels.
    pub fn len(&self) -> usize {
        self.of.len()
    }

    /// Whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// The label of image `i`.
    ///
    /// # Panics
    ///
    /// If `i >= len()`.
    pub fn get(&self, i: usize) -> u16 {
        self.of[i]
    }

    /// The number of classes, of which some may have no image.
    pub fn n_classes(&self) -> usize {
        self.names.len()
    }

    /// The names of the classes.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    pub(super) fn take(&mut self, n: usize) {
        self.of.truncate(n);
    }

    pub(super) fn select(&self, indices: &[usize]) -> Self {
        Self { of: indices.iter().map(|&i| self.of[i]).collect(), names: self.names.clone() }
    }

    pub(super) fn extend(&mut self, other: &Self) {
        self.of.extend_from_slice(&other.of);
    }
}
