//! How many cores this process can count on: the least of what each rule leaves it.
//!
//! - **Affinity**: CPUs that it may run on at all.
//! - **Quota**: the tightest CPU quota of its own cgroup and every ancestor. A quota two levels up
//!   binds as much as one's own; runtimes that look only at their own group start 64 threads on
//!   four cores (golang/go#73193).
//! - **Contention**: where the host is short of CPU, a cgroup gets what its weight, against its
//!   siblings' at each level, guarantees it; or what the others leave, if that is more. A weight
//!   binds nobody while there are idle cores, so it counts only under pressure, with hysteresis.

use plimsoll_core_types::{Millicores, Ratio};
use serde::{Deserialize, Serialize};

/// How many cores this process can count on, and which rule says so.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effective {
    /// The cores that it can count on; at least a thousandth of one.
    pub cores: Millicores,
    /// Which rule is the tightest.
    pub limited_by: LimitedBy,
    /// CPUs that it may run on.
    pub affinity: Millicores,
    /// The tightest quota among its cgroup and all ancestors; none where none has one.
    pub quota: Option<Millicores>,
    /// What its weight guarantees it of the whole host; none while there is no pressure, or
    /// nobody to share with.
    pub guaranteed: Option<Millicores>,
    /// Share of the last ten seconds in which somebody in its cgroup (or on the host) waited for
    /// a core: PSI `some`. None where the kernel does not tell.
    pub pressure: Option<Ratio>,
    /// How often [`cores`](Self::cores) has changed since the start.
    pub revision: u64,
}

/// The rule that leaves the fewest cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LimitedBy {
    /// The CPUs that it may run on; on an unrestricted host, all there are.
    Affinity,
    /// A cgroup's quota.
    Quota {
        /// How many levels above its own group: 0 is its own.
        levels_up: u32,
    },
    /// Others on the host, against whom its weight counts.
    Contention,
}

/// What was measured of each rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Limits {
    pub(crate) affinity: Millicores,
    /// The tightest quota and its level above one's own group.
    pub(crate) quota: Option<(Millicores, u32)>,
    pub(crate) contention: Option<Contention>,
    pub(crate) pressure: Option<Ratio>,
}

/// How matters stand under pressure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Contention {
    /// The group's part of its parent's, times the parent's part of its own, and so on.
    pub(crate) share: Ratio,
    /// Cores that everybody outside the outermost group keeps busy.
    pub(crate) others: Millicores,
}

/// The least of all rules.
pub(crate) fn effective(limits: &Limits, revision: u64) -> Effective {
    let affinity = limits.affinity.max(Millicores::new(1));
    let mut least = (affinity, LimitedBy::Affinity);
    if let Some((quota, levels_up)) = limits.quota
        && quota < least.0
    {
        least = (quota, LimitedBy::Quota { levels_up });
    }
    let guaranteed = limits.contention.map(|contention| affinity.scaled(contention.share));
    if let (Some(guaranteed), Some(contention)) = (guaranteed, limits.contention) {
        let left = affinity.saturating_sub(contention.others);
        let attainable = guaranteed.max(left);
        if attainable < least.0 {
            least = (attainable.max(Millicores::new(1)), LimitedBy::Contention);
        }
    }
    Effective {
        cores: least.0,
        limited_by: least.1,
        affinity,
        quota: limits.quota.map(|(quota, _)| quota),
        guaranteed,
        pressure: limits.pressure,
        revision,
    }
}

/// Tells being under pressure from not being so, without flickering between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hysteresis {
    on: bool,
}

impl Hysteresis {
    /// On from `enter` upwards, off below `leave`, as it was in between.
    pub(crate) fn update(&mut self, value: Ratio, enter: Ratio, leave: Ratio) -> bool {
        if value >= enter {
            self.on = true;
        } else if value < leave {
            self.on = false;
        }
        self.on
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limits(affinity: u64, quota: Option<u64>, contention: Option<(f64, u64)>) -> Limits {
        Limits {
            affinity: Millicores::new(affinity),
            quota: quota.map(|quota| (Millicores::new(quota), 1)),
            contention: contention.map(|(share, others)| Contention {
                share: Ratio::saturating(share),
                others: Millicores::new(others),
            }),
            pressure: None,
        }
    }

    #[test]
    fn the_tightest_rule_wins() {
        let check = |limits: Limits, cores: u64, by: LimitedBy| {
            let effective = effective(&limits, 0);
            assert_eq!((effective.cores.get(), effective.limited_by), (cores, by), "{limits:?}");
        };
        check(limits(8000, None, None), 8000, LimitedBy::Affinity);
        check(limits(8000, Some(2500), None), 2500, LimitedBy::Quota { levels_up: 1 });
        check(limits(2000, Some(2500), None), 2000, LimitedBy::Affinity);
        // Half by weight, but the others leave more than half.
        check(limits(8000, None, Some((0.5, 2000))), 6000, LimitedBy::Contention);
        // The others would take all: the weight holds its half.
        check(limits(8000, None, Some((0.5, 8000))), 4000, LimitedBy::Contention);
        check(limits(8000, Some(3000), Some((0.5, 8000))), 3000, LimitedBy::Quota { levels_up: 1 });
        check(limits(0, None, None), 1, LimitedBy::Affinity);
    }

    #[test]
    fn pressure_does_not_flicker() {
        let ratio = |value| Ratio::new(value).unwrap();
        let mut hysteresis = Hysteresis::default();
        let states = [0.05, 0.1, 0.07, 0.05, 0.049, 0.09]
            .map(|value| hysteresis.update(ratio(value), ratio(0.1), ratio(0.05)));
        assert_eq!(states, [false, true, true, true, false, false]);
    }

    proptest! {
        #[test]
        fn never_above_any_limit(
            affinity in 1_u64..200_000,
            quota in prop::option::of(1_u64..200_000),
            contention in prop::option::of((0.0..1.0_f64, 0_u64..200_000)),
        ) {
            let effective = effective(&limits(affinity, quota, contention), 0);
            prop_assert!(effective.cores.get() >= 1 && effective.cores.get() <= affinity);
            prop_assert!(quota.is_none_or(|quota| effective.cores.get() <= quota));
            // Contention never takes what the weight guarantees.
            if effective.limited_by == LimitedBy::Contention {
                prop_assert!(effective.cores >= effective.guaranteed.unwrap());
            }
        }
    }
}
