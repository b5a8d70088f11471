//! Decides on a request: first by its head, then by its body if the route takes one.

use std::borrow::Cow;

use crate::admission::access::Credential;
use crate::admission::body::{self, Media};
use crate::admission::config::Config;
use crate::admission::event::Event;
use crate::admission::foreign_request::{ForeignRequest, From};
use crate::admission::intake::Intake;
use crate::admission::request::Request;
use crate::admission::route::{self, HEALTH, OPERATORS, Route};
use crate::admission::scope::{Caller, Scope};
use crate::admission::{cors, document, moved};
use crate::doors::{Dialect, DoorRoute};
use crate::reports::plan::ReportPlan;
use crate::store::answer::{Answer, Slot};
use crate::store::export::Moving;
use crate::store::plan::{Admission, FindPlan, HEAD, MaintenancePlan, Plan};
use crate::vocabulary::id::RequestId;
use crate::vocabulary::limits::Limits;
use crate::vocabulary::rejection::Rejection;
use crate::vocabulary::reply::Reply;
use crate::vocabulary::tenant::Tenant;
use crate::vocabulary::time::Stamp;
use crate::watching::plan::{MetricsPlan, ReadyPlan};

/// The decision on a request's head, whatever its protocol. The folder `doors/` has other protocols instead.
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
    /// The origin whose pages may read the answer.
    shared_with: Option<&'a str>,
    /// The request was accepted before, by a queue. It is kept even if the tenant is frozen: nobody would send it again.
    is_promised: bool,
}

/// What a request asks for.
#[derive(Debug)]
enum Asks<'a> {
    /// Keep one event of this caller.
    Event(Caller<'a>),
    /// Keep a batch of events of this caller.
    Batch(Caller<'a>, Media),
    /// Keep what another protocol describes.
    Deliver(ForeignRequest<'a>),
    /// Keep what another service has exported of this tenant.
    Import(Tenant, Moving),
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
        let path = route::normal(head.path);
        if path != HEALTH && config.is_closed() {
            return Err(Rejection::NotConfigured);
        }
        let Some(origin) = cors::origin(config, head, &path) else {
            return Self::of_path(config, head, &path, credential, stamp, &mut None);
        };
        if let Some(reply) = cors::preflight(head, &path, origin) {
            return Ok(Self::Reply(reply));
        }
        let mut shared_with = Some(origin);
        match Self::of_path(config, head, &path, credential, stamp, &mut shared_with) {
            Ok(Self::Reply(reply)) => Ok(Self::Reply(reply.shared_with(shared_with))),
            Ok(entry) => Ok(entry),
            Err(rejection) => Ok(Self::Reply(rejection.reply(RequestId::of(stamp)).shared_with(shared_with))),
        }
    }

    /// Decides on a request of this normalized path. `shared_with` is the origin whose pages may read the answer, which
    /// depends on the key.
    fn of_path(
        config: &'a Config,
        head: &'a Request<'a>,
        path: &str,
        credential: Credential<'_>,
        stamp: Stamp,
        shared_with: &mut Option<&'a str>,
    ) -> Result<Self, Rejection> {
        let request_id = RequestId::of(stamp);
        let caller_for = |needed| config.access.authorize(credential, needed, stamp.received_at);
        let tenant_for = |needed| caller_for(needed).map(|caller| caller.tenant);
        if OPERATORS.contains(&path) {
            tenant_for(Scope::Operate)?;
        }
        let asks = match Route::of(head.method, path)? {
            Route::Health => return Ok(Self::Reply(Reply::ok())),
            Route::Dashboard => return Ok(Self::Reply(document::dashboard())),
            Route::Script => return Ok(Self::Reply(document::script())),
            Route::OpenApi => return Ok(Self::Reply(document::openapi())),
            Route::PostEvent => {
                let caller = cors::writer(config, head, credential, stamp, shared_with)?;
                body::single(head, shared_with.is_some())?;
                body::announced(head)?;
                Asks::Event(caller)
            }
            Route::PostBatch => {
                let caller = cors::writer(config, head, credential, stamp, shared_with)?;
                let media = body::batch(head, shared_with.is_some())?;
                body::announced(head)?;
                Asks::Batch(caller, media)
            }
            Route::Door(DoorRoute::Deliver(dialect)) => {
                let is_in_body = matches!(credential, Credential::Authorization(None))
                    && dialect.may_hold_key()
                    && cors::key_in(head.query).is_none();
                let caller = match is_in_body {
                    true => None,
                    false => Some(cors::writer(config, head, credential, stamp, shared_with)?),
                };
                let from = caller.map_or(From::KeyInBody, From::Caller);
                Asks::Deliver(ForeignRequest::of(config, dialect, from, head)?)
            }
            Route::Door(DoorRoute::Webhook(id)) => {
                let sender = config.access.sender(id).ok_or(Rejection::Unauthorized)?;
                sender.check(head, stamp.received_at)?;
                Asks::Deliver(ForeignRequest::of(config, Dialect::Webhook, From::Sender(sender), head)?)
            }
            Route::Door(DoorRoute::Settings(settings, key)) => {
                let key = key.map(Cow::Borrowed).or_else(|| cors::key_in(head.query)).unwrap_or_default();
                if settings.needs_key() {
                    cors::writer(config, head, Credential::Published(&key), stamp, shared_with)?;
                }
                let mut reply = settings.reply(&key);
                if shared_with.is_none() && !config.origins.is_empty() {
                    // A cache may keep it, and must not give it to a page that needs one of its own.
                    reply.headers.push(("vary", "Origin".to_owned()));
                }
                return Ok(Self::Reply(reply));
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
            Route::Ready => {
                Asks::Plan(Plan::Ready(ReadyPlan { stamp, tenants: config.access.tenants(), is_head: false }))
            }
            Route::Metrics => Asks::Plan(Plan::Metrics(MetricsPlan { request_id, is_head: false })),
            Route::Export(what) => {
                Asks::Plan(moved::export(config, tenant_for(Scope::Operate)?, what, head.query, stamp)?)
            }
            Route::Import(what) => {
                body::lines(head)?;
                body::announced(head)?;
                Asks::Import(tenant_for(Scope::Operate)?, what)
            }
        };
        Ok(Self::Body(Entry { config, head, stamp, asks, shared_with: *shared_with, is_promised: false }))
    }

    /// Refuses what a client of a frozen tenant sends.
    pub(crate) fn unless_frozen(self) -> Self {
        match self {
            Self::Body(Entry { config, stamp, shared_with, ref asks, .. })
                if asks.writer().is_some_and(|tenant| config.is_frozen(tenant)) =>
            {
                Self::Reply(asks.later(&Rejection::Frozen, RequestId::of(stamp)).shared_with(shared_with))
            }
            other => other,
        }
    }

    /// Removes the body from a reply to `HEAD`.
    pub(crate) fn for_method(self, method: &str) -> Self {
        match self {
            Self::Reply(reply) => Self::Reply(reply.for_head(method == HEAD)),
            Self::Body(entry) => Self::Body(entry),
        }
    }
}

impl Asks<'_> {
    /// The answer to a client that is to send its events again later.
    fn later(&self, rejection: &Rejection, request_id: RequestId) -> Reply {
        match self {
            Self::Deliver(foreign) => foreign.style().again(rejection, request_id),
            Self::Event(_) | Self::Batch(..) | Self::Import(..) | Self::Plan(_) => rejection.reply(request_id),
        }
    }

    /// The tenant that a client writes for, if the head tells.
    fn writer(&self) -> Option<&Tenant> {
        match self {
            Self::Event(caller) | Self::Batch(caller, _) => Some(&caller.tenant),
            Self::Deliver(foreign) => foreign.tenant(),
            Self::Import(..) | Self::Plan(_) => None,
        }
    }
}

impl Entry<'_> {
    /// The same for a request that a queue has accepted.
    pub(crate) fn promised(self) -> Self {
        Self { is_promised: true, ..self }
    }

    /// How many bytes the body may have as sent; 0 if the request must not have one. If a longer body arrives where one
    /// is allowed, the host hands over one byte more than this, and core rejects it.
    pub fn body_bytes(&self) -> usize {
        match &self.asks {
            Asks::Event(_) | Asks::Batch(..) | Asks::Import(..) => Limits::CONTRACT.body_bytes,
            Asks::Deliver(foreign) => foreign.body_bytes(),
            Asks::Plan(_) => 0,
        }
    }

    /// `true` if the head tells who sends the request; otherwise its body does.
    pub fn is_known(&self) -> bool {
        match &self.asks {
            Asks::Deliver(foreign) => foreign.is_known(),
            Asks::Event(_) | Asks::Batch(..) | Asks::Import(..) | Asks::Plan(_) => true,
        }
    }

    /// Decides on the request, with this body.
    pub fn admit(self, body: &[u8]) -> Admission {
        let Self { config, head, stamp, asks, mut shared_with, is_promised } = self;
        let request_id = RequestId::of(stamp);
        let is_event = matches!(asks, Asks::Event(_));
        // A frozen tenant still takes imports: they are not a client's.
        let may_write = is_promised || matches!(asks, Asks::Import(..));
        let admitted = match asks {
            Asks::Event(caller) => admit_one(Intake::new(config, caller, head, stamp), head, body, request_id),
            Asks::Batch(caller, media) => {
                admit_batch(Intake::new(config, caller, head, stamp), media, head, body, request_id)
            }
            Asks::Deliver(foreign) => foreign.admit(head, body, stamp, &mut shared_with),
            Asks::Import(tenant, what) => moved::import(tenant, what, head, body, stamp),
            Asks::Plan(plan) => Ok(Admission::Plan(plan)),
        };
        let admitted = match admitted {
            // Only the body told which tenant the events belong to.
            Ok(Admission::Plan(Plan::Store(plan))) if !may_write && config.is_frozen(&plan.tenant) => {
                Admission::Reply(plan.answer.again(&Rejection::Frozen).shared_with(shared_with))
            }
            Ok(admission) => admission.shared_with(shared_with),
            Err(rejection) => {
                let mut reply = rejection.reply(request_id).shared_with(shared_with);
                reply.facts.events.invalid = u64::from(is_event);
                Admission::Reply(reply)
            }
        };
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
    let slot = intake.take(Event::read(body::text(&body)?, intake.received_at())?)?;
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
    let received_at = intake.received_at();
    let mut slot = |text| intake.take(Event::read(text, received_at)?);
    let slots = texts.into_iter().map(|text| text.and_then(&mut slot).unwrap_or_else(Slot::Rejected)).collect();
    Ok(intake.plan(Answer::Batch(slots, request_id)))
}
