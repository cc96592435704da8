//! Configurations of layers that are alike, of which only the first is planned.

use super::{LayerConfig, Plan, Site};
use crate::context::Context;
use crate::error::ConfigError;
use crate::tensor::limit::product;

/// Configuration of a list of layers that keep the shape. `config` returns the configuration of
/// layer `index`; all layers have as many parameters as the first.
///
/// The plan is that of the first layer, so it allocates nothing and loops over no number of layers,
/// which may come from a file. The place of an error in any layer is therefore `[0]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Repeated<F> {
    times: usize,
    config: F,
}

impl<F> Repeated<F> {
    /// The configuration of `times` layers.
    pub(crate) fn new(times: usize, config: F) -> Self {
        Self { times, config }
    }
}

impl<const D: usize, C, T, F> LayerConfig<D, C> for Repeated<F>
where
    C: Context,
    T: LayerConfig<D, C>,
    F: Fn(usize) -> T,
{
    type Layer = Vec<T::Layer>;

    fn build(&self, site: &Site<D, C>) -> Result<Self::Layer, ConfigError> {
        self.plan(site)?;
        let layer = |index| {
            (self.config)(index).build(site).map_err(|error| error.at(format_args!("[{index}]")))
        };
        (0..self.times).map(layer).collect()
    }

    fn plan(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
        if self.times == 0 {
            return Ok(site.keeps(0));
        }
        let one = site.keeps(0).then(&(self.config)(0), site, "[0]")?.num_params;
        Ok(site.keeps(product([self.times, one])))
    }
}
