//! The service itself: a request and a stamp go in, a reply or a plan comes out.

use std::fmt::{self, Display};

use crate::admission::access::{Access, Credential};
use crate::admission::allowances::Rule;
use crate::admission::config::Config;
use crate::admission::door::Door;
use crate::admission::request::Request;
use crate::maintenance::backup::Backup;
use crate::maintenance::folded::Folded;
use crate::maintenance::lanes::Lanes;
use crate::maintenance::machine::ExpiryOrder;
use crate::maintenance::round::CompactionRound;
use crate::maintenance::step::{Step, Unfolded};
use crate::maintenance::stream::{StreamBatch, StreamStep};
use crate::maintenance::watermark::Watermark;
use crate::rollups::compaction::Compaction;
use crate::rollups::key::KeyRange;
use crate::rollups::observation::{Observation, UnreadableRecord};
use crate::rollups::stored::{StoredPage, WriteLimits};
use crate::store::plan::Admission;
use crate::vocabulary::id::RequestId;
use crate::vocabulary::limits::Limits;
use crate::vocabulary::rejection::Rejection;
use crate::vocabulary::reply::Reply;
use crate::vocabulary::tenant::Tenant;
use crate::vocabulary::time::{Millis, Seconds, Stamp};
use crate::watching::line::{self, Line, Writer};
use crate::watching::seen::{Ran, Seen};

/// The configured analytics service.
#[derive(Clone, Debug)]
pub struct Service {
    config: Config,
}

/// The place of the configuration could not be read, and may be the next time. Whoever needs the configuration fails
/// with this, and is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread(String);

impl Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration could not be read: {}", self.0)
    }
}

impl std::error::Error for Unread {}

/// The tenant's clients may not write for now, because it moves to another service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frozen;

impl Display for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Rejection::Frozen.fmt(f)
    }
}

impl std::error::Error for Frozen {}

impl Service {
    /// A service with this configuration.
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    /// The service that this text configures. If the text is missing or invalid, the service is closed: it answers 503
    /// to every request except `/healthz`. Stored events are still folded, compacted and expired.
    pub fn from_text(text: Option<&str>) -> Self {
        Config::parse(text.unwrap_or_default()).map_or_else(Self::closed, Self::new)
    }

    /// The variables of the platform that hold the secrets which the configuration names. While there are any, the
    /// service is closed: see [`Service::with_secrets`].
    pub fn secrets(&self) -> Vec<String> {
        self.config.secrets.variables()
    }

    /// The service with the secrets of [`Service::secrets`], as `of` gives them. It is closed if one is missing or too
    /// short.
    #[must_use]
    pub fn with_secrets(mut self, of: impl Fn(&str) -> Option<String>) -> Self {
        let Config { access, privacy, secrets, .. } = &mut self.config;
        if let Err(problem) = secrets.give(access, privacy, of) {
            // What the configuration says otherwise still holds, for maintenance.
            *access = Access::Closed(problem);
        }
        self
    }

    /// A closed service, like the one of [`Service::from_text`], whose configuration could not be read for this reason.
    pub fn closed(reason: impl Display) -> Self {
        Self { config: Config::closed(reason.to_string()) }
    }

    /// The service while the place of its configuration cannot be read, for this reason. To requests it is closed.
    /// Maintenance waits: see [`Service::known`].
    pub fn unread(reason: impl Display) -> Self {
        Self { config: Config::unread(reason.to_string()) }
    }

    /// Ask this before any maintenance, and before [`Service::shards`] where there was no admission. A text that is no
    /// configuration has the default shards and dimensions, and maintenance goes on with them. A configuration that
    /// could not be read may say anything, and what is folded by the wrong dimensions stays so.
    ///
    /// # Errors
    /// [`Unread`]: do nothing now, and try again later with a service that is made anew.
    pub fn known(&self) -> Result<(), Unread> {
        match &self.config.access {
            Access::Unread(reason) => Err(Unread(reason.clone())),
            Access::Closed(_) | Access::Open | Access::Keys(_) => Ok(()),
        }
    }

    /// The limits of the contract. A host needs [`Limits::body_bytes`].
    pub fn limits(&self) -> Limits {
        Limits::CONTRACT
    }

    /// The number of shards that hold a tenant's events, if the platform's store has shards.
    pub fn shards(&self) -> u32 {
        self.config.shards
    }

    /// What events with this key, for this tenant, have to keep within.
    pub(crate) fn rules(&self, key: &str, tenant: &str) -> Vec<Rule> {
        self.config.allowances.of(key, tenant)
    }

    /// How long an event of this type is kept after it was received.
    pub fn retention(&self, event_type: &str) -> Seconds {
        self.config.retention.of(event_type)
    }

    /// The order in which new events expire, for [`Pace::with_expiry`](crate::Pace::with_expiry).
    pub fn expiry_order(&self) -> ExpiryOrder {
        if self.config.retention.is_default() { ExpiryOrder::Arrival } else { ExpiryOrder::Time }
    }

    /// A message for the operator at start: that the service is open, or why it is closed. It reveals no key.
    pub fn notice(&self) -> Option<String> {
        match &self.config.access {
            Access::Keys(_) if self.config.is_closed() => self.waits_for_secrets(),
            Access::Keys(_) => None,
            Access::Open if self.config.is_closed() => self.waits_for_secrets(),
            Access::Open => Some(
                "the service is open: everyone may send and read events, and everything belongs to the tenant `default`"
                    .to_owned(),
            ),
            Access::Closed(reason) | Access::Unread(reason) => {
                Some(format!("the service is closed and answers 503 to all but /healthz, since it is not configured: {reason}"))
            }
        }
    }

    fn waits_for_secrets(&self) -> Option<String> {
        Some(format!("the service is closed until it has its secrets: {}", self.secrets().join(", ")))
    }

    /// True if every request except `/healthz` is answered 503, because there is no valid configuration.
    pub fn is_closed(&self) -> bool {
        self.config.is_closed()
    }

    /// True if a host may keep this service, and need not read its configuration again. `is_deployed` says that the
    /// configuration and all secrets are part of the deployment, so they stay as they are. Other closed services are not
    /// kept. Their configuration could not be read, or an operator may mend it.
    pub fn is_final(&self, is_deployed: bool) -> bool {
        is_deployed || !self.is_closed()
    }

    /// Reads from a stored event what rollups need. `record` is its [`crate::NewEvent::record`].
    ///
    /// # Errors
    /// [`UnreadableRecord`] if the record is not an event.
    pub fn observe<'a>(&self, record: &'a str) -> Result<Observation<'a>, UnreadableRecord> {
        Observation::read(record, &self.config.dimensions)
    }

    /// Folds the first of these records: at most `at_most`, and no more than a store may write at once. The records
    /// must be in the order in which they became durable.
    pub fn fold(&self, records: &[Unfolded<'_>], at_most: usize, limits: WriteLimits) -> Step {
        Step::of(records.iter().copied().map(Some), at_most, limits, &self.config.dimensions)
    }

    /// Folds the next records of a stream after their lane's watermark: at most `at_most`, and no more than a store may
    /// write at once. `None` when nothing is left to write.
    pub fn step<'b, 'a>(
        &self,
        batch: &'b StreamBatch<'a>,
        watermark: &Watermark,
        at_most: usize,
        limits: WriteLimits,
    ) -> Option<StreamStep<'b, 'a>> {
        batch.step(watermark, at_most, limits, &self.config.dimensions)
    }

    /// The objects of the raw backup with these records, one for each tenant. `batch` names an object among its tenant's.
    /// It is the same when the same records are backed up again. A record whose tenant is damaged is in none.
    pub fn backups<'a>(&self, batch: &str, records: impl IntoIterator<Item = Unfolded<'a>>) -> Vec<Backup> {
        Backup::of_tenants(batch, records)
    }

    /// The range of keys that holds a tenant's day manifests, for [`Service::compactions`]. Those of all days together may be
    /// more than fits into memory, so a host reads them one by one and keeps only [`Compaction::manifest`].
    pub fn manifests(&self) -> KeyRange {
        KeyRange::of_all_manifests()
    }

    /// The compactions that are due at `received_at`, given pages in [`Service::manifests`].
    pub fn compactions(&self, manifests: &[StoredPage], received_at: Millis) -> Vec<Compaction> {
        Compaction::of(manifests, received_at)
    }

    /// Begins a run that compacts the past days of a store with lanes. `listed` are the lanes and tenants that the store
    /// has listed. Tenants with keys may have rollups in any lane, from before that list existed.
    pub fn compaction_round(&self, lanes: &Lanes, listed: Vec<(String, String)>, now: Millis) -> CompactionRound {
        CompactionRound::new(lanes, listed, &self.tenants(), now)
    }

    /// Every tenant that may have events.
    pub fn tenants(&self) -> Vec<Tenant> {
        self.config.access.tenants()
    }

    /// Turns a request into a reply, or into a plan for the host's store.
    pub fn admit(&self, request: &Request<'_>, stamp: Stamp) -> Admission {
        self.admit_as(presented(request), request, stamp)
    }

    /// Like [`Service::admit`], where the platform's gateway has checked the signature of the token in the header
    /// `authorization`, as API Gateway's JWT authoriser does. Nothing in a request may decide that a host calls this.
    pub fn admit_verified(&self, request: &Request<'_>, stamp: Stamp) -> Admission {
        self.admit_as(verified(request), request, stamp)
    }

    /// Decides on a request's head, which is everything but [`Request::body`]: its route, method and key, and what the
    /// head says about the body. A host that reads the body itself calls this first.
    pub fn admit_head<'a>(&'a self, head: &'a Request<'a>, stamp: Stamp) -> Door<'a> {
        self.door(head, presented(head), stamp).unless_frozen()
    }

    /// Decides on a message of a queue, which is a request that was written down. The message carries the id of the key
    /// that [`Service::writer`] checked before, or else its header `authorization`. A frozen tenant's message is kept: the
    /// queue has accepted it, so its sender does not send it again.
    pub fn admit_message(&self, request: &Request<'_>, key_id: Option<&str>, stamp: Stamp) -> Admission {
        match self.door(request, key_id.map_or(presented(request), Credential::KeyId), stamp) {
            Door::Reply(reply) => Admission::Reply(reply),
            // A queue may deliver a message twice.
            Door::Body(entry) => entry.promised().admit(request.body).repeatable().unlimited(),
        }
    }

    /// The id of the key, or of a token's issuer, in this value of the header `authorization`, if it may send events. A gateway asks this before
    /// it puts a request into a queue, and the message then carries the id.
    ///
    /// # Errors
    /// [`Frozen`]: the gateway must answer so that the client sends the request again.
    pub fn writer(&self, authorization: Option<&str>, received_at: Millis) -> Result<Option<String>, Frozen> {
        if self.config.is_closed() {
            return Ok(None);
        }
        match self.config.access.writer(authorization, received_at) {
            Ok((tenant, _)) if self.config.is_frozen(&tenant) => Err(Frozen),
            writer => Ok(writer.ok().map(|(_, id)| id)),
        }
    }

    /// Looks at an answered request, for its line and for metrics. Every answer passes here before it is sent: if the
    /// request names a trace, the reply gets the header that names it too.
    pub fn seen(&self, request: &Request<'_>, stamp: Stamp, reply: &mut Reply, ran: Ran) -> Seen {
        Seen::of(request, stamp_of(request, stamp), reply, ran)
    }

    /// The line to write for a request; `None` if none is to be written.
    pub fn line(&self, request: &Request<'_>, seen: &Seen, writer: Writer<'_>) -> Option<Line> {
        line::of_request(&self.config, request, presented(request), seen, "request", writer)
    }

    /// Like [`Service::line`], for a request of [`Service::admit_verified`].
    pub fn verified_line(&self, request: &Request<'_>, seen: &Seen, writer: Writer<'_>) -> Option<Line> {
        line::of_request(&self.config, request, verified(request), seen, "request", writer)
    }

    /// Like [`Service::line`], for a message of a queue with the id of its key.
    pub fn message_line(
        &self,
        request: &Request<'_>,
        key_id: Option<&str>,
        seen: &Seen,
        writer: Writer<'_>,
    ) -> Option<Line> {
        let credential = key_id.map_or(presented(request), Credential::KeyId);
        line::of_request(&self.config, request, credential, seen, "message", writer)
    }

    /// The line to write for a fold; `None` if none is to be written.
    pub fn fold_line(&self, folded: &Folded, stamp: Stamp, writer: Writer<'_>) -> Option<Line> {
        line::of_fold(&self.config, folded, stamp, writer)
    }

    fn admit_as(&self, credential: Credential<'_>, request: &Request<'_>, stamp: Stamp) -> Admission {
        match self.door(request, credential, stamp).unless_frozen() {
            Door::Reply(reply) => Admission::Reply(reply),
            Door::Body(entry) => entry.admit(request.body),
        }
    }

    fn door<'a>(&'a self, head: &'a Request<'a>, credential: Credential<'_>, stamp: Stamp) -> Door<'a> {
        let stamp = stamp_of(head, stamp);
        match Door::of(&self.config, head, credential, stamp) {
            Ok(door) => door.for_method(head.method),
            Err(rejection) => Door::Reply(rejection.reply(RequestId::of(stamp))).for_method(head.method),
        }
    }
}

/// The credential in a request's header `authorization`, which core checks.
fn presented<'r>(request: &'r Request<'_>) -> Credential<'r> {
    Credential::Authorization(request.header("authorization"))
}

/// The credential of a request whose token the platform's gateway has checked.
fn verified<'r>(request: &'r Request<'_>) -> Credential<'r> {
    request.header("authorization").map_or(Credential::Authorization(None), Credential::Verified)
}

/// The stamp that counts: the host's, or the one that a test fixes.
#[cfg(feature = "test-stamp")]
fn stamp_of(request: &Request<'_>, stamp: Stamp) -> Stamp {
    request.test_stamp().unwrap_or(stamp)
}

/// The stamp that counts: the host's.
#[cfg(not(feature = "test-stamp"))]
fn stamp_of(_request: &Request<'_>, stamp: Stamp) -> Stamp {
    stamp
}
