//! Whether a change did good: beside the setting that was left, over the same look-ups.

use plimsoll_core_types::{AccessSample, CachePolicy, Reason};

use crate::mini::Trial;
use crate::tap::Live;

/// Look-ups over which a change is judged.
pub(super) const JUDGED: usize = 4096;

/// Analyses that change nothing after a change was undone.
const COOL_DOWN: u32 = 8;

/// One-sided 95%.
const SPREADS: f64 = 1.645;

/// The setting that was left, until the one in force is judged.
#[derive(Debug, Default)]
pub(super) struct Watch {
    before: Option<(CachePolicy, u64)>,
    cool: u32,
}

/// What the look-ups since a change say.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// There is no change to judge, or it stands.
    Free,
    /// Nothing may be changed now.
    Wait,
    /// The setting before was better.
    Undo { policy: CachePolicy, capacity: u64, without: f64, with: f64 },
}

impl Watch {
    pub(super) fn changed(&mut self, before: (CachePolicy, u64), why: &Reason) {
        match why {
            Reason::Worse { .. } => *self = Self { before: None, cool: COOL_DOWN },
            // What somebody asked for is theirs to judge.
            Reason::Requested => self.before = None,
            _ => self.before = Some(before),
        }
    }

    /// Judges the change under way by what the live cache hit since, and by what a miniature of the
    /// setting before makes of the same look-ups, the last of `sample`.
    pub(super) fn judge(&mut self, sample: &AccessSample, live: Live, least: f64) -> Verdict {
        if self.cool > 0 {
            self.cool -= 1;
            return Verdict::Wait;
        }
        let Some((policy, capacity)) = self.before else { return Verdict::Free };
        let seen = live.lookups.min(sample.accesses.len() * 3 / 4);
        if live.lookups < JUDGED || seen == 0 {
            return Verdict::Wait;
        }
        let without = Trial::last(policy, capacity, sample, seen);
        let with = live.hits as f64 / live.lookups as f64;
        let spread = SPREADS * (without * (1.0 - without) / seen as f64).sqrt();
        self.before = None;
        if without - with <= least + spread {
            return Verdict::Free;
        }
        Verdict::Undo { policy, capacity, without, with }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::mix;
    use plimsoll_core_types::{AccessRecord, Ratio};

    fn rounds(keys: u64) -> AccessSample {
        let record = |at| AccessRecord { key_hash: mix(at % keys), weight: 1 };
        AccessSample { rate: Ratio::ONE, accesses: (0..9000).map(record).collect() }
    }

    #[test]
    fn harm_is_undone_once_and_then_nothing_changes_for_a_while() {
        let mut watch = Watch::default();
        let better = Reason::Better { what: String::new(), current: 0.0, candidate: 1.0 };
        watch.changed((CachePolicy::TinyLfu, 100), &better);
        let none = Live { hits: 0, lookups: JUDGED - 1 };
        assert_eq!(watch.judge(&rounds(150), none, 0.005), Verdict::Wait);
        let bad = Live { hits: 10, lookups: JUDGED };
        let Verdict::Undo { policy, capacity, without, with } =
            watch.judge(&rounds(150), bad, 0.005)
        else {
            panic!("a loop that fits two thirds is hit by more than a hundredth");
        };
        assert_eq!((policy, capacity), (CachePolicy::TinyLfu, 100));
        assert!(without > 0.5 && with < 0.01);
        let worse = Reason::Worse { what: String::new(), without, with };
        watch.changed((CachePolicy::Lru, 100), &worse);
        for _ in 0..COOL_DOWN {
            assert_eq!(watch.judge(&rounds(150), bad, 0.005), Verdict::Wait);
        }
        assert_eq!(watch.judge(&rounds(150), bad, 0.005), Verdict::Free);
    }

    #[test]
    fn what_does_as_well_stands() {
        let mut watch = Watch::default();
        watch.changed((CachePolicy::Lru, 100), &Reason::Requested);
        let live = Live { hits: 0, lookups: JUDGED };
        assert_eq!(watch.judge(&rounds(150), live, 0.005), Verdict::Free);
        let as_good = Reason::AsGood { what: String::new(), current: 0.0 };
        watch.changed((CachePolicy::Lru, 100), &as_good);
        assert_eq!(watch.judge(&rounds(150), live, 0.005), Verdict::Free);
    }
}
