//! The subcommands other than `run`, `receive` and `spool`: each prints what it found or made.
//!
//! - [`check`]: what a configuration means on this machine.
//! - [`devices`]: the cameras and serial ports of this machine, as the configuration should name them.
//! - [`doctor`]: what would keep this machine from doing what is configured, with the remedy.
//! - [`keygen`]: makes a key pair or tokens.
//! - [`demo`]: both ends in one process, with a simulated board.

pub mod check;
pub mod devices;
pub mod doctor;
pub mod keygen;
pub mod demo;
