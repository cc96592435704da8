//! Properties: one file for each kind.

mod round_trip;
mod shape;
