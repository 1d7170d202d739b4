//! What is kept between runs: leases of other programs, engines, and what was learned.

use std::path::{Path, PathBuf};
use std::time::Duration;

use plimsoll_memory::footprint::Learned;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::lease::Given;
use crate::lease::alive::ProcessKey;

const LEASES: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("leases");
const ENGINES: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("engines");
const LEARNED: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("learned");
const LOADS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("loads");

/// An embedded database in the folder of what is kept.
#[derive(Debug)]
pub(crate) struct Store {
    database: Database,
}

/// A process that served a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeptEngine {
    pub(crate) model: String,
    pub(crate) process: ProcessKey,
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
    pub(crate) fn open(folder: &Path) -> Result<Self, StoreError> {
        let fail = |step, cause: String| StoreError { path: folder.to_owned(), step, cause };
        std::fs::create_dir_all(folder).map_err(|e| fail("making the folder", e.to_string()))?;
        let file = folder.join("plimsoll.redb");
        let database = Database::create(file).map_err(|error| match error {
            redb::DatabaseError::DatabaseAlreadyOpen => {
                fail("opening it", "another broker keeps its state there".to_owned())
            }
            other => fail("opening it", other.to_string()),
        })?;
        let store = Self { database };
        store.make_tables().map_err(|error| fail("making its tables", error.to_string()))?;
        Ok(store)
    }

    fn make_tables(&self) -> Result<(), redb::Error> {
        let write = self.database.begin_write()?;
        for table in [LEASES, ENGINES, LEARNED, LOADS] {
            write.open_table(table)?;
        }
        write.commit()?;
        Ok(())
    }

    pub(crate) fn keep_lease(&self, given: &Given) {
        self.put(LEASES, &given.id, given);
    }

    pub(crate) fn forget_lease(&self, id: &str) {
        self.remove(LEASES, id);
    }

    pub(crate) fn leases(&self) -> Vec<Given> {
        self.all(LEASES).into_iter().map(|(_, given)| given).collect()
    }

    pub(crate) fn keep_engine(&self, engine: &KeptEngine) {
        self.put(ENGINES, &engine.model, engine);
    }

    pub(crate) fn forget_engine(&self, model: &str) {
        self.remove(ENGINES, model);
    }

    pub(crate) fn engines(&self) -> Vec<KeptEngine> {
        self.all(ENGINES).into_iter().map(|(_, engine)| engine).collect()
    }

    /// Keeps everything that was learned, in one transaction.
    pub(crate) fn keep_learned(&self, learned: &[(String, Learned)]) {
        let written = || -> Result<(), redb::Error> {
            let write = self.database.begin_write()?;
            {
                let mut table = write.open_table(LEARNED)?;
                for (name, learned) in learned {
                    let bytes = serde_json::to_vec(learned).unwrap_or_default();
                    table.insert(name.as_str(), bytes.as_slice())?;
                }
            }
            write.commit()?;
            Ok(())
        };
        warn("kept", written());
    }

    pub(crate) fn learned(&self) -> Vec<(String, Learned)> {
        self.all(LEARNED)
    }

    pub(crate) fn keep_load(&self, model: &str, took: Duration) {
        self.put(LOADS, model, &took);
    }

    pub(crate) fn loads(&self) -> Vec<(String, Duration)> {
        self.all(LOADS)
    }

    fn put(&self, table: TableDefinition<'static, &str, &[u8]>, key: &str, value: &impl Serialize) {
        let written = || -> Result<(), redb::Error> {
            let bytes = serde_json::to_vec(value).unwrap_or_default();
            let write = self.database.begin_write()?;
            write.open_table(table)?.insert(key, bytes.as_slice())?;
            write.commit()?;
            Ok(())
        };
        warn("kept", written());
    }

    fn remove(&self, table: TableDefinition<'static, &str, &[u8]>, key: &str) {
        let written = || -> Result<(), redb::Error> {
            let write = self.database.begin_write()?;
            write.open_table(table)?.remove(key)?;
            write.commit()?;
            Ok(())
        };
        warn("forgotten", written());
    }

    fn all<T: DeserializeOwned>(
        &self,
        table: TableDefinition<'static, &str, &[u8]>,
    ) -> Vec<(String, T)> {
        let read = || -> Result<Vec<(String, T)>, redb::Error> {
            let read = self.database.begin_read()?;
            let table = read.open_table(table)?;
            let mut found = Vec::new();
            for entry in table.iter()? {
                let (key, value) = entry?;
                // What another version has written, and this one can't read, is not there.
                if let Ok(value) = serde_json::from_slice(value.value()) {
                    found.push((key.value().to_owned(), value));
                }
            }
            Ok(found)
        };
        read().unwrap_or_else(|error| {
            tracing::warn!(%error, "what was kept can't be read");
            Vec::new()
        })
    }
}

/// The broker goes on without what could not be kept: leases hold in memory all the same.
fn warn(what: &'static str, written: Result<(), redb::Error>) {
    if let Err(error) = written {
        tracing::warn!(%error, "nothing could be {what}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_there_after_a_restart_and_nobody_else_may_open_it() {
        let folder = tempfile::tempdir().unwrap();
        let process = ProcessKey::own().unwrap();
        let engine = KeptEngine { model: "m".to_owned(), process };
        let store = Store::open(folder.path()).unwrap();
        store.keep_engine(&engine);
        store.keep_load("m", Duration::from_millis(1500));
        let error = Store::open(folder.path()).unwrap_err();
        assert!(error.to_string().contains("another broker"), "{error}");
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.engines(), [engine]);
        assert_eq!(store.loads(), [("m".to_owned(), Duration::from_millis(1500))]);
        store.forget_engine("m");
        assert!(store.engines().is_empty());
    }
}
