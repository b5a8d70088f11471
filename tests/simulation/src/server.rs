//! A server with one writer, group commit and a disk: the native platform.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use isotherm_core::group_commit::{self, Queue};
use isotherm_core::{
    FindOutcome, FindPlan, Intake, Load, Maintenance, Millis, Next, Pace, ReportOutcome, ReportPlan, StoreOutcome,
    StorePlan,
};

use crate::database::Database;
use crate::databases::{Databases, REQUEST, counts};
use crate::driver::{Kind, Manner, Session};
use crate::fibers::{Fibers, Process, wait_for};
use crate::platform::{Platform, Stores};
use crate::world::{HOUR, TENANTS, World};

/// The whole server is one process.
const SERVER: Process = Process(0);

pub(crate) struct Server {
    session: Session,
    pace: Pace,
    /// The process's memory.
    maintenance: RefCell<Option<Maintenance>>,
    /// The waiting plans of each tenant.
    queues: RefCell<BTreeMap<String, VecDeque<Job>>>,
    writes: Cell<bool>,
}

/// A plan on its way to the writer and back.
struct Job {
    plan: Rc<StorePlan>,
    outcomes: Rc<RefCell<Option<Vec<StoreOutcome>>>>,
}

impl Job {
    fn answer(&self, outcomes: Vec<StoreOutcome>) {
        *self.outcomes.borrow_mut() = Some(outcomes);
    }

    fn load(&self) -> Load {
        self.plan.events().iter().map(|event| Load::of(&event.record)).sum()
    }

    fn refuse(&self, outcome: StoreOutcome) {
        self.answer(vec![outcome; self.plan.events().len()]);
    }
}

impl Platform for Server {
    const SHARDS: u32 = 1;

    fn new(world: &Rc<World>) -> Self {
        let database = Rc::new(RefCell::new(Database::new(Rc::clone(world))));
        let session =
            Session { world: Rc::clone(world), database, manner: Manner::OneWriter, backs_up: world.one_in(2) };
        let rounds = [1, 6, 12][world.below(3) as usize];
        Self {
            session,
            pace: Pace::SERVER.with_round(Millis(rounds * HOUR)),
            maintenance: RefCell::default(),
            queues: RefCell::default(),
            writes: Cell::default(),
        }
    }

    fn process(&self) -> Process {
        SERVER
    }

    async fn store(&self, plan: Rc<StorePlan>) -> Vec<StoreOutcome> {
        let outcomes = Rc::default();
        self.push(Job { plan, outcomes: Rc::clone(&outcomes) });
        wait_for(|| outcomes.borrow_mut().take()).await
    }

    async fn find(&self, plan: &FindPlan) -> FindOutcome {
        self.session.find(plan).await
    }

    async fn report(&self, plan: &ReportPlan) -> ReportOutcome {
        let read = self.session.report(plan, 1).await;
        read.map_or(ReportOutcome::Unavailable, |data| ReportOutcome::Read(vec![data]))
    }

    fn wakes_at(&self) -> Option<Millis> {
        if self.writes.get() {
            return None;
        }
        let now = self.session.world.now();
        if !self.queues.borrow().is_empty() {
            return Some(now);
        }
        Some(match self.maintenance.borrow().as_ref().map(|maintenance| maintenance.next(now)) {
            Some(Next::SleepUntil(until)) => until,
            Some(Next::Do(_)) | None => now,
        })
    }

    fn wake(self: &Rc<Self>, fibers: &mut Fibers) {
        if self.writes.replace(true) {
            return;
        }
        let server = Rc::clone(self);
        fibers.start(SERVER, async move {
            server.write_and_maintain().await;
            server.writes.set(false);
        });
    }

    fn end(&self, process: Process, fibers: &mut Fibers) {
        fibers.end(process);
        *self.maintenance.borrow_mut() = None;
        self.queues.borrow_mut().clear();
        self.writes.set(false);
    }

    fn stores(&self) -> impl Stores {
        let Session { world, database, .. } = self.session.clone();
        // The writer asks whether the store is full before each transaction. A transaction takes each tenant's plans until
        // they reach its share, so that the last one may exceed it.
        let beyond = counts(group_commit::share(1)) + TENANTS.len() * counts(REQUEST);
        Databases { world, all: vec![database], shards: Self::SHARDS, beyond }
    }
}

impl Server {
    /// Queues a plan behind those of its tenant, if there is room.
    fn push(&self, job: Job) {
        let mut queues = self.queues.borrow_mut();
        let waiting = queues.entry(job.plan.tenant().as_str().to_owned()).or_default();
        let queue = Queue { plans: waiting.len(), load: waiting.iter().map(Job::load).sum() };
        if queue.has_room_for(job.load()) {
            waiting.push_back(job);
        } else {
            job.refuse(StoreOutcome::Overloaded);
        }
    }

    /// Takes the plans of one transaction, an equal share of each waiting tenant.
    fn take(&self) -> Vec<Job> {
        let mut queues = self.queues.borrow_mut();
        let share = group_commit::share(queues.len());
        let mut group = Vec::new();
        queues.retain(|_, waiting| {
            let mut taken = Load::default();
            while (taken.events == 0 || (taken.events < share.events && taken.bytes < share.bytes))
                && let Some(job) = waiting.pop_front()
            {
                taken = taken + job.load();
                group.push(job);
            }
            !waiting.is_empty()
        });
        group
    }

    /// Writes one group of plans and does a turn of maintenance. If this ends early, the machine is lost.
    async fn write_and_maintain(&self) {
        let world = &self.session.world;
        let known = self.maintenance.take();
        let mut maintenance = match known {
            Some(maintenance) => maintenance,
            None => {
                let held = self.session.run(Kind::Read, |database| database.held()).await;
                match held.ok().filter(|_| !world.fails_one_in(4)) {
                    Some(held) => Maintenance::new(self.pace, held, world.now()),
                    None => Maintenance::unread(self.pace, world.now()),
                }
            }
        };
        maintenance.set_pace(self.pace.with_expiry(world.service().expiry_order()));
        match maintenance.intake(world.now()) {
            Intake::Write => {
                let stored = self.write_group(&self.take()).await;
                maintenance.stored(stored, world.now());
            }
            Intake::AfterNextTask => {}
            Intake::Refuse => self.take().iter().for_each(|job| job.refuse(StoreOutcome::Overloaded)),
        }
        for _ in 0..maintenance.tasks_a_turn() {
            let Next::Do(task) = maintenance.next(world.now()) else { break };
            match self.session.perform(&task).await {
                Ok(outcome) => maintenance.done(outcome, world.now()),
                Err(_) => maintenance.failed(&task, world.now()),
            }
        }
        *self.maintenance.borrow_mut() = Some(maintenance);
    }

    /// Writes a group of plans in one transaction, and answers them all. Returns how much of it is newly kept.
    async fn write_group(&self, jobs: &[Job]) -> Load {
        if jobs.is_empty() {
            return Load::default();
        }
        let written = self.session.run(Kind::Write, |database| {
            let mut keep = |job: &Job| {
                let (tenant, expired_by) = (job.plan.tenant().as_str(), job.plan.expired_by());
                job.plan.events().iter().map(|event| database.keep(tenant, event, expired_by)).collect::<Vec<_>>()
            };
            jobs.iter().map(&mut keep).collect::<Vec<_>>()
        });
        let Ok(outcomes) = written.await else {
            jobs.iter().for_each(|job| job.refuse(StoreOutcome::Unavailable));
            return Load::default();
        };
        let events = jobs.iter().flat_map(|job| job.plan.events()).zip(outcomes.iter().flatten());
        let stored = events.filter(|(_, outcome)| **outcome == StoreOutcome::Stored);
        let stored = stored.map(|(event, _)| Load::of(&event.record)).sum();
        jobs.iter().zip(outcomes).for_each(|(job, outcomes)| job.answer(outcomes));
        stored
    }
}
