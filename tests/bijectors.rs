//! What every bijector of the table keeps to.

mod property;
mod table;
