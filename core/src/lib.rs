//! Isotherm's rules: events in, plans and replies out.
//!
//! This crate does no I/O, asks no clock and no source of randomness, is never async and knows no platform. A host (one
//! of the adapters) hands it a request and a [`Stamp`]. The host applies the returned plan to its own store, and hands
//! back the outcome:
//!
//! ```text
//! Request, Stamp ──▶ Service::admit ─┬─▶ Reply                            (refusals, health, the contract itself)
//!                                    └─▶ Plan ──▶ the host's store ──▶ settle ──▶ Reply
//! ```
//!
//! Read on in the order in which data passes: [`Request`], the routes, the body, the event, [`Plan`], [`Reply`].
#![warn(clippy::indexing_slicing)]

mod request;

mod access;
mod document;
mod door;
mod route;
mod service;

mod body;
mod event;
mod gzip;
mod json;
mod limits;

mod delivery;
mod patience;
mod plan;
mod refusal;
mod reply;
mod settle;

mod backup;
mod formats;
pub mod group_commit;
mod lanes;
mod lost;
mod packed;
mod report;
mod rollup;
mod step;
mod stream;
mod upkeep;
mod watermark;

mod config;
mod id;
mod time;
pub mod warming;

pub use backup::Backup;
pub use body::without_byte_order_mark;
pub use config::{Config, ConfigError, Tenant, key_entry};
pub use delivery::Delivery;
pub use door::{Door, Entry};
pub use event::Digest;
pub use id::{EventId, NotAnEventId, RequestId};
pub use lanes::{LaneStep, LaneWrite, Lanes, Pulse, StreamShard};
pub use limits::Limits;
pub use packed::{PackedHead, Packer, ShapeId, StoredShape, Unpacker, UnreadableEvent};
pub use patience::Patience;
pub use plan::{Admission, FindOutcome, FindPlan, NewEvent, Plan, StoreOutcome, StorePlan, UpkeepPlan};
pub use refusal::{Field, NameFlaw, Refusal};
pub use reply::Reply;
pub use report::{ReadBudget, Reading, ReportData, ReportOutcome, ReportPlan, Settled, UnreadablePages};
#[cfg(feature = "test-stamp")]
pub use request::TEST_STAMP;
pub use request::{HEADERS, Request, joined};
pub use rollup::compaction::Compaction;
pub use rollup::fold::{Fold, Merged, StoredPage, UnreadablePage, UnreadableRecord};
pub use rollup::key::KeyRange;
pub use rollup::observation::Observation;
pub use service::Service;
pub use step::{Rejection, Step, StepWrite, TooMuch, Unfolded, WriteLimits};
pub use stream::{StreamBatch, StreamItem, StreamRecord, StreamStep, StreamWrite, given_up, letter_notice};
pub use time::{Millis, RETENTION, Seconds, Stamp};
pub use upkeep::{CRON, Held, Load, Next, Outcome, Pace, Task, Upkeep};
pub use watermark::Watermark;
