//! How many different keys were asked for since a time.
//!
//! Source: Whang, Vander-Zanden, Taylor, *A Linear-Time Probabilistic Counting Algorithm for
//! Database Applications* (ACM TODS 1990), with the time of the last access in the place of a bit,
//! so that one table answers for every time.

/// Slots, into one of which each key falls.
const SLOTS: usize = 4096;

/// Up to so many keys the count is right to about a hundredth.
pub(super) const FEW: f64 = 2.0 * SLOTS as f64;

/// With more keys than this hardly a slot is left that none of them fell into.
pub(super) const MANY: f64 = 4.0 * SLOTS as f64;

/// When each slot was last touched, in 32 bits that wrap: 16 KiB in all, and the processor compares
/// several at once.
#[derive(Clone, Debug)]
pub(super) struct Recent(Vec<u32>);

impl Recent {
    pub(super) fn new() -> Self {
        Self(vec![0; SLOTS])
    }

    /// Notes an access at `time`, which is above zero and never falls.
    #[inline]
    pub(super) fn note(&mut self, hash: u64, time: u64) {
        self.0[hash as usize % SLOTS] = time as u32;
    }

    /// How many different keys were asked for after `time`, until `now`, about; none where they are
    /// too many to be told.
    pub(super) fn keys_since(&self, time: u64, now: u64) -> Option<f64> {
        if now - time > u64::from(u32::MAX / 2) {
            return None;
        }
        let touched = |last: &u32| i32::from(last.wrapping_sub(time as u32).cast_signed() > 0);
        let touched: i32 = self.0.iter().map(touched).sum();
        let (slots, untouched) = (SLOTS as f64, SLOTS as f64 - f64::from(touched));
        (untouched > 0.0).then(|| slots * (slots / untouched).ln())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::mix;

    #[test]
    fn different_keys_are_counted_since_any_time() {
        let mut recent = Recent::new();
        // The key of each even time is new, that of each odd time is the same.
        let key = |time: u64| mix(if time.is_multiple_of(2) { time } else { 1 });
        (1..=40_000_u64).for_each(|time| recent.note(key(time), time));
        for back in [10, 100, 1000, 4000, 10_000, 16_000] {
            let keys = recent.keys_since(40_000 - back, 40_000).unwrap();
            let exactly = back as f64 / 2.0 + 1.0;
            assert!((keys / exactly - 1.0).abs() < 0.05, "{back}: {keys}");
        }
        assert_eq!(recent.keys_since(40_000, 40_000), Some(0.0));
    }

    #[test]
    fn too_many_to_be_told_are_not() {
        let mut recent = Recent::new();
        (1..=80_000_u64).for_each(|time| recent.note(mix(time), time));
        assert_eq!(recent.keys_since(0, 80_000), None);
    }
}
