//! Checks the simulation of Lambda against what Lambda's reports say of the same arrivals.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::logs::observed::Observed;
use crate::model::simulate::draw::Draw;
use crate::model::simulate::fleet::Rules;
use crate::model::simulate::policy::{Model, Policy, Pricing};
use crate::model::simulate::replay::Replayed;
use crate::model::simulate::time::Micros;

/// How long an idle environment stays, as policies have it.
const KEEP_ALIVE: Micros = Micros(600_000_000);

/// What was observed, and what the simulation says of it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Check {
    pub observed: Observed,
    /// Cold requests as simulated.
    pub simulated_cold_share: f64,
    /// Billed GB-seconds as simulated.
    pub simulated_gb_seconds: f64,
    /// The simulated share of cold requests minus the observed one.
    pub cold_share_error: f64,
    /// The simulated bill relative to the observed one, minus 1.
    pub bill_error: f64,
}

/// The policy that is checked: Lambda with the observed init times and the durations of the log.
pub(crate) fn policy(observed: &Observed) -> Policy {
    let init = Draw::samples(&observed.inits).unwrap_or(Draw::Fixed(Micros::ZERO));
    let keep_alive = Draw::Fixed(KEEP_ALIVE);
    let rules = Rules { concurrency: 1, locations: 1, provisioned: 0, init, keep_alive, pings: None };
    Policy {
        name: "lambda, as observed".to_owned(),
        model: Model::Fleet(rules),
        service: None,
        pricing: Pricing::Lambda { memory_mb: Some(observed.memory_mb.round() as u32), arch: None, provisioned: 0 },
        sources: BTreeMap::new(),
    }
}

/// Compares the replay of [`policy`] with what was observed.
pub(crate) fn check(observed: Observed, replayed: &Replayed) -> Check {
    let simulated_gb_seconds = replayed.billed.on_demand_ms as f64 / 1e3 * observed.memory_mb / 1024.0;
    let simulated_cold_share = replayed.record.cold_share();
    Check {
        simulated_cold_share,
        simulated_gb_seconds,
        cold_share_error: simulated_cold_share - observed.cold_share,
        bill_error: if observed.gb_seconds > 0.0 { simulated_gb_seconds / observed.gb_seconds - 1.0 } else { 0.0 },
        observed,
    }
}
