//! One step of folding: as many of a store's records as one transaction takes, whosever they are.
//!
//! ```text
//! records ─▶ Step ─▶ ranges of keys ──▶ the host's store ──▶ stored pages ──▶ Step::settle ─▶ pages to write
//! ```
//!
//! What a client sends decides how many pages an event touches. So a step ends where its pages would become too many, and the
//! next one goes on from there. A record that is no event is a [`Rejection`]: the host keeps it elsewhere, and goes on.

use std::collections::BTreeMap;

use crate::config::Tenant;
use crate::rollup::fold::{Fold, Merged, StoredPage, UnreadablePage};
use crate::rollup::key::KeyRange;
use crate::rollup::observation::{Dimensions, Observation};

/// What a store takes in one transaction, beside a watermark.
#[derive(Clone, Copy, Debug)]
pub struct WriteLimits {
    /// Pages.
    pub pages: usize,
    /// Bytes of their keys and contents.
    pub bytes: usize,
}

impl WriteLimits {
    /// Of a store that holds others up while it writes, such as one with one writer: some ten milliseconds of work.
    pub const ONE_WRITER: Self = Self { pages: 1000, bytes: 8_000_000 };

    /// None at all.
    pub const NONE: Self = Self { pages: usize::MAX, bytes: usize::MAX };

    /// Whether it takes these.
    pub fn fit<'p>(&self, pages: impl Iterator<Item = &'p StoredPage>) -> bool {
        let (count, bytes) =
            pages.fold((0, 0), |(count, bytes), page| (count + 1, bytes + page.key.len() + page.bytes.len()));
        count <= self.pages && bytes <= self.bytes
    }
}

/// A stored record that is to be folded.
#[derive(Clone, Copy, Debug)]
pub struct Unfolded<'a> {
    /// Whose event it is, as the store says.
    pub tenant: &'a str,
    /// [`crate::NewEvent::record`].
    pub record: &'a str,
}

/// A record that is in no report, and why. The host keeps it where an operator finds it, before the watermark moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Which of the step's records it is, from 0.
    pub index: usize,
    /// What is wrong with it; nothing of its content.
    pub reason: String,
}

/// Some records, folded.
#[derive(Clone, Debug)]
pub struct Step {
    records: usize,
    folds: Vec<(Tenant, Fold, Vec<KeyRange>)>,
    rejections: Vec<Rejection>,
    limits: WriteLimits,
}

/// What a step writes, once its rejections are kept.
#[must_use = "what is merged and not written is in no report"]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepWrite {
    /// Each with its tenant.
    pub pages: Vec<(Tenant, StoredPage)>,
    /// What can't be read of what is stored, as in [`Merged`].
    pub damaged: Vec<(Tenant, UnreadablePage)>,
    /// What is counted nowhere.
    pub rejections: Vec<Rejection>,
    /// Tenants that may be new. A store whose tenants can't be listed keeps them, so that maintenance finds them without keys.
    pub newcomers: Vec<Tenant>,
}

/// A step is more than the store takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMuch {
    /// So many records may fit: 1 or more.
    pub at_most: usize,
}

impl Step {
    /// Folds the first of these records, `at_most` so many. `None` among them: nothing to fold, but taken.
    pub(crate) fn of<'a>(
        records: impl IntoIterator<Item = Option<Unfolded<'a>>>,
        at_most: usize,
        limits: WriteLimits,
        dimensions: &Dimensions,
    ) -> Self {
        let (mut events, mut rejections, mut count) = (Vec::new(), Vec::new(), 0);
        // Records of one tenant mostly come in a row: its name is checked once.
        let mut checked: Option<(&str, bool)> = None;
        for (index, unfolded) in records.into_iter().take(at_most).enumerate() {
            count = index + 1;
            let Some(Unfolded { tenant, record }) = unfolded else { continue };
            let is_tenant = match checked {
                Some((name, is_tenant)) if name == tenant => is_tenant,
                _ => Tenant::parse(tenant.to_owned()).is_ok(),
            };
            checked = Some((tenant, is_tenant));
            match Observation::read(record, dimensions) {
                Ok(observation) if is_tenant => events.push((index, tenant, observation)),
                Err(problem) if is_tenant => rejections.push(Rejection { index, reason: problem.to_string() }),
                _ => rejections.push(Rejection { index, reason: "its tenant is none".to_owned() }),
            }
        }
        loop {
            let folds = folds(events.iter().take_while(|(index, ..)| *index < count));
            let ranges: usize = folds.iter().map(|(.., ranges)| ranges.len()).sum();
            if ranges <= limits.pages || count <= 1 {
                rejections.retain(|rejection| rejection.index < count);
                return Self { records: count, folds, rejections, limits };
            }
            // Each range gets a page or more: of too many, nothing is worth reading.
            count = (count.saturating_mul(limits.pages) / ranges).clamp(1, count - 1);
        }
    }

    /// How many records it takes: the watermark moves behind them. Twice as many at most are worth a look the next time.
    pub fn records(&self) -> usize {
        self.records
    }

    /// Of each tenant the pages that [`Step::settle`] needs: all that the store has in these ranges.
    pub fn ranges(&self) -> impl Iterator<Item = (&Tenant, &[KeyRange])> {
        self.folds.iter().map(|(tenant, _, ranges)| (tenant, ranges.as_slice()))
    }

    /// What to write, from the stored pages of each tenant in the order of [`Step::ranges`].
    ///
    /// # Errors
    /// [`TooMuch`]; nothing is to be written then.
    pub fn settle(self, stored: Vec<Vec<StoredPage>>) -> Result<StepWrite, TooMuch> {
        let mut write = StepWrite { rejections: self.rejections, ..StepWrite::default() };
        for ((tenant, fold, _), stored) in self.folds.into_iter().zip(stored) {
            let Merged { pages, damaged, opens_day } = fold.settle(stored);
            write.newcomers.extend(opens_day.then(|| tenant.clone()));
            write.pages.extend(pages.into_iter().map(|page| (tenant.clone(), page)));
            write.damaged.extend(damaged.into_iter().map(|page| (tenant.clone(), page)));
        }
        let newcomer = StoredPage { key: String::new(), bytes: Vec::new() };
        let newcomers = write.newcomers.iter().map(|_| &newcomer);
        match self.records / 2 {
            _ if self.limits.fit(write.pages.iter().map(|(_, page)| page).chain(newcomers)) => Ok(write),
            // A record that no transaction takes must not hold up those behind it.
            0 => {
                let reason = "its pages need more than a transaction takes".to_owned();
                Ok(StepWrite { rejections: vec![Rejection { index: 0, reason }], ..StepWrite::default() })
            }
            at_most => Err(TooMuch { at_most }),
        }
    }
}

/// Folds events, each tenant's by themselves.
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
