//! Implements spin:sqlite with rusqlite, as Spin's default store does. Each connection that a component opens is one
//! SQLite connection, made when its first statement runs. Statements run on threads that may block.
//!
//! The database has SQLite's defaults. Its journal is `DELETE` unless an operator has changed it in the file. Writers
//! have no queue: a connection tries for 5 s to get its lock, which is rusqlite's default. After that its statement
//! fails with `database is locked`, an [`Error::Io`]. An async statement reports this error after its rows.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::params_from_iter;
use rusqlite::types::{ToSqlOutput, ValueRef};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use wasmtime::component::{Accessor, FutureReader, Resource, StreamReader};

use super::component::interfaces::spin::sqlite::sqlite::{
    Error, Host, HostConnection, HostConnectionWithStore, QueryResult, RowResult, Value,
};
use super::component::{Spin, State};
use super::rows::RowStream;

/// The only database that the manifest grants.
const DEFAULT: &str = "default";
/// Rows of an async statement that may wait for the component. The statement keeps its lock until all are taken.
const ROWS_AHEAD: usize = 4;

/// A connection that a component has opened.
#[expect(unreachable_pub, reason = "the generated bindings re-export it, which they can't with less")]
pub struct Connection(Arc<Opened>);

struct Opened {
    file: PathBuf,
    connection: Mutex<Option<rusqlite::Connection>>,
}

impl Opened {
    /// Blocks while another statement of this connection runs, or while another connection holds the lock.
    fn with<R>(&self, work: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<R>) -> Result<R, Error> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = match connection.take() {
            Some(opened) => opened,
            None => rusqlite::Connection::open(&self.file).map_err(io)?,
        };
        work(connection.insert(opened)).map_err(io)
    }

    /// Runs a statement to its last row, because a statement that writes commits only then.
    fn execute(
        &self,
        statement: &str,
        parameters: &[Value],
        names: impl FnOnce(Vec<String>),
        mut take: impl FnMut(RowResult) -> bool,
    ) -> Result<(), Error> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(statement)?;
            let columns: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
            let width = columns.len();
            names(columns);
            let mut rows = statement.query(params_from_iter(parameters))?;
            while let Some(row) = rows.next()? {
                let values = (0..width).map(|column| row.get_ref(column).map(value));
                if !take(RowResult { values: values.collect::<rusqlite::Result<_>>()? }) {
                    break;
                }
            }
            Ok(())
        })
    }
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
        let opened = Opened { file: self.node.database.clone(), connection: Mutex::new(None) };
        Ok(Ok(self.table.push(Connection(Arc::new(opened)))?))
    }

    fn opened(&self, connection: &Resource<Connection>) -> wasmtime::Result<Arc<Opened>> {
        Ok(Arc::clone(&self.table.get(connection)?.0))
    }
}

/// The results of an async statement: its columns, its rows, and whether it succeeded to the end.
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
        let opened = self.opened(&connection)?;
        let work = move || {
            let mut result = QueryResult { columns: Vec::new(), rows: Vec::new() };
            let QueryResult { columns, rows } = &mut result;
            let take = |row| {
                rows.push(row);
                true
            };
            opened.execute(&statement, &parameters, |names| *columns = names, take).map(|()| result)
        };
        Ok(spawn_blocking(work).await.unwrap_or_else(|error| Err(Error::Io(error.to_string()))))
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
        let (names, columns) = oneshot::channel();
        let (rows, taken) = mpsc::channel(ROWS_AHEAD);
        let (end, ended) = oneshot::channel();
        spawn_blocking(move || {
            // The component may have dropped any of the three receivers.
            let names = |columns| drop(names.send(columns));
            let result = opened.execute(&statement, &parameters, names, |row| rows.blocking_send(row).is_ok());
            drop(end.send(result));
        });
        // A statement that can't be prepared has no columns. Its end says why.
        let columns = columns.await.unwrap_or_default();
        accessor.with(|mut access| {
            let rows = StreamReader::new(&mut access, RowStream(taken))?;
            let ended = async { wasmtime::error::Ok(outcome(ended).await) };
            Ok(Ok((columns, rows, FutureReader::new(&mut access, ended)?)))
        })
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

/// The result of an async statement. Its thread sends it unless the thread panics.
async fn outcome(ended: oneshot::Receiver<Result<(), Error>>) -> Result<(), Error> {
    ended.await.unwrap_or_else(|_| Err(Error::Io("the statement did not end".to_owned())))
}

// Both functions read a field of the connection. They block a thread that runs components while another statement of
// the same connection runs.

fn last_insert_rowid(opened: &Opened) -> wasmtime::Result<i64> {
    Ok(opened.with(|connection| Ok(connection.last_insert_rowid()))?)
}

fn changes(opened: &Opened) -> wasmtime::Result<u64> {
    Ok(opened.with(|connection| Ok(connection.changes()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_statement_whose_thread_panics_has_failed() {
        let (end, ended) = oneshot::channel();
        let thread = spawn_blocking(move || {
            let _end = end;
            panic!("as a statement's might");
        });
        assert!(matches!(outcome(ended).await, Err(Error::Io(_))));
        thread.await.expect_err("it panicked");
    }
}
