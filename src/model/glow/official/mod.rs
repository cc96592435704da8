//! Checkpoints of the released code of Glow (`openai/glow`, TensorFlow 1).
//!
//! The code writes TensorFlow's bundles (`model_best_loss.ckpt.index` and `.data-...`). Three lines
//! of Python, with TensorFlow 1.8 or later, make an npz file of one:
//! ```python
//! import numpy, tensorflow
//! file = tensorflow.train.load_checkpoint("logs/model_best_loss.ckpt")
//! numpy.savez("glow.npz", **{n: file.get_tensor(n) for n in file.get_variable_to_shape_map()})
//! ```
//! [`load`] reads it, and [`config()`] deduces a configuration from it:
//! ```no_run
//! use burn::tensor::Device;
//! use flowkit::Density;
//! use flowkit::model::glow::GlowConfig;
//! use flowkit::model::glow::official::{self, Weights};
//! use flowkit::state_dict::StateDict;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let device = Device::flex();
//! let glow = official::load("glow.npz", &GlowConfig::cifar10(), Weights::Last, &device)?;
//! let images = glow.sample_at(16, 0.7)?;
//!
//! let file = StateDict::read("other.npz")?;
//! let config = official::config(&file, [64, 64], 32)?; // 64x64 pixels of 5 bits
//! let glow = official::fill(&file, Weights::Last, config.build(&device)?)?;
//! # Ok(())
//! # }
//! ```
//! [`load_classes`] and [`fill_classes`] are for class-conditional models, [`save`] and
//! [`save_classes`] write the same arrays, and [`arrays`] lists them.
//!
//! # Names
//! Scale `i`, step `j`, `C` channels, `F` filters, `o` outputs of a coupling's network: `C` if the
//! coupling is affine, `C/2` if it is additive. Images are `[B, H, W, C]` there and weights
//! `[height, width, in, out]`; here they are `[B, C, H, W]` and `[out, in, height, width]`.
//!
//! | array | shape there | here |
//! |---|---|---|
//! | `model/i/j/actnorm_center/b` | `[1, 1, 1, C]` | [`ActNorm::bias`](crate::ActNorm) |
//! | `model/i/j/actnorm_scale/logs` | `[1, 1, 1, C]` | [`ActNorm::log_scale`](crate::ActNorm), factor 3 |
//! | `model/i/j/invconv/W` | `[C, C]` | transposed: [`ChannelMatrix::matrices`](crate::ChannelMatrix) |
//! | `model/i/j/invconv/P`, `L`, `U`, `sign_S`, `log_S` | `[C, C]`, `[C]` | [`Conv1x1`](crate::Conv1x1), factored again |
//! | `model/i/j/shuffle/indices`, `indices_inverse` | `[C]`, integers | [`Permutation::indices`](crate::Permutation) |
//! | `model/i/j/f1/l_1/W` | `[3, 3, C/2 + 1, F]` | [`GlowNet::input`](crate::GlowNet) |
//! | `model/i/j/f1/l_2/W` | `[1, 1, F, F]` | [`GlowNet::inner`](crate::GlowNet) |
//! | `model/i/j/f1/l_1`, `l_2`: `actnorm_center/b`, `actnorm_scale/logs` | `[1, 1, 1, F]` | their norms |
//! | `model/i/j/f1/l_last/W` | `[3, 3, F + 1, o]` | [`GlowNet::output`](crate::GlowNet), outputs reordered |
//! | `model/i/j/f1/l_last/b`, `logs` | `[1, 1, 1, o]`, `[1, o]` | its bias and log-scale, reordered |
//! | `model/pooli/conv/W`, `b`, `logs` | `[3, 3, C/2 + 1, C]`, `[1, 1, 1, C]`, `[1, C]` | [`FactorOut`](super::FactorOut), outputs reordered |
//! | `model/prior/p/W`, `b`, `logs` | `[3, 3, 2C + 1, 2C]`, `[1, 1, 1, 2C]`, `[1, 2C]` | [`TopPrior::conv`](super::TopPrior) |
//! | `model/prior/y_emb/W`, `b`, `logs` | `[n, 2C]`, `[1, 2C]`, `[1, 2C]` | [`TopPrior::classes`](super::TopPrior), `n` classes |
//! | `model/classifier/W`, `b`, `logs` | `[C, n]`, `[1, n]`, `[1, n]` | [`GlowClassifier::linear`](super::GlowClassifier) |
//!
//! * Reordered outputs: the file has shift and log-scale of channel `c` (in a prior, mean and
//!   log-deviation) at `2c` and `2c + 1`; here all log-scales come first, then all shifts. The
//!   outputs of an additive coupling and of the top prior have the same order in both.
//! * The last input channel of a 3x3 convolution marks the border of the image, in both.
//! * The file has `logs`, the log-scale divided by 3, as the parameters here.
//! * A model with `--flow_permutation 0` reverses the channels and has no array for it.
//! * `W = P·L·(U + D)` is multiplied from the right in the released code, `z = x·W`, and from the
//!   left here. The transpose is factored again in float64. Its factors are other numbers, the map
//!   and its determinant are the same. The released code has this form behind a switch in its
//!   source, and `W` without it.
//! * A model that was trained without `--learntop` has no `model/prior/p`. The deepest latents are
//!   then standard normal without a class. The model here has the convolution with zeros, which is
//!   the same density.
//!
//! # Training state
//! The code saves all variables of its graph: the last weights under the names above, the moving
//! average of each trained one as `NAME/ExponentialMovingAverage`, and the state of the optimizer
//! as `Variable` (the number of updates) and `Variable_1`, `Variable_2`, ... (two moments of each
//! weight). [`Weights`] selects the last weights or the average. The others and the state of the
//! optimizer are known and not read. An npz file may have the arrays `model/...` alone. Every other
//! array that the model does not use is an error.
//!
//! # What a file does not show
//! The size of the images and the number of levels of a pixel (`--n_bits_x`) are arguments of
//! [`config()`]. The CelebA-HQ model of the demo is published as a frozen graph (`.pb`), which is
//! no checkpoint and has an input more. This module does not read it.
//!
//! # Numerics
//! Values of float32 are copied without a change, except those of `P·L·(U + D)`. Latents and
//! log-densities agree with the formulas of the released code to 1e-10 in float64 and 5e-6 in
//! float32 (`tests/golden/glow_official.py`).
//!
//! # Reference
//! `model.py`, `tfops.py` and `optim.py` of the code of Kingma & Dhariwal 2018. Its
//! `tf.Variable(1., 'adam_t')` passes the text as `trainable`, so the variables of the optimizer
//! have TensorFlow's default names.

mod deduced;
mod mixing;
mod read;
mod scope;
mod write;

pub use deduced::config;
pub use read::{fill, fill_classes, load, load_classes};
pub use write::{arrays, save, save_classes};

/// Which weights of a checkpoint are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weights {
    /// Those of the last update, with which the released code evaluates and samples.
    Last,
    /// Their exponential moving average. Its decay is `1 − 1/n` for `n` updates per epoch.
    Average,
}
