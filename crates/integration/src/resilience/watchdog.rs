//! What holds when nobody decides: the safe static rule.
//!
//! Source: *static stability* in B. Weiss and M. Furr, *Static stability using Availability Zones* (The
//! Amazon Builders' Library): the data path keeps working on what it was last told, and what it was told
//! must be safe to keep for ever. So the loop leaves a static rule behind at each round, and
//! whoever finds it gone puts that into force.

use std::time::Duration;

use plimsoll_core_types::{
    Action, PlannedAction, Reason, ResourceVector, ServiceLevel, SystemSnapshot, Timestamp,
};

use crate::config::ConfigError;
use crate::sync::{AtomicU64, Ordering};

/// Who decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The loop does.
    Managed,
    /// Nobody does; the static rule holds.
    Static {
        /// For how long the loop has not gone round.
        silent: Duration,
    },
}

/// Notices that the loop no longer goes round. One word: the loop writes it once a round, and the
/// data path may read it at every request.
#[derive(Debug)]
pub struct Watchdog {
    /// When the loop last went round, in nanoseconds.
    last: AtomicU64,
    lost_after: Duration,
}

impl Watchdog {
    /// A watchdog that gives the loop `lost_after`, from `now` on.
    ///
    /// # Errors
    ///
    /// When `lost_after` is zero.
    pub fn new(lost_after: Duration, now: Timestamp) -> Result<Self, ConfigError> {
        if lost_after.is_zero() {
            return Err(ConfigError::new("lost_after", "0 s", "above 0 s"));
        }
        Ok(Self { last: AtomicU64::new(now.as_nanos()), lost_after })
    }

    /// The loop has gone round.
    pub fn beat(&self, now: Timestamp) {
        self.last.fetch_max(now.as_nanos(), Ordering::AcqRel);
    }

    /// Who decides at `now`.
    pub fn mode(&self, now: Timestamp) -> Mode {
        let last = Timestamp::from_nanos(self.last.load(Ordering::Acquire));
        let silent = now.saturating_since(last);
        if silent < self.lost_after { Mode::Managed } else { Mode::Static { silent } }
    }
}

/// What to do once when the loop is found lost, from the last snapshot that it took: the line goes
/// to where it is safe without anybody watching the host, everybody is served in full again, and
/// nobody is refused for a strain that nobody measures any more.
///
/// `limit` is the most that may be promised unattended, such as the budget less what others on the
/// host have used at most; a dimension that is zero stays as it is. The line is only ever lowered:
/// that more would fit is for the loop to say. `degraded` are the models that are not served in
/// full, and `refusing` says that requests are refused by priority.
///
/// What else the loop does is not done, which is safe by itself: nothing is loaded ahead, evicted,
/// moved or retuned. Leases, waiters and running engines go on.
pub fn static_rule(
    snapshot: &SystemSnapshot,
    limit: &ResourceVector,
    degraded: &[plimsoll_core_types::ModelId],
    refusing: bool,
    silent: Duration,
) -> Vec<PlannedAction> {
    let reason = || Reason::Unattended { silent };
    let current = snapshot.pool.limit;
    let lowered = limit.iter().fold(current, |line, (dimension, most)| {
        line.with(dimension, current.get(dimension).min(most))
    });
    let mut actions = Vec::new();
    if lowered != current {
        let action = Action::SetLimit { limit: lowered };
        actions.push(PlannedAction { action, reason: reason() });
    }
    for model in degraded {
        let action = Action::Degrade { model: model.clone(), to: ServiceLevel::Full };
        actions.push(PlannedAction { action, reason: reason() });
    }
    if refusing {
        let action = Action::Shed { below: None };
        actions.push(PlannedAction { action, reason: reason() });
    }
    actions
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_is_silent_for_too_long_is_lost_until_it_is_back() {
        let at = Timestamp::from_secs_f64;
        let watchdog = Watchdog::new(Duration::from_secs(2), at(10.0)).unwrap();
        assert_eq!(watchdog.mode(at(11.9)), Mode::Managed);
        watchdog.beat(at(11.9));
        assert_eq!(watchdog.mode(at(13.0)), Mode::Managed);
        let silent = Duration::from_secs(3);
        assert_eq!(watchdog.mode(at(14.9)), Mode::Static { silent });
        watchdog.beat(at(5.0));
        assert_eq!(watchdog.mode(at(14.9)), Mode::Static { silent }, "an old beat is none");
        watchdog.beat(at(15.0));
        assert_eq!(watchdog.mode(at(15.0)), Mode::Managed);
        assert!(Watchdog::new(Duration::ZERO, at(0.0)).is_err());
    }
}
