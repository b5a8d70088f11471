//! The database in SQLite: its connections.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use isotherm_core::TABLES;
use rusqlite::Connection;

/// How long to wait for another process that holds the database, such as a backup or `sqlite3`. A request may wait for the
/// group of events before its own, then for a task of maintenance, and then with its own group. Together that is less than the
/// ten seconds that clients wait.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a task of maintenance waits for it. The task is tried again later.
pub(crate) const TASK_BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// Opens a connection.
pub(crate) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // With WAL, `NORMAL` would leave the last commits in the system's cache, although they are answered as durable.
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

/// Makes missing tables.
pub(crate) fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&TABLES.join(";"))
}

/// Connections beside the writer's. With WAL, those that read and the writer do not wait for each other. An import, which
/// is rare, writes on one of them.
pub(crate) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::default() }
    }

    /// Runs `query` on a connection that no other query uses.
    pub(crate) fn with<T>(&self, query: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = idle.map_or_else(|| open(&self.path), Ok)?;
        let result = query(&mut connection)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(result)
    }

    /// Closes the connections that no query uses.
    pub(crate) fn close(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

pub(crate) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
