//! Elements are independent of each other.

use crate::kernel::cpu::simd::InstructionSet;
use crate::kernel::mixture_logistic::cpu::backward::{Backward, ThetaGradient};
use crate::kernel::mixture_logistic::cpu::forward::Forward;
use crate::kernel::mixture_logistic::cpu::tile::{Batch, Block, n_rows};

use super::problem::{Problem, Spread};

fn bits(elements: &[f32]) -> Vec<u32> {
    elements.iter().map(|x| x.to_bits()).collect()
}

/// Elements are independent of each other, so neither blocks nor strides nor threads change a bit.
#[test]
fn layout_is_immaterial() {
    let set = InstructionSet::detect();
    for (n, d, k) in
        [(1, 1, 1), (2, 7, 3), (3, 13, 5), (5, 129, 5), (40, 2, 8), (1, 3000, 40), (3, 2100, 33)]
    {
        let problem = Problem::<f32>::draw(n, d, k, Spread::Extreme, 9);
        let (z, log_derivative) = problem.forward(set);
        let gradients = problem.backward(set, &z, &problem.x);
        let (x, residual, solved) = problem.solve(set, &z);

        // Whole batches.
        let law = problem.law();
        let mut outputs = [vec![0.0; n * d], vec![0.0; n * d]];
        let [first, second] = &mut outputs;
        law.forward(&problem.batch(), first, second);
        assert_eq!((bits(first), bits(second)), (bits(&z), bits(&log_derivative)));
        let mut theta_gradient = vec![0.0; problem.theta.len()];
        law.backward(&problem.batch(), &z, &problem.x, first, &mut theta_gradient);
        assert_eq!((bits(first), bits(&theta_gradient)), (bits(&gradients.0), bits(&gradients.1)));
        let batch = Batch { x: &z, ..problem.batch() };
        let mut found = vec![true; n * d];
        law.solve(&batch, first, second, &mut found);
        assert_eq!((bits(first), bits(second), &found), (bits(&x), bits(&residual), &solved));

        // Strides.
        let (x_stride, row_stride) = (d + 3, d + 5);
        let theta_stride = row_stride * n_rows(k) + 7;
        let mut spread_x = vec![f32::NAN; n * x_stride];
        let mut spread_theta = vec![f32::NAN; n * theta_stride];
        for example in 0..n {
            spread_x[example * x_stride..][..d].copy_from_slice(&problem.x[example * d..][..d]);
            for row in 0..n_rows(k) {
                spread_theta[example * theta_stride + row * row_stride..][..d]
                    .copy_from_slice(&problem.theta[(example * n_rows(k) + row) * d..][..d]);
            }
        }
        let (x, theta) = (&spread_x[..], &spread_theta[..]);
        let batch =
            Batch { n_examples: n, n_dims: d, x, x_stride, theta, theta_stride, row_stride };
        law.forward(&batch, first, second);
        assert_eq!((bits(first), bits(second)), (bits(&z), bits(&log_derivative)));

        // Blocks.
        for block in
            [Block { examples: 0..n, dims: 0..d / 2 }, Block { examples: n / 2..n, dims: d / 3..d }]
        {
            let width = block.dims.len();
            let elements = |whole: &[f32]| -> Vec<f32> {
                let rows = block
                    .examples
                    .clone()
                    .flat_map(|example| &whole[example * d..][block.dims.clone()]);
                rows.copied().collect()
            };
            let (mut first, mut second) =
                (vec![0.0; block.n_elements()], vec![0.0; block.n_elements()]);
            let outputs = (&mut first, &mut second);
            set.dispatch(Forward {
                law,
                batch,
                block: block.clone(),
                z: outputs.0,
                log_derivative: outputs.1,
            });
            assert_eq!(
                (bits(&first), bits(&second)),
                (bits(&elements(&z)), bits(&elements(&log_derivative)))
            );
            let mut theta_gradient = vec![0.0; block.n_elements() * n_rows(k)];
            set.dispatch(Backward {
                law,
                batch,
                block: block.clone(),
                z_gradient: &elements(&z),
                log_derivative_gradient: &elements(&problem.x),
                x_gradient: &mut first,
                theta_gradient: ThetaGradient::Whole(&mut theta_gradient),
            });
            assert_eq!(bits(&first), bits(&elements(&gradients.0)));
            for (index, example) in block.examples.clone().enumerate() {
                for row in 0..n_rows(k) {
                    let found = &theta_gradient[(index * n_rows(k) + row) * width..][..width];
                    let all = &gradients.1[(example * n_rows(k) + row) * d..][block.dims.clone()];
                    assert_eq!(bits(found), bits(all));
                }
            }
        }
    }
}

/// NaN and infinite elements affect only their own element of the result.
#[test]
fn undefined_numbers_stay_alone() {
    for set in InstructionSet::available() {
        let problem = Problem::<f32>::draw(2, 40, 3, Spread::Mild, 11);
        let (z, log_derivative) = problem.forward(set);
        let (_, gradient) = problem.backward(set, &problem.x, &z);
        let (x, _, _) = problem.solve(set, &z);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::from_bits(0x7fc0_0001)] {
            let mut spoilt = problem.clone();
            spoilt.x[17] = bad;
            let found = spoilt.forward(set);
            let (_, found_gradient) = spoilt.backward(set, &problem.x, &z);
            let mut spoilt_z = z.clone();
            spoilt_z[17] = bad;
            let (found_x, _, solved) = problem.solve(set, &spoilt_z);
            for index in 0..80 {
                let at = (index / 40 * n_rows(3) + 4) * 40 + index % 40;
                if index == 17 {
                    assert!(
                        found.0[index].is_nan()
                            && found.1[index].is_nan()
                            && found_x[index].is_nan()
                    );
                    assert!(found_gradient[at].is_nan() && !solved[index]);
                } else {
                    assert_eq!((found.0[index], found.1[index]), (z[index], log_derivative[index]));
                    assert_eq!((found_x[index], found_gradient[at]), (x[index], gradient[at]));
                }
            }
            for row in 0..n_rows(3) {
                let mut spoilt = problem.clone();
                spoilt.theta[row * 40 + 17] = f32::NAN;
                let found = spoilt.forward(set);
                let (_, _, solved) = spoilt.solve(set, &z);
                for index in 0..80 {
                    assert_eq!(solved[index], index != 17);
                    assert!(index == 17 || found.0[index] == z[index]);
                }
                assert!(found.0[17].is_nan());
            }
        }
    }
}
