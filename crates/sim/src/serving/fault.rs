//! What goes wrong, and when.

use std::fmt;
use std::time::Duration;

use plimsoll_core_types::{Bytes, Timestamp};

use super::{ModelState, ModelView};

/// Something that goes wrong once: the first time from `after` on that a model is in `phase`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// In which part of a model's life.
    pub phase: Phase,
    /// Not before this.
    pub after: Timestamp,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FaultKind {
    /// The engine dies; one that does not run dies at the end of its next load.
    Crash,
    /// The engine stops to answer and to make progress, until it is killed; one that does not run
    /// does so in its next load.
    Hang,
    /// The engine works at this share of its speed.
    Slow {
        /// Which share; above zero.
        speed: f64,
        /// For how long.
        lasts: Duration,
    },
    /// The engine works, and its health probes are lost.
    ProbeLoss {
        /// For how long.
        lasts: Duration,
    },
    /// Another program takes memory of the host.
    MemoryThief {
        /// How much.
        takes: Bytes,
        /// For how long.
        lasts: Duration,
    },
}

/// A part of a model's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Not loaded, nobody asks.
    Stopped,
    /// Not loaded, and asked for.
    Waiting,
    /// Loads.
    Loading,
    /// Ready, without work.
    Idle,
    /// Ready, at work.
    Busy,
    /// On its way out, at work.
    Draining,
}

impl FaultKind {
    /// Its name, without numbers.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Hang => "hang",
            Self::Slow { .. } => "slow",
            Self::ProbeLoss { .. } => "probe-loss",
            Self::MemoryThief { .. } => "memory-thief",
        }
    }
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Stopped, Self::Waiting, Self::Loading, Self::Idle, Self::Busy, Self::Draining];

    pub(super) fn of(model: &ModelView) -> Self {
        match model.state {
            ModelState::Stopped if model.queued > 0 => Self::Waiting,
            ModelState::Stopped => Self::Stopped,
            ModelState::Loading => Self::Loading,
            ModelState::Ready if model.in_progress > 0 => Self::Busy,
            ModelState::Ready => Self::Idle,
            ModelState::Draining => Self::Draining,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Stopped => "stopped",
            Self::Waiting => "waiting",
            Self::Loading => "loading",
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::Draining => "draining",
        })
    }
}
