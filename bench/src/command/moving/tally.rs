//! Counts and digests of a service's events, kept up to date by reading only what is new.

use anyhow::Result;

use super::manifest::Manifest;
use super::pass::Pass;
use super::sink::Sink;
use super::source::Source;
use super::state::State;

/// The events that a service has shown.
pub(super) struct Tally {
    horizon: u64,
    /// How far the events are read.
    state: State,
    pub(super) events: Manifest,
}

impl Tally {
    /// An empty tally of events that do not expire before `horizon`, in seconds since 1970.
    pub(super) fn new(horizon: u64) -> Self {
        Self { horizon, state: State::default(), events: Manifest::until(horizon) }
    }

    /// Reads what is new, once all that the service took is folded. Where new events may be anywhere among the others, it
    /// reads all of them.
    pub(super) async fn read_on(&mut self, service: &Source) -> Result<()> {
        service.wait_until_folded().await?;
        if self.state.events.is_empty() {
            // Nothing is read yet, or new events may be anywhere among the others.
            self.events = Manifest::until(self.horizon);
        }
        let mut pass = Pass::new(service, false, 0);
        pass.lasting = self.events.clone();
        pass.copy_events(&mut Sink::Nowhere, &mut self.state).await?;
        pass.lasting.left_out += pass.manifest.left_out;
        self.events = pass.lasting;
        Ok(())
    }

    /// Reads what there is now, if the service lists new events behind the others. Otherwise it would be in vain.
    pub(super) async fn read_early(&mut self, service: &Source) -> Result<()> {
        if service.is_ordered().await? { self.read_on(service).await } else { Ok(()) }
    }
}
