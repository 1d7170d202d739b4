//! Time, as a value that tests can move.

use std::fmt;
use std::ops::{Add, AddAssign};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// A moment: nanoseconds since the start of the [`Clock`] that told it.
///
/// Never goes backwards on one clock; means nothing on another. Pure cores take it as a parameter
/// and so run unchanged in virtual time. Serialized as a number of nanoseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The clock's start.
    pub const ZERO: Self = Self(0);
    /// 584 years after the clock's start.
    pub const MAX: Self = Self(u64::MAX);

    /// This many nanoseconds after the clock's start.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// This many seconds after the clock's start; saturates at both ends.
    pub fn from_secs_f64(seconds: f64) -> Self {
        Self((seconds * 1e9) as u64)
    }

    /// Nanoseconds since the clock's start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Seconds since the clock's start.
    pub const fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The time since `earlier`, or zero when `earlier` is later.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The time since `earlier`, or `None` when `earlier` is later.
    pub const fn checked_since(self, earlier: Self) -> Option<Duration> {
        match self.0.checked_sub(earlier.0) {
            Some(nanos) => Some(Duration::from_nanos(nanos)),
            None => None,
        }
    }

    /// `duration` earlier, at the earliest the clock's start.
    #[must_use]
    pub const fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(duration)))
    }
}

/// `duration` later, at most [`Timestamp::MAX`].
impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

impl AddAssign<Duration> for Timestamp {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

const fn nanos(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 }
}

/// Seconds since the clock's start, with milliseconds.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:.3}s", self.as_secs_f64()))
    }
}

/// Where services read time. Pure cores never hold one: they are told `now`.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present moment; never earlier than one told before.
    fn now(&self) -> Timestamp;
}

/// The operating system's monotonic clock.
///
/// ```
/// use plimsoll_core_types::{Clock, SystemClock};
/// let clock = SystemClock::new();
/// let earlier = clock.now();
/// assert!(clock.now() >= earlier);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock that starts now.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }

    /// The moment `timestamp` as the operating system counts it, for timers.
    ///
    /// `None` when it is too far ahead to be written.
    pub fn instant(&self, timestamp: Timestamp) -> Option<Instant> {
        self.start.checked_add(Duration::from_nanos(timestamp.as_nanos()))
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.start.elapsed()
    }
}

/// A clock that moves only when told to, for tests and simulations.
///
/// ```
/// use std::time::Duration;
/// use plimsoll_core_types::{Clock, ManualClock, Timestamp};
///
/// let clock = ManualClock::new();
/// clock.advance(Duration::from_secs(3));
/// assert_eq!(clock.now(), Timestamp::from_secs_f64(3.0));
/// ```
#[derive(Debug, Default)]
pub struct ManualClock {
    now: AtomicU64,
}

impl ManualClock {
    /// A clock at [`Timestamp::ZERO`].
    pub const fn new() -> Self {
        Self { now: AtomicU64::new(0) }
    }

    /// Moves the clock ahead.
    pub fn advance(&self, by: Duration) {
        let step = |now| Some((Timestamp(now) + by).0);
        // The closure always answers, so the update can't fail.
        let _ = self.now.fetch_update(Ordering::AcqRel, Ordering::Acquire, step);
    }

    /// Moves the clock ahead to `moment`; a moment in the past changes nothing.
    pub fn advance_to(&self, moment: Timestamp) {
        self.now.fetch_max(moment.0, Ordering::AcqRel);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::MAX + Duration::from_secs(1), Timestamp::MAX);
        assert_eq!(Timestamp::ZERO + Duration::MAX, Timestamp::MAX);
        assert_eq!(Timestamp::ZERO.saturating_since(Timestamp::MAX), Duration::ZERO);
        assert_eq!(Timestamp::ZERO.checked_since(Timestamp::MAX), None);
        assert_eq!(Timestamp::from_secs_f64(-1.0), Timestamp::ZERO);
    }

    #[test]
    fn a_manual_clock_never_goes_back() {
        let clock = ManualClock::new();
        clock.advance(Duration::from_secs(5));
        clock.advance_to(Timestamp::from_secs_f64(2.0));
        assert_eq!(clock.now().as_secs_f64(), 5.0);
    }
}
