//! Balancing and overload in virtual time, by the same code that runs in production, beside other
//! policies and beside what knows everything.
//!
//! Deterministic: the same scenario and seed give the same figures. Time is virtual, a run reads
//! no clock. Policies of one scenario and seed see the same arrivals and sizes.

pub mod balance;
mod directors;
mod servers;

pub use balance::{BalanceOutcome, BalanceScenario, Contender};

/// The value of `sorted` that `share` of them are below or at; zero where there are none.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let index = (sorted.len() as f64 * share) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
}
