//! Counts the billed operations of a platform's services. Prices are applied elsewhere.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Sizes are rounded up to a multiple of this many bytes. No provider bills in smaller steps.
pub const SIZE_STEP: u64 = 1024;

/// Counts operations by size: the key is the size in bytes, rounded up to [`SIZE_STEP`]; the value is the count.
pub type Sizes = BTreeMap<u64, u64>;

/// Readings since the start. A field stays empty or 0 if the platform has nothing to count there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Meters {
    /// Invocations by function, where the platform bills by invocation. `shard/fetch` and `shard/alarm` are the
    /// requests and alarms of Durable Objects.
    pub functions: BTreeMap<String, Invocations>,
    /// Operations of a store that bills them, by table and kind: `events/put`, `rollups/query`. `transact` is a whole
    /// transaction, with the sum of the sizes billed for its items. `transact-cancelled` is one item of a cancelled
    /// transaction. `put-other` adds an item that is no event: a pulse, by which a function hears of a shard, or a
    /// shape of events. `put-other-again` replaces one.
    pub store: BTreeMap<String, Sizes>,
    /// Rows of a store that bills them, by the first table that a statement names. `alarms` are billed as rows.
    #[serde(default)]
    pub rows: BTreeMap<String, Rows>,
    /// Records of the store's stream that functions received.
    #[serde(default)]
    pub stream_records: u64,
    /// Billed operations on queues: messages sent, received and deleted.
    pub queue_operations: u64,
    /// Objects of the raw backup, in its bucket or folder.
    pub objects: u64,
    /// Total size of these objects, in bytes.
    pub object_bytes: u64,
    /// Bytes that functions logged. The service's own lines don't count.
    #[serde(default)]
    pub log_bytes: u64,
    /// Events in the store, by the store's own count.
    pub events_stored: u64,
    /// Pages of rollups in the store.
    pub pages_stored: u64,
    /// Size of the store on disk, in bytes.
    pub store_bytes: u64,
}

/// The invocations of a function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Invocations {
    /// The number of invocations.
    pub count: u64,
    /// CPU time of the function's processes; 0 where one process runs all functions.
    pub cpu: Duration,
    /// Total time from handing over an event to its answer, including the time of the emulated stores.
    pub wall: Duration,
}

/// Rows, by the store's own count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rows {
    /// Rows that statements read.
    pub read: u64,
    /// Rows that statements wrote, in tables and their indexes.
    pub written: u64,
}

impl Meters {
    /// The difference between these readings and the earlier readings `before`.
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

    /// The sum of both readings.
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

    /// The number of operations with this name, of any size.
    pub fn operations(&self, name: &str) -> u64 {
        self.store.get(name).map_or(0, |sizes| sizes.values().sum())
    }
}

/// Counting, for platforms whose store is emulated here or leaves files.
#[cfg(any(feature = "lambda", feature = "workers", feature = "spin", feature = "native"))]
pub(crate) mod count {
    use std::path::Path;

    use anyhow::{Context, Result};
    use rusqlite::{Connection, OpenFlags};

    use super::{Meters, SIZE_STEP};

    /// The size in bytes, rounded up to [`SIZE_STEP`]; at least one step.
    pub(crate) fn step(bytes: usize) -> u64 {
        (bytes as u64).max(1).next_multiple_of(SIZE_STEP)
    }

    /// The number of files below a folder, and their total size in bytes. Both are 0 if there is no folder.
    pub(crate) fn files(folder: &Path) -> Result<(u64, u64)> {
        let (mut count, mut bytes) = (0, 0);
        let Ok(entries) = std::fs::read_dir(folder) else { return Ok((0, 0)) };
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
            // An entry that is gone by now was a temporary file that got its final name.
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

    /// Adds the size of a SQLite file, its events, and the rows of its table of rollups. Adds nothing if there is no
    /// such file. It reads a copy: the owner may write to the file meanwhile and ignores this process's locks.
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
        // Not read-only: reading a write-ahead log needs the right to write.
        let database = Connection::open_with_flags(&copy, OpenFlags::SQLITE_OPEN_READ_WRITE).with_context(reading)?;
        let count = |what: &str, table: &str| {
            let known = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1";
            match database.query_row(known, [table], |row| row.get::<_, u64>(0))? {
                0 => Ok(0),
                _ => database.query_row(&format!("SELECT {what} FROM {table}"), [], |row| row.get(0)),
            }
        };
        meters.events_stored += count("count(*)", "events").with_context(reading)?;
        meters.events_stored += count("coalesce(sum(count), 0)", "blocks").with_context(reading)?;
        meters.pages_stored += count("count(*)", "rollups").with_context(reading)?;
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
