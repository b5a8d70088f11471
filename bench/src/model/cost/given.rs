//! What a design is given: the load of a month, assumptions, prices and events.

use anyhow::{Context, Result};

use crate::model::cost::assumptions::Assumptions;
use crate::model::cost::bill::Rates;
use crate::model::cost::sample::{Folded, Sample};
use crate::model::prices::Machine;

/// A month as providers count it: 730 hours.
pub(crate) const HOURS: f64 = 730.0;
/// The same month in seconds.
pub(crate) const SECONDS: f64 = HOURS * 3600.0;
/// The default suffixes of price ids: Lambda's processor, and a node.
pub(crate) const ARCH: &str = "x86";
pub(crate) const NODE: &str = "c7g-large";
/// Bytes in a billed GB.
pub(crate) const GB: f64 = 1e9;

/// The load of a month.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Load {
    /// Requests per month.
    pub requests: f64,
    /// Events per request.
    pub events_per_request: f64,
    /// The time that Lambda bills for a request besides init, in ms. `None` takes CPU time and the store's latency.
    pub duration_ms: Option<f64>,
    /// The CPU time of a request on Lambda and Workers, in ms. `None` takes what was measured, for this number of events.
    pub cpu_ms: Option<f64>,
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
    pub(crate) fn of_run(events: f64) -> Self {
        let (arch, node) = (ARCH.to_owned(), NODE.to_owned());
        let (duration_ms, cpu_ms, nodes) = (None, None, None);
        Self { requests: events, events_per_request: 1.0, duration_ms, cpu_ms, provisioned: 0.0, arch, node, nodes }
    }

    /// The id of the price of a node.
    pub(crate) fn node_id(&self) -> String {
        format!("node-{}", self.node)
    }

    /// Events per month.
    pub(crate) fn events(&self) -> f64 {
        self.requests * self.events_per_request
    }

    /// Events per second, if they arrive evenly.
    pub(crate) fn rate(&self) -> f64 {
        self.events() / SECONDS
    }
}

/// Everything that usage depends on.
pub(crate) struct Given<'a> {
    pub load: &'a Load,
    pub assumed: &'a Assumptions,
    pub rates: &'a Rates<'a>,
    pub sample: &'a Sample,
}

impl Given<'_> {
    /// The value of the assumption with this name.
    pub(crate) fn assumed(&self, name: &str) -> Result<f64> {
        self.assumed.value(name)
    }

    /// CPU milliseconds on the provider's processor, from the assumption with this name.
    pub(crate) fn cpu_ms(&self, name: &str) -> Result<f64> {
        Ok(self.assumed(name)? * self.assumed("cpu-factor")?)
    }

    /// CPU milliseconds of a request of this load on the provider's processor. The assumption with this name holds for a
    /// request of `measured-events` events.
    pub(crate) fn request_cpu_ms(&self, name: &str) -> Result<f64> {
        let cpu = match self.load.cpu_ms {
            Some(cpu) => cpu,
            None => self.assumed(name)? * self.work()?,
        };
        Ok(cpu * self.assumed("cpu-factor")?)
    }

    /// The work of a request of this load, relative to that of the requests that were measured. It is linear in the
    /// number of events.
    pub(crate) fn work(&self) -> Result<f64> {
        let each = self.assumed("event-work")?;
        let of = |events: f64| 1.0 + each * (events - 1.0).max(0.0);
        Ok(of(self.load.events_per_request) / of(self.assumed("measured-events")?))
    }

    /// Bytes of an answer with its headers.
    pub(crate) fn response_bytes(&self) -> Result<f64> {
        let more = (self.load.events_per_request - self.assumed("measured-events")?).max(0.0);
        Ok(self.assumed("response-bytes")? + more * self.assumed("response-event-bytes")?)
    }

    /// The node's machine.
    pub(crate) fn machine(&self) -> Result<&Machine> {
        let id = self.load.node_id();
        self.rates.price(&id)?.machine.as_ref().with_context(|| format!("the price {id} has no machine"))
    }

    /// Requests per second in the busiest hour.
    pub(crate) fn busiest(&self) -> Result<f64> {
        Ok(self.load.requests / SECONDS * self.assumed("peak-to-mean")?)
    }

    /// GB-months per month, once the service has run for as long as events are kept (`event-days`). Each event takes
    /// `bytes_an_event` bytes.
    pub(crate) fn stored_gb(&self, bytes_an_event: f64) -> Result<f64> {
        Ok(self.load.events() * bytes_an_event * self.assumed("event-days")? * 24.0 / HOURS / GB)
    }

    /// The mean fold on DynamoDB, or on any store with the same billing.
    pub(crate) fn folded(&self, events_per_hour: f64, batch: f64) -> Result<Folded> {
        let (read, write) = (self.rates.price("dynamodb-read")?, self.rates.price("dynamodb-write")?);
        self.sample.folded(events_per_hour, batch, [&|bytes| read.units_of(bytes), &|bytes| write.units_of(bytes)])
    }
}

/// Batches that gather events for some seconds after their first event, in each of `lanes`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Batches {
    /// Batches per month.
    pub count: f64,
    /// Mean number of events in each.
    pub events: f64,
}

impl Batches {
    pub(crate) fn of(rate: f64, lanes: f64, seconds: f64, most: f64) -> Self {
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
