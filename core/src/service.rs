//! The function itself: a request and a stamp in, a reply or a plan out.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::access::Scope;
use crate::backup::Backup;
use crate::body;
use crate::config::{Config, Tenant};
use crate::document;
use crate::event::Event;
use crate::id::{EventId, RequestId};
use crate::limits::Limits;
use crate::plan::{Admission, FindPlan, NewEvent, Plan, StorePlan};
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::report::ReportPlan;
use crate::request::Request;
use crate::rollup::compaction::Compaction;
use crate::rollup::fold::{StoredPage, UnreadableRecord};
use crate::rollup::key::KeyRange;
use crate::rollup::observation::Observation;
use crate::route::{self, Route};
use crate::settle::{Answer, Slot};
use crate::step::{Step, Unfolded, WriteLimits};
use crate::stream::{StreamBatch, StreamStep, Watermark};
use crate::time::{Millis, Stamp};

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

    /// The limits of the contract. A host needs [`Limits::body_bytes`].
    pub fn limits(&self) -> Limits {
        Limits::CONTRACT
    }

    /// Over how many shards a tenant's events are spread, where a platform's store has shards.
    pub fn shards(&self) -> u32 {
        self.config.shards
    }

    /// What the operator should read when the service starts.
    pub fn notice(&self) -> Option<&'static str> {
        self.config
            .keys
            .is_open()
            .then_some("no keys are configured: the service is open, and everything belongs to the tenant `default`")
    }

    /// Reads what rollups need of a stored event, given by its [`NewEvent::record`].
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

    /// One object of the raw backup: these [`NewEvent::record`]s of a tenant. `batch` names them among the tenant's, and is the
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
        self.config.keys.tenants()
    }

    /// Decides what a request comes to: a reply, or a plan for the host's store.
    pub fn admit(&self, request: &Request<'_>, stamp: Stamp) -> Admission {
        #[cfg(feature = "test-stamp")]
        let stamp = request.test_stamp().unwrap_or(stamp);
        let request_id = RequestId::of(stamp);
        self.decide(request, stamp, request_id)
            .unwrap_or_else(|refusal| Admission::Reply(refusal.reply(request_id)))
            .for_method(request.method)
    }

    fn decide(&self, request: &Request<'_>, stamp: Stamp, request_id: RequestId) -> Result<Admission, Refusal> {
        let path = route::normal(request.path);
        let route = Route::of(request.method, &path)?;
        let tenant_for = |needed| self.config.keys.authorize(request.header("authorization"), needed);
        match route {
            Route::Health => Ok(Admission::Reply(Reply::ok())),
            Route::Dashboard => Ok(Admission::Reply(document::dashboard())),
            Route::OpenApi => Ok(Admission::Reply(document::openapi())),
            Route::PostEvent => {
                let tenant = tenant_for(Scope::Write)?;
                let body = body::single(request)?;
                admit_one(tenant, body::text(&body)?, stamp, request_id)
            }
            Route::PostBatch => {
                let tenant = tenant_for(Scope::Write)?;
                let (media, body) = body::batch(request)?;
                Ok(admit_batch(tenant, body::events(media, &body)?, stamp, request_id))
            }
            Route::OneEvent(id) => {
                let tenant = tenant_for(Scope::Read)?;
                // What is no id names no event.
                let id = id.parse().map_err(|_no_id| Refusal::NoEvent)?;
                Ok(Admission::Plan(Plan::Find(FindPlan { tenant, id, request_id, is_head: false })))
            }
            Route::Report(kind) => {
                let tenant = tenant_for(Scope::Read)?;
                let plan = ReportPlan::new(tenant, kind, request.query, &self.config.dimensions, stamp)?;
                Ok(Admission::Plan(Plan::Report(plan)))
            }
        }
    }
}

fn admit_one(tenant: Tenant, text: &str, stamp: Stamp, request_id: RequestId) -> Result<Admission, Refusal> {
    let mut intake = Intake::new(tenant, stamp);
    let slot = intake.take(text)?;
    Ok(intake.plan(Answer::One(slot, request_id)))
}

fn admit_batch(tenant: Tenant, texts: Vec<Result<&str, Refusal>>, stamp: Stamp, request_id: RequestId) -> Admission {
    let mut intake = Intake::new(tenant, stamp);
    let slots =
        texts.into_iter().map(|text| text.and_then(|text| intake.take(text)).unwrap_or_else(Slot::Refused)).collect();
    intake.plan(Answer::Batch(slots, request_id))
}

/// Collects the events of one request, each key once.
struct Intake {
    tenant: Tenant,
    stamp: Stamp,
    events: Vec<NewEvent>,
    /// Where in `events` each messageId of this request stands.
    named: BTreeMap<EventId, usize>,
}

impl Intake {
    fn new(tenant: Tenant, stamp: Stamp) -> Self {
        Self { tenant, stamp, events: Vec::new(), named: BTreeMap::new() }
    }

    fn take(&mut self, text: &str) -> Result<Slot, Refusal> {
        let event = Event::read(text, self.stamp.received_at)?;
        let next = self.events.len();
        let Some(id) = event.named_id(&self.tenant) else {
            let unnamed = next - self.named.len();
            self.events.push(event.keep(EventId::sequential(self.stamp, unnamed), self.stamp));
            return Ok(Slot::New { at: next, named: false });
        };
        let event = event.keep(id, self.stamp);
        match self.named.entry(id) {
            Entry::Occupied(first) => Ok(Slot::Repeated { at: *first.get(), digest: event.digest }),
            Entry::Vacant(place) => {
                place.insert(next);
                self.events.push(event);
                Ok(Slot::New { at: next, named: true })
            }
        }
    }

    fn plan(self, answer: Answer) -> Admission {
        let Self { tenant, events, .. } = self;
        let plan = StorePlan { tenant, events, answer };
        // Nothing to keep is nothing to ask a store for.
        if plan.events.is_empty() {
            Admission::Reply(plan.settle(Vec::new()))
        } else {
            Admission::Plan(Plan::Store(plan))
        }
    }
}
