//! Neural spline flows beside nflows, and splines beside zuko, with the same weights.
//! `tests/golden/nsf.py` computed the values.

mod common;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Int, Tensor, TensorData};
use common::golden::Golden;
use common::tolerance::{elementwise, limit, normwise};
use common::{Precision, values};
use flowkit::law::{Law, LawConfig, RationalQuadraticSplineConfig};
use flowkit::model::{NsfConfig, NsfForm};
use flowkit::{ContextShape, Density, Features, Flow, LayerConfig, Site, StandardNormal};

/// Gives each parameter the values that the file has for its path.
struct Copied<'a> {
    golden: &'a Golden,
    precision: Precision,
    path: Vec<String>,
}

impl Copied<'_> {
    fn values(&self, expected: &[usize]) -> Vec<f64> {
        let stored = self.golden.get(&self.path.join("."));
        assert_eq!(stored.shape, expected, "{}", self.path.join("."));
        stored.values.clone()
    }
}

impl ModuleMapper for Copied<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let shape = param.val().dims();
        let values = self.values(&shape);
        Param::initialized(param.id, self.precision.tensor(values, shape))
    }

    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        let shape = param.val().dims();
        let values: Vec<i64> = self.values(&shape).into_iter().map(|value| value as i64).collect();
        let device = self.precision.device();
        Param::initialized(param.id, Tensor::from_data(TensorData::new(values, shape), &device))
    }
}

/// `ln p` of the points of a setting.
fn log_prob<C: Features<2>>(
    golden: &Golden,
    setting: usize,
    precision: Precision,
    condition: &C,
) -> Vec<f64> {
    let sizes: Vec<usize> =
        golden.get(&format!("{setting}.sizes")).values.iter().map(|&size| size as usize).collect();
    let [form, dims, steps, hidden, blocks, bins, _] = sizes[..] else { panic!("seven sizes") };
    let config = NsfConfig::new(steps)
        .with_form([NsfForm::Coupling, NsfForm::Autoregressive][form])
        .with_d_hidden(hidden)
        .with_n_blocks(blocks)
        .with_n_bins(bins)
        .with_bound(golden.get(&format!("{setting}.bound")).values[0]);
    let context = ContextShape::of(condition);
    let site = Site::<2, C>::described([1, dims], context, &precision.device());
    let layers = config.build(&site).unwrap();
    let flow = Flow::<_, _, 2, C>::new_given(layers, StandardNormal::new(), [1, dims]).unwrap();
    let path = vec!["w".to_owned(), setting.to_string()];
    let flow = flow.without_data().map(&mut Copied { golden, precision, path });
    let x = golden.get(&format!("{setting}.x")).tensor::<2>(precision);
    values(flow.given(condition).log_prob(x))
}

#[test]
fn nflows_with_the_same_weights() {
    let golden = Golden::load("nsf", "f64");
    for precision in Precision::BOTH {
        let mut worst = 0.0f64;
        for setting in 0..20 {
            let context = format!("{setting}.context");
            let found = match golden.starting_with(&context).next() {
                Some(_) => {
                    let condition = golden.get(&context).tensor::<2>(precision);
                    log_prob(&golden, setting, precision, &condition)
                }
                None => log_prob(&golden, setting, precision, &()),
            };
            let truth = &golden.get(&format!("{setting}.log_prob")).values;
            worst = worst.max(normwise(&found, truth));
        }
        // A condition number of the matrices of 100 costs float32 two digits.
        let most = if precision == Precision::Double { 1e-10 } else { 1e-5 };
        assert!(worst <= most, "{precision:?}: {worst:e}");
        println!("{precision:?}: {worst:e}");
    }
}

#[test]
fn zuko_with_the_same_knots() {
    let golden = Golden::load("nsf", "f64");
    for precision in Precision::BOTH {
        for setting in 0..20 {
            let get = |name: &str| golden.get(&format!("z.{setting}.{name}"));
            let theta = get("theta").tensor::<3>(precision);
            let spline = RationalQuadraticSplineConfig::new(theta.dims()[1].div_ceil(3))
                .with_bound(get("bound").values[0])
                .with_min_width(1e-5)
                .with_min_height(1e-5)
                .with_min_slope(1e-6)
                .build()
                .unwrap();
            let x = get("x").tensor::<2>(precision);
            let (z, log_derivative) = spline.forward(x.clone(), theta.clone());
            // The narrowest bin of the settings is 5e-3 of the whole, and a position in it is known
            // to a rounding of the whole.
            let most = limit(precision) * if precision == Precision::Single { 40.0 } else { 1.0 };
            let check = |what: &str, found: &[f64], truth: &[f64]| {
                let error = elementwise(found, truth);
                assert!(error <= most, "setting {setting}, {precision:?}, {what}: {error:e}");
            };
            check("z", &values(z.clone()), &get("z").values);
            check("log-derivative", &values(log_derivative), &get("log_derivative").values);
            let back = values(spline.inverse(z, theta));
            let slopes = get("log_derivative").values.iter().map(|log| log.exp().min(1.0));
            for ((found, truth), slope) in back.iter().zip(values(x)).zip(slopes) {
                let error = (found - truth).abs() * slope / truth.abs().max(1.0);
                assert!(error <= most, "setting {setting}, {precision:?}, inverse: {error:e}");
            }
        }
    }
}
