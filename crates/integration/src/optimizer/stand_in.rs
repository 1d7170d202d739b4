//! The static rule, put into force by whoever finds the loop lost.

use std::sync::Arc;

use plimsoll_core_types::{Decision, ResourceVector, Timestamp};

use super::act::apply_within;
use super::{Optimizer, Outside};
use crate::resilience::{Mode, Watchdog, static_rule};
use crate::telemetry;

impl Optimizer {
    /// Who decides now: the loop, or since it was lost nobody. The loop is lost when it has not
    /// gone round for [`lost_after`](crate::OptimizerConfig::lost_after): because nobody calls
    /// [`tick`](Self::tick) any more, or because one hangs. [`Managed`](Mode::Managed) before there
    /// is a system.
    pub fn mode(&self) -> Mode {
        let Some(outside) = self.outside.get() else { return Mode::Managed };
        outside.watchdog.mode(outside.components.clock.now())
    }

    /// What notices that the loop is lost, for a data path that wants to know at each request; none
    /// before there is a system.
    pub fn watchdog(&self) -> Option<Arc<Watchdog>> {
        self.outside.get().map(|outside| Arc::clone(&outside.watchdog))
    }

    /// Where the loop is found lost, puts the [static rule](static_rule) into force, once: the line
    /// goes down to the budget less the reserve, every model is served in full and nobody is
    /// refused. Answers with what it did. When the loop goes round again it takes over from there.
    ///
    /// To be called now and then by a task of its own, on another thread than the one that ticks.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the rest of the rule undone; the next call begins anew.
    pub async fn stand_in(&self) -> Vec<Decision> {
        let Mode::Static { silent } = self.mode() else { return Vec::new() };
        let Some(Outside { components, .. }) = self.outside.get() else { return Vec::new() };
        let (snapshot, degraded, refusing) = {
            let shown = self.shown.lock();
            if shown.unattended {
                return Vec::new();
            }
            let degraded: Vec<_> = shown.levels.keys().cloned().collect();
            (shown.snapshot.clone(), degraded, shown.refused_below.is_some())
        };
        tracing::error!(silent = silent.as_secs_f64(), "the loop is lost: the static rule holds");
        telemetry::managed(false);
        // A loop that has never gone round has changed nothing.
        let plan = snapshot.map_or_else(Vec::new, |last| {
            static_rule(&last, &self.unattended_limit(), &degraded, refusing, silent)
        });
        let mut decisions = Vec::with_capacity(plan.len());
        for planned in plan {
            let at = components.clock.now();
            let applied =
                apply_within(&*components.fleet, &planned, self.config.action_timeout).await;
            let outcome = match applied {
                Some(Ok(outcome)) => outcome.map_err(|error| error.to_string()),
                Some(Err(why)) => Err(format!("the fleet panicked: {why}")),
                None => Ok(plimsoll_core_types::ActionOutcome::Begun),
            };
            let decision = Decision { at, planned, outcome, effect: None };
            self.record(&decision);
            decisions.push(decision);
        }
        self.shown.lock().unattended = true;
        decisions
    }

    fn unattended_limit(&self) -> ResourceVector {
        let plan = &self.config.plan;
        let memory = plan.budget.memory().saturating_sub(plan.reserve);
        plan.budget.with_memory(memory)
    }

    pub(super) fn beat(&self, now: Timestamp) {
        if let Some(outside) = self.outside.get() {
            outside.watchdog.beat(now);
            telemetry::managed(true);
        }
    }
}
