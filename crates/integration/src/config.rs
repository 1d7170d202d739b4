//! What can be set, and within which bounds.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_cache::residency::Groups;
use plimsoll_core_types::{Bytes, ModelId, Priority, Ratio, ResourceVector, ServiceLevel};

use crate::resilience::{LadderConfig, Rung, ScaleConfig};

/// How plans are made.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanConfig {
    /// The most that may ever be promised. What others on the host use lowers it for as long as
    /// they use it.
    pub budget: ResourceVector,
    /// Host memory that is left to everybody else, whatever they use now. Default 64 MiB: a
    /// larger reserve is safer against other programs' jumps, and idle until they jump.
    pub reserve: Bytes,
    /// A model that became ready less than this ago is not evicted. Default 1 s: shorter reacts
    /// faster, longer keeps two models from pushing each other out in turn.
    pub min_residence: Duration,
    /// A waiter that has waited this long, and for four times as long as its own load takes, may
    /// have a model evicted that is at work. Default 300 ms. Idle models give way once they have
    /// been idle for a quarter of the time that their return costs.
    pub patience: Duration,
    /// How far ahead the need of a resident model counts. Default 3 s.
    pub lookahead: Duration,
    /// A stopped model is loaded ahead of its requests when it will be needed with at least this
    /// probability by the time that it would be ready. Default 0.6.
    pub prewarm_probability: Ratio,
    /// Measurements before what was measured replaces what was believed. Default 8.
    pub footprint_samples: u32,
    /// Leases that are larger than what is believed by less than this share are left alone.
    /// Default 5%.
    pub footprint_slack: Ratio,
    /// Health probes missed in a row that make an engine unresponsive. Default 3.
    pub missed_probes: u32,
    /// The same thing is not done to the same subject again for this long, and for twice as long
    /// with each time in a row that it was not worth it. Default 2 s.
    pub cool_down: Duration,
    /// How models are served less fully under strain. Default none: they are always served in
    /// full. For fleets that know [`Degrade`](plimsoll_core_types::Action::Degrade).
    pub degrading: Option<Degrading>,
    /// How requests are refused while all models together have more to do than they can. Default
    /// none: nobody is refused. For fleets that know [`Shed`](plimsoll_core_types::Action::Shed).
    pub shedding: Option<Shedding>,
    /// How replicas are counted out. Default none: each model has one. For fleets that know
    /// [`Scale`](plimsoll_core_types::Action::Scale).
    pub scaling: Option<Scaling>,
    /// Caches may have to give bytes to waiters, down to so many. Default none: they keep what
    /// they have. For fleets that know [`ShiftBytes`](plimsoll_core_types::Action::ShiftBytes).
    pub cache_least: Option<Bytes>,
    /// Models that are loaded and evicted together, and those of which one is loaded at a time.
    /// Default none. Whoever loads models sees to it that those of a group are asked for together;
    /// one that must wait until another has gone is [waiting](plimsoll_core_types::EngineState::Waiting) meanwhile.
    pub groups: Groups,
}

/// How models are served less fully under strain.
#[derive(Clone, Debug, PartialEq)]
pub struct Degrading {
    /// Which smaller model stands in for which.
    pub aliases: BTreeMap<ModelId, ModelId>,
    /// How long strain must last before more is given up. Default 1 s.
    pub enter_after: Duration,
    /// How long it must be gone before something is taken back. At least `enter_after` and the
    /// cool-down; default 10 s.
    pub leave_after: Duration,
}

impl Default for Degrading {
    fn default() -> Self {
        let (enter_after, leave_after) = (Duration::from_secs(1), Duration::from_secs(10));
        Self { aliases: BTreeMap::new(), enter_after, leave_after }
    }
}

/// How requests are refused by priority while all models together have more to do than they can:
/// those of best effort first, the ordinary ones last. What is high or critical is never refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shedding {
    /// How long there must be too much to do before anybody is refused. Default 3 s, so that models
    /// that can be served less fully are so first.
    pub enter_after: Duration,
    /// How long it must be over before more are let in again. At least `enter_after` and the
    /// cool-down; default 10 s.
    pub leave_after: Duration,
}

impl Default for Shedding {
    fn default() -> Self {
        Self { enter_after: Duration::from_secs(3), leave_after: Duration::from_secs(10) }
    }
}

impl Shedding {
    /// Strain is 1 where as many requests wait as are worked on, with all slots taken.
    pub(crate) fn ladder(&self) -> LadderConfig {
        let rung = |below, enter_at| {
            let level = ServiceLevel::Shed { below };
            Rung { level, enter_at, leave_at: enter_at * 0.7 }
        };
        let rungs =
            vec![rung(Priority::Low, 1.0), rung(Priority::Normal, 1.5), rung(Priority::High, 2.5)];
        LadderConfig { rungs, enter_after: self.enter_after, leave_after: self.leave_after }
    }
}

/// How replicas are counted out.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaling {
    /// By which rule.
    pub scale: ScaleConfig,
    /// How many requests one replica works on at once; at least 1. A model's
    /// [`slots`](plimsoll_core_types::EngineSnapshot::slots) are this times its replicas.
    pub slots: usize,
}

impl PlanConfig {
    /// The defaults, for a budget of `budget`.
    pub fn new(budget: ResourceVector) -> Self {
        Self {
            budget,
            reserve: Bytes::from_mib(64),
            min_residence: Duration::from_secs(1),
            patience: Duration::from_millis(300),
            lookahead: Duration::from_secs(3),
            prewarm_probability: Ratio::saturating(0.6),
            footprint_samples: 8,
            footprint_slack: Ratio::saturating(0.05),
            missed_probes: 3,
            cool_down: Duration::from_secs(2),
            degrading: None,
            shedding: None,
            scaling: None,
            cache_least: None,
            groups: Groups::default(),
        }
    }

    /// Says whether every value is within its bounds.
    ///
    /// # Errors
    ///
    /// Names the first field that is not, its value, and what is allowed.
    pub fn check(&self) -> Result<(), ConfigError> {
        let complain = |field, value: String, allowed| Err(ConfigError { field, value, allowed });
        if self.budget.is_zero() {
            return complain("budget", self.budget.to_string(), "above zero in a dimension");
        }
        if self.prewarm_probability > Ratio::ONE || self.prewarm_probability == Ratio::ZERO {
            let value = self.prewarm_probability.to_string();
            return complain("prewarm_probability", value, "above 0% and at most 100%");
        }
        if self.footprint_samples == 0 {
            return complain("footprint_samples", "0".to_owned(), "at least 1");
        }
        if self.missed_probes == 0 {
            return complain("missed_probes", "0".to_owned(), "at least 1");
        }
        if self.lookahead.is_zero() {
            return complain("lookahead", "0 s".to_owned(), "above 0 s");
        }
        let degrading = self.degrading.as_ref().map(|d| (d.enter_after, d.leave_after));
        let shedding = self.shedding.as_ref().map(|s| (s.enter_after, s.leave_after));
        for (enter_after, leave_after) in degrading.into_iter().chain(shedding) {
            if leave_after < enter_after.max(self.cool_down) {
                let given = format!("{} s", leave_after.as_secs_f64());
                return complain("leave_after", given, "at least `enter_after` and `cool_down`");
            }
        }
        if let Some(scaling) = &self.scaling {
            scaling.scale.check()?;
            if scaling.slots == 0 {
                return complain("slots", "0".to_owned(), "at least 1");
            }
        }
        Ok(())
    }
}

/// How the loop runs.
#[derive(Clone, Debug, PartialEq)]
pub struct OptimizerConfig {
    /// How plans are made.
    pub plan: PlanConfig,
    /// How often request rates are sampled for forecasts. Default 250 ms. A plan may be made more
    /// often than that.
    pub sample_every: Duration,
    /// How many samples of each series are kept. Default 512.
    pub history: usize,
    /// How often caches are analyzed. Default 2 s.
    pub analyze_every: Duration,
    /// How many decisions are kept. Default 1024.
    pub decisions: usize,
    /// For how long an action may take before the loop goes on without it. Default 1 s.
    pub action_timeout: Duration,
    /// A component that takes longer to answer is degraded, and after three times in a row asked
    /// less often. Default 250 ms.
    pub slow_after: Duration,
    /// A component that takes longer to answer is left behind: the loop goes on without it until
    /// its call has come back. Above zero; default 2 s.
    pub hung_after: Duration,
    /// Whether components are called on a thread of their own. Without that a call costs some
    /// microseconds less, and one that never comes back stops the loop. Default true.
    pub isolate: bool,
    /// The loop is lost when it has not gone round for this long; see
    /// [`Optimizer::stand_in`](crate::Optimizer::stand_in). Above zero; default 10 s.
    pub lost_after: Duration,
}

impl OptimizerConfig {
    /// The defaults, for plans made by `plan`.
    pub fn new(plan: PlanConfig) -> Self {
        Self {
            plan,
            sample_every: Duration::from_millis(250),
            history: 512,
            analyze_every: Duration::from_secs(2),
            decisions: 1024,
            action_timeout: Duration::from_secs(1),
            slow_after: Duration::from_millis(250),
            hung_after: Duration::from_secs(2),
            isolate: true,
            lost_after: Duration::from_secs(10),
        }
    }

    /// Says whether every value is within its bounds.
    ///
    /// # Errors
    ///
    /// Names the first field that is not, its value, and what is allowed.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.plan.check()?;
        let complain = |field, value: String, allowed| Err(ConfigError { field, value, allowed });
        if self.sample_every.is_zero() {
            return complain("sample_every", "0 s".to_owned(), "above 0 s");
        }
        if self.analyze_every.is_zero() {
            return complain("analyze_every", "0 s".to_owned(), "above 0 s");
        }
        if self.history < 16 {
            return complain("history", self.history.to_string(), "at least 16");
        }
        if self.decisions == 0 {
            return complain("decisions", "0".to_owned(), "at least 1");
        }
        if self.hung_after.is_zero() {
            return complain("hung_after", "0 s".to_owned(), "above 0 s");
        }
        if self.lost_after.is_zero() {
            return complain("lost_after", "0 s".to_owned(), "above 0 s");
        }
        Ok(())
    }
}

/// A value that is out of its bounds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}; it must be {allowed}")]
pub struct ConfigError {
    field: &'static str,
    value: String,
    allowed: &'static str,
}

impl ConfigError {
    pub(crate) fn new(
        field: &'static str,
        value: impl std::fmt::Display,
        allowed: &'static str,
    ) -> Self {
        Self { field, value: value.to_string(), allowed }
    }

    /// Which field.
    pub const fn field(&self) -> &'static str {
        self.field
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_core_types::Slots;

    #[test]
    fn a_bad_value_is_named_with_what_is_allowed() {
        let good = PlanConfig::new(ResourceVector::new().with_slots(Slots::new(1)));
        assert_eq!(good.check(), Ok(()));
        let check = |bad: PlanConfig, expected: &str| {
            assert_eq!(bad.check().unwrap_err().to_string(), expected);
        };
        check(
            PlanConfig::new(ResourceVector::ZERO),
            "budget is nothing; it must be above zero in a dimension",
        );
        check(
            PlanConfig { prewarm_probability: Ratio::saturating(1.5), ..good.clone() },
            "prewarm_probability is 150%; it must be above 0% and at most 100%",
        );
        check(
            PlanConfig { missed_probes: 0, ..good.clone() },
            "missed_probes is 0; it must be at least 1",
        );
        let few = OptimizerConfig { history: 3, ..OptimizerConfig::new(good) };
        assert_eq!(few.check().unwrap_err().to_string(), "history is 3; it must be at least 16");
    }
}
