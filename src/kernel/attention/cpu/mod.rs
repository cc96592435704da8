//! Multi-head attention over positions on the CPU, without a matrix of scores.
//! ```text
//! s_ij = 1/√d Σ_c q_ci k_cj                              scores of a head of d channels
//! L_i  = ln Σ_j e^{s_ij}
//! o_ci = Σ_j p_ij v_cj                                   p_ij = e^{s_ij − L_i}
//! ```
//! and from the gradient `g` of `o`
//! ```text
//! D_i  = Σ_c g_ci o_ci
//! r_ij = p_ij (Σ_c g_ci v_cj − D_i)                      gradient of s_ij
//! dq_ci = 1/√d Σ_j r_ij k_cj
//! dk_cj = 1/√d Σ_i r_ij q_ci
//! dv_cj = Σ_i p_ij g_ci
//! ```
//! # Layout
//! `q`, `k`, `v` are the three parts of `projected [examples, 3·filters, positions]`, each
//! head-major: head `h` has channels `h·d..(h+1)·d`. `o [examples, filters, positions]` and
//! `L [examples, heads, positions]`. All are contiguous.
//!
//! # Method
//! Vectors run along positions. In the forward pass, these are queries: the scores, exponentials
//! and products of a block of keys are computed while it is in the first-level cache. Sums over
//! blocks are rescaled as the largest score grows, so no operation crosses lanes. In the backward
//! pass, they are keys: gradients of keys and values are sums over queries within a lane, and
//! gradients of queries are inner products over lanes, summed once per query.
//!
//! # Cost
//! Per pair of positions, the forward pass takes `2d` multiply-adds and one exponential, the
//! backward pass `5d` and one. Memory per head, beside packed copies of the inputs: the scores of a
//! block, in the forward pass with 32 queries, in the backward pass with all keys. On one core with
//! AVX-512, 512 positions, f32:
//! ```text
//! examples  heads   d     forward    backward
//!    16       4      8     5.8 ms     11.0 ms
//!     8       4     24     5.9 ms     14.3 ms
//! ```
//!
//! # Numerics
//! Exponents are at most 0 and sums at least 1, whatever the size of the scores; weights below the
//! smallest normal number are 0. Errors are within 2e-6 of the largest element of a tensor in f32,
//! and 1e-13 in f64, while scores are of moderate size; they grow with the rounding of the largest
//! score and of `L`. NaN stays in its head. Results do not depend on the number of threads.

mod backward;
mod forward;
mod head;
mod pack;
mod parallel;
mod tile;

pub use parallel::{backward, forward};

#[cfg(test)]
mod tests;
