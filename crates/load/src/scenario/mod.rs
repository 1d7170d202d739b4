//! Balancing and overload in virtual time, by the same code that runs in production, beside other
//! policies and beside what knows everything.
//!
//! Deterministic: the same scenario and seed give the same figures. Time is virtual, a run reads
//! no clock. Policies of one scenario and seed see the same arrivals and sizes.

mod balance;
mod directors;
mod failures;
mod gates;
mod limiters;
mod outages;
mod overload;
mod replay;
mod servers;
mod sizes;

pub use balance::{BalanceOutcome, BalanceScenario, Contender};
pub use failures::{Failure, FailureOutcome, FailureScenario};
pub use overload::{Limiter, OverloadOutcome, OverloadScenario, Retry, Slowdown};
pub use replay::{ReplayError, ReplayOptions, UnknownPolicy, replay};

/// The value of `sorted` that `share` of them are below or at; zero where there are none.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let index = (sorted.len() as f64 * share) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
}
