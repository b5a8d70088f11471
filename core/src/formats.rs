//! The register of formats: all data that a store keeps, or that one version of the program hands to another. Each
//! format has a byte for the version of its layout, and every such byte is a constant here.
//!
//! | format | bytes | written by | read by | where | layout |
//! | --- | --- | --- | --- | --- | --- |
//! | page of rollups | 1 | folds, compactions | folds, compactions, reports | the store of rollups, under [`Series`](crate::rollups::key::Series)' keys | `rollups/page.rs` |
//! | manifest of a day | 1; 2 for a day that is kept by its hours | folds, compactions | folds, compactions, reports | the store of rollups, under keys that begin with U+001E | `rollups/compaction.rs` |
//! | event types of a day | 1 | folds | folds | the store of rollups, under keys that begin with U+001D | `rollups/compaction.rs` |
//! | watermark of a lane | 1 while its shard is known by a hash; 2 with the shard's whole id | `aggregate` | `aggregate`, `schedule`, `report` | DynamoDB: `watermark`, U+001F and the lane | `maintenance/watermark.rs` |
//! | shards that wait for a lane | 1 | `aggregate` | `aggregate`, `schedule`, `report` | DynamoDB: `watermark`, U+001F and `shards` | `maintenance/waiting.rs` |
//! | times that are lost | 1 | `aggregate`, `schedule` | `aggregate`, `schedule`, `report` | DynamoDB: `watermark`, U+001F and `~lost` | `maintenance/lost.rs` |
//! | what a shard has for a report | 2 | a Workers shard | the Worker that asks it | in no store | `reports/data.rs` |
//! | part: events that came together | 1 | the Worker that admits them, folds | a Workers shard | a Workers shard: `blocks`, until the events are folded; appended to one another | `blocks/part.rs` |
//! | closed block of events | 2 | folds | look-ups | a Workers shard: `blocks` | `blocks/block.rs` |
//! | row of ids | 1 | folds, expiry | look-ups, folds, expiry | a Workers shard: `runs` | `blocks/runs.rs` |
//! | what an export asks of a shard | none | the Worker | a Workers shard of the same version | in no store | `store/export.rs` |
//! | what a shard is to keep | 1; with a key's id where there are limits | the Worker that asks it | a Workers shard | in no store | `blocks/keep.rs` |
//! | what a shard has kept | 1 | a Workers shard | the Worker that asks it | in no store | `blocks/keep.rs` |
//! | cursor of a report | 1 | reports | reports | at clients | `reports/cursor.rs` |
//! | packed event | 1 with the id of its shape; 2 with its shape; 3 as text | `ingest`, `drain` | `read`, `aggregate`; `ingest` and `drain` its head | DynamoDB: `tenant#eventId`, attribute `e` | `packed/mod.rs` |
//! | shape of packed events | 1 | `ingest`, `drain` | `read`, `aggregate` | DynamoDB's table of events: `#shape-…`, attribute `shape` | `packed/mod.rs` |
//!
//! These formats have no version, so they only ever change by addition:
//!
//! | format | where |
//! | --- | --- |
//! | record of an event: JSON, as `GET /events/{eventId}` answers it | native, Spin; on Workers the table `events`; DynamoDB's older items, attribute `record`; backups, as gzip with one record per line |
//! | record of an event that moved rollups count: the same after a space; older versions count it again | the same places |
//! | lines of an export, of version 1 | in files, and on their way from service to service (`docs/move.md`) |
//! | digest of an event: 16 bytes; in the table `events` on Workers as hexadecimal digits | native, Workers, Spin; DynamoDB's older items, attribute `digest` |
//! | pulse: an item `#pulse-…` with `at` and `ttl` | DynamoDB's table of events |
//! | items of an event and of a page: attributes as in `adapters/lambda/src/store.rs` and `rollups.rs` | DynamoDB |
//! | message of a queue: a request's body, with its path, headers and key id | SQS (attributes), Workers' Queue (JSON) |
//! | what a report reads, as JSON | from the Worker to a Workers shard, in no store |
//! | what a service's condition is, as JSON | from a Workers shard to the Worker, in no store |
//! | body of `/import`: the tenant's lines of an export | from a Worker to a Workers shard, in no store |
//! | dead letter: JSON with the reason, or what AWS's mapping says about a batch | SQS |
//! | watermark: the number of the last folded event, under the empty key | native, Workers, Spin: table `rollups` |
//!
//! Tables of SQLite. New data gets a table of its own: an upgrade creates missing tables and does nothing else.
//!
//! | table | native, Spin | Workers, in each shard |
//! | --- | --- | --- |
//! | `events` | `seq`, `tenant`, `id`, `digest`, `occurred_at`, `received_at`, `expires_at`, `record` | the same without `tenant`; only read and deleted from: new events go to `blocks` |
//! | `blocks` | – | `seq`, `count`, `expires_at`, `bytes` |
//! | `runs` | – | `number`, `bytes` |
//! | `rollups` | `tenant`, `key`, `page` | `key`, `page` |
//! | `rejected_events` | `seq`, `tenant`, `reason`, `record` | `seq`, `reason`, `record` |
//! | `upkeep` | `id`, `looked_at` | `id`, `done_at` |
//! | `name` | – | `id`, `name` |
//!
//! Two indexes are made once events of some types are kept longer than others, and then kept for good: `events_by_expiry`
//! on native and Spin, `blocks_by_expiry` on Workers.
//!
//! # Two versions side by side
//!
//! - A version reads every format listed here. A changed layout gets the next byte; older layouts can still be read.
//! - A version writes data that older versions can't read only one minor version after it could read them. Before
//!   version 1.0.0 also where no older reader is left, or where the older reader's error is harmless. Readers are
//!   deployed first: in Lambda's template `Aggregate` depends on `Report` and
//!   `Schedule`, and `Ingest` and `Drain` depend on `Aggregate` and `Read`.
//! - Watermarks of version 2: an older `report` answers 503 until it is replaced. An older `aggregate` that still works
//!   on a batch fails on the condition of its write, or can't read the watermark. Its batch is then delivered again, to
//!   the new version. There is no way back to the older version.
//! - Lanes of version 1: each shard had its own, and the pages of their days are not merged. A report of such a day reads
//!   one page a shard. No release wrote them.
//! - The watermark under the empty key stays among the pages. Spin writes both in one statement, and two versions of it
//!   fold side by side, so both must move one watermark. A table of its own, filled by a trigger, would gain nothing: a
//!   statement with 100 pages of 6 kB takes 4.3 to 4.7 ms either way.
//! - Moved pages and manifests, whose keys have U+001C: an older report answers that it is incomplete. Move data only to a service of which all
//!   instances run the version that can take them.
//! - Manifests of version 2: an older report of such a day answers 503; an older fold fails and is tried again.
//! - Numbers of a dimension's values: older folds keep 24 of a value, not 8. Where both versions fold the same hour, the
//!   figures of its further numbers lack events, and nothing says so. Replace `Aggregate` whole (`Rollout=AllAtOnce`), not
//!   in steps. No release keeps 24.
//! - Lost times: older versions ignore names that begin with `~`. Their reports don't say that they are incomplete.
//! - Packed events: an older `read` answers 503 for them, and an older `aggregate` makes dead letters of them, so there
//!   is no way back to a version before them. An older `ingest` answers 503 to a repetition until it is replaced.
//! - A Worker that can't read the answer of a shard of another version answers 503 until both run the same version.
//! - Blocks: an older version of a shard does not see them. There is no way back to it once events came.
//! - On native and in a Durable Object a version has its database to itself; instances of Spin overlap for seconds.

/// The tables of a database in SQLite with one writer, as native and Spin have it. The one that a request needs first is
/// the last, so where it is, all are.
///
/// - `rollups`: pages. The row with empty keys holds the watermark instead of a page: the `seq` of the last event that is
///   in the pages.
/// - `rejected_events`: stored records that are not valid events, and so are in no report.
/// - `upkeep`: the last time when days were looked for and all of them compacted.
/// - `events`: `seq` is the order in which events became durable, and in which they are folded. A number is never given
///   again, even when the last event has expired: an event with a `seq` below the watermark would never be folded.
pub const TABLES: [&str; 4] = [
    "CREATE TABLE IF NOT EXISTS rollups (
        tenant TEXT NOT NULL,
        key TEXT NOT NULL,
        page BLOB NOT NULL,
        PRIMARY KEY (tenant, key)
    ) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS rejected_events (
        seq INTEGER PRIMARY KEY,
        tenant TEXT NOT NULL,
        reason TEXT NOT NULL,
        record TEXT NOT NULL
    )",
    "CREATE TABLE IF NOT EXISTS upkeep (id INTEGER PRIMARY KEY CHECK (id = 0), looked_at INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        tenant TEXT NOT NULL,
        id TEXT NOT NULL,
        digest BLOB NOT NULL,
        occurred_at INTEGER NOT NULL,
        received_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        record TEXT NOT NULL,
        UNIQUE (tenant, id)
    )",
];

/// A page of rollups.
pub(crate) const PAGE: u8 = 1;
/// The manifest of a day.
pub(crate) const MANIFEST: u8 = 1;
/// The manifest of a day that is kept by its hours.
pub(crate) const MANIFEST_BY_HOUR: u8 = 2;
/// The event types of a day.
pub(crate) const TYPES: u8 = 1;
/// The watermark of a lane whose name is a hash of its shard's id.
pub(crate) const WATERMARK_BY_HASH: u8 = 1;
/// The watermark of a lane.
pub(crate) const WATERMARK: u8 = 2;
/// The shards that wait for a lane.
pub(crate) const WAITING: u8 = 1;
/// The lost times.
pub(crate) const LOST: u8 = 1;
/// A shard's data for a report.
pub(crate) const REPORT_DATA: u8 = 2;
/// Events that came together.
pub(crate) const PART: u8 = 1;
/// A closed block of events. A part and a block stand in the same column, so their bytes differ.
pub(crate) const BLOCK: u8 = 2;
/// A row of the index of ids.
pub(crate) const RUN: u8 = 1;
/// The events that a shard is to keep.
pub(crate) const KEEP: u8 = 1;
/// What became of them.
pub(crate) const KEPT: u8 = 1;
/// The cursor of a report.
pub(crate) const CURSOR: u8 = 1;
/// A packed event whose shape is stored.
pub(crate) const EVENT_OF_SHAPE: u8 = 1;
/// A packed event that has its shape itself.
pub(crate) const EVENT_WITH_SHAPE: u8 = 2;
/// A packed event as the text of its record.
pub(crate) const EVENT_AS_TEXT: u8 = 3;
/// The shape of packed events.
pub(crate) const SHAPE: u8 = 1;
