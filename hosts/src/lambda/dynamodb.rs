//! DynamoDB on this machine: dynoxide, which keeps its tables in SQLite, served over HTTP.

use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use dynoxide::Database;
use serde_json::json;
use tokio::sync::oneshot;

/// The table of events.
pub(crate) const TABLE: &str = "events";
/// Time for the requests under way when it is stopped.
const GRACE: Duration = Duration::from_secs(5);

/// The running emulator, on a thread of its own: SQLite blocks, and must not hold up the Runtime API.
pub(crate) struct DynamoDb {
    url: String,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<()>>,
}

impl DynamoDb {
    /// Opens or makes the tables under `data` and serves them.
    pub(crate) fn start(data: &Path) -> Result<Self> {
        let file = data.join("dynamodb.sqlite");
        let database = open(&file).with_context(|| format!("cannot use {} as DynamoDB's data", file.display()))?;
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("no port is free on 127.0.0.1")?;
        listener.set_nonblocking(true)?;
        let url = format!("http://{}", listener.local_addr()?);
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let serve = move || {
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                // The sender gone means stop, too.
                let stopped = async { drop(stopped.await) };
                dynoxide::server::serve_with_shutdown(listener, database, stopped).await.map_err(anyhow::Error::msg)
            })
        };
        let thread = std::thread::Builder::new().name("dynamodb".to_owned()).spawn(serve)?;
        Ok(Self { url, stop, thread })
    }

    /// Its endpoint.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Ends it after the requests under way.
    pub(crate) async fn stop(self) -> Result<()> {
        // It may have ended by itself: the thread's result says why.
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
    let database = Database::new(path)?;
    // dynoxide's one way to SQLite's `synchronous = NORMAL`: a commit is in the log when it returns, and survives kill -9,
    // but does not wait for the disk. What DynamoDB takes for a put is not this disk's business.
    database.enable_bulk_loading()?;
    database.disable_bulk_loading()?;
    let tables = database.list_tables(serde_json::from_value(json!({}))?)?;
    if !tables.table_names.iter().any(|name| name == TABLE) {
        let table = json!({
            "TableName": TABLE,
            "KeySchema": [{ "AttributeName": "pk", "KeyType": "HASH" }],
            "AttributeDefinitions": [{ "AttributeName": "pk", "AttributeType": "S" }],
            "BillingMode": "PAY_PER_REQUEST",
        });
        database.create_table(serde_json::from_value(table)?)?;
        let ttl = json!({
            "TableName": TABLE,
            "TimeToLiveSpecification": { "AttributeName": "ttl", "Enabled": true },
        });
        database.update_time_to_live(serde_json::from_value(ttl)?)?;
    }
    Ok(database)
}
