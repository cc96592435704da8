//! Files of `Flow::save` for other programs: `docs/files.md` names their arrays, and
//! `benches/peers/read.py` computes the same log-densities from them, in PyTorch.
//!
//! The files in `tests/golden/saved` were written by this program, and `truth.f64.safetensors` there
//! by `read.py`, in float64. To write and compare new ones:
//! ```text
//! FLOWKIT_SAVED=/tmp/saved cargo test --release --test saved_files
//! python3 benches/peers/read.py /tmp/saved
//! ```

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use common::values;
use flowkit::model::flow_plus_plus::FlowPlusPlusConfig;
use flowkit::model::glow::{Glow, GlowConfig};
use flowkit::model::{Maf, MafConfig, Nsf, NsfConfig, RealNvp, RealNvpConfig};
use flowkit::state_dict::StateDict;
use flowkit::testing::elements::normal;
use flowkit::{Activation, Density, Flow, StandardNormal, Uninit};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

/// Numbers of rows in the files of rows.
const ROWS: usize = 8;

fn real_nvp() -> Uninit<RealNvp> {
    let config = RealNvpConfig::new(3).with_hidden(vec![6, 5]);
    Flow::build(&config, StandardNormal::new(), [1, 3], &Device::flex()).unwrap()
}

fn maf() -> Uninit<Maf> {
    let config = MafConfig::new(3).with_hidden(vec![7, 9]).with_activation(Activation::Tanh);
    Flow::build(&config, StandardNormal::new(), [1, 4], &Device::flex()).unwrap()
}

fn nsf() -> Uninit<Nsf> {
    let config = NsfConfig::new(2).with_d_hidden(6).with_n_blocks(1).with_n_bins(4);
    Flow::build(&config, StandardNormal::new(), [1, 3], &Device::flex()).unwrap()
}

fn glow() -> Uninit<Glow> {
    let config = GlowConfig::new([2, 4, 4], 2, 1).with_n_filters(4).with_n_levels(16);
    config.build(&Device::flex()).unwrap()
}

/// Adds noise to each parameter, so that none has a value that hides it.
struct Shaken(u64);

impl ModuleMapper for Shaken {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.0 += 1;
        param.map(|old| {
            let noise =
                TensorData::new(normal(self.0, old.shape().num_elements(), 0.2), old.dims());
            let noise = Tensor::from_data(noise.convert_dtype(old.dtype()), &old.device());
            old + noise
        })
    }
}

fn shaken<M: Module>(uninit: Uninit<M>, seed: u64) -> M {
    let device = Device::flex();
    let _turn = flowkit::testing::elements::device_rng();
    device.seed(seed);
    uninit.without_data().map(&mut Shaken(1000 * seed))
}

/// Named tensors as one file.
fn write(path: &Path, arrays: &[(&str, Vec<usize>, Vec<f64>)]) {
    let bytes = arrays.iter().map(|(name, shape, values)| {
        let bytes: Vec<u8> =
            values.iter().flat_map(|&value| (value as f32).to_le_bytes()).collect();
        (name.to_string(), shape.clone(), bytes)
    });
    let bytes: Vec<_> = bytes.collect();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn points(dims: usize) -> Tensor<2> {
    let data = TensorData::new(normal(7, ROWS * dims, 1.5), [ROWS, dims]).convert::<f32>();
    Tensor::from_data(data, &Device::flex())
}

/// Levels of the images, and the noise that is added to them.
fn images() -> (Tensor<4, Int>, Tensor<4>) {
    let shape = [ROWS, 2, 4, 4];
    let n = shape.iter().product();
    let levels: Vec<i64> = normal(8, n, 4.0).iter().map(|v| (v.abs() as i64).min(15)).collect();
    let noise: Vec<f64> = normal(9, n, 1.0).iter().map(|v| v.abs().fract()).collect();
    let device = Device::flex();
    let noise = TensorData::new(noise, shape).convert::<f32>();
    (Tensor::from_data(TensorData::new(levels, shape), &device), Tensor::from_data(noise, &device))
}

/// The log-densities of each flow of a folder, as flowkit computes them, by its name.
fn log_densities(folder: &Path) -> BTreeMap<&'static str, Vec<f64>> {
    let path = |name: &str| folder.join(format!("{name}.safetensors"));
    let (levels, noise) = images();
    let glow = glow().load(path("glow")).unwrap();
    BTreeMap::from([
        ("real_nvp", values(real_nvp().load(path("real_nvp")).unwrap().log_prob(points(3)))),
        ("maf", values(maf().load(path("maf")).unwrap().log_prob(points(4)))),
        ("nsf", values(nsf().load(path("nsf")).unwrap().log_prob(points(3)))),
        ("glow", values(glow.log_weight(levels, noise))),
    ])
}

/// Writes each flow, and rows with their log-densities beside it.
fn save(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let path = |name: &str| folder.join(format!("{name}.safetensors"));
    shaken(real_nvp(), 1).save(path("real_nvp")).unwrap();
    shaken(maf(), 2).save(path("maf")).unwrap();
    shaken(nsf(), 3).save(path("nsf")).unwrap();
    shaken(glow(), 4).save(path("glow")).unwrap();
    let (levels, noise) = images();
    let shape = levels.dims().to_vec();
    for (name, log_density) in log_densities(folder) {
        let log_density = ("log_density", vec![ROWS], log_density);
        let rows = |dims| ("x", vec![ROWS, dims], values(points(dims)));
        let arrays = match name {
            "glow" => vec![
                ("x", shape.clone(), values(levels.clone().float())),
                ("noise", shape.clone(), values(noise.clone())),
                log_density,
            ],
            "maf" => vec![rows(4), log_density],
            _ => vec![rows(3), log_density],
        };
        write(&folder.join(format!("{name}.rows.safetensors")), &arrays);
    }
}

#[test]
fn files_for_another_program() {
    let temporary = tempfile::tempdir().unwrap();
    let folder =
        std::env::var_os("FLOWKIT_SAVED").map_or(temporary.path().to_path_buf(), PathBuf::from);
    save(&folder);
    for (name, found) in log_densities(&folder) {
        assert!(found.iter().all(|value| value.is_finite()), "{name}: {found:?}");
    }
    if std::env::var_os("FLOWKIT_PRINT").is_some() {
        let tiny = FlowPlusPlusConfig::tiny().build(&Device::flex()).unwrap();
        shaken(tiny, 5).save(folder.join("flow_plus_plus.safetensors")).unwrap();
        for name in ["real_nvp", "maf", "nsf", "glow", "flow_plus_plus"] {
            let file = StateDict::read(folder.join(format!("{name}.safetensors"))).unwrap();
            for array in file.names() {
                let found = file.get(array).unwrap();
                println!("{name} {array} {:?} {}", found.shape(), found.values().kind());
            }
        }
    }
}
