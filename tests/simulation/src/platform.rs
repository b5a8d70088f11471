//! What a model of a platform is.

use std::rc::Rc;

use isotherm_core::{FindOutcome, FindPlan, Millis, ReportOutcome, ReportPlan, StoreOutcome, StorePlan};

use crate::clients::Clients;
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

    /// How long a window of the stream is, where reports trail behind what is kept: `asOf` says how far.
    fn window(&self) -> Option<u64> {
        None
    }

    /// When the last shard of the stream was opened.
    fn shard_opened_at(&self) -> Option<Millis> {
        None
    }

    fn stores(&self) -> impl Stores;
}

/// What is checked of a platform's stores, and broken.
pub(crate) trait Stores {
    /// Something writes over a page. Whose, if there is one.
    fn damage(&self) -> Option<String>;

    /// What has to be so at all times.
    fn check_bounds(&self);

    /// After a time without faults nothing is left to fold.
    fn check_folded(&self);

    /// After two days without faults the days are compacted that are over by then.
    fn check_compacted(&self, over: Millis);

    /// Compaction changes no answer.
    fn check_compaction(&self, clients: &Clients);
}
