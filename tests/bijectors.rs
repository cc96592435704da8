//! What every bijector of the table keeps to.

#[path = "common/build.rs"]
mod build;
mod property;
mod table;
