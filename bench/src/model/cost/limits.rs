//! What a platform or a deployment can't carry: limits of providers, and of what `deploy/` sets up.

use anyhow::Result;
use isotherm_core::Limits;
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::cost::design::Design;
use crate::model::cost::given::{Given, Load, SECONDS};
use crate::model::cost::lambda::{self, ingest_ms, lanes};
use crate::model::cost::usage::{Service, Usage};
use crate::model::cost::{managed, nodes};
use crate::words::{amount, decimal};

/// The largest number of shards that a configuration takes (`core/src/admission/config.rs`).
const MOST_SHARDS: f64 = 256.0;

/// The partitions that lanes of rollups are spread over (`adapters/lambda/src/rollups.rs`).
const PARTITIONS: f64 = 4.0;

/// A limit that a load exceeds.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Exceeded {
    /// What can't be, in words.
    pub problem: String,
    /// What would carry the load.
    pub remedy: String,
}

/// The limits that a design exceeds with this usage of a month. A design that exceeds one can't carry the load.
///
/// # Errors
/// Fails if the assumptions lack something.
pub(crate) fn exceeded(design: Design, given: &Given<'_>, usage: &Usage) -> Result<Vec<Exceeded>> {
    let mut found = Found(Vec::new());
    let load = Load { requests: given.load.requests * given.assumed("peak-to-mean")?, ..given.load.clone() };
    let busiest = Given { load: &load, ..*given };
    if !design.is_instead() {
        found.request(given);
    }
    match design {
        Design::Lambda => {
            found.environments(&busiest, ingest_ms(&busiest)?)?;
            found.lambda(&busiest)?;
        }
        Design::Managed => {
            found.instances(given)?;
            found.lambda(&busiest)?;
        }
        Design::Workers => found.workers(&busiest, usage)?,
        Design::Spin => {
            found.throughput(given, "spin-requests-per-second")?;
            found.disk(given, usage)?;
        }
        Design::Native => {
            found.one_node(given)?;
            found.throughput(given, "native-requests-per-second")?;
            found.disk(given, usage)?;
        }
        Design::Baseline => found.baseline(&busiest)?,
        Design::Firehose => found.firehose(&busiest)?,
        Design::Pipelines => found.stream("Pipelines", &busiest, "pipelines-mb-per-second", given.sample.body_bytes)?,
        Design::Akamai => {}
    }
    Ok(found.0)
}

struct Found(Vec<Exceeded>);

impl Found {
    fn check(&mut self, needs: f64, most: f64, words: impl FnOnce() -> (String, String)) {
        if needs > most {
            let (problem, remedy) = words();
            self.0.push(Exceeded { problem, remedy });
        }
    }

    /// The contract's limits, which are the same on every platform.
    fn request(&mut self, given: &Given<'_>) {
        let events = given.load.events_per_request;
        let Limits { batch_events, body_bytes, .. } = Limits::CONTRACT;
        let (most, bytes) = (batch_events as f64, events * given.sample.body_bytes);
        self.check(events, most, || {
            let problem = format!("a request has at most {} events, not {}", amount(most), amount(events));
            (problem, format!("requests of {} events", amount(most)))
        });
        self.check(bytes, body_bytes as f64, || {
            let fit = (body_bytes as f64 / given.sample.body_bytes).floor();
            let problem =
                format!("a request has at most 1 MiB, and {} such events have {} bytes", amount(events), amount(bytes));
            (problem, format!("requests of {} events", amount(fit)))
        });
    }

    /// What stands around the function that answers requests.
    fn lambda(&mut self, busiest_hour: &Given<'_>) -> Result<()> {
        let given = busiest_hour;
        let usage = lambda::around(given)?;
        self.table(given, &usage)?;
        let writes = usage.of(Service::Aggregation, "dynamodb-write") / SECONDS / lanes(given)?.min(PARTITIONS);
        let most = given.assumed("dynamodb-partition-writes")?;
        self.check(writes, most, || {
            let problem = format!(
                "a partition of DynamoDB takes {} write units/s, and the rollups of one would get {} in the busiest hour",
                amount(most),
                amount(writes)
            );
            (problem, "longer windows: `lambda-window-s` and `lambda-tumbling-s`".to_owned())
        });
        self.gateway(given)
    }

    fn gateway(&mut self, given: &Given<'_>) -> Result<()> {
        let (busiest, most) = (per_second(given), given.assumed("gateway-requests-per-second")?);
        self.check(busiest, most, || {
            let problem = format!(
                "API Gateway takes {} requests/s of an account and Region, and the busiest hour has {}",
                amount(most),
                amount(busiest)
            );
            (problem, format!("a quota of {} requests/s, for which AWS has to be asked", amount(busiest.ceil())))
        });
        Ok(())
    }

    /// The environments of the busiest hour.
    fn environments(&mut self, given: &Given<'_>, duration_ms: f64) -> Result<()> {
        let (needs, most) = (per_second(given) * duration_ms / 1000.0, given.assumed("lambda-concurrency")?);
        self.check(needs, most, || {
            let problem = format!(
                "Lambda runs {} environments of an account at once, and the busiest hour needs {}",
                amount(most),
                amount(needs.ceil())
            );
            (problem, format!("a quota of {} environments, for which AWS has to be asked", amount(needs.ceil())))
        });
        Ok(())
    }

    /// The instances of Lambda Managed Instances: their machine, and how many are given.
    fn instances(&mut self, given: &Given<'_>) -> Result<()> {
        self.check(given.machine()?.credits, 0.0, || {
            let problem = format!("a {} is burstable, and Managed Instances take no such machine", given.load.node);
            (problem, "a machine without CPU credits, such as c7g-large".to_owned())
        });
        let Some(most) = given.load.nodes else { return Ok(()) };
        let needs = managed::needed(given)?;
        self.check(needs, most, || {
            let problem = format!("the busiest hour needs {} instances, and there are {}", amount(needs), amount(most));
            (problem, format!("{} instances, or larger ones", amount(needs)))
        });
        Ok(())
    }

    fn firehose(&mut self, busiest_hour: &Given<'_>) -> Result<()> {
        let given = busiest_hour;
        self.gateway(given)?;
        let (busiest, most) = (per_second(given), given.assumed("firehose-requests-per-second")?);
        self.check(busiest, most, || {
            let problem = format!(
                "a stream of Data Firehose takes {} requests/s, and the busiest hour has {}",
                amount(most),
                amount(busiest)
            );
            (problem, format!("{} streams, or a larger quota", amount((busiest / most).ceil())))
        });
        self.stream("Data Firehose", given, "firehose-mb-per-second", given.sample.body_bytes)
    }

    /// The bytes of a stream in the busiest hour.
    fn stream(&mut self, name: &str, busiest_hour: &Given<'_>, of_one: &str, event_bytes: f64) -> Result<()> {
        let (most, busiest) = (busiest_hour.assumed(of_one)?, busiest_hour.load.rate() * event_bytes / 1e6);
        self.check(busiest, most, || {
            let problem = format!(
                "a stream of {name} takes {} MB/s, and the busiest hour has {}",
                decimal(most),
                decimal((busiest * 10.0).round() / 10.0)
            );
            (problem, format!("{} streams, or a larger quota", amount((busiest / most).ceil())))
        });
        Ok(())
    }

    /// The writes of the table of events in the busiest hour.
    fn table(&mut self, given: &Given<'_>, usage: &Usage) -> Result<()> {
        let writes = usage.of(Service::Store, "dynamodb-write") / SECONDS;
        let most = given.assumed("dynamodb-table-writes")?;
        self.check(writes, most, || {
            let problem = format!(
                "a DynamoDB table on demand takes {} write units/s, and the busiest hour has {}",
                amount(most),
                amount(writes)
            );
            (problem, format!("a quota of {} write units/s, for which AWS has to be asked", amount(writes.ceil())))
        });
        Ok(())
    }

    /// What each Durable Object has to hold and to do.
    fn workers(&mut self, busiest_hour: &Given<'_>, usage: &Usage) -> Result<()> {
        let given = busiest_hour;
        let (shards, load) = (given.assumed("workers-shards")?.max(1.0), given.load);
        let of = |service| usage.of(service, "durable-objects-storage");
        let (events, pages) = (of(Service::Store), of(Service::Aggregation));
        let (stored, most) = (events + pages, given.assumed("workers-object-gb")?);
        self.check(stored / shards, most, || {
            let problem = format!(
                "a Durable Object holds {} GB, and each of {} would hold {}",
                decimal(most),
                amount(shards),
                decimal(stored / shards)
            );
            // Each shard has pages of its own, and with more shards it has no more of them.
            let room = most - pages / shards;
            let remedy =
                if room > 0.0 { more_shards((events / room).ceil()) } else { "a shorter retention".to_owned() };
            (problem, remedy)
        });
        // A request asks as many objects as it has events for, all of them if it has many.
        let asked = per_second(given) * shards.min(load.events_per_request);
        let most = given.assumed("workers-object-requests")?;
        self.check(asked / shards, most, || {
            let problem = format!(
                "a Durable Object takes {} requests/s, and each of {} would get {} in the busiest hour",
                amount(most),
                amount(shards),
                amount(asked / shards)
            );
            // With more shards than events, a request asks one object for each event.
            (problem, more_shards((load.rate() / most).ceil()))
        });
        // An object runs one thing at a time. Its CPU time is a part of the request's.
        let busy = per_second(given) * given.request_cpu_ms("workers-cpu-ms")? / 1000.0;
        self.check(busy / shards, 1.0, || {
            let problem = format!(
                "a Durable Object has one thread, and each of {} would have {} s of work a second in the busiest hour",
                amount(shards),
                decimal(busy / shards)
            );
            (problem, more_shards(busy.ceil()))
        });
        Ok(())
    }

    /// One node, because SQLite has one writer, and `deploy/native` sets up one.
    fn one_node(&mut self, given: &Given<'_>) -> Result<()> {
        let needs = nodes::number(given, "native-requests-per-second")?;
        let most = given.assumed("native-nodes")?;
        self.check(needs, most, || {
            let problem = format!(
                "the plain server runs on {} node, because SQLite has one writer, and this takes {}",
                amount(most),
                amount(needs)
            );
            (problem, "a larger machine, tenants on servers of their own, or Spin with a libSQL server".to_owned())
        });
        Ok(())
    }

    /// What the given nodes get through at the target utilisation, by the name of the assumption for one.
    fn throughput(&mut self, given: &Given<'_>, of_one: &str) -> Result<()> {
        let Some(nodes) = given.load.nodes else { return Ok(()) };
        let (needs, target) = (nodes::needed(given, of_one)?, given.assumed("target-utilisation")?);
        let most = nodes * given.assumed(of_one)? * target / given.work()?;
        let busiest = given.busiest()?;
        self.check(needs, nodes, || {
            let problem = format!(
                "{} through {} requests/s of {} events at {} % utilisation, and the busiest hour has {}",
                if nodes == 1.0 {
                    "one such node gets".to_owned()
                } else {
                    format!("{} such nodes get", amount(nodes))
                },
                amount(most),
                decimal(given.load.events_per_request),
                decimal(target * 100.0),
                amount(busiest)
            );
            (problem, format!("{} nodes, or larger ones", amount(needs)))
        });
        Ok(())
    }

    fn disk(&mut self, given: &Given<'_>, usage: &Usage) -> Result<()> {
        let (stored, most) = (usage.units("ebs-gp3"), given.assumed("ebs-volume-gb")?);
        self.check(stored, most, || {
            let problem = format!("an EBS volume has at most {} GB, and the database {}", amount(most), amount(stored));
            (problem, "a shorter retention, or tenants on servers of their own".to_owned())
        });
        Ok(())
    }

    fn baseline(&mut self, busiest_hour: &Given<'_>) -> Result<()> {
        let given = busiest_hour;
        let usage = Design::Baseline.usage(given)?;
        let waits = given.assumed("dynamodb-ms")?.max(given.assumed("s3-put-ms")?);
        let each = given.cpu_ms("baseline-cpu-ms")? + waits;
        self.environments(given, each * given.load.events_per_request)?;
        self.table(given, &usage)?;
        let puts = usage.units("s3-put") / SECONDS;
        let most = given.assumed("s3-prefix-puts")?;
        self.check(puts, most, || {
            let problem = format!(
                "S3 takes {} PUT/s under one prefix, which a day has, and the busiest hour has {}",
                amount(most),
                amount(puts)
            );
            (problem, format!("{} prefixes a day", amount((puts / most).ceil())))
        });
        Ok(())
    }
}

fn per_second(given: &Given<'_>) -> f64 {
    given.load.requests / SECONDS
}

fn more_shards(shards: f64) -> String {
    if shards <= MOST_SHARDS {
        return format!("{} shards: `shards` in the configuration, before there are events", amount(shards));
    }
    let tenants = (shards / MOST_SHARDS).ceil();
    format!("{} shards: {} tenants of {} each", amount(shards), amount(tenants), amount(MOST_SHARDS))
}
