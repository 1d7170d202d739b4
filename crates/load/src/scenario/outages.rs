//! When backends of a simulation are away: by accident, or for a restart.

use plimsoll_core_types::ReplicaId;

use crate::balance::{BackendConfig, Balancer};

/// When a backend does not answer, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Outage {
    pub(super) from: f64,
    pub(super) to: f64,
    /// Whether it takes requests and never answers, rather than fail them at once.
    pub(super) hangs: bool,
}

/// How long a backend takes to start again, and how long the next one waits then.
const STARTS: f64 = 2.0;
const RESTS: f64 = 3.0;
/// How often it is looked at whether a backend that drains is empty.
const LOOKS: f64 = 0.1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Serves,
    Drains,
    Away,
}

/// A restart of each backend, one after the other: drained, removed once it is empty, added again.
#[derive(Debug)]
pub(super) struct Restart {
    backends: usize,
    backend: BackendConfig,
    next: usize,
    stage: Stage,
}

impl Restart {
    pub(super) const fn new(backends: usize, backend: BackendConfig) -> Self {
        Self { backends, backend, next: 0, stage: Stage::Serves }
    }

    /// The next step; answers when to take the one after it.
    pub(super) fn step(&mut self, balancer: &Balancer, now: f64) -> Option<f64> {
        if self.next == self.backends {
            return None;
        }
        let id = ReplicaId::new(self.next as u64);
        let (stage, after) = match self.stage {
            Stage::Serves => {
                balancer.drain(id);
                (Stage::Drains, LOOKS)
            }
            Stage::Drains => {
                let known = balancer.backends();
                let empty = known.iter().all(|known| known.id != id || known.in_progress == 0);
                if empty {
                    balancer.remove(id);
                }
                if empty { (Stage::Away, STARTS) } else { (Stage::Drains, LOOKS) }
            }
            Stage::Away => {
                balancer.add(id, self.backend);
                self.next += 1;
                (Stage::Serves, RESTS)
            }
        };
        self.stage = stage;
        Some(now + after)
    }
}
