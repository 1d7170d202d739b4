//! The shortest keep-alive gives way.

use std::time::Duration;

use plimsoll_core_types::{ResourceVector, Timestamp};

use super::{first_in_line, is_busy, is_draining, promised, ready};
use crate::serving::{Command, Happening, ModelState, ModelView, Policy};

/// Unloads a model that nobody has asked for during its keep-alive. Where a model needs room, the
/// idle one with the shortest keep-alive gives way, and by name where they are equal; where none
/// is idle, the first by that order ends its work and goes. One load at a time.
///
/// Source: the behaviour of Ollama's `server/sched.go`, described in our own words; its keep-alive
/// is five minutes unless a request says otherwise, and equal for all models here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortestKeepAlive {
    /// How long a model stays without requests.
    pub keep_alive: Duration,
}

impl Default for ShortestKeepAlive {
    fn default() -> Self {
        Self { keep_alive: Duration::from_mins(5) }
    }
}

impl Policy for ShortestKeepAlive {
    fn decide(
        &mut self,
        what: Happening,
        models: &[ModelView],
        limit: &ResourceVector,
        now: Timestamp,
    ) -> Vec<Command> {
        let mut commands = Vec::new();
        if what == Happening::Tick {
            let over = |model: &ModelView| {
                let since = model.last_used.max(model.ready_since).unwrap_or(now);
                !is_busy(model) && now.saturating_since(since) >= self.keep_alive
            };
            let idle = ready(models).filter(|(_, model)| over(model));
            commands.extend(idle.map(|(index, _)| Command::Evict(index)));
        }
        let Some(next) = first_in_line(models) else { return commands };
        let loads = models.iter().any(|model| model.state == ModelState::Loading);
        if loads || is_draining(models) || !commands.is_empty() {
            return commands;
        }
        let room = limit.saturating_sub(&promised(models));
        if models[next].spec.amount.fits_in(&room) {
            commands.push(Command::Load(next));
        } else {
            let order = |model: &ModelView| (is_busy(model), model.spec.id.clone());
            let victim = ready(models).min_by_key(|(_, model)| order(model));
            commands.extend(victim.map(|(index, _)| Command::Evict(index)));
        }
        commands
    }
}
