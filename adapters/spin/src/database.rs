//! The database in spin:sqlite: statements that wait while another instance writes.

use std::iter;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use isotherm_core::{Patience, Service, TABLES};
use spin_sdk::sqlite::{Connection, Error, RowResult, Value};
use spin_sdk::time::sleep;

/// SQLite's error when another connection has kept the lock for longer than SQLite waits by itself.
const LOCKED: &str = "database is locked";

/// The default database, for one request. Its tables may still be missing.
pub(crate) struct Database<'a> {
    connection: &'static Connection,
    service: &'a Service,
    arrived: Instant,
}

impl<'a> Database<'a> {
    /// Opens the database. All requests of an instance share one connection, on which their statements queue.
    /// Separate connections would compete for SQLite's lock.
    pub(crate) async fn open(service: &'a Service) -> Result<Self, Error> {
        static CONNECTION: OnceLock<Connection> = OnceLock::new();
        let arrived = Instant::now();
        let connection = match CONNECTION.get() {
            Some(connection) => connection,
            None => {
                let opened = Connection::open_default().await?;
                CONNECTION.get_or_init(|| opened)
            }
        };
        Ok(Self { connection, service, arrived })
    }

    /// How long ago the request arrived.
    pub(crate) fn since_arrival(&self) -> Duration {
        self.arrived.elapsed()
    }

    /// Returns all rows of one statement.
    pub(crate) async fn query(
        &self,
        statement: &str,
        // Not `impl Fn`: this function is then compiled once, and not for each statement.
        parameters: &dyn Fn() -> Vec<Value>,
    ) -> Result<Vec<RowResult>, Error> {
        let mut patience = Patience::default();
        loop {
            match self.execute(statement, parameters()).await {
                Err(error) => self.before_next_try(error, &mut patience).await?,
                rows => return rows,
            }
        }
    }

    /// Hands out the rows of one statement, until there are no more or one is rejected. Returns whether all were
    /// taken.
    pub(crate) async fn query_while(
        &self,
        statement: &str,
        parameters: &dyn Fn() -> Vec<Value>,
        mut take: impl FnMut(RowResult) -> bool,
    ) -> Result<bool, Error> {
        let mut patience = Patience::default();
        loop {
            let mut rows = self.connection.execute(statement, parameters()).await?;
            let mut is_begun = false;
            while let Some(row) = rows.next().await {
                is_begun = true;
                if !take(row) {
                    return Ok(false);
                }
            }
            match rows.result().await {
                Err(error) if !is_begun => self.before_next_try(error, &mut patience).await?,
                result => return result.map(|()| true),
            }
        }
    }

    /// Makes missing tables, and waits while another instance writes: a statement that failed for either reason has
    /// done nothing. Returns any other error, and also this one if the request has no more time.
    async fn before_next_try(&self, error: Error, patience: &mut Patience) -> Result<(), Error> {
        let error = match &error {
            // Only the first statement of a database ever finds no table, so the others don't pay for looking.
            Error::Io(reason) if reason.contains("no such table") => match self.create().await {
                Ok(()) => error,
                Err(other) => other,
            },
            Error::Io(reason) if reason.contains(LOCKED) => error,
            _ => return Err(error),
        };
        match patience.pause(self.arrived.elapsed()) {
            Some(pause) => {
                sleep(pause).await;
                Ok(())
            }
            None => Err(error),
        }
    }

    async fn create(&self) -> Result<(), Error> {
        for table in TABLES {
            self.execute(table, Vec::new()).await?;
        }
        // Spin has no start, so the notice is printed once in the life of a database, not for every request.
        self.service.notice().into_iter().for_each(|notice| eprintln!("isotherm: {notice}"));
        Ok(())
    }

    async fn execute(&self, statement: &str, parameters: Vec<Value>) -> Result<Vec<RowResult>, Error> {
        self.connection.execute(statement, parameters).await?.collect().await
    }
}

/// Repeats `item` `count` times, separated by commas.
pub(crate) fn list(count: usize, item: &str) -> String {
    iter::repeat_n(item, count).collect::<Vec<_>>().join(", ")
}

pub(crate) fn integer(value: u64) -> Value {
    Value::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}
