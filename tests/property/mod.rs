//! Properties: those that every entry of the table is checked for, and those of single bijectors.

mod boxed;
mod conformance;
mod density;
mod dropout;
mod fixed_start;
mod identity;
mod made;
mod start;
