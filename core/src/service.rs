//! The function itself: a request and a stamp in, a reply or a plan out.

use std::fmt::Display;

use crate::access::{Access, Credential};
use crate::backup::Backup;
use crate::config::{Config, Tenant};
use crate::door::Door;
use crate::id::RequestId;
use crate::limits::Limits;
use crate::plan::Admission;
use crate::request::Request;
use crate::rollup::compaction::Compaction;
use crate::rollup::fold::{StoredPage, UnreadableRecord};
use crate::rollup::key::KeyRange;
use crate::rollup::observation::Observation;
use crate::step::{Step, Unfolded, WriteLimits};
use crate::stream::{StreamBatch, StreamStep};
use crate::time::{Millis, Stamp};
use crate::watermark::Watermark;

/// The analytics function, configured.
#[derive(Clone, Debug)]
pub struct Service {
    config: Config,
}

impl Service {
    /// A service with this configuration.
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    /// The service that this text configures. Without one, or with one that is not a whole configuration, it is closed: every
    /// request but `/healthz` is answered 503, and what is stored is folded, compacted and expired as ever.
    pub fn from_text(text: Option<&str>) -> Self {
        Config::parse(text.unwrap_or_default()).map_or_else(Self::closed, Self::new)
    }

    /// A service whose configuration could not be read, and why: closed as that of [`Service::from_text`].
    pub fn closed(reason: impl Display) -> Self {
        Self { config: Config::closed(reason.to_string()) }
    }

    /// The limits of the contract. A host needs [`Limits::body_bytes`].
    pub fn limits(&self) -> Limits {
        Limits::CONTRACT
    }

    /// Over how many shards a tenant's events are spread, where a platform's store has shards.
    pub fn shards(&self) -> u32 {
        self.config.shards
    }

    /// What the operator should read when the service starts: that it is open, or why it is closed. It says nothing of a key.
    pub fn notice(&self) -> Option<String> {
        match &self.config.access {
            Access::Keys(_) => None,
            Access::Open => Some(
                "the service is open: everyone may send and read events, and everything belongs to the tenant `default`"
                    .to_owned(),
            ),
            Access::Closed(reason) => {
                Some(format!("the service is closed and answers 503 to all but /healthz, since it is not configured: {reason}"))
            }
        }
    }

    /// Whether every request but `/healthz` is answered 503, for want of a configuration.
    pub fn is_closed(&self) -> bool {
        self.config.is_closed()
    }

    /// Reads what rollups need of a stored event, given by its [`crate::NewEvent::record`].
    ///
    /// # Errors
    /// [`UnreadableRecord`] where the record is no event.
    pub fn observe<'a>(&self, record: &'a str) -> Result<Observation<'a>, UnreadableRecord> {
        Observation::read(record, &self.config.dimensions)
    }

    /// Folds the first of these records, in the order in which they became durable: as many as a store may take at once, and at
    /// most `at_most`.
    pub fn fold(&self, records: &[Unfolded<'_>], at_most: usize, limits: WriteLimits) -> Step {
        Step::of(records.iter().copied().map(Some), at_most, limits, &self.config.dimensions)
    }

    /// Folds the next records of a stream behind their lane's watermark, as many as a store may take at once, and at most
    /// `at_most`; `None` when there is nothing to write any more.
    pub fn step<'b, 'a>(
        &self,
        batch: &'b StreamBatch<'a>,
        watermark: &Watermark,
        at_most: usize,
        limits: WriteLimits,
    ) -> Option<StreamStep<'b, 'a>> {
        batch.step(watermark, at_most, limits, &self.config.dimensions)
    }

    /// One object of the raw backup: these [`crate::NewEvent::record`]s of a tenant. `batch` names them among the tenant's, and is the
    /// same when the same are backed up again.
    pub fn backup<'a>(&self, tenant: &str, batch: &str, records: impl IntoIterator<Item = &'a str>) -> Backup {
        Backup::of(tenant, batch, records)
    }

    /// Where a tenant's marks stand, for [`Service::compactions`].
    pub fn marks(&self) -> KeyRange {
        KeyRange::of_all_marks()
    }

    /// What there is to compact, from all pages in [`Service::marks`], and the time.
    pub fn compactions(&self, marks: &[StoredPage], received_at: Millis) -> Vec<Compaction> {
        Compaction::of(marks, received_at)
    }

    /// Everyone who may have events.
    pub fn tenants(&self) -> Vec<Tenant> {
        self.config.access.tenants()
    }

    /// Decides what a request comes to: a reply, or a plan for the host's store.
    pub fn admit(&self, request: &Request<'_>, stamp: Stamp) -> Admission {
        match self.admit_head(request, stamp) {
            Door::Reply(reply) => Admission::Reply(reply),
            Door::Body(entry) => entry.admit(request.body),
        }
    }

    /// Decides on a request's head, which is all of it but [`Request::body`]: its route, method and key, and what the head says of
    /// the body. A host that reads a body itself asks this first.
    pub fn admit_head<'a>(&'a self, head: &'a Request<'a>, stamp: Stamp) -> Door<'a> {
        self.door(head, Credential::Authorization(head.header("authorization")), stamp)
    }

    /// Decides what a message of a queue comes to: a request that was written down, with the id of the key that was checked
    /// before ([`Service::writer`]), or with its header `authorization`.
    pub fn admit_message(&self, request: &Request<'_>, key_id: Option<&str>, stamp: Stamp) -> Admission {
        let authorization = Credential::Authorization(request.header("authorization"));
        match self.door(request, key_id.map_or(authorization, Credential::KeyId), stamp) {
            Door::Reply(reply) => Admission::Reply(reply),
            Door::Body(entry) => entry.admit(request.body),
        }
    }

    /// The id of the key in this value of the header `authorization`, if it may send events: what a gateway asks before it puts a
    /// request into a queue, and what the message then carries.
    pub fn writer(&self, authorization: Option<&str>, received_at: Millis) -> Option<&str> {
        self.config.access.writer(authorization, received_at).ok()
    }

    fn door<'a>(&'a self, head: &'a Request<'a>, credential: Credential<'_>, stamp: Stamp) -> Door<'a> {
        #[cfg(feature = "test-stamp")]
        let stamp = head.test_stamp().unwrap_or(stamp);
        match Door::of(&self.config, head, credential, stamp) {
            Ok(door) => door.for_method(head.method),
            Err(refusal) => Door::Reply(refusal.reply(RequestId::of(stamp))).for_method(head.method),
        }
    }
}
