//! Requests for models on one host, in virtual time.
//!
//! A model has to be loaded before it serves, which takes its load time and holds its amount of
//! the limit. A loaded one works on as many requests at once as it has slots. A [`Policy`] says
//! which are loaded and which give way.
//!
//! Left out: models do not slow each other down, loads do not slow services down, unloading takes
//! no time, and nothing crashes.

mod baseline;
mod outcome;
mod plimsoll;
mod world;

use std::time::Duration;

use plimsoll_core_types::{ModelId, ResourceVector, Timestamp};

pub use baseline::LruByCount;
pub use outcome::Outcome;
pub use plimsoll::{Plimsoll, PolicyError};
use world::World;

/// A model that can be asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSpec {
    /// Its name.
    pub id: ModelId,
    /// What it holds while it is loaded.
    pub amount: ResourceVector,
    /// How long its load takes.
    pub load_time: Duration,
    /// How many requests it works on at once; at least one.
    pub slots: usize,
}

/// A request, for the model at `model` in the list of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// When it comes.
    pub at: Timestamp,
    /// For which model.
    pub model: usize,
    /// How long it takes to serve.
    pub service: Duration,
}

/// The host and its rules.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ServingConfig {
    /// What all loaded models may hold together.
    pub limit: ResourceVector,
    /// A request that has not begun to be served this long after it came is given up.
    pub within: Duration,
    /// How often a policy that plans is asked to; above zero.
    pub tick: Duration,
}

/// Where a model is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelState {
    /// Not loaded.
    Stopped,
    /// Loads; takes requests when it is done.
    Loading,
    /// Serves.
    Ready,
    /// Ends what it has begun, then stops.
    Draining,
}

/// A model as policies see it.
#[derive(Clone, Debug)]
pub struct ModelView {
    /// What it is.
    pub spec: ModelSpec,
    /// Where it is.
    pub state: ModelState,
    /// Requests in service.
    pub in_progress: usize,
    /// Requests that wait for it.
    pub queued: usize,
    /// When the oldest of those came.
    pub oldest: Option<Timestamp>,
    /// Requests for it so far.
    pub arrivals: u64,
    /// When it was last asked for.
    pub last_used: Option<Timestamp>,
    /// When it became ready, where it is.
    pub ready_since: Option<Timestamp>,
}

/// What has just happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A request came for a model.
    Arrived(usize),
    /// A model has served a request.
    Completed(usize),
    /// A model is ready.
    Loaded(usize),
    /// A model has stopped; what it held is free.
    Stopped(usize),
    /// It is time to plan.
    Tick,
}

/// What a policy wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Load a stopped model. Ignored where it is not stopped.
    Load(usize),
    /// Let a ready model end what it has begun, and stop. Ignored where it is not ready.
    Evict(usize),
}

/// Says which models are loaded.
pub trait Policy {
    /// What to do about `what`. Asked again about each stop that follows from that.
    fn decide(
        &mut self,
        what: Happening,
        models: &[ModelView],
        limit: &ResourceVector,
        now: Timestamp,
    ) -> Vec<Command>;
}

/// Why a run makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A request names a model that is not there.
    #[error("request {request} is for model {model}; there are {models}")]
    UnknownModel {
        /// Which request, counted from 0.
        request: usize,
        /// What it names.
        model: usize,
        /// How many models there are.
        models: usize,
    },
    /// Time has to pass between two plans.
    #[error("tick is 0; it must be above 0")]
    NoTick,
    /// A policy would load more than the limit allows.
    #[error("loading {model} would pass the limit of {limit}: {promised} are promised")]
    PastTheLimit {
        /// Which model.
        model: ModelId,
        /// What was promised already.
        promised: String,
        /// What may be.
        limit: String,
    },
}

/// Serves `requests`, which may come in any order, by `policy`.
///
/// # Errors
///
/// When a request names no model, `tick` is zero, or the policy passes the limit.
pub fn run(
    models: &[ModelSpec],
    requests: &[Request],
    policy: &mut dyn Policy,
    config: &ServingConfig,
) -> Result<Outcome, RunError> {
    if config.tick.is_zero() {
        return Err(RunError::NoTick);
    }
    let unknown = requests.iter().position(|request| request.model >= models.len());
    if let Some(request) = unknown {
        let (model, models) = (requests[request].model, models.len());
        return Err(RunError::UnknownModel { request, model, models });
    }
    World::new(models, requests, config).run(policy)
}
