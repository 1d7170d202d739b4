//! Rates out of counters that only rise.

use std::time::Duration;

use plimsoll_core_types::{Millicores, Ratio, Timestamp};
use serde::{Deserialize, Serialize};

/// How busy a host is, over the last stretch of time that was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostSignals {
    /// Until when it was measured.
    pub at: Timestamp,
    /// Over which time; zero before there were two readings.
    pub over: Duration,
    /// Cores kept busy within the limit that binds this process: by its cgroup where that is a
    /// quota or a weight, by everybody on its CPUs where that is affinity.
    pub used: Option<Millicores>,
    /// Cores kept busy by everybody on the CPUs that this process may use.
    pub host_used: Option<Millicores>,
    /// Share of time in which somebody waited for a core (PSI `some`, over this stretch and not
    /// the kernel's ten seconds).
    pub stalled: Option<Ratio>,
    /// How many tasks waited for a core, on average, from the run queues' own clocks.
    pub waiting: Option<Ratio>,
    /// Share of time in which a quota held this process's cgroup, or one above it, back.
    pub throttled: Option<Ratio>,
}

/// What the kernel has counted so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Counters {
    /// Changes whenever this process is in other groups than before.
    pub(crate) membership: u64,
    /// CPU time of one's own group, then of each above it.
    pub(crate) groups: Vec<Option<Duration>>,
    pub(crate) host: Option<Duration>,
    pub(crate) stalled: Option<Duration>,
    pub(crate) waiting: Option<Duration>,
    pub(crate) throttled: Option<Duration>,
}

/// Turns counters into rates.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    last: Option<(Timestamp, Counters)>,
    signals: HostSignals,
    groups: Vec<Option<Millicores>>,
}

impl Meter {
    /// True when it is time to hand in counters.
    pub(crate) fn is_due(&self, now: Timestamp, every: Duration) -> bool {
        self.last.as_ref().is_none_or(|(then, _)| now.saturating_since(*then) >= every)
    }

    /// Takes the counters as they are `now`.
    pub(crate) fn update(&mut self, now: Timestamp, counters: Counters) {
        let last = self.last.take();
        if let Some((then, before)) = last.filter(|(then, _)| *then < now) {
            self.rate(now, now.saturating_since(then), &before, &counters);
        }
        self.last = Some((now, counters));
    }

    fn rate(&mut self, at: Timestamp, over: Duration, before: &Counters, now: &Counters) {
        let rate = |now: Option<Duration>, before: Option<Duration>| {
            let risen = now?.checked_sub(before?)?;
            Some(risen.as_secs_f64() / over.as_secs_f64())
        };
        let cores = |rate: f64| Millicores::from_f64((rate * 1000.0).round());
        self.groups = if now.membership == before.membership {
            let pairs = now.groups.iter().zip(&before.groups);
            pairs.map(|(now, before)| rate(*now, *before).map(cores)).collect()
        } else {
            Vec::new()
        };
        self.signals = HostSignals {
            at,
            over,
            used: None,
            host_used: rate(now.host, before.host).map(cores),
            stalled: rate(now.stalled, before.stalled).map(Ratio::saturating),
            waiting: rate(now.waiting, before.waiting).map(Ratio::saturating),
            throttled: rate(now.throttled, before.throttled).map(Ratio::saturating),
        };
    }

    /// How busy the host is; `level` says how far above one's own the group is whose use counts,
    /// none is the whole host.
    pub(crate) fn signals(&self, level: Option<u32>) -> HostSignals {
        let used = match level {
            None => self.signals.host_used,
            Some(level) => self.used_by(level),
        };
        HostSignals { used, ..self.signals }
    }

    /// Cores that everybody outside the group `level` above one's own keeps busy.
    pub(crate) fn others(&self, level: u32) -> Option<Millicores> {
        Some(self.signals.host_used?.saturating_sub(self.used_by(level)?))
    }

    fn used_by(&self, level: u32) -> Option<Millicores> {
        self.groups.get(level as usize).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(host: u64, group: u64) -> Counters {
        Counters {
            groups: vec![Some(Duration::from_millis(group)), None],
            host: Some(Duration::from_millis(host)),
            ..Counters::default()
        }
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn rates_are_risen_counters_over_time() {
        let mut meter = Meter::default();
        assert!(meter.is_due(Timestamp::ZERO, Duration::from_secs(1)));
        meter.update(at(0), counters(5000, 100));
        assert_eq!(meter.signals(Some(0)).used, None);
        assert!(!meter.is_due(at(999), Duration::from_secs(1)));
        meter.update(at(1000), counters(6500, 600));
        assert_eq!(meter.signals(None).used, Some(Millicores::new(1500)));
        assert_eq!(meter.signals(Some(0)).used, Some(Millicores::new(500)));
        assert_eq!(meter.signals(Some(1)).used, None);
        assert_eq!(meter.signals(Some(9)).used, None);
        assert_eq!(meter.others(0), Some(Millicores::new(1000)));
        assert_eq!(meter.signals(None).stalled, None);
    }

    #[test]
    fn a_counter_that_is_of_something_else_by_now_makes_no_rate() {
        let mut meter = Meter::default();
        meter.update(at(0), counters(0, 5000));
        meter.update(at(1000), counters(500, 10));
        assert_eq!(meter.signals(Some(0)).used, None);
        meter.update(at(2000), Counters { membership: 1, ..counters(1000, 900) });
        let signals = meter.signals(Some(0));
        assert_eq!((signals.used, signals.host_used), (None, Some(Millicores::new(500))));
        // Two readings at one moment measure nothing, and forget nothing.
        meter.update(at(2000), Counters { membership: 1, ..counters(1000, 900) });
        assert_eq!(meter.signals(None).host_used, Some(Millicores::new(500)));
    }
}
