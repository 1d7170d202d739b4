//! What people use today.

use plimsoll_core_types::{ResourceVector, Timestamp};

use super::{Command, Happening, ModelState, ModelView, Policy};

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

impl Policy for LruByCount {
    fn decide(
        &mut self,
        _: Happening,
        models: &[ModelView],
        limit: &ResourceVector,
        _: Timestamp,
    ) -> Vec<Command> {
        let Some(next) = first_in_line(models) else { return Vec::new() };
        let held = models.iter().filter(|model| model.state != ModelState::Stopped);
        let promised = held
            .clone()
            .fold(ResourceVector::ZERO, |sum, model| sum.saturating_add(&model.spec.amount));
        let fits = models[next].spec.amount.fits_in(&limit.saturating_sub(&promised));
        if fits && held.clone().count() < self.count.max(1) {
            return vec![Command::Load(next)];
        }
        // One at a time: what it frees is looked at when it has stopped.
        if held.clone().any(|model| model.state == ModelState::Draining) {
            return Vec::new();
        }
        least_recent(models).map(Command::Evict).into_iter().collect()
    }
}

/// The stopped model whose oldest request has waited longest.
fn first_in_line(models: &[ModelView]) -> Option<usize> {
    let stopped = |model: &ModelView| model.state == ModelState::Stopped;
    let waiting = models.iter().enumerate().filter(|(_, model)| stopped(model));
    let oldest = waiting.filter_map(|(index, model)| Some((model.oldest?, index))).min()?;
    Some(oldest.1)
}

/// The ready model that was asked for least recently, one without work first.
fn least_recent(models: &[ModelView]) -> Option<usize> {
    let ready = models.iter().enumerate().filter(|(_, model)| model.state == ModelState::Ready);
    let order = |model: &ModelView| (model.in_progress + model.queued > 0, model.last_used);
    ready.min_by_key(|(_, model)| order(model)).map(|(index, _)| index)
}
