//! One pass over all data of a service.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use isotherm_core::{PageGroup, StoredPage, day_of, union, union_of_manifests};

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
    /// Only events that no move brought, and no rollups.
    events_only: bool,
    is_ordered: bool,
    manifest: Manifest,
    told: Instant,
    began: Instant,
    events: u64,
}

/// The pages of one part that are not taken yet.
struct Part {
    number: u32,
    after: String,
    is_over: bool,
    /// In the reverse order of their keys.
    pages: Vec<(PageGroup, StoredPage)>,
}

impl<'s> Pass<'s> {
    pub(super) fn new(source: &'s Source, events_only: bool) -> Self {
        let now = Instant::now();
        Self { source, events_only, is_ordered: true, manifest: Manifest::default(), told: now, began: now, events: 0 }
    }

    /// What a service has.
    pub(super) async fn read(source: &'s Source) -> Result<Manifest> {
        let mut pass = Self::new(source, false);
        pass.copy_all(&mut Sink::Nowhere, &mut State::default()).await?;
        Ok(pass.manifest)
    }

    /// What was seen.
    pub(super) fn into_manifest(self) -> Manifest {
        self.manifest
    }

    /// Copies events, and then rollups. If the source has folded new events meanwhile, it copies these and the rollups
    /// once more, as long as it takes.
    pub(super) async fn copy_all(&mut self, sink: &mut Sink, state: &mut State) -> Result<()> {
        self.copy_events(sink, state).await?;
        if self.events_only {
            return Ok(());
        }
        loop {
            self.manifest.forget_rollups();
            self.copy_rollups(sink).await?;
            // A store without an order would have to be read from the beginning. The comparison at the end does that.
            if !self.is_ordered {
                return Ok(());
            }
            // Events that are in these rollups and were not copied before.
            let known = self.events;
            self.copy_events(sink, state).await?;
            if self.events == known {
                return Ok(());
            }
        }
    }

    async fn copy_events(&mut self, sink: &mut Sink, state: &mut State) -> Result<()> {
        let mut part = 0;
        loop {
            let after = state.events.get(&part).map_or("", String::as_str);
            let Page { lines, end } = self.source.page(What::Events, part, after).await?;
            for line in &lines {
                self.event(line, sink).await?;
            }
            sink.flush().await?;
            self.is_ordered = end.ordered;
            if end.over && !end.ordered {
                // New events may be anywhere, so the next pass begins anew.
                state.events.remove(&part);
            } else {
                state.events.insert(part, end.next);
            }
            state.save()?;
            part += u32::from(end.over);
            if part >= end.parts {
                return Ok(());
            }
        }
    }

    async fn event(&mut self, line: &str, sink: &mut Sink) -> Result<()> {
        let event: EventLine<'_> = serde_json::from_str(line).context("a line of an export is no event")?;
        if self.events_only && event.moved {
            return Ok(());
        }
        self.manifest.event_line(&event)?;
        self.events += 1;
        sink.event(&event).await?;
        self.tell("events");
        Ok(())
    }

    /// Merges the rollups of all parts, series by series.
    async fn copy_rollups(&mut self, sink: &mut Sink) -> Result<()> {
        let of_part = |number| Part { number, after: String::new(), is_over: false, pages: Vec::new() };
        let count = self.source.page(What::Rollups, 0, "").await?.end.parts;
        let mut parts: Vec<Part> = (0..count).map(of_part).collect();
        let (mut manifests, mut sealed) = (Vec::new(), BTreeSet::new());
        loop {
            for part in &mut parts {
                self.fill(part).await?;
            }
            let next = parts.iter().filter_map(|part| part.pages.last()).map(|(group, _)| group).min().cloned();
            let Some(group) = next else { break };
            let mut pages = Vec::new();
            for part in &mut parts {
                while part.pages.last().is_some_and(|(of, _)| *of == group) {
                    pages.extend(part.pages.pop().map(|(_, page)| page));
                    self.fill(part).await?;
                }
            }
            match group {
                PageGroup::Types => {}
                PageGroup::Manifest(_) => {
                    let Some((manifest, is_sealed)) = union_of_manifests(&pages)? else { continue };
                    sealed.extend(day_of(&manifest.key).filter(|_| is_sealed).map(|(day, _)| day));
                    manifests.push(manifest);
                }
                PageGroup::Series(_) => {
                    for page in union(&pages)? {
                        // The pages of a day are worth nothing unless they hold all of it.
                        if day_of(&page.key).is_some_and(|(day, is_whole)| !is_whole || sealed.contains(&day)) {
                            self.page(&page, sink).await?;
                        }
                    }
                }
            }
        }
        // A manifest says that its day's pages are there.
        for manifest in manifests {
            self.page(&manifest, sink).await?;
        }
        sink.flush().await
    }

    async fn page(&mut self, page: &StoredPage, sink: &mut Sink) -> Result<()> {
        self.manifest.page(page);
        sink.page(page).await?;
        self.tell("pages of rollups");
        Ok(())
    }

    /// Reads on in a part whose pages are all taken.
    async fn fill(&mut self, part: &mut Part) -> Result<()> {
        while part.pages.is_empty() && !part.is_over {
            let read = self.source.page(What::Rollups, part.number, &part.after).await?;
            for line in &read.lines {
                let page = page_of(line)?;
                match PageGroup::of(&page.key) {
                    Ok(group) => part.pages.push((group, page)),
                    Err(_damaged) => self.manifest.damaged += 1,
                }
            }
            part.pages.reverse();
            (part.after, part.is_over) = (read.end.next, read.end.over);
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
