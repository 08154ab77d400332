//! Products against those of the CPU, bit for bit, and how they are shared out.

mod bits;
mod case;
mod plans;
mod refusals;
