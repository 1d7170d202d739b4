//! Who must go for a newcomer, where models come and go in groups.

use std::collections::HashMap;

use plimsoll_core_types::{ModelId, Ratio, ResourceVector};

use super::{Candidate, Groups, ResidencyConfig, choose, may_go};

/// As [`choose_victims`](super::choose_victims), for the load of `newcomer` (and of all that are
/// loaded with it) where models belong to `groups`.
///
/// Groups that are kept together go whole or not at all, and what may not be resident beside the
/// newcomer goes in any case, whatever is `needed`; none where that may not go. The newcomer's own
/// companions stay.
///
/// ```
/// use std::time::Duration;
/// use plimsoll_cache::residency::{
///     Candidate, Group, GroupKind, Groups, ResidencyConfig, choose_victims_for,
/// };
/// use plimsoll_core_types::{Bytes, GiveUp, ModelId, Ratio, ResourceVector};
///
/// let id = |name: &str| ModelId::new(name);
/// let resident = |name: &str, need| -> Result<Candidate, Box<dyn std::error::Error>> {
///     let bytes = Bytes::from_mib(400);
///     let return_cost = Duration::from_secs(4);
///     let give_up = GiveUp { bytes, cost: Duration::ZERO, need: Ratio::new(need)?, return_cost };
///     Ok(Candidate {
///         model: id(name)?,
///         give_up,
///         amount: ResourceVector::new().with_memory(bytes),
///         pinned: false,
///         busy: false,
///         resident_for: Duration::from_mins(1),
///         idle_for: Duration::from_mins(1),
///     })
/// };
/// let kind = GroupKind::OneOf;
/// let groups = Groups::new(vec![Group { kind, members: vec![id("chat-q4")?, id("chat-q8")?] }])?;
/// let models = [resident("chat-q4", 0.9)?, resident("ocr", 0.1)?];
/// let lacking = ResourceVector::new().with_memory(Bytes::from_mib(300));
/// let config = ResidencyConfig::default();
/// let victims = choose_victims_for(&id("chat-q8")?, &models, &lacking, &groups, &config);
/// assert_eq!(victims, Some(vec![id("chat-q4")?]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn choose_victims_for(
    newcomer: &ModelId,
    candidates: &[Candidate],
    needed: &ResourceVector,
    groups: &Groups,
    config: &ResidencyConfig,
) -> Option<Vec<ModelId>> {
    let party = groups.loaded_with(newcomer);
    let others = candidates.iter().filter(|candidate| !party.contains(&candidate.model));
    let excluded = |unit: &Unit<'_>| {
        unit.members.iter().any(|model| party.iter().any(|own| groups.exclude(own, model)))
    };
    let (must, may): (Vec<_>, Vec<_>) = merge(groups, others).into_iter().partition(excluded);
    if !must.iter().all(|unit| may_go(&unit.whole, config)) {
        return None;
    }
    let lacking = must.iter().fold(*needed, |sum, unit| sum.saturating_sub(&unit.whole.amount));
    let wholes: Vec<Candidate> = may.iter().map(|unit| unit.whole.clone()).collect();
    let chosen = choose(&wholes, &lacking, config)?;
    let chosen = chosen.into_iter().flat_map(|whole| {
        let unit = may.iter().find(|unit| unit.whole.model == whole.model);
        unit.into_iter().flat_map(|unit| &unit.members)
    });
    Some(must.iter().flat_map(|unit| &unit.members).chain(chosen).map(|m| (*m).clone()).collect())
}

/// What can only go as a whole; named for its first member.
struct Unit<'a> {
    whole: Candidate,
    members: Vec<&'a ModelId>,
}

impl<'a> Unit<'a> {
    fn add(&mut self, member: &'a Candidate) {
        let (whole, more) = (&mut self.whole.give_up, &member.give_up);
        let neither =
            whole.need.min_one().complement().get() * more.need.min_one().complement().get();
        whole.bytes = whole.bytes.saturating_add(more.bytes);
        whole.cost = whole.cost.saturating_add(more.cost);
        whole.return_cost = whole.return_cost.saturating_add(more.return_cost);
        whole.need = Ratio::saturating(1.0 - neither);
        self.whole.amount = self.whole.amount.saturating_add(&member.amount);
        self.whole.pinned |= member.pinned;
        self.whole.busy |= member.busy;
        self.whole.resident_for = self.whole.resident_for.min(member.resident_for);
        self.whole.idle_for = self.whole.idle_for.min(member.idle_for);
        self.members.push(&member.model);
    }
}

/// Each model or whole group of models as one candidate: it frees and costs what all do
/// together, returns when any of them is needed, and stays where any of them must.
fn merge<'a>(groups: &Groups, candidates: impl Iterator<Item = &'a Candidate>) -> Vec<Unit<'a>> {
    let mut units: Vec<Unit<'a>> = Vec::new();
    let mut known: HashMap<usize, usize> = HashMap::new();
    for candidate in candidates {
        let group = groups.whole_of(&candidate.model);
        if let Some(unit) = group.and_then(|group| known.get(&group)) {
            units[*unit].add(candidate);
            continue;
        }
        known.extend(group.map(|group| (group, units.len())));
        units.push(Unit { whole: candidate.clone(), members: vec![&candidate.model] });
    }
    units
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use plimsoll_core_types::{Bytes, GiveUp};
    use proptest::prelude::*;

    use super::super::groups::tests::{groups, id};
    use super::super::{Group, GroupKind};
    use super::*;
    use GroupKind::{OneOf, Together};

    fn model(name: &str, mib: u64, need: f64) -> Candidate {
        let bytes = Bytes::from_mib(mib);
        let (cost, return_cost) = (Duration::ZERO, Duration::from_secs(10));
        Candidate {
            model: id(name),
            give_up: GiveUp { bytes, cost, need: Ratio::new(need).unwrap(), return_cost },
            amount: ResourceVector::new().with_memory(bytes),
            pinned: false,
            busy: false,
            resident_for: Duration::from_mins(1),
            idle_for: Duration::from_mins(1),
        }
    }

    #[test]
    fn a_group_goes_whole_and_what_excludes_the_newcomer_goes_in_any_case() {
        let groups = groups(&[
            (Together, &["target", "draft"]),
            (Together, &["new", "new-draft"]),
            (OneOf, &["q4", "q8", "new-draft"]),
        ]);
        let groups = groups.unwrap();
        let resident = [
            model("target", 400, 0.1),
            model("draft", 20, 0.0),
            model("other", 400, 0.5),
            model("q4", 50, 1.0),
            model("new-draft", 10, 0.0),
        ];
        let check = |newcomer: &str, needed, expected: Option<&[&str]>| {
            let needed = ResourceVector::new().with_memory(Bytes::from_mib(needed));
            let config = ResidencyConfig::default();
            let victims = choose_victims_for(&id(newcomer), &resident, &needed, &groups, &config);
            let names = victims.as_ref().map(|all| all.iter().map(ModelId::as_str).collect());
            assert_eq!(names, expected.map(<[&str]>::to_vec), "{newcomer}");
        };
        check("plain", 5, Some(&["new-draft"]));
        // The draft alone would do, were its target of any use without it.
        check("plain", 15, Some(&["target", "draft"]));
        check("plain", 405, Some(&["target", "draft"]));
        check("q8", 0, Some(&["q4", "new-draft"]));
        check("q8", 70, Some(&["q4", "new-draft", "target", "draft"]));
        check("new", 15, Some(&["q4"]));
        check("new", 60, Some(&["q4", "target", "draft"]));
        check("new", 1000, None);
        let pinned = [Candidate { pinned: true, ..model("q4", 50, 0.0) }];
        let config = ResidencyConfig::AT_ONCE;
        let none = ResourceVector::ZERO;
        assert_eq!(choose_victims_for(&id("q8"), &pinned, &none, &groups, &config), None);
        assert_eq!(choose_victims_for(&id("x"), &pinned, &none, &groups, &config), Some(vec![]));
    }

    proptest! {
        #[test]
        fn groups_stay_whole_and_nothing_excluded_stays(
            models in prop::collection::vec((1..100_u64, 0..100_u32, any::<bool>()), 1..12),
            whole in 2..5_usize,
            exclusive in 2..5_usize,
            needed in 0..400_u64,
        ) {
            // Every `whole` models belong together; then every so manieth excludes each other.
            let name = |at: usize| format!("m{at}");
            let count = models.len() + 1;
            let together = (0..count).step_by(whole).map(|from| Group {
                kind: Together,
                members: (from..count.min(from + whole)).map(|at| id(&name(at))).collect(),
            });
            let apart = (0..count).step_by(whole * exclusive).map(|from| Group {
                kind: OneOf,
                members: (from..count.min(from + whole * exclusive))
                    .step_by(whole).map(|at| id(&name(at))).collect(),
            });
            let all = together.chain(apart).filter(|group| group.members.len() > 1).collect();
            let groups = Groups::new(all).unwrap();
            let candidates: Vec<_> = models.iter().enumerate().map(|(at, (size, need, pinned))| {
                let need = f64::from(*need) / 100.0;
                Candidate { pinned: *pinned, ..model(&name(at), *size, need) }
            }).collect();
            let newcomer = id(&name(models.len()));
            let party = groups.loaded_with(&newcomer);
            let needed = ResourceVector::new().with_memory(Bytes::from_mib(needed));
            let config = ResidencyConfig::default();
            let victims = choose_victims_for(&newcomer, &candidates, &needed, &groups, &config);
            let Some(victims) = victims else { return Ok(()) };
            let gone: BTreeSet<&ModelId> = victims.iter().collect();
            prop_assert_eq!(gone.len(), victims.len());
            let mut freed = ResourceVector::ZERO;
            for candidate in &candidates {
                if gone.contains(&candidate.model) {
                    freed = freed.saturating_add(&candidate.amount);
                    prop_assert!(!candidate.pinned && !party.contains(&candidate.model));
                    let companions = candidates.iter()
                        .filter(|other| groups.loaded_with(&candidate.model).contains(&other.model));
                    for companion in companions {
                        prop_assert!(gone.contains(&companion.model));
                    }
                } else {
                    for own in party {
                        prop_assert!(!groups.exclude(own, &candidate.model));
                    }
                }
            }
            prop_assert!(needed.fits_in(&freed));
        }
    }
}
