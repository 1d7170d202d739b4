//! From trials to a strategy.

use plimsoll_core_types::{AccessSample, CachePolicy, Ratio, Reason};

use crate::mini::Trial;

/// What the advice is about, and within which bounds.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting<'a> {
    /// The policy in force.
    pub policy: CachePolicy,
    /// The capacity in force.
    pub capacity: u64,
    /// The least that it may be.
    pub least: u64,
    /// The most.
    pub most: u64,
    /// The policies to choose from.
    pub policies: &'a [CachePolicy],
    /// How much the hit ratio must rise to be worth a change, and may fall to save room.
    pub min_gain: f64,
}

/// The better setting, or the present one.
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    /// The policy to have.
    pub policy: CachePolicy,
    /// The capacity to have.
    pub capacity: u64,
    /// The hit ratio to expect of it.
    pub expected: Ratio,
    /// That of the present setting, over the same accesses.
    pub current: Ratio,
    /// Why.
    pub reason: Reason,
}

/// Fewer accesses than this say nothing.
const LEAST_ACCESSES: usize = 1000;

/// How many capacities between the least and the most are tried.
const CAPACITIES: u32 = 6;

/// A capacity must change by at least this factor to be worth a move.
const LEAST_STEP: f64 = 1.1;

/// The setting that the accesses speak for.
///
/// The smallest capacity that comes within `min_gain` of the hit ratio at the most there may be;
/// at that capacity the present policy, unless another is surely better and by at least
/// `min_gain`.
///
/// ```
/// use plimsoll_cache::{Setting, Tap, advise};
/// use plimsoll_core_types::CachePolicy;
///
/// // A cache of your own, LRU, with 1000 entries; a loop over 1500 keys.
/// let tap = Tap::new(1 << 16);
/// (0..30_000_u64).for_each(|at| tap.record(&(at % 1500)));
/// let setting = Setting {
///     policy: CachePolicy::Lru,
///     capacity: 1000,
///     least: 1000,
///     most: 1000,
///     policies: &[CachePolicy::Lru, CachePolicy::TinyLfu],
///     min_gain: 0.005,
/// };
/// let advice = advise(&setting, &tap.sample());
/// assert_eq!(advice.policy, CachePolicy::TinyLfu);
/// assert!(advice.expected.get() > advice.current.get() + 0.5);
/// ```
pub fn advise(setting: &Setting<'_>, sample: &AccessSample) -> Advice {
    let seen = sample.accesses.len();
    if seen < LEAST_ACCESSES {
        return setting.stay(0.0, Reason::TooFewSamples { seen, needed: LEAST_ACCESSES });
    }
    let trials = |capacity| -> Vec<Trial> {
        let policies = setting.policies.iter();
        policies.map(|policy| Trial::run(*policy, capacity, sample)).collect()
    };
    let grid: Vec<Vec<Trial>> = setting.capacities().into_iter().map(trials).collect();
    let current = grid
        .iter()
        .flatten()
        .find(|trial| trial.capacity == setting.capacity && trial.policy == setting.policy);
    let Some(current) = current else {
        return setting.stay(0.0, Reason::TooFewSamples { seen: 0, needed: LEAST_ACCESSES });
    };
    let most = grid.iter().flatten().map(Trial::hit_ratio).fold(0.0, f64::max);
    let enough = |trials: &&Vec<Trial>| {
        trials.iter().any(|trial| trial.hit_ratio() >= most - setting.min_gain)
    };
    let chosen = grid.iter().find(enough).filter(|trials| setting.is_worth_it(trials, current));
    let at_current = || grid.iter().find(|trials| trials[0].capacity == setting.capacity);
    let Some(row) = chosen.or_else(at_current) else {
        return setting.stay(current.hit_ratio(), as_good(current.hit_ratio()));
    };
    setting.conclude(row, current)
}

impl Setting<'_> {
    /// The capacities to try, ascending, with the present one among them.
    fn capacities(&self) -> Vec<u64> {
        let (least, most) = (self.least as f64, self.most as f64);
        let step = |n| least * (most / least).powf(f64::from(n) / f64::from(CAPACITIES));
        let between = (1..CAPACITIES).map(|n| step(n) as u64);
        let mut all: Vec<u64> = between.chain([self.least, self.most, self.capacity]).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Whether a capacity is far enough from the present one, and worth more where it is larger.
    fn is_worth_it(&self, trials: &[Trial], current: &Trial) -> bool {
        let Some(best) = best(trials) else { return false };
        let ratio = best.capacity as f64 / self.capacity as f64;
        if ratio > 1.0 {
            ratio >= LEAST_STEP && best.hit_ratio() - current.hit_ratio() >= self.min_gain
        } else {
            1.0 / ratio >= LEAST_STEP
        }
    }

    /// The policy for the capacity of `row`.
    fn conclude(&self, row: &[Trial], current: &Trial) -> Advice {
        let same = row.iter().find(|trial| trial.policy == self.policy).unwrap_or(current);
        let better = best(row).filter(|best| {
            best.sure_gain(same) > 0.0 && best.hit_ratio() - same.hit_ratio() >= self.min_gain
        });
        let chosen = better.unwrap_or(same);
        let (before, after) = (current.hit_ratio(), chosen.hit_ratio());
        let what = "hit ratio of the sampled keys".to_owned();
        let reason = if after > before {
            Reason::Better { what, current: before, candidate: after }
        } else {
            as_good(before)
        };
        Advice {
            policy: chosen.policy,
            capacity: chosen.capacity,
            expected: Ratio::saturating(after),
            current: Ratio::saturating(before),
            reason,
        }
    }

    fn stay(&self, current: f64, reason: Reason) -> Advice {
        let current = Ratio::saturating(current);
        Advice { policy: self.policy, capacity: self.capacity, expected: current, current, reason }
    }
}

fn best(trials: &[Trial]) -> Option<&Trial> {
    trials.iter().max_by(|a, b| a.hit_ratio().total_cmp(&b.hit_ratio()))
}

fn as_good(current: f64) -> Reason {
    Reason::AsGood { what: "hit ratio of the sampled keys".to_owned(), current }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::mix;
    use plimsoll_core_types::AccessRecord;

    const POLICIES: [CachePolicy; 2] = [CachePolicy::Lru, CachePolicy::TinyLfu];

    fn setting(policy: CachePolicy, capacity: u64, least: u64, most: u64) -> Setting<'static> {
        Setting { policy, capacity, least, most, policies: &POLICIES, min_gain: 0.005 }
    }

    fn rounds(keys: u64, accesses: u64) -> AccessSample {
        let record = |at| AccessRecord { key_hash: mix(at % keys), weight: 1 };
        AccessSample { rate: Ratio::ONE, accesses: (0..accesses).map(record).collect() }
    }

    #[test]
    fn a_loop_asks_for_another_policy() {
        let advice = advise(&setting(CachePolicy::Lru, 100, 100, 100), &rounds(150, 8000));
        assert_eq!((advice.policy, advice.capacity), (CachePolicy::TinyLfu, 100));
        assert!(advice.expected.get() > 0.5 && advice.current.get() < 0.01);
        assert!(matches!(advice.reason, Reason::Better { .. }));
    }

    #[test]
    fn what_needs_less_room_gets_less() {
        let advice = advise(&setting(CachePolicy::Lru, 1000, 100, 1000), &rounds(150, 8000));
        assert!((150..250).contains(&advice.capacity), "{}", advice.capacity);
        assert!(matches!(advice.reason, Reason::AsGood { .. }));
    }

    #[test]
    fn what_gains_by_more_room_gets_more() {
        let advice = advise(&setting(CachePolicy::Lru, 100, 100, 1000), &rounds(150, 8000));
        assert!((150..250).contains(&advice.capacity), "{}", advice.capacity);
        assert_eq!(advice.policy, CachePolicy::Lru);
    }

    #[test]
    fn too_little_says_nothing() {
        let advice = advise(&setting(CachePolicy::Lru, 100, 100, 100), &rounds(150, 999));
        assert_eq!(advice.policy, CachePolicy::Lru);
        assert_eq!(advice.reason, Reason::TooFewSamples { seen: 999, needed: 1000 });
    }
}
