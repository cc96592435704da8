//! Models without a fault: every preset a few filters wide, with and without conditions.

use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData};
use flowkit::law::{
    AffineConfig, AffineForm, AnyLawConfig, BernsteinConfig, CircularSplineConfig,
    FlooredAffineConfig, GaussianizationConfig, MixLogCdfConfig, RationalQuadraticSplineConfig,
    ScaleForm, SoftClipSplineConfig,
};
use flowkit::model::flow_plus_plus::{
    self, CouplingLaw, DequantizationConfig, FlowPlusPlusConfig, VariationalConfig,
};
use flowkit::model::glow::{self, GlowConfig, GlowPrior};
use flowkit::model::{MafConfig, RealNvpConfig};
use flowkit::train::{NegativeLogLikelihood, Objective};
use flowkit::{Context, Flow, LayerConfig, StandardNormal, Uninit};

use crate::{device, embedded, turn};

fn levels(shape: [usize; 4], n_levels: usize) -> Tensor<4, Int> {
    let data: Vec<i64> = (0..shape.iter().product::<usize>())
        .map(|i| ((i * 37 + i / 7) % n_levels) as i64)
        .collect();
    Tensor::from_data(TensorData::new(data, shape), &device())
}

/// A flow of points of a plane, with a condition like `example`.
fn plane<C: Context, T: LayerConfig<2, C>>(
    layers: &T,
    example: &C,
) -> Uninit<Flow<T::Layer, StandardNormal, 2, C>> {
    Flow::build_given(layers, StandardNormal::new(), [1, 2], example, &device()).unwrap()
}

/// Differentiates the loss, as an update does, which consumes the graph of a condition, and
/// searches then.
fn assert_no_fault<M>(model: &M, objective: &impl Objective<M>, what: &str) {
    let loss = objective.loss(model);
    assert!(loss.clone().into_scalar::<f32>().is_finite(), "{what}");
    let _ = loss.backward();
    assert_eq!(objective.gradient_fault(model), None, "{what}");
    assert_eq!(objective.gradient_fault(model), None, "{what}, once more");
}

#[test]
fn of_flow_plus_plus() {
    let _turn = turn();
    let presets =
        flow_plus_plus::FlowPlusPlusPreset::ALL.map(|preset| (preset.model(), preset.to_string()));
    let ablations = [
        (FlowPlusPlusConfig::cifar10_uniform(), "uniform".to_owned()),
        (FlowPlusPlusConfig::cifar10_affine(), "affine".to_owned()),
        (FlowPlusPlusConfig::cifar10_without_attention(), "without attention".to_owned()),
    ];
    for (config, name) in presets.into_iter().chain(ablations) {
        let side = match config.image[1] {
            128 => 32,
            64 => 16,
            _ => 8,
        };
        let mut config = config.with_n_filters(4).with_n_blocks(1);
        config.image = [3, side, side];
        if let CouplingLaw::MixLogCdf { n_components, .. } = &mut config.law {
            *n_components = 2;
        }
        if let DequantizationConfig::Variational(noise) = &mut config.dequantization {
            *noise = VariationalConfig {
                n_filters: 4,
                n_blocks: 1,
                n_context: 4,
                n_encoder_blocks: 1,
                ..*noise
            };
        }
        let x = levels([4, 3, side, side], config.n_levels);
        let model = config.build(&device()).unwrap().initialize(x.clone()).unwrap();
        assert_no_fault(&model, &NegativeLogLikelihood::new(x), &name);
    }
}

#[test]
fn of_glow() {
    let _turn = turn();
    for preset in glow::GlowPreset::ALL {
        let config = preset.model();
        let side = 1 << config.n_scales;
        let mut config: GlowConfig = config.with_n_filters(4);
        (config.image, config.n_steps) = ([3, side, side], 1);
        let x = levels([8, 3, side, side], config.n_levels);
        let model = config.build(&device()).unwrap().initialize(x.clone()).unwrap();
        assert_no_fault(&model, &NegativeLogLikelihood::new(x.clone()), &preset.to_string());

        let config = config.with_prior(GlowPrior::Classes { n_classes: 3 });
        let model = config
            .build_classes(&device())
            .unwrap()
            .initialize_given(x.clone(), &embedded(8, 3).detach())
            .unwrap();
        let objective = NegativeLogLikelihood::given(x, embedded(8, 3));
        assert_no_fault(&model, &objective, &format!("{preset} with classes"));
    }
}

#[test]
fn of_models_of_vectors() {
    let _turn = turn();
    let rows: Vec<f32> = (0..32).map(|i| ((i * 7) % 11) as f32 / 5.0 - 1.0).collect();
    let x = Tensor::<1>::from_data(rows.as_slice(), &device()).reshape([16, 2]);
    let laws: [AnyLawConfig; 8] = [
        AffineConfig::new(AffineForm::Exponential).into(),
        MixLogCdfConfig::new(2).into(),
        RationalQuadraticSplineConfig::new(4).into(),
        BernsteinConfig::new(4).into(),
        CircularSplineConfig::new(4).into(),
        GaussianizationConfig::new(2).into(),
        FlooredAffineConfig::new(ScaleForm::SoftClip).into(),
        SoftClipSplineConfig::new(4).into(),
    ];
    // The same with a condition for each row, and with one row for all.
    for n in [16, 1] {
        let context = || embedded(n, 3);
        for law in &laws {
            let nvp = RealNvpConfig::new(2).with_hidden(vec![4]).with_law(law.clone());
            let maf = MafConfig::new(2).with_hidden(vec![4]).with_law(law.clone());
            let plain = NegativeLogLikelihood::new(x.clone());
            assert_no_fault(
                &plane(&nvp, &()).initialize(x.clone()).unwrap(),
                &plain,
                &format!("{nvp}"),
            );
            assert_no_fault(
                &plane(&maf, &()).initialize(x.clone()).unwrap(),
                &plain,
                &format!("{maf}"),
            );
            let given = || NegativeLogLikelihood::given(x.clone(), context());
            let start = context().for_batch(16).detach();
            let model = plane(&nvp, &start).initialize_given(x.clone(), &start).unwrap();
            assert_no_fault(&model, &given(), &format!("{nvp}"));
            let model = plane(&maf, &start).initialize_given(x.clone(), &start).unwrap();
            assert_no_fault(&model, &given(), &format!("{maf}"));
        }
    }
}

/// Data that a graph made: the update has consumed that graph too.
#[test]
fn of_data_with_a_graph() {
    let _turn = turn();
    let model = Flow::build(
        &RealNvpConfig::new(2).with_hidden(vec![4]),
        StandardNormal::new(),
        [1, 3],
        &device(),
    )
    .unwrap()
    .without_data();
    let objective = NegativeLogLikelihood::new(embedded(8, 3));
    assert_no_fault(&model, &objective, "data with a graph");
    assert_eq!(objective.gradient_fault(&model.valid()), None, "a model outside of any graph");
    assert_eq!(objective.fault(&model), None);
}
