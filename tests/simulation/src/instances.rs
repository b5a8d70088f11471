//! Instances that come and go with requests, and share a database of single statements: Spin.
//!
//! An instance answers some requests, several at once, and remembers what it has asked the database. A cron asks one
//! instance for a round of maintenance. It comes again an hour later, whether the last call succeeded or not.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use isotherm_core::{
    CRON, FindOutcome, FindPlan, Load, Maintenance, Millis, NewEvent, Next, Pace, ReportOutcome, ReportPlan,
    StoreOutcome, StorePlan,
};

use crate::database::Database;
use crate::databases::{Databases, REQUEST, counts};
use crate::driver::{Fault, Kind, Manner, Session};
use crate::fibers::{self, Fibers, Process, pause};
use crate::platform::{Platform, Stores};
use crate::world::{HOUR, MINUTE, SECOND, World};

/// Time between two calls of the cron, as it is deployed.
const BETWEEN_CALLS: u64 = HOUR;
/// How often a statement is tried while the database is locked.
const TRIES: usize = 4;
/// An instance ends if it gets no request for this long.
const IDLE: u64 = SECOND;
/// How many requests an instance answers.
const REQUESTS: usize = 128;
/// How long a request waits for the instance's turn.
const DEADLINE: u64 = 10 * SECOND;
/// Two requests that run at once do not see each other's events. Large ones come one a second, so no more than two run at
/// once.
const BEYOND: usize = 2 * counts(REQUEST);

pub(crate) struct Instances {
    session: Session,
    instances: RefCell<BTreeMap<usize, Rc<Instance>>>,
    next: Cell<usize>,
    cron_at: Cell<Millis>,
}

struct Instance {
    session: Session,
    requests: Cell<usize>,
    asked_at: Cell<Millis>,
    /// What the instance knows of its store, once it has asked the database.
    maintenance: RefCell<Option<Maintenance>>,
    has_turn: Cell<bool>,
}

/// One request of an instance holds it at a time, while that request does maintenance.
struct Turn(Rc<Instance>);

impl Turn {
    fn take(instance: &Rc<Instance>) -> Option<Self> {
        (!instance.has_turn.replace(true)).then(|| Self(Rc::clone(instance)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.has_turn.set(false);
    }
}

impl Platform for Instances {
    const SHARDS: u32 = 1;
    /// Without a timer, a few events wait for the cron.
    const CALM: u64 = BETWEEN_CALLS + 10 * MINUTE;

    fn new(world: &Rc<World>) -> Self {
        let database = Rc::new(RefCell::new(Database::new(Rc::clone(world))));
        let session = Session { world: Rc::clone(world), database, manner: Manner::Statements, backs_up: false };
        // It comes at any minute of the hour.
        let cron_at = Cell::new(Millis(world.now().0 + world.below(BETWEEN_CALLS)));
        Self { session, instances: RefCell::default(), next: Cell::default(), cron_at }
    }

    fn process(&self) -> Process {
        let world = &self.session.world;
        let mut instances = self.instances.borrow_mut();
        instances.retain(|_, instance| instance.asked_at.get().0 + IDLE > world.now().0);
        let count = instances.len() as u64;
        let known = instances.iter().nth(world.below(count + 1) as usize);
        let (number, instance) = match known.filter(|(_, instance)| instance.requests.get() < REQUESTS) {
            Some((number, instance)) => (*number, Rc::clone(instance)),
            None => {
                self.next.set(self.next.get() + 1);
                (self.next.get(), Rc::new(Instance::new(&self.session)))
            }
        };
        instance.requests.set(instance.requests.get() + 1);
        instance.asked_at.set(world.now());
        instances.insert(number, instance);
        Process(number)
    }

    async fn store(&self, plan: Rc<StorePlan>) -> Vec<StoreOutcome> {
        let outcomes = self.instance().try_store(&plan).await;
        outcomes.unwrap_or_else(|_| vec![StoreOutcome::Unavailable; plan.events().len()])
    }

    async fn find(&self, plan: &FindPlan) -> FindOutcome {
        self.session.find(plan).await
    }

    async fn report(&self, plan: &ReportPlan) -> ReportOutcome {
        let read = self.session.report(plan, 1).await;
        read.map_or(ReportOutcome::Unavailable, |data| ReportOutcome::Read(vec![data]))
    }

    fn wakes_at(&self) -> Option<Millis> {
        Some(self.cron_at.get())
    }

    fn wake(self: &Rc<Self>, fibers: &mut Fibers) {
        self.cron_at.set(Millis(self.session.world.now().0 + BETWEEN_CALLS));
        let instances = Rc::clone(self);
        fibers.start(self.process(), async move {
            let _is_done = instances.instance().visit().await;
        });
    }

    fn end(&self, process: Process, fibers: &mut Fibers) {
        fibers.end(process);
        self.instances.borrow_mut().remove(&process.0);
    }

    fn stores(&self) -> impl Stores {
        let Session { world, database, .. } = self.session.clone();
        Databases { world, all: vec![database], shards: Self::SHARDS, beyond: BEYOND }
    }
}

impl Instances {
    /// The instance whose request is being polled.
    fn instance(&self) -> Rc<Instance> {
        let mut instances = self.instances.borrow_mut();
        Rc::clone(instances.entry(fibers::running().0).or_insert_with(|| Rc::new(Instance::new(&self.session))))
    }
}

impl Instance {
    fn new(session: &Session) -> Self {
        Self {
            session: session.clone(),
            requests: Cell::default(),
            asked_at: Cell::default(),
            maintenance: RefCell::default(),
            has_turn: Cell::default(),
        }
    }

    fn now(&self) -> Millis {
        self.session.world.now()
    }

    /// Runs a statement, and tries again while the database is locked.
    async fn run<T>(&self, kind: Kind, statement: impl Fn(&mut Database) -> T) -> Result<T, Fault> {
        for _ in 0..TRIES {
            match self.session.run(kind, &statement).await {
                Err(Fault::Locked) => pause().await,
                result => return result,
            }
        }
        Err(Fault::Locked)
    }

    async fn try_store(self: &Rc<Self>, plan: &StorePlan) -> Result<Vec<StoreOutcome>, Fault> {
        let (tenant, events, expired_by) = (plan.tenant().as_str(), plan.events(), plan.expired_by());
        if !self.takes_events().await? {
            return Ok(vec![StoreOutcome::Overloaded; events.len()]);
        }
        let insert = |database: &mut Database, events: &[&NewEvent]| {
            events.iter().filter(|event| database.insert(tenant, event)).map(|event| event.id).collect::<Vec<_>>()
        };
        let all: Vec<&NewEvent> = events.iter().collect();
        let mut stored = self.run(Kind::Write, |database| insert(database, &all)).await?;
        let taken: Vec<&NewEvent> = events.iter().filter(|event| !stored.contains(&event.id)).collect();
        let mut existing = BTreeMap::new();
        if !taken.is_empty() {
            let there = |database: &mut Database| {
                taken.iter().map(|event| database.there(tenant, event.id)).collect::<Vec<_>>()
            };
            let mut expired = Vec::new();
            for (event, there) in taken.iter().zip(self.run(Kind::Read, there).await?) {
                match there {
                    Some((_, expires_at)) if expires_at <= expired_by => expired.push(*event),
                    Some((digest, _)) => drop(existing.insert(event.id, digest)),
                    None => {}
                }
            }
            if !expired.is_empty() {
                let make_way = |database: &mut Database| {
                    expired.iter().for_each(|event| database.make_way(tenant, event.id, expired_by));
                };
                self.run(Kind::Write, make_way).await?;
                stored.extend(self.run(Kind::Write, |database| insert(database, &expired)).await?);
            }
        }
        let is_new = |event: &&NewEvent| stored.contains(&event.id);
        self.stored(events.iter().filter(is_new).map(|event| Load::of(&event.record)).sum());
        let outcome = |event: &NewEvent| match existing.get(&event.id) {
            _ if stored.contains(&event.id) => StoreOutcome::Stored,
            Some(digest) => StoreOutcome::Existing(*digest),
            None => StoreOutcome::Unavailable,
        };
        Ok(events.iter().map(outcome).collect())
    }

    async fn takes_events(self: &Rc<Self>) -> Result<bool, Fault> {
        if self.maintenance.borrow().is_none() {
            self.ask().await?;
        }
        let is_full = || self.maintenance.borrow().as_ref().is_some_and(|maintenance| !maintenance.takes_events());
        let arrived = self.now();
        while is_full() {
            if let Some(turn) = Turn::take(self) {
                self.do_turn(&turn).await?;
                break;
            }
            if self.now().0 > arrived.0 + DEADLINE {
                break;
            }
            pause().await;
        }
        Ok(!is_full())
    }

    /// Notes how much was stored. If a whole fold waits, a turn of maintenance follows beside the answer.
    fn stored(self: &Rc<Self>, load: Load) {
        let is_due = self.maintenance.borrow_mut().as_mut().is_some_and(|maintenance| {
            maintenance.stored(load, self.now());
            maintenance.is_outdated(self.now()) || maintenance.has_whole_fold()
        });
        if is_due && let Some(turn) = Turn::take(self) {
            let instance = Rc::clone(self);
            fibers::spawn(async move {
                if instance.ask().await.is_ok_and(|maintenance| maintenance.has_whole_fold()) {
                    let _is_done = instance.do_turn(&turn).await;
                }
            });
        }
    }

    /// Does all that is due, or as much of it as a cron waits for.
    async fn visit(self: &Rc<Self>) -> Result<(), Fault> {
        let Some(_turn) = Turn::take(self) else { return Ok(()) };
        self.ask().await?;
        let started = self.now();
        self.known(|maintenance| maintenance.begin_round(started));
        while u128::from(self.now().0 - started.0) < CRON.as_millis() && self.step().await {}
        Ok(())
    }

    async fn do_turn(&self, _turn: &Turn) -> Result<(), Fault> {
        let tasks = self.ask().await?.tasks_a_turn();
        for _ in 0..tasks {
            if !self.step().await {
                break;
            }
        }
        Ok(())
    }

    /// Does the next task, if there is one. Returns whether there may be more.
    async fn step(&self) -> bool {
        let Some(Next::Do(task)) = self.known(|maintenance| maintenance.next(self.now())) else { return false };
        let done = self.session.perform(&task).await;
        self.known(|maintenance| match done {
            Ok(outcome) => maintenance.done(outcome, self.now()),
            Err(_) => maintenance.failed(&task, self.now()),
        });
        true
    }

    fn known<T>(&self, ask: impl FnOnce(&mut Maintenance) -> T) -> Option<T> {
        self.maintenance.borrow_mut().as_mut().map(ask)
    }

    /// Asks the database what it holds. Tasks that this instance has begun go on.
    async fn ask(&self) -> Result<Maintenance, Fault> {
        let held = self.run(Kind::Read, |database| database.held()).await?;
        let now = self.now();
        let pace = Pace::INSTANCE.with_expiry(self.session.world.service().expiry_order());
        let mut known = self.maintenance.borrow_mut();
        let maintenance = known.get_or_insert_with(|| Maintenance::new(pace, held, now));
        maintenance.refresh(held, now);
        maintenance.set_pace(pace);
        Ok(maintenance.clone())
    }
}
