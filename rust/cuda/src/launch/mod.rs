//! Launches of the kernels: a safe function for each, which checks the lengths of what it is given.

mod check;
mod product;
mod session;

pub use product::{Edge, Norm, Product, Window, product};
pub use session::{FAULTS, Fault, Session};
