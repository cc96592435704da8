//! A bijector that flowkit does not have: it bends the tails of each element.
//! ```text
//! forward  z = asinh(e^s·x)/e^s         log_det  −½ Σ ln(1 + (e^s·x)²)
//! inverse  x = sinh(e^s·z)/e^s
//! ```

use burn::module::{Initializer, Module, Param};
use burn::tensor::Tensor;
use flowkit::tensor::per_example::sum_event;
use flowkit::{
    Bijector, ConfigError, Context, LayerConfig, Leaf, Plan, ShapeError, ShapeMap, Site,
    check_shape, config,
};

/// The bijector. `s` is one number for each element.
#[derive(Module, Debug)]
pub struct Arcsinh {
    log_scale: Param<Tensor<1>>,
}

impl Arcsinh {
    fn scale(&self) -> Tensor<2> {
        self.log_scale.val().exp().unsqueeze()
    }
}

impl ShapeMap<2> for Arcsinh {
    fn output_shape(&self, shape: [usize; 2]) -> Result<[usize; 2], ShapeError> {
        let [expected] = self.log_scale.lazy_shape().dims();
        if shape[1] == expected {
            return Ok(shape);
        }
        Err(ShapeError::Axis { layer: "Arcsinh", axis: 1, expected, shape: shape.to_vec() })
    }
}

impl<C: Context> Bijector<2, C> for Arcsinh {
    type Driver = Leaf;

    fn forward(&self, x: Tensor<2>, _: &C) -> (Tensor<2>, Tensor<1>) {
        check_shape(self.output_shape(x.dims()));
        let scaled = x * self.scale();
        let log_derivative = scaled.clone().square().log1p().mul_scalar(-0.5);
        (scaled.asinh() / self.scale(), sum_event(log_derivative))
    }

    fn inverse(&self, z: Tensor<2>, _: &C) -> Tensor<2> {
        check_shape(self.input_shape(z.dims()));
        (z * self.scale()).sinh() / self.scale()
    }
}

config! {
    /// Configuration of [`Arcsinh`].
    #[derive(Debug)]
    pub struct ArcsinhConfig {}
}

impl<C: Context> LayerConfig<2, C> for ArcsinhConfig {
    type Layer = Arcsinh;

    fn build(&self, site: &Site<2, C>) -> Result<Arcsinh, ConfigError> {
        let n = site.channels("Arcsinh")?;
        Ok(Arcsinh { log_scale: Initializer::Zeros.init([n], site.device()) })
    }

    fn plan(&self, site: &Site<2, C>) -> Result<Plan<2>, ConfigError> {
        Ok(site.keeps(site.channels("Arcsinh")?))
    }
}
