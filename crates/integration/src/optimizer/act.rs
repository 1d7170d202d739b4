//! From a plan to its effects.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use plimsoll_core_types::{
    Action, ActionError, ActionOutcome, CacheStrategy, ComponentKind, Decision, Effect, Fleet,
    Health, PlannedAction, Timestamp,
};

use super::Loop;
use super::crew::message;
use crate::config::OptimizerConfig;

const FLEET: super::contain::Part = (ComponentKind::Fleet, 0);

/// What is left of a round's time for actions that hang.
#[derive(Debug)]
pub(super) struct Round {
    left: Duration,
}

impl Round {
    pub(super) const fn new(config: &OptimizerConfig) -> Self {
        Self { left: config.action_timeout }
    }
}

impl Loop {
    /// Applies one action, and records what came of it. An action that takes too long goes on by
    /// itself; the loop does not wait for it, and once it has waited for its timeout in all it puts
    /// the rest of the plan off.
    pub(super) async fn act(
        &mut self,
        planned: PlannedAction,
        effect: Option<Effect>,
        at: Timestamp,
        round: &mut Round,
    ) -> Decision {
        let outcome = if let Action::Retune { strategy } = &planned.action {
            self.retune(strategy)
        } else {
            self.apply(&planned, round).await
        };
        let unsupported = matches!(outcome, Err(ActionError::Unsupported { .. }));
        if outcome.is_err() {
            self.planner.not_done(&planned.action, unsupported);
        }
        let effect = effect.filter(|_| outcome.is_ok());
        Decision { at, planned, outcome: outcome.map_err(|error| error.to_string()), effect }
    }

    async fn apply(
        &mut self,
        planned: &PlannedAction,
        round: &mut Round,
    ) -> Result<ActionOutcome, ActionError> {
        let failed = |step, cause: &str| {
            let (action, cause) = (planned.action.to_string(), cause.to_owned());
            Err(ActionError::Failed { action, step, cause })
        };
        if round.left.is_zero() {
            return failed("asking the fleet", "it took too long before; put off");
        }
        match apply_within(&*self.components.fleet, planned, round.left).await {
            Some(Ok(outcome)) => outcome,
            Some(Err(why)) => {
                self.wards.set(FLEET, Health::Failed { why: format!("panicked: {why}") });
                failed("asking the fleet", &format!("it panicked: {why}"))
            }
            None => {
                round.left = Duration::ZERO;
                let why = format!("{} took too long", planned.action);
                self.wards.set(FLEET, Health::Degraded { why });
                Ok(ActionOutcome::Begun)
            }
        }
    }

    fn retune(&mut self, strategy: &CacheStrategy) -> Result<ActionOutcome, ActionError> {
        let failed = |strategy: &CacheStrategy, step, cause: String| {
            let action = Action::Retune { strategy: strategy.clone() }.to_string();
            Err(ActionError::Failed { action, step, cause })
        };
        for index in 0..self.components.caches.len() {
            let part = (ComponentKind::Cache, index);
            let (cache, wanted) = (Arc::clone(&self.components.caches[index]), strategy.clone());
            let answer = self.wards.ask(part, move || {
                (cache.monitor().cache == wanted.cache).then(|| cache.implement(wanted))
            });
            match answer {
                Some(None) => {}
                Some(Some(Ok(_))) => return Ok(ActionOutcome::Done),
                Some(Some(Err(error))) => {
                    return failed(strategy, "implementing it", error.to_string());
                }
                // It may be the one: nobody else is asked in its place.
                None => return failed(strategy, "asking the cache", "no answer".to_owned()),
            }
        }
        failed(strategy, "finding the cache", "there is none of this name".to_owned())
    }
}

/// What the fleet answers, or its panic's message; none when it takes longer than `within`.
pub(super) async fn apply_within(
    fleet: &dyn Fleet,
    planned: &PlannedAction,
    within: Duration,
) -> Option<Result<Result<ActionOutcome, ActionError>, String>> {
    let mut apply = pin!(async { fleet.apply(planned).await });
    let contained = poll_fn(|context| poll_contained(apply.as_mut(), context));
    tokio::time::timeout(within, contained).await.ok()
}

fn poll_contained<F: Future>(
    future: Pin<&mut F>,
    context: &mut Context<'_>,
) -> Poll<Result<F::Output, String>> {
    // Nothing of ours is touched inside, and a future that has panicked is not polled again.
    match catch_unwind(AssertUnwindSafe(|| future.poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(message(panic.as_ref()).to_owned())),
    }
}
