//! A database as the SQL stores have it. Each function is one statement, or one transaction.

mod blocks;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::rc::Rc;

use isotherm_core::{
    BlockRow, Blocks, Digest, EventId, ExpiryOrder, Held, KeyRange, Load, Millis, NewEvent, ReadBudget, Reading,
    ReportData, Seconds, StoreOutcome, StoredPage, Tenant,
};

use crate::world::World;

/// Everything on disk.
#[derive(Clone)]
pub(crate) struct Database {
    world: Rc<World>,
    events: BTreeMap<u64, Row>,
    places: BTreeMap<(String, EventId), u64>,
    /// The events by their time of expiry. A run asks for this after every step.
    expiries: BTreeSet<(Seconds, u64)>,
    /// Blocks of events and the index of their ids, which only shards have.
    blocks: BTreeMap<u64, BlockRow>,
    runs: BTreeMap<u64, Vec<u8>>,
    pages: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    last_seq: u64,
    watermark: u64,
    looked_at: Millis,
    /// True once there is an index of the times at which events expire.
    has_index: bool,
}

/// A stored event.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) seq: u64,
    pub(crate) tenant: String,
    pub(crate) record: Rc<str>,
    id: EventId,
    digest: Digest,
    received_at: Millis,
    expires_at: Seconds,
}

impl Database {
    pub(crate) fn new(world: Rc<World>) -> Self {
        Self {
            world,
            events: BTreeMap::new(),
            places: BTreeMap::new(),
            expiries: BTreeSet::new(),
            blocks: BTreeMap::new(),
            runs: BTreeMap::new(),
            pages: BTreeMap::new(),
            last_seq: 0,
            watermark: 0,
            looked_at: Millis(0),
            has_index: false,
        }
    }

    /// Keeps an event if its place is free, or taken by an event that has expired and is folded.
    pub(crate) fn keep(&mut self, tenant: &str, event: &NewEvent, expired_by: Seconds) -> StoreOutcome {
        match self.there(tenant, event.id) {
            Some((digest, expires_at)) if expires_at > expired_by => return StoreOutcome::Existing(digest),
            _ => self.make_way(tenant, event.id, expired_by),
        }
        if self.insert(tenant, event) { StoreOutcome::Stored } else { StoreOutcome::Unavailable }
    }

    /// The digest and expiry time of the event in this place.
    pub(crate) fn there(&self, tenant: &str, id: EventId) -> Option<(Digest, Seconds)> {
        self.row(tenant, id).map(|row| (row.digest, row.expires_at))
    }

    /// True if the event in this place is folded.
    pub(crate) fn is_folded(&self, tenant: &str, id: EventId) -> bool {
        self.row(tenant, id).is_some_and(|row| row.seq <= self.watermark)
    }

    fn row(&self, tenant: &str, id: EventId) -> Option<&Row> {
        self.events.get(self.places.get(&(tenant.to_owned(), id))?)
    }

    /// Deletes an event that has expired, if it is folded.
    pub(crate) fn make_way(&mut self, tenant: &str, id: EventId, expired_by: Seconds) {
        let gone = self.row(tenant, id).filter(|row| row.expires_at <= expired_by && row.seq <= self.watermark);
        if let Some(seq) = gone.map(|row| row.seq) {
            self.delete(seq);
        }
    }

    fn delete(&mut self, seq: u64) {
        if let Some(row) = self.events.remove(&seq) {
            self.expiries.remove(&(row.expires_at, row.seq));
            self.places.remove(&(row.tenant, row.id));
            self.world.figures.borrow_mut().deleted += 1;
        }
    }

    /// `INSERT … ON CONFLICT DO NOTHING`. Returns whether the event is new.
    pub(crate) fn insert(&mut self, tenant: &str, event: &NewEvent) -> bool {
        let place = (tenant.to_owned(), event.id);
        if self.places.contains_key(&place) {
            return false;
        }
        let now = self.world.now();
        if let Err(twice) = self.world.truth.borrow_mut().keep(tenant, event, now) {
            self.world.violated(twice);
        }
        self.world.figures.borrow_mut().events += 1;
        self.last_seq += 1;
        let NewEvent { id, digest, received_at, expires_at, record, .. } = event.clone();
        let (seq, tenant, record) = (self.last_seq, tenant.to_owned(), record.into());
        let row = Row { seq, tenant, record, id, digest, received_at, expires_at };
        self.places.insert(place, row.seq);
        self.expiries.insert((expires_at, row.seq));
        self.events.insert(row.seq, row);
        true
    }

    pub(crate) fn find(&self, tenant: &str, id: EventId, expired_by: Seconds) -> Option<String> {
        self.row(tenant, id).filter(|row| row.expires_at > expired_by).map(|row| row.record.as_ref().to_owned())
    }

    pub(crate) fn held(&self) -> Held {
        let rows = Held {
            unfolded: self.tail().map(|row| Load::of(&row.record)).sum(),
            oldest: self.tail().map(|row| row.received_at).min().unwrap_or_default(),
            looked_at: self.looked_at,
            expiry: if self.has_index { ExpiryOrder::Time } else { ExpiryOrder::Arrival },
        };
        Blocks::new(&self.stored_blocks()).held(rows)
    }

    fn tail(&self) -> impl Iterator<Item = &Row> {
        self.events.range((Bound::Excluded(self.watermark), Bound::Unbounded)).map(|(_, row)| row)
    }

    /// Returns the watermark and the events behind it: at most `events`, and no more once they have `bytes` bytes.
    pub(crate) fn unfolded(&self, events: usize, bytes: usize) -> (u64, Vec<Row>) {
        let mut read = 0;
        let is_wanted = |row: &&Row| {
            let is_wanted = read < bytes;
            read += row.record.len();
            is_wanted
        };
        (self.watermark, self.tail().take(events).take_while(is_wanted).cloned().collect())
    }

    pub(crate) fn watermark(&self) -> u64 {
        self.watermark
    }

    pub(crate) fn pages(&self, tenant: &str, ranges: &[KeyRange]) -> Vec<StoredPage> {
        self.pages_while(tenant, ranges, &mut |_| true).unwrap_or_default()
    }

    fn pages_while(
        &self,
        tenant: &str,
        ranges: &[KeyRange],
        takes: &mut dyn FnMut(&StoredPage) -> bool,
    ) -> Option<Vec<StoredPage>> {
        let mut found = Vec::new();
        let Some(pages) = self.pages.get(tenant) else { return Some(found) };
        for KeyRange { from, until } in ranges {
            for (key, bytes) in pages.range::<str, _>((Bound::Included(from.as_str()), Bound::Excluded(until.as_str())))
            {
                let page = StoredPage { key: key.clone(), bytes: bytes.clone() };
                if !takes(&page) {
                    return None;
                }
                found.push(page);
            }
        }
        Some(found)
    }

    /// Writes pages and moves the watermark to `moved`, unless the watermark is no longer `before`. Returns whether it
    /// wrote.
    #[must_use]
    pub(crate) fn write_if(&mut self, before: u64, pages: Vec<(Tenant, StoredPage)>, moved: Option<u64>) -> bool {
        if self.watermark != before {
            return false;
        }
        for (tenant, StoredPage { key, bytes }) in pages {
            self.pages.entry(tenant.as_str().to_owned()).or_default().insert(key, bytes);
        }
        self.watermark = moved.unwrap_or(before);
        true
    }

    /// Deletes folded events that have expired: either those among the oldest events, or those that expired first.
    pub(crate) fn expire(&mut self, until: Seconds, among: usize, order: ExpiryOrder) -> usize {
        self.has_index |= order == ExpiryOrder::Time;
        if self.oldest_expiry().is_none_or(|oldest| oldest > until) {
            return 0;
        }
        let has_expired = |row: &&Row| row.expires_at <= until && row.seq <= self.watermark;
        let expired: Vec<u64> = if order == ExpiryOrder::Arrival {
            self.events.values().take(among).filter(has_expired).map(|row| row.seq).collect()
        } else {
            let first = self.expiries.iter().filter_map(|(_, seq)| self.events.get(seq));
            first.take_while(|row| row.expires_at <= until).filter(has_expired).take(among).map(|row| row.seq).collect()
        };
        expired.iter().for_each(|seq| self.delete(*seq));
        expired.len()
    }

    pub(crate) fn note_round(&mut self, began: Millis) {
        self.looked_at = began;
    }

    /// All tenants that have rollups.
    pub(crate) fn tenants(&self) -> Vec<Tenant> {
        self.pages.keys().filter_map(|name| Tenant::parse(name.clone()).ok()).collect()
    }

    /// Reads the data for a report, as of one moment.
    pub(crate) fn read(&self, tenant: &str, reading: &Reading, shards: u32) -> ReportData {
        let mut budget = reading.budget(shards);
        let read = || {
            let manifests =
                self.pages_while(tenant, reading.manifests().as_slice(), &mut |page| budget.takes_page(page))?;
            self.read_on(tenant, &reading.ranges(&manifests), budget)
        };
        read().unwrap_or_else(ReportData::too_large)
    }

    /// Reads the pages in these ranges, and the tail. Returns `None` if they exceed the budget.
    pub(crate) fn read_on(&self, tenant: &str, ranges: &[KeyRange], mut budget: ReadBudget) -> Option<ReportData> {
        let pages = self.pages_while(tenant, ranges, &mut |page| budget.takes_page(page))?;
        let mut tail = Vec::new();
        for row in self.tail().filter(|row| row.tenant == tenant) {
            if !budget.takes_record(&row.record) {
                return None;
            }
            tail.push(row.record.as_ref().to_owned());
        }
        for record in self.open_records() {
            if !budget.takes_record(&record) {
                return None;
            }
            tail.push(record);
        }
        Some(ReportData { pages, tail, ..ReportData::default() })
    }

    /// The earliest time at which a stored event expires.
    pub(crate) fn oldest_expiry(&self) -> Option<Seconds> {
        let row = self.expiries.first().map(|(oldest, _)| *oldest);
        row.into_iter().chain(self.oldest_block_expiry()).min()
    }

    /// Overwrites some page. Returns its tenant, if there is a page.
    pub(crate) fn damage(&mut self) -> Option<String> {
        let index = self.world.below(self.pages.len() as u64) as usize;
        let (tenant, pages) = self.pages.iter_mut().nth(index)?;
        let page = self.world.below(pages.len() as u64) as usize;
        *pages.values_mut().nth(page)? = vec![0xff; 3];
        Some(tenant.clone())
    }
}
