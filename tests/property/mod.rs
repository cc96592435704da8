//! Properties: one file for each kind.

mod density;
mod dropout;
mod gradient;
mod identity;
mod layers;
mod log_det;
mod made;
mod record;
mod round_trip;
mod shape;
mod start;
mod walk;
