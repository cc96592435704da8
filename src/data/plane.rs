//! Points of a plane in eight shapes, on which flows are compared by eye.

use std::f64::consts::{PI, SQRT_2, TAU};

use burn::tensor::{Device, Tensor, TensorData};
use chacha20::ChaCha8Rng;
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

/// A shape of points in a plane. All are within about ±4.
///
/// `u` is uniform on [0, 1), `e` is standard normal in each coordinate, and `k` is a uniform
/// integer.
///
/// | shape | points |
/// |---|---|
/// | `Moons` | `(cos πu, sin πu)` or `(1 − cos πu, ½ − sin πu)`, minus (½, ¼), times 2, plus `e/5` |
/// | `Rings` | radius `¾(k + 1)` for `k` in `0..4`, any angle, plus `0.08·e` |
/// | `Spirals` | one arm of angle `3π√u` and radius `3√u`, plus `0.1·e` |
/// | `TwoSpirals` | the same arm and its image through 0 |
/// | `Checkerboard` | the eight squares of side 2 in ±4 whose column plus row is even |
/// | `Pinwheel` | five blades: `(x, y)` normal of deviation (0.3, 0.05) around (1, 0), rotated by the angle `2πk/5 + e^(x − 1/4)` for `k` in `0..5`, times 2 |
/// | `EightGaussians` | normal of deviation 0.2 around eight points of a circle of radius 2√2 |
/// | `SwissRoll` | angle `t = 3π/2·(1 + 2u)` and radius `2t/(3π)`, plus `0.1·e` |
///
/// Such shapes are those of Grathwohl et al. 2019 (FFJORD), among others, here with sizes of their
/// own.
///
/// ```
/// use burn::tensor::Device;
/// use flowkit::data::Plane;
///
/// for plane in Plane::ALL {
///     let points = plane.points(1000, 7, &Device::flex());
///     assert_eq!(points.dims(), [1000, 2]);
///     assert!(points.abs().max().into_scalar::<f32>() < 6.0);
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Plane {
    /// Two interleaved half circles.
    Moons,
    /// Four circles around one middle.
    Rings,
    /// One spiral arm.
    Spirals,
    /// Two spiral arms.
    TwoSpirals,
    /// Squares with sharp edges.
    Checkerboard,
    /// Five curved blades.
    Pinwheel,
    /// Eight separate modes.
    EightGaussians,
    /// A spiral of constant width, of one and a half turns.
    SwissRoll,
}

impl Plane {
    /// Every shape.
    pub const ALL: [Self; 8] = [
        Self::Moons,
        Self::Rings,
        Self::Spirals,
        Self::TwoSpirals,
        Self::Checkerboard,
        Self::Pinwheel,
        Self::EightGaussians,
        Self::SwissRoll,
    ];

    /// `n` points, `[n, 2]`. The same for the same seed.
    pub fn points(self, n: usize, seed: u64, device: &Device) -> Tensor<2> {
        let mut random = Random(ChaCha8Rng::seed_from_u64(seed));
        let points: Vec<f64> = (0..n).flat_map(|_| self.point(&mut random)).collect();
        Tensor::from_data(TensorData::new(points, [n, 2]), device)
    }

    fn point(self, random: &mut Random) -> [f64; 2] {
        match self {
            Self::Moons => {
                let t = PI * random.uniform();
                let [x, y] = match random.below(2) {
                    0 => [t.cos(), t.sin()],
                    _ => [1.0 - t.cos(), 0.5 - t.sin()],
                };
                random.around([2.0 * x - 1.0, 2.0 * y - 0.5], 0.2)
            }
            Self::Rings => {
                let radius = 0.75 * (random.below(4) + 1) as f64;
                let angle = TAU * random.uniform();
                random.around(polar(radius, angle), 0.08)
            }
            Self::Spirals => random.arm(1.0),
            Self::TwoSpirals => {
                let side = if random.below(2) == 0 { 1.0 } else { -1.0 };
                random.arm(side)
            }
            Self::Checkerboard => {
                let (column, row) = (random.below(4), random.below(2));
                let row = 2 * row + column % 2;
                [column, row].map(|cell| 2.0 * (cell as f64 + random.uniform()) - 4.0)
            }
            Self::Pinwheel => {
                let blade = TAU * random.below(5) as f64 / 5.0;
                let [x, y] = [1.0 + 0.3 * random.normal(), 0.05 * random.normal()];
                let angle = blade + (x - 0.25).exp();
                let (sin, cos) = angle.sin_cos();
                [2.0 * (x * cos - y * sin), 2.0 * (x * sin + y * cos)]
            }
            Self::EightGaussians => {
                let middle = polar(2.0 * SQRT_2, TAU * random.below(8) as f64 / 8.0);
                random.around(middle, 0.2)
            }
            Self::SwissRoll => {
                let t = 1.5 * PI * (1.0 + 2.0 * random.uniform());
                random.around(polar(2.0 * t / (3.0 * PI), t), 0.1)
            }
        }
    }
}

fn polar(radius: f64, angle: f64) -> [f64; 2] {
    [radius * angle.cos(), radius * angle.sin()]
}

struct Random(ChaCha8Rng);

impl Random {
    /// On [0, 1): 53 bits, the fraction of a float64.
    fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        StandardNormal.sample(&mut self.0)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.uniform() * n as f64) as usize
    }

    fn around(&mut self, middle: [f64; 2], deviation: f64) -> [f64; 2] {
        middle.map(|x| x + deviation * self.normal())
    }

    /// A point of a spiral arm. The square root makes the points as dense along the arm outside as
    /// inside.
    fn arm(&mut self, side: f64) -> [f64; 2] {
        let along = self.uniform().sqrt();
        let middle = polar(3.0 * along, 3.0 * PI * along).map(|x| side * x);
        self.around(middle, 0.1)
    }
}
