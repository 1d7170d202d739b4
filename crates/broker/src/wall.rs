//! The calendar, for the few places where people or other programs want a date.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use plimsoll_core_types::{Clock, Timestamp};

/// Says which date a [`Timestamp`] is.
#[derive(Clone, Debug)]
pub(crate) struct Wall {
    zero: SystemTime,
}

impl Wall {
    /// The calendar beside `clock`.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the calendar")]
    pub(crate) fn beside(clock: &Arc<dyn Clock>) -> Self {
        let since = Duration::from_nanos(clock.now().as_nanos());
        let now = SystemTime::now();
        Self { zero: now.checked_sub(since).unwrap_or(now) }
    }

    /// The date as RFC 3339 writes it.
    pub(crate) fn date(&self, at: Timestamp) -> String {
        let since = Duration::from_nanos(at.as_nanos());
        let date = self.zero.checked_add(since).unwrap_or(self.zero);
        humantime::format_rfc3339_millis(date).to_string()
    }

    /// Seconds since 1970.
    pub(crate) fn unix(&self, at: Timestamp) -> u64 {
        let since = self.zero.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        since.as_secs().saturating_add(at.as_nanos() / 1_000_000_000)
    }
}
