//! What a released Flow++ would cost on several GPUs: counts operations and bytes of a model, and
//! extrapolates from a rate.
//!
//! ```text
//! # imagenet64 on 8 devices
//! cargo run --release --example scaling
//! # another model on one device
//! cargo run --release --example scaling -- --preset small --devices 1 --peak 0.15 --efficiency 0.9
//! ```
//! Expected last line: `run ... days`. It takes a second and trains nothing. What it teaches: the
//! formulas of docs/scaling.md, which names what was measured and what is assumed.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use clap::Parser;
use flowkit::Density;
use flowkit::model::flow_plus_plus::FlowPlusPlusPreset;

#[derive(Parser)]
#[command(about = "Cost of a Flow++ on several devices, from counts")]
struct Args {
    /// Model
    #[arg(long, default_value = "imagenet64")]
    preset: FlowPlusPlusPreset,
    /// Devices
    #[arg(long, default_value_t = 8)]
    devices: u64,
    /// Images of an update, over all devices [default: the preset's]
    #[arg(long)]
    batch: Option<u64>,
    /// Updates of the run
    #[arg(long, default_value_t = 230_000)]
    updates: u64,
    /// Peak of a device in Tflop/s, of the type that networks are trained in
    #[arg(long, default_value_t = 125.0)]
    peak: f64,
    /// Share of the peak that a step reaches
    #[arg(long, default_value_t = 0.2)]
    efficiency: f64,
    /// Between two devices, GB/s
    #[arg(long, default_value_t = 25.0)]
    link: f64,
}

/// Of one example in a forward pass.
#[derive(Debug, Default)]
struct Count {
    /// Floating-point operations, two to a multiplication with its addition.
    flops: u64,
    /// Numbers that convolutions read and write.
    activations: u64,
    /// Trained numbers.
    parameters: u64,
    dims: u64,
    /// Positions of the network that is being visited.
    positions: u64,
    path: Vec<(String, String)>,
}

impl Count {
    fn within(&self, container: &str) -> bool {
        self.path.iter().any(|(_, own)| own == container)
    }
}

impl ModuleVisitor for Count {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.push((name.to_owned(), container_type.to_owned()));
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let shape: Vec<u64> = param.lazy_shape().iter().map(|&length| length as u64).collect();
        self.parameters += shape.iter().product::<u64>();
        if !self.within("Struct:Conv2d") || D != 4 {
            return;
        }
        let (outputs, inputs) = (shape[0], shape[1]);
        // The first convolution of a network reads one half of an example, that of the encoder
        // both: no stage changes their size.
        let first = self.path.iter().any(|(name, own)| name == "input" && own.ends_with("Encoder"))
            || self.path.iter().any(|(name, own)| name == "input" && own == "Struct:GatedNet");
        if first {
            let halves = if self.within("Struct:GatedNet") { 1 } else { 2 };
            self.positions = self.dims / 2 * halves / inputs;
        }
        self.flops += 2 * shape.iter().product::<u64>() * self.positions;
        self.activations += (inputs + outputs) * self.positions;
        if self.path.iter().any(|(name, _)| name == "projection") {
            // Scores and mixed values: two products of [P, F] and [F, P], or [P, P] and [P, F].
            self.flops += 4 * inputs * self.positions * self.positions;
        }
    }
}

fn main() -> Result<(), flowkit::ConfigError> {
    let args = Args::parse();
    let model = args.preset.model().build(&Device::default())?.without_data();
    let dims = model.dims() as u64;
    let mut count = Count { dims, ..Count::default() };
    model.visit(&mut count);
    let Count { flops, activations, parameters, .. } = count;
    let (n, batch) = (args.devices, args.batch.unwrap_or(args.preset.batch_size() as u64));
    println!("parameters          {parameters}");
    println!("forward             {:.2} Gflop an image", flops as f64 / 1e9);
    println!(
        "training            {:.2} Tflop an update of {batch} images",
        3.0 * (flops * batch) as f64 / 1e12
    );
    println!(
        "activations         {:.1} M numbers an image in and out of convolutions",
        activations as f64 / 1e6
    );
    // The backward pass does each product of the forward pass twice: for the input and the weights.
    let compute = 3.0 * (flops * batch) as f64 / (n as f64 * args.peak * 1e12 * args.efficiency);
    let bytes = 4.0 * parameters as f64;
    let ring = 2.0 * (n - 1) as f64 / n as f64 * bytes / (args.link * 1e9);
    // burn's strategy of one device that gathers: gradients in, weights and average out, one device
    // after the other.
    let star = 3.0 * (n - 1) as f64 * bytes / (args.link * 1e9);
    println!(
        "compute             {compute:.4} s an update on {n} devices at {} of {} Tflop/s",
        args.efficiency, args.peak
    );
    println!("exchange, ring      {ring:.4} s (ddp)");
    println!("exchange, one root  {star:.4} s (multi)");
    for (name, exchange) in [("ddp", ring), ("multi", star)] {
        let update = compute + exchange;
        let days = update * args.updates as f64 / 86_400.0;
        println!(
            "run {name:<5} {update:.4} s an update, {:.0} % of it compute, {days:.2} days",
            100.0 * compute / update
        );
    }
    Ok(())
}
