//! One layer of a configuration, for a shape.
#![allow(dead_code)]

use burn::tensor::Device;
use flowkit::{Context, LayerConfig, Site};

/// The layer of `config` where examples of shape `shape[1..]` arrive, without a condition.
pub fn layer<const D: usize, T: LayerConfig<D>>(
    config: &T,
    shape: [usize; D],
    device: &Device,
) -> T::Layer {
    layer_given(config, shape, &(), device)
}

/// The same, with a condition like `example`.
pub fn layer_given<const D: usize, C: Context, T: LayerConfig<D, C>>(
    config: &T,
    shape: [usize; D],
    example: &C,
    device: &Device,
) -> T::Layer {
    match config.build(&Site::given(shape, example, device)) {
        Ok(layer) => layer,
        Err(error) => panic!("{error}"),
    }
}

/// A layer without parameters, which is the same for every shape.
pub fn fixed<T: LayerConfig<2>>(config: &T) -> T::Layer {
    layer(config, [1, 1], &Device::default())
}

/// The same, of images alone.
pub fn fixed_image<T: LayerConfig<4>>(config: &T) -> T::Layer {
    layer(config, [1, 4, 2, 2], &Device::default())
}

/// Why `config` cannot be built for a shape.
pub fn refusal<const D: usize, T: LayerConfig<D>>(config: &T, shape: [usize; D]) -> String {
    match config.plan(&Site::new(shape, &Device::default())) {
        Ok(plan) => panic!("nothing was refused: {plan:?}"),
        Err(error) => error.to_string(),
    }
}
