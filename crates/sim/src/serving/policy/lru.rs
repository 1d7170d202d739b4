//! The least recently used model gives way.

use plimsoll_core_types::{ResourceVector, Timestamp};

use super::{first_in_line, is_busy, is_draining, promised, ready};
use crate::serving::{Command, Happening, ModelState, ModelView, Policy};

/// Keeps at most so many models loaded, whatever their size, as long as they fit; the least
/// recently used one gives way, an idle one first. With a count of one, one model at a time.
///
/// Requests for a model that is not loaded are taken in the order in which the oldest of each came,
/// and the first one's wait holds up the loads of those behind it, as in a single queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LruByCount {
    /// How many; at least one.
    pub count: usize,
}

/// Keeps as many models loaded as fit; the least recently used one gives way, an idle one first.
///
/// This is the plain rule that is left when the optimizer is off. The line is as with
/// [`LruByCount`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LruByBytes;

impl Policy for LruByCount {
    fn decide(
        &mut self,
        _: Happening,
        models: &[ModelView],
        limit: &ResourceVector,
        _: Timestamp,
    ) -> Vec<Command> {
        least_recent_first(models, limit, self.count.max(1))
    }
}

impl Policy for LruByBytes {
    fn decide(
        &mut self,
        _: Happening,
        models: &[ModelView],
        limit: &ResourceVector,
        _: Timestamp,
    ) -> Vec<Command> {
        least_recent_first(models, limit, usize::MAX)
    }
}

fn least_recent_first(models: &[ModelView], limit: &ResourceVector, count: usize) -> Vec<Command> {
    let Some(next) = first_in_line(models) else { return Vec::new() };
    let fits = models[next].spec.amount.fits_in(&limit.saturating_sub(&promised(models)));
    let held = models.iter().filter(|model| model.state != ModelState::Stopped).count();
    if fits && held < count {
        return vec![Command::Load(next)];
    }
    // One at a time: what it frees is looked at when it has stopped.
    if is_draining(models) {
        return Vec::new();
    }
    least_recent(models).map(Command::Evict).into_iter().collect()
}

/// The ready model that was asked for least recently, one without work first.
fn least_recent(models: &[ModelView]) -> Option<usize> {
    let order = |model: &ModelView| (is_busy(model), model.last_used);
    ready(models).min_by_key(|(_, model)| order(model)).map(|(index, _)| index)
}
