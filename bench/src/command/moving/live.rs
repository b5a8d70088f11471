//! Keeps a target current while clients still write to the source.
//!
//! ```text
//! Round: wait until the source has folded ─▶ events behind the cursors ─▶ rollups, if it is time ─▶ how far behind
//! ```
//!
//! Each round saves the state. Whoever stops between two rounds, or within one, can go on from there.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::manifest::Manifest;
use super::pass::Pass;
use super::sink::Sink;
use super::source::Source;
use super::state::State;
use crate::words::{grouped, time};

/// The shortest time from the end of a round to the next.
const EVERY: Duration = Duration::from_secs(5);
/// The shortest time from one copy of the rollups to the next. A copy reads all of them.
const ROLLUPS_EVERY: Duration = Duration::from_secs(60);
/// After a full read we pause nine times as long, so full reads take at most a tenth of the time.
const PAUSE_FACTOR: u32 = 9;
/// How long an event may wait in a queue after it was received, in milliseconds. Later events are found by the
/// comparison.
const QUEUED_MS: u64 = 60 * 60 * 1000;

/// A move that goes on.
pub(super) struct Live<'s> {
    source: &'s Source,
    sink: Sink,
    state: State,
    events_only: bool,
    /// If the source lists events in no order: the target has those that were received before this time.
    since: u64,
    /// When rollups are copied again.
    rollups_at: Instant,
    /// When the next round is due.
    pub(super) due: Instant,
}

/// The result of a round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    /// The events that came since the round before.
    pub(super) events: u64,
    /// Everything that was accepted longer ago than this is at the target.
    pub(super) lag: Duration,
    /// The source lists new events behind the others, so the next round has less to do.
    is_ordered: bool,
}

impl<'s> Live<'s> {
    pub(super) fn new(source: &'s Source, sink: Sink, state: State, events_only: bool) -> Self {
        let now = Instant::now();
        Self { source, sink, state, events_only, since: 0, rollups_at: now, due: now }
    }

    /// Goes on until the program is stopped.
    pub(super) async fn follow(mut self) -> Result<ExitCode> {
        loop {
            self.round().await?;
            tokio::time::sleep_until(self.due.into()).await;
        }
    }

    /// Follows until all that was accepted longer than `lag` ago is at the target, or until another round would not come
    /// nearer.
    pub(super) async fn catch_up(&mut self, lag: Duration) -> Result<()> {
        let mut before = Duration::MAX;
        loop {
            let round = self.round().await?;
            if round.lag <= lag || round.lag >= before || !round.is_ordered {
                return Ok(());
            }
            before = round.lag;
        }
    }

    /// Copies what came since the last round.
    pub(super) async fn round(&mut self) -> Result<Round> {
        let (began, complete_to) = (Instant::now(), self.source.wait_until_folded().await?);
        let (events, is_ordered) = self.events().await?;
        let took = began.elapsed();
        self.due = Instant::now() + EVERY.max(if is_ordered { took } else { PAUSE_FACTOR * took });
        if !self.events_only && Instant::now() >= self.rollups_at {
            let began = Instant::now();
            self.rollups().await?;
            self.rollups_at = Instant::now() + ROLLUPS_EVERY.max(PAUSE_FACTOR * began.elapsed());
        }
        let round = Round { events, lag: complete_to.elapsed(), is_ordered };
        eprintln!("{}", round.line());
        Ok(round)
    }

    /// Copies the rest of a frozen source. Returns how many events that was, and the rollups.
    pub(super) async fn drain(&mut self) -> Result<(u64, Manifest)> {
        self.source.wait_until_folded().await?;
        let (events, _) = self.events().await?;
        Ok((events, if self.events_only { Manifest::default() } else { self.rollups().await? }))
    }

    /// Makes the next round send everything again.
    pub(super) fn begin_anew(&mut self) {
        self.since = 0;
        self.state.events.clear();
        self.sink.forget();
    }

    /// Removes the state, because the move is done.
    pub(super) fn end(self) -> Result<()> {
        self.state.remove()
    }

    async fn events(&mut self) -> Result<(u64, bool)> {
        let mut pass = Pass::new(self.source, self.events_only, 0);
        pass.since = self.since;
        pass.copy_events(&mut self.sink, &mut self.state).await?;
        if !pass.is_ordered {
            self.since = pass.seen_to.saturating_sub(QUEUED_MS);
        }
        Ok((pass.sent, pass.is_ordered))
    }

    async fn rollups(&mut self) -> Result<Manifest> {
        let mut pass = Pass::new(self.source, false, 0);
        pass.copy_rollups(&mut self.sink).await?;
        Ok(pass.manifest)
    }
}

impl Round {
    fn line(self) -> String {
        let Self { events, lag, .. } = self;
        format!("following: {} events more, {} behind", grouped(events), time(lag.as_secs_f64()))
    }
}
