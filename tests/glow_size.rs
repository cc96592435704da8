//! Parameters of Glow's presets are counted without being made. A program of one test: what others
//! allocate beside it would hide the memory.

use flowkit::model::glow::GlowConfig;
use flowkit::train::peak_rss_bytes;

#[test]
fn parameters_are_those_of_the_paper() {
    let before = peak_rss_bytes();
    assert_eq!(GlowConfig::cifar10().num_params().unwrap(), 44_603_604);
    assert_eq!(GlowConfig::cifar10_additive().num_params().unwrap(), 38_395_668);
    assert_eq!(GlowConfig::imagenet32().num_params().unwrap(), 66_861_588);
    assert_eq!(GlowConfig::imagenet64().num_params().unwrap(), 112_377_540);
    assert_eq!(GlowConfig::lsun64().num_params().unwrap(), 66_861_588);
    assert_eq!(GlowConfig::celeba_hq256().num_params().unwrap(), 175_099_620);
    assert_eq!(GlowConfig::small().num_params().unwrap(), 1_739_796);
    assert_eq!(GlowConfig::tiny().num_params().unwrap(), 243_308);
    let (Some(before), Some(after)) = (before, peak_rss_bytes()) else {
        return println!("memory was not checked: its peak is not known on this system");
    };
    // They would take 1.7 GB, the smallest of the paper's 150 MB.
    assert!(after - before < 100_000_000, "{before} {after}");
}
