//! A composition that flowkit does not have: rotates, bends the tails of each element, and rotates
//! back. So the axes along which it bends are learned.

use flowkit::{
    ConfigError, Context, Householder, HouseholderConfig, LayerConfig, Plan, Site, chain,
};
use serde::{Deserialize, Serialize};

use crate::arcsinh::{Arcsinh, ArcsinhConfig};

chain! {
    /// Bends the elements in other coordinates.
    pub struct Rotated {
        /// The coordinates.
        pub rotation: Householder,
        /// What happens in them.
        pub bend: Arcsinh,
        !rotation,
    }
}

/// Configuration of [`Rotated`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotatedConfig {
    /// Number of reflections that the rotation is made of.
    pub n_reflections: usize,
}

impl RotatedConfig {
    fn members(&self) -> (HouseholderConfig, ArcsinhConfig) {
        (HouseholderConfig::new(self.n_reflections), ArcsinhConfig {})
    }
}

impl<C: Context> LayerConfig<2, C> for RotatedConfig {
    type Layer = Rotated;

    fn build(&self, site: &Site<2, C>) -> Result<Rotated, ConfigError> {
        let (rotation, bend) = self.members().build(site)?;
        Ok(Rotated { rotation, bend })
    }

    fn plan(&self, site: &Site<2, C>) -> Result<Plan<2>, ConfigError> {
        self.members().plan(site)
    }
}
