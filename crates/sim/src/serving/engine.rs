//! What an engine is like beyond its size: how concurrency slows it, and what tokens take.

use std::time::Duration;

use plimsoll_core_types::{Bytes, ResourceVector, Timestamp};

use super::{ModelSpec, Request};

/// A model's engine.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineSpec {
    /// Its name, what it holds while it is loaded, how long it loads, how many it serves at once.
    pub model: ModelSpec,
    /// By how much each further request in progress slows all of them: with `n` in progress each
    /// runs at `1 / (1 + contention × (n − 1))` of the speed that one has alone. 0 is no
    /// slowdown, 1 is a single worker that is shared. At least zero.
    pub contention: f64,
    /// The memory for the tokens of requests in progress, where that is a limit.
    pub kv: Option<KvCache>,
}

/// The room for the tokens of requests in progress. It is part of what the model holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvCache {
    /// How much there is.
    pub room: Bytes,
    /// How much a token takes.
    pub per_token: Bytes,
}

/// A request with all that an engine wants to know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// When it comes.
    pub at: Timestamp,
    /// For which model, as an index.
    pub model: usize,
    /// How long it takes on an engine that does nothing else.
    pub service: Duration,
    /// How many tokens it reads and writes.
    pub tokens: u32,
}

impl From<&ModelSpec> for EngineSpec {
    fn from(model: &ModelSpec) -> Self {
        Self { model: model.clone(), contention: 0.0, kv: None }
    }
}

impl From<&Request> for Job {
    fn from(request: &Request) -> Self {
        let Request { at, model, service } = *request;
        Self { at, model, service, tokens: 0 }
    }
}

impl EngineSpec {
    /// The speed of each of `running` requests, relative to one alone.
    pub(super) fn speed(&self, running: usize) -> f64 {
        1.0 / (1.0 + self.contention.max(0.0) * running.saturating_sub(1) as f64)
    }

    /// What the tokens of a job take; at most all the room, so that every job can be served.
    pub(super) fn tokens(&self, job: &Job) -> Bytes {
        let Some(kv) = self.kv else { return Bytes::ZERO };
        Bytes::new(kv.per_token.get().saturating_mul(u64::from(job.tokens))).min(kv.room)
    }

    /// What it uses while `tokens` are taken: its weights, which are all but the room for tokens,
    /// and those.
    pub(super) fn used(&self, tokens: Bytes) -> ResourceVector {
        let room = self.kv.map_or(Bytes::ZERO, |kv| kv.room);
        let memory = self.model.amount.memory().saturating_sub(room).saturating_add(tokens);
        self.model.amount.with_memory(memory)
    }
}
