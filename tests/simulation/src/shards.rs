//! What the Workers adapter does in a shard, statement by statement. Events are in blocks; rows of older versions are
//! read and folded until they have expired.

use std::cell::RefCell;

use isotherm_core::{
    Blocks, FindOutcome, FindPlan, Keep, Known, Load, OpenBlocks, Outcome, Part, StepWrite, StoreOutcome, StorePlan,
    Task, TooMuch, Unfolded, WriteLimits,
};

use crate::database::Database;
use crate::driver::{Fault, Kind, Session};

/// A shard with its memory of blocks.
pub(crate) struct Shard {
    pub(crate) session: Session,
    tenant: String,
    /// `None` once a statement has failed, events are folded, or the object is evicted.
    memory: RefCell<Option<Blocks>>,
}

impl Shard {
    pub(crate) fn new(session: Session, tenant: String) -> Self {
        Self { session, tenant, memory: RefCell::default() }
    }

    pub(crate) fn evict(&self) {
        self.memory.take();
    }

    /// Takes the memory. A caller that fails does not give it back.
    async fn blocks(&self) -> Result<Blocks, Fault> {
        match self.memory.take() {
            Some(blocks) => Ok(blocks),
            None => self.session.run(Kind::Read, |database| Blocks::new(&database.stored_blocks())).await,
        }
    }

    /// Keeps the new events of a part. Returns the shard's answer, and what is new.
    pub(crate) async fn keep(&self, plan: &StorePlan, part: &Part<'_>) -> Result<(Vec<u8>, Load), Fault> {
        let (session, tenant) = (&self.session, self.tenant.as_str());
        let bytes = part.to_bytes(plan);
        let Some(keep) = Keep::read(&bytes) else { return Err(Fault::CannotRead) };
        let mut blocks = self.blocks().await?;
        let search = blocks.repeated(&keep);
        let has_rows = blocks.has_rows();
        let found = session.run(Kind::Read, |database| {
            let (index, closed) = database.search(&search);
            let mut found = search.known(&index, &closed);
            found.damaged.iter().for_each(|damaged| session.world.violated(damaged.to_string()));
            if has_rows {
                found.known.extend(search.ids().iter().filter_map(|id| {
                    let (digest, expires_at) = database.there(tenant, *id)?;
                    let is_folded = database.is_folded(tenant, *id);
                    Some(Known { id: *id, digest, expires_at, is_folded })
                }));
            }
            found
        });
        let (kept, write) = blocks.keep(&keep, &found.await?);
        let mut load = Load::default();
        if let Some(write) = write {
            load = write.load;
            let is_new = |(_, outcome): &(_, &StoreOutcome)| **outcome == StoreOutcome::Stored;
            let new = part.events().zip(kept.outcomes()).filter(is_new).map(|(event, _)| event);
            session.run(Kind::Write, |database| database.write_block(tenant, write, new)).await?;
        }
        self.memory.replace(Some(blocks));
        Ok((kept.to_bytes(), load))
    }

    pub(crate) async fn find(&self, plan: &FindPlan) -> FindOutcome {
        match self.try_find(plan).await {
            Ok(Some(record)) => FindOutcome::Found(record),
            Ok(None) => FindOutcome::Absent,
            Err(_) => FindOutcome::Unavailable,
        }
    }

    async fn try_find(&self, plan: &FindPlan) -> Result<Option<String>, Fault> {
        let blocks = self.blocks().await?;
        let (search, has_rows) = (blocks.find(plan.id()), blocks.has_rows());
        let found = self.session.run(Kind::Read, |database| {
            let (index, closed) = database.search(&search);
            let record = search.record(&index, &closed, plan.expired_by()).map_err(|_| Fault::CannotRead)?;
            let row = |database: &Database| database.find(self.tenant.as_str(), plan.id(), plan.expired_by());
            Ok(record.or_else(|| if has_rows { row(database) } else { None }))
        });
        let found = found.await??;
        self.memory.replace(Some(blocks));
        Ok(found)
    }

    /// Performs a task.
    pub(crate) async fn perform(&self, task: &Task) -> Result<Outcome, Fault> {
        let done = match task {
            Task::Fold { events, bytes } => self.fold(*events, *bytes).await.map(Outcome::Folded),
            Task::Expire { .. } => self.expire(task).await,
            _ => return self.session.perform(task).await,
        };
        if let Err(fault) = done {
            self.session.world.say(|| format!("{}: {fault}", task.failure()));
        }
        done
    }

    async fn fold(&self, events: usize, bytes: usize) -> Result<Load, Fault> {
        let session = &self.session;
        let mut blocks = self.blocks().await?;
        let (_, rows) = session.run(Kind::Read, |database| database.unfolded(events, bytes)).await?;
        if !rows.is_empty() {
            self.memory.replace(Some(blocks));
            let folded = session.fold(events, bytes).await;
            self.memory.take();
            return folded?.ok_or(Fault::Moved);
        }
        blocks.seal();
        self.memory.replace(Some(blocks));
        let read = session.run(Kind::Read, |database| (database.watermark(), database.open_blocks(events, bytes)));
        let (before, rows) = read.await?;
        let open = OpenBlocks::new(rows);
        if open.records().is_empty() {
            return Ok(Load::default());
        }
        session.back_up(open.range().0).await?;
        let tenant = self.tenant.as_str();
        let records: Vec<_> = open.records().iter().map(|record| Unfolded { tenant, record }).collect();
        let (service, mut at_most) = (session.world.service(), open.at_most(events));
        let (taken, StepWrite { pages, rejected, .. }) = loop {
            let step = service.fold(&records, at_most, WriteLimits::ONE_WRITER);
            let mut stored = Vec::new();
            for (tenant, ranges) in step.ranges() {
                stored.push(session.pages(tenant, ranges).await?);
            }
            let taken = step.records();
            match step.merge(stored) {
                Ok(write) => break (taken, write),
                Err(TooMuch { at_most: fewer }) => at_most = fewer,
            }
        };
        if let Some(record) = rejected.first() {
            session.world.violated(format!("an accepted event is in no report: {}", record.reason));
        }
        // From here on the memory is lost, whether this succeeds or not.
        let mut blocks = self.blocks().await?;
        let close = |database: &mut Database| database.close((before, &open), taken, pages, &mut blocks);
        if !session.run(Kind::Write, close).await? {
            return Err(Fault::Moved);
        }
        session.world.say(|| format!("folded {taken} events in blocks behind {before}"));
        Ok(open.records().iter().take(taken).map(|record| Load::of(record)).sum())
    }

    async fn expire(&self, task: &Task) -> Result<Outcome, Fault> {
        let Task::Expire { until, among, order } = task else { return Ok(Outcome::Done) };
        let mut blocks = self.blocks().await?;
        let expire = |database: &mut Database| {
            database.expire_blocks(*until, *among, *order, &mut blocks) + database.expire(*until, *among, *order)
        };
        let deleted = self.session.run(Kind::Write, expire).await?;
        self.memory.replace(Some(blocks));
        self.session.world.say(|| format!("{deleted} expired events are deleted"));
        Ok(Outcome::Expired(deleted))
    }
}
