//! The checks of databases.

use std::cell::RefCell;
use std::rc::Rc;

use isotherm_core::{Load, Merged, Millis, ReportOutcome, Seconds, Service, WriteLimits};

use crate::clients::Clients;
use crate::compaction;
use crate::database::Database;
use crate::platform::Stores;
use crate::world::{DAY, HOUR, World};

/// The most bytes behind the watermarks of a tenant's stores: half of the 16 MiB that a report reads. Each event counts
/// [`EVENT`] bytes more.
const TAIL: usize = 8 << 20;
const EVENT: usize = 64;
/// The bytes that a store may take before it notices that it is full.
const COMMIT: usize = 7 << 20;

/// All databases of a platform. A tenant's events are spread over `shards` of them.
pub(crate) struct Databases {
    pub(crate) world: Rc<World>,
    pub(crate) all: Vec<Rc<RefCell<Database>>>,
    pub(crate) shards: u32,
}

impl Stores for Databases {
    fn damage(&self) -> Option<String> {
        self.all.get(self.world.below(self.all.len() as u64) as usize)?.borrow_mut().damage()
    }

    /// Checks that expired events are deleted within a day, and that the unfolded ones stay within a bound. Both hold
    /// during faults too, which last for hours.
    fn check_bounds(&self) {
        let now = self.world.now().0;
        for database in &self.all {
            let Load { events, bytes } = database.borrow().held().unfolded;
            if bytes + EVENT * events > TAIL / self.shards as usize + COMMIT {
                self.world.violated(format!("{events} events with {bytes} bytes are not folded"));
            }
            if let Some(Seconds(oldest)) = database.borrow().oldest_expiry()
                && oldest * 1000 + DAY < now
            {
                let hours = (now - oldest * 1000) / HOUR;
                self.world.violated(format!("an event is still there {hours} h after it expired"));
            }
        }
    }

    fn check_folded(&self) {
        for database in &self.all {
            let unfolded = database.borrow().held().unfolded;
            if unfolded.events > 0 {
                self.world.violated(format!("{unfolded:?} are not folded after a time without faults"));
            }
        }
    }

    fn check_compacted(&self, over: Millis) {
        let (service, stuck) = (self.world.service(), self.world.faults.stuck.borrow());
        for database in &self.all {
            let database = database.borrow();
            let tenants = database.tenants();
            for tenant in tenants.iter().filter(|tenant| stuck.as_ref() != Some(tenant)) {
                let manifests = database.pages(tenant.as_str(), &[service.manifests()]);
                let open = service.compactions(&manifests, over).len();
                if open > 0 {
                    self.world.violated(format!("{open} days of {} are not compacted", tenant.as_str()));
                }
            }
        }
    }

    fn check_compaction(&self, clients: &Clients) {
        let (service, then) = (self.world.service(), Millis(self.world.now().0 + 2 * DAY));
        let copies: Vec<_> = self.all.iter().map(|database| RefCell::new(database.borrow().clone())).collect();
        compaction::check(
            clients,
            |plan, tenant| {
                let read = |copy: &RefCell<Database>| copy.borrow().read(tenant, plan.reading(), self.shards);
                Some(ReportOutcome::Read(copies.iter().map(read).collect()))
            },
            || copies.iter().for_each(|copy| compact(&mut copy.borrow_mut(), &service, then)),
        );
    }
}

/// Compacts all days that are past by `then`.
fn compact(database: &mut Database, service: &Service, then: Millis) {
    for tenant in database.tenants() {
        let manifests = database.pages(tenant.as_str(), &[service.manifests()]);
        for compaction in service.compactions(&manifests, then) {
            let stored = database.pages(tenant.as_str(), &compaction.ranges());
            let Merged { pages, .. } = compaction.merge(Some(stored), WriteLimits::ONE_WRITER);
            let pages = pages.into_iter().map(|page| (tenant.clone(), page)).collect();
            let is_done = database.write_if(database.watermark(), pages, None);
            assert!(is_done, "nothing else writes");
        }
    }
}
