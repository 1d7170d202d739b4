//! How fast one objective's budget is spent, and whether that is an alert.

use plimsoll_core_types::{Alert, Severity, Timestamp};

use super::config::{AlertConfig, BurnRule, Good, Objective};
use super::latch::Latch;
use super::ring::{Count, Ring};

/// One rule over one objective.
#[derive(Clone, Debug)]
struct Watch {
    rule: BurnRule,
    long: Ring,
    short: Ring,
    latch: Latch,
}

/// One objective, and the alert of it that is up.
#[derive(Clone, Debug)]
pub(super) struct Burn {
    objective: Objective,
    budget: f64,
    least_bad: u64,
    ends_below: f64,
    watches: Vec<Watch>,
    up: Option<Alert>,
}

impl Burn {
    pub(super) fn new(objective: Objective, config: &AlertConfig) -> Self {
        let watch = |rule: &BurnRule| Watch {
            rule: *rule,
            long: Ring::new(rule.long),
            short: Ring::new(rule.short),
            latch: Latch::default(),
        };
        Self {
            budget: 1.0 - objective.target.get(),
            least_bad: config.least_bad.max(1),
            ends_below: config.ends_below.min_one().get(),
            watches: config.rules.iter().map(watch).collect(),
            objective,
            up: None,
        }
    }

    pub(super) const fn up(&self) -> Option<&Alert> {
        self.up.as_ref()
    }

    /// Counts what has happened by `now`; answers with the alert where it was raised, has become
    /// more or less urgent, or has ended.
    pub(super) fn observe(&mut self, events: Count, now: Timestamp) -> Option<Alert> {
        let mut urgent: Option<(Severity, usize)> = None;
        for (index, watch) in self.watches.iter_mut().enumerate() {
            watch.long.add(events, now);
            watch.short.add(events, now);
            let rate = |ring: &Ring| ring.sum().bad_share() / self.budget;
            let least = rate(&watch.long).min(rate(&watch.short));
            let enough = watch.long.sum().bad >= self.least_bad;
            let holds = least >= watch.rule.rate && enough;
            let clear = least < watch.rule.rate * self.ends_below;
            let up = watch.latch.step(holds, clear, watch.rule.short / 2, now);
            if up.is_some() && urgent.is_none_or(|(severity, _)| severity < watch.rule.severity) {
                urgent = Some((watch.rule.severity, index));
            }
        }
        match (urgent, self.up.take()) {
            (None, None) => None,
            (None, Some(mut over)) => {
                over.ended = Some(now);
                Some(over)
            }
            (Some((severity, _)), Some(up)) if up.severity == severity => {
                self.up = Some(up);
                None
            }
            (Some((severity, index)), before) => {
                let since = before.map_or(now, |before| before.since);
                self.up = Some(self.alert(severity, index, since));
                self.up.clone()
            }
        }
    }

    fn alert(&self, severity: Severity, index: usize, since: Timestamp) -> Alert {
        let Watch { rule, long, short, .. } = &self.watches[index];
        let (bad, total) = (long.sum().bad, long.sum().total());
        let (what, name) = match self.objective.good {
            Good::Answered => ("failed".to_owned(), "error_budget_burn"),
            Good::Within(within) => (format!("took over {within:?}"), "latency_budget_burn"),
        };
        let rate = |ring: &Ring| ring.sum().bad_share() / self.budget;
        let cause = format!(
            "{bad} of {total} requests {what} in {}: {:.1} times the rate that the objective of {} \
             allows, and {:.1} times in the last {}",
            span(rule.long.as_secs()),
            rate(long),
            self.objective.target,
            rate(short),
            span(rule.short.as_secs()),
        );
        let subject = self.objective.subject.clone();
        let (name, runbook) = (name.to_owned(), name.replace('_', "-"));
        Alert { name, subject, severity, cause, runbook, since, ended: None }
    }
}

/// A window in words, as `6 h`.
fn span(seconds: u64) -> String {
    match seconds {
        s if s.is_multiple_of(86_400) => format!("{} d", s / 86_400),
        s if s.is_multiple_of(3_600) => format!("{} h", s / 3_600),
        s if s.is_multiple_of(60) => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}
