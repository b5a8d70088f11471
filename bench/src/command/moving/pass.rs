//! One pass over all data of a service.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use isotherm_core::{PageGroup, StoredPage, UnreadablePage, day_of, stand_in, union, union_of_manifests};

use super::lines::{EventLine, page_of};
use super::manifest::Manifest;
use super::sink::Sink;
use super::source::{Page, Source, What};
use super::state::State;
use crate::words::grouped;

/// Time between two lines that say how far a pass is.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// A pass, and what it has seen.
pub(super) struct Pass<'s> {
    source: &'s Source,
    /// True to read only events that no move brought, and no rollups.
    events_only: bool,
    /// Everything that was seen.
    pub(super) manifest: Manifest,
    /// The part of it that is compared.
    pub(super) lasting: Manifest,
    /// How many events went to the sink.
    pub(super) sent: u64,
    /// Events that were received before this are at the target already, in milliseconds since 1970.
    pub(super) since: u64,
    /// Events that were received before this have been seen.
    pub(super) seen_to: u64,
    /// True if new events follow the last in all parts.
    pub(super) is_ordered: bool,
    told: Instant,
    began: Instant,
}

/// The pages of one part that are not taken yet.
struct Part {
    number: u32,
    after: String,
    is_over: bool,
    /// In the reverse order of their keys.
    pages: Vec<(PageGroup, StoredPage)>,
}

impl Part {
    fn new(number: u32) -> Self {
        Self { number, after: String::new(), is_over: false, pages: Vec::new() }
    }
}

impl<'s> Pass<'s> {
    /// A pass that compares only events that do not expire before `horizon`, in seconds since 1970.
    pub(super) fn new(source: &'s Source, events_only: bool, horizon: u64) -> Self {
        let now = Instant::now();
        let (manifest, lasting) = (Manifest::default(), Manifest::until(horizon));
        let (sent, since, seen_to, is_ordered) = (0, 0, u64::MAX, true);
        Self { source, events_only, manifest, lasting, sent, since, seen_to, is_ordered, told: now, began: now }
    }

    /// Reads a service. The manifest leaves out events that expire before `horizon`.
    pub(super) async fn read(source: &'s Source, horizon: u64) -> Result<Manifest> {
        let mut pass = Self::new(source, false, horizon);
        pass.copy_all(&mut Sink::Nowhere, &mut State::default()).await?;
        (pass.lasting.damaged, pass.lasting.left_out) = (pass.manifest.damaged, pass.manifest.left_out);
        Ok(pass.lasting)
    }

    /// Copies events, and then rollups. If the source folds events in between, the copy may have their rollups without
    /// the events. So compare afterwards.
    pub(super) async fn copy_all(&mut self, sink: &mut Sink, state: &mut State) -> Result<()> {
        self.copy_events(sink, state).await?;
        if self.events_only { Ok(()) } else { self.copy_rollups(sink).await }
    }

    pub(super) async fn copy_events(&mut self, sink: &mut Sink, state: &mut State) -> Result<()> {
        let (mut part, mut is_continued) = (0, None);
        loop {
            let after = state.events.get(&part).map_or("", String::as_str);
            let is_from_middle = *is_continued.get_or_insert(!after.is_empty());
            let Page { lines, end } = self.source.page(What::Events, part, after).await?;
            for line in &lines {
                self.event(line, sink).await?;
            }
            self.manifest.left_out += end.left_out;
            self.seen_to = self.seen_to.min(end.folded_to);
            self.is_ordered &= end.ordered;
            sink.flush().await?;
            if end.over && !end.ordered {
                // New events may be anywhere, so the next pass begins anew.
                state.events.remove(&part);
            } else {
                state.events.insert(part, end.next);
            }
            state.save()?;
            if end.over && (end.ordered || !is_from_middle) {
                part += 1;
                is_continued = None;
                if part >= end.parts {
                    return Ok(());
                }
            } else if end.over {
                is_continued = Some(false);
            }
        }
    }

    async fn event(&mut self, line: &str, sink: &mut Sink) -> Result<()> {
        let event: EventLine<'_> = serde_json::from_str(line).context("a line of an export is no event")?;
        if self.events_only && event.moved {
            return Ok(());
        }
        self.manifest.event_line(&event)?;
        self.lasting.event_line(&event)?;
        if self.since == 0 || event.received_ms()? >= self.since {
            sink.event(&event).await?;
            self.sent += 1;
        }
        self.tell("events");
        Ok(())
    }

    /// Merges the rollups of all parts, series by series.
    pub(super) async fn copy_rollups(&mut self, sink: &mut Sink) -> Result<()> {
        let mut parts = vec![Part::new(0)];
        self.fill(&mut parts, 0, sink).await?;
        let (mut manifests, mut sealed) = (Vec::new(), BTreeSet::new());
        loop {
            for at in 0..parts.len() {
                self.fill(&mut parts, at, sink).await?;
            }
            let next = parts.iter().filter_map(|part| part.pages.last()).map(|(group, _)| group).min().cloned();
            let Some(group) = next else { break };
            let mut pages = Vec::new();
            for at in 0..parts.len() {
                while let Some((_, page)) = parts[at].pages.pop_if(|(of, _)| *of == group) {
                    pages.push(page);
                    self.fill(&mut parts, at, sink).await?;
                }
            }
            match group {
                PageGroup::Types | PageGroup::Damaged => {}
                PageGroup::Manifest(_) => {
                    let Some((manifest, is_sealed)) = union_of_manifests(&pages) else { continue };
                    sealed.extend(day_of(&manifest.key).filter(|_| is_sealed).map(|(day, _)| day));
                    manifests.push(manifest);
                }
                PageGroup::Series(_) => {
                    // A day's pages count only if they hold all of the day.
                    let is_whole = |page: &StoredPage| {
                        day_of(&page.key).is_some_and(|(day, is_whole)| !is_whole || sealed.contains(&day))
                    };
                    if pages.iter().all(is_whole) {
                        self.series(pages, sink).await?;
                    }
                }
            }
        }
        // The manifests come last, because a manifest says that its day's pages are there.
        for manifest in manifests {
            self.seen(&manifest);
            sink.page(&manifest).await?;
        }
        sink.flush().await
    }

    /// Copies a series without its unreadable pages. Reports of the copy then say that they are incomplete, as at the
    /// source.
    async fn series(&mut self, mut pages: Vec<StoredPage>, sink: &mut Sink) -> Result<()> {
        let whole = loop {
            match union(&pages, &BTreeSet::new()) {
                Ok(whole) => break whole,
                Err(UnreadablePage { key }) => {
                    pages.retain(|page| page.key != key);
                    self.damaged(&key, sink).await?;
                }
            }
        };
        whole.iter().for_each(|page| self.seen(page));
        sink.series(whole).await?;
        self.tell("pages of rollups");
        Ok(())
    }

    fn seen(&mut self, page: &StoredPage) {
        self.manifest.page(page);
        self.lasting.page(page);
    }

    async fn damaged(&mut self, key: &str, sink: &mut Sink) -> Result<()> {
        self.manifest.damaged += 1;
        if let Some(page) = stand_in(key) {
            sink.page(&page).await?;
        }
        Ok(())
    }

    /// Reads the next pages of a part, if none are left. The first answer says how many parts there are.
    async fn fill(&mut self, parts: &mut Vec<Part>, at: usize, sink: &mut Sink) -> Result<()> {
        while parts[at].pages.is_empty() && !parts[at].is_over {
            let Page { lines, end } = self.source.page(What::Rollups, parts[at].number, &parts[at].after).await?;
            parts.extend((parts.len() as u32..end.parts).map(Part::new));
            let part = &mut parts[at];
            for line in &lines {
                let page = page_of(line)?;
                match PageGroup::of(&page.key) {
                    PageGroup::Damaged => self.damaged(&page.key, sink).await?,
                    group => part.pages.push((group, page)),
                }
            }
            part.pages.reverse();
            (part.after, part.is_over) = (end.next, end.over);
        }
        Ok(())
    }

    fn tell(&mut self, what: &str) {
        if self.told.elapsed() >= LINE_EVERY {
            self.told = Instant::now();
            let (events, pages) = self.manifest.counts();
            let rate = events as f64 / self.began.elapsed().as_secs_f64();
            eprintln!(
                "{what}: {} events, {} a second; {} pages",
                grouped(events),
                grouped(rate as u64),
                grouped(pages)
            );
        }
    }
}
