//! Configurations that are told shapes: stacks, inverses, levels, and what they say of layers that
//! do not fit.

use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor};
use flowkit::law::{AffineConfig, AffineForm, MixLogCdfConfig, RationalQuadraticSplineConfig};
use flowkit::model::flow_plus_plus::{CouplingLaw, FlowPlusPlusConfig, Resolution};
use flowkit::model::glow::GlowConfig;
use flowkit::tensor::limit::MOST_PARAMETERS;
use flowkit::*;

#[path = "common/draws.rs"]
mod draws;

use draws::turn;

fn device() -> Device {
    Device::flex()
}

fn vectors(n: usize) -> Site<2> {
    Site::new([1, n], &device())
}

fn images(shape: [usize; 3]) -> Site<4> {
    Site::new([1, shape[0], shape[1], shape[2]], &device())
}

fn refusal<const D: usize, T: LayerConfig<D>>(config: &T, site: &Site<D>) -> String {
    let _turn = turn();
    let planned = config.plan(site).unwrap_err().to_string();
    let built = config.build(site).map(|_| ()).unwrap_err().to_string();
    assert_eq!(planned, built);
    planned
}

/// A layer maps forward and back, and its plan says what is built.
fn agrees<const D: usize, T: LayerConfig<D>>(config: &T, site: &Site<D>) {
    let _turn = turn();
    let (plan, layer) = (config.plan(site).unwrap(), config.build(site).unwrap());
    let output = layer.output_shape(site.shape()).unwrap();
    assert_eq!(plan, Plan { output, num_params: layer.num_params() });
    let inverse = Plan { output: site.shape(), ..plan };
    assert_eq!(config.plan_inverse(&site.at(plan.output)).unwrap(), inverse);
    let x = Tensor::<D>::random(site.shape(), Distribution::Uniform(0.2, 0.8), &device());
    let (z, _) = layer.forward(x.clone(), &());
    let back = layer.inverse(z, &());
    let gap = (back - x).abs().max().into_scalar::<f32>();
    assert!(gap < 1e-4, "{gap}");
}

#[test]
fn plans_say_what_is_built() {
    let squeeze = || SqueezeConfig::new(ChannelOrder::BlockMajor);
    let partition = |pattern| PartitionConfig::new(pattern);
    let step = || (ActNormConfig::new(), Conv1x1Config::new(), Swap::new());
    agrees(&(LogitConfig::new(), vec![step(), step()]), &vectors(3));
    agrees(&(Some(ActNormConfig::new()), None::<ActNormConfig>), &vectors(3));
    agrees(&Vec::<ActNormConfig>::new(), &vectors(3));
    agrees(
        &(ElementwiseConfig::new(MixLogCdfConfig::new(2)), PositionNormConfig::new()),
        &images([1, 2, 3]),
    );
    agrees(&(squeeze(), partition(Pattern::Stripes), vec![step()]), &images([1, 8, 8]));
    let there =
        (squeeze(), partition(Pattern::Checkerboard), ChannelMatrixConfig::new().with_n_groups(2));
    agrees(&there, &images([1, 8, 8]));
    agrees(&(there.clone(), Invert::new(there.clone())), &images([1, 8, 8]));
    agrees(&Invert::new(vec![(squeeze(), HouseholderConfig::new(2)); 2]), &images([16, 2, 2]));
    agrees(&MultiScaleConfig::new(vec![(squeeze(), vec![step(); 2]); 2]), &images([1, 8, 8]));
    agrees(&Boxed::new(there), &images([1, 8, 8]));
    agrees(&Box::new((Exp::new(), Invert::new(Softplus::new()))), &vectors(2));
    let chosen: [Box<dyn LayerConfig<2, Layer = BoxBijector<2>>>; 2] =
        [Box::new(Boxed::new(Sigmoid::new())), Box::new(Boxed::new(Invert::new(Sigmoid::new())))];
    agrees(&Vec::from(chosen), &vectors(2));
}

#[test]
fn an_error_says_its_place() {
    let squeeze = || SqueezeConfig::new(ChannelOrder::ChannelMajor);
    let step = |n| (ActNormConfig::new(), HouseholderConfig::new(n));
    assert_eq!(
        refusal(&(LogitConfig::new(), vec![step(1), step(2), step(5)]), &vectors(3)),
        "[1][2][1]: HouseholderConfig: `n_reflections` must lie in [1, channels], found 5"
    );
    assert_eq!(
        refusal(&(ScalarAffineConfig::new(0.0, 1.0), Swap::new()), &vectors(3)),
        "[0]: ScalarAffineConfig: `scale` must lie in ±[1e-30, 1e30], found 0"
    );
    assert_eq!(
        refusal(&(squeeze(), squeeze()), &images([1, 8, 6])),
        "[1]: Squeeze: axis 3 must be a multiple of 2 and at least 2, found shape [1, 4, 4, 3]"
    );
    assert_eq!(
        refusal(
            &(squeeze(), ElementwiseConfig::new(RationalQuadraticSplineConfig::new(1))),
            &images([1, 2, 2])
        ),
        "[1].law: RationalQuadraticSplineConfig: `n_bins` = 1 needs a second bin: from corner to \
         corner with slope 1 at both ends, one bin is the identity whatever theta is"
    );
    assert_eq!(
        refusal(&vec![Invert::new((Swap::new(), squeeze()))], &images([2, 2, 2])),
        "[0].inner[1]: Squeeze: axis 1 must be a multiple of 4 and at least 4, found shape \
         [1, 2, 2, 2]"
    );
    assert_eq!(
        refusal(
            &(MultiScaleConfig::new(vec![(squeeze(), step(9)); 2]), Swap::new()),
            &images([2, 4, 4])
        ),
        "[0].levels[0][1][1]: HouseholderConfig: `n_reflections` must lie in [1, channels], found 9"
    );
    assert_eq!(
        refusal(&MultiScaleConfig::new(vec![Swap::new(); 2]), &images([3, 4, 4])),
        "MultiScale: axis 1 must be a multiple of 2 and at least 2, found shape [1, 3, 4, 4]"
    );
}

/// The same for layers that a model chooses, by the names of the model's settings.
#[test]
fn an_error_inside_a_model_says_its_place() {
    let glow = |config: GlowConfig| {
        let error = config.validate().unwrap_err();
        assert_eq!(config.build(&device()).map(|_| ()).unwrap_err(), error);
        error.to_string()
    };
    let small = || GlowConfig::new([3, 8, 8], 2, 1).with_n_filters(4);
    assert_eq!(
        glow(small().with_n_filters(1 << 23)),
        "GlowConfig.levels[0][1][0][2].net: GlowNetConfig: expected at most 1099511627776 \
         parameters, found more; the largest size is `n_filters` = 8388608"
    );
    assert_eq!(
        glow(GlowConfig::new([1 << 11, 8, 8], 3, 1).with_n_filters(4)),
        "GlowConfig.levels[1][1][0][1]: ChannelMatrixConfig: `channels/n_groups` must be at most \
         8192, found 16384"
    );
    let flow = |change: &dyn Fn(&mut FlowPlusPlusConfig)| {
        let mut config = FlowPlusPlusConfig::tiny();
        change(&mut config);
        let error = config.validate().unwrap_err();
        assert_eq!(config.build(&device()).map(|_| ()).unwrap_err(), error);
        error.to_string()
    };
    assert_eq!(
        flow(&|config| config.law = CouplingLaw::mix_log_cdf(0)),
        "FlowPlusPlusConfig.dequantization.flow[1][0][2].law: MixLogCdfConfig: `n_components` must \
         be at least 1, found 0"
    );
    assert_eq!(
        flow(&|config| config.n_filters = 6),
        "FlowPlusPlusConfig.stages[0].steps[0][2].net: GatedAttentionConfig: `n_filters` = 6 must \
         be a multiple of `heads` = 4"
    );
    assert_eq!(
        flow(&|config| config.stages[1].resolution =
            Resolution::SqueezeRepeatedly { times: usize::MAX }),
        "FlowPlusPlusConfig.stages[1].squeezes[4]: Squeeze: axis 2 must be a multiple of 2 and at \
         least 2, found shape [1, 3072, 1, 1]"
    );
    assert_eq!(
        flow(&|config| config.image = [3, 32, 30]),
        "FlowPlusPlusConfig.stages[1].partition: Partition: axis 3 must be a multiple of 2 and at \
         least 2, found shape [1, 12, 16, 15]"
    );
}

chain! {
    /// A norm among squeezed pixels.
    struct Squeezed {
        squeeze: Squeeze,
        norm: Vec<ActNorm<4>>,
        !squeeze,
    }
}

#[test]
fn layers_that_do_not_fit_say_their_place() {
    let refused = |flow: Result<_, ShapeError>| flow.map(|_| ()).unwrap_err();
    let norm = |n| ActNormConfig::new().build(&vectors(n)).unwrap();
    let layers = (norm(2), vec![norm(2), norm(3)]);
    let error = refused(Flow::new(layers, StandardNormal::new(), [1, 2]).map(|_| ()));
    let text = "[1][1]: ActNorm: expected length 3 along axis 1, found shape [1, 2]";
    assert_eq!(error.to_string(), text);
    // The place of a configuration's part, where this error becomes one of configurations.
    let error = ConfigError::from(error);
    assert_eq!(error.to_string(), text);
    assert_eq!(error.at(".flow").to_string(), format!(".flow{text}"));

    let norm = |n| ActNormConfig::new().build(&images([n, 2, 2])).unwrap();
    let squeeze =
        || SqueezeConfig::new(ChannelOrder::BlockMajor).build(&images([1, 4, 4])).unwrap();
    let named = || Squeezed { squeeze: squeeze(), norm: vec![norm(4)] };
    let boxed = || BoxBijector::<4>::new(named());
    let level = |n| (squeeze(), vec![norm(n)]);
    let levels = || MultiScale::new(vec![level(4), level(7)]);
    let cases: [(&str, Result<_, ShapeError>); 5] = [
        (".norm[0]: ActNorm: expected length 4", named().output_shape([1, 2, 4, 4])),
        (".norm[0]: ActNorm: expected length 4", named().input_shape([1, 2, 4, 4])),
        ("[0].squeeze: Squeeze: axis 3", (boxed(), norm(4)).output_shape([1, 1, 4, 5])),
        (
            "[0].inner.squeeze: Squeeze: axis 3",
            (Invert::new(boxed()), norm(4)).output_shape([1, 1, 4, 5]),
        ),
        (".levels[1][1][0]: ActNorm: expected length 7", levels().output_shape([1, 1, 4, 4])),
    ];
    for (expected, found) in cases {
        let found = found.unwrap_err().to_string();
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn a_condition_that_does_not_fit_says_its_place() {
    let example = Tensor::<2>::zeros([1, 3], &device());
    let _turn = turn();
    let law = AffineConfig::new(AffineForm::Exponential);
    let coupling = CouplingConfig::new(law, MlpConfig::new([4]));
    let layers = (ActNormConfig::new(), vec![coupling.clone(), coupling]);
    let flow = Flow::build_given(&layers, StandardNormal::new(), [1, 2], &example, &device());
    let flow = flow.unwrap().without_data();
    let x = Tensor::<2>::zeros([4, 2], &device());
    let wide = Tensor::<2>::zeros([4, 5], &device());
    let error = flow.given(&wide).evaluate(x).unwrap_err().to_string();
    let place = "[1][0]: ";
    assert!(error.starts_with(place) && error.contains("[4, 3], found [4, 5]"), "{error}");

    // Built with a condition, used without one.
    let Flow { bijector, .. } = flow;
    let error = Flow::<_, _, 2>::new(bijector, StandardNormal::new(), [1, 2]);
    let error = error.map(|_| ()).unwrap_err().to_string();
    assert!(error.starts_with("[1][0]: Mlp: expected a condition"), "{error}");
}

#[test]
fn a_prior_is_built_for_the_output_of_the_layers() {
    let _turn = turn();
    let (squeeze, image) = (SqueezeConfig::new(ChannelOrder::BlockMajor), [1, 1, 8, 8]);
    let x = || Tensor::<4>::random([3, 1, 8, 8], Distribution::Normal(0.0, 1.0), &device());

    let flow = Flow::build(&squeeze, DiagonalNormalConfig::new(), image, &device()).unwrap();
    let flow = flow.without_data();
    assert_eq!(flow.prior.mean.dims(), [1, 4, 4, 4]);
    assert_eq!(flow.evaluate(x()).unwrap().nats().len(), 3);

    let mixture = NormalMixtureConfig::new(5);
    let flow = Flow::build(&squeeze, &mixture, image, &device()).unwrap().without_data();
    assert_eq!(flow.prior.means.dims(), [5, 64]);
    assert!(Prior::<4>::check(&flow.prior, [2, 4, 4, 4]).is_ok());
    assert!(Prior::<4>::check(&flow.prior, [2, 1, 8, 8]).is_err());
    assert_eq!(flow.sample(2).unwrap().dims(), [2, 1, 8, 8]);

    let classes = Tensor::<2>::eye(3, &device());
    let normal = ConditionalNormalConfig::new(MlpConfig::new([4]));
    let flow = Flow::build_given(&squeeze, normal, image, &classes, &device()).unwrap();
    let flow = flow.without_data();
    // Means and log-scales of 64 latents.
    assert_eq!(flow.prior.num_params(), (3 * 4 + 4) + (4 * 128 + 128));
    assert_eq!(flow.given(&classes).evaluate(x()).unwrap().nats().len(), 3);
    assert_eq!(flow.given(&classes).sample(3).unwrap().dims(), [3, 1, 8, 8]);
}

/// Builds the prior of another shape than that of the latents.
struct OtherShape;

impl PriorConfig<4> for OtherShape {
    type Prior = DiagonalNormal<4>;

    fn build(&self, site: &Site<4>) -> Result<DiagonalNormal<4>, ConfigError> {
        Ok(DiagonalNormal::new([1, 4, 4, 3], site.device()))
    }
}

#[test]
fn a_prior_that_does_not_fit_says_its_place() {
    fn error<T>(flow: Result<T, ConfigError>) -> String {
        flow.map(|_| ()).unwrap_err().to_string()
    }
    let (squeeze, image) = (SqueezeConfig::new(ChannelOrder::BlockMajor), [1, 1, 8, 8]);
    let empty = || NormalMixtureConfig::new(0);
    let text = ".prior: NormalMixtureConfig: `n_components` must be at least 1, found 0";
    assert_eq!(error(Flow::build(&squeeze, empty(), image, &device())), text);
    let classes = Tensor::<2>::eye(3, &device());
    let normal = ConditionalNormalConfig::new(MlpConfig::new([0]));
    let found = error(Flow::build_given(&squeeze, normal, image, &classes, &device()));
    assert!(found.starts_with(".prior.net: MlpConfig: `hidden`"), "{found}");
    let text = ".prior: DiagonalNormal: expected length 3 along axis 3, found shape [1, 4, 4, 4]";
    assert_eq!(error(Flow::build(&squeeze, OtherShape, image, &device())), text);
    // Layers that do not fit are named first: without them there is no shape of the latents.
    let found = error(Flow::build(&squeeze, empty(), [1, 1, 8, 7], &device()));
    assert!(found.starts_with("Squeeze: axis 3"), "{found}");
}

/// Each layer alone is within the limit, and two are not. Nothing of either is allocated: they are
/// 4 TiB.
#[test]
fn a_stack_is_counted_before_it_is_built() {
    let elements = 1 << 26;
    let spline = ElementwiseConfig::new(RationalQuadraticSplineConfig::new(600));
    let one = spline.plan(&vectors(elements)).unwrap().num_params;
    assert!(one <= MOST_PARAMETERS && 10 * one > MOST_PARAMETERS, "{one}");
    let n = MOST_PARAMETERS / one;
    let text = format!(
        "[{n}]: the layers up to this one: expected at most 1099511627776 parameters, found more"
    );
    assert_eq!(refusal(&vec![spline; n + 1], &vectors(elements)), text);
}

/// Each inverse of an inverse plans what is inside it once: the deepest file that is read takes
/// as long as a stack of as many layers.
#[test]
fn inverses_of_inverses_take_no_longer() {
    let mut text = "\"Swap\"".to_owned();
    for _ in 0..100 {
        text = format!("{{\"Invert\": {text}}}");
    }
    let layer: AnyLayerConfig = serde_json::from_str(&text).unwrap();
    assert_eq!(layer.plan(&vectors(3)).unwrap(), Plan { output: [1, 3], num_params: 0 });
    assert!(layer.build(&vectors(3)).is_ok());
    let error = refusal(&layer, &vectors(1));
    let place = ".inner".repeat(100);
    assert_eq!(
        error,
        format!("{place}: Swap: axis 1 must have a length of at least 2, found shape [1, 1]")
    );
}

/// A plan draws nothing, so a stack's parameters are those of its layers built one after the other.
#[test]
fn a_plan_draws_nothing() {
    let _turn = turn();
    let matrix = || Conv1x1Config::new();
    let site = vectors(4);
    let lower = |conv: &Conv1x1| conv.lower.val().into_data();
    device().seed(3);
    let (one, two) = (matrix().build(&site).unwrap(), matrix().build(&site).unwrap());
    device().seed(3);
    let stack = (ActNormConfig::new(), vec![matrix(), matrix()]).build(&site).unwrap();
    assert_eq!([lower(&stack.1[0]), lower(&stack.1[1])], [lower(&one), lower(&two)]);
}

const VECTORS: &str = r#"[
    {"ActNorm": {"log_scale_factor": 1.0, "constant": "Bounded", "least_deviation": 0.0}},
    {"Stack": [{"Householder": {"n_reflections": 2}}, "Swap"]},
    {"Elementwise": {
        "law": {"MixLogCdf": {"n_components": 2, "min_log_scale": -7.0, "max_log_scale": 5.0}},
        "noise": 0.1
    }},
    {"Invert": "Sigmoid"}
]"#;

const IMAGES: &str = r#"[
    {"Logit": {"margin": 0.05}},
    {"MultiScale": {"levels": [
        {"Stack": [{"Squeeze": {"order": "ChannelMajor"}}, {"Conv1x1": {"conditioning": "Free"}}]},
        {"Squeeze": {"order": "BlockMajor"}}
    ]}},
    {"Partition": {"pattern": "Checkerboard"}},
    {"Invert": {"Partition": {"pattern": "Checkerboard"}}}
]"#;

#[test]
fn a_stack_comes_from_a_file() {
    let layers: Vec<AnyLayerConfig> = serde_json::from_str(IMAGES).unwrap();
    agrees(&layers, &images([1, 8, 8]));
    let again: Vec<AnyLayerConfig> =
        serde_json::from_str(&serde_json::to_string(&layers).unwrap()).unwrap();
    agrees(&again, &images([2, 4, 4]));
    assert_eq!(
        refusal(&layers, &vectors(4)),
        "[1]: MultiScale: expected 4 axes, found shape [1, 4]"
    );
    let layers: Vec<AnyLayerConfig> = serde_json::from_str(VECTORS).unwrap();
    let three = layers[..3].to_vec();
    let built = |site| -> Vec<BoxBijector<2>> {
        let _turn = turn();
        three.build(&site).unwrap()
    };
    assert_eq!(built(vectors(3)).len(), 3);
    agrees(&layers[..2].to_vec(), &vectors(3));
    agrees(&layers[3], &vectors(3));
    agrees(&layers[..2].to_vec(), &images([3, 2, 2]));
    assert_eq!(
        refusal(&layers, &vectors(1)),
        "[1][0]: HouseholderConfig: `n_reflections` must lie in [1, channels], found 2"
    );
}

/// A flow of the layers, and one given a condition, which are used.
fn flows_of(layers: &Vec<AnyLayerConfig>) {
    let (_turn, device) = (turn(), device());
    let flow = Flow::build(layers, StandardNormal::new(), [1, 3], &device).unwrap().without_data();
    let x = Tensor::<2>::from_data([[0.5, -1.0, 2.0]], &device);
    assert!(flow.round_trip(x).unwrap().1 < 1e-4);
    let given = Tensor::<2>::ones([1, 2], &device);
    let flow = Flow::build_given(layers, StandardNormal::new(), [1, 3], &given, &device)
        .unwrap()
        .without_data();
    assert_eq!(flow.given(&given).sample(2).unwrap().dims(), [2, 3]);
}

/// Couplings and autoregressive layers come from a file too: a flow without a type of one's own.
#[test]
fn a_flow_comes_from_a_file() {
    let coupling = r#"{ "Coupling": {
        "law": { "MixLogCdf": { "n_components": 3, "min_log_scale": -7.0, "max_log_scale": 7.0 } },
        "net": { "Mlp": { "hidden": [8] } },
        "identity": "Second"
    } }"#;
    let layers: Vec<AnyLayerConfig> =
        serde_json::from_str(&format!("[\"Swap\", {coupling}]")).unwrap();
    agrees(&layers, &vectors(3));
    let text = "[1].net: Mlp: expected 2 axes, found shape [1, 2, 2, 2]";
    assert_eq!(refusal(&layers, &images([4, 2, 2])), text);
    flows_of(&layers);

    let made = r#"[{ "MaskedAutoregressive": {
        "law": { "Affine": { "form": "Exponential" } },
        "net": { "hidden": [8] }
    } }]"#;
    let layers: Vec<AnyLayerConfig> = serde_json::from_str(made).unwrap();
    agrees(&layers, &vectors(3));
    let text = "[0]: MaskedAutoregressive: expected 2 axes, found shape [1, 3, 2, 2]";
    assert_eq!(refusal(&layers, &images([3, 2, 2])), text);
}

#[test]
fn a_file_that_describes_no_stack() {
    let error =
        |text: &str| serde_json::from_str::<Vec<AnyLayerConfig>>(text).unwrap_err().to_string();
    let unknown = error("[\"Swap\",\n \"Magic\"]");
    assert!(
        unknown.starts_with("unknown variant `Magic`, expected one of `ActNorm`, "),
        "{unknown}"
    );
    assert!(unknown.ends_with(" at line 2 column 8"), "{unknown}");
    let field = error(r#"[{"Householder": {"reflections": 2}}]"#);
    let text = "unknown field `reflections`, expected `n_reflections` at line 1 column 31";
    assert_eq!(field, text);
    let field = error(r#"[{"Householder": {}}]"#);
    assert_eq!(field, "missing field `n_reflections` at line 1 column 19");
    let number = error(r#"[{"Householder": {"n_reflections": -2}}]"#);
    assert_eq!(number, "invalid value: integer `-2`, expected usize at line 1 column 37");
    let kind = error(r#"[{"Logit": {"margin": "wide"}}]"#);
    assert_eq!(kind, "invalid type: string \"wide\", expected f64 at line 1 column 28");
}
