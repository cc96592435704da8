//! The mixture law, the affine coupling and the spline.

use std::ops::Range;

use burn::backend::Dispatch;
use burn::tensor::Tensor;
use flowkit::kernel::affine_coupling::{AffineCouplingGradient, AffineCouplingOps};
use flowkit::kernel::mixture_logistic::{MixtureLogisticGradient, MixtureLogisticOps};
use flowkit::kernel::spline::{self, SplineEnds, SplineShape};
use flowkit::kernel::{affine_coupling, mixture_coupling, mixture_logistic};
use flowkit::law::AffineForm;

use crate::{Door, Named, door, numbers};

/// The channels that are transformed.
const RANGE: Range<usize> = 3..5;
/// Axis 1 of the image may change alone: of four channels two are transformed, as of five.
const ODD: [(usize, usize); 1] = [(0, 1)];

const FORM: AffineForm = AffineForm::Sigmoid;

/// Eight parameters, as the mixture's here.
const SPLINE: SplineShape = SplineShape {
    n_bins: 3,
    bound: 3.0,
    min_width: 1e-3,
    min_height: 1e-3,
    min_slope: 1e-3,
    ends: SplineEnds::Identity,
};

pub fn doors() -> Vec<Door> {
    let x: Named = ("x", &[2, 7]);
    let z: Named = ("z", &[2, 7]);
    let theta: Named = ("theta", &[2, 8, 7]);
    let (image, latent): (Named, Named) = (("x", &[2, 5, 3]), ("z", &[2, 5, 3]));
    let mixture: Named = ("theta", &[2, 8, 6]);
    let affine: Named = ("theta", &[2, 2, 6]);
    let both = |(a, b): (Tensor<2>, Tensor<2>)| [numbers(a), numbers(b)].concat();
    let pair = |(a, b): (Tensor<3>, Tensor<1>)| [numbers(a), numbers(b)].concat();
    vec![
        door("mixture_coupling", &[image, mixture], &ODD, move |c| {
            pair(mixture_coupling::forward(c.get(0), c.get(1), RANGE, -7.0))
        }),
        door("mixture_coupling::plain", &[image, mixture], &ODD, move |c| {
            pair(mixture_coupling::plain::forward(c.get(0), c.get(1), RANGE, -7.0))
        }),
        door("mixture_logistic", &[x, theta], &[], move |c| {
            both(mixture_logistic::forward(c.get(0), c.get(1), -7.0))
        }),
        door("mixture_logistic::plain", &[x, theta], &[], move |c| {
            both(mixture_logistic::plain::forward(c.get(0), c.get(1), -7.0))
        }),
        door("mixture_logistic::inverse", &[z, theta], &[], |c| {
            numbers(mixture_logistic::inverse(c.get(0), c.get(1), -7.0))
        }),
        door("mixture_logistic::solve", &[z, theta], &[], |c| {
            numbers(mixture_logistic::solve(c.get(0), c.get(1), -7.0).x)
        }),
        door("mixture_logistic::plain::solve", &[z, theta], &[], |c| {
            numbers(mixture_logistic::plain::solve(c.get(0), c.get(1), -7.0).x)
        }),
        door("MixtureLogisticOps::mixture_logistic", &[x, theta], &[], |c| {
            let (x, theta) = raw!(c, 2, 3);
            all!(3 <Dispatch as MixtureLogisticOps>::mixture_logistic(x, theta, -7.0))
        }),
        door("MixtureLogisticOps::mixture_logistic_inverse", &[z, theta], &[], |c| {
            let (z, theta) = raw!(c, 2, 3);
            all!(3 <Dispatch as MixtureLogisticOps>::mixture_logistic_inverse(z, theta, -7.0))
        }),
        door(
            "MixtureLogisticGradient::mixture_logistic_backward",
            &[x, theta, ("gradient", &[2, 2, 7])],
            &[],
            |c| {
                let (x, theta, gradient) = raw!(c, 2, 3, 3);
                let (x, theta) = <Dispatch as MixtureLogisticGradient>::mixture_logistic_backward(
                    x, theta, gradient, -7.0,
                );
                all!(2 x, 3 theta)
            },
        ),
        door("spline", &[x, theta], &[], move |c| {
            both(spline::forward(c.get(0), c.get(1), SPLINE))
        }),
        door("spline::plain", &[x, theta], &[], move |c| {
            both(spline::plain::forward(c.get(0), c.get(1), SPLINE))
        }),
        door("spline::inverse", &[z, theta], &[], |c| {
            numbers(spline::inverse(c.get(0), c.get(1), SPLINE))
        }),
        door("spline::plain::inverse", &[z, theta], &[], |c| {
            numbers(spline::plain::inverse(c.get(0), c.get(1), SPLINE))
        }),
        door("affine_coupling", &[image, affine], &ODD, move |c| {
            pair(affine_coupling::forward(c.get(0), c.get(1), FORM, RANGE))
        }),
        door("affine_coupling::plain", &[image, affine], &ODD, move |c| {
            pair(affine_coupling::plain::forward(c.get(0), c.get(1), FORM, RANGE))
        }),
        door("affine_coupling::inverse", &[latent, affine], &ODD, |c| {
            numbers(affine_coupling::inverse(c.get(0), c.get(1), FORM, RANGE))
        }),
        door("affine_coupling::plain::inverse", &[latent, affine], &ODD, |c| {
            numbers(affine_coupling::plain::inverse(c.get(0), c.get(1), FORM, RANGE))
        }),
        door("AffineCouplingOps::affine_coupling", &[image, affine], &ODD, |c| {
            let (x, theta) = raw!(c, 3, 3);
            all!(3 <Dispatch as AffineCouplingOps>::affine_coupling(x, theta, FORM, RANGE))
        }),
        door("AffineCouplingOps::affine_coupling_inverse", &[latent, affine], &ODD, |c| {
            let (z, theta) = raw!(c, 3, 3);
            all!(3 <Dispatch as AffineCouplingOps>::affine_coupling_inverse(z, theta, FORM, RANGE))
        }),
        door(
            "AffineCouplingGradient::affine_coupling_backward",
            &[image, affine, ("gradient", &[2, 5, 3])],
            &[],
            |c| {
                let (x, theta, gradient) = raw!(c, 3, 3, 3);
                let (x, theta) = <Dispatch as AffineCouplingGradient>::affine_coupling_backward(
                    x, theta, gradient, FORM, RANGE,
                );
                all!(3 x, 3 theta)
            },
        ),
        door("AffineCouplingOps::affine_log_det", &[affine], &[(0, 0), (0, 2)], |c| {
            let (theta,) = raw!(c, 3);
            all!(1 <Dispatch as AffineCouplingOps>::affine_log_det(theta, FORM))
        }),
        door(
            "AffineCouplingGradient::affine_log_det_backward",
            &[affine, ("gradient", &[2])],
            &[(0, 2)],
            |c| {
                let (theta, gradient) = raw!(c, 3, 1);
                let of_theta = <Dispatch as AffineCouplingGradient>::affine_log_det_backward(
                    theta, gradient, FORM,
                );
                all!(3 of_theta)
            },
        ),
    ]
}
