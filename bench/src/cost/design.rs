//! Designs: how requests a month become usage on each platform.

use anyhow::Result;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::cost::assumptions::Assumptions;
use crate::cost::bill::Rates;
use crate::cost::sample::{Folded, Sample};
use crate::cost::usage::Usage;
use crate::cost::{article, lambda, nodes, workers};

/// A month as providers count it: 730 hours.
pub(super) const HOURS: f64 = 730.0;
/// The same in seconds.
pub(super) const SECONDS: f64 = HOURS * 3600.0;
/// The ends of prices' ids where nothing else is asked for: Lambda's processor, and a node.
pub(super) const ARCH: &str = "x86";
pub(super) const NODE: &str = "c7g-large";
/// Of what is billed by the GB.
pub(super) const GB: f64 = 1e9;

/// What is priced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Design {
    /// Isotherm on AWS Lambda
    Lambda,
    /// Isotherm on Cloudflare Workers
    Workers,
    /// Isotherm on nodes with Spin (SpinKube)
    Spin,
    /// Isotherm on Akamai Functions, whose prices are not published
    Akamai,
    /// Isotherm as a plain server on nodes
    Native,
    /// What it is to save from: a REST API, a function of 512 MB, a put to DynamoDB and one to S3 for each event
    Article,
}

impl Design {
    /// As it is written on the command line and in results.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Lambda => "lambda",
            Self::Workers => "workers",
            Self::Spin => "spin",
            Self::Akamai => "akamai",
            Self::Native => "native",
            Self::Article => "article",
        }
    }

    /// An event's way, on one line.
    pub(super) fn about(self) -> &'static str {
        match self {
            Self::Lambda => "HTTP API, Lambda, DynamoDB; stream to rollups in DynamoDB, one object a batch in S3",
            Self::Workers => "Workers, Durable Objects with SQLite; folded by alarms, one object a fold in R2",
            Self::Spin => "SpinKube on nodes, SQLite",
            Self::Akamai => "Akamai Functions",
            Self::Native => "a plain server on nodes, SQLite",
            Self::Article => {
                "the article's: REST API, Lambda of 512 MB, DynamoDB; one object an event in S3; stream, aggregation"
            }
        }
    }

    /// What a month uses.
    ///
    /// # Errors
    /// Where the price book or the assumptions lack something.
    pub(super) fn usage(self, given: &Given<'_>) -> Result<Usage> {
        match self {
            Self::Lambda => lambda::usage(given),
            Self::Workers => workers::usage(given),
            Self::Spin => nodes::spin(given),
            Self::Akamai => nodes::akamai(given),
            Self::Native => nodes::native(given),
            Self::Article => article::usage(given),
        }
    }
}

/// What comes in a month.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Load {
    /// Requests a month.
    pub requests: f64,
    /// Events in each.
    pub events_per_request: f64,
    /// What Lambda bills of a request beside init; `None`: CPU time and the store's latency.
    pub duration_ms: Option<f64>,
    /// Lambda's environments with provisioned concurrency.
    pub provisioned: f64,
    /// The end of Lambda's prices: `x86` or `arm`.
    pub arch: String,
    /// The end of a node's price, such as `c7g-large`.
    pub node: String,
    /// How many nodes; `None`: as many as it takes.
    pub nodes: Option<f64>,
}

impl Load {
    /// The events of a run, whose requests were counted there.
    pub(super) fn of_run(events: f64) -> Self {
        let (arch, node) = (ARCH.to_owned(), NODE.to_owned());
        let (duration_ms, nodes) = (None, None);
        Self { requests: events, events_per_request: 1.0, duration_ms, provisioned: 0.0, arch, node, nodes }
    }

    /// Events a month.
    pub(super) fn events(&self) -> f64 {
        self.requests * self.events_per_request
    }

    /// Events a second, when they come evenly.
    pub(super) fn rate(&self) -> f64 {
        self.events() / SECONDS
    }
}

/// All that usage follows from.
pub(super) struct Given<'a> {
    pub load: &'a Load,
    pub assumed: &'a Assumptions,
    pub rates: &'a Rates<'a>,
    pub sample: &'a Sample,
}

impl Given<'_> {
    /// What is assumed under this name.
    pub(super) fn assumed(&self, name: &str) -> Result<f64> {
        self.assumed.value(name)
    }

    /// CPU ms on the provider's processor.
    pub(super) fn cpu_ms(&self, name: &str) -> Result<f64> {
        Ok(self.assumed(name)? * self.assumed("cpu-factor")?)
    }

    /// GB-months of what each event leaves for 90 days, once it runs for so long.
    pub(super) fn stored_gb(&self, bytes_an_event: f64) -> Result<f64> {
        Ok(self.load.events() * bytes_an_event * self.assumed("event-days")? * 24.0 / HOURS / GB)
    }

    /// The mean fold on DynamoDB, or on any store that bills like it.
    pub(super) fn folded(&self, events_per_hour: f64, batch: f64) -> Result<Folded> {
        let (read, write) = (self.rates.price("dynamodb-read")?, self.rates.price("dynamodb-write")?);
        self.sample.folded(events_per_hour, batch, [&|bytes| read.units_of(bytes), &|bytes| write.units_of(bytes)])
    }
}

/// Batches that gather for so many seconds after their first event, in each of `lanes`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Batches {
    /// A month.
    pub count: f64,
    /// Events in each, as a mean.
    pub events: f64,
}

impl Batches {
    pub(super) fn of(rate: f64, lanes: f64, seconds: f64, most: f64) -> Self {
        let events = (1.0 + rate / lanes * seconds).min(most);
        Self { count: rate * SECONDS / events, events }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_as_large_as_what_comes_meanwhile() {
        let of = |rate, lanes| Batches::of(rate, lanes, 1.0, 1000.0);
        assert_eq!(of(9.0, 1.0), Batches { count: 0.9 * SECONDS, events: 10.0 });
        assert_eq!(of(5000.0, 1.0), Batches { count: 5.0 * SECONDS, events: 1000.0 });
        assert_eq!(of(36.0, 4.0).events, 10.0);
    }
}
