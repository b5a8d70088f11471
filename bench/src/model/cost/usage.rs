//! The usage of a month: units by service and price.

use std::collections::BTreeMap;

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The services that a bill is divided into, in the order of an event's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Service {
    /// A plan's fee.
    Plan,
    /// What stands before functions.
    Gateway,
    /// The functions that answer requests, or the nodes.
    Function,
    /// Events written, and kept.
    Store,
    /// The stream of events, folding it, and rollups.
    Aggregation,
    /// Raw events in a bucket.
    Backup,
    /// Guaranteed delivery.
    Queue,
    /// Scheduled invocations.
    Schedule,
    /// Logs.
    Logs,
    /// Answers on their way out.
    Egress,
}

impl Service {
    /// All of them, in the order of an event's path.
    pub(crate) const ALL: [Self; 10] = [
        Self::Plan,
        Self::Gateway,
        Self::Function,
        Self::Store,
        Self::Aggregation,
        Self::Backup,
        Self::Queue,
        Self::Schedule,
        Self::Logs,
        Self::Egress,
    ];

    /// Its name on the command line and in results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Gateway => "gateway",
            Self::Function => "function",
            Self::Store => "store",
            Self::Aggregation => "aggregation",
            Self::Backup => "backup",
            Self::Queue => "queue",
            Self::Schedule => "schedule",
            Self::Logs => "logs",
            Self::Egress => "egress",
        }
    }
}

/// Units used in a month, by service and price id.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Usage(BTreeMap<(Service, String), f64>);

impl Usage {
    /// Adds units.
    pub(crate) fn add(&mut self, service: Service, price: &str, units: f64) {
        *self.0.entry((service, price.to_owned())).or_default() += units;
    }

    /// Raises the units to `least`, if they are fewer.
    pub(crate) fn at_least(&mut self, service: Service, price: &str, least: f64) {
        let units = self.0.entry((service, price.to_owned())).or_default();
        *units = units.max(least);
    }

    /// All usage, in the order of an event's path.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Service, &str, f64)> {
        self.0.iter().map(|((service, price), units)| (*service, price.as_str(), *units))
    }

    /// The usage without that of a service.
    pub(crate) fn without(mut self, service: Service) -> Self {
        self.0.retain(|(of, _), _| *of != service);
        self
    }

    /// The usage in which another price stands in the place of one, with `factor` times as many units. Only those of
    /// `service` are replaced if it is given.
    pub(crate) fn replaced(self, service: Option<Service>, price: &str, other: &str, factor: f64) -> Self {
        let mut usage = Self::default();
        for ((of, id), units) in self.0 {
            if id == price && service.is_none_or(|service| service == of) {
                usage.add(of, other, units * factor);
            } else {
                usage.add(of, &id, units);
            }
        }
        usage
    }

    /// The usage multiplied by `factor`.
    pub(crate) fn times(self, factor: f64) -> Self {
        Self(self.0.into_iter().map(|(of, units)| (of, units * factor)).collect())
    }

    /// The units of a price that one service uses.
    pub(crate) fn of(&self, service: Service, price: &str) -> f64 {
        self.0.get(&(service, price.to_owned())).copied().unwrap_or_default()
    }

    /// The units of a price over all services. Tiers and free units apply to an account and not to a service.
    pub(crate) fn units(&self, price: &str) -> f64 {
        self.iter().filter(|(_, id, _)| *id == price).map(|(.., units)| units).sum()
    }
}
