//! The checks of databases.

use std::cell::RefCell;
use std::rc::Rc;

use isotherm_core::{Limits, Load, Merged, Millis, ReportOutcome, Seconds, Service, WriteLimits};

use crate::clients::Clients;
use crate::compaction;
use crate::database::Database;
use crate::platform::Stores;
use crate::world::{DAY, HOUR, World};

/// The bytes behind the watermarks of a tenant's stores at which they are full: half of the 16 MiB that a report reads.
const TAIL: usize = 8 << 20;
/// An event counts these bytes more than its record has.
const EVENT: usize = 64;

/// The most that one request brings: a body, and for each event what the server adds to it.
pub(crate) const REQUEST: Load =
    Load { events: LIMITS.batch_events, bytes: LIMITS.body_bytes + ADDED * LIMITS.batch_events };
const LIMITS: Limits = Limits::CONTRACT;
/// An id, two times and their names.
const ADDED: usize = 160;

/// What these events count behind a watermark.
pub(crate) const fn counts(Load { events, bytes }: Load) -> usize {
    bytes + EVENT * events
}

/// All databases of a platform. A tenant's events are spread over `shards` of them.
pub(crate) struct Databases {
    pub(crate) world: Rc<World>,
    pub(crate) all: Vec<Rc<RefCell<Database>>>,
    pub(crate) shards: u32,
    /// The most that a store takes before it notices that it is full.
    pub(crate) beyond: usize,
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
            let unfolded = database.borrow().held().unfolded;
            if counts(unfolded) > TAIL / self.shards as usize + self.beyond {
                self.world.violated(format!("{unfolded:?} are not folded"));
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
