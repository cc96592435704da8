//! Which arrays of a file a parameter consists of, and how they are laid out there.
//! ```text
//! array [theirs]  ->  axes exchanged  ->  rows reordered  ->  values mapped  ->  part
//! parameter        =  parts one after the other in C order, in its own shape
//! ```
//! Each step can be undone, so one description serves the reader and the writer.

/// A parameter, as the arrays of a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Slot {
    pub(super) parts: Vec<Part>,
}

impl Slot {
    /// A parameter that is one array.
    pub(crate) fn of(part: Part) -> Self {
        Self { parts: vec![part] }
    }

    /// A parameter whose values are those of several arrays, one after the other.
    pub(crate) fn joined(parts: impl IntoIterator<Item = Part>) -> Self {
        Self { parts: parts.into_iter().collect() }
    }
}

/// What is done to each value on the way in. The writer does the reverse.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Map {
    Same,
    /// The logarithm, or that of a smallest value, if there is one. The file has the number itself,
    /// which is written in float64, so that its logarithm in float32 has the same bits as before.
    Ln {
        least: Option<f64>,
    },
}

/// An array of a file that is a parameter or a part of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    pub(super) name: String,
    pub(super) theirs: Vec<usize>,
    pub(super) axes: Vec<usize>,
    pub(super) rows: Option<Vec<usize>>,
    pub(super) map: Map,
}

impl Part {
    /// The array `name`, whose shape in the file is `theirs`.
    pub(crate) fn new(name: impl Into<String>, theirs: impl Into<Vec<usize>>) -> Self {
        let theirs = theirs.into();
        let axes = (0..theirs.len()).collect();
        Self { name: name.into(), theirs, axes, rows: None, map: Map::Same }
    }

    /// The same, where axis `i` of the parameter is axis `axes[i]` of the array.
    pub(crate) fn permuted(self, axes: impl Into<Vec<usize>>) -> Self {
        Self { axes: axes.into(), ..self }
    }

    /// The same, where row `i` of the parameter (on its first axis, after [`Part::permuted`]) is
    /// row `rows[i]` of the array.
    pub(crate) fn with_rows(self, rows: Vec<usize>) -> Self {
        Self { rows: Some(rows), ..self }
    }

    /// The same, where the parameter is the logarithm of what the file has, a positive number.
    pub(crate) fn ln(self) -> Self {
        Self { map: Map::Ln { least: None }, ..self }
    }

    /// The same, where the parameter is the logarithm of what the file has, or of the positive
    /// number `least` where that is larger.
    pub(crate) fn ln_of_at_least(self, least: f64) -> Self {
        Self { map: Map::Ln { least: Some(least) }, ..self }
    }

    /// Number of its values.
    pub(super) fn count(&self) -> usize {
        self.theirs.iter().product()
    }

    /// For each value of the parameter, in C order, its place in the array.
    pub(super) fn places(&self) -> Vec<usize> {
        let mut strides = vec![1; self.theirs.len()];
        for axis in (1..self.theirs.len()).rev() {
            strides[axis - 1] = strides[axis] * self.theirs[axis];
        }
        let sides: Vec<usize> = self.axes.iter().map(|&axis| self.theirs[axis]).collect();
        let strides: Vec<usize> = self.axes.iter().map(|&axis| strides[axis]).collect();
        let mut places = vec![0];
        for (axis, (&side, &stride)) in sides.iter().zip(&strides).enumerate() {
            let row = |i: usize| match &self.rows {
                Some(rows) if axis == 0 => rows[i],
                _ => i,
            };
            let step = |&place: &usize| (0..side).map(move |i| place + row(i) * stride);
            places = places.iter().flat_map(step).collect();
        }
        places
    }
}
