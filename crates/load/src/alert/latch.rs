//! A condition with hysteresis: it is up at once, and down only after it was clearly gone for a
//! while.

use std::time::Duration;

use plimsoll_core_types::Timestamp;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Latch {
    up_since: Option<Timestamp>,
    clear_since: Option<Timestamp>,
}

impl Latch {
    /// Whether it is up, and since when, now that the condition holds or is clear. What is neither
    /// leaves it as it is.
    pub(crate) fn step(
        &mut self,
        holds: bool,
        clear: bool,
        hold: Duration,
        now: Timestamp,
    ) -> Option<Timestamp> {
        if holds {
            self.clear_since = None;
            self.up_since.get_or_insert(now);
        } else if clear {
            let since = *self.clear_since.get_or_insert(now);
            if now.saturating_since(since) >= hold {
                *self = Self::default();
            }
        } else {
            self.clear_since = None;
        }
        self.up_since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_at_once_and_goes_after_it_was_clear_all_the_time() {
        let mut latch = Latch::default();
        let mut check = |second: u64, holds, clear, up: Option<u64>| {
            let at = |second: u64| Timestamp::from_nanos(second * 1_000_000_000);
            let got = latch.step(holds, clear, Duration::from_secs(10), at(second));
            assert_eq!(got, up.map(at), "{second}");
        };
        check(0, false, true, None);
        check(1, true, false, Some(1));
        check(2, false, true, Some(1));
        check(9, false, false, Some(1));
        check(11, false, true, Some(1));
        check(20, false, true, Some(1));
        check(21, false, true, None);
        check(22, false, false, None);
    }
}
