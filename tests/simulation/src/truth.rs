//! The events that stores have kept, noted when they became durable: the reference for answers.

use std::collections::BTreeMap;
use std::ops::Range;

use isotherm_core::{Digest, EventId, Millis, NewEvent};
use serde_json::Value;

use crate::reports::rfc3339;
use crate::world::{HOUR, millis};

/// All events that were ever kept.
#[derive(Default)]
pub(crate) struct Truth {
    by_id: BTreeMap<(String, EventId), Vec<Kept>>,
    counts: Counts,
    /// Events that the stream has forgotten. Reports may count them or not.
    lost: Counts,
    /// When they were written.
    lost_at: Vec<Millis>,
    /// Periods in which the mapping was off or failing, so events may be lost.
    pub(crate) outages: Vec<Range<Millis>>,
    /// All events in the order in which they were kept: when, of which tenant, and of which hour.
    log: Vec<(Millis, String, u64)>,
}

/// Counts by tenant and hour, then by event type and carrier.
type Counts = BTreeMap<(String, u64), BTreeMap<(String, String), Count>>;

/// One event.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) digest: Digest,
    pub(crate) kept_at: Millis,
    pub(crate) expires_at: Millis,
    pub(crate) record: String,
    /// True once a client was told that it is new.
    pub(crate) is_told: bool,
}

/// A report's figures for some events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) count: u64,
    pub(crate) sum: i64,
    pub(crate) min: Option<i64>,
    pub(crate) max: Option<i64>,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.min = self.min.into_iter().chain(other.min).min();
        self.max = self.max.into_iter().chain(other.max).max();
    }
}

impl Truth {
    /// Notes that an event is durable.
    ///
    /// # Errors
    /// The store had the event already.
    pub(crate) fn keep(&mut self, tenant: &str, event: &NewEvent, now: Millis) -> Result<(), String> {
        let NewEvent { id, digest, occurred_at, expires_at, record, .. } = event;
        let expires_at = millis(*expires_at);
        let kept = self.by_id.entry((tenant.to_owned(), *id)).or_default();
        if kept.iter().any(|kept| kept.expires_at > now) {
            return Err(format!("{id} of {tenant} is kept twice"));
        }
        kept.push(Kept { digest: *digest, kept_at: now, expires_at, record: record.clone(), is_told: false });
        let Ok(event) = serde_json::from_str::<Value>(record) else { return Err(format!("{id} is no JSON")) };
        let hour = occurred_at.0 / HOUR;
        self.log.push((now, tenant.to_owned(), hour));
        add(&mut self.counts, tenant, hour, &event);
        Ok(())
    }

    /// Notes that the stream has forgotten an event before it was taken.
    pub(crate) fn lose(&mut self, tenant: &str, record: &str, written_at: Millis) {
        self.lost_at.push(written_at);
        let event: Value = serde_json::from_str(record).unwrap_or_default();
        let hours = self.hours(tenant);
        let time = event["timestamp"].as_str().unwrap_or_default();
        let hour =
            hours.into_iter().find(|hour| time.starts_with(rfc3339(Millis(hour * HOUR)).get(..13).unwrap_or_default()));
        add(&mut self.lost, tenant, hour.unwrap_or_default(), &event);
    }

    /// True if the stream lost events that were written in these hours.
    pub(crate) fn has_lost(&self, hours: &Range<u64>) -> bool {
        self.lost_at.iter().any(|at| hours.contains(&(at.0 / HOUR)))
    }

    /// True if the stream may have lost events that were written in these hours.
    pub(crate) fn may_have_lost(&self, hours: &Range<u64>) -> bool {
        let is_outage =
            |outage: &Range<Millis>| outage.start.0 / HOUR < hours.end && hours.start <= outage.end.0 / HOUR;
        self.has_lost(hours) || self.outages.iter().any(is_outage)
    }

    /// How many of the first `among` events are in these hours, and were kept at `then` or later.
    pub(crate) fn count_since(&self, then: Millis, among: usize, tenant: &str, hours: &Range<u64>) -> u64 {
        let late = self.log.iter().take(among).rev().take_while(|(kept_at, ..)| *kept_at >= then);
        late.filter(|(_, of, hour)| of == tenant && hours.contains(hour)).count() as u64
    }

    /// When the first event at or after `then` was kept.
    pub(crate) fn first_since(&self, then: Millis) -> Option<Millis> {
        self.log.iter().rev().map(|(kept_at, ..)| *kept_at).take_while(|kept_at| *kept_at >= then).last()
    }

    /// The number of events that were ever kept.
    pub(crate) fn len(&self) -> usize {
        self.log.len()
    }

    /// All events that were kept under this id.
    pub(crate) fn of(&self, tenant: &str, id: EventId) -> &[Kept] {
        self.by_id.get(&(tenant.to_owned(), id)).map_or(&[], Vec::as_slice)
    }

    /// Notes that a client was told that the last event under this id is new. Returns whether one was told before.
    pub(crate) fn tell(&mut self, tenant: &str, id: EventId) -> bool {
        let last = self.by_id.get_mut(&(tenant.to_owned(), id)).and_then(|kept| kept.last_mut());
        last.is_some_and(|last| std::mem::replace(&mut last.is_told, true))
    }

    /// The tenant's hours that have events.
    pub(crate) fn hours(&self, tenant: &str) -> Vec<u64> {
        self.counts.range(span(tenant, 0..u64::MAX)).map(|((_, hour), _)| *hour).collect()
    }

    /// Counts the tenant's events in some hours, by the row of an hour, an event type and a carrier.
    pub(crate) fn count(
        &self,
        tenant: &str,
        hours: Range<u64>,
        row: impl Fn(u64, &str, &str) -> (u64, String),
    ) -> BTreeMap<(u64, String), Count> {
        count(&self.counts, tenant, hours, row)
    }

    /// Like [`Self::count`], for events that the stream has forgotten.
    pub(crate) fn count_lost(
        &self,
        tenant: &str,
        hours: Range<u64>,
        row: impl Fn(u64, &str, &str) -> (u64, String),
    ) -> BTreeMap<(u64, String), Count> {
        count(&self.lost, tenant, hours, row)
    }
}

fn count(
    all: &Counts,
    tenant: &str,
    hours: Range<u64>,
    row: impl Fn(u64, &str, &str) -> (u64, String),
) -> BTreeMap<(u64, String), Count> {
    let mut counts: BTreeMap<(u64, String), Count> = BTreeMap::new();
    for ((_, hour), names) in all.range(span(tenant, hours)) {
        for ((event_type, carrier), count) in names {
            counts.entry(row(*hour, event_type, carrier)).or_default().add(*count);
        }
    }
    counts
}

fn add(counts: &mut Counts, tenant: &str, hour: u64, event: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let number = event["properties"]["n"].as_i64();
    let count = Count { count: 1, sum: number.unwrap_or_default(), min: number, max: number };
    let names = (text(&event["eventType"]), text(&event["properties"]["carrier"]));
    counts.entry((tenant.to_owned(), hour)).or_default().entry(names).or_default().add(count);
}

fn span(tenant: &str, hours: Range<u64>) -> Range<(String, u64)> {
    (tenant.to_owned(), hours.start)..(tenant.to_owned(), hours.end)
}
