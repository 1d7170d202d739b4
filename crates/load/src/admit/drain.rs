//! How fast a line drains, which is what a Retry-After is computed from.

use std::time::Duration;

use plimsoll_core_types::Timestamp;

/// How much of the mean one more gap makes.
const FOLLOWS: f64 = 1.0 / 32.0;

/// The mean time between two grants out of a line that is never empty in between.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Drain {
    last: Option<Timestamp>,
    /// Nanoseconds; none before two grants were seen.
    gap: Option<f64>,
    seen: u32,
}

impl Drain {
    /// Somebody was let out of the line.
    pub(super) fn granted(&mut self, now: Timestamp) {
        if let Some(last) = self.last {
            let gap = now.saturating_since(last).as_nanos() as f64;
            self.seen = self.seen.saturating_add(1);
            // The plain mean at first, or one early gap would weigh too much.
            let follows = FOLLOWS.max(1.0 / f64::from(self.seen));
            self.gap = Some(self.gap.map_or(gap, |mean| mean + (gap - mean) * follows));
        }
        self.last = Some(now);
    }

    /// The line is empty: the time until the next grant says nothing about it.
    pub(super) fn idle(&mut self) {
        self.last = None;
    }

    /// How long `count` grants take; none before it was measured.
    pub(super) fn time_for(&self, count: usize) -> Option<Duration> {
        self.gap.map(|gap| Duration::from_nanos((gap * count as f64) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn only_gaps_within_a_line_count() {
        let mut drain = Drain::default();
        assert_eq!(drain.time_for(3), None);
        drain.granted(at(0));
        drain.granted(at(10));
        drain.idle();
        drain.granted(at(5000));
        drain.granted(at(5010));
        assert_eq!(drain.time_for(3), Some(Duration::from_millis(30)));
    }
}
