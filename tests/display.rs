//! What modules show of themselves: every layer its name and its settings, bare and in a box, and
//! nothing that a reader cannot use.

use std::collections::{BTreeMap, HashSet};

use burn::module::{Content, DisplaySettings, Module, ModuleDisplay};
use burn::tensor::{Device, Tensor};
use flowkit::law::{
    AffineConfig, AffineForm, AnyLawConfig, LawConfig, MixLogCdfConfig,
    RationalQuadraticSplineConfig,
};
use flowkit::model::flow_plus_plus::{DequantizationConfig, FlowPlusPlusConfig};
use flowkit::model::glow::{GlowConfig, GlowPrior};
use flowkit::prior::PriorConfig;
use flowkit::train::Checkpoint;
use flowkit::{DiagonalNormal, Flow, NormalMixtureConfig, Site, StandardNormal, Uniform};

#[path = "common/build.rs"]
mod build;
// The other programs that use the table check more of it.
#[allow(dead_code)]
mod table;

/// Modules of burn, which show themselves in their own way.
const OF_BURN: [&str; 3] = ["Conv2d", "Linear", "Dropout"];

/// Whether `part` stands in `text` as a whole word.
fn holds(text: &str, part: &str) -> bool {
    let inner = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    text.match_indices(part)
        .any(|(at, _)| !text[..at].ends_with(inner) && !text[at + part.len()..].starts_with(inner))
}

/// The settings of a module that its text hides, as a checkpoint names and compares them.
fn hidden(text: &str, architecture: &BTreeMap<String, String>) -> Vec<String> {
    let of_burn = |path: &str| {
        let burns = architecture.iter().filter(|(_, value)| OF_BURN.contains(&value.as_str()));
        burns
            .into_iter()
            .any(|(own, _)| path.strip_prefix(own).is_some_and(|rest| rest.starts_with('.')))
    };
    let is_shown = |path: &str, value: &str| {
        let field = path.rsplit('.').next().unwrap_or_default();
        // How burn shows an empty list of modules.
        let value = if value == "[]" { "Vec<0..0>" } else { value };
        if field.bytes().all(|byte| byte.is_ascii_digit()) {
            return holds(text, value);
        }
        // An optional setting is within `Some`, and a width may have a longer name.
        ["", "n_"].into_iter().any(|prefix| {
            holds(text, &format!("{prefix}{field}: {value}"))
                || holds(text, &format!("{prefix}{field}: Some({value})"))
        })
    };
    let settings = architecture.iter().filter(|(path, value)| {
        // A type without a value is no setting of its own.
        !of_burn(path) && !value.starts_with("PhantomData") && !is_shown(path, value)
    });
    settings.map(|(path, value)| format!("{path}: {value}")).collect()
}

/// What no reader can use: names of the compiler, long lists, and two values under one name.
fn noise(text: &str) -> Option<String> {
    let mut names = vec![HashSet::new()];
    for line in text.lines() {
        let line = line.trim();
        let unreadable =
            ["::", "PhantomData", "_0", "0x"].into_iter().find(|part| line.contains(part));
        if unreadable.is_some() || line.len() > 200 {
            return Some(line.to_owned());
        }
        if line.starts_with('}') {
            names.pop();
        }
        let name = line.split_once(": ").map(|(name, _)| name);
        if let (Some(name), Some(names)) = (name, names.last_mut())
            && !names.insert(name)
        {
            return Some(format!("a second {line}"));
        }
        if line.ends_with('{') {
            names.push(HashSet::new());
        }
    }
    None
}

/// What is wrong with the text of a module.
fn fault(text: &str, architecture: &BTreeMap<String, String>) -> Option<String> {
    let hidden = hidden(text, architecture);
    if !hidden.is_empty() {
        return Some(format!("hides {hidden:?}"));
    }
    noise(text).map(|noise| format!("shows {noise}"))
}

/// The text of a module that shows its settings and no noise.
fn shown<M: Module + ModuleDisplay>(module: &M) -> String {
    let mut checkpoint = Checkpoint::new(BTreeMap::new()).unwrap();
    checkpoint.insert("module", module).unwrap();
    let text = module.format(DisplaySettings::default());
    let fault = fault(&text, checkpoint.architecture("module").unwrap());
    assert_eq!(fault, None, "{text}");
    text
}

#[track_caller]
fn assert_holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(holds(text, part), "{part} is not in\n{text}");
    }
}

#[test]
fn every_layer_shows_its_settings_bare_and_in_a_box() {
    let mut faults = Vec::new();
    let mut texts = BTreeMap::new();
    for case in table::cases() {
        let shown = case.shown();
        assert_eq!(shown.boxed, shown.bare, "{}", case.name());
        if let Some(fault) = fault(&shown.bare, &shown.architecture) {
            faults.push(format!("{} {fault}:\n{}", case.name(), shown.bare));
        }
        texts.insert(case.name().to_owned(), shown.bare);
    }
    assert!(faults.is_empty(), "{} layers:\n{}", faults.len(), faults.join("\n"));
    assert!(texts.len() > 80, "{}", texts.len());
    // How a norm calls its channels in an error is no setting.
    let norm = &texts["ActNorm with a factor"];
    assert_holds(norm, &["standardize: Standardize", "constant: Bounded", "least_deviation: 0.0"]);
    assert!(!norm.contains("what") && !norm.contains("start"), "{norm}");
    // What is no field, or is no setting of a checkpoint: half, order and mask are parameters.
    for (name, parts) in [
        ("ActNorm with a factor", &["ActNorm", "shape: [1, 2, 1, 1]", "params: 4"][..]),
        (
            "Coupling, exponential, second half unchanged",
            &[
                "form: Exponential",
                "identity: Second",
                "activation: Tanh",
                "n_identity: 2",
                "n_transformed: 3",
            ],
        ),
        ("Coupling given a vector", &["n_components: 3", "context: Width(2)"]),
        ("MaskedCoupling", &["identity: [0, 3]", "transformed: [1, 2, 4]"]),
        ("MaskedCoupling, second half unchanged", &["mask: Alternating", "identity: Second"]),
        ("MaskedCoupling, checkerboard", &["mask: Checkerboard", "identity: First", "n_bins: 4"]),
        ("MaskedCoupling, alternating", &["mask: Alternating", "identity: First"]),
        ("MaskedAutoregressive", &["order: natural, 0 to 3"]),
        ("MaskedAutoregressive, MixLogCdf, reversed", &["order: reversed, 2 to 0"]),
        ("Permutation, reversed", &["indices: reversed, 4 to 0"]),
        ("Permutation, explicit", &["indices: [2, 0, 1]"]),
        ("Squeeze, block-major", &["order: BlockMajor"]),
        ("Partition in stripes", &["pattern: Stripes"]),
        ("GlowMixing", &["Matrix(ChannelMatrix", "Plu(Conv1x1"]),
        ("Invert<LeakyRelu>", &["inner: LeakyRelu", "negative_slope: 0.01"]),
    ] {
        assert_holds(&texts[name], parts);
    }
}

/// A layer whose display leaves out what it is.
#[derive(Module, Debug)]
#[module(custom_display)]
struct Secretive {
    slope: f64,
    bins: Option<usize>,
    shown: [usize; 2],
}

impl ModuleDisplay for Secretive {
    fn custom_content(&self, content: Content) -> Option<Content> {
        content.add_debug_attribute("shown", &self.shown).optional()
    }
}

#[test]
fn what_a_module_hides_is_found() {
    let mut checkpoint = Checkpoint::new(BTreeMap::new()).unwrap();
    let secretive = Secretive { slope: 0.5, bins: Some(4), shown: [1, 2] };
    checkpoint.insert("module", &secretive).unwrap();
    let architecture = checkpoint.architecture("module").unwrap();
    let found = |text: &str| hidden(text, architecture);
    assert_eq!(found(&secretive.to_string()), ["bins: 4", "slope: 0.5"]);
    let text = secretive.format(DisplaySettings::default().with_show_all_attributes(true));
    assert!(found(&text).is_empty(), "{text}");
    // Not in another field, and not the first digits of another value.
    let text =
        text.replace("slope: 0.5", "slope: 0.55").replace("bins: Some(4)", "cabins: Some(4)");
    assert_eq!(found(&text), ["bins: 4", "slope: 0.5"]);
    for text in
        ["a: b::c", "a: PhantomData<()>", "_0: Swap", "A {\n  x: 1\n  x: 2\n}", &"7, ".repeat(70)]
    {
        assert!(noise(text).is_some(), "{text}");
    }
    assert_eq!(noise("A {\n  x: 1\n  y: A {\n    x: 2\n  }\n}"), None);
}

#[test]
fn laws_and_priors_show_their_settings() {
    use AffineForm::{Additive, Bounded, Exponential, Normal, Sigmoid};
    let device = Device::flex();
    for form in [Additive, Bounded, Exponential, Normal, Sigmoid] {
        let law = AffineConfig::new(form);
        let text = shown(&law.build().unwrap());
        assert_holds(&text, &["Affine", &format!("form: {form:?}")]);
        // An enum of laws shows the law.
        assert_eq!(shown(&AnyLawConfig::from(law).build().unwrap()), text);
    }
    assert_holds(
        &shown(&MixLogCdfConfig::new(5).build().unwrap()),
        &["MixLogCdf", "n_components: 5"],
    );
    let spline = RationalQuadraticSplineConfig::new(7).build().unwrap();
    assert_holds(&shown(&spline), &["RationalQuadraticSpline", "n_bins: 7", "bound: 3.0"]);
    assert_eq!(shown(&StandardNormal::new()), "StandardNormal");
    assert_eq!(shown(&Uniform::new()), "Uniform");
    let normal = DiagonalNormal::<2>::new([1, 3], &device);
    assert_holds(&shown(&normal), &["DiagonalNormal", "shape: [1, 3]"]);
    let mixture = NormalMixtureConfig::new(4).build(&Site::<2>::new([1, 3], &device)).unwrap();
    assert_holds(&shown(&mixture), &["NormalMixture", "shape: [4, 3]"]);
}

#[test]
fn models_show_surjection_layers_prior_and_condition() {
    let device = Device::flex();
    let variational = FlowPlusPlusConfig::tiny();
    let dequantization = DequantizationConfig::Uniform;
    let uniform = FlowPlusPlusConfig { dequantization, ..FlowPlusPlusConfig::tiny() };
    let text = shown(&variational.build(&device).unwrap().without_data());
    assert!(
        text.starts_with("Flow {\n  surjection: Variational(VariationalDequantization {"),
        "{text}"
    );
    assert_holds(&text, &["n_levels: 256", "prior: StandardNormal", "shape: [1, 3, 32, 32]"]);
    assert!(!holds(&text, "condition"), "{text}");
    let text = shown(&uniform.build(&device).unwrap().without_data());
    assert!(text.starts_with("Flow {\n  surjection: Uniform(UniformDequantization {"), "{text}");
    let glow = GlowConfig::new([3, 8, 8], 2, 2).with_n_filters(8);
    let text = shown(&glow.build(&device).unwrap().without_data());
    assert_holds(&text, &["surjection: UniformDequantization", "Matrix(ChannelMatrix"]);
    let classes = glow.with_prior(GlowPrior::Classes { n_classes: 3 });
    let text = shown(&classes.build_classes(&device).unwrap().without_data());
    assert_holds(&text, &["condition: Tensor<2>"]);
    let flow = Flow::<_, _, 2, (Tensor<2>, Tensor<2>)>::new_given(
        Vec::<flowkit::Swap>::new(),
        StandardNormal::new(),
        [1, 2],
    );
    let text = shown(&flow.unwrap().without_data());
    assert_holds(&text, &["condition: (Tensor<2>, Tensor<2>)"]);
}
