//! Which tensor of the independent implementation each parameter of ours is.

use super::golden::Source;

/// Parameters of [`flowkit::GatedNet`].
pub fn net(path: &str) -> Source {
    let parts: Vec<&str> = path.split('.').collect();
    let of = Source::of;
    match parts.as_slice() {
        ["input", "conv", leaf] => of(format!("proj_in.{leaf}")),
        ["output", "conv", leaf] => of(format!("proj_out.{leaf}")),
        ["positions"] => Source::transposed("pos"),
        ["blocks", i, "conv", rest @ ..] => {
            gated_conv(&rest.join(".")).under(&format!("blocks.{i}.conv."))
        }
        ["blocks", i, "conv_norm", "gain"] => of(format!("blocks.{i}.ln1.weight")),
        ["blocks", i, "conv_norm", "bias"] => of(format!("blocks.{i}.ln1.bias")),
        ["blocks", i, "attention", rest @ ..] => {
            gated_attention(&rest.join(".")).under(&format!("blocks.{i}.attn."))
        }
        ["blocks", i, "attention_norm", "gain"] => of(format!("blocks.{i}.ln2.weight")),
        ["blocks", i, "attention_norm", "bias"] => of(format!("blocks.{i}.ln2.bias")),
        _ => panic!("a network has no parameter {path}"),
    }
}

/// Parameters of [`flowkit::conditioner::layer::GatedConv`].
pub fn gated_conv(path: &str) -> Source {
    match path.split('.').collect::<Vec<_>>().as_slice() {
        ["inner", "conv", leaf] => Source::of(format!("c1.{leaf}")),
        ["context", "conv", leaf] => Source::of(format!("aux.{leaf}")),
        ["gate", "conv", leaf] => Source::of(format!("c2.{leaf}")),
        _ => panic!("a gated convolution has no parameter {path}"),
    }
}

/// Parameters of [`flowkit::conditioner::layer::GatedAttention`].
pub fn gated_attention(path: &str) -> Source {
    match path.split('.').collect::<Vec<_>>().as_slice() {
        ["projection", "conv", leaf] => Source::of(format!("proj1.{leaf}")),
        ["gate", "conv", leaf] => Source::of(format!("proj2.{leaf}")),
        _ => panic!("gated attention has no parameter {path}"),
    }
}

/// Parameters of one step: norm, matrix, coupling.
fn step(index: &str, rest: &[&str]) -> Source {
    let first = 3 * index.parse::<usize>().unwrap();
    let halves = |layer: usize, name: &str| {
        Source::joined([0, 1].map(|half| format!("{layer}.{name}.{half}")))
    };
    match rest {
        ["0", "log_scale"] => halves(first, "log_g"),
        ["0", "bias"] => halves(first, "b"),
        ["1", "matrices"] => halves(first + 1, "W"),
        ["2", "conditioner", "net", rest @ ..] => {
            net(&rest.join(".")).under(&format!("{}.net.", first + 2))
        }
        _ => panic!("a step has no parameter {rest:?}"),
    }
}

/// Parameters of [`flowkit::model::flow_plus_plus::FlowPlusPlus`].
pub fn flow_plus_plus(path: &str) -> Source {
    match path.split('.').collect::<Vec<_>>().as_slice() {
        ["surjection", "Variational", "encoder", "net", "input", "conv", leaf] => {
            Source::of(format!("ctx_in.{leaf}"))
        }
        ["surjection", "Variational", "encoder", "net", "blocks", i, rest @ ..] => {
            gated_conv(&rest.join(".")).under(&format!("ctx.{i}."))
        }
        ["surjection", "Variational", "flow", "1", i, rest @ ..] => {
            step(i, rest).under("dequant.layers.")
        }
        ["bijector", "1", stage, "steps", i, rest @ ..] => {
            step(i, rest).under(&format!("s{}.layers.", stage.parse::<usize>().unwrap() + 1))
        }
        _ => panic!("the model has no parameter {path}"),
    }
}
