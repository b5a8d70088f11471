//! The interface of a platform's model.

use std::rc::Rc;

use isotherm_core::{FindOutcome, FindPlan, Millis, ReportOutcome, ReportPlan, StoreOutcome, StorePlan};

use crate::clients::Clients;
use crate::fibers::{Fibers, Process};
use crate::world::MINUTE;
use crate::world::World;

/// A store with everything that drives it.
pub(crate) trait Platform: Sized + 'static {
    /// Number of shards of a tenant.
    const SHARDS: u32;
    /// Event types that are kept for a shorter or longer time than others, with their days.
    const RETENTION: &'static [(&'static str, u64)] = &[("view", 30), ("buy more", 120)];

    /// A store without faults catches up within this time.
    const CALM: u64 = 40 * MINUTE;

    fn new(world: &Rc<World>) -> Self;

    /// The process that answers the next request.
    fn process(&self) -> Process;

    /// Carries a request out and returns the outcomes. The process may end at any pause, and then there is no answer.
    async fn store(&self, plan: Rc<StorePlan>) -> Vec<StoreOutcome>;
    async fn find(&self, plan: &FindPlan) -> FindOutcome;
    async fn report(&self, plan: &ReportPlan) -> ReportOutcome;

    /// When the platform next does something by itself.
    fn wakes_at(&self) -> Option<Millis>;

    /// Starts whatever is due now.
    fn wake(self: &Rc<Self>, fibers: &mut Fibers);

    /// Ends a process, and loses everything it has in memory.
    fn end(&self, process: Process, fibers: &mut Fibers);

    /// The length of a stream's window, if reports trail behind the kept events. `asOf` then says how far.
    fn window(&self) -> Option<u64> {
        None
    }

    /// When the last shard of the stream was opened.
    fn shard_opened_at(&self) -> Option<Millis> {
        None
    }

    fn stores(&self) -> impl Stores;
}

/// The checks of a platform's stores, and the damage done to them.
pub(crate) trait Stores {
    /// Overwrites some page. Returns its tenant, if there is a page.
    fn damage(&self) -> Option<String>;

    /// Checks what must hold at all times.
    fn check_bounds(&self);

    /// Checks that nothing is left to fold after a time without faults.
    fn check_folded(&self);

    /// Checks, after two days without faults, that all days past by `over` are compacted.
    fn check_compacted(&self, over: Millis);

    /// Checks that compaction changes no answer.
    fn check_compaction(&self, clients: &Clients);
}
