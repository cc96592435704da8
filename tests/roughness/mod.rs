//! How much coarser the device under test is than the CPU.

/// Factor on limits of float32 that were derived for correctly rounded functions: 1 on the CPU, 8 on the device that `BURN_DEVICE` names.
///
/// WGSL allows `exp(x)` an error of 3 + 2|x| units in the last place where a CPU's library has 1 (WebGPU Shading Language, §15.7.4), and
/// the mixture takes exponentials of log-scales up to 10.
pub fn roughness() -> f64 {
    match std::env::var("BURN_DEVICE") {
        Ok(name) if name != "flex" => 8.0,
        _ => 1.0,
    }
}
