//! A law on some channels: `Law::forward_within` and its inverse, against the law on these channels
//! alone.

use burn::tensor::{DType, Device, Distribution, Tensor, Tolerance};
use flowkit::law::{
    AffineConfig, AffineForm, AnyLaw, AnyLawConfig, Law, LawConfig, MixLogCdfConfig,
    RationalQuadraticSplineConfig,
};

fn laws() -> Vec<AnyLaw> {
    let forms = [AffineForm::Exponential, AffineForm::Bounded, AffineForm::Additive];
    let affine = forms.into_iter().map(|form| AnyLawConfig::from(AffineConfig::new(form)));
    let others: [AnyLawConfig; 2] =
        [MixLogCdfConfig::new(3).into(), RationalQuadraticSplineConfig::new(4).into()];
    affine.chain(others).map(|config| config.build().unwrap()).collect()
}

#[test]
fn a_law_within_channels_leaves_the_others_as_they_are() {
    let device = Device::flex();
    device.seed(11);
    let [batch, channels, positions] = [3, 5, 4];
    for law in laws() {
        for range in [0..2, 1..4, 3..5, 0..5] {
            let (first, n) = (range.start, range.len());
            let of = |shape: [usize; 3]| {
                let normal = Tensor::<3>::random(shape, Distribution::Normal(0.0, 1.0), &device);
                normal.cast(DType::F64)
            };
            let (x, theta) =
                (of([batch, channels, positions]), of([batch, law.n_params(), n * positions]));
            let (z, log_det) = law.forward_within(x.clone(), theta.clone(), range.clone());

            let inside = x.clone().narrow(1, first, n).reshape([batch, n * positions]);
            let (expected, log_derivative) = law.forward(inside, theta.clone());
            let tolerance = Tolerance::<f64>::absolute(1e-12);
            let found = z.clone().narrow(1, first, n).reshape([batch, n * positions]);
            found.into_data().assert_approx_eq(&expected.into_data(), tolerance);
            let expected = log_derivative.sum_dim(1).squeeze_dim::<1>(1);
            log_det.into_data().assert_approx_eq(&expected.into_data(), tolerance);

            let back = law.inverse_within(z.clone(), theta, range.clone());
            let tolerance = Tolerance::<f64>::absolute(1e-7);
            back.clone().into_data().assert_approx_eq(&x.to_data(), tolerance);
            for (start, length) in [(0, first), (range.end, channels - range.end)] {
                if length > 0 {
                    let outside = |of: &Tensor<3>| of.clone().narrow(1, start, length).into_data();
                    assert_eq!(outside(&z), outside(&x), "{law:?}, {range:?}");
                    assert_eq!(outside(&back), outside(&x), "{law:?}, {range:?}");
                }
            }
        }
    }
}
