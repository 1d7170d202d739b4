//! CPU time by task class.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_core_types::{Millicores, TaskClass, Timestamp};
use serde::{Deserialize, Serialize};

/// What one class has used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassUsage {
    /// Which class; none for all that came when there was no room for more classes.
    pub class: Option<TaskClass>,
    /// CPU time in all.
    pub cpu: Duration,
    /// Time in all that its tasks waited for a core.
    pub waited: Duration,
    /// Work done in all, in its consumers' own units.
    pub work: u64,
    /// Cores that it has kept busy of late.
    pub used: Millicores,
}

/// Adds CPU time up by class, and remembers how fast it grows. The number of classes is bounded;
/// nothing that is told is lost.
#[derive(Debug)]
pub(crate) struct UsageTable {
    most: usize,
    over: Duration,
    classes: BTreeMap<TaskClass, Row>,
    rest: Row,
}

#[derive(Clone, Copy, Debug, Default)]
struct Row {
    cpu: Duration,
    waited: Duration,
    work: u64,
    rate: DecayedRate,
}

/// CPU time per time, where older time counts less and less.
#[derive(Clone, Copy, Debug, Default)]
struct DecayedRate {
    at: Timestamp,
    /// The faded sum, in seconds.
    sum: f64,
}

impl DecayedRate {
    fn sum_at(self, now: Timestamp, over: Duration) -> f64 {
        let age = now.saturating_since(self.at).as_secs_f64();
        self.sum * (-age / over.as_secs_f64().max(1e-9)).exp()
    }

    fn add(&mut self, cpu: Duration, now: Timestamp, over: Duration) {
        self.sum = self.sum_at(now, over) + cpu.as_secs_f64();
        self.at = self.at.max(now);
    }

    /// A steady use of `r` cores has the faded sum `r · over`.
    fn cores(self, now: Timestamp, over: Duration) -> Millicores {
        let rate = self.sum_at(now, over) / over.as_secs_f64().max(1e-9);
        Millicores::from_f64((rate * 1000.0).round())
    }
}

impl UsageTable {
    pub(crate) fn new(most: usize, over: Duration) -> Self {
        Self { most, over, classes: BTreeMap::new(), rest: Row::default() }
    }

    pub(crate) fn add(
        &mut self,
        class: Option<&TaskClass>,
        cpu: Duration,
        waited: Duration,
        work: u64,
        now: Timestamp,
    ) {
        let has_room = self.classes.len() < self.most;
        let row = match class {
            Some(class) if has_room || self.classes.contains_key(class) => {
                self.classes.entry(class.clone()).or_default()
            }
            _ => &mut self.rest,
        };
        row.cpu = row.cpu.saturating_add(cpu);
        row.waited = row.waited.saturating_add(waited);
        row.work = row.work.saturating_add(work);
        row.rate.add(cpu, now, self.over);
    }

    /// Every class, the one that uses the most now first.
    pub(crate) fn list(&self, now: Timestamp) -> Vec<ClassUsage> {
        let usage = |class: Option<&TaskClass>, row: &Row| ClassUsage {
            class: class.cloned(),
            cpu: row.cpu,
            waited: row.waited,
            work: row.work,
            used: row.rate.cores(now, self.over),
        };
        let mut list: Vec<_> =
            self.classes.iter().map(|(class, row)| usage(Some(class), row)).collect();
        if !self.rest.cpu.is_zero() || self.rest.work > 0 || !self.rest.waited.is_zero() {
            list.push(usage(None, &self.rest));
        }
        list.sort_by_key(|usage| (std::cmp::Reverse(usage.used), std::cmp::Reverse(usage.cpu)));
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_core_types::{Priority, TenantId};
    use proptest::prelude::*;

    fn class(name: u8) -> TaskClass {
        let tenant = TenantId::new(&name.to_string()).unwrap();
        TaskClass { model: None, tenant, priority: Priority::Normal }
    }

    #[test]
    fn a_steady_use_shows_as_it_is_and_fades() {
        let mut table = UsageTable::new(8, Duration::from_secs(10));
        let at = |tenths: u64| Timestamp::ZERO + Duration::from_millis(tenths * 100);
        for tenths in 1..=1000 {
            table.add(Some(&class(1)), Duration::from_millis(150), Duration::ZERO, 1, at(tenths));
        }
        let used = table.list(at(1000))[0].used.get();
        assert!((1480..1530).contains(&used), "{used}");
        assert!(table.list(at(1500))[0].used.get() < 15);
    }

    proptest! {
        #[test]
        fn nothing_is_lost(told in prop::collection::vec((0_u8..20, 0_u64..1_000_000), 0..200)) {
            let mut table = UsageTable::new(5, Duration::from_secs(1));
            for (name, nanos) in &told {
                let cpu = Duration::from_nanos(*nanos);
                table.add(Some(&class(*name)), cpu, cpu, 1, Timestamp::ZERO);
            }
            let list = table.list(Timestamp::ZERO);
            prop_assert!(list.len() <= 6);
            let sum: Duration = list.iter().map(|usage| usage.cpu).sum();
            prop_assert_eq!(sum.as_nanos() as u64, told.iter().map(|(_, nanos)| nanos).sum::<u64>());
            prop_assert_eq!(list.iter().map(|usage| usage.work).sum::<u64>(), told.len() as u64);
        }
    }
}
