//! What keeps a system up when its parts fail.
//!
//! | | answers |
//! |---|---|
//! | [`Breaker`] | does calling it make sense at all? |
//! | [`RetryBudget`], [`Backoff`] | may this be tried again, and when? |
//! | [`Bulkhead`] | may one more of this kind be under way? |
//! | [`ResourceLimits`] | may this consumer take so much more? |
//! | [`Ladder`] | what is given up first, and when is it taken back? |
//! | [`Scaler`] | how many replicas should there be? |
//! | [`Watchdog`], [`static_rule`] | does anybody still decide, and what holds if not? |
//! | [`Guard`] | all of the first three around a call, with a deadline |
//!
//! All but [`Guard`] are pure: they read no clock, spawn nothing, and give the same answers for the
//! same events and seed.

mod breaker;
mod bulkhead;
mod guard;
mod ladder;
mod limits;
mod retry;
mod scale;
mod watchdog;

pub use breaker::{Breaker, BreakerConfig, BreakerState, Permit, Refused};
pub use bulkhead::{Bulkhead, Full, Seat, Seats};
pub use guard::{Fault, Guard, GuardConfig, GuardError};
pub use ladder::{Ladder, LadderConfig, Rung, Step};
pub use limits::{OverLimit, Portion, ResourceLimits};
pub use retry::{Backoff, BackoffConfig, RetryBudget, RetryBudgetConfig};
pub use scale::{ScaleConfig, ScaleInput, ScaleOrder, Scaler};
pub use watchdog::{Mode, Watchdog, static_rule};
