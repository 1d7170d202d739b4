//! Who is loaded: what people use today, the oracle, and the policy of production.

mod clairvoyant;
mod keep_alive;
mod lru;
mod plimsoll;

use plimsoll_core_types::ResourceVector;

use super::{ModelState, ModelView};

pub use clairvoyant::Clairvoyant;
pub use keep_alive::ShortestKeepAlive;
pub use lru::{LruByBytes, LruByCount};
pub(crate) use plimsoll::SAMPLE_EVERY;
pub use plimsoll::{Plimsoll, PolicyError};

/// What all models hold that are not stopped.
fn promised(models: &[ModelView]) -> ResourceVector {
    let held = models.iter().filter(|model| model.state != ModelState::Stopped);
    held.fold(ResourceVector::ZERO, |sum, model| sum.saturating_add(&model.spec.amount))
}

/// The stopped model whose oldest request has waited longest.
fn first_in_line(models: &[ModelView]) -> Option<usize> {
    let stopped = |model: &ModelView| model.state == ModelState::Stopped;
    let waiting = models.iter().enumerate().filter(|(_, model)| stopped(model));
    let oldest = waiting.filter_map(|(index, model)| Some((model.oldest?, index))).min()?;
    Some(oldest.1)
}

/// True while a model is on its way out.
fn is_draining(models: &[ModelView]) -> bool {
    models.iter().any(|model| model.state == ModelState::Draining)
}

/// The ready models with their numbers.
fn ready(models: &[ModelView]) -> impl Iterator<Item = (usize, &ModelView)> {
    models.iter().enumerate().filter(|(_, model)| model.state == ModelState::Ready)
}

/// True where a model has work.
const fn is_busy(model: &ModelView) -> bool {
    model.in_progress + model.queued > 0
}
