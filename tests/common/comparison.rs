//! A table of errors: what a test computed beside what a file holds.

use burn::tensor::{Gradients, Tensor};

use super::golden::{Golden, Source};
use super::tolerance::{self, Measure, normwise};
use super::{Precision, values};

/// One file, one type, and the errors found so far.
pub struct Comparison {
    pub precision: Precision,
    /// The file in float64: inputs, weights and the truth.
    pub truth: Golden,
    /// The same computed in float32 by the independent implementation: what rounding costs there.
    peer: Golden,
    /// Largest error allowed, which a test may change where the file itself is less exact.
    pub limit: f64,
    rows: Vec<Row>,
}

struct Row {
    label: String,
    error: f64,
    peer: f64,
    limit: f64,
}

impl Comparison {
    /// Runs `test` in float64 and in float32, prints the errors and demands that all are small and
    /// that nothing in the file was forgotten.
    pub fn of(name: &str, test: impl Fn(&mut Self)) {
        let mut outcome = Vec::new();
        for precision in Precision::BOTH {
            let (truth, peer) = (Golden::load(name, "f64"), Golden::load(name, "f32"));
            for (key, stored) in truth.starting_with("in.").chain(truth.starting_with("w.")) {
                assert_eq!(
                    peer.get(key).values,
                    stored.values,
                    "{name}: both files hold the same {key}"
                );
            }
            let mut comparison = Self {
                precision,
                truth,
                peer,
                limit: tolerance::limit(precision),
                rows: Vec::new(),
            };
            test(&mut comparison);
            outcome.extend(comparison.report());
        }
        assert!(outcome.is_empty(), "{name}:\n{}", outcome.join("\n"));
    }

    /// An input as a tensor that gradients are asked for.
    pub fn input<const D: usize>(&self, key: &str) -> Tensor<D> {
        self.truth.get(&format!("in.{key}")).leaf(self.precision)
    }

    /// `Σ out·probe` with the file's probe of this output.
    pub fn probe<const D: usize>(&self, key: &str, output: Tensor<D>) -> Tensor<1> {
        let probe = self.truth.get(&format!("probe.{key}")).values.clone();
        let dims = output.dims();
        (output * self.precision.tensor(probe, dims)).sum()
    }

    /// Compares with the file, [`normwise`].
    pub fn check<const D: usize>(&mut self, found: Tensor<D>, source: Source) {
        self.check_by(normwise, found, source);
    }

    pub fn check_by<const D: usize>(&mut self, measure: Measure, found: Tensor<D>, source: Source) {
        self.check_values(measure, values(found), source);
    }

    pub fn check_values(&mut self, measure: Measure, found: Vec<f64>, source: Source) {
        let truth = source.read(&self.truth);
        let peer = source.read(&self.peer);
        let (error, peer) = (measure(&found, &truth), measure(&peer, &truth));
        let limit = match self.precision {
            Precision::Double => self.limit,
            Precision::Single => self.limit.max(tolerance::PEER * peer),
        };
        self.rows.push(Row { label: source.label(), error, peer, limit });
    }

    /// Compares the gradient of an input.
    pub fn check_input_gradient<const D: usize>(
        &mut self,
        key: &str,
        leaf: &Tensor<D>,
        gradients: &Gradients,
    ) {
        let gradient = leaf.grad(gradients).unwrap_or_else(|| panic!("in.{key} has no gradient"));
        self.check(gradient, Source::of(format!("grad.in.{key}")));
    }

    /// Prints the table; what is wrong with it.
    fn report(&self) -> Vec<String> {
        let name = &self.truth.name;
        let worst = self
            .rows
            .iter()
            .max_by(|a, b| a.error.total_cmp(&b.error))
            .expect("something was compared");
        let (precision, n) = (self.precision, self.rows.len());
        println!(
            "{name}, {precision:?}: worst of {n} errors {:.1e}, of {}",
            worst.error, worst.label
        );
        for row in &self.rows {
            println!("    {:8.1e}  float32 there {:8.1e}  {}", row.error, row.peer, row.label);
        }
        let large = self.rows.iter().filter(|row| row.error > row.limit);
        let large = large.map(|row| {
            let Row { label, error, peer, limit } = row;
            format!(
                "{precision:?}: {label}: {error:.2e} exceeds {limit:.0e} (float32 there {peer:.1e})"
            )
        });
        let unused = self.truth.unused();
        let forgotten = unused.iter().map(|key| format!("{precision:?}: {key} was not compared"));
        large.chain(forgotten).collect()
    }
}
