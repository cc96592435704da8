//! Kernels: what each operation serves, in one table, products that keep every digit, and the one
//! place that splits the CPU's work.

use std::collections::BTreeSet;
use std::fs;

use burn::tensor::DType;
use flowkit::kernel::{
    Served, adam, affine_coupling, attention, channel_affine, channel_norm, concat_elu, conv2d,
    exact_product, gated_norm, gated_residual, global_norm, linear, matrix_inverse,
    mixture_coupling, mixture_logistic, moving_average, plu, projected_attention, scaled_conv2d,
    spline,
};

use crate::{files, root};

const OPERATIONS: [(&str, Served); 20] = [
    ("adam", adam::SERVED),
    ("affine_coupling", affine_coupling::SERVED),
    ("attention", attention::SERVED),
    ("channel_affine", channel_affine::SERVED),
    ("channel_norm", channel_norm::SERVED),
    ("concat_elu", concat_elu::SERVED),
    ("conv2d", conv2d::SERVED),
    ("exact_product", exact_product::SERVED),
    ("gated_norm", gated_norm::SERVED),
    ("gated_residual", gated_residual::SERVED),
    ("global_norm", global_norm::SERVED),
    ("linear", linear::SERVED),
    ("matrix_inverse", matrix_inverse::SERVED),
    ("mixture_coupling", mixture_coupling::SERVED),
    ("mixture_logistic", mixture_logistic::SERVED),
    ("moving_average", moving_average::SERVED),
    ("plu", plu::SERVED),
    ("projected_attention", projected_attention::SERVED),
    ("scaled_conv2d", scaled_conv2d::SERVED),
    ("spline", spline::SERVED),
];

/// The folders of `src/kernel` that are no operation.
const SHARED: [&str; 3] = ["cpu", "cube", "tests"];

fn types(types: &[DType]) -> String {
    let name = |dtype: &DType| match dtype {
        DType::F64 => "float64",
        DType::F32 => "float32",
        DType::F16 => "float16",
        DType::BF16 => "bfloat16",
        other => panic!("kernels of {other:?}"),
    };
    if types.is_empty() {
        "–".into()
    } else {
        types.iter().map(name).collect::<Vec<_>>().join(", ")
    }
}

/// The table of `docs/design.md`.
fn table() -> String {
    let row = |(name, served): &(&str, Served)| {
        format!("| `{name}` | {} | {} |\n", types(served.cpu), types(served.gpu))
    };
    let head = "| operation | CPU (`flex`) | GPU (`wgpu`, `cuda`) |\n|---|---|---|\n";
    head.to_owned() + &OPERATIONS.iter().map(row).collect::<String>()
}

#[test]
fn the_table_says_what_operations_serve() {
    let design = fs::read_to_string(root().join("docs/design.md")).unwrap();
    assert!(design.contains(&table()), "the table of kernels in docs/design.md is\n{}", table());
}

#[test]
fn every_operation_is_in_the_table() {
    let folders = fs::read_dir(root().join("src/kernel")).unwrap().map(Result::unwrap);
    let found: BTreeSet<String> = folders
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| !SHARED.contains(&name.as_str()))
        .collect();
    let listed: BTreeSet<String> = OPERATIONS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found, listed);
}

/// Each operation has a plain form, and a form of each backend that it serves.
#[test]
fn operations_have_the_same_files() {
    for (name, served) in OPERATIONS {
        let folder = root().join("src/kernel").join(name);
        let has = |file: &str| {
            folder.join(format!("{file}.rs")).is_file()
                || folder.join(file).join("mod.rs").is_file()
        };
        assert!(has("plain"), "{name} has no `plain`");
        assert_eq!(has("flex"), !served.cpu.is_empty(), "{name}: form of the CPU");
        assert_eq!(has("cube"), !served.gpu.is_empty(), "{name}: form of GPUs");
    }
}

/// The rooms whose maps have to invert. Their products of matrices go through `exact_product`,
/// since burn's may round float32 to TF32 on a GPU; none of them is by burn's `matmul`.
#[test]
fn nothing_that_inverts_goes_through_a_matrix_unit() {
    let rooms = ["linear", "law", "elementwise", "reshape", "coupling", "bijector"];
    let products = ["matmul(", "::linear(", "conv2d(", "einsum"];
    let mut found = Vec::new();
    for room in rooms {
        for (path, text) in files(&format!("src/{room}"), "rs") {
            let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
            let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            for line in lines.filter(|line| products.iter().any(|product| line.contains(product))) {
                found.push(format!("{}: {}", path.display(), line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// The code of `src/kernel`, without comments and tests, and without the module that splits work.
fn code_that_splits_nothing() -> Vec<(String, String)> {
    let folder = root().join("src/kernel");
    let named = files("src/kernel", "rs").into_iter().map(|(path, text)| {
        (path.strip_prefix(&folder).unwrap().display().to_string().replace('\\', "/"), text)
    });
    named
        .filter(|(name, _)| name != "cpu/tasks.rs" && !name.split('/').any(|part| part == "tests"))
        .map(|(name, text)| {
            let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
            let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            (name, lines.collect::<Vec<_>>().join("\n"))
        })
        .collect()
}

/// `cpu/tasks.rs` splits the CPU's work, from costs that operations state.
#[test]
fn one_module_splits_work() {
    let banned = [
        "rayon",
        "with_min_len",
        "with_max_len",
        "current_num_threads",
        "available_parallelism",
        "std::thread",
    ];
    let mut found = Vec::new();
    for (name, code) in code_that_splits_nothing() {
        for line in code.lines().map(str::trim) {
            let constant = line.trim_start_matches("pub ").strip_prefix("const ");
            let constant = constant.and_then(|rest| rest.split_once(": usize")).map(|(it, _)| it);
            let a_rule = constant.is_some_and(|constant| {
                let parts = ["TASK", "THREAD", "OPERATIONS", "BLOCKS", "WORTH"];
                parts.iter().any(|part| constant.contains(part))
            });
            if a_rule || banned.iter().any(|word| line.contains(word)) {
                found.push(format!("{name}: {line}"));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// Every file that states a cost says which item of the benchmarks measures it.
#[test]
fn costs_are_measured() {
    let items: String = files("benches/kernel", "rs").into_iter().map(|(_, text)| text).collect();
    let mut costs = 0;
    for (name, code) in code_that_splits_nothing() {
        if !code.contains("Cost::picoseconds(") {
            continue;
        }
        costs += 1;
        let text = fs::read_to_string(root().join("src/kernel").join(&name)).unwrap();
        let named = text.split('`').skip(1).step_by(2);
        let named: Vec<_> =
            named.filter(|it| it.starts_with("k.") || it.starts_with("a.")).collect();
        let measured = !named.is_empty()
            && named.iter().all(|item| {
                let group = item
                    .strip_prefix("k.")
                    .map_or(*item, |it| it.split_once('.').map_or(it, |(group, _)| group));
                items.contains(&format!("\"{group}.")) || items.contains(&format!("\"{group}\""))
            });
        assert!(measured, "{name} has costs, and names no item of benches/kernel that measures it");
    }
    assert!(costs > 10, "{costs} files with costs were found");
}
