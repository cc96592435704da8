//! The observations of a visit, in rows. A row is one layer, or several layers whose paths have a
//! common prefix.

use std::ops::RangeInclusive;
use std::time::Instant;

use burn::tensor::{Device, Tensor};

use super::diagnosis::LayerDiagnosis;
use super::diagnosis_config::DiagnosisConfig;
use super::measure::{Range, count_non_finite, difference, mean, range};
use super::singular::log_singular_values;
use crate::bijector::visit::{Layer, LayerPath, LayerVisitor};
use crate::error::FlowError;
use crate::flow::non_finite;

/// One layer, its input and its output.
struct Link<const D: usize> {
    path: Vec<String>,
    layer: Box<dyn Layer<D>>,
    x: Tensor<D>,
    z: Tensor<D>,
    starts: bool,
}

/// All layers of a model, in the order of `forward`.
pub(super) struct Chains<const D: usize> {
    depth: Option<usize>,
    links: Vec<Link<D>>,
}

impl<const D: usize> LayerVisitor<D> for Chains<D> {
    fn layer(&mut self, path: &LayerPath, layer: &dyn Layer<D>, x: Tensor<D>) -> Tensor<D> {
        let (z, _) = layer.forward(x.clone());
        let starts = self.links.last().is_none_or(|last| !same(&last.z, &x));
        self.links.push(Link {
            path: path.segments().to_vec(),
            layer: layer.to_owned(),
            x,
            z: z.clone(),
            starts,
        });
        z
    }
}

/// Whether two tensors have equal elements. Two NaN count as equal.
fn same<const D: usize>(a: &Tensor<D>, b: &Tensor<D>) -> bool {
    let equal = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan());
    a.dims() == b.dims()
        && a.clone()
            .into_data()
            .iter::<f64>()
            .zip(b.clone().into_data().iter::<f64>())
            .all(|(a, b)| equal(a, b))
}

impl<const D: usize> Chains<D> {
    pub(super) fn new(depth: Option<usize>) -> Self {
        Self { depth, links: Vec::new() }
    }

    /// Indices of the links of each row.
    fn rows(&self) -> Vec<RangeInclusive<usize>> {
        let mut rows: Vec<RangeInclusive<usize>> = Vec::new();
        for (index, link) in self.links.iter().enumerate() {
            let joins = index > 0 && !link.starts && self.depth.is_some() && {
                let before = &self.links[index - 1];
                self.prefix(before) == self.prefix(link)
            };
            match rows.last_mut() {
                Some(row) if joins => *row = *row.start()..=index,
                _ => rows.push(index..=index),
            }
        }
        rows
    }

    /// The segments of a path by which rows are distinguished.
    fn prefix<'a>(&self, link: &'a Link<D>) -> &'a [String] {
        &link.path[..self.depth.unwrap_or(usize::MAX).min(link.path.len())]
    }

    /// Measures one row after another.
    pub(super) fn measure(
        self,
        config: &DiagnosisConfig,
    ) -> Result<Vec<LayerDiagnosis>, FlowError> {
        let accumulated = self.accumulated();
        let rows = self.rows().into_iter().map(|row| {
            let first = *row.start();
            let links = &self.links[row];
            let (x, z) = (&links[0].x, &links[links.len() - 1].z);
            let forward = |x: Tensor<D>| forward(links, x);
            let inverse =
                |z: Tensor<D>| links.iter().rev().fold(z, |z, link| link.layer.inverse(z));
            let ((_, log_det), forward_seconds) = timed(&x.device(), || forward(x.clone()))?;
            let (back, inverse_seconds) = timed(&x.device(), || inverse(z.clone()))?;
            let (log_scale, condition_number) = match config.power_steps {
                0 => (Range { min: f64::NAN, max: f64::NAN }, f64::NAN),
                steps => {
                    let n = x.dims()[0].min(config.probed_examples);
                    let (x, z) = (x.clone().narrow(0, 0, n), z.clone().narrow(0, 0, n));
                    // The layers, with the condition of these examples only.
                    let layers: Vec<Box<dyn Layer<D>>> =
                        links.iter().map(|link| link.layer.rows(0..n)).collect();
                    let forward =
                        |x: Tensor<D>| layers.iter().fold(x, |x, layer| layer.forward(x).0);
                    let inverse =
                        |z: Tensor<D>| layers.iter().rev().fold(z, |z, layer| layer.inverse(z));
                    log_singular_values(&forward, &inverse, x, z, steps)?
                }
            };
            Ok(LayerDiagnosis {
                path: self.prefix(&links[0]).join("."),
                layer: match links {
                    [link] => link.layer.name().into_owned(),
                    links => format!("{} layers", links.len()),
                },
                n_params: links.iter().map(|link| link.layer.num_params()).sum(),
                starts_chain: links[0].starts,
                log_det: mean(&log_det)?,
                own: difference(&back, x)?,
                accumulated: difference(&accumulated[first], x)?,
                input: range(x)?,
                output: range(z)?,
                log_scale,
                condition_number,
                forward_seconds,
                inverse_seconds,
                non_finite: count_non_finite(z)?
                    + count_non_finite(&log_det)?
                    + count_non_finite(&back)?,
                input_finite: non_finite(x.clone())?.is_none(),
            })
        });
        rows.collect()
    }

    /// For each layer, the input that the inverses rebuild from the end of its chain.
    fn accumulated(&self) -> Vec<Tensor<D>> {
        let mut back: Vec<Tensor<D>> = Vec::with_capacity(self.links.len());
        for (index, link) in self.links.iter().enumerate().rev() {
            let z = match self.links.get(index + 1) {
                Some(next) if !next.starts => back[back.len() - 1].clone(),
                _ => link.z.clone(),
            };
            back.push(link.layer.inverse(z));
        }
        back.reverse();
        back
    }
}

fn forward<const D: usize>(links: &[Link<D>], x: Tensor<D>) -> (Tensor<D>, Tensor<1>) {
    let log_det = crate::tensor::per_example::zero_log_det(&x);
    links.iter().fold((x, log_det), |(x, log_det), link| {
        let (z, part) = link.layer.forward(x);
        (z, log_det + part)
    })
}

/// The result, and the shorter of two times. The first run may wait until a device has compiled or
/// tuned its kernels.
fn timed<T>(device: &Device, run: impl Fn() -> T) -> Result<(T, f64), FlowError> {
    let sync = || device.sync().map_err(|error| FlowError::Device(format!("{error:?}")));
    let seconds = || {
        sync()?;
        let start = Instant::now();
        let result = run();
        sync()?;
        Ok::<_, FlowError>((result, start.elapsed().as_secs_f64()))
    };
    let (_, first) = seconds()?;
    let (result, second) = seconds()?;
    Ok((result, first.min(second)))
}
