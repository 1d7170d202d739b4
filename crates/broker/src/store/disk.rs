//! Where it is written: an embedded database, opened anew when a write has failed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use redb::{ReadableDatabase as _, ReadableTable as _, TableDefinition};

/// How many bytes of the file are held in memory. It is read at the start, and the operating system
/// keeps what is written over and over.
const CACHE: usize = 1 << 20;

/// What is kept, by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    Leases,
    Learned,
    Loads,
}

/// New values; none takes a key away.
pub(super) type Batch = BTreeMap<(Table, String), Option<Vec<u8>>>;

/// Something that keeps what it is given, whatever happens to this process.
pub(super) trait Disk: fmt::Debug + Send {
    /// Writes all of `batch`, or nothing of it.
    fn write(&mut self, batch: &Batch) -> Result<(), String>;
}

/// A database in one file.
#[derive(Debug)]
pub(super) struct Database {
    path: PathBuf,
    open: Option<redb::Database>,
}

impl Table {
    const ALL: [Self; 3] = [Self::Leases, Self::Learned, Self::Loads];

    const fn definition(self) -> TableDefinition<'static, &'static str, &'static [u8]> {
        TableDefinition::new(match self {
            Self::Leases => "leases",
            Self::Learned => "learned",
            Self::Loads => "loads",
        })
    }
}

impl Database {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path, open: None }
    }

    pub(super) fn open(&mut self) -> Result<(), String> {
        let made = redb::Builder::new().set_cache_size(CACHE).create(&self.path);
        let database = made.map_err(|error| match error {
            redb::DatabaseError::DatabaseAlreadyOpen => {
                "another broker keeps its state there".to_owned()
            }
            other => other.to_string(),
        })?;
        make_tables(&database).map_err(|error| error.to_string())?;
        self.open = Some(database);
        Ok(())
    }

    /// Everything in `table`.
    pub(super) fn read(&self, table: Table) -> Result<Vec<(String, Vec<u8>)>, String> {
        let Some(database) = &self.open else { return Err("it is not open".to_owned()) };
        all(database, table).map_err(|error| error.to_string())
    }
}

impl Disk for Database {
    fn write(&mut self, batch: &Batch) -> Result<(), String> {
        if self.open.is_none() {
            self.open()?;
        }
        let Some(database) = &self.open else { return Err("it is not open".to_owned()) };
        put(database, batch).map_err(|error| {
            // After a write that has failed it takes no other, until it is opened anew.
            self.open = None;
            error.to_string()
        })
    }
}

fn make_tables(database: &redb::Database) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    for table in Table::ALL {
        write.open_table(table.definition())?;
    }
    write.commit()?;
    Ok(())
}

fn put(database: &redb::Database, batch: &Batch) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    for table in Table::ALL {
        let mut open = write.open_table(table.definition())?;
        for ((_, key), value) in batch.iter().filter(|((of, _), _)| *of == table) {
            match value {
                Some(value) => open.insert(key.as_str(), value.as_slice())?,
                None => open.remove(key.as_str())?,
            };
        }
    }
    write.commit()?;
    Ok(())
}

fn all(database: &redb::Database, table: Table) -> Result<Vec<(String, Vec<u8>)>, redb::Error> {
    let read = database.begin_read()?;
    let table = read.open_table(table.definition())?;
    let mut found = Vec::new();
    for entry in table.iter()? {
        let (key, value) = entry?;
        found.push((key.value().to_owned(), value.value().to_vec()));
    }
    Ok(found)
}
