//! A composition that flowkit does not have: rotates, bends the tails of each element, and rotates
//! back. So the axes along which it bends are learned.

use flowkit::{
    ConfigError, Context, Householder, HouseholderConfig, LayerConfig, Plan, Site, chain, config,
};

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

config! {
    /// Configuration of [`Rotated`].
    #[derive(Debug)]
    pub struct RotatedConfig {
        /// Number of reflections that the rotation is made of.
        pub n_reflections: usize = 2,
    }
}

impl RotatedConfig {
    fn members(&self) -> (HouseholderConfig, ArcsinhConfig) {
        (HouseholderConfig::new(self.n_reflections), ArcsinhConfig::new())
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
