//! The cluster's only node: it runs pods as real processes on this machine.

mod container;
mod exec;
mod launcher;
mod programs;
mod terminal;

#[cfg(test)]
mod container_tests;

pub use container::Mount;
pub use exec::{ExecError, ExecRequest, Process, Resizer};
pub use programs::MissingProgram;
