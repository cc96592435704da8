//! 3x3 convolutions by Winograd's algorithm `F(2x2, 3x3)`, and the gradient of their weights by its
//! transpose, `F(3x3, 2x2)`.
//! ```text
//! y = Aᵀ[(G w Gᵀ)·(Bᵀ d B)]A       2x2 results from 4x4 pixels, summed over channels in between
//! gw = Gᵀ[(A g Aᵀ)·(Bᵀ d B)]G      from 2x2 gradients, summed over tiles in between
//!
//! Bᵀ d = d₀ − d₂, d₁ + d₂, d₂ − d₁, d₁ − d₃               Aᵀ m = m₀ + m₁ + m₂, m₁ − m₂ − m₃
//! G w = w₀, (w₀ + w₁ + w₂)/2, (w₀ − w₁ + w₂)/2, w₂
//! ```
//! 16 multiplications compute what takes 36 directly. A *place* is one of the 16 elements of a
//! transformed tile; the products of one place, over all channels and tiles, are a matrix product.
//!
//! # Layout
//! Images are transposed at the input and at the output, so that a vector holds channels of one
//! pixel. A tile is then 16 loads and as many stores, whatever the width of the image, and the
//! tiles of several small images are rows of one product. A kernel that is rotated by 180 degrees
//! has the places of the kernel, with the ends of rows and columns swapped.
//!
//! # Numerics
//! `B` and `A` hold 0 and ±1: they amplify rounding little, and sums have fewer terms. Relative to
//! the largest result, measured errors equal those of direct sums, or are up to twice as large
//! where many channels are summed. The error of a single result is bounded by
//! ```text
//! abs error of y[o, p]     ≤ 3ε Σ_c (Σ_{window of p} abs x[c])·(Σ_{9 taps} abs w[o, c])
//!                            measured: up to 1.7ε
//! abs error of gw[o, c, d] ≤ 3ε Σ_{25 shifts within a tile} Σ_p abs g[o, p]·abs x[c, p + shift]
//!                            measured: up to 1.1ε
//! ```
//! The bound for the gradient of `x` is that for `y`. Direct sums have an error of a few `ε` of
//! `Σ abs w·abs x` over the pairs that are multiplied. The two differ where a pixel is far larger
//! than its neighbours and its weight is far smaller than the others of its channel. If one weight
//! in nine is a thousandth of the others, a pixel of 10⁴ among ones costs up to 6e-5 of the sum of
//! absolute terms in windows that contain it, and a pixel of 10⁶ up to 2e-3; direct sums lose 1e-6.
//! Windows without the pixel are not affected. `tests/convolution_errors.rs` checks both bounds;
//! `docs/design.md` explains why the algorithm is not chosen by the spread of the data.
//!
//! # Reference
//! Lavin & Gray 2016, "Fast algorithms for convolutional neural networks".

mod grid;
mod layout;
mod load;
mod pass;
mod tiles;
mod transform;
mod weight_gradient;
mod weights;

use super::{Conv2d, ConvShape};
use grid::Grid;
use layout::Channels;

/// Number of places of a tile of 4x4.
const PLACES: usize = 16;
/// Fewest channels, on both sides, for which it is faster: for small images, and for larger ones,
/// which direct sums serve better.
const CHANNELS: [usize; 2] = [12, 16];
/// Most pixels of a small image.
const SMALL: usize = 64;

impl Conv2d {
    /// Whether Winograd's algorithm is faster. This does not depend on the batch, so the results of
    /// an example do not depend on the batch either.
    pub(super) fn suits_winograd(&self) -> bool {
        let ConvShape { inputs, outputs, height, width, kernel, .. } = self.shape;
        let [small, large] = CHANNELS;
        let least = if height * width <= SMALL { small } else { large };
        kernel == [3, 3] && inputs.min(outputs) >= least && height.min(width) >= 2
    }

    fn grid(&self) -> Grid {
        let ConvShape { batch, inputs, outputs, height, width, .. } = self.shape;
        Grid::new(batch, height, width, [inputs, outputs])
    }

    /// Channels of `v`.
    fn met(&self) -> Channels {
        let parts = self.stages.before.factor();
        Channels { n: self.shape.inputs / parts, parts }
    }

    /// Channels of `y`.
    pub(super) fn made(&self) -> Channels {
        Channels { n: self.shape.outputs, parts: 1 }
    }
}
