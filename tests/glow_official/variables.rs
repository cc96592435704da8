//! The variables of the released models, which need no file.

use std::collections::BTreeMap;

use flowkit::model::glow::official;
use flowkit::model::glow::{GlowConfig, GlowPrior};

use crate::{CASES, config, file};

/// Names and shapes of the variables of the released code, written down from it.
fn variables(
    [scales, depth, width]: [usize; 3],
    is_affine: bool,
    n_classes: usize,
) -> BTreeMap<String, Vec<usize>> {
    let mut all = BTreeMap::new();
    let mut add = |name: String, shape: &[usize]| assert!(all.insert(name, shape.into()).is_none());
    let zero_conv = |inputs: usize, outputs: usize| {
        [
            ("W", vec![3, 3, inputs + 1, outputs]),
            ("b", vec![1, 1, 1, outputs]),
            ("logs", vec![1, outputs]),
        ]
    };
    let mut channels = 12;
    for scale in 0..scales {
        for step in 0..depth {
            let name = format!("model/{scale}/{step}");
            let half = channels / 2;
            let norms = [
                (name.clone(), channels),
                (format!("{name}/f1/l_1"), width),
                (format!("{name}/f1/l_2"), width),
            ];
            for (scope, size) in norms {
                add(format!("{scope}/actnorm_center/b"), &[1, 1, 1, size]);
                add(format!("{scope}/actnorm_scale/logs"), &[1, 1, 1, size]);
            }
            add(format!("{name}/invconv/W"), &[channels, channels]);
            add(format!("{name}/f1/l_1/W"), &[3, 3, half + 1, width]);
            add(format!("{name}/f1/l_2/W"), &[1, 1, width, width]);
            for (leaf, shape) in zero_conv(width, if is_affine { channels } else { half }) {
                add(format!("{name}/f1/l_last/{leaf}"), &shape);
            }
        }
        if scale + 1 < scales {
            for (leaf, shape) in zero_conv(channels / 2, channels) {
                add(format!("model/pool{scale}/conv/{leaf}"), &shape);
            }
            channels *= 2;
        }
    }
    for (leaf, shape) in zero_conv(2 * channels, 2 * channels) {
        add(format!("model/prior/p/{leaf}"), &shape);
    }
    if n_classes > 0 {
        let wide = 2 * channels;
        for (leaf, rows) in [("W", n_classes), ("b", 1), ("logs", 1)] {
            add(format!("model/prior/y_emb/{leaf}"), &[rows, wide]);
        }
    }
    all
}

/// The variables of the released models, from the configurations alone: no file is needed.
#[test]
fn released_models_have_these_variables() {
    let conditional = GlowConfig::cifar10_additive()
        .with_n_levels(32)
        .with_prior(GlowPrior::Classes { n_classes: 10 });
    for (config, sizes, is_affine, n_classes, n_arrays, total) in [
        (GlowConfig::cifar10(), [3, 32, 512], true, 0, 1161, 44_603_604),
        (GlowConfig::cifar10_additive(), [3, 32, 512], false, 0, 1161, 38_395_668),
        (GlowConfig::imagenet32(), [3, 48, 512], true, 0, 1737, 66_861_588),
        (GlowConfig::imagenet64(), [4, 48, 512], true, 0, 2316, 112_377_540),
        (GlowConfig::celeba_hq256(), [6, 32, 512], false, 0, 2322, 175_099_620),
        (conditional, [3, 32, 512], false, 10, 1164, 38_395_668 + 96 * 12),
    ] {
        let expected = variables(sizes, is_affine, n_classes);
        let count = |shape: &Vec<usize>| shape.iter().product::<usize>();
        assert_eq!(expected.values().map(count).sum::<usize>(), total);
        assert_eq!(config.num_params().unwrap(), total);
        let found = official::arrays(&config).unwrap();
        assert_eq!(found.len(), n_arrays);
        assert_eq!(found.into_iter().collect::<BTreeMap<_, _>>(), expected);
    }
}

/// Each case's arrays are those of its file.
#[test]
fn arrays_are_listed_without_a_model() {
    for case in CASES {
        let (file, listed) = (file(case), official::arrays(&config(case)).unwrap());
        for (name, shape) in &listed {
            match file.get(name) {
                Some(array) => assert_eq!(array.shape(), shape, "{case} {name}"),
                None => assert!(case == "reverse" && name.starts_with("model/prior/p/"), "{name}"),
            }
        }
        let is_listed = |name: &&str| listed.iter().any(|(listed, _)| listed == name);
        let others: Vec<&str> = file.names().filter(|name| !is_listed(name)).collect();
        let classifier = ["model/classifier/W", "model/classifier/b", "model/classifier/logs"];
        assert_eq!(others, if case == "classes" { &classifier[..] } else { &[] });
    }
}
