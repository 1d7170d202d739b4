//! Which models stay resident when another one needs their room.
//!
//! The same question as a cache's, with entries of unequal size and unequal cost of return, and
//! with some that may not go: pinned ones, busy ones, those that have only just come (without a
//! minimum of residence two models that do not fit together push each other out for ever), and
//! those used so recently that keeping them has not yet cost as much as their return would. Models
//! may come and go in groups, or exclude each other: see [`Groups`].

mod groups;
mod units;

use std::cmp::Ordering;
use std::time::Duration;

use plimsoll_core_types::{GiveUp, ModelId, Ratio, ResourceVector};
use serde::{Deserialize, Serialize};

pub use groups::{Group, GroupError, GroupKind, Groups};
pub use units::choose_victims_for;

/// A resident model that may have to give way.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Which.
    pub model: ModelId,
    /// What giving it up frees and costs; the ranking.
    pub give_up: GiveUp,
    /// All that it frees. What counts against the need is this, in every dimension.
    pub amount: ResourceVector,
    /// It must stay whatever it costs.
    pub pinned: bool,
    /// It is serving somebody.
    pub busy: bool,
    /// For how long it has been resident.
    pub resident_for: Duration,
    /// For how long nobody has used it.
    pub idle_for: Duration,
}

/// When a model may be made to go.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResidencyConfig {
    /// How long a model stays at the least; default 10 s. More avoids thrashing, less lets a
    /// newcomer in sooner.
    pub min_residence: Duration,
    /// For which share of the time that its return costs a model stays after it was used; default
    /// 100%. Zero lets a model go as soon as it is idle: it then often returns within its session.
    ///
    /// Source: the break-even rule of ski rental. Who gives up at the moment when keeping has cost
    /// as much as returning pays at most twice what a clairvoyant would (Karlin, Manasse, Rudolph,
    /// Sleator, *Competitive Snoopy Caching*, Algorithmica 1988).
    pub break_even: Ratio,
}

impl Default for ResidencyConfig {
    fn default() -> Self {
        Self { min_residence: Duration::from_secs(10), break_even: Ratio::ONE }
    }
}

impl ResidencyConfig {
    /// Lets every model go that is neither pinned nor busy; for who can't wait.
    pub const AT_ONCE: Self = Self { min_residence: Duration::ZERO, break_even: Ratio::ZERO };
}

/// The models to give up so that at least `needed` (what is lacking now) comes free, the best to
/// give up first; none where all that may go is not enough. Nothing is chosen where nothing is
/// needed.
///
/// Candidates are taken in the order of [`GiveUp::compare`] until they free enough; then those
/// that turn out unnecessary are kept after all, the dearest first. One candidate that does
/// alone, for less than the set costs, is preferred to the set.
///
/// Source: the greedy heuristics for the minimization knapsack problem in Csirik et al.,
/// *Heuristics for the 0-1 min-knapsack problem* (Acta Cybernetica 1991), with several dimensions.
///
/// ```
/// use std::time::Duration;
/// use plimsoll_cache::residency::{Candidate, ResidencyConfig, choose_victims};
/// use plimsoll_core_types::{Bytes, GiveUp, ModelId, Ratio, ResourceVector};
///
/// let resident = |name: &str, mib, need| -> Result<Candidate, Box<dyn std::error::Error>> {
///     let bytes = Bytes::from_mib(mib);
///     let cost = Duration::ZERO;
///     let give_up =
///         GiveUp { bytes, cost, need: Ratio::new(need)?, return_cost: Duration::from_secs(4) };
///     let amount = ResourceVector::new().with_memory(bytes);
///     let resident_for = Duration::from_mins(1);
///     let model = ModelId::new(name)?;
///     let idle_for = resident_for;
///     Ok(Candidate { model, give_up, amount, pinned: false, busy: false, resident_for, idle_for })
/// };
/// let models = [resident("chat", 800, 0.9)?, resident("ocr", 400, 0.1)?];
/// let lacking = ResourceVector::new().with_memory(Bytes::from_mib(300));
/// let victims = choose_victims(&models, &lacking, &ResidencyConfig::default());
/// assert_eq!(victims, Some(vec![ModelId::new("ocr")?]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn choose_victims(
    candidates: &[Candidate],
    needed: &ResourceVector,
    config: &ResidencyConfig,
) -> Option<Vec<ModelId>> {
    let chosen = choose(candidates, needed, config)?;
    Some(chosen.into_iter().map(|candidate| candidate.model.clone()).collect())
}

fn choose<'a>(
    candidates: &'a [Candidate],
    needed: &ResourceVector,
    config: &ResidencyConfig,
) -> Option<Vec<&'a Candidate>> {
    let mut eligible: Vec<&Candidate> =
        candidates.iter().filter(|candidate| may_go(candidate, config)).collect();
    eligible.sort_by(|a, b| a.give_up.compare(&b.give_up).then_with(|| a.model.cmp(&b.model)));
    let taken = without_unnecessary(take_until_enough(&eligible, needed)?, needed);
    let alone = eligible
        .iter()
        .filter(|candidate| needed.fits_in(&candidate.amount))
        .min_by(|a, b| by_cost(a, b))
        .filter(|alone| cost(alone) < taken.iter().map(|candidate| cost(candidate)).sum());
    Some(alone.map_or(taken, |alone| vec![*alone]))
}

/// True where `candidate` may be made to go at all.
pub fn may_go(candidate: &Candidate, config: &ResidencyConfig) -> bool {
    !candidate.pinned
        && !candidate.busy
        && candidate.resident_for >= config.min_residence
        && candidate.idle_for.as_secs_f64()
            >= candidate.give_up.return_cost.as_secs_f64() * config.break_even.get()
}

fn take_until_enough<'a>(
    eligible: &[&'a Candidate],
    needed: &ResourceVector,
) -> Option<Vec<&'a Candidate>> {
    let mut taken = Vec::new();
    let mut lacking = *needed;
    for candidate in eligible {
        if lacking.is_zero() {
            break;
        }
        if !candidate.amount.min(&lacking).is_zero() {
            lacking = lacking.saturating_sub(&candidate.amount);
            taken.push(*candidate);
        }
    }
    lacking.is_zero().then_some(taken)
}

fn without_unnecessary<'a>(
    mut taken: Vec<&'a Candidate>,
    needed: &ResourceVector,
) -> Vec<&'a Candidate> {
    let mut dearest_first = taken.clone();
    dearest_first.sort_by(|a, b| by_cost(b, a));
    for spared in dearest_first {
        let rest = taken.iter().filter(|candidate| candidate.model != spared.model);
        let freed = rest.fold(ResourceVector::ZERO, |sum, one| sum.saturating_add(&one.amount));
        if needed.fits_in(&freed) {
            taken.retain(|candidate| candidate.model != spared.model);
        }
    }
    taken
}

/// Seconds that giving it up is expected to cost.
fn cost(candidate: &Candidate) -> f64 {
    let give_up = &candidate.give_up;
    let later = give_up.need.min_one().get() * give_up.return_cost.as_secs_f64();
    give_up.cost.as_secs_f64() + later
}

fn by_cost(a: &Candidate, b: &Candidate) -> Ordering {
    cost(a).total_cmp(&cost(b)).then_with(|| a.model.cmp(&b.model))
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_core_types::Bytes;
    use proptest::prelude::*;

    fn model(name: &str, mib: u64, need: f64, seconds: u64) -> Candidate {
        let bytes = Bytes::from_mib(mib);
        Candidate {
            model: ModelId::new(name).unwrap(),
            give_up: GiveUp {
                bytes,
                cost: Duration::ZERO,
                need: Ratio::new(need).unwrap(),
                return_cost: Duration::from_secs(seconds),
            },
            amount: ResourceVector::new().with_memory(bytes),
            pinned: false,
            busy: false,
            resident_for: Duration::from_mins(2),
            idle_for: Duration::from_mins(2),
        }
    }

    fn mib(mib: u64) -> ResourceVector {
        ResourceVector::new().with_memory(Bytes::from_mib(mib))
    }

    fn check(candidates: &[Candidate], needed: u64, expected: Option<&[&str]>) {
        let victims = choose_victims(candidates, &mib(needed), &ResidencyConfig::default());
        let names = victims.as_ref().map(|v| v.iter().map(ModelId::as_str).collect::<Vec<_>>());
        assert_eq!(names.as_deref(), expected);
    }

    #[test]
    fn takes_in_order_and_spares_the_unnecessary() {
        let idle = model("idle", 100, 0.01, 5);
        let tiny = model("tiny", 10, 0.001, 1);
        let hot = model("hot", 500, 0.9, 20);
        let all = [hot, tiny, idle];
        check(&all, 0, Some(&[]));
        check(&all, 5, Some(&["tiny"]));
        check(&all, 50, Some(&["idle"]));
        check(&all, 105, Some(&["tiny", "idle"]));
        check(&all, 400, Some(&["hot"]));
        check(&all, 610, Some(&["tiny", "idle", "hot"]));
        check(&all, 611, None);
    }

    #[test]
    fn one_that_does_alone_is_preferred_to_a_dearer_set() {
        let parts: Vec<_> = (0..4).map(|n| model(&format!("part-{n}"), 100, 0.5, 10)).collect();
        let whole = model("whole", 390, 0.5, 39);
        let mut all = parts;
        all.push(whole);
        check(&all, 390, Some(&["whole"]));
    }

    #[test]
    fn pinned_busy_and_new_ones_stay() {
        let pinned = Candidate { pinned: true, ..model("pinned", 100, 0.0, 1) };
        let busy = Candidate { busy: true, ..model("busy", 100, 0.0, 1) };
        let fresh =
            Candidate { resident_for: Duration::from_secs(9), ..model("fresh", 100, 0.0, 1) };
        // Its return costs more than keeping it has since it was used.
        let warm = Candidate { idle_for: Duration::from_secs(9), ..model("warm", 100, 0.0, 10) };
        let old = model("old", 100, 1.0, 100);
        let all = [pinned, busy, fresh, warm, old];
        check(&all, 50, Some(&["old"]));
        check(&all, 150, None);
        let at_once = choose_victims(&all, &mib(250), &ResidencyConfig::AT_ONCE).unwrap();
        assert_eq!(
            at_once.iter().map(ModelId::as_str).collect::<Vec<_>>(),
            ["fresh", "warm", "old"]
        );
    }

    #[test]
    fn what_does_not_help_where_it_lacks_is_left_alone() {
        let big = model("big", 1000, 0.0, 1);
        let mut gpu = model("gpu", 10, 0.9, 50);
        let device = plimsoll_core_types::DeviceIndex::new(0).unwrap();
        gpu.amount = gpu.amount.with_accelerator(device, Bytes::from_gib(8));
        let needed = ResourceVector::new().with_accelerator(device, Bytes::from_gib(4));
        let victims = choose_victims(&[big, gpu], &needed, &ResidencyConfig::default());
        assert_eq!(victims, Some(vec![ModelId::new("gpu").unwrap()]));
    }

    proptest! {
        #[test]
        fn frees_enough_with_nobody_unnecessary(
            models in prop::collection::vec((1..100_u64, 0..100_u32, 0..50_u64, any::<bool>()), 0..10),
            needed in 0..400_u64,
        ) {
            let candidates: Vec<_> = models.iter().enumerate().map(|(n, (size, need, secs, pinned))| {
                let need = f64::from(*need) / 100.0;
                Candidate { pinned: *pinned, ..model(&format!("m{n}"), *size, need, *secs) }
            }).collect();
            let size = |name: &ModelId| {
                let found = candidates.iter().find(|candidate| candidate.model == *name);
                found.map_or(0, |candidate| candidate.amount.memory().get() >> 20)
            };
            let free: u64 = candidates.iter().filter(|c| !c.pinned).map(|c| size(&c.model)).sum();
            match choose_victims(&candidates, &mib(needed), &ResidencyConfig::default()) {
                None => prop_assert!(free < needed),
                Some(victims) => {
                    let freed: u64 = victims.iter().map(size).sum();
                    prop_assert!(freed >= needed);
                    prop_assert!(victims.iter().all(|victim| freed - size(victim) < needed));
                }
            }
        }
    }
}
