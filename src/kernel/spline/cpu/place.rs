//! Where an element lies within its bin.

use super::bins::Found;

/// `ξ`, `1 − ξ`, and the sums of positive terms at it, of one element.
pub struct Place {
    pub xi: f64,
    pub rest: f64,
    pub both: f64,
    pub square: f64,
    pub square_rest: f64,
    pub p: f64,
    pub q: f64,
    pub u: f64,
}

impl Place {
    #[inline(always)]
    pub fn of(value: f64, found: &Found, lane: usize) -> Self {
        let (s, d, e) = (found.s[lane], found.d[lane], found.e[lane]);
        let xi = (value - found.x.left[lane]) / found.x.span[lane];
        let rest = 1.0 - xi;
        let (both, square, square_rest) = (xi * rest, xi * xi, rest * rest);
        let p = s * square + d * both;
        let q = s * (square + square_rest) + (d + e) * both;
        let u = e * square + 2.0 * s * both + d * square_rest;
        Self { xi, rest, both, square, square_rest, p, q, u }
    }
}
