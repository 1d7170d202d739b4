//! What happened, with reasons: kept for a while, and told to whoever listens.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

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
    /// An engine that another broker has started serves again.
    Adopted,
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
    /// Nobody waits for a load any more, and it is not begun.
    GaveUp,
    /// Another program was given a lease.
    Leased,
    /// Another program gave its lease back.
    Released,
    /// A lease of another program, or an engine that belonged to nobody, was ended.
    Ended,
    /// A lease was changed in place.
    Resized,
    /// Something was broken on purpose, to show what follows.
    Injected,
    /// Another decision of the optimizer.
    Decided,
}

impl EventKind {
    /// What it is called, in a word or two.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Wait => "wait",
            Self::Refused => "refused",
            Self::Ready => "ready",
            Self::Adopted => "adopted",
            Self::WarmHit => "warm hit",
            Self::Prewarm => "prewarm",
            Self::Evicted => "evicted",
            Self::Replaced => "replaced",
            Self::Exited => "exited",
            Self::Failed => "failed",
            Self::GaveUp => "gave up",
            Self::Leased => "leased",
            Self::Released => "released",
            Self::Ended => "ended",
            Self::Resized => "resized",
            Self::Injected => "INJECTED",
            Self::Decided => "decided",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
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

/// The latest events, and how many there were in all.
#[derive(Debug, Default)]
struct Kept {
    events: VecDeque<Arc<Event>>,
    told: u64,
}

/// The latest events, and those who want to hear of new ones.
#[derive(Debug)]
pub(crate) struct Journal {
    kept: Mutex<Kept>,
    listeners: broadcast::Sender<Arc<Event>>,
}

impl Journal {
    pub(crate) fn new() -> Self {
        let (listeners, _) = broadcast::channel(BEHIND);
        Self { kept: Mutex::default(), listeners }
    }

    pub(crate) fn tell(&self, event: Event) {
        let event = Arc::new(event);
        let mut kept = self.kept.lock();
        if kept.events.len() == KEPT {
            kept.events.pop_front();
        }
        kept.events.push_back(Arc::clone(&event));
        kept.told += 1;
        drop(kept);
        // Nobody listening is no loss: the event is kept.
        let _ = self.listeners.send(event);
    }

    pub(crate) fn listen(&self) -> broadcast::Receiver<Arc<Event>> {
        self.listeners.subscribe()
    }

    /// The kept events after the one with the number `after`, the oldest first, and the number of
    /// the last one. Numbers begin at 1.
    pub(crate) fn after(&self, after: u64) -> (u64, Vec<Arc<Event>>) {
        let kept = self.kept.lock();
        let news = usize::try_from(kept.told.saturating_sub(after)).unwrap_or(usize::MAX);
        let skip = kept.events.len().saturating_sub(news);
        (kept.told, kept.events.iter().skip(skip).cloned().collect())
    }

    /// The kept events about `subject`, the oldest first.
    pub(crate) fn about(&self, subject: &str) -> Vec<Arc<Event>> {
        let kept = self.kept.lock();
        kept.events.iter().filter(|event| event.subject == subject).cloned().collect()
    }

    /// How many of the kept events are of `kind`.
    pub(crate) fn count(&self, kind: EventKind) -> usize {
        self.kept.lock().events.iter().filter(|event| event.kind == kind).count()
    }

    /// The first kept event of `kind`.
    pub(crate) fn first(&self, kind: EventKind) -> Option<Arc<Event>> {
        self.kept.lock().events.iter().find(|event| event.kind == kind).cloned()
    }
}
