//! Objects with a database and an alarm each: Workers. A tenant's events are spread over some of them.
//!
//! An object is made when it is needed and evicted at any time. After that it has only what is on its disk: its rows
//! and its alarm. An alarm rings late, rings again if its object ended early, and is given up after six times. Its
//! handler itself never fails. A cron calls the objects of every tenant that has keys.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use isotherm_core::{
    FindOutcome, FindPlan, Load, Maintenance, Millis, NewEvent, Next, Pace, ReportOutcome, ReportPlan, Seconds,
    StoreOutcome, StorePlan,
};

use crate::database::Database;
use crate::databases::Databases;
use crate::driver::{Kind, Manner, Session};
use crate::fibers::{Fibers, Process, pause};
use crate::platform::{Platform, Stores};
use crate::world::{HOUR, SECOND, World};

const SHARDS: u32 = 2;
/// Time between two calls of the cron.
const CRON: u64 = HOUR;
/// How often an alarm rings if its handler keeps ending early.
const RINGS: u32 = 6;
/// The most bytes that go to an object in one request.
const PART_BYTES: usize = 512 * 1024;
/// The process of a request before it reaches an object. Objects have the processes after it.
const FRONT: Process = Process(0);

pub(crate) struct Objects {
    world: Rc<World>,
    objects: RefCell<BTreeMap<(String, u32), Rc<Object>>>,
    cron_at: Cell<Millis>,
}

struct Object {
    process: Process,
    session: Session,
    /// The object's memory: `None` once it is evicted.
    maintenance: RefCell<Option<Maintenance>>,
    /// When the alarm rings that this object has set since it came into memory.
    set: Cell<Option<Millis>>,
    /// The alarm on disk.
    alarm: Cell<Option<Millis>>,
    rings: Cell<u32>,
    is_ringing: Cell<bool>,
}

impl Platform for Objects {
    const SHARDS: u32 = SHARDS;

    fn new(world: &Rc<World>) -> Self {
        Self { world: Rc::clone(world), objects: RefCell::default(), cron_at: Cell::new(world.now()) }
    }

    fn process(&self) -> Process {
        FRONT
    }

    async fn store(&self, plan: Rc<StorePlan>) -> Vec<StoreOutcome> {
        let mut outcomes: Vec<_> = plan.events().iter().map(|event| (event.id, StoreOutcome::Unavailable)).collect();
        for (shard, events) in parts(plan.events()) {
            pause().await;
            let object = self.object(plan.tenant().as_str(), shard);
            // The object may end before it has stored anything, and before it has answered.
            if self.world.fails_one_in(40) {
                continue;
            }
            let kept = object.keep(plan.tenant().as_str(), &events, plan.expired_by()).await;
            if !object.is_ringing.get() && self.world.fails_one_in(40) {
                object.evict();
                continue;
            }
            for (event, kept) in events.iter().zip(kept.into_iter().flatten()) {
                outcomes.iter_mut().filter(|(id, _)| *id == event.id).for_each(|(_, outcome)| *outcome = kept);
            }
        }
        pause().await;
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }

    async fn find(&self, plan: &FindPlan) -> FindOutcome {
        pause().await;
        self.object(plan.tenant().as_str(), plan.id().shard(SHARDS)).session.find(plan).await
    }

    async fn report(&self, plan: &ReportPlan) -> ReportOutcome {
        let mut read = Vec::new();
        for shard in 0..SHARDS {
            pause().await;
            match self.object(plan.tenant().as_str(), shard).session.report(plan, SHARDS).await {
                Ok(data) => read.push(data),
                Err(_) => return ReportOutcome::Unavailable,
            }
        }
        ReportOutcome::Read(read)
    }

    fn wakes_at(&self) -> Option<Millis> {
        let objects = self.objects.borrow();
        let alarms = objects.values().filter(|object| !object.is_ringing.get()).filter_map(|object| object.alarm.get());
        alarms.chain([self.cron_at.get()]).min()
    }

    fn wake(self: &Rc<Self>, fibers: &mut Fibers) {
        let now = self.world.now();
        if self.cron_at.get() <= now {
            self.cron_at.set(Millis(now.0 + CRON));
            for tenant in self.world.service().tenants() {
                (0..SHARDS).for_each(|shard| self.object(tenant.as_str(), shard).wake());
            }
        }
        for object in self.objects.borrow().values().filter(|object| object.alarm.get().is_some_and(|at| at <= now)) {
            if object.is_ringing.get() {
                continue;
            }
            if self.world.fails_one_in(10) {
                // The alarm rings late.
                object.alarm.set(Some(Millis(now.0 + self.world.below(300 * SECOND))));
                continue;
            }
            object.is_ringing.set(true);
            object.rings.set(object.rings.get() + 1);
            // Now and then the alarm rings once more.
            object.alarm.set(self.world.fails_one_in(20).then_some(Millis(now.0 + SECOND)));
            let object = Rc::clone(object);
            fibers.start(object.process, async move {
                object.ring().await;
                object.is_ringing.set(false);
                object.rings.set(0);
            });
        }
    }

    fn end(&self, process: Process, fibers: &mut Fibers) {
        if process == FRONT {
            // Either a request's isolate ends, or an object that does nothing.
            fibers.end(process);
            let objects = self.objects.borrow();
            objects
                .values()
                .nth(self.world.below(objects.len() as u64) as usize)
                .filter(|object| !object.is_ringing.get())
                .into_iter()
                .for_each(|object| object.evict());
            return;
        }
        fibers.end(process);
        let objects = self.objects.borrow();
        let Some(object) = objects.values().find(|object| object.process == process) else { return };
        object.evict();
        if object.is_ringing.replace(false) && object.rings.get() < RINGS {
            let wait = SECOND << object.rings.get();
            object.alarm.set(Some(Millis(self.world.now().0 + wait)));
        } else {
            object.rings.set(0);
        }
    }

    fn stores(&self) -> impl Stores {
        let all = self.objects.borrow().values().map(|object| Rc::clone(&object.session.database)).collect();
        Databases { world: Rc::clone(&self.world), all, shards: SHARDS }
    }
}

impl Objects {
    fn object(&self, tenant: &str, shard: u32) -> Rc<Object> {
        let mut objects = self.objects.borrow_mut();
        let process = Process(objects.len() + 1);
        let make = || {
            let database = Rc::new(RefCell::new(Database::new(Rc::clone(&self.world))));
            let session = Session { world: Rc::clone(&self.world), database, manner: Manner::Object, backs_up: true };
            Rc::new(Object {
                process,
                session,
                maintenance: RefCell::default(),
                set: Cell::default(),
                alarm: Cell::default(),
                rings: Cell::default(),
                is_ringing: Cell::default(),
            })
        };
        Rc::clone(objects.entry((tenant.to_owned(), shard)).or_insert_with(make))
    }
}

impl Object {
    fn evict(&self) {
        *self.maintenance.borrow_mut() = None;
        self.set.set(None);
    }

    /// Works with the machine. If the object is not in memory, the machine is made from what the database holds.
    fn with_maintenance<T>(&self, does: impl FnOnce(&mut Maintenance) -> T) -> T {
        let now = self.session.world.now();
        let mut maintenance = self.maintenance.borrow_mut();
        let made = || Maintenance::new(Pace::shard(SHARDS), self.session.database.borrow().held(), now);
        does(maintenance.get_or_insert_with(made))
    }

    /// Keeps events. Returns `None` if that fails.
    async fn keep(&self, tenant: &str, events: &[&NewEvent], expired_by: Seconds) -> Option<Vec<StoreOutcome>> {
        if !self.with_maintenance(|maintenance| maintenance.takes_events()) {
            self.wake();
            return Some(events.iter().map(|_| StoreOutcome::Overloaded).collect());
        }
        let keep = |database: &mut Database| {
            events.iter().map(|event| database.keep(tenant, event, expired_by)).collect::<Vec<_>>()
        };
        let outcomes = self.session.run(Kind::Write, keep).await.ok()?;
        let stored = events.iter().zip(&outcomes).filter(|(_, outcome)| **outcome == StoreOutcome::Stored);
        let stored: Load = stored.map(|(event, _)| Load::of(&event.record)).sum();
        self.with_maintenance(|maintenance| maintenance.stored(stored, self.session.world.now()));
        self.wake();
        Some(outcomes)
    }

    /// The handler of the alarm: a turn of maintenance.
    async fn ring(&self) {
        let now = || self.session.world.now();
        self.set.set(None);
        for _ in 0..self.with_maintenance(|maintenance| maintenance.tasks_a_turn()) {
            let Next::Do(task) = self.with_maintenance(|maintenance| maintenance.next(now())) else { break };
            match self.session.perform(&task).await {
                Ok(outcome) => self.with_maintenance(|maintenance| maintenance.done(outcome, now())),
                Err(_) => self.with_maintenance(|maintenance| maintenance.failed(&task, now())),
            }
        }
        self.wake();
    }

    /// Sets the alarm for the next task, unless it already rings by then.
    fn wake(&self) {
        let now = self.session.world.now();
        let at = match self.with_maintenance(|maintenance| maintenance.next(now)) {
            Next::SleepUntil(until) => until,
            Next::Do(_) => now,
        };
        if self.set.get().is_none_or(|set| at < set) {
            self.set.set(Some(at));
            self.alarm.set(Some(at));
        }
    }
}

/// The events that go to each object in one request, with its shard.
fn parts(events: &[NewEvent]) -> Vec<(u32, Vec<&NewEvent>)> {
    let mut parts: Vec<(u32, usize, Vec<&NewEvent>)> = Vec::new();
    for event in events {
        let (shard, bytes) = (event.id.shard(SHARDS), event.record.len());
        match parts.iter_mut().rev().find(|(of, ..)| *of == shard) {
            Some((_, sum, part)) if *sum + bytes <= PART_BYTES => {
                *sum += bytes;
                part.push(event);
            }
            _ => parts.push((shard, bytes, vec![event])),
        }
    }
    parts.into_iter().map(|(shard, _, part)| (shard, part)).collect()
}
