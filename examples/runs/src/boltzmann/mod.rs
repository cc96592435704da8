//! Unnormalised densities that a flow is trained to sample, with what is known about them exactly.
//!
//! | target | dimensions | ln Z |
//! |---|---|---|
//! | [`DoubleWell`] | 2 | by quadrature |
//! | [`Mixture40`] | 2 | 0 |
//! | [`Funnel`] | 10 | 0 |
//! | [`Phi4`] | a lattice of 8x8 sites | not known; [`Phi4::metropolis`] for its means |

mod double_well;
mod funnel;
mod mixture40;
mod phi4;
mod plot;

pub use double_well::DoubleWell;
pub use funnel::Funnel;
pub use mixture40::Mixture40;
pub use phi4::{Observables, Phi4, Series};
pub use plot::two_point_plot;
