//! What a model is, before it runs.

use std::path::PathBuf;
use std::time::Duration;

use plimsoll_core_types::{Bytes, ModelId, Priority, ResourceVector};

/// A model that can be loaded.
#[derive(Clone, Debug)]
pub(crate) struct ModelSpec {
    /// Its name.
    pub(crate) id: ModelId,
    /// What its owner says it needs.
    pub(crate) declared: ResourceVector,
    /// What its weights take.
    pub(crate) weights: Bytes,
    /// Rounds of work for each row of weights when it is loaded.
    pub(crate) rounds: u32,
    /// Seed of its weights.
    pub(crate) seed: u64,
    /// How many requests it may work on at once.
    pub(crate) slots: usize,
    /// How long its owner says that its load takes.
    pub(crate) load_time: Duration,
    /// At which priority it asks for its lease when a request wants it.
    pub(crate) priority: Priority,
}

/// How engines are launched: this binary, by its `engine` command.
#[derive(Clone, Debug)]
pub(crate) struct EngineCommand {
    /// The binary.
    pub(crate) program: PathBuf,
}
