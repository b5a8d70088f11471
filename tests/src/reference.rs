//! The right answers of every host: core beside a store that is a map.

use std::collections::BTreeMap;
use std::sync::Mutex;

use isotherm_core::{
    Admission, Condition, Digest, EventId, ExportOutcome, FindOutcome, HEADERS, Millis, Plan, Ran, Reply, ReportData,
    ReportOutcome, Request, Service, Stamp, StoreOutcome, joined,
};

use crate::client::Ask;

/// The secret that every host of these tests has, under the name [`SECRET_VARIABLE`].
pub const SECRET: &str = "the secret of the conformance tests";
/// The variable for the secret `conformance`.
pub const SECRET_VARIABLE: &str = "ISOTHERM_SECRET_CONFORMANCE";

type Kept = BTreeMap<(String, EventId), (Digest, String)>;

/// Core and a map of kept events.
pub struct Reference {
    service: Service,
    kept: Mutex<Kept>,
}

impl Reference {
    /// A reference with this configuration and no events.
    pub fn new(config: &str) -> Self {
        let service = Service::from_text(Some(config)).with_secrets(|_name| Some(SECRET.to_owned()));
        Self { service, kept: Mutex::default() }
    }

    /// The answer to `ask`, whose header carries the stamp.
    pub fn answer(&self, ask: &Ask) -> Reply {
        let (path, query) = ask.target.split_once('?').unwrap_or((&ask.target, ""));
        let header = |name: &str| {
            let lines = ask.headers.iter().filter(|(known, _)| known == name);
            joined(lines.map(|(_, value)| value.as_bytes()))
        };
        let headers: Vec<_> = HEADERS.iter().filter_map(|name| Some((*name, header(name)?))).collect();
        let request = Request { method: &ask.method, path, query, headers: &headers, body: &ask.body };
        let stamp = ask.stamp().unwrap_or(Stamp { received_at: Millis(0), entropy: 0 });
        let mut kept = self.kept.lock().expect("no test panics while it holds the lock");
        let mut reply = match self.service.admit(&request, stamp) {
            Admission::Reply(reply) => reply,
            Admission::Plan(Plan::Store(plan)) => {
                let tenant = plan.tenant().as_str().to_owned();
                let mut keep = |event: &isotherm_core::NewEvent| match kept.get(&(tenant.clone(), event.id)) {
                    Some((digest, _)) => StoreOutcome::Existing(*digest),
                    None => {
                        kept.insert((tenant.clone(), event.id), (event.digest, event.record.clone()));
                        StoreOutcome::Stored
                    }
                };
                let outcomes = plan.events().iter().map(&mut keep).collect();
                plan.respond(outcomes)
            }
            Admission::Plan(Plan::Find(plan)) => {
                let key = (plan.tenant().as_str().to_owned(), plan.id());
                let found = kept.get(&key).map(|(_, record)| FindOutcome::Found(record.clone()));
                plan.respond(found.unwrap_or(FindOutcome::Absent))
            }
            Admission::Plan(Plan::Report(plan)) => {
                let of_tenant = kept.iter().filter(|((tenant, _), _)| tenant == plan.tenant().as_str());
                let tail = of_tenant.map(|(_, (_, record))| record.clone()).collect();
                plan.respond(ReportOutcome::Read(vec![ReportData { tail, ..ReportData::default() }])).reply
            }
            Admission::Plan(Plan::Maintenance(plan)) => plan.respond(true),
            Admission::Plan(Plan::Ready(plan)) => plan.respond(Some(Condition::default())),
            Admission::Plan(Plan::Metrics(plan)) => plan.respond(None, Some(vec![Condition::default()])),
            // The reference does not support export and import; `moves.rs` tests them.
            Admission::Plan(Plan::Export(plan)) => plan.respond(ExportOutcome::Unavailable),
            Admission::Plan(Plan::Import(plan)) => plan.respond(false),
        };
        let _seen = self.service.seen(&request, stamp, &mut reply, Ran::default());
        reply
    }
}
