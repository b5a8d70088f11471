//! Functions around tables with a stream: Lambda. Each invocation is a process of its own.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use isotherm_core::{
    FindOutcome, FindPlan, Millis, NewEvent, PackedHead, Packer, ReportOutcome, ReportPlan, Seconds, StoreOutcome,
    StorePlan, StoredShape,
};
use serde_json::Value;

use crate::aggregate::Functions;
use crate::clients::Clients;
use crate::compaction;
use crate::driver::Fault;
use crate::fibers::{Fibers, Process};
use crate::idle::Idle;
use crate::mapping::Mapping;
use crate::platform::{Platform, Stores};
use crate::rollups::Rollups;
use crate::stream::MOST;
use crate::table::{Content, Item, Table};
use crate::world::{DAY, HOUR, MINUTE, TENANTS, World};

/// The time between two compactions of days, and between two deletions by the TTL.
const SCHEDULE: u64 = 3 * HOUR;
const TTL: u64 = 3 * HOUR;
/// If a mapping stands still for longer than this, records may be lost without a message.
const LONG: u64 = 8 * HOUR;
/// How often a request to DynamoDB is tried.
const TRIES: usize = 3;
/// The keys of foreign items, which are not events.
const FOREIGN: &str = "#junk";

pub(crate) struct Streams {
    functions: Rc<Functions>,
    /// The shapes that environments remember to store events.
    packers: Idle<Packer>,
    mapping: RefCell<Mapping>,
    next: Cell<usize>,
    compacts_at: Cell<Millis>,
    expires_at: Cell<Millis>,
    /// Shards whose batches fail, and until when.
    broken: RefCell<BTreeMap<String, Millis>>,
    /// The mapping is switched off until this time.
    off: Cell<Millis>,
    /// The mapping's messages about records that it has given up: the periods in which these were written.
    given_up: RefCell<Vec<Range<Millis>>>,
    /// When a message is next taken in.
    takes_at: Cell<Millis>,
    /// Foreign items whose letters have not come.
    foreign: RefCell<BTreeSet<String>>,
    letters: Cell<usize>,
}

impl Platform for Streams {
    const SHARDS: u32 = 1;
    // DynamoDB deletes by the time that is in each item.
    const RETENTION: &'static [(&'static str, u64)] = &[];

    fn new(world: &Rc<World>) -> Self {
        let functions = Functions {
            world: Rc::clone(world),
            table: Rc::new(RefCell::new(Table::new(world))),
            rollups: Rc::new(RefCell::new(Rollups::new(world))),
            unpackers: Idle::default(),
            letters: Rc::default(),
            is_alone: false,
        };
        let mut mapping = Mapping::new(world);
        mapping.watch(&functions.table.borrow().stream);
        Self {
            functions: Rc::new(functions),
            packers: Idle::default(),
            mapping: RefCell::new(mapping),
            next: Cell::default(),
            compacts_at: Cell::new(world.now()),
            expires_at: Cell::new(world.now()),
            broken: RefCell::default(),
            off: Cell::default(),
            given_up: RefCell::default(),
            takes_at: Cell::default(),
            foreign: RefCell::default(),
            letters: Cell::default(),
        }
    }

    fn process(&self) -> Process {
        self.next.set(self.next.get() + 1);
        Process(self.next.get())
    }

    async fn store(&self, plan: Rc<StorePlan>) -> Vec<StoreOutcome> {
        let world = &self.functions.world;
        let (put_by, mut packer) = (world.bits() as u64, self.packers.take(world));
        let shapes = packer.shapes(plan.events());
        // They are put beside the events.
        let is_first = world.one_in(2);
        if is_first {
            self.put_shapes(&shapes, &mut packer).await;
        }
        let mut outcomes = Vec::new();
        for event in plan.events() {
            let put = self.put(&plan, event, packer.pack(event, put_by).into(), put_by).await;
            outcomes.push(put.unwrap_or(StoreOutcome::Unavailable));
        }
        if !is_first {
            self.put_shapes(&shapes, &mut packer).await;
        }
        self.packers.give_back(packer);
        outcomes
    }

    async fn find(&self, plan: &FindPlan) -> FindOutcome {
        let key = Table::key(plan.tenant().as_str(), plan.id());
        let item = self.functions.request(|| self.functions.table.borrow().get(&key).cloned()).await;
        match item {
            Err(_) => FindOutcome::Unavailable,
            Ok(Some(Item { expires_at, content: Content::Event(packed) })) if expires_at > plan.expired_by() => {
                let mut unpacker = self.functions.unpackers.take(&self.functions.world);
                let learnt = self.functions.learn(&mut unpacker, [&*packed].into_iter()).await;
                let record = unpacker.record(&plan.id().to_string(), &packed);
                self.functions.unpackers.give_back(unpacker);
                match (learnt, record) {
                    (Err(_), _) => FindOutcome::Unavailable,
                    (Ok(()), Ok(record)) => FindOutcome::Found(record),
                    (Ok(()), Err(why)) => {
                        self.functions.world.violated(format!("{key}: {why}"));
                        FindOutcome::Unavailable
                    }
                }
            }
            Ok(_) => FindOutcome::Absent,
        }
    }

    async fn report(&self, plan: &ReportPlan) -> ReportOutcome {
        let now = self.functions.world.now();
        self.functions.report(plan, now).await.unwrap_or(ReportOutcome::Unavailable)
    }

    fn wakes_at(&self) -> Option<Millis> {
        let (table, mapping) = (self.functions.table.borrow(), self.mapping.borrow());
        let stream = &table.stream;
        let due = if self.is_off() { Some(self.off.get()) } else { mapping.due(stream) };
        let takes_at = (!self.given_up.borrow().is_empty()).then(|| self.takes_at.get());
        let of_stream = [stream.closes_at(), due, mapping.forgets_at(stream), takes_at];
        of_stream.into_iter().flatten().chain([self.compacts_at.get(), self.expires_at.get()]).min()
    }

    fn wake(self: &Rc<Self>, fibers: &mut Fibers) {
        let now = self.functions.world.now();
        self.go_on();
        if self.compacts_at.get() <= now {
            self.compacts_at.set(Millis(now.0 + SCHEDULE));
            let functions = Rc::clone(&self.functions);
            fibers.start(self.process(), async move {
                let _has_beaten = functions.heartbeat(now).await;
                let _is_done = functions.compact(now).await;
            });
        }
        let message = self.given_up.borrow().first().cloned().filter(|_| self.takes_at.get() <= now);
        if let Some(written) = message {
            self.takes_at.set(Millis(now.0 + MINUTE));
            let streams = Rc::clone(self);
            fibers.start(self.process(), async move {
                if streams.functions.lose(written.clone()).await.is_ok() {
                    streams.given_up.borrow_mut().retain(|other| *other != written);
                    streams.takes_at.set(streams.functions.world.now());
                }
            });
        }
        if self.expires_at.get() <= now {
            self.expires_at.set(Millis(now.0 + TTL));
            self.functions.table.borrow_mut().expire(now);
        }
        if self.is_off() {
            return;
        }
        let handed = self.mapping.borrow_mut().hand_over(&self.functions.table.borrow().stream, || self.process());
        for (process, handed) in handed {
            let (streams, handed) = (Rc::clone(self), Rc::new(handed));
            // Now and then a batch comes twice at once.
            if self.functions.world.fails_one_in(20) {
                let (functions, handed) = (Rc::clone(&self.functions), Rc::clone(&handed));
                fibers.start(self.process(), async move {
                    let _nobody_hears = functions.fold_batch(&handed).await;
                });
            }
            fibers.start(process, async move {
                let is_broken = streams.is_broken(&handed.shard_id);
                let folded = if is_broken { Err(Fault::Deadline) } else { streams.functions.fold_batch(&handed).await };
                streams.mapping.borrow_mut().answered(process, folded.ok());
            });
        }
    }

    fn end(&self, process: Process, fibers: &mut Fibers) {
        fibers.end(process);
        self.mapping.borrow_mut().answered(process, None);
    }

    fn window(&self) -> Option<u64> {
        Some(self.mapping.borrow().window)
    }

    fn shard_opened_at(&self) -> Option<Millis> {
        self.functions.table.borrow().stream.shards.last().map(|last| last.opened_at)
    }

    fn stores(&self) -> impl Stores {
        self
    }
}

impl Stores for &Streams {
    fn damage(&self) -> Option<String> {
        let world = &self.functions.world;
        if world.one_in(2) {
            return self.functions.rollups.borrow_mut().damage();
        }
        // Something else writes an item that is not an event.
        let tenant = TENANTS[world.below(TENANTS.len() as u64) as usize];
        let key = format!("{tenant}{FOREIGN}{}", world.below(1 << 40));
        world.say(|| format!("{key} is written, and is no event"));
        self.functions
            .table
            .borrow_mut()
            .put(key.clone(), Item { expires_at: Seconds(u64::MAX / 2000), content: Content::Other });
        self.foreign.borrow_mut().insert(key);
        None
    }

    fn check_bounds(&self) {
        let (world, letters) = (&self.functions.world, self.functions.letters.borrow());
        for letter in letters.iter().skip(self.letters.replace(letters.len())) {
            let letter: Value = serde_json::from_str(letter).unwrap_or_default();
            let key = letter["key"].as_str().unwrap_or_default();
            if key.contains(FOREIGN) {
                self.foreign.borrow_mut().remove(key);
            } else {
                world.violated(format!("an accepted event is in no report: {letter}"));
            }
        }
        let lanes = self.functions.count_lanes();
        // One item lists waiting shards, and one lost times.
        if lanes > 2 * MOST + 2 {
            world.violated(format!("there are {lanes} lanes for {MOST} shards"));
        }
    }

    fn check_folded(&self) {
        let (world, table) = (&self.functions.world, self.functions.table.borrow());
        let unread = self.mapping.borrow().unread(&table.stream).join(", ");
        if !unread.is_empty() {
            world.violated(format!("{unread} are not folded after a time without faults"));
        }
        self.check_bounds();
        for key in self.foreign.borrow().iter() {
            world.violated(format!("{key} is no event, and there is no letter of it"));
        }
    }

    fn check_compacted(&self, over: Millis) {
        let world = &self.functions.world;
        let stuck = world.faults.stuck.borrow();
        for (tenant, open) in self.functions.open_days(over) {
            if open > 0 && stuck.as_ref() != Some(&tenant) {
                world.violated(format!("{open} days of {} are not compacted", tenant.as_str()));
            }
        }
    }

    fn check_compaction(&self, clients: &Clients) {
        let world = &self.functions.world;
        let rollups = Rc::new(RefCell::new(self.functions.rollups.borrow().clone()));
        let copy = Functions {
            world: Rc::clone(world),
            table: Rc::clone(&self.functions.table),
            rollups,
            unpackers: Idle::default(),
            letters: Rc::default(),
            is_alone: true,
        };
        let now = Millis(world.now().0 + 2 * DAY);
        compaction::check(
            clients,
            |plan, _| at_once(copy.report(plan, world.now())).ok(),
            || {
                let _is_done = at_once(copy.compact(now));
            },
        );
    }
}

impl Streams {
    /// Closes and opens shards, and forgets records.
    fn go_on(&self) {
        let (world, mut table) = (&self.functions.world, self.functions.table.borrow_mut());
        let lost = self.mapping.borrow_mut().forget(&mut table.stream);
        for record in lost {
            world.say(|| format!("{} of {} becomes a dead letter", record.number, record.key));
            self.foreign.borrow_mut().remove(&record.key);
            let text = record.event().filter(|_| record.is_new).map(|packed| table.record(&record.key, packed));
            let said_at = record.said_at();
            if !self.is_off() {
                self.given_up.borrow_mut().push(said_at..Millis(said_at.0 + 1000));
            }
            match (text, record.key.split_once('#')) {
                (Some(Ok(text)), Some((tenant, _))) => world.truth.borrow_mut().lose(tenant, &text, said_at),
                (Some(Err(why)), _) => world.violated(format!("{}: {why}", record.key)),
                _ => {}
            }
        }
        for id in table.stream.go_on() {
            let lasts = [10 * MINUTE, 3 * HOUR, 3 * HOUR, 30 * HOUR][world.below(4) as usize];
            if world.fails_one_in(10) {
                world.say(|| format!("{id} fails for {} min", lasts / MINUTE));
                self.broken.borrow_mut().insert(id, Millis(world.now().0 + lasts));
                self.stand_still(lasts);
            }
            if world.fails_one_in(60) {
                let lasts = [10 * HOUR, 30 * HOUR, 60 * HOUR][world.below(3) as usize];
                world.say(|| format!("the mapping is off for {} h", lasts / HOUR));
                self.off.set(Millis(world.now().0 + lasts));
                self.stand_still(lasts);
            }
        }
        self.mapping.borrow_mut().watch(&table.stream);
    }

    /// Notes that some shard is not folded for the next `lasts` milliseconds. It may have been behind before that.
    fn stand_still(&self, lasts: u64) {
        let now = self.functions.world.now().0;
        if lasts > LONG {
            let outage = Millis(now.saturating_sub(LONG))..Millis(now + lasts);
            self.functions.world.truth.borrow_mut().outages.push(outage);
        }
    }

    fn is_off(&self) -> bool {
        let world = &self.functions.world;
        world.faults.are_on.get() && world.now() < self.off.get()
    }

    fn is_broken(&self, shard_id: &str) -> bool {
        let world = &self.functions.world;
        if !world.faults.are_on.get() {
            self.broken.borrow_mut().clear();
        }
        self.broken.borrow().get(shard_id).is_some_and(|until| world.now() < *until)
    }

    /// Makes a request to the table of events, and retries while it fails.
    async fn write<T>(&self, does: impl Fn(&mut Table) -> T) -> Result<T, Fault> {
        let world = &self.functions.world;
        for _ in 0..TRIES {
            if world.lasts(&world.faults.disk) {
                break;
            }
            if let Ok(done) = self.functions.request(|| does(&mut self.functions.table.borrow_mut())).await {
                return Ok(done);
            }
        }
        Err(Fault::Throttled)
    }

    /// Puts shapes, without retries.
    async fn put_shapes(&self, shapes: &[StoredShape], packer: &mut Packer) {
        for shape in shapes {
            if let Ok(Some(stored)) =
                self.functions.request(|| self.functions.table.borrow_mut().put_shape(shape)).await
            {
                packer.is_stored(&stored);
            }
        }
    }

    async fn put(
        &self,
        plan: &StorePlan,
        event: &NewEvent,
        packed: Rc<[u8]>,
        put_by: u64,
    ) -> Result<StoreOutcome, Fault> {
        let (tenant, mut has_made_way) = (plan.tenant().as_str(), false);
        loop {
            let taken = self.write(|table| table.put_new(tenant, event, &packed)).await?;
            let Err(Item { expires_at, content: Content::Event(stored) }) = taken else {
                return Ok(StoreOutcome::Stored);
            };
            let Ok(PackedHead { digest, put_by: by }) = PackedHead::of(&stored) else { return Err(Fault::CannotRead) };
            if by == put_by {
                // An earlier attempt succeeded, and its answer got lost.
                return Ok(StoreOutcome::Stored);
            }
            if has_made_way || expires_at > plan.expired_by() {
                return Ok(StoreOutcome::Existing(digest));
            }
            let key = Table::key(tenant, event.id);
            self.write(|table| table.delete_expired(&key, plan.expired_by())).await?;
            has_made_way = true;
        }
    }
}

/// The result of work that never waits.
fn at_once<T>(work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => Err(Fault::Deadline),
    }
}
