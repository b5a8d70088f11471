//! Upkeep: what a store has done beside requests, decided from what it holds and what time it is.
//!
//! ```text
//! the store ─▶ Held ─▶ Upkeep::new
//!                      Upkeep::next(now) ─▶ Task ─▶ the host reads and writes ─▶ Upkeep::done(task's outcome) ─▶ and now?
//! new events ────────▶ Upkeep::stored
//! ```
//!
//! One machine serves one database, or one shard. A host that has lost it makes a new one from what the store holds. Each task is
//! safe to lose, to repeat, and to be done by two instances at once, because what a task writes is written only if the watermark
//! still stands where it stood when the task read.
//!
//! Folding, expiry and compaction wait for each other's turn, and never for each other's success.

use std::iter::Sum;
use std::ops::{Add, Sub};
use std::time::Duration;

use crate::config::Tenant;
use crate::rollup::key::KeyRange;
use crate::time::{Millis, Seconds};

/// [`Pace::round`]: an hour.
const ROUND: u64 = 60 * 60 * 1000;
/// Events among which one task finds and deletes those that have expired: some ten milliseconds.
const EXPIRED: usize = 10_000;
/// The first wait after a failure; it doubles with each failure that follows.
const RETRY: u64 = 1000;
/// How long one of several instances believes what it knows of their store.
const BELIEVED: u64 = 1000;
/// The longest wait after a failure.
const LONGEST_RETRY: u64 = 60_000;
/// The unfolded tail of a store: a report reads all of it beside the rollups, within [`ReadBudget`](crate::ReadBudget).
const TAIL: Load = Load { events: 40_000, bytes: 10 << 20 };

/// How long the request of an operator's cron may go on with upkeep: less than proxies wait for an answer.
pub const CRON: Duration = Duration::from_secs(20);

/// Some events: how many, and the bytes of their records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Events.
    pub events: usize,
    /// Bytes of [`crate::NewEvent::record`].
    pub bytes: usize,
}

impl Load {
    /// Of one record.
    pub fn of(record: &str) -> Self {
        Self { events: 1, bytes: record.len() }
    }

    fn reaches(self, other: Self) -> bool {
        self.events >= other.events || self.bytes >= other.bytes
    }
}

impl Add for Load {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { events: self.events.saturating_add(other.events), bytes: self.bytes.saturating_add(other.bytes) }
    }
}

impl Sub for Load {
    type Output = Self;

    /// Nothing is left where there was less.
    fn sub(self, other: Self) -> Self {
        Self { events: self.events.saturating_sub(other.events), bytes: self.bytes.saturating_sub(other.bytes) }
    }
}

impl Sum for Load {
    fn sum<I: Iterator<Item = Self>>(loads: I) -> Self {
        loads.fold(Self::default(), Self::add)
    }
}

/// How large one fold is, and how long events wait for one.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    fold: Load,
    /// Milliseconds after which events are folded although there are few.
    patience: u64,
    /// Milliseconds between two searches for what has expired and for days that are over.
    round: u64,
    /// Tasks that may follow one another before requests that wait have their turn. Each takes some ten milliseconds at most.
    turn: usize,
    /// How many stores a report reads at once; together they have room for one tail.
    stores: u32,
}

impl Pace {
    /// Of a process that has its database for itself.
    pub const SERVER: Self =
        Self { fold: Load { events: 2048, bytes: 4 << 20 }, patience: 5000, round: ROUND, turn: 8, stores: 1 };

    /// Of instances that share a database and come and go with requests. A statement may have 32,766 parameters.
    pub const INSTANCE: Self =
        Self { fold: Load { events: 512, bytes: 2 << 20 }, patience: 0, round: ROUND, turn: 4, stores: 1 };

    /// Of one of so many shards, each of which answers requests on the thread that folds. Each fold puts an object into a
    /// bucket, which costs as much as 15 requests: so few events wait for more.
    pub fn shard(shards: u32) -> Self {
        Self {
            fold: Load { events: 512, bytes: 2 << 20 },
            patience: 10_000,
            round: ROUND,
            turn: 4,
            stores: shards.max(1),
        }
    }

    /// The same with so many milliseconds between two searches for what has expired and for days that are over.
    #[must_use]
    pub fn with_round(self, Millis(round): Millis) -> Self {
        Self { round, ..self }
    }

    fn tail(&self) -> Load {
        let share = |all: usize, least: usize| (all / self.stores.max(1) as usize).max(least);
        Load { events: share(TAIL.events, self.fold.events), bytes: share(TAIL.bytes, 1 << 20) }
    }
}

/// What a store says of itself, all as of one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held {
    /// Events behind the watermark.
    pub unfolded: Load,
    /// What the last [`Task::Look`] had kept; 0: there was none.
    pub looked_at: Millis,
}

/// What is to be done next.
#[must_use = "a task that is not done is asked for again"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Fold the oldest unfolded events, as [`Service::fold`](crate::Service::fold) says, and move the watermark behind them.
    /// [`Outcome::Folded`].
    Fold {
        /// Read no more events.
        events: usize,
        /// Read no more, once their records have so many bytes.
        bytes: usize,
    },
    /// Delete events that expire by then and are folded. [`Outcome::Expired`].
    Expire {
        /// The time.
        until: Seconds,
        /// Look at so many events only, at those that came first.
        among: usize,
    },
    /// Find the days that are over and not compacted, by the marks of each tenant that has rollups, whether it has keys or not.
    /// [`Outcome::Looked`].
    Look {
        /// What to keep as [`Held::looked_at`]: now, unless expired events are still to be deleted. A machine that is made anew
        /// would else put them off for a round, and each that follows for another one.
        keep: Millis,
    },
    /// Compact the day of this mark, if it is still to be compacted. [`Outcome::Compacted`].
    Compact {
        /// Whose day.
        tenant: Tenant,
        /// Where its mark stands.
        mark: KeyRange,
    },
    /// Nothing until then, unless events come.
    Sleep {
        /// When to ask again.
        until: Millis,
    },
}

/// What became of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// So much is folded; nothing, where all was folded before.
    Folded(Load),
    /// So many events are deleted.
    Expired(usize),
    /// The days to compact.
    Looked(Vec<(Tenant, KeyRange)>),
    /// The day is compacted, or needs it no longer.
    Compacted,
    /// The task could not be done, or only a part of it.
    Failed(Failed),
}

/// Which kind of task failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// [`Task::Fold`].
    Fold,
    /// [`Task::Expire`].
    Expire,
    /// [`Task::Look`].
    Look,
    /// [`Task::Compact`]; the day is left to the next search.
    Compact,
}

impl Task {
    /// What to tell the operator when this task fails.
    pub fn failure(&self) -> &'static str {
        match self {
            Self::Fold { .. } => "events cannot be folded",
            Self::Expire { .. } => "expired events cannot be deleted",
            Self::Look { .. } => "days to compact cannot be looked for",
            Self::Compact { .. } => "a day cannot be compacted",
            Self::Sleep { .. } => "nothing was to be done",
        }
    }

    /// The outcome of this task when it fails.
    pub fn failed(&self) -> Outcome {
        Outcome::Failed(match self {
            Self::Fold { .. } => Failed::Fold,
            Self::Expire { .. } => Failed::Expire,
            Self::Compact { .. } => Failed::Compact,
            Self::Look { .. } | Self::Sleep { .. } => Failed::Look,
        })
    }
}

/// The machine; see the module.
#[derive(Clone, Debug)]
pub struct Upkeep {
    pace: Pace,
    made_at: Millis,
    unfolded: Load,
    /// Since when there are events to fold.
    waits_since: Option<Millis>,
    /// How many events the next fold takes: fewer after one that had much to write.
    fold_events: usize,
    fold: Retry,
    /// When events are next deleted.
    expire_at: Millis,
    expire: Retry,
    look_at: Millis,
    look: Retry,
    /// [`Held::looked_at`], as this machine found it.
    looked_at: Millis,
    days: Vec<(Tenant, KeyRange)>,
    /// Whether folding has its turn before expiry and compaction.
    is_folds_turn: bool,
}

/// When what failed is tried again.
#[derive(Clone, Copy, Debug, Default)]
struct Retry {
    failures: u32,
    at: Millis,
}

impl Retry {
    fn failed(&mut self, now: Millis) {
        let wait = RETRY.saturating_mul(1 << self.failures.min(16)).min(LONGEST_RETRY);
        *self = Self { failures: self.failures.saturating_add(1), at: Millis(now.0.saturating_add(wait)) };
    }
}

impl Upkeep {
    /// Upkeep of a store that holds this.
    pub fn new(pace: Pace, held: Held, now: Millis) -> Self {
        // A clock that went back must not put the next round off for long.
        let round = Millis(held.looked_at.min(now).0.saturating_add(pace.round));
        Self {
            pace,
            made_at: now,
            unfolded: held.unfolded,
            waits_since: (held.unfolded.events > 0).then_some(now),
            fold_events: pace.fold.events,
            fold: Retry::default(),
            expire_at: round,
            expire: Retry::default(),
            look_at: round,
            look: Retry::default(),
            looked_at: held.looked_at.min(now),
            days: Vec::new(),
            is_folds_turn: true,
        }
    }

    /// Whether a host whose store others write to asks the store anew what it holds, and makes a new machine.
    pub fn is_outdated(&self, now: Millis) -> bool {
        now.0.abs_diff(self.made_at.0) >= BELIEVED
    }

    /// Says whether the store accepts new events. While the unfolded tail is at its bound, they get
    /// [`StoreOutcome::Overloaded`](crate::StoreOutcome::Overloaded).
    pub fn takes_events(&self) -> bool {
        !self.unfolded.reaches(self.pace.tail())
    }

    /// Takes in new events that are durable now.
    pub fn stored(&mut self, load: Load, now: Millis) {
        if load.events > 0 {
            self.unfolded = self.unfolded + load;
            self.waits_since.get_or_insert(now);
        }
    }

    /// What is not folded yet, as far as this machine knows.
    pub fn unfolded(&self) -> Load {
        self.unfolded
    }

    /// How many tasks may follow one another before requests that wait have their turn.
    pub fn turn(&self) -> usize {
        self.pace.turn
    }

    /// Whether the request that has just stored events does a turn of upkeep itself, where a platform has no other time for it:
    /// there is enough for a whole fold.
    pub fn is_pressing(&self) -> bool {
        self.unfolded.reaches(self.pace.fold)
    }

    /// What to do now. Ask again after each task.
    pub fn next(&self, now: Millis) -> Task {
        let folds = self.fold_due(now).is_some_and(|at| at <= now);
        let expires = self.expire_due() <= now;
        let expiry = Task::Expire { until: Seconds(now.0 / 1000), among: EXPIRED };
        let fold = Task::Fold { events: self.fold_events, bytes: self.pace.fold.bytes };
        match self.days.last() {
            _ if folds && (self.is_folds_turn || !self.has_other(now)) => fold,
            _ if expires => expiry,
            Some((tenant, mark)) => Task::Compact { tenant: tenant.clone(), mark: mark.clone() },
            None if self.look_due() <= now => {
                Task::Look { keep: if self.expire_at <= now { self.looked_at } else { now } }
            }
            None => {
                let due = [Some(self.expire_due()), Some(self.look_due()), self.fold_due(now)];
                Task::Sleep { until: due.into_iter().flatten().min().unwrap_or(now) }
            }
        }
    }

    /// Takes in what became of the task that was asked for last.
    pub fn done(&mut self, outcome: Outcome, now: Millis) {
        self.is_folds_turn = !matches!(outcome, Outcome::Folded(_) | Outcome::Failed(Failed::Fold));
        match outcome {
            Outcome::Folded(load) => {
                self.fold = Retry::default();
                // Another instance may have folded, or this one may have counted wrong.
                self.unfolded = if load.events == 0 { Load::default() } else { self.unfolded - load };
                self.waits_since = (self.unfolded.events > 0).then_some(now);
                self.fold_events = load.events.saturating_mul(2).clamp(1, self.pace.fold.events);
            }
            Outcome::Expired(events) => {
                self.expire = Retry::default();
                self.expire_at = if events == 0 { self.round_after(now) } else { now };
            }
            Outcome::Looked(days) => {
                self.look = Retry::default();
                self.days = days;
                self.look_at = self.round_after(now);
            }
            Outcome::Compacted | Outcome::Failed(Failed::Compact) => drop(self.days.pop()),
            Outcome::Failed(Failed::Fold) => self.fold.failed(now),
            Outcome::Failed(Failed::Expire) => self.expire.failed(now),
            Outcome::Failed(Failed::Look) => self.look.failed(now),
        }
    }

    fn round_after(&self, time: Millis) -> Millis {
        Millis(time.0.saturating_add(self.pace.round))
    }

    fn has_other(&self, now: Millis) -> bool {
        self.expire_due() <= now || !self.days.is_empty() || self.look_due() <= now
    }

    fn expire_due(&self) -> Millis {
        self.expire_at.max(self.expire.at)
    }

    fn look_due(&self) -> Millis {
        self.look_at.max(self.look.at)
    }

    /// When the next fold is due, if there is something to fold.
    fn fold_due(&self, now: Millis) -> Option<Millis> {
        let since = self.waits_since?;
        let at = if self.unfolded.reaches(self.pace.fold) {
            now
        } else {
            Millis(since.0.saturating_add(self.pace.patience))
        };
        Some(at.max(self.fold.at))
    }
}

#[cfg(test)]
mod tests;
