//! Virtual time: an event queue of its own, without threads, clocks or a runtime, that drives the
//! same pure cores as production does, beside the policies that people use today.
//!
//! [`serving`] replays requests for models on one host: who is loaded, who waits, who gives way.
//!
//! Simulated figures are not measured ones. What a run leaves out stands in the documentation of
//! its module.

pub mod capacity;
pub mod generate;
mod queue;
mod random;
pub mod replay;
pub mod serving;
pub mod trace;

pub use queue::EventQueue;
pub use random::Random;
