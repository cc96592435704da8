//! What a module shows of itself: what each layer is, through boxes too.

use burn::module::{DisplaySettings, ModuleDisplay};
use burn::tensor::Device;
use flowkit::law::{AffineConfig, AffineForm};
use flowkit::{
    ActNormConfig, BoxBijector, CouplingConfig, Half, MlpConfig, PermutationConfig, Swap,
};

#[path = "common/build.rs"]
mod build;

use build::layer;

#[test]
fn a_stack_says_what_its_layers_are_in_and_out_of_boxes() {
    let device = Device::flex();
    let norm = layer(&ActNormConfig::new(), [1, 4], &device);
    let order = layer(&PermutationConfig::new(), [1, 4], &device);
    let coupling =
        CouplingConfig::new(AffineConfig::new(AffineForm::Exponential), MlpConfig::new([8]));
    let coupling = layer(&coupling.with_identity(Half::Second), [1, 4], &device);
    let bare = (norm, order, coupling, Swap::new());
    let text = bare.format(DisplaySettings::default());
    println!("{text}");
    for part in [
        "ActNorm",
        "shape: [1, 4]",
        "Permutation",
        "Coupling",
        "Exponential",
        "Second",
        "Mlp",
        "Silu",
        "Swap",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    // A box shows what is inside, at any depth.
    let boxed = BoxBijector::<2>::new(bare);
    assert_eq!(boxed.to_string(), text);
    let twice = vec![BoxBijector::<2>::new(boxed)];
    println!("{twice:?}");
    assert!(twice[0].to_string() == text);
}
