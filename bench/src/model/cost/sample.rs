//! Measures the size of events and of the pages that folding writes. Core admits, folds and packs them as it does in
//! production.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};
use isotherm_core::{
    Blocks, Millis, NewEvent, OpenBlocks, Packer, Seconds, Service, StoredBlocks, StoredPage, Unfolded, WriteLimits,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::contract::Contract;

/// Number of events that are used. If an hour has more, its pages are taken as those of this many events: by then they
/// grow slowly.
const EVENTS: usize = 20_000;
/// Number of folds that are measured, spread over an hour.
const PROBES: usize = 8;
/// The hour of all events: 2026-11-21T02 UTC.
const RECEIVED_AT: Millis = Millis(1_795_226_400_000);
/// Bytes of a page's item in DynamoDB besides its key and its content: tenant, lane and the names of attributes.
const PAGE_ITEM_BYTES: usize = 40;

/// Pages by their keys.
type Pages = BTreeMap<String, Vec<u8>>;

/// The pages after so many events are kept, so that no two measurements fold the same ones to get there.
const STRIDE: usize = 250;

/// The samples of this process, by the digest of their events. `decide` prices the same events in several ways.
static SAMPLES: Mutex<BTreeMap<[u8; 32], Arc<Sample>>> = Mutex::new(BTreeMap::new());

/// Events as core keeps them.
pub(crate) struct Sample {
    contract: Contract,
    events: Vec<NewEvent>,
    /// Folds that were measured, by the events of an hour and of a batch, and by what a unit of each is.
    folds: Mutex<BTreeMap<[u64; 4], Folded>>,
    /// The pages after each [`STRIDE`] events.
    starts: Mutex<Vec<Pages>>,
    /// Length of each sent event, in bytes.
    sent: Vec<usize>,
    /// Mean length of a sent event, in bytes.
    pub body_bytes: f64,
    /// Mean length of an event's record, in bytes.
    pub record_bytes: f64,
    /// Mean length of a packed event, as Lambda stores it, in bytes.
    pub packed_bytes: f64,
    /// Mean number of days that an event is kept.
    pub kept_days: f64,
}

/// The effects of one fold, as a mean over an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Folded {
    /// Number of pages written.
    pub pages: f64,
    /// Units to write them; each page is rounded by itself.
    pub write_units: f64,
    /// Units to read the existing pages; each range is rounded by itself.
    pub read_units: f64,
    /// Pages of an hour, at its end.
    pub hour_pages: f64,
    /// Bytes of all these pages.
    pub hour_bytes: f64,
    /// Bytes of the packed raw backup, per event.
    pub backup_bytes: f64,
    /// Bytes of the closed blocks of events, per event.
    pub block_bytes: f64,
    /// Number of these blocks.
    pub blocks: f64,
}

impl Sample {
    /// Reads events from NDJSON. They are kept for as long as `configured` says, or for the default.
    ///
    /// # Errors
    /// Fails if a line is not a valid event.
    pub(crate) fn of(events: &[u8], source: &str, configured: Option<&Service>) -> Result<Arc<Self>> {
        if configured.is_some() {
            return Ok(Arc::new(Self::read(events, source, configured)?));
        }
        let mut samples = locked(&SAMPLES);
        let digest = Sha256::digest(events).into();
        if let Some(sample) = samples.get(&digest) {
            return Ok(Arc::clone(sample));
        }
        let sample = Arc::new(Self::read(events, source, None)?);
        samples.insert(digest, Arc::clone(&sample));
        Ok(sample)
    }

    fn read(events: &[u8], source: &str, configured: Option<&Service>) -> Result<Self> {
        let (contract, as_sent) = (Contract::at(RECEIVED_AT)?, Contract::at_any_time()?);
        let lines = events.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
        let (mut events, mut sent, mut packed, mut packer) = (Vec::new(), Vec::new(), 0, Packer::default());
        for (at, line) in lines.take(EVENTS) {
            let read = || {
                as_sent.event(line, at as u128).context("is refused")?;
                as_received(&contract, line, at)
            };
            let mut event = [read().with_context(|| format!("{source}:{}", at + 1))?];
            if let Some(service) = configured {
                event[0].expires_at = expiry(&event[0], service)?;
            }
            packer.shapes(&event).iter().for_each(|shape| packer.is_stored(shape));
            packed += packer.pack(&event[0], 0).len();
            events.extend(event);
            sent.push(line.len());
        }
        ensure!(!events.is_empty(), "{source} has no event");
        let count = events.len() as f64;
        let kept: usize = events.iter().map(|event| event.record.len()).sum();
        let [body_bytes, record_bytes, packed_bytes] =
            [sent.iter().sum(), kept, packed].map(|bytes| bytes as f64 / count);
        let seconds: u64 = events.iter().map(|event| event.expires_at.0 - RECEIVED_AT.0 / 1000).sum();
        let kept_days = seconds as f64 / count / (24.0 * 3600.0);
        let (folds, starts) = (Mutex::default(), Mutex::default());
        Ok(Self { contract, folds, starts, sent, body_bytes, record_bytes, packed_bytes, kept_days, events })
    }

    /// The mean of `units` of a sent event's bytes. Where each event is rounded up by itself, the mean length does not say
    /// it.
    pub(crate) fn mean_units(&self, units: impl Fn(f64) -> f64) -> f64 {
        self.sent.iter().map(|bytes| units(*bytes as f64)).sum::<f64>() / self.sent.len() as f64
    }

    /// The effects of a fold of `batch` events if `per_hour` events reach the same pages. `units` are the functions
    /// from bytes to read and write units.
    ///
    /// # Errors
    /// Fails if core can't read its own pages.
    pub(crate) fn folded(&self, per_hour: f64, batch: f64, units: [&dyn Fn(f64) -> f64; 2]) -> Result<Folded> {
        let batch = (batch.round() as usize).clamp(1, self.events.len());
        let hour = &self.events[..(per_hour.round() as usize).clamp(batch, self.events.len())];
        // Two rates that differ in their units differ in how many units a megabyte has.
        let [read, write] = units.map(|units| units(1e6).to_bits());
        let of = [hour.len() as u64, batch as u64, read, write];
        if let Some(folded) = locked(&self.folds).get(&of) {
            return Ok(*folded);
        }
        let mut sum = Folded::default();
        for probe in 0..PROBES {
            let at = (hour.len() - batch) * (2 * probe + 1) / (2 * PROBES);
            let mut pages = self.pages_of(at)?;
            let one = self.fold(&mut pages, &hour[at..at + batch], units)?;
            sum.pages += one.pages / PROBES as f64;
            sum.write_units += one.write_units / PROBES as f64;
            sum.read_units += one.read_units / PROBES as f64;
        }
        let pages = self.pages_of(hour.len())?;
        sum.hour_pages = pages.len() as f64;
        sum.hour_bytes = pages.iter().map(|(key, page)| (key.len() + page.len()) as f64).sum();
        let records = hour[..batch].iter().map(|event| Unfolded { tenant: "default", record: &event.record });
        let backups = self.contract.service().backups("batch", records);
        sum.backup_bytes = backups.iter().map(|backup| backup.bytes.len() as f64).sum::<f64>() / batch as f64;
        let closed = Blocks::new(&StoredBlocks::default()).close(&OpenBlocks::of(1, &hour[..batch]), batch);
        sum.blocks = closed.rows.len() as f64;
        sum.block_bytes = closed.rows.iter().map(|row| row.bytes.len() as f64).sum::<f64>() / batch as f64;
        locked(&self.folds).insert(of, sum);
        Ok(sum)
    }

    /// The pages of the first `count` events.
    fn pages_of(&self, count: usize) -> Result<Pages> {
        let uncounted: [&dyn Fn(f64) -> f64; 2] = [&|_| 0.0, &|_| 0.0];
        let mut starts = locked(&self.starts);
        while starts.len() <= count / STRIDE {
            let mut pages = starts.last().cloned().unwrap_or_default();
            if let Some(last) = starts.len().checked_sub(1) {
                self.fold(&mut pages, &self.events[last * STRIDE..][..STRIDE], uncounted)?;
            }
            starts.push(pages);
        }
        let mut pages = starts[count / STRIDE].clone();
        drop(starts);
        let rest = &self.events[count / STRIDE * STRIDE..count];
        if !rest.is_empty() {
            self.fold(&mut pages, rest, uncounted)?;
        }
        Ok(pages)
    }

    fn fold(&self, pages: &mut Pages, events: &[NewEvent], [read, write]: [&dyn Fn(f64) -> f64; 2]) -> Result<Folded> {
        let item = |key: &str, page: &[u8]| (key.len() + page.len() + PAGE_ITEM_BYTES) as f64;
        let records: Vec<_> =
            events.iter().map(|event| Unfolded { tenant: "default", record: &event.record }).collect();
        let step = self.contract.service().fold(&records, records.len(), WriteLimits::NONE);
        let (mut folded, mut stored) = (Folded::default(), Vec::new());
        for range in step.ranges().flat_map(|(_, ranges)| ranges) {
            let there = pages.range(range.from.clone()..range.until.clone());
            let there: Vec<_> =
                there.map(|(key, bytes)| StoredPage { key: key.clone(), bytes: bytes.clone() }).collect();
            folded.read_units += read(there.iter().map(|page| item(&page.key, &page.bytes)).sum());
            stored.extend(there);
        }
        let write_of = step.merge(vec![stored]).map_err(|_too_much| anyhow::anyhow!("a fold has no end"))?;
        for (_, StoredPage { key, bytes }) in write_of.pages {
            folded.pages += 1.0;
            folded.write_units += write(item(&key, &bytes));
            pages.insert(key, bytes);
        }
        Ok(folded)
    }
}

/// What is behind the lock. A thread that panicked with it has left nothing half done.
fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An event as core keeps it, as if it had happened when it was received.
fn as_received(contract: &Contract, line: &[u8], at: usize) -> Result<NewEvent> {
    let mut event: BTreeMap<String, &RawValue> = serde_json::from_slice(line).context("is no object")?;
    event.remove("timestamp");
    contract.event(&serde_json::to_vec(&event)?, at as u128).context("is refused")
}

/// When an event expires that this service has received.
fn expiry(event: &NewEvent, service: &Service) -> Result<Seconds> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed {
        event_type: String,
    }
    let Typed { event_type } = serde_json::from_str(&event.record)?;
    Ok(Seconds(RECEIVED_AT.0 / 1000 + service.retention(&event_type).0))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn flights() -> Arc<Sample> {
        let loaded = crate::workload::Workload::load("flights", None).unwrap();
        Sample::of(&loaded.events, "flights", None).unwrap()
    }

    #[test]
    fn larger_batches_write_less() {
        let sample = flights();
        assert!((200.0..300.0).contains(&sample.body_bytes) && sample.record_bytes > sample.body_bytes);
        assert!(sample.packed_bytes < sample.record_bytes / 3.0, "{}", sample.packed_bytes);
        let units = |unit: f64| move |bytes: f64| (bytes / unit).ceil();
        let folded = |batch| sample.folded(14_000.0, batch, [&units(4096.0), &units(1024.0)]).unwrap();
        let [one, many] = [1.0, 500.0].map(folded);
        // A flight has four dimensions, and one more page covers all flights.
        assert_eq!(one.pages, 5.0);
        assert!(many.pages > one.pages && many.pages < 20.0, "{many:?}");
        assert!(many.write_units < 2.0 * one.write_units && one.write_units > one.pages, "{one:?} {many:?}");
        assert!(one.read_units < one.write_units);
        assert!(many.backup_bytes < one.backup_bytes / 3.0);
        assert!(many.block_bytes < one.block_bytes / 2.0 && many.blocks > one.blocks, "{one:?} {many:?}");
        let few = sample.folded(100.0, 1.0, [&units(4096.0), &units(1024.0)]).unwrap();
        assert!(few.write_units < one.write_units && few.hour_bytes < one.hour_bytes, "{few:?}");
    }

    #[test]
    fn events_are_rounded_up_one_by_one() {
        let loaded = crate::workload::Workload::load("flights", None).unwrap();
        let small = loaded.events.split(|byte| *byte == b'\n').next().unwrap();
        let mut large = small.to_vec();
        large.splice(1..1, [b' '; 6000]);
        let sample = Sample::of(&[small, b"\n", &large].concat(), "two", None).unwrap();
        assert!(sample.body_bytes < 5000.0, "{}", sample.body_bytes);
        // One unit and two.
        assert_eq!(sample.mean_units(|bytes| (bytes / 5000.0).ceil()), 1.5);
    }

    #[test]
    fn a_line_that_is_no_event_is_named() {
        let error = format!("{:#}", Sample::of(b"\n{\"userId\":1}\n", "mine.ndjson", None).err().unwrap());
        assert!(error.starts_with("mine.ndjson:2: is refused: "), "{error}");
        assert!(Sample::of(b"\n", "mine.ndjson", None).is_err());
    }
}
