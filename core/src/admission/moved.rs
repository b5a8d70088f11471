//! Lines of another service's export, read as plans.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::admission::body::{self, Media};
use crate::admission::config::Config;
use crate::admission::event;
use crate::admission::request::Request;
use crate::doors::parts::RawMembers;
use crate::rollups::compaction::is_manifest;
use crate::rollups::key::{Day, KeyKind, moved};
use crate::rollups::observation::{Dimensions, Observation};
use crate::rollups::page::is_page;
use crate::rollups::stored::{PAGE_BYTES, StoredPage};
use crate::store::answer::{Answer, Slot};
use crate::store::export::{Asked, ExportPlan, Moving};
use crate::store::import::ImportPlan;
use crate::store::limiter::Standing;
use crate::store::new_event::NewEvent;
use crate::store::plan::{Admission, Plan, StorePlan};
use crate::vocabulary::counted;
use crate::vocabulary::id::RequestId;
use crate::vocabulary::rejection::Rejection;
use crate::vocabulary::tenant::Tenant;
use crate::vocabulary::time::{Seconds, Stamp};

/// The most bytes of a record. A closed block holds one of them beside others.
const RECORD_BYTES: usize = 128 * 1024;
/// How long after its receipt an event may expire, in seconds: ten years.
const LONGEST: u64 = 3650 * 24 * 60 * 60;

const EVENT: &str = "a line has digest, expiresAt and record, as /export/events gives them, and counted";
const ROLLUPS: &str = "a line has key and page, as /export/rollups gives them";

/// Reads the query of an export.
pub(crate) fn export(
    config: &Config,
    tenant: Tenant,
    what: Moving,
    query: &str,
    stamp: Stamp,
) -> Result<Plan, Rejection> {
    let invalid = |name: &str| Rejection::InvalidQuery(format!("{name} must be as an earlier answer gave it"));
    let (mut part, mut after) = (0, String::new());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "part" => part = value.parse().map_err(|_| invalid("part"))?,
            "after" => after = value.into_owned(),
            _ => return Err(Rejection::InvalidQuery("an export takes part and after".to_owned())),
        }
    }
    let asked = Asked { what, part, after, received_at: stamp.received_at, is_frozen: config.is_frozen(&tenant) };
    Ok(Plan::Export(ExportPlan { tenant, request_id: RequestId::of(stamp), asked, is_head: false }))
}

/// Reads the body of an import.
pub(crate) fn import(
    tenant: Tenant,
    what: Moving,
    head: &Request<'_>,
    body: &[u8],
    stamp: Stamp,
) -> Result<Admission, Rejection> {
    let request_id = RequestId::of(stamp);
    let body = body::inflated(head, body)?;
    let lines = body::events(Media::Ndjson, &body)?;
    if what == Moving::Rollups {
        let pages = lines.into_iter().map(|line| page(line?)).collect::<Result<_, _>>()?;
        return Ok(Admission::Plan(Plan::Import(ImportPlan { tenant, request_id, pages })));
    }
    let (mut events, mut slots, mut places) = (Vec::new(), Vec::new(), BTreeMap::new());
    for line in lines {
        slots.push(match line.and_then(event) {
            Ok(event) => match places.get(&event.id) {
                Some(at) => Slot::Repeated { at: *at, digest: event.digest },
                None => {
                    let at = events.len();
                    places.insert(event.id, at);
                    events.push(event);
                    Slot::New { at, named: true }
                }
            },
            Err(rejection) => Slot::Rejected(rejection),
        });
    }
    let answer = Answer::Batch(slots, request_id);
    let plan = StorePlan {
        tenant,
        events,
        answer,
        may_be_repeated: true,
        shared_with: None,
        key: String::new(),
        standing: Standing::default(),
    };
    Ok(if plan.events().is_empty() {
        Admission::Reply(plan.respond(Vec::new()))
    } else {
        Admission::Plan(Plan::Store(plan))
    })
}

fn event(line: &str) -> Result<NewEvent, Rejection> {
    let read = || {
        let line = RawMembers::read(line, EVENT).ok()?;
        let record = line.get("record")?;
        // A record is kept as lines of backups, too.
        if record.len() > RECORD_BYTES || record.contains('\n') {
            return None;
        }
        Observation::read(record, &Dimensions::new()).ok()?;
        let head = RawMembers::read(record, EVENT).ok()?;
        let (occurred_at, received_at) = (head.time("timestamp")?, head.time("receivedAt")?);
        // What folds write is bounded because events are.
        if !event::is_within_limits(record, occurred_at, received_at) {
            return None;
        }
        let expires_at: u64 = line.get("expiresAt")?.parse().ok()?;
        let kept = expires_at.checked_sub(received_at.to_seconds().0)?;
        let is_counted = line.get("counted") == Some("true");
        (kept <= LONGEST).then_some(NewEvent {
            id: head.text("eventId")?.parse().ok()?,
            digest: line.text("digest")?.parse().ok()?,
            occurred_at,
            received_at,
            expires_at: Seconds(expires_at),
            record: if is_counted { counted::counted(record) } else { record.to_owned() },
        })
    };
    read().ok_or(Rejection::InvalidDelivery(EVENT))
}

fn page(line: &str) -> Result<(u32, StoredPage), Rejection> {
    let read = || {
        let line = RawMembers::read(line, ROLLUPS).ok()?;
        let key = line.text("key")?;
        let bytes = STANDARD.decode(&*line.text("page")?).ok()?;
        let (day, key) = match KeyKind::of(&key) {
            KeyKind::Page(series, _) if is_page(&bytes) => (series.period.first_hour().day(), moved(&key)),
            // It stands for a damaged page, so reports of its series are incomplete here, too.
            KeyKind::Apart(series) if bytes.is_empty() => (series.period.first_hour().day(), key.into_owned()),
            KeyKind::Day if is_manifest(&bytes) => (Day::of_manifest(&key)?, moved(&key)),
            _ => return None,
        };
        (key.len() + bytes.len() <= PAGE_BYTES).then_some((day.0, StoredPage { key, bytes }))
    };
    read().ok_or(Rejection::InvalidDelivery(ROLLUPS))
}
