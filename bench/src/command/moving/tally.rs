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
    /// The cursors behind the events that are read.
    state: State,
    pub(super) events: Manifest,
}

impl Tally {
    /// An empty tally of events that do not expire before `horizon`, in seconds since 1970.
    pub(super) fn new(horizon: u64) -> Self {
        Self { horizon, state: State::default(), events: Manifest::until(horizon) }
    }

    /// Reads new events, once all that the service accepted are folded. If new events may be anywhere among the others,
    /// it reads all.
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

    /// Reads ahead, if the service lists new events after the others. Otherwise the next [`Self::read_on`] would read
    /// all of them again anyway.
    pub(super) async fn read_early(&mut self, service: &Source) -> Result<()> {
        if service.is_ordered().await? { self.read_on(service).await } else { Ok(()) }
    }
}
