//! Counts and digests of a service's events, kept up to date by reading only what is new.

use std::collections::BTreeMap;

use anyhow::Result;

use super::lines::EventLine;
use super::manifest::Manifest;
use super::source::{Page, Source, What};

/// The events that a service has shown.
pub(super) struct Tally {
    horizon: u64,
    /// The place to read on from, by part.
    cursors: BTreeMap<u32, String>,
    pub(super) events: Manifest,
}

impl Tally {
    /// An empty tally of events that do not expire before `horizon`, in seconds since 1970.
    pub(super) fn new(horizon: u64) -> Self {
        Self { horizon, cursors: BTreeMap::new(), events: Manifest::until(horizon) }
    }

    /// Reads what is new, once all that the service took is folded. Where new events may be anywhere among the others, it
    /// reads all of them.
    pub(super) async fn read_on(&mut self, service: &Source) -> Result<()> {
        service.wait_until_folded().await?;
        let mut part = 0;
        loop {
            let after = self.cursors.get(&part).map_or("", String::as_str);
            let Page { lines, end } = service.page(What::Events, part, after).await?;
            if after.is_empty() && !end.ordered {
                // It has one part.
                self.events = Manifest::until(self.horizon);
            }
            for line in &lines {
                self.events.event_line(&serde_json::from_str::<EventLine<'_>>(line)?)?;
            }
            self.events.left_out += end.left_out;
            let next = if end.over && !end.ordered { String::new() } else { end.next };
            self.cursors.insert(part, next);
            part += u32::from(end.over);
            if part >= end.parts {
                return Ok(());
            }
        }
    }

    /// Reads what there is now, if the service lists new events behind the others. Otherwise it would be in vain.
    pub(super) async fn read_early(&mut self, service: &Source) -> Result<()> {
        let is_ordered = service.page(What::Events, 0, "").await?.end.ordered;
        if is_ordered { self.read_on(service).await } else { Ok(()) }
    }
}
