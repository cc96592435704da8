//! Rational-quadratic splines: their configuration, and `PiecewiseRationalQuadraticCDF`.

use super::reader::Reader;
use crate::any_layer::AnyLayerConfig;
use crate::elementwise::ElementwiseConfig;
use crate::kernel::spline::{SplineEnds, SplineShape};
use crate::law::{AnyLawConfig, RationalQuadraticSplineConfig};
use crate::state_dict::StateDictError;
use crate::state_dict::slot::Part;

impl Reader<'_> {
    /// The spline of `n_params` parameters for each element.
    pub(super) fn spline(
        &self,
        prefix: &str,
        n_params: usize,
    ) -> Result<RationalQuadraticSplineConfig, StateDictError> {
        let settings = self.settings;
        match n_params % 3 {
            2 if n_params > 2 => Ok(RationalQuadraticSplineConfig::new(n_params.div_ceil(3))
                .with_bound(settings.tail_bound)
                .with_min_width(settings.min_bin_width)
                .with_min_height(settings.min_bin_height)
                .with_min_slope(settings.min_derivative)),
            1 if n_params > 1 => Err(self.file.undetermined(format!(
                "`{prefix}` has {n_params} parameters for each element, those of a spline without \
                 tails: expected `tails=\"linear\"`"
            ))),
            _ => Err(self.file.undetermined(format!(
                "`{prefix}` has {n_params} parameters for each element: expected those of an \
                 affine map or of a rational-quadratic spline"
            ))),
        }
    }

    /// What is added here to the parameter of a slope, so that 0 is a slope of 1.
    pub(super) fn slope_offset(&self, spline: &RationalQuadraticSplineConfig) -> f64 {
        let RationalQuadraticSplineConfig { n_bins, bound, min_width, min_height, min_slope } =
            *spline;
        let ends = SplineEnds::Identity;
        -SplineShape { n_bins, bound, min_width, min_height, min_slope, ends }.slope_shift()
    }

    /// Splines whose parameters are those of the elements.
    pub(super) fn splines(&mut self, prefix: &str) -> Result<(), StateDictError> {
        let [features, _] = self.file.shape(&format!("{prefix}.unnormalized_widths"))?;
        self.has_features(prefix, features)?;
        let layer = |config| AnyLayerConfig::Elementwise(config);
        let (config, theta, n_params) = self.elementwise(prefix)?;
        let path = self.push(layer(config));
        self.file.put(format!("{path}.theta"), [1, n_params, features], theta);
        Ok(())
    }

    /// The configuration and the parameters of such splines.
    pub(super) fn elementwise(
        &mut self,
        prefix: &str,
    ) -> Result<(ElementwiseConfig<AnyLawConfig>, Vec<f64>, usize), StateDictError> {
        let names = ["unnormalized_widths", "unnormalized_heights", "unnormalized_derivatives"];
        let mut theta = Vec::new();
        let mut counts = Vec::new();
        let [features, n_bins] = self.file.shape(&format!("{prefix}.{}", names[0]))?;
        for name in names {
            let name = format!("{prefix}.{name}");
            let [elements, count] = self.file.shape(&name)?;
            if elements != features {
                let reason = format!("`{name}`: expected {features} rows, found {elements}");
                return Err(self.file.undetermined(reason));
            }
            theta.extend(self.file.values(Part::new(name, [elements, count]).permuted([1, 0]))?);
            counts.push(count);
        }
        // One slope more, or one less, than bins: `spline` says which of them is expected.
        let slopes = counts[2];
        if counts[1] != n_bins || slopes.abs_diff(n_bins) != 1 {
            let reason = format!(
                "`{prefix}` has {n_bins} widths, {} heights and {slopes} slopes for each element: \
                 expected as many heights as widths, and one slope less",
                counts[1]
            );
            return Err(self.file.undetermined(reason));
        }
        let n_params = counts.iter().sum();
        let law = self.spline(prefix, n_params)?;
        let offset = self.slope_offset(&law);
        let start = theta.len() - slopes * features;
        theta[start..].iter_mut().for_each(|value| *value += offset);
        Ok((ElementwiseConfig::new(law.into()).with_noise(0.0), theta, n_params))
    }
}
