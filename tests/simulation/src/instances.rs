//! Instances that come with a request and end with it, and share a database of single statements: Spin.
//!
//! Each makes its machine anew from what the database holds. A cron asks one of them for what is due, and comes again some
//! minutes later, whatever became of the last one.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use isotherm_core::{
    FindOutcome, FindPlan, Load, Millis, Pace, ReportOutcome, ReportPlan, StoreOutcome, StorePlan, Task, Upkeep,
};

use crate::database::Database;
use crate::driver::{Fault, Kind, Manner, Session};
use crate::fibers::{Fibers, Process, pause};
use crate::platform::Platform;
use crate::world::{MINUTE, World};

/// Between two calls of the cron.
const CRON: u64 = 15 * MINUTE;
/// Tasks of one call of the cron: it ends with its request's deadline.
const TASKS_A_CALL: usize = 500;
/// Times that a locked database is asked again.
const TRIES: usize = 4;

pub(crate) struct Instances {
    session: Session,
    next: Cell<usize>,
    cron_at: Cell<Millis>,
}

impl Platform for Instances {
    const SHARDS: u32 = 1;

    fn new(world: &Rc<World>) -> Self {
        let database = Rc::new(RefCell::new(Database::new(Rc::clone(world))));
        let session = Session { world: Rc::clone(world), database, manner: Manner::Statements, backs_up: false };
        Self { session, next: Cell::default(), cron_at: Cell::new(world.now()) }
    }

    fn process(&self) -> Process {
        self.next.set(self.next.get() + 1);
        Process(self.next.get())
    }

    async fn store(&self, plan: Rc<StorePlan>) -> Vec<StoreOutcome> {
        let outcomes = self.try_store(&plan).await;
        outcomes.unwrap_or_else(|_| vec![StoreOutcome::Later; plan.events().len()])
    }

    async fn find(&self, plan: &FindPlan) -> FindOutcome {
        self.session.find(plan).await
    }

    async fn report(&self, plan: &ReportPlan) -> ReportOutcome {
        let read = self.session.report(plan, 1).await;
        read.map_or(ReportOutcome::Later, |data| ReportOutcome::Read(vec![data]))
    }

    fn wakes_at(&self) -> Option<Millis> {
        Some(self.cron_at.get())
    }

    fn wake(self: &Rc<Self>, fibers: &mut Fibers) {
        self.cron_at.set(Millis(self.session.world.now().0 + CRON));
        let instances = Rc::clone(self);
        fibers.start(self.process(), async move {
            if let Ok(mut upkeep) = instances.machine().await {
                instances.tend(&mut upkeep, TASKS_A_CALL).await;
            }
        });
    }

    fn end(&self, process: Process, fibers: &mut Fibers) {
        fibers.end(process);
    }

    fn databases(&self) -> Vec<Rc<RefCell<Database>>> {
        vec![Rc::clone(&self.session.database)]
    }
}

impl Instances {
    /// A statement, which is tried again where the database is locked.
    async fn run<T>(&self, kind: Kind, statement: impl Fn(&mut Database) -> T) -> Result<T, Fault> {
        for _ in 0..TRIES {
            match self.session.run(kind, &statement).await {
                Err(Fault::Locked) => pause().await,
                result => return result,
            }
        }
        Err(Fault::Locked)
    }

    async fn machine(&self) -> Result<Upkeep, Fault> {
        let held = self.run(Kind::Read, |database| database.held()).await?;
        Ok(Upkeep::new(Pace::INSTANCE, held, self.session.world.now()))
    }

    async fn try_store(&self, plan: &StorePlan) -> Result<Vec<StoreOutcome>, Fault> {
        let mut upkeep = self.machine().await?;
        if !upkeep.takes_events() {
            return Ok(vec![StoreOutcome::Overloaded; plan.events().len()]);
        }
        let tenant = plan.tenant().as_str();
        let keep = |database: &mut Database| plan.events().iter().map(|event| database.keep(tenant, event)).collect();
        let outcomes: Vec<StoreOutcome> = self.run(Kind::Write, keep).await?;
        let stored = plan.events().iter().zip(&outcomes).filter(|(_, outcome)| **outcome == StoreOutcome::Stored);
        let stored: Load = stored.map(|(event, _)| Load::of(&event.record)).sum();
        upkeep.stored(stored, self.session.world.now());
        if upkeep.is_pressing() {
            let turn = upkeep.turn();
            self.tend(&mut upkeep, turn).await;
        }
        Ok(outcomes)
    }

    async fn tend(&self, upkeep: &mut Upkeep, tasks: usize) {
        for _ in 0..tasks {
            let task = upkeep.next(self.session.world.now());
            if matches!(task, Task::Sleep { .. }) {
                return;
            }
            let outcome = self.session.perform_or_fail(&task).await;
            upkeep.done(outcome, self.session.world.now());
        }
    }
}
