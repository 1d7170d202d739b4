//! What is kept between runs: leases of other programs, and what was learned.
//!
//! One thread writes. Whatever comes while it waits for the disk goes into its next transaction, so
//! that many leases a second cost few writes, and no async worker ever waits for a disk. Where the
//! disk refuses, the newest value of each key is kept in memory and tried again.

mod disk;
mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use plimsoll_memory::footprint::Learned;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use crate::lease::Given;
use disk::{Database, Disk, Table};
use writer::Queue;

/// How long somebody waits for the disk before being told that nothing is certain.
const WITHIN: Duration = Duration::from_secs(5);

/// Writes what is to be kept.
#[derive(Debug)]
pub(crate) struct Store {
    queue: Arc<Queue>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What was kept.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) leases: Vec<Given>,
    pub(crate) learned: Vec<(String, Learned)>,
    /// How long each model's last load took.
    pub(crate) loads: BTreeMap<String, Duration>,
}

/// Why nothing can be kept.
#[derive(Debug, thiserror::Error)]
#[error("{}: {step} failed: {cause}", path.display())]
pub(crate) struct StoreError {
    path: PathBuf,
    step: &'static str,
    cause: String,
}

impl Store {
    /// Opens what is kept in `folder`, which is made where it is not there.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Kept), StoreError> {
        let fail = |step, cause: String| StoreError { path: folder.to_owned(), step, cause };
        std::fs::create_dir_all(folder).map_err(|e| fail("making the folder", e.to_string()))?;
        let mut database = Database::new(folder.join("plimsoll.redb"));
        database.open().map_err(|cause| fail("opening it", cause))?;
        let read = |table| database.read(table).map_err(|cause| fail("reading it", cause));
        let kept = Kept {
            leases: meant(read(Table::Leases)?).map(|(_, given)| given).collect(),
            learned: meant(read(Table::Learned)?).collect(),
            loads: meant(read(Table::Loads)?).collect(),
        };
        let store = Self::over(Box::new(database));
        Ok((store.map_err(|error| fail("starting its thread", error.to_string()))?, kept))
    }

    fn over(mut disk: Box<dyn Disk>) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let work = Arc::clone(&queue);
        let thread = std::thread::Builder::new().name("store".to_owned());
        let thread = thread.spawn(move || writer::run(&work, &mut *disk))?;
        Ok(Self { queue, thread: Some(thread) })
    }

    /// Keeps a lease. True once it is certain to outlive this process; false where it is not.
    ///
    /// Cancel safe: it is kept all the same.
    pub(crate) async fn keep_lease(&self, given: &Given) -> bool {
        self.certain(Table::Leases, &given.id, Some(bytes(given))).await
    }

    /// Forgets a lease. True once it is certain not to come back; false where it is not.
    ///
    /// Cancel safe: it is forgotten all the same.
    pub(crate) async fn forget_lease(&self, id: &str) -> bool {
        self.certain(Table::Leases, id, None).await
    }

    /// Forgets a lease for which nobody waits.
    pub(crate) fn forget_lease_soon(&self, id: &str) {
        self.queue.put(Table::Leases, id, None, None);
    }

    pub(crate) fn keep_learned(&self, learned: &[(String, Learned)]) {
        for (name, learned) in learned {
            self.queue.put(Table::Learned, name, Some(bytes(learned)), None);
        }
    }

    pub(crate) fn keep_load(&self, model: &str, took: Duration) {
        self.queue.put(Table::Loads, model, Some(bytes(&took)), None);
    }

    async fn certain(&self, table: Table, key: &str, value: Option<Vec<u8>>) -> bool {
        let (waits, written) = oneshot::channel();
        self.queue.put(table, key, value, Some(waits));
        matches!(tokio::time::timeout(WITHIN, written).await, Ok(Ok(true)))
    }

    /// What is wrong with the disk, where something is.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.queue.trouble()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take() {
            // A writer that has failed has said so, and there is nobody else to write.
            let _ = thread.join();
        }
    }
}

fn bytes(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// What another version has written, and this one can't read, is not there.
fn meant<T: DeserializeOwned>(found: Vec<(String, Vec<u8>)>) -> impl Iterator<Item = (String, T)> {
    found.into_iter().filter_map(|(key, value)| Some((key, serde_json::from_slice(&value).ok()?)))
}

#[cfg(test)]
mod tests;
