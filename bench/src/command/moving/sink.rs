//! Where moved data go: a file, a service, or nowhere.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use isotherm_core::{PageGroup, StoredPage, first_of, moved_first, union};
use serde::Deserialize;

use super::Care;
use super::file::{self, FileSink};
use super::lines::{EventLine, page_line, page_of};
use super::manifest::{Manifest, bits_of};
use super::side::Side;
use super::source::{Page, Service, Source, What};
use crate::load::Url;

/// The most lines and bytes of one request. A body may have 1 MiB.
const LINES: usize = 1000;
const BYTES: usize = 900 * 1024;

/// Where data go.
pub(super) enum Sink {
    Nowhere,
    File(FileSink),
    Service(Box<Target>),
    /// One side of a comparison.
    Side(Side),
}

/// What comes to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coming {
    /// Events, and the rollups that count them.
    All,
    /// Events, which the service counts.
    Events,
    /// Events of a raw backup, which the service counts. Their digests are computed, so the service may have the same
    /// event with another digest.
    Backups,
}

/// What became of the events that were sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Became {
    /// New at the service.
    pub(super) new: u64,
    /// There already.
    pub(super) there: u64,
    /// There already, with another digest.
    pub(super) otherwise: u64,
}

/// A service that takes data in.
pub(super) struct Target {
    service: Service,
    coming: Coming,
    pub(super) became: Became,
    /// The first values of the pages that an earlier move brought, by series. Pages without a value are left out.
    firsts: BTreeMap<PageGroup, BTreeSet<String>>,
    /// The hash of each page that was sent, by the hash of its key. A page that has not changed is not sent again.
    pages: HashMap<u128, u128>,
    events: Lines,
    rollups: Lines,
    /// When the next request is due, if there is a rate.
    due: Instant,
}

/// Lines of the next request.
#[derive(Default)]
struct Lines {
    text: String,
    count: usize,
}

impl Lines {
    /// Returns `true` if the request has no room for this line.
    fn is_full(&self, line: &str) -> bool {
        self.count >= LINES || (self.count > 0 && self.text.len() + line.len() > BYTES)
    }

    fn push(&mut self, line: &str) {
        self.text += line;
        self.text.push('\n');
        self.count += 1;
    }
}

impl Sink {
    pub(super) async fn event(&mut self, event: &EventLine<'_>) -> Result<()> {
        match self {
            Self::Nowhere => Ok(()),
            Self::File(file) => file.event(event),
            Self::Service(target) => target.event(event).await,
            Self::Side(side) => side.exported(event),
        }
    }

    pub(super) async fn page(&mut self, page: &StoredPage) -> Result<()> {
        match self {
            Self::Nowhere | Self::Side(_) => Ok(()),
            Self::File(file) => file.page(page),
            Self::Service(target) => target.page(page).await,
        }
    }

    /// Takes all pages of one series.
    pub(super) async fn series(&mut self, mut pages: Vec<StoredPage>) -> Result<()> {
        if let Self::Service(target) = self
            && let Some(page) = pages.first()
            && let Some(firsts) = target.firsts.get(&PageGroup::of(&page.key))
        {
            // Pages are cut as at the target, so that each page there is replaced.
            pages = union(&pages, firsts)?;
        }
        for page in &pages {
            self.page(page).await?;
        }
        Ok(())
    }

    /// Forgets what was sent, so that everything is sent again.
    pub(super) fn forget(&mut self) {
        if let Self::Service(target) = self {
            target.pages.clear();
        }
    }

    /// Sends the lines that still wait. Then everything so far is durable.
    pub(super) async fn flush(&mut self) -> Result<()> {
        match self {
            Self::Nowhere | Self::File(_) | Self::Side(_) => Ok(()),
            Self::Service(target) => target.flush().await,
        }
    }

    /// Takes in all of an export. Its manifest must have been checked before.
    pub(super) async fn copy(&mut self, path: &Path) -> Result<()> {
        let mut series = (PageGroup::Types, Vec::new());
        for line in file::lines(path)? {
            let (place, line) = line?;
            let file::Line { event, rollups, .. } = place.read(&line)?;
            if let Some(event) = event {
                self.event(&event).await?;
            }
            let Some(page) = rollups else { continue };
            let page = place.page(page)?;
            let group = PageGroup::of(&page.key);
            if group != series.0 {
                self.series(std::mem::replace(&mut series, (group, Vec::new())).1).await?;
            }
            series.1.push(page);
        }
        self.series(series.1).await?;
        self.flush().await
    }

    pub(super) async fn end(&mut self, manifest: &Manifest) -> Result<()> {
        self.flush().await?;
        if let Self::File(file) = self { file.end(manifest) } else { Ok(()) }
    }
}

#[derive(Deserialize)]
struct Taken {
    accepted: u64,
    retry: u64,
    results: Vec<TakenOne>,
}

#[derive(Deserialize)]
struct TakenOne {
    status: String,
    code: Option<String>,
    message: Option<String>,
}

impl Target {
    pub(super) async fn open(url: &Url, key: Option<&str>, care: Care, coming: Coming) -> Result<Self> {
        let service = Service::open(url, key, care).await?;
        let (events, rollups, firsts, pages, became) = Default::default();
        Ok(Self { service, coming, became, firsts, pages, events, rollups, due: Instant::now() })
    }

    /// Looks at the rollups that the service has already. If it has rollups of its own, it may have counted the events
    /// that are to come.
    ///
    /// # Errors
    /// Fails if it has rollups of its own, unless `beside` says that they count other events.
    pub(super) async fn prepare(&mut self, there: &Source, beside: bool) -> Result<()> {
        let (mut part, mut after) = (0, String::new());
        loop {
            let Page { lines, end } = there.page(What::Rollups, part, &after).await?;
            for line in &lines {
                let StoredPage { key, .. } = page_of(line)?;
                let group = PageGroup::of(&key);
                let first = moved_first(&key);
                ensure!(
                    beside || first.is_some() || !matches!(group, PageGroup::Series(_)),
                    "the tenant has events of its own at the target. If they are among those that are to come, reports \
                     would count them twice. Use an empty tenant, --events-only, or --beside if they are others"
                );
                if let Some(first) = first.filter(|first| !first.is_empty()) {
                    self.firsts.entry(group).or_default().insert(first.to_owned());
                }
            }
            after = end.next;
            if end.over {
                (part, after) = (part + 1, String::new());
                if part >= end.parts {
                    return Ok(());
                }
            }
        }
    }

    pub(super) async fn event(&mut self, event: &EventLine<'_>) -> Result<()> {
        let line = event.to_import(self.coming == Coming::All);
        if self.events.is_full(&line) {
            self.flush_events().await?;
        }
        self.events.push(&line);
        Ok(())
    }

    async fn page(&mut self, page: &StoredPage) -> Result<()> {
        let bits = bits_of(&[&page.bytes]);
        if self.pages.insert(bits_of(&[page.key.as_bytes()]), bits) == Some(bits) {
            return Ok(());
        }
        if let Some(first) = first_of(&page.key).filter(|first| !first.is_empty()) {
            self.firsts.entry(PageGroup::of(&page.key)).or_default().insert(first.to_owned());
        }
        let line = page_line(page)?;
        if self.rollups.is_full(&line) {
            self.flush_rollups().await?;
        }
        self.rollups.push(&line);
        Ok(())
    }

    pub(super) async fn flush(&mut self) -> Result<()> {
        self.flush_events().await?;
        self.flush_rollups().await
    }

    async fn flush_rollups(&mut self) -> Result<()> {
        let Lines { text, count } = std::mem::take(&mut self.rollups);
        if count > 0 {
            self.service.send("POST", "/import/rollups", text.into()).await?;
        }
        Ok(())
    }

    /// Sends events until all are there. If the service takes only some, all are sent again, and those it has are
    /// duplicates then.
    async fn flush_events(&mut self) -> Result<()> {
        let Lines { text, count } = std::mem::take(&mut self.events);
        if count == 0 {
            return Ok(());
        }
        let (body, mut new) = (Bytes::from(text), 0);
        let began = Instant::now();
        let until = Instant::now() + Duration::from_secs(self.service.care.patience);
        loop {
            let (_, answer) = self.service.send("POST", "/import/events", body.clone()).await?;
            let taken: Taken = serde_json::from_slice(&answer).context("/import/events answers something else")?;
            let is_otherwise =
                |one: &TakenOne| self.coming == Coming::Backups && one.code.as_deref() == Some("conflict");
            let refused = || taken.results.iter().filter(|one| one.status == "invalid" && !is_otherwise(one));
            if let Some(first) = refused().next() {
                let message = first.message.as_deref().unwrap_or_default();
                bail!("the target refuses {} of {count} events, the first because: {message}", refused().count());
            }
            new += taken.accepted;
            if taken.retry == 0 {
                let otherwise = taken.results.iter().filter(|one| is_otherwise(one)).count() as u64;
                self.became.new += new;
                self.became.otherwise += otherwise;
                self.became.there += (count as u64).saturating_sub(new + otherwise);
                break;
            }
            ensure!(Instant::now() < until, "the target does not take {} of {count} events", taken.retry);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        if let Some(rate) = self.service.care.rate {
            // Idle time is not made up for by sending faster later.
            self.due = self.due.max(began) + Duration::from_secs_f64(count as f64 / f64::from(rate));
            tokio::time::sleep_until(self.due.into()).await;
        }
        Ok(())
    }
}
