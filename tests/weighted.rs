//! Weighted examples: the loss and its gradient under every policy, exact and bound, and what is
//! refused.

use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData};
use flowkit::bijector::replay::Replay;
use flowkit::law::MixLogCdfConfig;
use flowkit::model::RealNvpConfig;
use flowkit::model::flow_plus_plus::{
    CouplingLaw, DequantizationConfig, EncoderBlock, FlowPlusPlus, FlowPlusPlusConfig, NoiseMixing,
    Resolution, StageConfig, VariationalConfig,
};
use flowkit::testing::parameters::parameters;
use flowkit::train::fit::{FitFlow, Fitted, Progress, Weighted};
use flowkit::train::{
    EmaDecay, FitConfig, NegativeLogLikelihood, Objective, TrainError, Trainer, TrainerConfig,
};
use flowkit::{Bijector, Density, Flow, FlowError, GradientMemory, Pattern, StandardNormal};

#[path = "common/draws.rs"]
mod draws;
#[path = "common/gradient.rs"]
mod gradient;

use draws::turn;
use gradient::{agree, device, gradient, relative};

const POLICIES: [GradientMemory; 3] =
    [GradientMemory::Store, GradientMemory::Recompute, GradientMemory::REVERSIBLE];

/// Eight examples of very different weights, of mean 1.
const WEIGHTS: [f64; 8] = [0.0, 2.0, 0.25, 0.25, 4.0, 0.5, 0.5, 0.5];

type Points = Tensor<2>;
type Levels = Tensor<4, Int>;

fn points() -> Points {
    let values: Vec<f32> = (0..16).map(|i| (i as f32 * 1.7).sin() * 2.0).collect();
    Tensor::from_data(TensorData::new(values, [8, 2]), &device())
}

fn levels() -> Levels {
    let data: Vec<i64> = (0..8 * 16).map(|i| (i * 37 + i / 7) % 256).collect();
    Tensor::from_data(TensorData::new(data, [8, 1, 4, 4]), &device())
}

/// Couplings of mixtures.
fn exact() -> Flow<impl Bijector<2>, StandardNormal, 2> {
    device().seed(5);
    let layers = RealNvpConfig::new(4).with_law(MixLogCdfConfig::new(3).into());
    let flow = Flow::build(&layers, StandardNormal::new(), [1, 2], &device()).unwrap();
    flow.initialize(points()).unwrap()
}

/// The noise of the dequantization has a flow of its own, which is trained too.
fn bound() -> FlowPlusPlus {
    device().seed(3);
    let noise = VariationalConfig {
        pattern: Pattern::Checkerboard,
        n_couplings: 1,
        n_filters: 4,
        n_blocks: 1,
        n_context: 2,
        mixing: NoiseMixing::AsFlow,
        n_encoder_blocks: 1,
        encoder_block: EncoderBlock::Conv,
    };
    let stages = vec![StageConfig {
        resolution: Resolution::Squeeze,
        pattern: Pattern::Channels,
        n_couplings: 2,
    }];
    FlowPlusPlusConfig::new([1, 4, 4], stages, DequantizationConfig::Variational(noise))
        .with_law(CouplingLaw::mix_log_cdf(3))
        .with_n_filters(4)
        .with_n_blocks(1)
        .with_variance_floor(1e-2)
        .build(&device())
        .unwrap()
        .initialize(levels())
        .unwrap()
}

/// By how much the weights change the gradient.
fn effect<M: Module, O: Objective<M>>(model: &M, weighted: &O, plain: &O) -> f64 {
    relative(&gradient(model, weighted, None).1, &gradient(model, plain, None).1)
}

#[test]
fn policies_agree_on_a_weighted_batch() {
    let _turn = turn();
    let (model, plain) = (exact(), NegativeLogLikelihood::new(points()));
    let weighted = plain.clone().weighted(WEIGHTS.into());
    agree("exact", &model, &weighted, false);
    assert!(effect(&model, &weighted, &plain) > 0.1);
    let (model, plain) = (bound(), NegativeLogLikelihood::new(levels()));
    let weighted = plain.clone().weighted(WEIGHTS.into());
    agree("bound", &model, &weighted, false);
    assert!(effect(&model, &weighted, &plain) > 0.1);
}

/// Loss and gradient of a batch in which a row has weight 2, and of one that has the row twice.
#[test]
fn a_weight_of_two_is_a_second_copy_under_every_policy() {
    let _turn = turn();
    let model = exact();
    let x = points();
    let twice = Tensor::cat(vec![x.clone(), x.clone().narrow(0, 3, 1)], 0);
    let twice = NegativeLogLikelihood::new(twice);
    // The mean of the weights is 1.
    let weights = (0..8).map(|row| if row == 3 { 16.0 / 9.0 } else { 8.0 / 9.0 }).collect();
    let weighted = NegativeLogLikelihood::new(x.clone()).weighted(weights);
    let (loss, expected) = gradient(&model, &twice, None);
    let plain = gradient(&model, &NegativeLogLikelihood::new(x), None).1;
    assert!(relative(&plain, &expected) > 1e-2);
    for (replay, tolerance) in
        [(None, 1e-5), (Some(Replay::recomputing(5)), 1e-5), (Some(Replay::new(5)), 1e-3)]
    {
        let (found, gradient) = gradient(&model, &weighted, replay);
        assert!((found - loss).abs() < 1e-5, "{found} {loss}");
        assert!(relative(&gradient, &expected) < tolerance, "{}", relative(&gradient, &expected));
    }
}

/// Weights of a batch in parts count as those of the whole batch.
#[test]
fn parts_of_a_weighted_batch_are_the_batch() {
    let _turn = turn();
    let (model, x) = (exact(), points());
    for policy in POLICIES {
        let config = TrainerConfig::new().with_gradient_memory(policy).with_max_norm(f64::MAX);
        let trainer = || Trainer::new(model.clone(), config.clone()).unwrap();
        let part = |start, n| {
            NegativeLogLikelihood::new(x.clone().narrow(0, start, n))
                .weighted(WEIGHTS[start..start + n].to_vec())
        };
        let whole = trainer().update_on(&device(), &part(0, 8)).unwrap();
        let parts = trainer().update_on_parts(&device(), &[part(0, 5), part(5, 3)]).unwrap();
        assert!((whole.loss - parts.loss).abs() < 1e-5, "{policy:?}: {whole:?} {parts:?}");
        assert!((whole.gradient_norm / parts.gradient_norm - 1.0).abs() < 1e-4, "{policy:?}");
    }
}

fn config(policy: GradientMemory) -> FitConfig {
    FitConfig::new()
        .with_progress(Progress::None)
        .with_epochs(10)
        .with_batch_size(4)
        .with_warm_up(1)
        .with_learning_rate(3e-3)
        .with_ema(EmaDecay::Constant(0.0))
        .with_gradient_memory(policy)
}

/// The parameters of a fitted flow, less those that it started from. The data is held out too, so
/// its likelihood rises and the flow moves.
fn moved<F: FitFlow>(fitted: &Fitted<F>, start: &F) -> Vec<f64> {
    let values = |flow: &F| -> Vec<f64> {
        parameters(flow).into_iter().flat_map(|parameter| parameter.values).collect()
    };
    values(&fitted.flow).iter().zip(values(start)).map(|(end, start)| end - start).collect()
}

#[test]
fn weighted_fits_take_the_same_way_under_every_policy() {
    let _turn = turn();
    let start = exact();
    let fit = |policy, weights: [f64; 8]| {
        let weighted = Weighted::new(points(), weights.into());
        moved(&config(policy).fit_held_out(start.clone(), &weighted, &weighted).unwrap(), &start)
    };
    let [store, recompute, reversible] = POLICIES.map(|policy| fit(policy, WEIGHTS));
    let (one, other) = (relative(&recompute, &store), relative(&reversible, &store));
    println!("exact: {one:.1e} {other:.1e}");
    assert!(one < 1e-4 && other < 1e-2, "{one} {other}");
    assert!(relative(&fit(GradientMemory::Recompute, [1.0; 8]), &store) > 0.1);

    let start = bound();
    let fit = |policy, weights: [f64; 8]| {
        let weighted = Weighted::new(levels(), weights.into());
        moved(&config(policy).fit_held_out(start.clone(), &weighted, &weighted).unwrap(), &start)
    };
    let [store, recompute, reversible] = POLICIES.map(|policy| fit(policy, WEIGHTS));
    let (one, other) = (relative(&recompute, &store), relative(&reversible, &store));
    println!("bound: {one:.1e} {other:.1e}");
    assert!(one < 1e-4 && other < 1e-2, "{one} {other}");
    assert!(relative(&fit(GradientMemory::Recompute, [1.0; 8]), &store) > 0.1);
}

#[test]
fn weights_that_do_not_fit_the_batch_are_named() {
    let _turn = turn();
    let model = exact();
    for policy in POLICIES {
        let config = TrainerConfig::new().with_gradient_memory(policy);
        let mut trainer = Trainer::new(model.clone(), config).unwrap();
        let mut refused = |weights: Vec<f64>| {
            let objective = NegativeLogLikelihood::new(points()).weighted(weights);
            match trainer.update_on(&device(), &objective) {
                Err(TrainError::Batch(error)) => error,
                other => panic!("{other:?}"),
            }
        };
        // A single weight would apply to all examples.
        for found in [0, 1, 7, 9] {
            let error = refused(vec![1.0; found]);
            assert_eq!(error, FlowError::WeightCount { expected: 8, found });
            let text = format!("a batch of 8 examples needs as many weights, found {found}");
            assert_eq!(error.to_string(), text);
        }
        for bad in [-0.5, f64::INFINITY, 1e39] {
            let mut weights = vec![1.0; 8];
            weights[5] = bad;
            let error = refused(weights);
            assert_eq!(error, FlowError::Weight { example: 5, found: bad });
            let text = format!("the weight of example 5 must lie in [0, 3.4e38], found {bad}");
            assert_eq!(error.to_string(), text);
        }
        assert_eq!(refused(vec![0.0; 8]), FlowError::NoWeight { examples: 8 });
    }
}

/// The bits/dim of an update are those of the weighted mean, whatever the scale of the weights.
#[test]
fn bits_per_dim_do_not_depend_on_the_scale_of_weights() {
    let _turn = turn();
    let bits = |scale: f64| {
        let weights = WEIGHTS.map(|weight| scale * weight).into();
        let objective = NegativeLogLikelihood::new(points()).weighted(weights);
        let mut trainer = Trainer::new(exact(), TrainerConfig::new()).unwrap();
        trainer.update_on(&device(), &objective).unwrap().bits_per_dim.value()
    };
    let nats: Vec<f64> = exact().log_prob(points()).into_data().iter::<f64>().collect();
    let total: f64 = WEIGHTS.iter().sum();
    let mean: f64 =
        nats.iter().zip(WEIGHTS).map(|(nats, weight)| nats * weight).sum::<f64>() / total;
    let expected = -mean / (2.0 * std::f64::consts::LN_2);
    for scale in [1.0, 2.0, 1e-3] {
        let found = bits(scale);
        assert!((found - expected).abs() < 1e-5 * expected.abs().max(1.0), "{found} {expected}");
    }
}
