//! That compaction changes no answer: all days are compacted in a copy of what stores have, and reports stay the same, byte for byte.

use std::cell::RefCell;
use std::rc::Rc;

use isotherm_core::{Merged, Millis, ReportOutcome, Service, Settled, WriteLimits};

use crate::clients::Clients;
use crate::database::Database;
use crate::reports::{Report, Rows};
use crate::world::{DAY, TENANTS};

/// Compares the answers before and after.
pub(crate) fn check(clients: &Clients, databases: &[Rc<RefCell<Database>>], shards: u32) {
    let world = &clients.world;
    let service = world.service();
    let mut copies: Vec<Database> = databases.iter().map(|database| database.borrow().clone()).collect();
    let damaged = world.faults.damaged.borrow();
    let tenants = TENANTS.iter().take(service.tenants().len()).filter(|tenant| !damaged.contains(**tenant));
    let reports = tenants.flat_map(|tenant| Rows::ALL.map(|rows| Report::any(world, tenant, rows, false)));
    let reports: Vec<Report> = reports.collect();
    let answers = |databases: &[Database]| {
        reports.iter().map(|report| answer(clients, databases, report, shards)).collect::<Vec<_>>()
    };
    let before = answers(&copies);
    copies.iter_mut().for_each(|copy| compact(copy, &service, Millis(world.now().0 + 2 * DAY)));
    for (report, (before, after)) in reports.iter().zip(before.into_iter().zip(answers(&copies))) {
        if before != after {
            world.violated(format!("{} is another after compaction: {before:?}, {after:?}", report.name()));
        }
    }
}

fn answer(clients: &Clients, databases: &[Database], report: &Report, shards: u32) -> Option<String> {
    let plan = clients.plan(report)?;
    let read = |database: &Database| database.read(&report.tenant, plan.reading(), shards);
    let read = ReportOutcome::Read(databases.iter().map(read).collect());
    let Settled { reply, .. } = plan.settle(read);
    Some(String::from_utf8_lossy(&reply.body).into_owned())
}

/// Compacts all days that are over by then.
fn compact(database: &mut Database, service: &Service, then: Millis) {
    for tenant in database.tenants() {
        let marks = database.pages(tenant.as_str(), &[service.marks()]);
        for compaction in service.compactions(&marks, then) {
            let stored = database.pages(tenant.as_str(), &compaction.ranges());
            let Merged { pages, .. } = compaction.settle(stored, WriteLimits::ONE_WRITER);
            let pages = pages.into_iter().map(|page| (tenant.clone(), page)).collect();
            let is_done = database.write_if(database.watermark(), pages, None);
            assert!(is_done, "nothing else writes");
        }
    }
}
