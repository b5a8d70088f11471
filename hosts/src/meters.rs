//! What a platform's services did, as far as it is billed: counted here, priced elsewhere.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Sizes are counted in steps of so many bytes, rounded up: no provider bills in smaller ones.
pub const SIZE_STEP: u64 = 1024;

/// Operations by their size: bytes, rounded up to [`SIZE_STEP`], and how many there were.
pub type Sizes = BTreeMap<u64, u64>;

/// Readings since the start. A platform leaves out what it does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meters {
    /// Functions by name, where the platform bills by the invocation; and `shard/fetch` and `shard/alarm`, the requests and
    /// alarms of Durable Objects.
    pub functions: BTreeMap<String, Invocations>,
    /// Operations of a store that bills them, by table and kind: `events/put`, `rollups/query`. `transact` is a whole
    /// transaction, with the sum of what is billed for its items; `transact-cancelled` an item of one that was cancelled.
    /// `put-pulse` is an item by which a function hears of a shard, `put-pulse-again` one that takes its place.
    pub store: BTreeMap<String, Sizes>,
    /// Rows of a store that bills them, by the table that a statement names first; `alarms` are billed as rows.
    #[serde(default)]
    pub rows: BTreeMap<String, Rows>,
    /// Records of the store's stream that functions took.
    #[serde(default)]
    pub stream_records: u64,
    /// Operations on queues that are billed: sent, received, deleted.
    pub queue_operations: u64,
    /// Objects in the bucket, or files in the folder, of the raw backup.
    pub objects: u64,
    /// Their bytes.
    pub object_bytes: u64,
    /// Bytes that functions logged, without the service's own lines.
    #[serde(default)]
    pub log_bytes: u64,
    /// Events that are in the store, by its own count.
    pub events_stored: u64,
    /// Pages of rollups that are in the store.
    pub pages_stored: u64,
    /// Bytes that the store takes on disk.
    pub store_bytes: u64,
}

/// The invocations of a function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocations {
    /// How many.
    pub count: u64,
    /// CPU time of its processes; 0 where one process has all functions.
    pub cpu: Duration,
    /// From each event handed over to its answer, the emulated stores' time included.
    pub wall: Duration,
}

/// Rows, by the store's own count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// Those that statements read.
    pub read: u64,
    /// Those that they wrote, in tables and their indexes.
    pub written: u64,
}

impl Meters {
    /// What came since `before`.
    pub fn since(&self, before: &Self) -> Self {
        let functions = self.functions.iter().map(|(name, now)| {
            let then = before.functions.get(name).copied().unwrap_or_default();
            let since = Invocations {
                count: now.count - then.count.min(now.count),
                cpu: now.cpu.saturating_sub(then.cpu),
                wall: now.wall.saturating_sub(then.wall),
            };
            (name.clone(), since)
        });
        let store = self.store.iter().map(|(name, now)| {
            let then = before.store.get(name);
            let count = |size| then.and_then(|then| then.get(size)).copied().unwrap_or_default();
            let since = now.iter().map(|(size, now)| (*size, now.saturating_sub(count(size))));
            (name.clone(), since.filter(|(_, count)| *count > 0).collect())
        });
        let rows = self.rows.iter().map(|(table, now)| {
            let then = before.rows.get(table).copied().unwrap_or_default();
            let since =
                Rows { read: now.read.saturating_sub(then.read), written: now.written.saturating_sub(then.written) };
            (table.clone(), since)
        });
        Self {
            functions: functions.collect(),
            store: store.collect(),
            rows: rows.collect(),
            stream_records: self.stream_records.saturating_sub(before.stream_records),
            log_bytes: self.log_bytes.saturating_sub(before.log_bytes),
            queue_operations: self.queue_operations.saturating_sub(before.queue_operations),
            objects: self.objects.saturating_sub(before.objects),
            object_bytes: self.object_bytes.saturating_sub(before.object_bytes),
            events_stored: self.events_stored.saturating_sub(before.events_stored),
            pages_stored: self.pages_stored.saturating_sub(before.pages_stored),
            store_bytes: self.store_bytes.saturating_sub(before.store_bytes),
        }
    }

    /// The readings of both.
    pub fn plus(mut self, other: &Self) -> Self {
        for (name, more) in &other.functions {
            let all = self.functions.entry(name.clone()).or_default();
            (all.count, all.cpu, all.wall) = (all.count + more.count, all.cpu + more.cpu, all.wall + more.wall);
        }
        for (name, sizes) in &other.store {
            let all = self.store.entry(name.clone()).or_default();
            sizes.iter().for_each(|(size, count)| *all.entry(*size).or_default() += count);
        }
        for (table, more) in &other.rows {
            let all = self.rows.entry(table.clone()).or_default();
            (all.read, all.written) = (all.read + more.read, all.written + more.written);
        }
        Self {
            stream_records: self.stream_records + other.stream_records,
            log_bytes: self.log_bytes + other.log_bytes,
            queue_operations: self.queue_operations + other.queue_operations,
            objects: self.objects + other.objects,
            object_bytes: self.object_bytes + other.object_bytes,
            events_stored: self.events_stored + other.events_stored,
            pages_stored: self.pages_stored + other.pages_stored,
            store_bytes: self.store_bytes + other.store_bytes,
            ..self
        }
    }

    /// How many operations of this name there were, whatever their size.
    pub fn operations(&self, name: &str) -> u64 {
        self.store.get(name).map_or(0, |sizes| sizes.values().sum())
    }
}

/// Counting, where a platform's store is emulated here or leaves files.
#[cfg(any(feature = "lambda", feature = "workers", feature = "spin", feature = "native"))]
pub(crate) mod count {
    use std::path::Path;

    use anyhow::{Context, Result};
    use rusqlite::{Connection, OpenFlags};

    use super::{Meters, SIZE_STEP};

    /// An operation of so many bytes; the smallest is one step.
    pub(crate) fn step(bytes: usize) -> u64 {
        (bytes as u64).max(1).next_multiple_of(SIZE_STEP)
    }

    /// The files below a folder, and their bytes; none where there is no folder.
    pub(crate) fn files(folder: &Path) -> Result<(u64, u64)> {
        let (mut count, mut bytes) = (0, 0);
        let Ok(entries) = std::fs::read_dir(folder) else { return Ok((0, 0)) };
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
            // What is gone meanwhile was a file on its way to another name.
            let Ok(data) = entry.metadata() else { continue };
            if data.is_dir() {
                let below = files(&entry.path())?;
                (count, bytes) = (count + below.0, bytes + below.1);
            } else {
                (count, bytes) = (count + 1, bytes + data.len());
            }
        }
        Ok((count, bytes))
    }

    /// Adds what a file of SQLite holds that has events and rollups; nothing where there is no such file. It is copied first: its owner may write to it meanwhile, and
    /// needs not know the locks of this process.
    pub(crate) fn add_database(meters: &mut Meters, file: &Path) -> Result<()> {
        if !file.is_file() {
            return Ok(());
        }
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let copy = folder.path().join("copy.sqlite");
        for suffix in ["", "-wal"] {
            let from = format!("{}{suffix}", file.display());
            if Path::new(&from).is_file() {
                let to = format!("{}{suffix}", copy.display());
                meters.store_bytes += std::fs::copy(&from, &to).with_context(|| format!("cannot copy {from}"))?;
            }
        }
        let reading = || format!("cannot read {}", file.display());
        // Not read-only: a log is read by who may also write it.
        let database = Connection::open_with_flags(&copy, OpenFlags::SQLITE_OPEN_READ_WRITE).with_context(reading)?;
        let count = |table: &str| {
            let known = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1";
            match database.query_row(known, [table], |row| row.get::<_, u64>(0))? {
                0 => Ok(0),
                _ => database.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)),
            }
        };
        meters.events_stored += count("events").with_context(reading)?;
        meters.pages_stored += count("rollups").with_context(reading)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_are_told_apart_and_summed() {
        let at = |puts: u64, large: u64, count: u64| Meters {
            functions: BTreeMap::from([(
                "ingest".to_owned(),
                Invocations { count, cpu: Duration::from_millis(2 * count), wall: Duration::from_millis(9 * count) },
            )]),
            store: BTreeMap::from([("events/put".to_owned(), BTreeMap::from([(1024, puts), (2048, large)]))]),
            rows: BTreeMap::from([("events".to_owned(), Rows { read: 2 * puts, written: 3 * puts })]),
            events_stored: puts + large,
            ..Meters::default()
        };
        let since = at(10, 1, 7).since(&at(4, 1, 5));
        assert_eq!(since.operations("events/put"), 6);
        assert_eq!(since.store["events/put"], BTreeMap::from([(1024, 6)]));
        assert_eq!(since.rows["events"], Rows { read: 12, written: 18 });
        assert_eq!((since.events_stored, since.functions["ingest"].count), (6, 2));
        assert_eq!(since.functions["ingest"].cpu, Duration::from_millis(4));
        assert_eq!(at(10, 1, 7).since(&Meters::default()), at(10, 1, 7));
        assert_eq!(at(4, 1, 5).plus(&at(6, 2, 2)), at(10, 3, 7));
        assert_eq!(Meters::default().plus(&at(10, 1, 7)), at(10, 1, 7));
    }
}
