//! Degrees of the units of a masked network: what each of them may depend on.
//!
//! | degree of | is |
//! |---|---|
//! | element `order[i]` of `x`, and its parameters | `i + 1`, in `1..=D` |
//! | the condition | 0 |
//! | unit `k` of a hidden layer of width `w` | `least + ⌊k·(D − least)/w⌋`, in `least..D`, where `least` is 0 with a condition or if `D = 1`, else 1 |

use crate::conditioner::NetSite;
use crate::error::{ConfigError, ShapeError};
use crate::reshape::order::Order;

/// The degrees of a masked network at a site.
pub(super) struct Degrees {
    /// Indices of the elements, first to last.
    pub order: Vec<usize>,
    /// Degrees of the elements.
    pub elements: Vec<usize>,
    least: usize,
}

impl Degrees {
    /// Checks the site and the order for the network of the configuration `config`, whose errors
    /// of shapes name `layer`.
    ///
    /// # Errors
    /// If the network would not read every element that it transforms; if the order is none.
    pub fn check(
        config: &'static str,
        layer: &'static str,
        site: &NetSite<2>,
        order: &Order,
    ) -> Result<(), ConfigError> {
        site.validate(config)?;
        let [expected, transformed] = [site.identity()[1], site.transformed()[1]];
        if expected != transformed {
            let shape = site.transformed().to_vec();
            return Err(ShapeError::Axis { layer, axis: 1, expected, shape }.into());
        }
        order.validate(config, expected)
    }

    /// The degrees for a site that was checked.
    pub fn new(site: &NetSite<2>, order: &Order) -> Self {
        let dims = site.identity()[1];
        let order = order.indices(dims);
        let mut elements = vec![0; dims];
        for (place, &index) in order.iter().enumerate() {
            elements[index] = place + 1;
        }
        let least = if site.context_width().is_some() || dims == 1 { 0 } else { 1 };
        Self { order, elements, least }
    }

    /// Degrees of the units of a hidden layer.
    pub fn hidden(&self, width: usize) -> Vec<usize> {
        let dims = self.elements.len();
        (0..width).map(|unit| self.least + unit * (dims - self.least) / width).collect()
    }
}
