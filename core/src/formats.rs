//! The register of formats: whatever a store keeps, or one version of the program hands to another, and the byte that says which
//! version of its layout it has. Every such byte is a constant here.
//!
//! | format | bytes | written by | read by | where | layout |
//! | --- | --- | --- | --- | --- | --- |
//! | page of rollups | 1 | folds, compactions | folds, compactions, reports | the store of rollups, under [`Series`](crate::rollup::key::Series)' keys | `rollup/page.rs` |
//! | mark of a day | 1; 2 of a day that is kept by its hours | folds, compactions | folds, compactions, reports | the store of rollups, under keys that begin with U+001E | `rollup/compaction.rs` |
//! | event types of a day | 1 | folds | folds | the store of rollups, under keys that begin with U+001D | `rollup/compaction.rs` |
//! | watermark of a lane | 1 as long as its shard is known by a hash; 2 with the shard's whole id | `aggregate` | `aggregate`, `schedule`, `report` | DynamoDB: `watermark`, U+001F and the lane | `watermark.rs` |
//! | shards that wait for a lane | 1 | `aggregate` | `aggregate`, `schedule`, `report` | DynamoDB: `watermark`, U+001F and `shards` | `lanes.rs` |
//! | times that are lost | 1 | `aggregate`, `schedule` | `aggregate`, `schedule`, `report` | DynamoDB: `watermark`, U+001F and `~lost` | `lost.rs` |
//! | what a shard has for a report | 2 | a Workers shard | the Worker that asks it | in no store | `report/data.rs` |
//! | cursor of a report | 1 | reports | reports | at clients | `report/cursor.rs` |
//!
//! Without a version, and therefore never changed but by adding to them:
//!
//! | format | where |
//! | --- | --- |
//! | record of an event: JSON, the event as it is answered | every store of events; backups, gzip of one record a line |
//! | digest of an event: 16 bytes; on Workers as hexadecimal digits | every store of events |
//! | pulse: an item `#pulse-…` with `at` and `ttl` | DynamoDB's table of events |
//! | items of an event and of a page: attributes as in `adapters/lambda/src/store.rs` and `rollups.rs` | DynamoDB |
//! | message of a queue: a request's body, with its path, headers and key's id | SQS (attributes), Workers' Queue (JSON) |
//! | dead letter: JSON with the reason, or what AWS's mapping says of a batch | SQS |
//! | watermark: the number of the last event that is folded, under the empty key | native, Workers, Spin: table `rollups` |
//!
//! Tables of SQLite. What is new gets a table of its own: an upgrade makes the tables that are missing, and does nothing else.
//!
//! | table | native, Spin | Workers, in each shard |
//! | --- | --- | --- |
//! | `events` | `seq`, `tenant`, `id`, `digest`, `occurred_at`, `received_at`, `expires_at`, `record` | the same without `tenant` |
//! | `rollups` | `tenant`, `key`, `page` | `key`, `page` |
//! | `rejected_events` | `seq`, `tenant`, `reason`, `record` | `seq`, `reason`, `record` |
//! | `upkeep` | `id`, `looked_at` | `id`, `done_at` |
//!
//! # Two versions side by side
//!
//! - A version reads all that is listed here. A layout that changes gets the next byte, and the older ones are still read.
//! - What an older version can't read is written only where no older reader is left, or where its error is harmless. Readers are
//!   deployed first: on Lambda `Aggregate` depends on `Report` and `Schedule` in the template.
//! - Watermarks of version 2: an older `report` answers 503 until it is replaced. An older `aggregate` that is still at work on a batch fails
//!   on the condition of its write, or can't read the watermark: its batch is delivered again, to the new version. There is
//!   no way back to it.
//! - Marks of version 2: an older report of such a day answers 503; an older fold fails and is tried again.
//! - Lost times: older versions read no name from `~` on. Their reports don't say that they are incomplete.
//! - A Worker that can't read what a shard of another version says answers 503 until both are the same.
//! - On native and in a Durable Object a version has its database for itself; instances of Spin overlap for seconds.

/// A page of rollups.
pub(crate) const PAGE: u8 = 1;
/// The mark of a day.
pub(crate) const MARK: u8 = 1;
/// The mark of a day that is kept by its hours.
pub(crate) const MARK_BY_HOUR: u8 = 2;
/// The event types of a day.
pub(crate) const TYPES: u8 = 1;
/// The watermark of a lane whose name is a hash of its shard's id.
pub(crate) const WATERMARK_BY_HASH: u8 = 1;
/// The watermark of a lane.
pub(crate) const WATERMARK: u8 = 2;
/// The shards that wait for a lane.
pub(crate) const WAITING: u8 = 1;
/// The times that are lost.
pub(crate) const LOST: u8 = 1;
/// What a shard has for a report.
pub(crate) const REPORT_DATA: u8 = 2;
/// The cursor of a report.
pub(crate) const CURSOR: u8 = 1;
