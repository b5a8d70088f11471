//! Objects with a database and an alarm each: Workers. A tenant's events are spread over some of them.
//!
//! An object is made when it is needed and evicted at any time. After that it has only what is on its disk: its rows
//! and its alarm. An alarm rings late, rings twice, rings again if its object ended early, and is given up after six
//! times. Its handler itself never fails, but some objects end in every turn for hours. A cron calls the objects of
//! every tenant that has keys, and each begins a round of maintenance.
//!
//! In some runs the first events come to an older version, which keeps each in a row of its own.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use isotherm_core::{
    FindOutcome, FindPlan, Kept, Limits, Load, Maintenance, Millis, Next, Outcome, Pace, Part, ReportOutcome,
    ReportPlan, StoreOutcome, StorePlan, Task,
};

use crate::database::Database;
use crate::databases::{Databases, counts};
use crate::driver::{Fault, Kind, Manner, Session};
use crate::fibers::{Fibers, Process, pause};
use crate::platform::{Platform, Stores};
use crate::shards::Shard;
use crate::world::{DAY, HOUR, MINUTE, SECOND, World};

const SHARDS: u32 = 2;
/// Time between two calls of the cron.
const CRON: u64 = HOUR;
/// How often an alarm rings if its handler keeps ending early.
const RINGS: u32 = 6;
/// Time until the next alarm if this one's handler never ends.
const GUARD: u64 = 60 * SECOND;
/// A shard asks whether it is full, and keeps, in one go. So it takes one part too much: 512 KiB of records, which are
/// those of a whole batch if they are small.
const BEYOND: usize = counts(Load { events: Limits::CONTRACT.batch_events, bytes: 512 << 10 });
/// The process of a request before it reaches an object. Objects have the processes after it.
const FRONT: Process = Process(0);

pub(crate) struct Objects {
    world: Rc<World>,
    objects: RefCell<BTreeMap<(String, u32), Rc<Object>>>,
    cron_at: Cell<Millis>,
    /// When the older version is replaced, if the run begins with it.
    upgrade_at: Cell<Option<Millis>>,
}

struct Object {
    process: Process,
    shard: Shard,
    /// True while the older version runs.
    is_old: Cell<bool>,
    /// The object's memory: `None` once it is evicted.
    maintenance: RefCell<Option<Maintenance>>,
    /// The alarm that this object has set since it came into memory: when it rings.
    set: Cell<Option<Millis>>,
    /// The alarm on disk.
    alarm: Cell<Option<Millis>>,
    /// When an alarm that has rung rings once more. The alarm on disk stays as it is.
    again: Cell<Option<Millis>>,
    rings: Cell<u32>,
    is_ringing: Cell<bool>,
    /// True if the last turn has ended since the object came into memory.
    is_sound: Cell<bool>,
    /// Until this time the object ends in every turn.
    breaks_until: Cell<Millis>,
}

impl Platform for Objects {
    const SHARDS: u32 = SHARDS;

    fn new(world: &Rc<World>) -> Self {
        let upgrade_at = world.one_in(3).then(|| Millis(world.now().0 + world.below(30 * DAY)));
        Self {
            world: Rc::clone(world),
            objects: RefCell::default(),
            cron_at: Cell::new(Millis(world.now().0 + world.below(CRON))),
            upgrade_at: Cell::new(upgrade_at),
        }
    }

    fn process(&self) -> Process {
        FRONT
    }

    async fn store(&self, plan: Rc<StorePlan>) -> Vec<StoreOutcome> {
        let mut outcomes = vec![StoreOutcome::Unavailable; plan.events().len()];
        for part in plan.parts(SHARDS) {
            pause().await;
            let object = self.object(plan.tenant().as_str(), part.shard());
            // The object may end before it has stored anything, and before it has answered.
            if self.world.fails_one_in(40) {
                continue;
            }
            let kept = object.keep(&plan, &part).await;
            if !object.is_ringing.get() && self.world.fails_one_in(40) {
                object.evict();
                continue;
            }
            if let Ok(kept) = kept
                && !part.apply(&kept, &mut outcomes)
            {
                self.world.violated("a shard's answer can't be read".to_owned());
            }
        }
        pause().await;
        outcomes
    }

    async fn find(&self, plan: &FindPlan) -> FindOutcome {
        pause().await;
        let object = self.object(plan.tenant().as_str(), plan.id().shard(SHARDS));
        if object.is_old.get() { object.shard.session.find(plan).await } else { object.shard.find(plan).await }
    }

    async fn report(&self, plan: &ReportPlan) -> ReportOutcome {
        let mut read = Vec::new();
        for shard in 0..SHARDS {
            pause().await;
            match self.object(plan.tenant().as_str(), shard).shard.session.report(plan, SHARDS).await {
                Ok(data) => read.push(data),
                Err(_) => return ReportOutcome::Unavailable,
            }
        }
        ReportOutcome::Read(read)
    }

    fn wakes_at(&self) -> Option<Millis> {
        let objects = self.objects.borrow();
        let alarms = objects.values().filter_map(|object| object.rings_at());
        alarms.chain([self.cron_at.get()]).chain(self.upgrade_at.get()).min()
    }

    fn wake(self: &Rc<Self>, fibers: &mut Fibers) {
        let now = self.world.now();
        if self.upgrade_at.get().is_some_and(|at| at <= now) {
            self.world.say(|| "the older version is replaced".to_owned());
            self.upgrade_at.set(None);
            for object in self.objects.borrow().values() {
                fibers.end(object.process);
                object.evict();
                if object.is_ringing.replace(false) {
                    object.alarm.set(Some(now));
                }
                object.is_old.set(false);
            }
        }
        if self.cron_at.get() <= now {
            self.cron_at.set(Millis(now.0 + CRON));
            for tenant in self.world.service().tenants() {
                (0..SHARDS).for_each(|shard| self.object(tenant.as_str(), shard).visit());
            }
        }
        for object in self.objects.borrow().values().filter(|object| object.rings_at().is_some_and(|at| at <= now)) {
            if object.again.get().is_some_and(|at| at <= now) {
                object.again.set(None);
                self.world.figures.borrow_mut().second_rings += 1;
            } else if self.world.fails_one_in(10) {
                self.world.figures.borrow_mut().late_rings += 1;
                object.alarm.set(Some(Millis(now.0 + self.world.below(300 * SECOND))));
                continue;
            } else {
                object.alarm.set(None);
                object.again.set(self.world.fails_one_in(20).then_some(Millis(now.0 + SECOND)));
            }
            object.is_ringing.set(true);
            object.rings.set(object.rings.get() + 1);
            if self.world.fails_one_in(2000) {
                let lasts = self.world.below(8 * HOUR);
                self.world.say(|| format!("{:?} ends in every turn for {} min", object.process, lasts / MINUTE));
                object.breaks_until.set(Millis(now.0 + lasts));
            }
            let object = Rc::clone(object);
            fibers.start(object.process, async move {
                if !object.ring().await {
                    return object.end_early();
                }
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
        object.end_early();
    }

    fn stores(&self) -> impl Stores {
        let all = self.objects.borrow().values().map(|object| Rc::clone(&object.shard.session.database)).collect();
        Databases { world: Rc::clone(&self.world), all, shards: SHARDS, beyond: BEYOND }
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
                shard: Shard::new(session, tenant.to_owned()),
                is_old: Cell::new(self.upgrade_at.get().is_some()),
                maintenance: RefCell::default(),
                set: Cell::default(),
                alarm: Cell::default(),
                again: Cell::default(),
                rings: Cell::default(),
                is_ringing: Cell::default(),
                is_sound: Cell::default(),
                breaks_until: Cell::default(),
            })
        };
        Rc::clone(objects.entry((tenant.to_owned(), shard)).or_insert_with(make))
    }
}

impl Object {
    fn evict(&self) {
        *self.maintenance.borrow_mut() = None;
        self.shard.evict();
        self.set.set(None);
        self.is_sound.set(false);
    }

    /// When the next alarm rings.
    fn rings_at(&self) -> Option<Millis> {
        let rings = [self.alarm.get(), self.again.get()].into_iter().flatten().min();
        rings.filter(|_| !self.is_ringing.get())
    }

    /// Ends the object. If an alarm was ringing, it rings again, up to a limit.
    fn end_early(&self) {
        self.evict();
        if !self.is_ringing.replace(false) {
            return;
        }
        let world = &self.shard.session.world;
        if self.rings.get() < RINGS {
            let wait = SECOND << self.rings.get();
            self.alarm.set(Some(Millis(world.now().0 + wait)));
        } else {
            world.say(|| format!("the alarm of {:?} is given up", self.process));
            world.figures.borrow_mut().given_up += 1;
            self.rings.set(0);
        }
    }

    /// Works with the machine. If the object is not in memory, the machine is made from what the database holds.
    fn with_maintenance<T>(&self, does: impl FnOnce(&mut Maintenance) -> T) -> T {
        let world = &self.shard.session.world;
        let pace = Pace::shard(SHARDS).with_expiry(world.service().expiry_order());
        let mut maintenance = self.maintenance.borrow_mut();
        let made = || Maintenance::new(pace, self.shard.session.database.borrow().held(), world.now());
        let maintenance = maintenance.get_or_insert_with(made);
        maintenance.set_pace(pace);
        does(maintenance)
    }

    /// Keeps the events of a part. Returns the answer.
    async fn keep(&self, plan: &StorePlan, part: &Part<'_>) -> Result<Vec<u8>, Fault> {
        let (answer, load) = if !self.with_maintenance(|maintenance| maintenance.takes_events()) {
            (Kept::new(vec![StoreOutcome::Overloaded; part.events().count()]).to_bytes(), Load::default())
        } else if self.is_old.get() {
            self.keep_rows(plan, part).await?
        } else {
            self.shard.keep(plan, part).await?
        };
        self.with_maintenance(|maintenance| maintenance.stored(load, self.shard.session.world.now()));
        self.wake();
        Ok(answer)
    }

    /// Keeps each event in a row of its own, as the older version did.
    async fn keep_rows(&self, plan: &StorePlan, part: &Part<'_>) -> Result<(Vec<u8>, Load), Fault> {
        let (tenant, expired_by) = (plan.tenant().as_str(), plan.expired_by());
        let keep = |database: &mut Database| {
            part.events().map(|event| database.keep(tenant, event, expired_by)).collect::<Vec<_>>()
        };
        let outcomes = self.shard.session.run(Kind::Write, keep).await?;
        let stored = part.events().zip(&outcomes).filter(|(_, outcome)| **outcome == StoreOutcome::Stored);
        let load = stored.map(|(event, _)| Load::of(&event.record)).sum();
        Ok((Kept::new(outcomes).to_bytes(), load))
    }

    async fn perform(&self, task: &Task) -> Result<Outcome, Fault> {
        if self.is_old.get() { self.shard.session.perform(task).await } else { self.shard.perform(task).await }
    }

    /// The handler of the alarm: a turn of maintenance. Returns `false` if the object ends in it.
    async fn ring(&self) -> bool {
        let now = || self.shard.session.world.now();
        self.set.set(None);
        let is_guarded = !self.is_sound.replace(false);
        if is_guarded {
            let guard = Some(Millis(now().0 + GUARD));
            self.set.set(guard);
            self.alarm.set(guard);
        }
        let world = &self.shard.session.world;
        if world.faults.are_on.get() && world.lasts(&self.breaks_until) {
            return false;
        }
        for _ in 0..self.with_maintenance(|maintenance| maintenance.tasks_a_turn()) {
            let Next::Do(task) = self.with_maintenance(|maintenance| maintenance.next(now())) else { break };
            match self.perform(&task).await {
                Ok(outcome) => self.with_maintenance(|maintenance| maintenance.done(outcome, now())),
                Err(_) => self.with_maintenance(|maintenance| maintenance.failed(&task, now())),
            }
        }
        if is_guarded {
            self.set.set(None);
        }
        self.wake();
        self.is_sound.set(true);
        true
    }

    /// Begins a round, because the cron asks for one.
    fn visit(&self) {
        self.with_maintenance(|maintenance| maintenance.begin_round(self.shard.session.world.now()));
        self.wake();
    }

    /// Sets the alarm for the next task, unless it already rings by then.
    fn wake(&self) {
        let now = self.shard.session.world.now();
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
