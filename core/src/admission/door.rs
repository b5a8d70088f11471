//! Decides on a request: first by its head, then by its body if the route takes one.

use std::collections::BTreeMap;
use std::collections::btree_map;

use crate::admission::access::Credential;
use crate::admission::body::{self, Media};
use crate::admission::config::Config;
use crate::admission::document;
use crate::admission::event::Event;
use crate::admission::request::Request;
use crate::admission::route::{self, HEALTH, MAINTENANCE, Route};
use crate::admission::scope::{Caller, Scope};
use crate::reports::plan::ReportPlan;
use crate::store::answer::{Answer, Slot};
use crate::store::limiter::Standing;
use crate::store::plan::{Admission, FindPlan, HEAD, MaintenancePlan, NewEvent, Plan, StorePlan};
use crate::vocabulary::id::{EventId, RequestId};
use crate::vocabulary::limits::Limits;
use crate::vocabulary::rejection::Rejection;
use crate::vocabulary::reply::Reply;
use crate::vocabulary::tenant::Tenant;
use crate::vocabulary::time::Stamp;

/// The decision on a request's head.
#[must_use = "a door that is dropped leaves its client without an answer"]
#[derive(Debug)]
pub enum Door<'a> {
    /// The reply does not depend on the body, so the host need not read it.
    Reply(Reply),
    /// The decision depends on the body, if the route takes one.
    Body(Entry<'a>),
}

/// A request that is admitted so far: its route, method and key are valid.
#[must_use = "an entry that is dropped leaves its client without an answer"]
#[derive(Debug)]
pub struct Entry<'a> {
    config: &'a Config,
    head: &'a Request<'a>,
    stamp: Stamp,
    asks: Asks<'a>,
}

/// What a request asks for.
#[derive(Debug)]
enum Asks<'a> {
    /// Keep one event of this caller.
    Event(Caller<'a>),
    /// Keep a batch of events of this caller.
    Batch(Caller<'a>, Media),
    /// A plan that needs no body.
    Plan(Plan),
}

impl<'a> Door<'a> {
    pub(crate) fn of(
        config: &'a Config,
        head: &'a Request<'a>,
        credential: Credential<'_>,
        stamp: Stamp,
    ) -> Result<Self, Rejection> {
        let request_id = RequestId::of(stamp);
        let caller_for = |needed| config.access.authorize(credential, needed, stamp.received_at);
        let tenant_for = |needed| caller_for(needed).map(|caller| caller.tenant);
        let path = route::normal(head.path);
        if path != HEALTH && config.is_closed() {
            return Err(Rejection::NotConfigured);
        }
        if path == MAINTENANCE {
            tenant_for(Scope::Operate)?;
        }
        let asks = match Route::of(head.method, &path)? {
            Route::Health => return Ok(Self::Reply(Reply::ok())),
            Route::Dashboard => return Ok(Self::Reply(document::dashboard())),
            Route::OpenApi => return Ok(Self::Reply(document::openapi())),
            Route::PostEvent => {
                let caller = caller_for(Scope::Write)?;
                body::single(head)?;
                body::announced(head)?;
                Asks::Event(caller)
            }
            Route::PostBatch => {
                let caller = caller_for(Scope::Write)?;
                let media = body::batch(head)?;
                body::announced(head)?;
                Asks::Batch(caller, media)
            }
            Route::OneEvent(id) => {
                let tenant = tenant_for(Scope::Read)?;
                // A malformed id cannot name an event, so the answer is 404.
                let id = id.parse().map_err(|_no_id| Rejection::NoEvent)?;
                Asks::Plan(Plan::Find(FindPlan {
                    tenant,
                    id,
                    request_id,
                    received_at: stamp.received_at,
                    is_head: false,
                }))
            }
            Route::Report(kind) => {
                let tenant = tenant_for(Scope::Read)?;
                Asks::Plan(Plan::Report(ReportPlan::new(tenant, kind, head.query, &config.dimensions, stamp)?))
            }
            Route::Maintenance => Asks::Plan(Plan::Maintenance(MaintenancePlan { request_id })),
        };
        Ok(Self::Body(Entry { config, head, stamp, asks }))
    }

    /// Removes the body from a reply to `HEAD`.
    pub(crate) fn for_method(self, method: &str) -> Self {
        match self {
            Self::Reply(reply) => Self::Reply(reply.for_head(method == HEAD)),
            Self::Body(entry) => Self::Body(entry),
        }
    }
}

impl Entry<'_> {
    /// How many bytes the body may have as sent; 0 if the request must not have one. If a longer body arrives where one
    /// is allowed, the host hands over one byte more than this, and core rejects it.
    pub fn body_bytes(&self) -> usize {
        match self.asks {
            Asks::Event(_) | Asks::Batch(..) => Limits::CONTRACT.body_bytes,
            Asks::Plan(_) => 0,
        }
    }

    /// Decides on the request, with this body.
    pub fn admit(self, body: &[u8]) -> Admission {
        let Self { config, head, stamp, asks } = self;
        let request_id = RequestId::of(stamp);
        let admitted = match asks {
            Asks::Event(caller) => admit_one(Intake::new(config, caller, head, stamp), head, body, request_id),
            Asks::Batch(caller, media) => {
                admit_batch(Intake::new(config, caller, head, stamp), media, head, body, request_id)
            }
            Asks::Plan(plan) => Ok(Admission::Plan(plan)),
        };
        let admitted = admitted.unwrap_or_else(|rejection| Admission::Reply(rejection.reply(request_id)));
        // A client that fixes the stamp may send a request twice.
        #[cfg(feature = "test-stamp")]
        let admitted = if head.test_stamp().is_some() { admitted.repeatable() } else { admitted };
        admitted.for_method(head.method)
    }
}

fn admit_one(
    mut intake: Intake<'_>,
    head: &Request<'_>,
    body: &[u8],
    request_id: RequestId,
) -> Result<Admission, Rejection> {
    let body = body::inflated(head, body)?;
    let slot = intake.take(body::text(&body)?)?;
    Ok(intake.plan(Answer::One(slot, request_id)))
}

fn admit_batch(
    mut intake: Intake<'_>,
    media: Media,
    head: &Request<'_>,
    body: &[u8],
    request_id: RequestId,
) -> Result<Admission, Rejection> {
    let body = body::inflated(head, body)?;
    let texts = body::events(media, &body)?;
    let slots =
        texts.into_iter().map(|text| text.and_then(|text| intake.take(text)).unwrap_or_else(Slot::Rejected)).collect();
    Ok(intake.plan(Answer::Batch(slots, request_id)))
}

/// Collects the events of one request, at most one per key.
struct Intake<'c> {
    config: &'c Config,
    tenant: Tenant,
    key: &'c str,
    /// The word by which a bot was recognised.
    bot: Option<&'c str>,
    stamp: Stamp,
    events: Vec<NewEvent>,
    /// The index in `events` of each event that has a messageId.
    named: BTreeMap<EventId, usize>,
}

impl<'c> Intake<'c> {
    fn new(config: &'c Config, Caller { tenant, key }: Caller<'c>, head: &Request<'_>, stamp: Stamp) -> Self {
        let bot = config.bots.word(head.header("user-agent"));
        Self { config, tenant, key, bot, stamp, events: Vec::new(), named: BTreeMap::new() }
    }

    fn take(&mut self, text: &str) -> Result<Slot, Rejection> {
        let mut event = Event::read(text, self.stamp.received_at)?;
        event.apply(self.config, &self.tenant, self.bot)?;
        let retention = &self.config.retention;
        let next = self.events.len();
        let Some(id) = event.named_id(&self.tenant) else {
            let unnamed = next - self.named.len();
            self.events.push(event.keep(EventId::sequential(self.stamp, unnamed), self.stamp, retention));
            return Ok(Slot::New { at: next, named: false });
        };
        let event = event.keep(id, self.stamp, retention);
        match self.named.entry(id) {
            btree_map::Entry::Occupied(first) => Ok(Slot::Repeated { at: *first.get(), digest: event.digest }),
            btree_map::Entry::Vacant(place) => {
                place.insert(next);
                self.events.push(event);
                Ok(Slot::New { at: next, named: true })
            }
        }
    }

    fn plan(self, answer: Answer) -> Admission {
        let Self { config, tenant, key, events, .. } = self;
        let standing = Standing::new(config.allowances.of(key, tenant.as_str()));
        let key = if standing.rules.is_empty() { String::new() } else { key.to_owned() };
        let plan = StorePlan { tenant, events, answer, may_be_repeated: false, key, standing };
        // Without events the store has nothing to do, so the reply is made here.
        if plan.events.is_empty() {
            Admission::Reply(plan.respond(Vec::new()))
        } else {
            Admission::Plan(Plan::Store(plan))
        }
    }
}
