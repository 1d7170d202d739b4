//! What can be said of a model that is not ready yet.

use std::sync::atomic::Ordering;
use std::time::Duration;

use plimsoll_core_types::{ConsumerId, EngineState, Lacking, ModelId, ResourcePool as _};
use serde::Serialize;

use super::{Engines, Model};

/// What can be said of a model that is not ready yet. What is not known is left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Loading {
    /// Where it is in its life.
    pub(crate) state: EngineState,
    /// Which share of its load is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) progress: Option<f64>,
    /// In how many seconds it is expected to be ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) eta_seconds: Option<f64>,
    /// Its place in the line for memory and CPU, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) position: Option<usize>,
    /// What it lacks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lacking: Option<Lacking>,
    /// The model that must go first, since only one of both may be loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) waits_for: Option<ModelId>,
    /// How many requests wait for it.
    pub(crate) waiting_requests: usize,
}

impl Loading {
    /// When to come back, in whole seconds: when it is expected to be ready, else in a second for
    /// each place in the line.
    pub(crate) fn retry_after(&self) -> u64 {
        let position = self.position.unwrap_or(1) as f64;
        self.eta_seconds.unwrap_or(position).ceil().clamp(1.0, 600.0) as u64
    }
}

impl Engines {
    /// What can be said of `model` now.
    pub(crate) fn loading(&self, model: &Model) -> Loading {
        let (now, counters) = (self.world.clock.now(), &model.counters);
        let state = model.phase().state();
        let mut loading = Loading {
            state,
            progress: None,
            eta_seconds: None,
            position: None,
            lacking: None,
            waits_for: None,
            waiting_requests: counters.waiting.load(Ordering::Relaxed),
        };
        match state {
            EngineState::Starting | EngineState::Unresponsive => {
                loading.progress = counters.progress(now);
                loading.eta_seconds = counters.remaining(now).map(|left| left.as_secs_f64());
            }
            EngineState::Waiting => self.fill_wait(model, &mut loading),
            EngineState::Stopped | EngineState::Ready | EngineState::Draining => {}
        }
        loading
    }

    fn fill_wait(&self, model: &Model, loading: &mut Loading) {
        let consumer = ConsumerId::from(&model.id);
        let status = self.world.pool.monitor();
        loading.waits_for = self.world.company.keeps_out(&model.id);
        let Some(waiter) = status.waiters.iter().find(|waiter| waiter.consumer == consumer) else {
            return;
        };
        loading.position = Some(waiter.position);
        loading.lacking = waiter.lacking;
        let granted = self.world.pool.eta(waiter.id);
        let granted = granted.map(|at| at.saturating_since(status.at));
        loading.eta_seconds = granted
            .zip(model.counters.load_time())
            .map(|(wait, load): (Duration, Duration)| (wait + load).as_secs_f64());
    }
}
