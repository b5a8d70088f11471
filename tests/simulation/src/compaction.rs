//! Compaction changes no answer. All days are compacted in a copy of the stores, and reports must stay the same, byte
//! for byte.

use isotherm_core::{ReportOutcome, ReportPlan, ReportReply};

use crate::clients::Clients;
use crate::reports::{Report, Rows};
use crate::world::TENANTS;

/// Compares the answers of a copy before and after it is compacted.
pub(crate) fn check(
    clients: &Clients,
    read: impl Fn(&ReportPlan, &str) -> Option<ReportOutcome>,
    compact: impl FnOnce(),
) {
    let world = &clients.world;
    let damaged = world.faults.damaged.borrow();
    let tenants = TENANTS.iter().take(world.service().tenants().len()).filter(|tenant| !damaged.contains(**tenant));
    let reports = tenants.flat_map(|tenant| Rows::ALL.map(|rows| Report::any(world, tenant, rows, false)));
    let reports: Vec<Report> = reports.collect();
    let answer = |report: &Report| {
        let plan = clients.plan(report)?;
        let outcome = read(&plan, &report.tenant)?;
        let ReportReply { reply, .. } = plan.respond(outcome);
        Some(String::from_utf8_lossy(&reply.body).into_owned())
    };
    let before: Vec<_> = reports.iter().map(answer).collect();
    compact();
    for (report, before) in reports.iter().zip(before) {
        let after = answer(report);
        if before != after || after.is_none() {
            world.violated(format!("{} is another after compaction: {before:?}, {after:?}", report.name()));
        }
    }
}
