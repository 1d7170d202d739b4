//! Who writes, and what waits for it.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::disk::{Batch, Disk, Table};

/// How long to wait before a disk that has refused is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// What is to be written, the newest value of each key, and who waits for that.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct State {
    batch: Batch,
    waiting: Vec<oneshot::Sender<bool>>,
    trouble: Option<String>,
    closing: bool,
}

impl Queue {
    /// Tells `waits` true once it is written, false where the disk has refused.
    pub(super) fn put(
        &self,
        table: Table,
        key: &str,
        value: Option<Vec<u8>>,
        waits: Option<oneshot::Sender<bool>>,
    ) {
        let mut state = self.state.lock();
        state.batch.insert((table, key.to_owned()), value);
        state.waiting.extend(waits);
        drop(state);
        self.news.notify_one();
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.state.lock().trouble.clone()
    }

    pub(super) fn close(&self) {
        self.state.lock().closing = true;
        self.news.notify_one();
    }

    /// What is to be written now; none where there is nothing and will be nothing.
    fn take(&self) -> Option<(Batch, Vec<oneshot::Sender<bool>>)> {
        let mut state = self.state.lock();
        self.news.wait_while(&mut state, |state| state.batch.is_empty() && !state.closing);
        let (batch, waiting) =
            (std::mem::take(&mut state.batch), std::mem::take(&mut state.waiting));
        (!batch.is_empty()).then_some((batch, waiting))
    }

    fn note_success(&self) {
        if self.state.lock().trouble.take().is_some() {
            tracing::warn!("what is kept can be written again");
        }
    }

    /// Puts back what could not be written, below what has come since.
    fn put_back(&self, batch: Batch, cause: String) {
        let mut state = self.state.lock();
        for (key, value) in batch {
            state.batch.entry(key).or_insert(value);
        }
        if state.trouble.as_ref() != Some(&cause) {
            tracing::warn!(
                cause,
                "nothing can be kept: leases hold in memory, and are tried again"
            );
        }
        state.trouble = Some(cause);
    }

    /// Waits until it is time to try again. False where nobody does.
    fn pause(&self) -> bool {
        let mut state = self.state.lock();
        if !state.closing {
            self.news.wait_while_for(&mut state, |state| !state.closing, AGAIN);
        }
        !state.closing
    }
}

/// Writes until the queue is closed and empty. Whoever hears how it went finds the queue saying the
/// same.
pub(super) fn run(queue: &Queue, disk: &mut dyn Disk) {
    while let Some((batch, waiting)) = queue.take() {
        let written = disk.write(&batch);
        let certain = written.is_ok();
        match written {
            Ok(()) => queue.note_success(),
            Err(cause) => queue.put_back(batch, cause),
        }
        for waits in waiting {
            // Whoever has gone does not need to know.
            let _ = waits.send(certain);
        }
        if !certain && !queue.pause() {
            return;
        }
    }
}
