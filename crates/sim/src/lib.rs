#![doc = include_str!("../README.md")]
//!
//! # Where to begin
//!
//! | you have | begin at |
//! |---|---|
//! | a trace, and the question what each policy would do | [`replay::serving`] |
//! | one policy, and a host of your own making | [`serving::run`], [`serving::Scenario`] for faults |
//! | one pool | [`capacity`] |
//! | no trace | [`generate`] |
//! | events of your own | [`EventQueue`] |

pub mod capacity;
pub mod generate;
mod queue;
mod random;
pub mod replay;
pub mod serving;
pub mod trace;

pub use queue::EventQueue;
pub use random::Random;
