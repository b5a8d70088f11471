//! Maintenance: the work on a store that no request asks for. Core decides on it from the store's state and the time.
//!
//! ```text
//! the store ─▶ Held ─▶ Maintenance::new
//! new events ────────▶ Maintenance::stored
//!                      Maintenance::next(now) ─▶ Task ─▶ the host reads and writes ─▶ done, or failed ─▶ next(now) …
//! ```
//!
//! One machine serves one database, or one shard. A host that has lost its machine makes a new one from what the store
//! holds. A task may be lost, repeated, or done by two instances at once. Pages are written only if the watermark has
//! not moved since the task read it. The other tasks need no such check: they delete only folded events, count, look,
//! or note a time.
//!
//! Folding, expiry and compaction take turns, and none waits for another's success.

use std::time::Duration;

use crate::maintenance::condition::Condition;
use crate::maintenance::retry::{Retry, after, within};
use crate::reports::data::READ_BYTES;
use crate::rollups::key::KeyRange;
use crate::store::load::Load;
use crate::vocabulary::tenant::Tenant;
use crate::vocabulary::time::{Millis, Seconds};

/// [`Pace::round`]: an hour.
const ROUND: u64 = 60 * 60 * 1000;
/// The longest time between two searches for expired events. With it, an event is deleted within a day of its expiry
/// even if a round fails once.
pub const LONGEST_ROUND: Duration = Duration::from_secs(12 * 60 * 60);
/// How many events one task looks at, to delete those that have expired.
const EXPIRED: usize = 10_000;
/// How long one of several instances trusts what it has read from their store, in milliseconds.
const UP_TO_DATE: u64 = 1000;
/// How long a cron's request may continue with maintenance. Proxies wait longer than this for an answer.
pub const CRON: Duration = Duration::from_secs(20);

/// Which events of a store expire first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExpiryOrder {
    /// The oldest ones.
    #[default]
    Arrival,
    /// Any. The store needs an index of the times at which events expire.
    Time,
}

/// How large one fold is, and how long events wait for one.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    fold: Load,
    /// Milliseconds after which events are folded even if they are few.
    fold_within: u64,
    /// Milliseconds between two searches for expired events and for days that are over.
    round: u64,
    /// How many tasks may follow one another before waiting requests have their turn.
    tasks_a_turn: usize,
    /// How many stores one report reads.
    stores: u32,
    /// The order in which new events expire.
    expiry: ExpiryOrder,
}

impl Pace {
    /// For a process that has its database to itself.
    pub const SERVER: Self = Self {
        fold: Load::usual(2048),
        fold_within: 5000,
        round: ROUND,
        tasks_a_turn: 1,
        stores: 1,
        expiry: ExpiryOrder::Arrival,
    };

    /// For instances that share a database, and come and go with requests.
    pub const INSTANCE: Self = Self {
        fold: Load::usual(512),
        fold_within: 0,
        round: ROUND,
        tasks_a_turn: 4,
        stores: 1,
        expiry: ExpiryOrder::Arrival,
    };

    /// For one of `shards` shards. A shard answers requests on the thread that folds. Each fold writes an object to a
    /// bucket, and that costs as much as 15 requests. So a few events wait for more.
    pub fn shard(shards: u32) -> Self {
        Self { fold_within: 10_000, stores: shards.max(1), ..Self::INSTANCE }
    }

    /// The same pace with another time between two searches for expired events and for days that are over: at least a
    /// second, at most [`LONGEST_ROUND`].
    #[must_use]
    pub fn with_round(self, Millis(round): Millis) -> Self {
        Self { round: round.clamp(1000, LONGEST_ROUND.as_millis() as u64), ..self }
    }

    /// The same pace for new events that expire in this order, as
    /// [`Service::expiry_order`](crate::Service::expiry_order) says.
    #[must_use]
    pub fn with_expiry(self, expiry: ExpiryOrder) -> Self {
        Self { expiry, ..self }
    }

    /// The bound of a store's unfolded tail. It is half of what a report may read from this store, so that the report
    /// can read rollups too.
    fn tail_bytes(&self) -> usize {
        READ_BYTES / 2 / self.stores.max(1) as usize
    }
}

/// The state of a store at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The events after the watermark.
    pub unfolded: Load,
    /// [`NewEvent::received_at`](crate::NewEvent::received_at) of the first unfolded event; any value if there is none.
    pub oldest: Millis,
    /// When the last finished round of maintenance began, as [`Task::NoteRound`] stored it; 0 if there was none yet.
    pub looked_at: Millis,
    /// [`ExpiryOrder::Time`] if the store has the index of the times at which events expire. A store that has had events
    /// out of order has it, whatever the configuration says now.
    pub expiry: ExpiryOrder,
}

/// The host's next action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Do this task, then call [`Maintenance::done`] or [`Maintenance::failed`].
    Do(Task),
    /// Do nothing until this time, unless events come.
    SleepUntil(Millis),
}

/// A task for the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Count what the store holds, because that could not be read when the machine was made. Gives
    /// [`Outcome::Counted`].
    Count,
    /// Fold the oldest unfolded events with [`Service::fold`](crate::Service::fold), and move the watermark behind
    /// them. Gives [`Outcome::Folded`], or [`Outcome::Counted`] if another instance has moved the watermark meanwhile.
    Fold {
        /// Read at most this many events.
        events: usize,
        /// Stop reading once the records have this many bytes.
        bytes: usize,
    },
    /// Delete folded events that expire by `until`. Gives [`Outcome::Expired`].
    Expire {
        /// The time by which the events expire.
        until: Seconds,
        /// Look only at the first `among` events.
        among: usize,
        /// Which events are the first: those that came first, or those that expire first. For the latter make an index
        /// of the times, unless the store has it, and keep it.
        order: ExpiryOrder,
    },
    /// Find the days that are over and not compacted, by the manifests of each tenant that has rollups, even one
    /// without keys. Gives [`Outcome::Found`].
    FindDays,
    /// Compact the day of this manifest, if that is still necessary. Gives [`Outcome::Done`].
    Compact {
        /// The tenant of the day.
        tenant: Tenant,
        /// The key of the day's manifest.
        manifest: KeyRange,
    },
    /// Store when the round of maintenance that is finished now began, as [`Held::looked_at`]. Gives [`Outcome::Done`].
    NoteRound {
        /// When the round's days were found.
        began: Millis,
    },
}

impl Task {
    /// The task's name in metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Fold { .. } => "fold",
            Self::Expire { .. } => "expire",
            Self::FindDays | Self::Compact { .. } => "compact",
            Self::NoteRound { .. } => "note_round",
        }
    }

    /// The message for the operator when this task fails.
    pub fn failure(&self) -> &'static str {
        match self {
            Self::Count => "what is not folded yet cannot be counted",
            Self::Fold { .. } => "events cannot be folded",
            Self::Expire { .. } => "expired events cannot be deleted",
            Self::FindDays => "days to compact cannot be looked for",
            Self::Compact { .. } => "a day cannot be compacted",
            Self::NoteRound { .. } => "the time of the last maintenance cannot be noted",
        }
    }
}

/// The result of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The state of the store.
    Counted(Held),
    /// This load is folded; nothing if everything was folded before.
    Folded(Load),
    /// This many events are deleted.
    Expired(usize),
    /// The days to compact.
    Found(Vec<(Tenant, KeyRange)>),
    /// A task without a result is done.
    Done,
}

/// The machine that decides on maintenance; see the module.
#[derive(Clone, Debug)]
pub struct Maintenance {
    pace: Pace,
    /// When the store's state is to be read, if that failed.
    count_retry: Option<Retry>,
    /// When the store's state was read.
    read_at: Millis,
    unfolded: Load,
    /// Since when events have waited for a fold.
    waits_since: Option<Millis>,
    /// How many events the next fold takes. It takes fewer after a fold that had too much to write.
    fold_events: usize,
    fold_retry: Retry,
    /// [`ExpiryOrder::Time`] for good, once events may expire in another order than they came.
    expiry: ExpiryOrder,
    expire_at: Millis,
    expire_retry: Retry,
    find_at: Millis,
    find_retry: Retry,
    days: Vec<(Tenant, KeyRange)>,
    /// When the days that are being compacted were found. This time is noted once they are done.
    found_at: Option<Millis>,
    note_retry: Retry,
    /// True if a fold that is due comes before the other tasks.
    is_folds_turn: bool,
    /// True if expiry comes before compaction.
    is_expirys_turn: bool,
}

impl Maintenance {
    /// Maintenance of a store in this state.
    pub fn new(pace: Pace, held: Held, now: Millis) -> Self {
        let round = after(held.looked_at.min(now), pace.round);
        let mut maintenance = Self {
            pace,
            count_retry: None,
            read_at: now,
            unfolded: Load::default(),
            waits_since: None,
            fold_events: pace.fold.events,
            fold_retry: Retry::default(),
            expiry: held.expiry,
            expire_at: round,
            expire_retry: Retry::default(),
            find_at: round,
            find_retry: Retry::default(),
            days: Vec::new(),
            found_at: None,
            note_retry: Retry::default(),
            is_folds_turn: true,
            is_expirys_turn: true,
        };
        maintenance.refresh(held, now);
        maintenance.set_pace(pace);
        maintenance
    }

    /// Maintenance of a store whose state could not be read. Reading it is the first task, after a pause.
    pub fn unread(pace: Pace, now: Millis) -> Self {
        let mut maintenance = Self::new(pace, Held::default(), now);
        maintenance.count_retry = Some(Retry::default());
        maintenance.failed(&Task::Count, now);
        maintenance
    }

    /// Changes the pace, because the configuration has changed.
    pub fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
        self.fold_events = self.fold_events.min(pace.fold.events);
        if pace.expiry > self.expiry {
            // The index is made before many events come, and so before the configuration can change again.
            (self.expiry, self.expire_at) = (pace.expiry, Millis(0));
        }
    }

    /// True if the state may be outdated. Then a host that shares its store reads the state anew and calls
    /// [`Maintenance::refresh`].
    pub fn is_outdated(&self, now: Millis) -> bool {
        now.0.abs_diff(self.read_at.0) >= UP_TO_DATE
    }

    /// Takes in the store's current state. Work that has begun goes on.
    pub fn refresh(&mut self, held: Held, now: Millis) {
        self.read_at = now;
        self.unfolded = held.unfolded;
        self.expiry = self.expiry.max(held.expiry);
        self.waits_since = (held.unfolded.events > 0).then_some(held.oldest.min(now));
    }

    /// The condition of the store at this time.
    pub fn condition(&self, now: Millis) -> Condition {
        let waits = self.waits_since.map_or(0, |since| now.0.saturating_sub(since.0));
        Condition {
            unfolded: Some(self.unfolded),
            waits: Some(Duration::from_millis(waits)),
            has_timer: self.pace.fold_within > 0,
            is_full: !self.takes_events(),
            rejected: None,
        }
    }

    /// Begins a round now, because an operator asks for one. A fold that is due comes first: only folded events expire,
    /// and a day's compaction takes only what is folded.
    pub fn begin_round(&mut self, now: Millis) {
        (self.expire_at, self.find_at) = (now, now);
        self.is_folds_turn = true;
    }

    /// Says whether the store accepts new events. While its unfolded tail is at the bound, they get
    /// [`StoreOutcome::Overloaded`](crate::StoreOutcome::Overloaded). An empty tail takes any.
    pub fn takes_events(&self) -> bool {
        self.unfolded.events == 0 || self.unfolded.budget_bytes() < self.pace.tail_bytes()
    }

    /// Takes in new events that are durable now.
    pub fn stored(&mut self, load: Load, now: Millis) {
        if load.events > 0 {
            self.unfolded = self.unfolded + load;
            self.waits_since.get_or_insert(now);
        }
    }

    /// How many tasks may follow one another before waiting requests have their turn.
    pub fn tasks_a_turn(&self) -> usize {
        self.pace.tasks_a_turn
    }

    /// True once enough events wait for a whole fold. A platform without a timer then does maintenance in the request
    /// that stored them.
    pub fn has_whole_fold(&self) -> bool {
        self.unfolded.reaches(self.pace.fold) || self.unfolded.budget_bytes() >= self.pace.tail_bytes() / 2
    }

    /// The next action. Ask again after each task.
    pub fn next(&self, now: Millis) -> Next {
        if self.count_due(now).is_some_and(|due| due <= now) {
            return Next::Do(Task::Count);
        }
        let fold = Task::Fold { events: self.fold_events, bytes: self.pace.fold.bytes };
        let expiry = Task::Expire { until: now.to_seconds(), among: EXPIRED, order: self.expiry };
        let is_fold_due = self.fold_due(now).is_some_and(|due| due <= now);
        let is_expiry_due = self.expire_due(now) <= now;
        let compaction = self.compaction(now);
        let is_other_due = is_expiry_due || compaction.is_some();
        let is_folds_turn = !is_other_due || self.is_folds_turn;
        let next = match compaction {
            _ if is_fold_due && is_folds_turn => Some(fold),
            None if is_expiry_due => Some(expiry),
            Some(_) if is_expiry_due && self.is_expirys_turn => Some(expiry),
            compaction => compaction,
        };
        next.map_or_else(|| Next::SleepUntil(self.wake_at(now)), Next::Do)
    }

    /// The next task towards compacting all days that are over, if one is due.
    fn compaction(&self, now: Millis) -> Option<Task> {
        if let Some((tenant, manifest)) = self.days.last() {
            return Some(Task::Compact { tenant: tenant.clone(), manifest: manifest.clone() });
        }
        match (self.note_due(now), self.found_at) {
            (Some(due), Some(began)) if due <= now => Some(Task::NoteRound { began }),
            _ if self.find_due(now) <= now => Some(Task::FindDays),
            _ => None,
        }
    }

    fn wake_at(&self, now: Millis) -> Millis {
        let due = [
            self.count_due(now),
            self.fold_due(now),
            Some(self.expire_due(now)),
            self.note_due(now),
            Some(self.find_due(now)),
        ];
        due.into_iter().flatten().min().unwrap_or(now)
    }

    /// Takes in the outcome of the task that was handed out last.
    pub fn done(&mut self, outcome: Outcome, now: Millis) {
        // A fold that lost its race has had its turn, too. Then nothing asked for a count.
        let has_folded = match outcome {
            Outcome::Folded(_) => true,
            Outcome::Counted(_) => self.count_retry.is_none(),
            _ => false,
        };
        self.is_folds_turn = !has_folded;
        match outcome {
            Outcome::Counted(held) => {
                self.count_retry = None;
                self.refresh(held, now);
            }
            Outcome::Folded(load) => {
                self.fold_retry = Retry::default();
                self.folded(load, now);
            }
            Outcome::Expired(events) => {
                self.is_expirys_turn = false;
                self.expire_retry = Retry::default();
                self.expire_at = if events == 0 { after(now, self.pace.round) } else { now };
            }
            Outcome::Found(days) => {
                self.is_expirys_turn = true;
                self.find_retry = Retry::default();
                self.find_at = after(now, self.pace.round);
                self.days = days;
                self.found_at = Some(now);
            }
            Outcome::Done => {
                self.is_expirys_turn = true;
                if self.days.pop().is_none() {
                    (self.found_at, self.note_retry) = (None, Retry::default());
                }
            }
        }
    }

    /// Takes in that the task that was handed out last could not be done completely.
    pub fn failed(&mut self, task: &Task, now: Millis) {
        self.is_folds_turn = !matches!(task, Task::Fold { .. });
        self.is_expirys_turn = !matches!(task, Task::Expire { .. });
        match task {
            Task::Count => self.count_retry.iter_mut().for_each(|retry| retry.failed(now)),
            Task::Fold { .. } => self.fold_retry.failed(now),
            Task::Expire { .. } => self.expire_retry.failed(now),
            Task::FindDays => self.find_retry.failed(now),
            // The other days go on; this one is found again in the next round.
            Task::Compact { .. } => drop(self.days.pop()),
            Task::NoteRound { .. } => self.note_retry.failed(now),
        }
    }

    fn folded(&mut self, load: Load, now: Millis) {
        if load.events == 0 {
            // Another instance has folded, or this one has counted wrong.
            (self.unfolded, self.waits_since) = (Load::default(), None);
            return;
        }
        let is_cut = load.events < self.fold_events.min(self.unfolded.events) && load.bytes < self.pace.fold.bytes;
        let next = if is_cut { load.events } else { self.fold_events };
        self.fold_events = next.saturating_mul(2).min(self.pace.fold.events);
        self.unfolded = self.unfolded - load;
        self.waits_since = match self.waits_since {
            _ if self.unfolded.events == 0 => None,
            // The rest has waited just as long.
            since if is_cut => since,
            _ => Some(now),
        };
    }

    /// When the store's state is to be read; `None` if it is known.
    fn count_due(&self, now: Millis) -> Option<Millis> {
        self.count_retry.map(|retry| retry.not_before(Millis(0), now))
    }

    fn expire_due(&self, now: Millis) -> Millis {
        self.expire_retry.not_before(within(self.expire_at, self.pace.round, now), now)
    }

    fn find_due(&self, now: Millis) -> Millis {
        self.find_retry.not_before(within(self.find_at, self.pace.round, now), now)
    }

    /// When the round may be noted: its days are compacted, and its expiry is done. While expiry fails, the round is
    /// not noted. So a machine that is made anew tries expiry at once, and not an hour later.
    fn note_due(&self, now: Millis) -> Option<Millis> {
        let is_over = self.found_at.is_some() && self.days.is_empty() && self.expire_at > now;
        is_over.then(|| self.note_retry.not_before(now, now))
    }

    /// When the next fold is due; `None` if there is nothing to fold.
    fn fold_due(&self, now: Millis) -> Option<Millis> {
        let since = self.waits_since?.min(now);
        let due = if self.has_whole_fold() { now } else { after(since, self.pace.fold_within) };
        Some(self.fold_retry.not_before(due, now))
    }
}

#[cfg(test)]
mod tests;
