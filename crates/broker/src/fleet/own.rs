//! A process that this broker has started, or taken over from another one.

use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, ChildStdin};

use super::guards::{Guarded, Noter};
use super::words::LastWords;

/// How long an engine that is told to end may take.
const END_WITHIN: Duration = Duration::from_secs(5);

/// An engine's process, the leader of a group of its own. It is ended on drop.
#[derive(Debug)]
pub(super) enum Own {
    /// It ends with this broker.
    Child(OwnChild),
    /// It may outlive this broker.
    Guarded(Guarded),
}

/// A child of this broker.
#[derive(Debug)]
pub(super) struct OwnChild {
    child: Child,
    pid: u32,
    words: LastWords,
    /// The embedded engine ends when this closes.
    _input: Option<ChildStdin>,
}

impl Own {
    pub(super) const fn pid(&self) -> u32 {
        match self {
            Self::Child(own) => own.pid,
            Self::Guarded(guarded) => guarded.pid(),
        }
    }

    /// What it has printed of late.
    pub(super) const fn words(&self) -> &LastWords {
        match self {
            Self::Child(own) => &own.words,
            Self::Guarded(guarded) => guarded.words(),
        }
    }

    /// Waits until it has ended. There is no status where nobody knows it.
    ///
    /// Cancel safe.
    pub(super) async fn ended(&mut self) -> Option<ExitStatus> {
        match self {
            // A child that can't be waited for is gone as well.
            Self::Child(own) => own.child.wait().await.ok(),
            Self::Guarded(guarded) => guarded.ended().await,
        }
    }

    /// Ends it, and waits until the operating system has taken its memory back. It is asked first
    /// where it heeds that.
    pub(super) async fn end(&mut self, asks_first: bool) {
        let heeded = asks_first && self.heeds().await;
        // What it leaves behind is ended, too.
        match self {
            Self::Child(own) => {
                own.signal(Signal::KILL);
                if !heeded && let Err(error) = own.child.kill().await {
                    tracing::warn!(pid = own.pid, %error, "kill");
                }
            }
            Self::Guarded(guarded) => guarded.end().await,
        }
    }

    /// Asks it to end. True where it has.
    async fn heeds(&mut self) -> bool {
        match self {
            Self::Child(own) => own.signal(Signal::TERM),
            Self::Guarded(guarded) => guarded.terminate(),
        }
        tokio::time::timeout(END_WITHIN, self.ended()).await.is_ok()
    }

    /// Notes for the next broker that it serves; gives what notes changes of its lease.
    pub(super) fn note_ready(&mut self) -> Option<Noter> {
        let Self::Guarded(guarded) = self else { return None };
        guarded.note_ready();
        Some(guarded.noter())
    }
}

impl OwnChild {
    pub(super) fn new(mut child: Child) -> Option<Self> {
        let (pid, words, input) = (child.id()?, LastWords::listen(&mut child), child.stdin.take());
        Some(Self { child, pid, words, _input: input })
    }

    /// Tells the whole group. What is not there any more need not be told.
    fn signal(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for OwnChild {
    fn drop(&mut self) {
        // Whatever it has started ends with it.
        self.signal(Signal::KILL);
    }
}
