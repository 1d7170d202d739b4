//! From a plan to its effects.

use plimsoll_core_types::{
    Action, ActionError, ActionOutcome, CacheStrategy, ComponentKind, Decision, Health,
    PlannedAction, Timestamp,
};

use super::Loop;
use crate::config::OptimizerConfig;

impl Loop {
    /// Applies one action, and records what came of it. An action that takes too long goes on by
    /// itself; the loop does not wait for it.
    pub(super) async fn act(
        &mut self,
        planned: PlannedAction,
        at: Timestamp,
        config: &OptimizerConfig,
    ) -> Decision {
        let outcome = if let Action::Retune { strategy } = &planned.action {
            self.retune(strategy.clone())
        } else {
            self.apply(&planned, config).await
        };
        Decision { at, planned, outcome, effect: None }
    }

    async fn apply(
        &mut self,
        planned: &PlannedAction,
        config: &OptimizerConfig,
    ) -> Result<ActionOutcome, String> {
        let apply = self.components.fleet.apply(planned);
        if let Ok(outcome) = tokio::time::timeout(config.action_timeout, apply).await {
            return outcome.map_err(|error| error.to_string());
        }
        let why = format!("{} took too long", planned.action);
        self.wards.set(ComponentKind::Fleet, Health::Degraded { why });
        Ok(ActionOutcome::Begun)
    }

    fn retune(&mut self, strategy: CacheStrategy) -> Result<ActionOutcome, String> {
        let caches = &self.components.caches;
        let found = caches.iter().find(|cache| cache.monitor().cache == strategy.cache);
        let Some(cache) = found.cloned() else {
            let action = Action::Retune { strategy }.to_string();
            return Err(ActionError::Unsupported { action }.to_string());
        };
        let change = self.wards.ask(ComponentKind::Cache, || cache.implement(strategy));
        match change {
            Some(Ok(_)) => Ok(ActionOutcome::Done),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("the cache failed".to_owned()),
        }
    }
}
