//! A store in memory. It does with pages what an adapter does, without any platform.

use std::collections::BTreeMap;

use isotherm_core::{
    Admission, KeyRange, Merged, Plan, Reading, RejectedRecord, ReportData, ReportOutcome, ReportReply, Request,
    Service, StepWrite, StoredPage, TooMuch, Unfolded, UnreadablePages, WriteLimits,
};

use crate::{KEY, SERVICE, STAMP, UNIT_BYTES};

/// The pages of one tenant, by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pages(pub BTreeMap<String, Vec<u8>>);

/// The result of folding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// The keys of pages that can't be read.
    pub damaged: Vec<String>,
    /// The rejected records, by their index among all records.
    pub rejected: Vec<RejectedRecord>,
}

impl Pages {
    /// Returns all pages in these ranges, in the order of their keys.
    pub fn read(&self, ranges: &[KeyRange]) -> Vec<StoredPage> {
        let pages = self.0.iter().filter(|(key, _)| ranges.iter().any(|range| range.contains(key)));
        pages.map(|(key, bytes)| StoredPage { key: key.clone(), bytes: bytes.clone() }).collect()
    }

    /// Writes pages, and replaces those with the same keys.
    ///
    /// # Panics
    /// A page exceeds what a store takes.
    pub fn write(&mut self, pages: impl IntoIterator<Item = StoredPage>) {
        for StoredPage { key, bytes } in pages {
            assert!(key.len() <= 1000 && key.len() + bytes.len() < UNIT_BYTES, "{key:?} has {} bytes", bytes.len());
            self.0.insert(key, bytes);
        }
    }

    /// Folds these records, in steps within `limits`.
    ///
    /// # Panics
    /// Folding does not come to an end.
    pub fn fold<'a>(
        &mut self,
        service: &Service,
        records: impl IntoIterator<Item = &'a str>,
        limits: WriteLimits,
    ) -> Folded {
        let records: Vec<_> = records.into_iter().map(|record| Unfolded { tenant: "acme", record }).collect();
        let (mut done, mut at_most, mut folded) = (0, usize::MAX, Folded::default());
        while done < records.len() {
            let step = service.fold(&records[done..], at_most, limits);
            let taken = step.records();
            let stored = step.ranges().map(|(_, ranges)| self.read(ranges)).collect();
            match step.merge(stored) {
                Ok(StepWrite { pages, damaged, rejected, .. }) => {
                    assert!((1..=at_most).contains(&taken), "a step of {taken} records");
                    assert!(limits.fit(pages.iter().map(|(_, page)| page)), "more than a store takes at once");
                    self.write(pages.into_iter().map(|(_, page)| page));
                    folded.damaged.extend(damaged.into_iter().map(|(_, page)| page.key));
                    let of_all = |record: RejectedRecord| RejectedRecord { index: done + record.index, ..record };
                    folded.rejected.extend(rejected.into_iter().map(of_all));
                    done += taken;
                    at_most = usize::MAX;
                }
                Err(TooMuch { at_most: fewer }) => {
                    assert!((1..taken).contains(&fewer), "{fewer} of {taken}");
                    at_most = fewer;
                }
            }
        }
        folded
    }

    /// Compacts all past days. Returns the keys of pages that can't be read.
    pub fn compact(&mut self, service: &Service) -> Vec<String> {
        let mut keys = Vec::new();
        for compaction in service.compactions(&self.read(&[service.manifests()]), STAMP.received_at) {
            let stored = self.read(&compaction.ranges());
            let Merged { pages, damaged, .. } = compaction.merge(Some(stored), WriteLimits::ONE_WRITER);
            self.write(pages);
            keys.extend(damaged.into_iter().map(|page| page.key));
        }
        keys
    }

    /// The pages that a report reads.
    pub fn for_report(&self, reading: &Reading) -> Vec<StoredPage> {
        let manifests: Vec<KeyRange> = reading.manifests().into_iter().collect();
        self.read(&reading.ranges(&self.read(&manifests)))
    }
}

/// Answers a report from these shards. Each shard is its pages, and the records behind its watermark.
///
/// # Panics
/// The path is not a report's.
pub fn report(service: &Service, shards: &[(&Pages, &[String])], path: &str, query: &str) -> ReportReply {
    let headers = [("authorization", format!("Bearer {KEY}"))];
    let request = Request { method: "GET", path, query, headers: &headers, body: b"" };
    match service.admit(&request, STAMP) {
        Admission::Reply(reply) => ReportReply { reply, unreadable: UnreadablePages::default() },
        Admission::Plan(Plan::Report(plan)) => {
            let data = |(pages, tail): &(&Pages, &[String])| {
                let pages = pages.for_report(plan.reading());
                ReportData { pages, tail: tail.to_vec(), ..ReportData::default() }
            };
            let all = shards.iter().map(data).collect();
            plan.respond(ReportOutcome::Read(all))
        }
        Admission::Plan(other) => panic!("{path} is no report: {other:?}"),
    }
}

/// The records of events, given as NDJSON.
///
/// # Panics
/// An event is refused.
pub fn records(ndjson: &str) -> Vec<String> {
    let headers = [("authorization", format!("Bearer {KEY}")), ("content-type", "application/x-ndjson".to_owned())];
    let request =
        Request { method: "POST", path: "/events/batch", query: "", headers: &headers, body: ndjson.as_bytes() };
    let Admission::Plan(Plan::Store(plan)) = SERVICE.admit(&request, STAMP) else { panic!("refused: {ndjson}") };
    let records: Vec<String> = plan.events().iter().map(|event| event.record.clone()).collect();
    assert_eq!(records.len(), ndjson.lines().count(), "{ndjson}");
    drop(plan.respond(Vec::new()));
    records
}
