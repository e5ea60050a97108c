//! The subcommands except `run`, `receive`, `spool` and `clock`. Each prints its findings or results.
//!
//! - [`agents`]: the agents that the running receiver knows; forgets or merges one.
//! - [`check`]: what a configuration means on this machine.
//! - [`devices`]: the cameras and serial ports of this machine, with the names to use in a configuration.
//! - [`doctor`]: problems that would keep this machine from running a configuration, with remedies.
//! - [`keygen`]: creates a key pair or tokens.
//! - [`demo`]: agent and receiver in one process, with a simulated board.

pub mod agents;
pub mod check;
pub mod devices;
pub mod doctor;
pub mod keygen;
pub mod demo;
