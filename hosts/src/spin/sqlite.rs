//! spin:sqlite over rusqlite, as Spin's own default store does it: a connection of SQLite for each connection that a
//! component opens, made when its first statement runs, and statements on threads where they may block.
//!
//! One thing is not SQLite's own: writers of this process wait on a lock for their turn. SQLite lets them try again after
//! ever longer pauses, and of many that write at once some come too late every time, until they give up.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use rusqlite::params_from_iter;
use rusqlite::types::{ToSqlOutput, ValueRef};
use wasmtime::component::{Accessor, FutureReader, Resource, StreamReader};

use super::component::interfaces::spin::sqlite::sqlite::{
    Error, Host, HostConnection, HostConnectionWithStore, QueryResult, RowResult, Value,
};
use super::component::{Spin, State};

/// The only database that the manifest grants.
const DEFAULT: &str = "default";

/// A database file.
pub(super) struct Database {
    path: PathBuf,
    /// Whose turn it is to write.
    writing: Mutex<()>,
    /// Held for as long as the host runs: when the last connection to a database closes, SQLite writes all of its log back.
    _keeper: Mutex<rusqlite::Connection>,
}

impl Database {
    /// Opens the file, or makes it.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let keeper = rusqlite::Connection::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        // Kept in the file for every later connection. `synchronous` stays at SQLite's default, FULL: a COMMIT that
        // returned is on the disk.
        keeper.pragma_update(None, "journal_mode", "wal").with_context(|| format!("cannot use {}", path.display()))?;
        // The log is opened by the first read, and only who has it open keeps it from being written back.
        let opens_the_log = keeper.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0));
        opens_the_log.with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self { path: path.to_owned(), writing: Mutex::new(()), _keeper: Mutex::new(keeper) })
    }
}

/// What a component has opened.
#[expect(unreachable_pub, reason = "the generated bindings re-export it, which they can't with less")]
pub struct Connection(Arc<Opened>);

struct Opened {
    database: Arc<Database>,
    connection: Mutex<Option<rusqlite::Connection>>,
}

impl Opened {
    /// Blocks for as long as another connection writes.
    fn with<R>(&self, work: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<R>) -> Result<R, Error> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = match connection.take() {
            Some(opened) => opened,
            None => rusqlite::Connection::open(&self.database.path).map_err(io)?,
        };
        work(connection.insert(opened)).map_err(io)
    }

    async fn execute(self: Arc<Self>, statement: String, parameters: Vec<Value>) -> Result<QueryResult, Error> {
        let work = move || self.with(|connection| execute(connection, &self.database.writing, &statement, &parameters));
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(Error::Io(error.to_string())))
    }
}

fn execute(
    connection: &rusqlite::Connection,
    writing: &Mutex<()>,
    statement: &str,
    parameters: &[Value],
) -> rusqlite::Result<QueryResult> {
    let mut statement = connection.prepare_cached(statement)?;
    // Who is within a transaction must not wait: perhaps it is what the others wait for.
    let writes = connection.is_autocommit() && !statement.readonly();
    let _turn = writes.then(|| writing.lock().unwrap_or_else(PoisonError::into_inner));
    let columns: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
    let width = columns.len();
    let row = |row: &rusqlite::Row<'_>| {
        let values = (0..width).map(|column| row.get_ref(column).map(value)).collect::<rusqlite::Result<_>>()?;
        Ok(RowResult { values })
    };
    // To the last row: only then has a statement that writes been committed.
    let rows = statement.query_map(params_from_iter(parameters), row)?.collect::<rusqlite::Result<_>>()?;
    Ok(QueryResult { columns, rows })
}

fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(integer) => Value::Integer(integer),
        ValueRef::Real(real) => Value::Real(real),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(blob) => Value::Blob(blob.to_vec()),
    }
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(integer) => ValueRef::Integer(*integer),
            Self::Real(real) => ValueRef::Real(*real),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(blob) => ValueRef::Blob(blob),
        }))
    }
}

fn io(error: rusqlite::Error) -> Error {
    Error::Io(error.to_string())
}

impl State {
    fn open(&mut self, database: &str) -> wasmtime::Result<Result<Resource<Connection>, Error>> {
        if database != DEFAULT {
            return Ok(Err(Error::AccessDenied));
        }
        let opened = Opened { database: Arc::clone(&self.node.database), connection: Mutex::new(None) };
        Ok(Ok(self.table.push(Connection(Arc::new(opened)))?))
    }

    fn opened(&self, connection: &Resource<Connection>) -> wasmtime::Result<Arc<Opened>> {
        Ok(Arc::clone(&self.table.get(connection)?.0))
    }
}

/// What an async statement gives: columns, rows, and whether it went well to the end.
type Rows = (Vec<String>, StreamReader<RowResult>, FutureReader<Result<(), Error>>);

impl Host for &mut State {}

impl HostConnection for &mut State {
    async fn open(&mut self, database: String) -> wasmtime::Result<Result<Resource<Connection>, Error>> {
        State::open(self, &database)
    }

    async fn execute(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<Value>,
    ) -> wasmtime::Result<Result<QueryResult, Error>> {
        Ok(self.opened(&connection)?.execute(statement, parameters).await)
    }

    async fn last_insert_rowid(&mut self, connection: Resource<Connection>) -> wasmtime::Result<i64> {
        last_insert_rowid(&*self.opened(&connection)?)
    }

    async fn changes(&mut self, connection: Resource<Connection>) -> wasmtime::Result<u64> {
        changes(&*self.opened(&connection)?)
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl<T: 'static> HostConnectionWithStore<T> for Spin {
    async fn open_async(
        accessor: &Accessor<T, Self>,
        database: String,
    ) -> wasmtime::Result<Result<Resource<Connection>, Error>> {
        accessor.with(|mut access| access.get().open(&database))
    }

    async fn execute_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<Value>,
    ) -> wasmtime::Result<Result<Rows, Error>> {
        let opened = accessor.with(|mut access| access.get().opened(&connection))?;
        match opened.execute(statement, parameters).await {
            Ok(QueryResult { columns, rows }) => accessor.with(|mut access| {
                let rows = StreamReader::new(&mut access, rows)?;
                // The statement has run to its end already: nothing can go wrong any more.
                let finished = FutureReader::new(&mut access, async { wasmtime::error::Ok(Ok(())) })?;
                Ok(Ok((columns, rows, finished)))
            }),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn last_insert_rowid_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
    ) -> wasmtime::Result<i64> {
        last_insert_rowid(&*accessor.with(|mut access| access.get().opened(&connection))?)
    }

    async fn changes_async(accessor: &Accessor<T, Self>, connection: Resource<Connection>) -> wasmtime::Result<u64> {
        changes(&*accessor.with(|mut access| access.get().opened(&connection))?)
    }
}

// Both read a field of the connection and don't block, unless a statement of the same instance is still running.

fn last_insert_rowid(opened: &Opened) -> wasmtime::Result<i64> {
    Ok(opened.with(|connection| Ok(connection.last_insert_rowid()))?)
}

fn changes(opened: &Opened) -> wasmtime::Result<u64> {
    Ok(opened.with(|connection| Ok(connection.changes()))?)
}
