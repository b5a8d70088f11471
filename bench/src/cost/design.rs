//! Designs: each turns monthly requests into usage on its platform.

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
/// The same month in seconds.
pub(super) const SECONDS: f64 = HOURS * 3600.0;
/// The default suffixes of price ids: Lambda's processor, and a node.
pub(super) const ARCH: &str = "x86";
pub(super) const NODE: &str = "c7g-large";
/// Bytes in a billed GB.
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
    /// Its name on the command line and in results.
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

    /// The path of an event, on one line.
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

    /// The usage of a month.
    ///
    /// # Errors
    /// Fails if the price book or the assumptions lack something.
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

/// The load of a month.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Load {
    /// Requests per month.
    pub requests: f64,
    /// Events per request.
    pub events_per_request: f64,
    /// The time that Lambda bills for a request besides init, in ms. `None` takes CPU time and the store's latency.
    pub duration_ms: Option<f64>,
    /// Number of Lambda's environments with provisioned concurrency.
    pub provisioned: f64,
    /// The suffix of Lambda's price ids: `x86` or `arm`.
    pub arch: String,
    /// The suffix of a node's price id, such as `c7g-large`.
    pub node: String,
    /// Number of nodes; `None` takes as many as the load needs.
    pub nodes: Option<f64>,
}

impl Load {
    /// The load of a run with this many events, whose requests were already counted there.
    pub(super) fn of_run(events: f64) -> Self {
        let (arch, node) = (ARCH.to_owned(), NODE.to_owned());
        let (duration_ms, nodes) = (None, None);
        Self { requests: events, events_per_request: 1.0, duration_ms, provisioned: 0.0, arch, node, nodes }
    }

    /// Events per month.
    pub(super) fn events(&self) -> f64 {
        self.requests * self.events_per_request
    }

    /// Events per second, if they arrive evenly.
    pub(super) fn rate(&self) -> f64 {
        self.events() / SECONDS
    }
}

/// Everything that usage depends on.
pub(super) struct Given<'a> {
    pub load: &'a Load,
    pub assumed: &'a Assumptions,
    pub rates: &'a Rates<'a>,
    pub sample: &'a Sample,
}

impl Given<'_> {
    /// The value of the assumption with this name.
    pub(super) fn assumed(&self, name: &str) -> Result<f64> {
        self.assumed.value(name)
    }

    /// CPU milliseconds on the provider's processor, from the assumption with this name.
    pub(super) fn cpu_ms(&self, name: &str) -> Result<f64> {
        Ok(self.assumed(name)? * self.assumed("cpu-factor")?)
    }

    /// GB-months per month, once the service has run for as long as events are kept (`event-days`). Each event takes
    /// `bytes_an_event` bytes.
    pub(super) fn stored_gb(&self, bytes_an_event: f64) -> Result<f64> {
        Ok(self.load.events() * bytes_an_event * self.assumed("event-days")? * 24.0 / HOURS / GB)
    }

    /// The mean fold on DynamoDB, or on any store with the same billing.
    pub(super) fn folded(&self, events_per_hour: f64, batch: f64) -> Result<Folded> {
        let (read, write) = (self.rates.price("dynamodb-read")?, self.rates.price("dynamodb-write")?);
        self.sample.folded(events_per_hour, batch, [&|bytes| read.units_of(bytes), &|bytes| write.units_of(bytes)])
    }
}

/// Batches that gather events for some seconds after their first event, in each of `lanes`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Batches {
    /// Batches per month.
    pub count: f64,
    /// Mean number of events in each.
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
