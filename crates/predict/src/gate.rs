//! The quality gate: what of a raw sample may reach the experts, and on which step.
//!
//! Samples lie on a grid of steps, one nominal interval apart. The grid follows a clock that runs
//! a little off (a phase-locked loop of first order), so that jitter around a steady offset does
//! not make two samples of one step and none of the next. A gap is missing steps, never zeros.

use serde::{Deserialize, Serialize};

use plimsoll_core_types::Timestamp;

use crate::check::{self, Checked, ensure};
use crate::num::share;

/// Values beyond this are rejected: no resource has that much, and profiles are kept in `f32`.
pub(crate) const LARGEST: f64 = 1e30;

/// After so many samples in a row from the past, the clock is taken to have been set back.
const STALE_LIMIT: u32 = 16;

/// What the gate made of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Intake {
    /// It was learnt from.
    Learnt,
    /// It says that nothing was measured; time went on.
    Missing,
    /// It is no finite number, or beyond 1e30: treated as missing.
    Implausible,
    /// It is an exact zero amid values that were never near zero: treated as an outage, that is
    /// as missing, until it has lasted too long to be one.
    SuspectedOutage,
    /// There is a value for this step already.
    Duplicate,
    /// It is older than what was seen.
    Stale,
}

/// Where a sample falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// So many steps after the last one (at least one).
    Ahead(u64),
    Duplicate,
    Stale,
}

/// Turns moments into steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Grid {
    interval: u64,
    /// When the last step is due, and when its sample came; none before the first.
    last: Option<(u64, u64)>,
    stale: u32,
}

impl Grid {
    pub(crate) fn new(interval: std::time::Duration) -> Self {
        let interval = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).max(1);
        Self { interval, last: None, stale: 0 }
    }

    pub(crate) fn place(&mut self, at: Timestamp) -> Place {
        let at = at.as_nanos();
        let Some((due, came)) = self.last else {
            self.last = Some((at, at));
            return Place::Ahead(1);
        };
        if at <= came {
            return self.old(at, came);
        }
        self.stale = 0;
        let half = self.interval / 2;
        let since = at.saturating_sub(due);
        // Nearly always the next step; only else is a division worth its time.
        let steps = if since > half && since - half <= self.interval {
            1
        } else {
            since / self.interval + u64::from(since % self.interval > half)
        };
        if steps == 0 {
            return Place::Duplicate;
        }
        let next = due.saturating_add(steps.saturating_mul(self.interval));
        // An eighth of the offset: ten samples follow a shifted clock, jitter is averaged.
        let due = if at >= next { next + (at - next) / 8 } else { next - (next - at) / 8 };
        self.last = Some((due, at));
        Place::Ahead(steps)
    }

    pub(crate) fn check(&self, fresh: &Self) -> Checked {
        ensure("grid.interval", self.interval == fresh.interval)?;
        // A step is due within half an interval of its sample.
        let near = |(due, came): (u64, u64)| due.abs_diff(came) <= self.interval;
        ensure("grid.last", self.last.is_none_or(near))?;
        ensure("grid.stale", self.stale < STALE_LIMIT)
    }

    fn old(&mut self, at: u64, came: u64) -> Place {
        if at == came {
            return Place::Duplicate;
        }
        self.stale += 1;
        if self.stale < STALE_LIMIT {
            return Place::Stale;
        }
        self.stale = 0;
        self.last = Some((at, at));
        Place::Ahead(1)
    }
}

/// Tells an outage that was recorded as zero from a value of zero.
///
/// A series whose values were never near zero does not fall to exactly zero by itself. The first
/// zeros are therefore held to be missing, for as long as an outage may last; longer, and they are
/// the truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outage {
    seen: u32,
    usual: f32,
    /// The smallest value of late.
    least: f32,
    run: u16,
    episodes: u8,
}

/// It takes so many values to know what is usual.
const ACQUAINTED: u32 = 30;
/// Near zero is below this share of the usual.
const NEAR: f32 = 0.25;
/// An outage is no longer than so many steps.
const LONGEST_OUTAGE: u16 = 12;
/// A series that falls to zero so often has zero among its values.
const EPISODES: u8 = 3;

impl Outage {
    /// As if every value had been `by` times what it was.
    pub(crate) fn scale(&mut self, by: f32) {
        self.usual *= by;
        self.least *= by;
    }

    pub(crate) fn check(&self) -> Checked {
        check::values("outage.usual", &[self.usual])?;
        check::values("outage.least", &[self.least])?;
        ensure("outage.run", self.run <= LONGEST_OUTAGE)?;
        ensure("outage.episodes", self.episodes <= EPISODES)
    }

    /// Whether `value` is suspected to be none.
    pub(crate) fn suspects(&mut self, value: f64) -> bool {
        let zero = value == 0.0;
        let foreign = self.seen >= ACQUAINTED && self.least > NEAR * self.usual && self.usual > 0.0;
        if zero && foreign && self.run < LONGEST_OUTAGE && self.episodes < EPISODES {
            self.episodes += u8::from(self.run == 0);
            self.run += 1;
            return true;
        }
        if self.run >= LONGEST_OUTAGE {
            self.episodes = EPISODES;
        }
        self.run = 0;
        let value = value as f32;
        self.seen = self.seen.saturating_add(1);
        let rate = share(self.seen, 0.01);
        self.usual += rate * (value - self.usual);
        if self.seen == 1 || value < self.least {
            self.least = value;
        } else {
            self.least += 0.0001 * (value - self.least);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn places(interval_ms: u64, at_ms: &[u64]) -> Vec<Place> {
        let mut grid = Grid::new(Duration::from_millis(interval_ms));
        at_ms.iter().map(|at| grid.place(Timestamp::from_nanos(at * 1_000_000))).collect()
    }

    #[test]
    fn jitter_and_gaps_are_steps() {
        use Place::{Ahead, Duplicate, Stale};
        assert_eq!(
            places(100, &[0, 98, 205, 210, 500, 400, 600]),
            [Ahead(1), Ahead(1), Ahead(1), Duplicate, Ahead(3), Stale, Ahead(1)]
        );
    }

    #[test]
    fn an_offset_of_half_a_step_does_not_flip() {
        let at: Vec<u64> =
            (0..100).map(|k| if k == 0 { 0 } else { k * 100 + 49 + k % 3 }).collect();
        let skipped = places(100, &at).iter().filter(|p| **p != Place::Ahead(1)).count();
        assert!(skipped <= 2, "{skipped}");
    }

    #[test]
    fn a_clock_that_was_set_back_is_followed_in_the_end() {
        let mut at = vec![1_000_000];
        at.extend((0..40).map(|k| k * 100));
        let places = places(100, &at);
        assert_eq!(places[1..16], [Place::Stale; 15]);
        assert!(places[16..].iter().all(|place| *place == Place::Ahead(1)));
    }

    #[test]
    fn zeros_amid_high_values_are_an_outage_until_they_last() {
        let mut outage = Outage::default();
        assert!((0..50).all(|step| !outage.suspects(f64::from(100 + step % 10))));
        assert_eq!((0..40).filter(|_| outage.suspects(0.0)).count(), 12);
        assert!(!outage.suspects(0.0), "zero is a value of this series now");
        let mut sparse = Outage::default();
        assert!((0..200).all(|step| !sparse.suspects(f64::from(step % 3))));
    }
}
