//! Simulations and observations in CSV files: columns `parameter_*` and `data_*`.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use flowkit::data::table::{Table, TableError};
use flowkit::{ColumnMap, ColumnsConfig};

use super::Failure;

/// What the names of the columns begin with.
const PARAMETER: &str = "parameter";
const DATA: &str = "data";

/// Simulations: parameters within their bounds, and the data that a simulator made from them.
pub struct Simulations {
    /// The parameters.
    pub parameters: Table,
    /// The data.
    pub data: Table,
}

/// The names that begin with `prefix`, in their order.
fn names(table: &Table, prefix: &'static str, path: &Path) -> Result<Vec<String>, Failure> {
    let own = table.names().filter(|name| name.starts_with(prefix));
    let own: Vec<String> = own.map(str::to_owned).collect();
    if own.is_empty() {
        let found = table.names().collect::<Vec<_>>().join(", ");
        return Err(Failure::NoColumns { path: path.into(), prefix, found });
    }
    Ok(own)
}

/// Checks that data are numbers of float32.
fn check_data(data: &Table, path: &Path) -> Result<(), Failure> {
    let real = vec![ColumnMap::real(); data.columns().len()];
    let in_file = |source: TableError| Failure::Within { path: path.into(), source: source.into() };
    data.check_columns(&ColumnsConfig::new(real)).map_err(in_file)
}

impl Simulations {
    /// Reads simulations whose parameters have these bounds, one pair for each parameter, or one
    /// for all of them. Returns the bounds of each parameter too.
    ///
    /// # Errors
    /// The first rule that the file breaks, with row and column.
    pub fn read(
        path: &Path,
        lower: &[f64],
        upper: &[f64],
    ) -> Result<(Self, [Vec<f64>; 2]), Failure> {
        let table = Table::read_csv(path)?;
        let parameters = table.select(&names(&table, PARAMETER, path)?)?;
        let data = table.select(&names(&table, DATA, path)?)?;
        let bounds = bounds(parameters.columns().len(), lower, upper)?;
        let columns =
            ColumnsConfig::bounded(bounds[0].iter().copied().zip(bounds[1].iter().copied()));
        columns.validate().map_err(flowkit::Error::from)?;
        let in_file =
            |source: TableError| Failure::Within { path: path.into(), source: source.into() };
        parameters.check_columns(&columns).map_err(in_file)?;
        check_data(&data, path)?;
        parameters.check_varied().map_err(in_file)?;
        Ok((Self { parameters, data }, bounds))
    }

    /// Two parts that share no row, the second a random share of the rows.
    ///
    /// # Errors
    /// If one would be empty.
    pub fn split(&self, share: f64, seed: u64) -> Result<[Self; 2], Failure> {
        let (parameters, held) = self.parameters.split(share, seed)?;
        // One seed leads to one choice of rows.
        let (data, held_data) = self.data.split(share, seed)?;
        Ok([Self { parameters, data }, Self { parameters: held, data: held_data }])
    }

    /// Parameters and data as tensors.
    ///
    /// # Errors
    /// For a column of text.
    pub fn tensors(&self, device: &Device) -> Result<[Tensor<2>; 2], Failure> {
        Ok([self.parameters.points(device)?, self.data.points(device)?])
    }
}

/// Lower and upper bounds for so many parameters.
///
/// # Errors
/// If there is another number of bounds than 1 or that of the parameters.
pub fn bounds(n: usize, lower: &[f64], upper: &[f64]) -> Result<[Vec<f64>; 2], Failure> {
    let each = |flag: &'static str, values: &[f64]| match values {
        [one] => Ok(vec![*one; n]),
        values if values.len() == n => Ok(values.to_vec()),
        values => {
            let value = values.iter().map(f64::to_string).collect::<Vec<_>>().join(",");
            let expected = format!("one number, or one for each of the {n} parameters");
            Err(Failure::Argument { flag, value, expected })
        }
    };
    Ok([each("lower", lower)?, each("upper", upper)?])
}

/// An observation.
pub struct Observation {
    /// Its name, if there are several.
    pub name: Option<String>,
    /// Its file.
    pub path: PathBuf,
    /// The data, `[1, n]`.
    pub data: Tensor<2>,
    /// The columns in which no simulation goes as far: what a network says there is a guess.
    pub outside: Vec<String>,
}

impl Observation {
    fn read(
        path: &Path,
        name: Option<String>,
        columns: &Table,
        device: &Device,
    ) -> Result<Self, Failure> {
        let table = Table::read_csv(path)?;
        let own = names(&table, DATA, path)?;
        let expected: Vec<&str> = columns.names().collect();
        if own != expected {
            let (expected, found) = (expected.join(", "), own.join(", "));
            return Err(Failure::Columns { path: path.into(), expected, found });
        }
        if table.len() != 1 {
            return Err(Failure::Rows { path: path.into(), found: table.len() });
        }
        let table = table.select(&own)?;
        check_data(&table, path)?;
        let mut outside = Vec::new();
        for name in own {
            let (simulated, found) = (columns.numbers(&name)?, table.numbers(&name)?[0]);
            if simulated.iter().all(|x| *x < found) || simulated.iter().all(|x| *x > found) {
                outside.push(name);
            }
        }
        Ok(Self { name, path: path.into(), data: table.points(device)?, outside })
    }
}

/// The observation of a file, or all below a folder: files whose names begin with `observation` and
/// end with `.csv` or `.csv.gz`. One in a folder of its own has the name of that folder.
///
/// # Errors
/// If there is none; if two have one name; if one does not have the columns of the simulated data,
/// not one row, or a number that is none of float32.
pub fn observations(
    path: &Path,
    columns: &Table,
    device: &Device,
) -> Result<Vec<Observation>, Failure> {
    if !path.is_dir() {
        return Ok(vec![Observation::read(path, None, columns, device)?]);
    }
    let (mut files, mut folders) = (Vec::new(), vec![path.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        let fail = |source| Failure::Read { path: folder.clone(), source };
        for entry in fs::read_dir(&folder).map_err(fail)? {
            let found = entry.map_err(fail)?.path();
            let name = found.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if found.is_dir() {
                folders.push(found);
            } else if name.starts_with("observation")
                && (name.ends_with(".csv") || name.ends_with(".csv.gz"))
            {
                files.push((own_name(path, &found, &name), found));
            }
        }
    }
    if files.is_empty() {
        return Err(Failure::NoObservations { path: path.into() });
    }
    // In the order of numbers, where the names are numbers.
    files.sort_by_key(|(name, file)| (name.len(), name.clone(), file.clone()));
    if let Some([(name, first), (_, second)]) = files.array_windows().find(|[a, b]| a.0 == b.0) {
        let (first, second, name) = (first.clone(), second.clone(), name.clone());
        return Err(Failure::SameName { first, second, name });
    }
    let read =
        |(name, file): (String, PathBuf)| Observation::read(&file, Some(name), columns, device);
    files.into_iter().map(read).collect()
}

/// The name of an observation below `root`: that of its folders, or its own in `root` itself or if
/// it has a name of its own.
fn own_name(root: &Path, file: &Path, name: &str) -> String {
    let stem = name.trim_end_matches(".gz").trim_end_matches(".csv");
    let folders = file.parent().and_then(|folder| folder.strip_prefix(root).ok());
    let mut parts: Vec<String> = folders
        .into_iter()
        .flat_map(Path::iter)
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if stem != "observation" || parts.is_empty() {
        parts.push(stem.to_owned());
    }
    parts.join("-")
}
