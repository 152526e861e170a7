//! What the ready-made SQL stores have in common: statements, values and rows. The engines differ in a [`Dialect`].

mod statement;
mod value;

pub use statement::{Dialect, Statement, schema};
pub use value::{Value, row_of};
