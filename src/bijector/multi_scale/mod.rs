//! Multi-scale flows: after every level a part of the latents is factored out, and the rest passes
//! through the deeper levels.
//! ```text
//! forward   h_0 = x,  h = level_i(h_i),  (h_i+1, ε_i) = halves of the channels of h
//!           ε_L−1 = h of the last level,  z = the latents ε in the shape of x
//! log_det   Σ ln|det ∂level_i|
//! inverse   ε from z, then h_i = level_i⁻¹(h_i+1, ε_i) from the deepest level up
//! ```
//! A level is any bijector of images that keeps the shape or squeezes it, for example
//! `(Squeeze, Vec<Step>)`. All levels have the same type. An example with two levels of one squeeze
//! each, and an image of one channel and 4x4 pixels:
//!
//! ```text
//! x [1, 4, 4] ─ level 0 ─ [4, 2, 2] ┬─ channels 0, 1 ─ level 1 ─ [8, 1, 1]  = ε_1 (the deepest)
//!                                   └─ channels 2, 3                        = ε_0
//!
//! z [1, 4, 4]   1 1 1 1      every 2x2 block holds what level 0 has at one position:
//!               0 0 0 0      channels 0 and 1 in its upper row, 2 and 3 in its lower row.
//!               1 1 1 1      So ε_0 fills the rows 0; ε_1 fills the rows 1, in the shape
//!               0 0 0 0      in which level 1 received it
//! ```
//!
//! Packing only moves elements. The prior of z is therefore the prior of all latents together,
//! bits/dim count all of them, and the temperature of a sample scales the latents of all levels
//! alike. [`MultiScale::latents`] separates z into levels, [`MultiScale::pack`] joins them.
//!
//! # Learned priors
//! The half that is factored out may have a prior given the half that remains, `N(m, e^2s)`, where
//! a network computes `(s, m)`. Its latent is `ε = (h − m)·e^−s`, and the log-determinant `−Σ s`
//! turns the standard normal density of `ε` into that of `h`. Such a prior is a
//! [`Coupling`](crate::Coupling) at the end of a level, with the law
//! [`AffineForm::Normal`](crate::law::AffineForm) and the network [`ZeroConv`](crate::ZeroConv).
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//! use flowkit::law::{AffineConfig, AffineForm};
//! use flowkit::*;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let device = Device::flex();
//! let squeeze = SqueezeConfig::new(ChannelOrder::ChannelMajor);
//! let prior = CouplingConfig::new(AffineConfig::new(AffineForm::Normal), ZeroConvConfig::new());
//! let level = (squeeze, ActNormConfig::new(), Conv1x1Config::new(), prior);
//! // Channels of an example [4, 4, 4]: 16 after the squeeze of level 0, of which 8 go on to level
//! // 1, and 32 after its squeeze.
//! let levels = MultiScaleConfig::new(vec![level; 2]);
//! let flow = Flow::build(&levels, StandardNormal::new(), [1, 4, 4, 4], &device)?;
//! let x = Tensor::<4>::random([8, 4, 4, 4], Distribution::Normal(0.0, 1.0), &device);
//! let flow = flow.initialize(x.clone())?;
//! let (z, _) = flow.bijector.forward(x, &());
//! assert_eq!(z.dims(), [8, 4, 4, 4]);
//! let latents = flow.bijector.latents(z, &())?;
//! assert_eq!(latents.levels[0].dims(), [8, 8, 2, 2]);
//! assert_eq!(latents.levels[1].dims(), [8, 32, 1, 1]);
//! # Ok(())
//! # }
//! ```
//!
//! # Reference
//! Dinh et al. 2017 §3.6; learned priors as in the code of Kingma & Dhariwal 2018.

mod parts;

use burn::module::Module;
use burn::tensor::Tensor;

use self::parts::{LAYER, Parts, Scale};
use crate::bijector::replay::{Cotangent, Replay};
use crate::bijector::visit::Visit;
use crate::bijector::{Bijector, Direction, Drive, ShapeMap};
use crate::context::Context;
use crate::error::{ShapeError, check_shape_size};
use crate::tensor::per_example::zero_log_det;

/// Levels with factored-out latents. The diagram and the formulas head this module.
#[derive(Module, Debug)]
pub struct MultiScale<S> {
    /// Levels, first to deepest.
    pub levels: Vec<S>,
}

/// The latents of a [`MultiScale`], level by level.
#[derive(Debug, Clone)]
pub struct Latents {
    /// `[batch, channels, height, width]` each: the part that is factored out after the first
    /// level, after the second, ..., and the whole output of the deepest level.
    pub levels: Vec<Tensor<4>>,
}

/// The place of a level in errors.
pub(super) fn place(index: usize) -> String {
    format!(".levels[{index}]")
}

/// The shapes at every level of an image. `shape_of` returns the output shape of the level with an
/// index.
pub(super) fn scales<E: From<ShapeError>>(
    n_levels: usize,
    shape: [usize; 4],
    mut shape_of: impl FnMut(usize, [usize; 4]) -> Result<[usize; 4], E>,
) -> Result<Vec<Scale>, E> {
    check_shape_size(LAYER, &shape)?;
    let mut scales = Vec::with_capacity(n_levels);
    let mut input = shape;
    for index in 0..n_levels {
        let output = shape_of(index, input)?;
        check_shape_size(LAYER, &output)?;
        let scale = Scale { input, output };
        scale.check()?;
        scales.push(scale);
        if index + 1 < n_levels && (output[1] == 0 || output[1] % 2 != 0) {
            let shape = output.to_vec();
            return Err(ShapeError::NotDivisible { layer: LAYER, axis: 1, factor: 2, shape }.into());
        }
        input = output;
        input[1] /= 2;
    }
    Ok(scales)
}

impl<S> MultiScale<S> {
    /// A stack of levels. Without levels it is the identity.
    pub fn new(levels: Vec<S>) -> Self {
        Self { levels }
    }

    /// The latents of every level in `z`, the output of [`Bijector::forward`].
    ///
    /// # Errors
    /// If the levels do not accept data of the shape of `z`.
    pub fn latents<C: Context>(&self, z: Tensor<4>, context: &C) -> Result<Latents, ShapeError>
    where
        S: Bijector<4, C>,
    {
        let scales =
            self.scales(z.dims(), |level, shape| level.output_shape_given(shape, context))?;
        let Parts { left, deepest } = Parts::separate(&scales, [z]);
        Ok(Latents { levels: left.into_iter().chain([deepest]).flatten().collect() })
    }

    /// The `z` that consists of these latents, for [`Bijector::inverse`].
    ///
    /// # Errors
    /// If the number of latents differs from the number of levels, their shapes do not fit each
    /// other, or a level does not accept the condition.
    pub fn pack<C: Context>(&self, latents: Latents, context: &C) -> Result<Tensor<4>, ShapeError>
    where
        S: Bijector<4, C>,
    {
        let Latents { levels: mut left } = latents;
        // Without levels z is a single tensor.
        let (expected, found) = (self.levels.len().max(1), left.len());
        let (Some(deepest), true) = (left.pop(), expected == found) else {
            return Err(ShapeError::Levels { layer: LAYER, expected, found });
        };
        let mut scales = Vec::with_capacity(found);
        let mut shape = deepest.dims();
        for (index, level) in self.levels.iter().enumerate().rev() {
            if let Some(own) = left.get(index).map(Tensor::dims) {
                if let Some(axis) = (0..4).find(|&axis| shape[axis] != own[axis]) {
                    return Err(ShapeError::Axis {
                        layer: LAYER,
                        axis,
                        expected: shape[axis],
                        shape: own.to_vec(),
                    });
                }
                shape[1] *= 2;
            }
            let placed = |error: ShapeError| error.at(place(index));
            let scale = Scale { input: level.input_shape(shape).map_err(placed)?, output: shape };
            scale.check()?;
            level.output_shape_given(scale.input, context).map_err(placed)?;
            shape = scale.input;
            scales.push(scale);
        }
        scales.reverse();
        let parts = Parts { left: left.into_iter().map(|h| [h]).collect(), deepest: [deepest] };
        let [z] = parts.join(&scales);
        Ok(z)
    }

    /// The shapes at every level. `shape_of` returns the output shape of a level.
    fn scales(
        &self,
        shape: [usize; 4],
        shape_of: impl Fn(&S, [usize; 4]) -> Result<[usize; 4], ShapeError>,
    ) -> Result<Vec<Scale>, ShapeError> {
        scales(self.levels.len(), shape, |index, shape| {
            shape_of(&self.levels[index], shape).map_err(|error| error.at(place(index)))
        })
    }

    /// [`MultiScale::scales`] for a forward or inverse pass. Panics on an error.
    fn checked<C: Context>(&self, shape: [usize; 4], context: &C) -> Vec<Scale>
    where
        S: Bijector<4, C>,
    {
        match self.scales(shape, |level, shape| level.output_shape_given(shape, context)) {
            Ok(scales) => scales,
            Err(error) => panic!("{error}"),
        }
    }
}

impl<S> MultiScale<S> {
    /// Runs every level with `run` and adds the log-determinants.
    fn summed<C: Context>(
        &self,
        direction: Direction,
        x: Tensor<4>,
        context: &C,
        mut run: impl FnMut(usize, &S, Tensor<4>) -> (Tensor<4>, Tensor<1>),
    ) -> (Tensor<4>, Tensor<1>)
    where
        S: Bijector<4, C>,
    {
        let scales = self.checked(x.dims(), context);
        let mut log_det = zero_log_det(&x);
        let [z] = Parts::run(&scales, direction, [x], |index, [h]| {
            let (z, part) = run(index, &self.levels[index], h);
            log_det = log_det.clone() + part;
            [z]
        });
        (z, log_det)
    }
}

impl<S: ShapeMap<4>> ShapeMap<4> for MultiScale<S> {
    fn output_shape(&self, shape: [usize; 4]) -> Result<[usize; 4], ShapeError> {
        self.scales(shape, |level, shape| level.output_shape(shape)).map(|_| shape)
    }
}

impl<C: Context, S: Bijector<4, C>> Bijector<4, C> for MultiScale<S> {
    type Driver = Levels;

    fn forward(&self, x: Tensor<4>, context: &C) -> (Tensor<4>, Tensor<1>) {
        self.summed(Direction::Forward, x, context, |_, level, h| level.forward(h, context))
    }

    fn inverse(&self, z: Tensor<4>, context: &C) -> Tensor<4> {
        let scales = self.checked(z.dims(), context);
        let level = |index: usize, [h]: [Tensor<4>; 1]| [self.levels[index].inverse(h, context)];
        let [x] = Parts::run(&scales, Direction::Inverse, [z], level);
        x
    }

    fn inverse_with_log_det(&self, z: Tensor<4>, context: &C) -> (Tensor<4>, Tensor<1>) {
        self.summed(Direction::Inverse, z, context, |_, level, h| {
            level.inverse_with_log_det(h, context)
        })
    }

    fn initialize(self, x: Tensor<4>, context: &C) -> (Self, Tensor<4>) {
        let scales = self.checked(x.dims(), context);
        let mut waiting = self.levels.into_iter();
        let mut levels = Vec::with_capacity(scales.len());
        let [z] =
            Parts::run(&scales, Direction::Forward, [x.detach()], |_, [h]| match waiting.next() {
                Some(level) => {
                    let (level, z) = level.initialize(h, context);
                    levels.push(level);
                    [z]
                }
                None => [h],
            });
        (Self { levels }, z)
    }
}

/// Driver of a [`MultiScale`]: drives its levels and moves the elements between them.
#[derive(Debug, Clone, Copy)]
pub struct Levels;

impl<C: Context, S: Bijector<4, C>> Drive<MultiScale<S>, 4, C> for Levels {
    fn visit(
        bijector: &MultiScale<S>,
        direction: Direction,
        x: Tensor<4>,
        context: &C,
        visit: &mut Visit<'_, 4>,
    ) -> Tensor<4> {
        let scales = bijector.checked(x.dims(), context);
        let [z] = visit.within("levels", |visit| {
            Parts::run(&scales, direction, [x], |index, [h]| {
                let level = &bijector.levels[index];
                [visit.within(index, |visit| S::Driver::visit(level, direction, h, context, visit))]
            })
        });
        z
    }

    fn replay_forward(
        bijector: &MultiScale<S>,
        direction: Direction,
        x: Tensor<4>,
        context: &C,
        replay: &mut Replay<C>,
    ) -> (Tensor<4>, Tensor<1>) {
        replay.within("levels", |replay| {
            bijector.summed(direction, x, context, |index, level, h| {
                let pass = |replay: &mut Replay<C>| {
                    S::Driver::replay_forward(level, direction, h, context, replay)
                };
                replay.within(index, pass)
            })
        })
    }

    fn replay_back(
        bijector: &MultiScale<S>,
        direction: Direction,
        back: Cotangent<4>,
        context: &C,
        replay: &mut Replay<C>,
    ) -> Cotangent<4> {
        // Moving elements is orthogonal: gradients move as the values do.
        let Cotangent { z, grad_z, grad_log_det } = back;
        let scales = bijector.checked(z.dims(), context);
        let undone = Direction::Inverse.of(direction);
        let [z, grad_z] = replay.within("levels", |replay| {
            Parts::run(&scales, undone, [z, grad_z], |index, [z, grad_z]| {
                let back = Cotangent { z, grad_z, grad_log_det: grad_log_det.clone() };
                let level = &bijector.levels[index];
                let pass = |replay: &mut Replay<C>| {
                    S::Driver::replay_back(level, direction, back, context, replay)
                };
                let Cotangent { z, grad_z, .. } = replay.within(index, pass);
                [z, grad_z]
            })
        });
        Cotangent { z, grad_z, grad_log_det }
    }

    fn accepts(bijector: &MultiScale<S>) -> Result<(), ShapeError> {
        bijector
            .levels
            .iter()
            .enumerate()
            .try_for_each(|(index, level)| level.accepts().map_err(|error| error.at(place(index))))
    }

    /// The shape is kept: latents have the shape of the data.
    fn shape_given(
        bijector: &MultiScale<S>,
        _: Direction,
        shape: [usize; 4],
        context: &C,
    ) -> Result<[usize; 4], ShapeError> {
        bijector
            .scales(shape, |level, shape| level.output_shape_given(shape, context))
            .map(|_| shape)
    }
}
