//! Isotherm's rules: events in, plans and replies out.
//!
//! This crate does no I/O, asks no clock and no source of randomness, is never async and knows no platform. A host (one
//! of the adapters) hands it a request and a [`Stamp`]. The host applies the returned plan to its own store, and hands
//! back the outcome:
//!
//! ```text
//!   admission      Request, Stamp ─▶ Service::admit ─┬─▶ Reply                      rejections, health, the contract itself
//!                                                    └─▶ Plan
//!   doors          the same for clients of other protocols
//!   store                                                 └─▶ the host's store ─▶ outcomes ─▶ respond ─▶ Reply
//!
//!   blocks         events ─▶ Blocks::keep ─▶ rows to write                         for stores that bill rows
//!
//!   rollups        records ─▶ Service::fold ─▶ stored pages ─▶ merge ─▶ pages to write
//!   reports        Query ─▶ Reading ─▶ stored pages ─▶ respond ─▶ Reply
//!   maintenance    the state of a store ─▶ Maintenance::next ─▶ Task: fold, compact, expire
//!   watching       request, reply ─▶ Service::seen ─▶ a line, metrics
//! ```
//!
//! The modules stand in the order in which data passes. Read them in this order, each from its `mod.rs`. `vocabulary`
//! has the words that all of them use. `formats` registers everything that is stored, and `codec` writes it.
#![warn(clippy::indexing_slicing, clippy::print_stdout, clippy::print_stderr)]

mod service;

mod admission;
mod doors;

mod store;

mod blocks;
mod packed;

mod rollups;

mod reports;

mod maintenance;

mod watching;

mod codec;
mod formats;
mod gzip;
mod vocabulary;

pub use formats::TABLES;
pub use service::{Frozen, Service, Unread};

pub use admission::config::{Config, ConfigError, key_entry, only_place, public_key_entry};
pub use admission::door::{Door, Entry};
pub use admission::request::{HEADERS, Request, TEST_STAMP, joined};
pub use admission::restored::digests_of_record;
pub use admission::secrets::secret_variable;
pub use admission::warming;

pub use store::delivery::Delivery;
pub use store::export::{Asked, Export, ExportOutcome, ExportPlan, Moving, Place};
pub use store::group_commit;
pub use store::holder::Holder;
pub use store::import::ImportPlan;
pub use store::limiter::Limiter;
pub use store::load::Load;
pub use store::new_event::NewEvent;
pub use store::patience::Patience;
pub use store::plan::{Admission, FindOutcome, FindPlan, MaintenancePlan, Plan, StoreOutcome, StorePlan};

pub use blocks::{
    BlockRow, BlockWrite, BlockWrites, Blocks, Found, Keep, Kept, Known, OpenBlocks, Part, Row, RowRead, RowWrites,
    Search, Spill, StoredBlocks, UnreadableBlock, folded_events,
};
pub use packed::{PackedHead, Packer, ShapeId, StoredShape, Unpacker, UnreadableEvent};

pub use rollups::compaction::Compaction;
pub use rollups::fold::Fold;
pub use rollups::key::KeyRange;
pub use rollups::observation::{Observation, UnreadableRecord};
pub use rollups::stored::{Merged, StoredPage, UnreadablePage, WriteLimits};
pub use rollups::union::{PageGroup, day_of, first_of, moved_first, stand_in, union, union_of_manifests};

pub use reports::answer::ReportReply;
pub use reports::data::{ReadBudget, ReportData, UnreadablePages};
pub use reports::plan::{ReportOutcome, ReportPlan};
pub use reports::reading::Reading;

pub use maintenance::backup::Backup;
pub use maintenance::condition::Condition;
pub use maintenance::folded::Folded;
pub use maintenance::intake::Intake;
pub use maintenance::lanes::{LaneStep, LaneWrite, Lanes, StreamShard};
pub use maintenance::machine::{CRON, ExpiryOrder, Held, LONGEST_ROUND, Maintenance, Next, Outcome, Pace, Task};
pub use maintenance::pulse::Pulse;
pub use maintenance::round::{CompactionRound, CompactionTurn};
pub use maintenance::step::{RejectedRecord, Step, StepWrite, TooMuch, Unfolded};
pub use maintenance::stream::{
    StreamBatch, StreamItem, StreamRecord, StreamStep, StreamWrite, given_up, letter_name, letter_notice,
};
pub use maintenance::watermark::Watermark;

pub use watching::level::Level;
pub use watching::line::{Line, Writer};
pub use watching::metric::{BUCKETS, Kind, METRICS, Metric};
pub use watching::metrics::Metrics;
pub use watching::plan::{MetricsPlan, ReadyPlan};
pub use watching::seen::{Ran, Seen};

pub use vocabulary::digest::Digest;
pub use vocabulary::facts::Facts;
pub use vocabulary::id::{EventId, NotAnEventId, RequestId};
pub use vocabulary::limits::Limits;
pub use vocabulary::refused::Refused;
pub use vocabulary::reply::Reply;
pub use vocabulary::tenant::{NotATenant, Tenant};
pub use vocabulary::time::{Millis, RETENTION, Seconds, Stamp};
