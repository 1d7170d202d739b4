//! What happened, with reasons: kept for a while, and told to whoever listens.

use std::collections::VecDeque;
use std::fmt;

use parking_lot::Mutex;
use plimsoll_core_types::{Reason, Timestamp};
use serde::Serialize;
use tokio::sync::broadcast;

/// How many events are kept.
const KEPT: usize = 4096;
/// How far a listener may fall behind before it misses some.
const BEHIND: usize = 1024;

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EventKind {
    /// A load was begun.
    Load,
    /// Somebody began to wait for room.
    Wait,
    /// A request was refused.
    Refused,
    /// An engine serves.
    Ready,
    /// A warm engine answered a model's first request since it became ready.
    WarmHit,
    /// A load ahead of its requests was begun.
    Prewarm,
    /// A model was unloaded.
    Evicted,
    /// An engine was killed and is being started anew.
    Replaced,
    /// An engine ended by itself.
    Exited,
    /// An engine did not come up.
    Failed,
    /// A lease was changed in place.
    Resized,
    /// Something was broken on purpose, to show what follows.
    Injected,
    /// Another decision of the optimizer.
    Decided,
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Load => "load",
            Self::Wait => "wait",
            Self::Refused => "refused",
            Self::Ready => "ready",
            Self::WarmHit => "warm hit",
            Self::Prewarm => "prewarm",
            Self::Evicted => "evicted",
            Self::Replaced => "replaced",
            Self::Exited => "exited",
            Self::Failed => "failed",
            Self::Resized => "resized",
            Self::Injected => "INJECTED",
            Self::Decided => "decided",
        })
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Event {
    pub(crate) at: Timestamp,
    pub(crate) kind: EventKind,
    /// To which model, or what else.
    pub(crate) subject: String,
    pub(crate) reason: Reason,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.at.as_secs_f64();
        write!(f, "{seconds:7.2}s  {:<9} {:<10} {}", self.kind, self.subject, self.reason)
    }
}

/// The latest events, and those who want to hear of new ones.
#[derive(Debug)]
pub(crate) struct Journal {
    kept: Mutex<VecDeque<Event>>,
    listeners: broadcast::Sender<Event>,
}

impl Journal {
    pub(crate) fn new() -> Self {
        let (listeners, _) = broadcast::channel(BEHIND);
        Self { kept: Mutex::new(VecDeque::new()), listeners }
    }

    pub(crate) fn tell(&self, event: Event) {
        let mut kept = self.kept.lock();
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(event.clone());
        drop(kept);
        // Nobody listening is no loss: the event is kept.
        let _ = self.listeners.send(event);
    }

    pub(crate) fn listen(&self) -> broadcast::Receiver<Event> {
        self.listeners.subscribe()
    }

    /// How many of the kept events are of `kind`.
    pub(crate) fn count(&self, kind: EventKind) -> usize {
        self.kept.lock().iter().filter(|event| event.kind == kind).count()
    }

    /// The first kept event of `kind`.
    pub(crate) fn first(&self, kind: EventKind) -> Option<Event> {
        self.kept.lock().iter().find(|event| event.kind == kind).cloned()
    }
}
