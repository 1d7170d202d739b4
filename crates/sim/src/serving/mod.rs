//! Requests for models on one host, in virtual time.
//!
//! A model has to be loaded before it serves, which takes its load time and holds its amount of
//! the limit. A loaded one works on as many requests at once as it has slots and room for their
//! tokens, the slower the more they are. A [`Policy`] says which are loaded and which give way.
//! [`run`] takes plain models; [`Scenario`] adds engines in detail, [faults](Fault), and an audit
//! after every event.
//!
//! Beside policies stands a supervisor that any host has: a load that takes five times its time
//! and five seconds, or a drain that takes five seconds longer than it should, is killed. A
//! request whose engine died under it is tried once more, then it has failed.
//!
//! Left out: engines do not slow each other down, loads do not slow services down, and unloading
//! takes no time.

mod engine;
mod fault;
mod host;
mod outcome;
mod policy;
mod world;

use std::time::Duration;

use plimsoll_core_types::{Bytes, ModelId, ResourceVector, Timestamp};

pub use engine::{EngineSpec, Job, KvCache};
pub use fault::{Fault, FaultKind, Phase};
pub use host::{Host, HostOptions};
pub use outcome::{Outcome, Recovery};
pub(crate) use policy::SAMPLE_EVERY;
pub use policy::{Clairvoyant, LruByBytes, LruByCount, Plimsoll, PolicyError, ShortestKeepAlive};
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
    /// What it is measured to use.
    pub used: ResourceVector,
    /// Health probes that it has missed in a row.
    pub missed_probes: u32,
    /// When it last answered one, or was last started.
    pub answered: Timestamp,
}

/// The host as policies see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostView {
    /// What it has.
    pub capacity: ResourceVector,
    /// What is used of that by everybody.
    pub used: ResourceVector,
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
    /// A model has stopped as it was told to; what it held is free.
    Stopped(usize),
    /// A model's engine has died; what it held is free.
    Died(usize),
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
    /// Kill a ready model's engine and start another one. Ignored where it is not ready.
    Replace(usize),
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

    /// What the host looks like; told before each plan.
    fn see_host(&mut self, _: &HostView) {}

    /// What is wrong with its own books, where something is. Asked after every event of a
    /// scenario that is audited.
    fn audit(&self, _: &[ModelView], _: Timestamp) -> Vec<String> {
        Vec::new()
    }
}

/// A run in all its detail.
#[derive(Clone, Copy, Debug)]
pub struct Scenario<'a> {
    /// The engines.
    pub engines: &'a [EngineSpec],
    /// What is asked for, in any order.
    pub jobs: &'a [Job],
    /// The host's rules.
    pub config: ServingConfig,
    /// What the host has; at least the limit. Where engines and others use more than this, the
    /// engine that uses most is killed.
    pub capacity: ResourceVector,
    /// How often engines are probed; above zero.
    pub probe_every: Duration,
    /// What goes wrong.
    pub faults: &'a [Fault],
    /// Whether the books are looked at after every event.
    pub audit: bool,
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
    /// Time has to pass between two probes.
    #[error("probe_every is 0; it must be above 0")]
    NoProbes,
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
    let engines: Vec<_> = models.iter().map(EngineSpec::from).collect();
    let jobs: Vec<_> = requests.iter().map(Job::from).collect();
    Scenario::new(&engines, &jobs, *config).run(policy)
}

impl<'a> Scenario<'a> {
    /// A scenario in which nothing goes wrong, on a host that has what the limit allows and 64 MiB
    /// beside it.
    pub fn new(engines: &'a [EngineSpec], jobs: &'a [Job], config: ServingConfig) -> Self {
        let probe_every = Duration::from_secs(1);
        let memory = config.limit.memory().saturating_add(Bytes::from_mib(64));
        let capacity = config.limit.with_memory(memory);
        Self { engines, jobs, config, capacity, probe_every, faults: &[], audit: false }
    }

    /// Serves the jobs by `policy`.
    ///
    /// # Errors
    ///
    /// When a job names no model, a period is zero, or the policy passes the limit.
    pub fn run(&self, policy: &mut dyn Policy) -> Result<Outcome, RunError> {
        if self.config.tick.is_zero() {
            return Err(RunError::NoTick);
        }
        if self.probe_every.is_zero() {
            return Err(RunError::NoProbes);
        }
        let models = self.engines.len();
        let unknown = self.jobs.iter().position(|job| job.model >= models);
        if let Some(request) = unknown {
            let model = self.jobs[request].model;
            return Err(RunError::UnknownModel { request, model, models });
        }
        World::new(self).run(policy)
    }
}
