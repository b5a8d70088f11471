//! One shard of a tenant's events: a Durable Object, which is one SQLite database with one writer.
//!
//! Its statements take the events as the JSON that [`crate::store`] sends and give JSON back, so that no event is taken
//! apart here. Between two statements nothing is awaited: the runtime makes them one transaction, and holds the response
//! back until it is on disk (the output gate).

use worker::js_sys::futures::JsFuture;
use worker::wasm_bindgen::JsValue;
use worker::{
    DurableObject, Env, Error, Method, Request, Response, Result, SqlStorage, SqlStorageValue, State, durable_object,
    wasm_bindgen,
};

/// `seq` is the order in which events became durable, which is what folds them into reports one after another.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    digest TEXT NOT NULL,
    occurred_at INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    record TEXT NOT NULL
)";

/// Which of these events are there: an object of ids and their digests.
const TAKEN: &str = "SELECT json_group_object(id, digest) FROM events
    WHERE id IN (SELECT value ->> 'id' FROM json_each(?))";

const KEEP: &str = "INSERT OR IGNORE INTO events (id, digest, occurred_at, received_at, expires_at, record)
    SELECT value ->> 'id', value ->> 'digest', value ->> 'occurred_at', value ->> 'received_at', value ->> 'expires_at', value ->> 'record'
    FROM json_each(?)";

const FIND: &str = "SELECT record FROM events WHERE id = ?";

/// The class that the binding `SHARDS` makes objects of.
#[durable_object(fetch)]
pub struct Shard {
    sql: SqlStorage,
}

impl DurableObject for Shard {
    fn new(state: State, _env: Env) -> Self {
        let sql = state.storage().sql();
        // When this fails, so does every statement that finds no table, and says so.
        let _made = sql.exec(TABLE, None);
        Self { sql }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        match request.method() {
            Method::Post => self.keep(JsFuture::from(request.inner().text()?).await?),
            _ => self.find(request.path().trim_start_matches('/')),
        }
    }
}

impl Shard {
    /// Keeps the events that are not there yet, and answers those that were, each with its digest.
    fn keep(&self, events: JsValue) -> Result<Response> {
        let taken = text(self.sql.exec_raw(TAKEN, vec![events.clone()])?.raw().next())?;
        self.sql.exec_raw(KEEP, vec![events])?;
        Response::ok(taken.unwrap_or_default())
    }

    /// Answers the record of one event; nothing when it is not there.
    fn find(&self, id: &str) -> Result<Response> {
        let found = text(self.sql.exec(FIND, vec![id.into()])?.raw().next())?;
        Response::ok(found.unwrap_or_default())
    }
}

/// The one text of a row.
fn text(row: Option<Result<Vec<SqlStorageValue>>>) -> Result<Option<String>> {
    match row.transpose()?.as_deref() {
        None => Ok(None),
        Some([SqlStorageValue::String(text)]) => Ok(Some(text.clone())),
        Some(_) => Err(Error::RustError("a shard's statement gave another row than it was written for".to_owned())),
    }
}
