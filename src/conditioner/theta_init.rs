//! Initial parameters of a law.
//! ```text
//! initial last layer   W = 0,  b = the values in the layer's configuration, or else the law's own
//!                      so theta = b for every input
//! ```
//! The components of a mixture must differ initially: at theta = 0 they are equal, so their
//! gradients are equal and they never separate. The mixture would learn as a single component.

use crate::error::ConfigError;
use crate::law::Law;

/// The initial parameters of `law`: `own`, which must have one finite value for each parameter, or
/// those of the law if `own` is `None`. Neither may have equal components.
pub(crate) fn of<L: Law>(
    config: &'static str,
    own: &Option<Vec<f64>>,
    law: &L,
) -> Result<Vec<f64>, ConfigError> {
    const FIELD: &str = "theta_init";
    let Some(init) = own else {
        let init = law.theta_init();
        return law.check_init(config, &init).map(|()| init);
    };
    if init.len() != law.n_params() {
        return Err(ConfigError::Length {
            config,
            field: FIELD,
            expected: law.n_params(),
            found: init.len(),
        });
    }
    if let Some(&found) =
        init.iter().find(|value| value.is_nan() || value.abs() > f64::from(f32::MAX))
    {
        return Err(ConfigError::OutOfRange {
            config,
            field: FIELD,
            range: "the float32 numbers",
            found,
        });
    }
    law.check_init(config, init).map(|()| init.clone())
}
