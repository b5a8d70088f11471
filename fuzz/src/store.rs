//! A store in memory: what an adapter does with pages, without anything of a platform.

use std::collections::BTreeMap;

use isotherm_core::{
    Admission, KeyRange, Plan, Reading, Reply, ReportData, ReportOutcome, Request, Service, StoredPage, UnreadablePage,
};

use crate::{KEY, SERVICE, STAMP};

/// Pages of one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pages(pub BTreeMap<String, Vec<u8>>);

impl Pages {
    /// All pages in these ranges, in the order of their keys.
    pub fn read(&self, ranges: &[KeyRange]) -> Vec<StoredPage> {
        let pages = self.0.iter().filter(|(key, _)| ranges.iter().any(|range| range.contains(key)));
        pages.map(|(key, bytes)| StoredPage { key: key.clone(), bytes: bytes.clone() }).collect()
    }

    /// Puts pages in the place of those with the same keys.
    pub fn write(&mut self, pages: impl IntoIterator<Item = StoredPage>) {
        self.0.extend(pages.into_iter().map(|page| (page.key, page.bytes)));
    }

    /// Folds these records.
    ///
    /// # Errors
    /// Where a stored page can't be read; nothing is written then.
    pub fn fold<'a>(
        &mut self,
        service: &Service,
        records: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), UnreadablePage> {
        let fold = service.fold(records);
        let stored = self.read(&fold.ranges());
        let written = fold.settle(stored)?;
        self.write(written);
        Ok(())
    }

    /// Compacts all days that are over.
    ///
    /// # Errors
    /// Where a stored page can't be read; days before it are compacted.
    pub fn compact(&mut self, service: &Service) -> Result<(), UnreadablePage> {
        for compaction in service.compactions(&self.read(&[service.marks()]), STAMP.received_at)? {
            let stored = self.read(&compaction.ranges());
            let written = compaction.settle(stored)?;
            self.write(written);
        }
        Ok(())
    }

    /// What a report reads.
    ///
    /// # Errors
    /// Where a mark can't be read.
    pub fn for_report(&self, reading: &Reading) -> Result<Vec<StoredPage>, UnreadablePage> {
        let marks: Vec<KeyRange> = reading.marks().into_iter().collect();
        Ok(self.read(&reading.ranges(&self.read(&marks))?))
    }
}

/// The answer to a report from these shards: pages, and a tail that is not folded. `None` where a mark can't be read.
pub fn report(service: &Service, shards: &[(&Pages, &[String])], path: &str, query: &str) -> Option<Reply> {
    let headers = [("authorization", format!("Bearer {KEY}"))];
    let request = Request { method: "GET", path, query, headers: &headers, body: b"" };
    match service.admit(&request, STAMP) {
        Admission::Reply(reply) => Some(reply),
        Admission::Plan(Plan::Report(plan)) => {
            let mut all = Vec::new();
            for (pages, tail) in shards {
                let pages = pages.for_report(plan.reading()).ok()?;
                all.push(ReportData { pages, tail: tail.to_vec(), as_of: None });
            }
            Some(plan.settle(ReportOutcome::Read(all)))
        }
        Admission::Plan(other) => panic!("{path} is no report: {other:?}"),
    }
}

/// The records of events, given as NDJSON.
///
/// # Panics
/// Where any is refused.
pub fn records(ndjson: &str) -> Vec<String> {
    let headers = [("authorization", format!("Bearer {KEY}")), ("content-type", "application/x-ndjson".to_owned())];
    let request =
        Request { method: "POST", path: "/events/batch", query: "", headers: &headers, body: ndjson.as_bytes() };
    let Admission::Plan(Plan::Store(plan)) = SERVICE.admit(&request, STAMP) else { panic!("refused: {ndjson}") };
    let records: Vec<String> = plan.events().iter().map(|event| event.record.clone()).collect();
    assert_eq!(records.len(), ndjson.lines().count(), "{ndjson}");
    drop(plan.settle(Vec::new()));
    records
}
