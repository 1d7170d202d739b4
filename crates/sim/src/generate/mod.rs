//! Traces that are made up, with the character of real ones.
//!
//! A [`Recipe`] makes requests at a rate that has a trend, a day, slow noise, pauses and bursts.
//! Its presets are calibrated on public traces: [`Character`] is what is compared, and the tests
//! of this crate do so. [`arrivals`] draws single requests from a trace of rates, as `ServeGen` does.

mod arrivals;
mod character;
mod recipe;

pub use arrivals::{Drawn, arrivals};
pub use character::Character;
pub use recipe::{Burst, Recipe, Tokens};
