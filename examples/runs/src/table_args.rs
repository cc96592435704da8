//! The flags of the example `table`.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// The flags.
#[derive(Parser)]
#[command(about = "A density of the rows of a CSV file: fit, test, sample, score")]
pub struct Args {
    /// The rows: a CSV file with a header; gzip is unpacked
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Rows to test on, instead of a fifth of the data
    #[arg(long, value_name = "FILE", conflicts_with = "score")]
    pub test: Option<PathBuf>,
    /// The columns to describe, separated by commas: numbers, or text, which is described as
    /// classes; by default all columns of numbers, without those of `--given` and `--weights`
    #[arg(long, value_delimiter = ',', conflicts_with = "score")]
    pub columns: Vec<String>,
    /// Columns that the density is conditional on: numbers or text, not among those described
    #[arg(long, value_delimiter = ',', conflicts_with = "score")]
    pub given: Vec<String>,
    /// A column with the weight of each row, 0 or more
    #[arg(long, value_name = "COLUMN", conflicts_with = "score")]
    pub weights: Option<String>,
    /// Columns that are treated as real numbers, whatever their values look like
    #[arg(long, value_delimiter = ',', conflicts_with = "score")]
    pub real: Vec<String>,
    /// Real columns above 0, of which the logarithm is taken
    #[arg(long, value_delimiter = ',', conflicts_with = "score")]
    pub positive: Vec<String>,
    /// Real columns between two bounds, which no value reaches: NAME=LOWER:UPPER
    #[arg(long, value_delimiter = ',', value_parser = bounds, conflicts_with = "score")]
    pub bounded: Vec<(String, f64, f64)>,
    /// Columns of positions on a circle, which begins and ends at two places: hour=0:24
    #[arg(long, value_delimiter = ',', value_parser = bounds, conflicts_with = "score")]
    pub circular: Vec<(String, f64, f64)>,
    /// Leave out rows with a missing value
    #[arg(long, conflicts_with = "score")]
    pub drop_missing: bool,
    /// The flow
    #[arg(long, default_value = "nsf", conflicts_with = "score")]
    pub model: ModelName,
    /// Largest number of epochs
    #[arg(long, default_value_t = 200, conflicts_with = "score")]
    pub epochs: u64,
    /// Epochs without a gain on the held-out rows after which the fit ends
    #[arg(long, default_value_t = 10, conflicts_with = "score")]
    pub patience: u64,
    /// Largest time of the fit, in seconds; it ends before if the held-out rows stop gaining
    #[arg(long, default_value_t = 40.0, conflicts_with = "score")]
    pub seconds: f64,
    /// Rows of an update
    #[arg(long, default_value_t = 256, conflicts_with = "score")]
    pub batch: usize,
    /// Samples to write
    #[arg(long, default_value_t = 1000, conflicts_with = "score")]
    pub samples: usize,
    /// Seed of all random numbers
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Where to write
    #[arg(long, value_name = "DIR", default_value = "out/table")]
    pub out: PathBuf,
    /// Score the rows of the data with the model in this folder; nothing is fitted
    #[arg(long, value_name = "DIR")]
    pub score: Option<PathBuf>,
}

/// `NAME=LOWER:UPPER`.
fn bounds(text: &str) -> Result<(String, f64, f64), String> {
    let parts = text.rsplit_once('=').and_then(|(name, ends)| {
        let (lower, upper) = ends.split_once(':')?;
        Some((name.to_owned(), lower.parse().ok()?, upper.parse().ok()?))
    });
    parts
        .filter(|(_, lower, upper)| lower < upper)
        .ok_or_else(|| "expected NAME=LOWER:UPPER with LOWER below UPPER, such as share=0:1".into())
}

/// A flow by its name.
#[derive(Clone, Copy, ValueEnum)]
pub enum ModelName {
    /// Neural spline flow, couplings
    Nsf,
    /// Autoregressive splines
    Maf,
    /// Affine couplings
    Realnvp,
    /// Couplings of logistic mixtures, as in Flow++
    Mixture,
}
