//! The queues of SQS on this machine, kept in SQLite. They are standard queues: at least once, in any order.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use rusqlite::{Connection, params};
use s3s::crypto::{Checksum as _, Md5};
use tokio::sync::Notify;

use super::clock;
use super::environment::uuid;

/// Messages from API Gateway, for `drain`.
pub(crate) const EVENTS: &str = "events";
/// Messages that `drain` has refused too often.
pub(crate) const EVENTS_DEAD: &str = "events-dead";
/// Batches that the stream's mapping has given up, for `schedule`.
pub(crate) const GIVEN_UP: &str = "given-up";
/// Records of the stream that are not events, and records that were given up.
pub(crate) const RECORDS_DEAD: &str = "records-dead";
const ALL: [&str; 4] = [EVENTS, EVENTS_DEAD, GIVEN_UP, RECORDS_DEAD];

/// The redrive policy of [`EVENTS`]. AWS advises five or more.
const MAX_RECEIVE_COUNT: u32 = 5;
/// `MessageRetentionPeriod`: 14 days, the longest that AWS allows.
const RETENTION: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// The largest message including its attributes: 1 MiB.
const MESSAGE_BYTES: usize = 1024 * 1024;

/// The queues, shared by all their users.
#[derive(Clone)]
pub(crate) struct Queues {
    database: Arc<Mutex<Connection>>,
    /// One entry for each queue of [`ALL`].
    arrived: Arc<[Notify; ALL.len()]>,
    operations: Arc<AtomicU64>,
}

/// A message to be sent.
#[derive(Debug, Default)]
pub(crate) struct NewMessage {
    pub(crate) body: String,
    /// Names and values. All values have the type `String`.
    pub(crate) attributes: Vec<(String, String)>,
}

/// A received message. Nobody else gets it until it is deleted or made visible again.
#[derive(Debug)]
pub(crate) struct Message {
    /// The receipt handle.
    pub(crate) receipt: i64,
    pub(crate) id: String,
    pub(crate) body: String,
    pub(crate) attributes: Vec<(String, String)>,
    /// Milliseconds since 1970, like `first_received_at`.
    pub(crate) sent_at: i64,
    pub(crate) first_received_at: i64,
    pub(crate) receive_count: u32,
}

impl Queues {
    /// Opens or creates the queues under `data`. Messages that were received before a restart are visible again.
    pub(crate) fn open(data: &Path) -> Result<Self> {
        let file = data.join("sqs.sqlite");
        let database = Connection::open(&file).with_context(|| format!("cannot open {}", file.display()))?;
        // A commit is in the log when it returns and survives kill -9, but it does not wait for the disk.
        database.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
            CREATE TABLE IF NOT EXISTS messages (
                place INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL,
                attributes TEXT NOT NULL, sent_at INTEGER NOT NULL, visible_at INTEGER NOT NULL,
                receive_count INTEGER NOT NULL DEFAULT 0, first_received_at INTEGER);
            CREATE INDEX IF NOT EXISTS by_visibility ON messages (queue, visible_at);",
        )?;
        database.execute("DELETE FROM messages WHERE sent_at < ?1", [now_ms() - ms(RETENTION)])?;
        database.execute("UPDATE messages SET visible_at = 0", [])?;
        Ok(Self { database: Arc::new(Mutex::new(database)), arrived: Arc::default(), operations: Arc::default() })
    }

    /// The number of requests so far that AWS would bill: sends, receives with messages, and deletes.
    pub(crate) fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    /// The queue with this name, if there is one.
    pub(crate) fn named(name: &str) -> Option<&'static str> {
        ALL.into_iter().find(|queue| *queue == name)
    }

    /// Puts a message into a queue and returns its id; `None` if the message is empty or too large.
    pub(crate) async fn send(&self, queue: &'static str, message: NewMessage) -> Result<Option<String>> {
        let NewMessage { body, attributes } = message;
        let bytes = attributes.iter().map(|(name, value)| name.len() + "String".len() + value.len()).sum::<usize>();
        if body.is_empty() || body.len() + bytes > MESSAGE_BYTES {
            return Ok(None);
        }
        let (id, attributes) = (uuid(), serde_json::to_string(&attributes)?);
        let sent = id.clone();
        self.run(move |database| {
            let insert = "INSERT INTO messages (queue, id, body, attributes, sent_at, visible_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5)";
            database.prepare_cached(insert)?.execute(params![queue, id, body, attributes, now_ms()])
        })
        .await?;
        self.operations.fetch_add(1, Ordering::Relaxed);
        self.notify(queue).iter().for_each(|arrived| arrived.notify_one());
        Ok(Some(sent))
    }

    /// Receives at most `most` messages. Nobody else gets them for the time `visibility`. Messages that were received
    /// too often go to the dead-letter queue instead.
    pub(crate) async fn receive(&self, queue: &'static str, most: usize, visibility: Duration) -> Result<Vec<Message>> {
        let mut received = self
            .run(move |database| {
                let (now, until) = (now_ms(), now_ms() + ms(visibility));
                if queue == EVENTS {
                    let redrive = "UPDATE messages SET queue = ?1, receive_count = 0, first_received_at = NULL
                        WHERE queue = ?2 AND visible_at <= ?3 AND receive_count >= ?4";
                    database.prepare_cached(redrive)?.execute(params![EVENTS_DEAD, queue, now, MAX_RECEIVE_COUNT])?;
                }
                let mut receive = database.prepare_cached(
                    "UPDATE messages SET visible_at = ?3, receive_count = receive_count + 1,
                        first_received_at = coalesce(first_received_at, ?2)
                    WHERE place IN (SELECT place FROM messages WHERE queue = ?1 AND visible_at <= ?2 ORDER BY place LIMIT ?4)
                    RETURNING place, id, body, attributes, sent_at, first_received_at, receive_count",
                )?;
                let message = |row: &rusqlite::Row<'_>| {
                    let attributes: String = row.get(3)?;
                    Ok(Message {
                        receipt: row.get(0)?,
                        id: row.get(1)?,
                        body: row.get(2)?,
                        attributes: serde_json::from_str(&attributes).unwrap_or_default(),
                        sent_at: row.get(4)?,
                        first_received_at: row.get(5)?,
                        receive_count: row.get(6)?,
                    })
                };
                receive.query_map(params![queue, now, until, most], message)?.collect::<rusqlite::Result<Vec<_>>>()
            })
            .await?;
        received.sort_by_key(|message| message.receipt);
        self.operations.fetch_add(u64::from(!received.is_empty()), Ordering::Relaxed);
        Ok(received)
    }

    /// Deletes messages by their receipt handles.
    pub(crate) async fn delete(&self, receipts: Vec<i64>) -> Result<()> {
        self.operations.fetch_add(1, Ordering::Relaxed);
        self.run(move |database| {
            let transaction = database.transaction()?;
            for receipt in receipts {
                transaction.prepare_cached("DELETE FROM messages WHERE place = ?1")?.execute([receipt])?;
            }
            transaction.commit()
        })
        .await
    }

    /// Makes messages visible again after the time `after`.
    pub(crate) async fn change_visibility(&self, receipts: Vec<i64>, after: Duration) -> Result<()> {
        self.run(move |database| {
            let transaction = database.transaction()?;
            for receipt in receipts {
                let change = "UPDATE messages SET visible_at = ?2 WHERE place = ?1";
                transaction.prepare_cached(change)?.execute(params![receipt, now_ms() + ms(after)])?;
            }
            transaction.commit()
        })
        .await
    }

    /// Waits until a message has come into this queue since the last call.
    pub(crate) async fn arrived(&self, queue: &str) {
        if let Some(arrived) = self.notify(queue) {
            arrived.notified().await;
        }
    }

    fn notify(&self, queue: &str) -> Option<&Notify> {
        self.arrived.get(ALL.iter().position(|name| *name == queue)?)
    }

    /// Runs work on the database on a thread that may block, because SQLite blocks.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let database = Arc::clone(&self.database);
        // SQLite has rolled back what a panic left unfinished.
        let run = move || work(&mut database.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::task::spawn_blocking(run).await?.context("SQLite refuses what a queue needs")
    }
}

/// The MD5 of a body, as SQS computes it.
pub(crate) fn md5(body: &str) -> String {
    Md5::checksum(body.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

// SQLite's integers are signed.

fn now_ms() -> i64 {
    clock::now_ms().cast_signed()
}

fn ms(time: Duration) -> i64 {
    clock::ms(time).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    async fn bodies(queues: &Queues, queue: &'static str, visibility: Duration) -> Vec<String> {
        let received = queues.receive(queue, 10, visibility).await.unwrap();
        received.into_iter().map(|message| message.body).collect()
    }

    fn message(body: &str) -> NewMessage {
        NewMessage { body: body.to_owned(), attributes: vec![("path".to_owned(), "/x".to_owned())] }
    }

    #[tokio::test]
    async fn a_message_is_there_until_it_is_deleted() {
        let data = tempfile::tempdir().unwrap();
        let queues = Queues::open(data.path()).unwrap();
        let id = queues.send(EVENTS, message("one")).await.unwrap().unwrap();
        queues.send(EVENTS, message("two")).await.unwrap().unwrap();
        let received = queues.receive(EVENTS, 1, MINUTE).await.unwrap();
        assert_eq!(
            (&received[0].id, &received[0].attributes[0].1, received[0].receive_count),
            (&id, &"/x".to_owned(), 1)
        );
        assert_eq!(bodies(&queues, EVENTS, MINUTE).await, ["two"]);
        assert_eq!(bodies(&queues, EVENTS, MINUTE).await, [""; 0], "both are received");
        queues.change_visibility(vec![received[0].receipt], Duration::ZERO).await.unwrap();
        assert_eq!(bodies(&queues, EVENTS, MINUTE).await, ["one"]);
        queues.delete(vec![received[0].receipt]).await.unwrap();
        drop(queues);
        assert_eq!(bodies(&Queues::open(data.path()).unwrap(), EVENTS, MINUTE).await, ["two"]);
    }

    #[tokio::test]
    async fn what_is_received_too_often_goes_to_the_dead_letter_queue() {
        let data = tempfile::tempdir().unwrap();
        let queues = Queues::open(data.path()).unwrap();
        queues.send(EVENTS, message("poison")).await.unwrap().unwrap();
        for _ in 0..MAX_RECEIVE_COUNT {
            assert_eq!(bodies(&queues, EVENTS, Duration::ZERO).await, ["poison"]);
        }
        assert_eq!(bodies(&queues, EVENTS, Duration::ZERO).await, [""; 0]);
        assert_eq!(bodies(&queues, EVENTS_DEAD, MINUTE).await, ["poison"]);
    }

    #[tokio::test]
    async fn a_message_has_one_character_to_a_mebibyte() {
        let data = tempfile::tempdir().unwrap();
        let queues = Queues::open(data.path()).unwrap();
        for body in [String::new(), "x".repeat(MESSAGE_BYTES)] {
            assert_eq!(queues.send(EVENTS, message(&body)).await.unwrap(), None);
        }
    }

    #[test]
    fn bodies_have_the_md5_that_aws_documents() {
        assert_eq!(md5("This is a test message"), "fafb00f5732ab283681e124bf8747ed1");
    }
}
