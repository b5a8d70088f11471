//! DynamoDB on this machine: dynoxide, which keeps its tables in SQLite, served over HTTP.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use dynoxide::Database;
use serde_json::json;
use tokio::sync::oneshot;

use super::dynamodb_http::{self, Counts, Tables};
use super::stream::{Stream, StreamSettings};
use super::throughput::{Throughput, ThroughputSettings};
use crate::Meters;

/// The table of events.
pub(crate) const EVENTS: &str = "events";
/// The table of rollups.
pub(crate) const ROLLUPS: &str = "rollups";
/// How long requests in flight may take when the emulator stops.
const GRACE: Duration = Duration::from_secs(5);

/// The running emulator. It has its own thread because SQLite blocks and must not delay the Runtime API.
pub(crate) struct DynamoDb {
    url: String,
    database: Database,
    stream: Stream,
    counts: Counts,
    /// Held during an operation.
    operating: Arc<Mutex<()>>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<()>>,
}

impl DynamoDb {
    /// Opens or creates the tables under `data` and serves them.
    pub(crate) fn start(data: &Path, settings: StreamSettings) -> Result<Self> {
        let file = data.join("dynamodb.sqlite");
        let database = open(&file).with_context(|| format!("cannot use {} as DynamoDB's data", file.display()))?;
        let stream = Stream::open(database.clone(), EVENTS, data.join("shards.json"), settings)?;
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("no port is free on 127.0.0.1")?;
        listener.set_nonblocking(true)?;
        let url = format!("http://{}", listener.local_addr()?);
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let counts = Counts::default();
        let throughput = Throughput::new(ThroughputSettings::of_environment());
        let operating = Arc::default();
        let tables = Tables {
            database: database.clone(),
            counts: counts.clone(),
            throughput,
            operating: Arc::clone(&operating),
        };
        let described = stream.clone();
        let serve = move || {
            runtime.block_on(async {
                let _serving = dynamodb_http::start(listener, tables, described).await?;
                // A dropped sender also means stop. Operations never wait, so none is in progress at this point.
                drop(stopped.await);
                Ok(())
            })
        };
        let thread = std::thread::Builder::new().name("dynamodb".to_owned()).spawn(serve)?;
        Ok(Self { url, database, stream, counts, operating, stop, thread })
    }

    /// The endpoint's URL.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The stream of the table of events.
    pub(crate) fn stream(&self) -> Stream {
        self.stream.clone()
    }

    /// Adds the operations so far, and the sizes of the stored data.
    pub(crate) fn add_to(&self, meters: &mut Meters) -> Result<()> {
        let _no_operation = self.operating.lock().unwrap_or_else(PoisonError::into_inner);
        meters.store = self.counts.read();
        let stored = |table: &str| -> Result<u64> {
            let tables = self.database.table_stats()?;
            let found = tables.iter().find(|stats| stats.table_name == table);
            let count = found.with_context(|| format!("there is no table {table}"))?.item_count;
            Ok(u64::try_from(count)?)
        };
        // The store also counts pulses and shapes as items. Only this run's are known; earlier ones count as events.
        let others = meters.operations(&format!("{EVENTS}/{}", dynamodb_http::OTHER_NEW));
        (meters.events_stored, meters.pages_stored) = (stored(EVENTS)?.saturating_sub(others), stored(ROLLUPS)?);
        meters.store_bytes = self.database.db_size_bytes()?;
        Ok(())
    }

    /// Stops the emulator after the requests in flight.
    pub(crate) async fn stop(self) -> Result<()> {
        // The thread may have ended by itself. Its result then says why.
        let _ended = self.stop.send(());
        let joined = tokio::task::spawn_blocking(|| self.thread.join());
        let joined = tokio::time::timeout(GRACE, joined).await.context("the emulated DynamoDB did not stop")??;
        joined
            .map_err(|_panic| anyhow::anyhow!("the emulated DynamoDB panicked"))?
            .context("the emulated DynamoDB failed")
    }
}

fn open(file: &Path) -> Result<Database> {
    let path = file.to_str().context("the path is not UTF-8")?;
    let database = sqlite::open(path)?;
    let tables = database.list_tables(serde_json::from_value(json!({}))?)?;
    let missing = |table: &str| !tables.table_names.iter().any(|name| name == table);
    if missing(EVENTS) {
        let table = json!({
            "TableName": EVENTS,
            "KeySchema": [{ "AttributeName": "pk", "KeyType": "HASH" }],
            "AttributeDefinitions": [{ "AttributeName": "pk", "AttributeType": "S" }],
            "BillingMode": "PAY_PER_REQUEST",
            "StreamSpecification": { "StreamEnabled": true, "StreamViewType": "NEW_IMAGE" },
        });
        database.create_table(serde_json::from_value(table)?)?;
        let ttl = json!({
            "TableName": EVENTS,
            "TimeToLiveSpecification": { "AttributeName": "ttl", "Enabled": true },
        });
        database.update_time_to_live(serde_json::from_value(ttl)?)?;
    }
    if missing(ROLLUPS) {
        let table = json!({
            "TableName": ROLLUPS,
            "KeySchema": [
                { "AttributeName": "pk", "KeyType": "HASH" },
                { "AttributeName": "sk", "KeyType": "RANGE" },
            ],
            "AttributeDefinitions": [
                { "AttributeName": "pk", "AttributeType": "S" },
                { "AttributeName": "sk", "AttributeType": "S" },
            ],
            "BillingMode": "PAY_PER_REQUEST",
        });
        database.create_table(serde_json::from_value(table)?)?;
    }
    Ok(database)
}

/// Sets up the SQLite connection, to which dynoxide gives no access.
mod sqlite {
    use std::cell::Cell;
    use std::ffi::{c_char, c_int};
    use std::ptr;

    use anyhow::{Result, ensure};
    use dynoxide::Database;
    use rusqlite::ffi;

    thread_local! {
        /// The connection that this thread opened last.
        static OPENED: Cell<*mut ffi::sqlite3> = const { Cell::new(ptr::null_mut()) };
    }

    #[expect(unsafe_code, reason = "the signature of an SQLite extension; nothing in it is unsafe")]
    unsafe extern "C" fn note(
        connection: *mut ffi::sqlite3,
        _message: *mut *mut c_char,
        _api: *const ffi::sqlite3_api_routines,
    ) -> c_int {
        OPENED.set(connection);
        ffi::SQLITE_OK
    }

    /// Opens dynoxide's database with our own settings.
    ///
    /// - `synchronous = NORMAL`: a commit is in the log when it returns and survives kill -9, but it does not wait for
    ///   the disk. DynamoDB's time for a put does not depend on this disk.
    /// - Indexes for the stream: dynoxide reads the last sequence number with every put, and would scan all records.
    /// - No busy timeout: dynoxide would wait five seconds for a lock. It would then still make a put whose client has
    ///   given up long ago. Without the timeout it fails at once, as DynamoDB does when it can't write.
    pub(super) fn open(path: &str) -> Result<Database> {
        #[expect(unsafe_code, reason = "dynoxide gives no access to its connection; SQLite itself tells of it")]
        // SAFETY: `note` has the signature that SQLite calls it with. The noted connection lives in `database`, which
        // is not moved to another thread or used before the calls below are over.
        unsafe {
            // The extension stays registered: another host may be opening its database. Registering twice is harmless.
            ffi::sqlite3_auto_extension(Some(note));
            let database = Database::new(path);
            let (database, connection) = (database?, OPENED.replace(ptr::null_mut()));
            ensure!(!connection.is_null(), "dynoxide has opened no connection of this SQLite");
            let settings = c"PRAGMA synchronous = NORMAL;
                CREATE INDEX IF NOT EXISTS _stream_last ON _stream_records (table_name, CAST(sequence_number AS INTEGER));
                CREATE INDEX IF NOT EXISTS _stream_order
                    ON _stream_records (table_name, shard_id, CAST(sequence_number AS INTEGER));";
            let set = ffi::sqlite3_exec(connection, settings.as_ptr(), None, ptr::null_mut(), ptr::null_mut());
            ensure!(set == ffi::SQLITE_OK, "SQLite refuses the settings for dynoxide: code {set}");
            ffi::sqlite3_busy_timeout(connection, 0);
            Ok(database)
        }
    }
}
