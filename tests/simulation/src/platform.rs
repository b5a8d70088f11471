//! What a model of a platform is.

use std::cell::RefCell;
use std::rc::Rc;

use isotherm_core::{FindOutcome, FindPlan, Millis, ReportOutcome, ReportPlan, StoreOutcome, StorePlan};

use crate::database::Database;
use crate::fibers::{Fibers, Process};
use crate::world::World;

/// A store with what drives it.
pub(crate) trait Platform: Sized + 'static {
    /// Shards of a tenant.
    const SHARDS: u32;

    fn new(world: &Rc<World>) -> Self;

    /// The process that answers the next request.
    fn process(&self) -> Process;

    /// What a request has done; the process may end at any pause, and then there is no answer.
    async fn store(&self, plan: Rc<StorePlan>) -> Vec<StoreOutcome>;
    async fn find(&self, plan: &FindPlan) -> FindOutcome;
    async fn report(&self, plan: &ReportPlan) -> ReportOutcome;

    /// When the platform does something by itself.
    fn wakes_at(&self) -> Option<Millis>;

    /// Starts what is due now.
    fn wake(self: &Rc<Self>, fibers: &mut Fibers);

    /// A process ends, and all that it has in memory is lost.
    fn end(&self, process: Process, fibers: &mut Fibers);

    fn databases(&self) -> Vec<Rc<RefCell<Database>>>;
}
