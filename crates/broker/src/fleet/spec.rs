//! What a model is, before it runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use plimsoll_core_types::{Bytes, ModelId, Priority, ResourceVector, TenantId};

use crate::adopt::Kind;

/// A model that can be loaded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ModelSpec {
    /// Its name.
    pub(crate) id: ModelId,
    /// What serves it.
    pub(crate) engine: EngineSpec,
    /// What its owner says it needs.
    pub(crate) declared: ResourceVector,
    /// How many requests it may work on at once.
    pub(crate) slots: usize,
    /// How long its owner says that its load takes; none where nobody says.
    pub(crate) load_time: Option<Duration>,
    /// How long its load may take before it is given up.
    pub(crate) load_within: Duration,
    /// How long requests in progress may take when it is to be unloaded.
    pub(crate) drain_within: Duration,
    /// At which priority it asks for its lease when a request wants it.
    pub(crate) priority: Priority,
    /// On whose behalf its lease is held.
    pub(crate) tenant: TenantId,
    /// Never evicted.
    pub(crate) pinned: bool,
    /// Unloaded when idle for this long; none keeps it until its room is wanted.
    pub(crate) keep_alive: Option<Duration>,
}

/// What serves a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EngineSpec {
    /// This binary, by its `engine` command.
    Embedded {
        /// What its weights take.
        weights: Bytes,
        /// Rounds of work for each row of weights when it is loaded.
        rounds: u32,
        /// Seed of its weights.
        seed: u64,
    },
    /// A program that listens on a port that it is given.
    Command(CommandSpec),
    /// A server that somebody else runs.
    Url {
        /// Host and port.
        authority: String,
        /// What comes before `/v1`.
        prefix: String,
        /// The path that answers when it is well.
        health: String,
        /// What it is, where its memory can be freed by its own verbs.
        kind: Option<Kind>,
        /// What it calls the model.
        name: String,
        /// Whether its process serves this model alone, so that what that holds is the model's.
        alone: bool,
    },
}

/// A program that serves a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommandSpec {
    /// The program and its arguments; `{port}`, `{threads}` and `{model}` are filled in.
    pub(crate) command: Vec<String>,
    /// Variables of its environment beside those of the broker.
    pub(crate) env: BTreeMap<String, String>,
    /// The folder that it runs in.
    pub(crate) folder: Option<PathBuf>,
    /// The port that it listens on; none takes a free one.
    pub(crate) port: Option<u16>,
    /// The path that answers 200 when it is ready.
    pub(crate) health: String,
}

impl ModelSpec {
    /// True where `other` can be served by the engine that serves this.
    pub(crate) fn same_engine(&self, other: &Self) -> bool {
        let key = |spec: &Self| (spec.engine.clone(), spec.declared, spec.slots);
        key(self) == key(other)
    }
}

impl EngineSpec {
    /// The path that answers 200 when the engine is ready.
    pub(crate) fn health(&self) -> &str {
        match self {
            Self::Embedded { .. } => "/health",
            Self::Command(command) => &command.health,
            Self::Url { health, .. } => health,
        }
    }

    /// True where an eviction frees its memory: a server that somebody else runs may have no verb
    /// for that.
    pub(crate) const fn gives_back(&self) -> bool {
        !matches!(self, Self::Url { kind: None, .. })
    }

    /// True where the number of its threads can be changed while it runs.
    pub(crate) const fn retunes_threads(&self) -> bool {
        matches!(self, Self::Embedded { .. })
    }
}

/// How engines are launched: this binary, by its `engine` and `hold` commands.
#[derive(Clone, Debug)]
pub(crate) struct EngineCommand {
    /// The binary.
    pub(crate) program: PathBuf,
}
