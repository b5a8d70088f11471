//! One step of folding: as many of a store's records as fit into one transaction, of any tenants.
//!
//! ```text
//! records ─▶ Step ─▶ ranges of keys ──▶ the host's store ──▶ stored pages ──▶ Step::merge ─▶ pages to write
//! ```
//!
//! Clients decide how many pages an event touches. So a step ends before its pages would become too many, and the next
//! step goes on from there. A record that is not an event is a [`RejectedRecord`]: the host keeps it elsewhere and goes
//! on.

use std::collections::BTreeMap;

use crate::maintenance::folded::Folded;
use crate::rollups::fold::Fold;
use crate::rollups::key::KeyRange;
use crate::rollups::observation::{Dimensions, Observation};
use crate::rollups::stored::{Merged, StoredPage, UnreadablePage, WriteLimits};
use crate::vocabulary::counted;
use crate::vocabulary::tenant::Tenant;

/// A step first folds this part of as many records as it may write pages. Its estimates leave the same part of these
/// pages free.
const FIRST: usize = 16;

/// A stored record that is to be folded.
#[derive(Clone, Copy, Debug)]
pub struct Unfolded<'a> {
    /// The tenant of the event, as the store says.
    pub tenant: &'a str,
    /// [`crate::NewEvent::record`].
    pub record: &'a str,
}

/// A record that no report counts, and the reason. The host keeps it where an operator finds it, before the watermark
/// moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRecord {
    /// The index of the record in the step, from 0.
    pub index: usize,
    /// What is wrong with the record, without any of its content.
    pub reason: String,
}

/// Some records, folded.
#[derive(Clone, Debug)]
pub struct Step {
    records: usize,
    folds: Vec<(Tenant, Fold, Vec<KeyRange>)>,
    rejected: Vec<RejectedRecord>,
    limits: WriteLimits,
}

/// What a step writes, once its rejected records are kept.
#[must_use = "what is merged and not written is in no report"]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepWrite {
    /// The pages to write, each with its tenant.
    pub pages: Vec<(Tenant, StoredPage)>,
    /// Stored pages that can't be read, as in [`Merged`].
    pub damaged: Vec<(Tenant, UnreadablePage)>,
    /// Records that no report counts.
    pub rejected: Vec<RejectedRecord>,
    /// Tenants that may be new. A store that can't list its tenants keeps these, so that maintenance finds them without
    /// keys.
    pub newcomers: Vec<Tenant>,
}

/// A step is larger than the store accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMuch {
    /// How many records may fit: 1 or more.
    pub at_most: usize,
}

impl StepWrite {
    /// What the step did, of which [`Step::records`] are these many.
    pub fn folded(&self, records: usize) -> Folded {
        let (pages, rejected) = (self.pages.len() as u64, self.rejected.len() as u64);
        let (events, damaged) = ((records as u64).saturating_sub(rejected), self.damaged.len() as u64);
        Folded { events, pages, rejected, damaged, lag: None }
    }
}

impl Step {
    /// Folds at most the first `at_most` of these records. `None` stands for a record that is counted as taken but not
    /// folded.
    pub(crate) fn of<'a>(
        records: impl IntoIterator<Item = Option<Unfolded<'a>>>,
        at_most: usize,
        limits: WriteLimits,
        dimensions: &Dimensions,
    ) -> Self {
        let mut reading = Reading {
            records: records.into_iter().take(at_most),
            dimensions,
            count: 0,
            is_over: false,
            events: Vec::new(),
            rejected: Vec::new(),
            checked: None,
        };
        // The first records show how many may fit, so that few are read and folded in vain.
        let (mut count, mut is_cut, mut last) = ((limits.pages / FIRST).max(1), false, None);
        let (count, folds) = loop {
            count = reading.until(count);
            let folds = folds(reading.events.iter().take_while(|(index, ..)| *index < count));
            let ranges: usize = folds.iter().map(|(.., ranges)| ranges.len()).sum();
            // Each range gets at least one page. If the ranges alone are too many, reading the stored pages is useless.
            let fit = count.saturating_mul(limits.pages - limits.pages / FIRST) / ranges.max(1);
            if ranges > limits.pages && count > 1 {
                match last {
                    Some((fitting, folds)) if fit <= fitting => break (fitting, folds),
                    _ => (count, is_cut) = (fit.clamp(1, count - 1), true),
                }
            } else if is_cut || reading.is_over || fit <= count + count / 2 {
                break (count, folds);
            } else {
                last = Some((count, folds));
                count = fit;
            }
        };
        let mut rejected = reading.rejected;
        rejected.retain(|record| record.index < count);
        Self { records: count, folds, rejected, limits }
    }

    /// How many records the step takes: the watermark moves behind them. The next step need not try more than twice as
    /// many.
    pub fn records(&self) -> usize {
        self.records
    }

    /// The ranges of keys, by tenant, in which [`Step::merge`] needs every stored page.
    pub fn ranges(&self) -> impl Iterator<Item = (&Tenant, &[KeyRange])> {
        self.folds.iter().map(|(tenant, _, ranges)| (tenant, ranges.as_slice()))
    }

    /// What to write, given the stored pages of each tenant in the order of [`Step::ranges`].
    ///
    /// # Errors
    /// [`TooMuch`] if the pages don't fit into one transaction; then write nothing.
    pub fn merge(self, stored: Vec<Vec<StoredPage>>) -> Result<StepWrite, TooMuch> {
        let mut write = StepWrite { rejected: self.rejected, ..StepWrite::default() };
        for ((tenant, fold, _), stored) in self.folds.into_iter().zip(stored) {
            let Merged { pages, damaged, opens_day } = fold.merge(stored);
            write.newcomers.extend(opens_day.then(|| tenant.clone()));
            write.pages.extend(pages.into_iter().map(|page| (tenant.clone(), page)));
            write.damaged.extend(damaged.into_iter().map(|page| (tenant.clone(), page)));
        }
        let newcomer = StoredPage { key: String::new(), bytes: Vec::new() };
        let newcomers = write.newcomers.iter().map(|_| &newcomer);
        let pages = write.pages.iter().map(|(_, page)| page).chain(newcomers);
        let bytes: usize = pages.clone().map(StoredPage::len).sum();
        match self.records / 2 {
            _ if self.limits.fit(pages) => Ok(write),
            // A record that fits into no transaction must not hold up the records behind it.
            0 => {
                let reason = "its pages need more than a transaction takes".to_owned();
                Ok(StepWrite { rejected: vec![RejectedRecord { index: 0, reason }], ..StepWrite::default() })
            }
            // Fewer records may touch almost as many pages, so no more than half of them are tried next.
            half => {
                let part = (self.limits.bytes as u64).saturating_mul(self.records as u64) / bytes.max(1) as u64;
                Err(TooMuch { at_most: half.min(part as usize).max(1) })
            }
        }
    }
}

/// Records on their way into a step.
struct Reading<'a, 'd, R> {
    /// The records that are not read yet.
    records: R,
    dimensions: &'d Dimensions,
    /// The number of records that are read.
    count: usize,
    /// Whether there are no more.
    is_over: bool,
    /// Each event with its index and its tenant.
    events: Vec<(usize, &'a str, Observation<'a>)>,
    rejected: Vec<RejectedRecord>,
    /// The last tenant's name, and whether it is one. Records of one tenant mostly follow each other.
    checked: Option<(&'a str, bool)>,
}

impl<'a, R: Iterator<Item = Option<Unfolded<'a>>>> Reading<'a, '_, R> {
    /// Reads on until `count` records are read. Returns `count`, or how many there are.
    fn until(&mut self, count: usize) -> usize {
        while self.count < count {
            let Some(unfolded) = self.records.next() else {
                self.is_over = true;
                break;
            };
            self.count += 1;
            if let Some(unfolded) = unfolded.filter(|unfolded| !counted::is_counted(unfolded.record)) {
                self.read(self.count - 1, unfolded);
            }
        }
        count.min(self.count)
    }

    fn read(&mut self, index: usize, Unfolded { tenant, record }: Unfolded<'a>) {
        let is_tenant = match self.checked {
            Some((name, is_tenant)) if name == tenant => is_tenant,
            _ => Tenant::parse(tenant.to_owned()).is_ok(),
        };
        self.checked = Some((tenant, is_tenant));
        match Observation::read(record, self.dimensions) {
            Ok(observation) if is_tenant => self.events.push((index, tenant, observation)),
            Err(problem) if is_tenant => {
                self.rejected.push(RejectedRecord { index, reason: problem.to_string() });
            }
            _ => self.rejected.push(RejectedRecord { index, reason: "its tenant is none".to_owned() }),
        }
    }
}

/// Folds events, separately for each tenant.
fn folds<'e, 'a: 'e>(
    events: impl Iterator<Item = &'e (usize, &'a str, Observation<'a>)>,
) -> Vec<(Tenant, Fold, Vec<KeyRange>)> {
    let mut tenants: BTreeMap<&str, Vec<&Observation<'_>>> = BTreeMap::new();
    for (_, tenant, observation) in events {
        tenants.entry(tenant).or_default().push(observation);
    }
    let fold = |(tenant, events): (&str, Vec<&Observation<'_>>)| {
        let fold = Fold::of(events.iter().copied());
        let ranges = fold.ranges();
        Some((Tenant::parse(tenant.to_owned()).ok()?, fold, ranges))
    };
    tenants.into_iter().filter_map(fold).collect()
}
