//! The site of a network: what its configuration needs to build it.
//! ```text
//! x = (identity, transformed)
//! theta [batch, params, elements of transformed] = net(identity, context)
//! ```
//! `identity` is the input of the network, and `theta` holds the parameters of the law that
//! transforms the elements `transformed`. A coupling, an autoregressive layer or a prior passes to
//! its network the shapes of both, the initial parameters, the shape of the condition and the
//! device. A user therefore specifies no width.

use burn::module::{Initializer, Param};
use burn::tensor::{Device, Tensor, TensorData};

use crate::context::ContextShape;
use crate::error::ConfigError;
use crate::tensor::limit::{product, sum};

/// What a configuration needs to build a network.
#[derive(Debug, Clone)]
pub struct NetSite<const D: usize> {
    identity: [usize; D],
    transformed: [usize; D],
    theta_init: Vec<f64>,
    context: ContextShape,
    device: Device,
}

impl<const D: usize> NetSite<D> {
    /// A site without a condition.
    ///
    /// `identity` is the shape of the network's input and `transformed` the shape of the elements
    /// that it computes parameters for; the batch, axis 0, is not fixed. `theta_init` holds the
    /// initial value of each parameter, the same for every element; its length is the number of
    /// parameters.
    pub fn new(
        identity: [usize; D],
        transformed: [usize; D],
        theta_init: Vec<f64>,
        device: &Device,
    ) -> Self {
        let one = |mut shape: [usize; D]| {
            shape[0] = 1;
            shape
        };
        let (identity, transformed) = (one(identity), one(transformed));
        Self {
            identity,
            transformed,
            theta_init,
            context: ContextShape::default(),
            device: device.clone(),
        }
    }

    /// The same site with a condition.
    pub fn with_context(self, context: ContextShape) -> Self {
        Self { context, ..self }
    }

    /// Shape of the network's input, with a batch of 1.
    pub fn identity(&self) -> [usize; D] {
        self.identity
    }

    /// Shape of the elements that the network computes parameters for, with a batch of 1.
    pub fn transformed(&self) -> [usize; D] {
        self.transformed
    }

    /// Initial value of each parameter.
    pub fn theta_init(&self) -> &[f64] {
        &self.theta_init
    }

    /// The shape of the condition.
    pub fn context(&self) -> &ContextShape {
        &self.context
    }

    /// Width of the condition along axis 1; `None` where there is no condition.
    pub fn context_width(&self) -> Option<usize> {
        self.context.width()
    }

    /// Device of the parameters.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Number of parameters of the law for each element.
    pub fn n_params(&self) -> usize {
        self.theta_init.len()
    }

    /// Width of the last layer, `n_params · transformed[1]`; `usize::MAX` if it is larger.
    pub fn n_outputs(&self) -> usize {
        product([self.n_params(), self.transformed[1]])
    }

    /// Width of the network's input and of the condition together; `usize::MAX` if it is larger.
    pub fn n_inputs(&self) -> usize {
        sum([self.identity[1], self.context_width().unwrap_or(0)])
    }

    /// Checks that every length is at least 1 and none is too large, and that the initial
    /// parameters are within the range of float32. `config` is the type that errors name.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self, config: &'static str) -> Result<(), ConfigError> {
        for (field, shape) in [("identity", self.identity), ("transformed", self.transformed)] {
            shape[1..]
                .iter()
                .try_for_each(|&length| ConfigError::positive(config, field, length))?;
        }
        ConfigError::positive(config, "n_params", self.n_params())?;
        ConfigError::positive(config, "context", self.context_width().unwrap_or(1))?;
        let fits = |value: &&f64| value.is_nan() || value.abs() > f64::from(f32::MAX);
        match self.theta_init.iter().find(fits) {
            None => Ok(()),
            Some(&found) => {
                let (field, range) = ("theta_init", "the float32 numbers");
                Err(ConfigError::OutOfRange { config, field, range, found })
            }
        }
    }

    /// The same site for the last layer of a network, which reads `width` channels.
    pub(crate) fn reading(&self, width: usize) -> Self {
        let mut site = self.clone();
        site.identity[1] = width;
        site
    }

    /// The sizes that determine the number of parameters of a network, by name.
    pub(crate) fn sizes(&self) -> [(&'static str, usize); 4] {
        let context = self.context_width().unwrap_or(0);
        let [identity, transformed] = [self.identity[1], self.transformed[1]];
        [
            ("identity", identity),
            ("transformed", transformed),
            ("n_params", self.n_params()),
            ("context", context),
        ]
    }

    /// Number of weights and biases of dense layers with these hidden widths; `usize::MAX` if there
    /// are more.
    pub(crate) fn count_dense(&self, hidden: &[usize]) -> usize {
        let (mut inputs, mut total) = (self.n_inputs(), 0);
        for width in hidden.iter().copied().chain([self.n_outputs()]) {
            total = sum([total, product([inputs, width]), width]);
            inputs = width;
        }
        total
    }

    /// A bias for a last layer whose weights are 0. With it, the parameters of every element are
    /// [`NetSite::theta_init`]: output `j·C + c` is parameter `j` of channel `c` of `C`. It
    /// allocates nothing before its first use.
    pub fn bias(&self) -> Param<Tensor<1>> {
        let (init, width) = (self.theta_init.clone(), self.transformed[1]);
        let bias = Initializer::Zeros.init([self.n_outputs()], &self.device);
        if init.iter().all(|&value| value == 0.0) {
            return bias;
        }
        bias.init_mapper(move |zeros: Tensor<1>| {
            let values: Vec<f64> = init.iter().flat_map(|&value| vec![value; width]).collect();
            let n = values.len();
            let init =
                Tensor::from_data(TensorData::new(values, [n]), (&zeros.device(), zeros.dtype()));
            init.set_require_grad(zeros.is_require_grad())
        })
    }
}
