//! What Lambda's adapter does with the table of rollups: it folds batches of the stream, reads reports and compacts
//! days. This follows the adapter's `stream.rs`, `rollups.rs` and `compaction.rs` request by request.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use isotherm_core::{
    CompactionTurn, KeyRange, LaneStep, LaneWrite, Lanes, Merged, Millis, Pulse, ReadBudget, ReportData, ReportOutcome,
    ReportPlan, StoredPage, StreamBatch, StreamWrite, Tenant, TooMuch, Unpacker, Watermark, WriteLimits,
};

use crate::driver::Fault;
use crate::fibers::pause;
use crate::idle::Idle;
use crate::mapping::{Handed, Unpacked};
use crate::rollups::{Action, Condition, Rollups};
use crate::stream::Record;
use crate::table::{Content, Item, Table};
use crate::world::{MINUTE, World};

/// The adapter's own constants.
const PARTITIONS: u32 = 4;
const LIMITS: WriteLimits = WriteLimits { pages: 99, bytes: 3_500_000 };
const TENANT: &str = "tenant";
const WATERMARK: &str = "watermark";
const SEPARATOR: char = '\u{1f}';
/// An invocation ends after this long.
const TIMEOUT: u64 = MINUTE;
/// How often a moved watermark is read again before time is up.
const TRIES: u32 = 20;

/// The stores of the functions that fold, report and compact.
pub(crate) struct Functions {
    pub(crate) world: Rc<World>,
    pub(crate) table: Rc<RefCell<Table>>,
    pub(crate) rollups: Rc<RefCell<Rollups>>,
    /// The shapes that environments remember to read events.
    pub(crate) unpackers: Idle<Unpacker>,
    /// Letters in the dead-letter queue.
    pub(crate) letters: Rc<RefCell<Vec<String>>>,
    /// True if nothing else happens meanwhile, and nothing fails.
    pub(crate) is_alone: bool,
}

impl Functions {
    /// Makes one request to a service. Others may have their turn before it. The request may fail before it is done, or
    /// only its answer may get lost.
    pub(crate) async fn request<T>(&self, does: impl FnOnce() -> T) -> Result<T, Fault> {
        if self.is_alone {
            return Ok(does());
        }
        pause().await;
        if self.world.fails_one_in(80) {
            return Err(Fault::Throttled);
        }
        let done = does();
        if self.world.fails_one_in(120) { Err(Fault::NoAnswer) } else { Ok(done) }
    }

    fn fails_while(&self, until: &Cell<Millis>, fault: Fault) -> Result<(), Fault> {
        if !self.is_alone && self.world.lasts(until) { Err(fault) } else { Ok(()) }
    }

    /// Folds a batch. Returns how many of its records are folded.
    pub(crate) async fn fold_batch(&self, handed: &Handed) -> Result<usize, Fault> {
        let unpacked = self.unpack(handed).await?;
        let (mut batch, mut watermark) = (handed.batch(&unpacked), Watermark::start());
        match self.fold_all(&mut batch, &mut watermark).await {
            Ok(pulses) => {
                self.pulse(pulses).await;
                Ok(batch.records.len())
            }
            Err(fault) => {
                self.world.say(|| format!("{}: {fault}", batch.shard_id));
                let folded = batch.folded(&watermark);
                if folded < batch.records.len() { Ok(folded) } else { Err(fault) }
            }
        }
    }

    /// Puts pulses beside the events.
    async fn pulse(&self, pulses: Vec<Pulse>) {
        for Pulse { key, expires_at, .. } in pulses {
            let put = || self.table.borrow_mut().put(key, Item { expires_at, content: Content::Other });
            // A failed put is not retried; a later batch writes pulses again.
            let _is_put = self.request(put).await;
        }
    }

    /// Writes pulses to shards that have had no records for a while.
    pub(crate) async fn heartbeat(&self, now: Millis) -> Result<(), Fault> {
        let lanes = self.lanes().await?;
        self.pulse(lanes.heartbeat(now)).await;
        Ok(())
    }

    /// Notes that records written to the stream in this period are lost.
    pub(crate) async fn lose(&self, written: Range<Millis>) -> Result<(), Fault> {
        while !self.write_lanes(self.lanes().await?.lose(written.clone())).await? {
            pause().await;
        }
        Ok(())
    }

    /// The records of the packed events in a batch.
    async fn unpack(&self, handed: &Handed) -> Result<Vec<Unpacked>, Fault> {
        let mut unpacker = self.unpackers.take(&self.world);
        let packed = handed.records.iter().filter_map(|record| record.event());
        self.learn(&mut unpacker, packed.map(|packed| &**packed)).await?;
        let unpack = |record: &Rc<Record>| {
            let id = record.key.split_once('#').map_or("", |(_, id)| id);
            Some(unpacker.record(id, record.event()?))
        };
        let unpacked = handed.records.iter().map(unpack).collect();
        self.unpackers.give_back(unpacker);
        Ok(unpacked)
    }

    /// Reads the shapes of packed events that are not known yet.
    pub(crate) async fn learn<'e>(
        &self,
        unpacker: &mut Unpacker,
        packed: impl Iterator<Item = &'e [u8]>,
    ) -> Result<(), Fault> {
        for id in unpacker.unknown(packed) {
            let shape = self.request(|| self.table.borrow().shape(id).map(<[u8]>::to_vec)).await?;
            shape.into_iter().for_each(|shape| unpacker.learn(id, shape));
        }
        Ok(())
    }

    async fn fold_all(&self, batch: &mut StreamBatch<'_>, watermark: &mut Watermark) -> Result<Vec<Pulse>, Fault> {
        // Other tests check what a backup holds. Here it only matters that the backup comes before the fold.
        self.fails_while(&self.world.faults.bucket, Fault::BucketFails)?;
        self.request(|| ()).await?;
        for _ in 0..TRIES {
            if let Some(pulses) = self.fold(batch, watermark).await? {
                return Ok(pulses);
            }
            pause().await;
        }
        Err(Fault::Deadline)
    }

    /// Returns `None` if something else has moved the watermark.
    async fn fold(&self, batch: &mut StreamBatch<'_>, watermark: &mut Watermark) -> Result<Option<Vec<Pulse>>, Fault> {
        let service = self.world.service();
        let mut lanes = self.lanes().await?;
        let lane = loop {
            match lanes.next(batch, self.world.now()) {
                LaneStep::Describe => match self.describe().await {
                    Ok((created_at, shards)) => lanes.learn(created_at, shards),
                    Err(_) if lanes.go_on(batch) => {}
                    Err(fault) => return Err(fault),
                },
                LaneStep::Write(writes) => {
                    if !self.write_lanes(writes).await? {
                        return Ok(None);
                    }
                }
                LaneStep::Fold { lane, watermark: stored } => {
                    *watermark = stored;
                    break lane;
                }
                LaneStep::Done => return Ok(Some(Vec::new())),
                LaneStep::UnknownShard => return Err(Fault::UnknownShard),
            }
        };
        let (mut at_most, began) = (batch.records.len(), self.world.now());
        while let Some(step) = service.step(batch, watermark, at_most, LIMITS) {
            if self.world.now().0 > began.0 + TIMEOUT {
                return Err(Fault::Deadline);
            }
            at_most = 2 * step.records();
            let mut stored = Vec::new();
            for (tenant, ranges) in step.ranges() {
                stored.push(self.pages_of(&lane, tenant, ranges).await?);
            }
            let taken = step.records();
            match step.merge(stored) {
                Ok(StreamWrite { pages, newcomers, watermark: moved, letters, .. }) => {
                    for letter in letters {
                        self.request(|| self.letters.borrow_mut().push(letter)).await?;
                    }
                    if !self.write(&lane, pages, newcomers, watermark, Some(&moved)).await? {
                        return Ok(None);
                    }
                    self.world.say(|| format!("folded {taken} records of {} into {lane}", batch.shard_id));
                    *watermark = moved;
                }
                Err(TooMuch { at_most: fewer }) => at_most = fewer,
            }
        }
        Ok(Some(lanes.pulses(batch, self.world.now())))
    }

    async fn describe(&self) -> Result<(Millis, Vec<isotherm_core::StreamShard>), Fault> {
        if self.world.fails_one_in(8) {
            return Err(Fault::Throttled);
        }
        self.request(|| self.table.borrow().stream.describe()).await
    }

    async fn write(
        &self,
        lane: &str,
        pages: Vec<(Tenant, StoredPage)>,
        newcomers: Vec<Tenant>,
        was: &Watermark,
        to: Option<&Watermark>,
    ) -> Result<bool, Fault> {
        let put = |partition: String, key: &str, bytes| Action {
            key: (partition, sort_key(key, lane)),
            condition: Condition::Anything,
            bytes: Some(bytes),
        };
        let mut actions = vec![Action {
            key: (WATERMARK.to_owned(), sort_key("", lane)),
            condition: Condition::This(was.to_bytes()),
            bytes: to.map(Watermark::to_bytes),
        }];
        actions.extend(pages.into_iter().map(|(tenant, page)| put(partition_of(&tenant, lane), &page.key, page.bytes)));
        actions.extend(newcomers.iter().map(|tenant| put(TENANT.to_owned(), tenant.as_str(), Vec::new())));
        self.transact(actions).await
    }

    async fn write_lanes(&self, writes: Vec<LaneWrite>) -> Result<bool, Fault> {
        let action = |LaneWrite { name, was, bytes }| Action {
            key: (WATERMARK.to_owned(), sort_key("", &name)),
            condition: was.map_or(Condition::Nothing, Condition::This),
            bytes: Some(bytes),
        };
        self.transact(writes.into_iter().map(action).collect()).await
    }

    /// Returns whether the transaction was done. Another transaction on one of its items cancels it too.
    async fn transact(&self, actions: Vec<Action>) -> Result<bool, Fault> {
        self.fails_while(&self.world.faults.disk, Fault::Throttled)?;
        if !self.is_alone && self.world.fails_one_in(30) {
            return Ok(false);
        }
        self.request(|| self.rollups.borrow_mut().transact(actions)).await
    }

    async fn lanes(&self) -> Result<Lanes, Fault> {
        let range = KeyRange { from: SEPARATOR.to_string(), until: format!("{SEPARATOR}~~") };
        let stored = self.pages(&[WATERMARK.to_owned()], &[range]).await?.into_iter();
        Ok(Lanes::read(stored.map(|(name, page)| StoredPage { key: name, ..page })))
    }

    /// Reads the watermark of a lane; `None` if the lane is forgotten.
    async fn watermark(&self, lane: &str) -> Result<Option<Watermark>, Fault> {
        let key = format!("{SEPARATOR}{lane}");
        let range = KeyRange { from: key.clone(), until: key };
        let stored = self.pages(&[WATERMARK.to_owned()], &[range]).await?;
        stored.first().map(|(_, page)| Watermark::read(page).map_err(|_| Fault::CannotRead)).transpose()
    }

    /// Lists which tenants have pages in which lanes, as pairs of lane and tenant.
    async fn tenants(&self) -> Result<Vec<(String, String)>, Fault> {
        let all = KeyRange { from: "-".to_owned(), until: "~".to_owned() };
        let stored = self.pages(&[TENANT.to_owned()], &[all]).await?;
        Ok(stored.into_iter().map(|(lane, page)| (lane, page.key)).collect())
    }

    /// Reads the data for a report.
    pub(crate) async fn report(&self, plan: &ReportPlan, now: Millis) -> Result<ReportOutcome, Fault> {
        // Lanes are read before pages, so the pages hold at least what the watermarks say.
        let lanes = self.lanes().await?;
        let (as_of, is_incomplete) = (Some(lanes.as_of(now)), lanes.is_incomplete(plan.reading(), now));
        let none = ReportData { as_of, is_incomplete, ..ReportData::default() };
        let partitions: Vec<_> = (0..PARTITIONS).map(|number| format!("{}#{number}", plan.tenant().as_str())).collect();
        let mut budget = plan.reading().budget(1);
        let too_large = ReportOutcome::Read(vec![ReportData::too_large()]);
        let Some(manifests) =
            self.pages_while(&partitions, plan.reading().manifests().as_slice(), None, Some(&mut budget)).await?
        else {
            return Ok(too_large);
        };
        let manifests: Vec<StoredPage> = manifests.into_iter().map(|(_, manifest)| manifest).collect();
        let ranges = plan.reading().ranges(&manifests);
        let Some(pages) = self.pages_while(&partitions, &ranges, None, Some(&mut budget)).await? else {
            return Ok(too_large);
        };
        let mut lanes = BTreeMap::from([(String::new(), none.clone())]);
        for (lane, page) in pages {
            lanes.entry(lane).or_insert_with(|| none.clone()).pages.push(page);
        }
        Ok(ReportOutcome::Read(lanes.into_values().collect()))
    }

    async fn pages_of(&self, lane: &str, tenant: &Tenant, ranges: &[KeyRange]) -> Result<Vec<StoredPage>, Fault> {
        let read = self.pages_while(&[partition_of(tenant, lane)], ranges, Some(lane), None).await?;
        Ok(read.unwrap_or_default().into_iter().map(|(_, page)| page).collect())
    }

    async fn pages(&self, partitions: &[String], ranges: &[KeyRange]) -> Result<Vec<(String, StoredPage)>, Fault> {
        Ok(self.pages_while(partitions, ranges, None, None).await?.unwrap_or_default())
    }

    /// Reads pages of all lanes, or of one. Each range is a query of its own, so others may write between two ranges.
    async fn pages_while(
        &self,
        partitions: &[String],
        ranges: &[KeyRange],
        of: Option<&str>,
        mut budget: Option<&mut ReadBudget>,
    ) -> Result<Option<Vec<(String, StoredPage)>>, Fault> {
        self.fails_while(&self.world.faults.rollups, Fault::CannotRead)?;
        self.request(|| ()).await?;
        let mut found = Vec::new();
        for (partition, KeyRange { from, until }) in
            partitions.iter().flat_map(|partition| ranges.iter().map(move |range| (partition, range)))
        {
            if !self.is_alone && self.world.fails_one_in(8) {
                pause().await;
            }
            for (sort, bytes) in self.rollups.borrow().query(partition, from, until) {
                let Some((key, lane)) = sort.rsplit_once(SEPARATOR) else { return Err(Fault::CannotRead) };
                if of.is_some_and(|of| of != lane) {
                    continue;
                }
                let page = StoredPage { key: key.to_owned(), bytes: bytes.to_owned() };
                if budget.as_mut().is_some_and(|budget| !budget.takes_page(&page)) {
                    return Ok(None);
                }
                found.push((lane.to_owned(), page));
            }
        }
        Ok(Some(found))
    }

    /// The schedule: compacts the days that are past by then, and forgets lanes that have ended.
    pub(crate) async fn compact(&self, now: Millis) -> Result<(), Fault> {
        let lanes = self.lanes().await?;
        let mut round = self.world.service().compaction_round(&lanes, self.tenants().await?, now);
        loop {
            while let Some((lane, watermark)) = round.forget() {
                // A failed write is left to the next run.
                let _is_forgotten = self.write(&lane, Vec::new(), Vec::new(), &watermark, None).await;
            }
            let Some(mut turn) = round.take() else { return Ok(()) };
            if let Err(fault) = self.compact_days(&mut turn, now).await {
                self.world.say(|| format!("{} cannot be compacted in {}: {fault}", turn.tenant.as_str(), turn.lane));
                turn.fail();
            }
            round.end(turn);
        }
    }

    async fn compact_days(&self, turn: &mut CompactionTurn, now: Millis) -> Result<(), Fault> {
        let service = self.world.service();
        let (lane, tenant) = (&turn.lane.clone(), &turn.tenant.clone());
        let manifests = self.pages_of(lane, tenant, &[turn.manifests()]).await?;
        turn.meet(&service.compactions(&manifests, now));
        for day in turn.days() {
            let Some(watermark) = &self.watermark(lane).await? else { return Ok(()) };
            // A fold may have happened since the manifest was read.
            let manifests = self.pages_of(lane, tenant, &[day]).await?;
            for compaction in service.compactions(&manifests, now) {
                if !self.is_alone && self.world.faults.stuck.borrow().as_ref() == Some(tenant) {
                    return Err(Fault::CannotRead);
                }
                let stored = self.pages_of(lane, tenant, &compaction.ranges()).await?;
                let Merged { pages, .. } = compaction.merge(Some(stored), LIMITS);
                let pages = pages.into_iter().map(|page| (tenant.clone(), page)).collect();
                let is_written = self.write(lane, pages, Vec::new(), watermark, Some(watermark)).await?;
                let what = if is_written { "compacted" } else { "left" };
                self.world.say(|| format!("{what} a day of {} in {lane}", tenant.as_str()));
                if !is_written {
                    turn.lose_race();
                }
            }
        }
        Ok(())
    }

    /// Counts the days that are past by `over` and not compacted. Each partition of a tenant has an entry.
    pub(crate) fn open_days(&self, over: Millis) -> Vec<(Tenant, usize)> {
        let (service, rollups) = (self.world.service(), self.rollups.borrow());
        let mut days = Vec::new();
        for partition in rollups.partitions().filter(|name| name.contains('#')) {
            let tenant = partition.split_once('#').and_then(|(name, _)| Tenant::parse(name.to_owned()).ok());
            let KeyRange { from, until } = service.manifests();
            let manifests = rollups.query(partition, &from, &until);
            let manifests: Vec<_> = manifests
                .filter_map(|(sort, bytes)| {
                    let key = sort.rsplit_once(SEPARATOR)?.0.to_owned();
                    Some(StoredPage { key, bytes: bytes.to_owned() })
                })
                .collect();
            days.extend(tenant.map(|tenant| (tenant, service.compactions(&manifests, over).len())));
        }
        days
    }

    /// How many lanes exist.
    pub(crate) fn count_lanes(&self) -> usize {
        self.rollups.borrow().count(WATERMARK)
    }
}

fn sort_key(key: &str, lane: &str) -> String {
    format!("{key}{SEPARATOR}{lane}")
}

/// The partition that holds a tenant's pages of a lane.
fn partition_of(tenant: &Tenant, lane: &str) -> String {
    format!("{}#{}", tenant.as_str(), u32::from_str_radix(lane, 16).unwrap_or_default() % PARTITIONS)
}
