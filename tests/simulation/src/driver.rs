//! What an adapter does: it carries out core's tasks and plans, statement by statement. All SQL platforms share this.
//! They differ in where others may have their turn, where a process may end, and what may fail.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use isotherm_core::{
    FindOutcome, FindPlan, KeyRange, Load, Merged, Outcome, ReportData, ReportPlan, StepWrite, StoredPage, Task,
    Tenant, TooMuch, Unfolded, WriteLimits,
};

use crate::database::{Database, Row};
use crate::fibers::pause;
use crate::world::World;

/// Why a statement was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Another connection writes: `database is locked`.
    Locked,
    DiskIsFull,
    BucketFails,
    CannotRead,
    /// The watermark has moved.
    Moved,
    /// DynamoDB has refused the request too often.
    Throttled,
    /// The answer got lost. The request may have been done.
    NoAnswer,
    /// The invocation took too long.
    Deadline,
    /// The stream does not list the batch's shard, or does not list it yet.
    UnknownShard,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// How a platform runs its statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// One process writes. It may end before and after each transaction.
    OneWriter,
    /// Nothing else happens between two statements, unless the bucket is awaited.
    Object,
    /// Others write between any two statements.
    Statements,
}

/// A connection.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) world: Rc<World>,
    pub(crate) database: Rc<RefCell<Database>>,
    pub(crate) manner: Manner,
    /// True if events are backed up before they are folded.
    pub(crate) backs_up: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Write,
}

impl Session {
    /// Runs one statement, as a whole or not at all.
    pub(crate) async fn run<T>(&self, kind: Kind, statement: impl FnOnce(&mut Database) -> T) -> Result<T, Fault> {
        let pauses = match self.manner {
            Manner::OneWriter => kind == Kind::Write,
            Manner::Object => false,
            Manner::Statements => true,
        };
        if pauses {
            pause().await;
        }
        if self.manner == Manner::Statements && self.world.fails_one_in(12) {
            return Err(Fault::Locked);
        }
        if self.manner == Manner::Object && self.world.fails_one_in(100) {
            return Err(Fault::CannotRead);
        }
        if kind == Kind::Write && self.world.lasts(&self.world.faults.disk) {
            return Err(Fault::DiskIsFull);
        }
        let done = statement(&mut self.database.borrow_mut());
        if pauses {
            pause().await;
        }
        Ok(done)
    }

    pub(crate) async fn pages(&self, tenant: &Tenant, ranges: &[KeyRange]) -> Result<Vec<StoredPage>, Fault> {
        if self.world.lasts(&self.world.faults.rollups) {
            return Err(Fault::CannotRead);
        }
        self.run(Kind::Read, |database| database.pages(tenant.as_str(), ranges)).await
    }

    /// Backs up the events from the number `first` on, in a bucket or a folder. That may take a while.
    pub(crate) async fn back_up(&self, first: u64) -> Result<(), Fault> {
        if !self.backs_up {
            return Ok(());
        }
        pause().await;
        let fails = self.world.lasts(&self.world.faults.bucket) || self.world.fails_one_in(20);
        // Other tests check what a backup holds. Here it only matters that the backup comes before the fold.
        self.world.say(|| format!("backup from {first} on{}", if fails { " fails" } else { "" }));
        pause().await;
        if fails { Err(Fault::BucketFails) } else { Ok(()) }
    }

    /// Performs a task.
    pub(crate) async fn perform(&self, task: &Task) -> Result<Outcome, Fault> {
        let result = self.try_to_perform(task).await;
        if let Err(fault) = result {
            self.world.say(|| format!("{}: {fault}", task.failure()));
        }
        result
    }

    async fn try_to_perform(&self, task: &Task) -> Result<Outcome, Fault> {
        Ok(match task {
            Task::Count => Outcome::Counted(self.run(Kind::Read, |database| database.held()).await?),
            Task::Fold { events, bytes } => match self.fold(*events, *bytes).await? {
                Some(load) => Outcome::Folded(load),
                None => Outcome::Counted(self.run(Kind::Read, |database| database.held()).await?),
            },
            Task::Expire { until, among, order } => {
                let deleted = self.run(Kind::Write, |database| database.expire(*until, *among, *order)).await?;
                self.world.say(|| format!("{deleted} expired events are deleted"));
                Outcome::Expired(deleted)
            }
            Task::FindDays => self.find_days().await?,
            Task::Compact { tenant, manifest } => self.compact(tenant, manifest).await?,
            Task::NoteRound { began } => {
                self.run(Kind::Write, |database| database.note_round(*began)).await?;
                Outcome::Done
            }
        })
    }

    /// Returns how much was folded, or `None` if another instance has moved the watermark meanwhile.
    pub(crate) async fn fold(&self, mut at_most: usize, bytes: usize) -> Result<Option<Load>, Fault> {
        let (before, rows) = self.run(Kind::Read, |database| database.unfolded(at_most, bytes)).await?;
        let Some(Row { seq: first, .. }) = rows.first() else { return Ok(Some(Load::default())) };
        if self.manner == Manner::Object {
            self.back_up(*first).await?;
        }
        let records: Vec<_> = rows.iter().map(|row| Unfolded { tenant: &row.tenant, record: &row.record }).collect();
        let service = self.world.service();
        let (taken, StepWrite { pages, rejected, .. }) = loop {
            let step = service.fold(&records, at_most, WriteLimits::ONE_WRITER);
            let mut stored = Vec::new();
            for (tenant, ranges) in step.ranges() {
                stored.push(self.pages(tenant, ranges).await?);
            }
            let taken = step.records();
            match step.merge(stored) {
                Ok(write) => break (rows.get(..taken).unwrap_or_default(), write),
                Err(TooMuch { at_most: fewer }) => at_most = fewer,
            }
        };
        let Some(last) = taken.last() else { return Ok(Some(Load::default())) };
        if self.manner == Manner::OneWriter {
            self.back_up(*first).await?;
        }
        if let Some(record) = rejected.first() {
            self.world.violated(format!("an accepted event is in no report: {}", record.reason));
        }
        if !self.write(before, pages, Some(last.seq)).await? {
            return Ok(None);
        }
        self.world.say(|| format!("folded {} events up to {}", taken.len(), last.seq));
        Ok(Some(taken.iter().map(|row| Load::of(&row.record)).sum()))
    }

    async fn find_days(&self) -> Result<Outcome, Fault> {
        let (service, now) = (self.world.service(), self.world.now());
        let mut days = Vec::new();
        for tenant in self.run(Kind::Read, |database| database.tenants()).await? {
            let manifests = self.pages(&tenant, &[service.manifests()]).await?;
            days.extend(service.compactions(&manifests, now).iter().map(|day| (tenant.clone(), day.manifest())));
        }
        Ok(Outcome::Found(days))
    }

    async fn compact(&self, tenant: &Tenant, manifest: &KeyRange) -> Result<Outcome, Fault> {
        let service = self.world.service();
        // Read before the manifest: a fold after this moves the watermark, and then nothing is written.
        let before = self.run(Kind::Read, |database| database.watermark()).await?;
        let manifests = self.pages(tenant, std::slice::from_ref(manifest)).await?;
        for compaction in service.compactions(&manifests, self.world.now()) {
            if self.world.faults.stuck.borrow().as_ref() == Some(tenant) {
                return Err(Fault::CannotRead);
            }
            let stored = self.pages(tenant, &compaction.ranges()).await?;
            let Merged { pages, .. } = compaction.merge(Some(stored), WriteLimits::ONE_WRITER);
            let pages = pages.into_iter().map(|page| (tenant.clone(), page)).collect();
            let what = if self.write(before, pages, None).await? { "compacted" } else { "left" };
            self.world.say(|| format!("{what} {} of {}", manifest.from.escape_debug(), tenant.as_str()));
        }
        Ok(Outcome::Done)
    }

    /// Returns whether it wrote. Only where others write between two statements may the watermark have moved.
    async fn write(&self, before: u64, pages: Vec<(Tenant, StoredPage)>, moved: Option<u64>) -> Result<bool, Fault> {
        let is_done = self.run(Kind::Write, |database| database.write_if(before, pages, moved)).await?;
        if is_done || self.manner == Manner::Statements { Ok(is_done) } else { Err(Fault::Moved) }
    }

    pub(crate) async fn find(&self, plan: &FindPlan) -> FindOutcome {
        let tenant = plan.tenant().as_str();
        match self.run(Kind::Read, |database| database.find(tenant, plan.id(), plan.expired_by())).await {
            Ok(Some(record)) => FindOutcome::Found(record),
            Ok(None) => FindOutcome::Absent,
            Err(_) => FindOutcome::Unavailable,
        }
    }

    /// Reads the data for a report, as of one moment.
    pub(crate) async fn report(&self, plan: &ReportPlan, shards: u32) -> Result<ReportData, Fault> {
        if self.world.lasts(&self.world.faults.rollups) {
            return Err(Fault::CannotRead);
        }
        let (tenant, reading) = (plan.tenant().as_str(), plan.reading());
        if self.manner != Manner::Statements {
            return self.run(Kind::Read, |database| database.read(tenant, reading, shards)).await;
        }
        let mut manifests =
            self.run(Kind::Read, |database| database.pages(tenant, reading.manifests().as_slice())).await?;
        loop {
            // Days may have been sealed or opened since their manifests were read, so the manifests are read once more
            // with the pages.
            let ranges: Vec<KeyRange> = reading.ranges(&manifests).into_iter().chain(reading.manifests()).collect();
            let budget = reading.budget(shards);
            let read = self.run(Kind::Read, |database| database.read_on(tenant, &ranges, budget)).await?;
            let Some(ReportData { pages, tail, .. }) = read else { return Ok(ReportData::too_large()) };
            let is_manifest =
                |page: &StoredPage| reading.manifests().is_some_and(|manifests| manifests.contains(&page.key));
            let (read_again, pages) = pages.into_iter().partition(is_manifest);
            if read_again == manifests {
                return Ok(ReportData { pages, tail, ..ReportData::default() });
            }
            manifests = read_again;
        }
    }
}
