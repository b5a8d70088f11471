//! Workloads: which requests are sent, how and in which order. Each is one TOML file in `bench/workloads/`.
//!
//! Reading is strict. An unknown key, a weight that makes no sense or a line of the data that is not JSON is refused,
//! and the error names the file and the line.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rand::{Rng, RngExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text;

/// The default workload and its data. They are part of the program, so that it runs from any folder.
const FLIGHTS: (&str, &str, &[u8]) =
    ("flights", include_str!("../workloads/flights.toml"), include_bytes!("../data/flights-2013-01.ndjson.gz"));

/// One workload, as its file describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Its name in results.
    pub name: String,
    /// One line that says what it represents.
    pub about: String,
    /// The file of events: NDJSON, plain or gzip. The path is relative to the workload's file.
    pub data: PathBuf,
    /// The seed of the order of routes, batch sizes and arrivals.
    pub seed: u64,
    /// Cold starts.
    pub cold: Cold,
    /// Warm latency: open loop.
    pub warm: Warm,
    /// Throughput: closed loop.
    pub throughput: Throughput,
    /// Reports.
    pub reports: Reports,
    /// The shorter values of `--quick`.
    pub quick: Quick,
}

/// Cold starts: each sample is one POST /events to a new instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cold {
    /// Number of samples for each platform and floor.
    pub samples: usize,
}

/// Requests on a schedule that does not wait for answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Warm {
    /// The distribution of requests over time.
    pub arrival: Arrival,
    /// Requests per second.
    pub rate: f64,
    /// Seconds of load for each platform and floor.
    pub seconds: f64,
    /// Seconds of one turn of a platform.
    pub slice_seconds: f64,
    /// The weights of the routes.
    pub mix: Mix,
    /// The possible numbers of events in a batch, all equally likely. Required unless `mix.batch` is 0.
    #[serde(default)]
    pub batch_sizes: Vec<usize>,
}

/// Requests as fast as the answers arrive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Throughput {
    /// Number of connections, each with one request in flight.
    pub connections: usize,
    /// Least seconds for each platform and floor. A platform continues until it has received every event once.
    pub seconds: f64,
    /// Seconds of one turn of a platform.
    pub slice_seconds: f64,
    /// The weights of the routes.
    pub mix: Mix,
    /// The possible numbers of events in a batch, all equally likely. Required unless `mix.batch` is 0.
    #[serde(default)]
    pub batch_sizes: Vec<usize>,
}

/// Reports over the events of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reports {
    /// How many times each report is requested.
    pub samples: usize,
    /// How many times an event is sent and then looked for in a report.
    pub fresh: usize,
    /// The part of the path after `/reports/`, by a name for results. The range is that of the data.
    pub queries: BTreeMap<String, String>,
}

/// The values that `--quick` replaces with smaller ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quick {
    /// Replaces `cold.samples`.
    pub cold_samples: usize,
    /// Only this many events, the first ones, are sent.
    pub events: usize,
    /// Replaces `warm.seconds`.
    pub warm_seconds: f64,
    /// Replaces `throughput.seconds`.
    pub throughput_seconds: f64,
    /// Replaces `reports.samples`.
    pub report_samples: usize,
    /// Replaces `reports.fresh`.
    pub fresh: usize,
}

/// The distribution of requests over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Arrival {
    /// Independent arrivals, with exponential gaps.
    Poisson,
    /// Arrivals with equal gaps.
    Constant,
}

/// The weights of the routes; a route without a weight has 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    /// `POST /events`.
    #[serde(default)]
    pub single: u32,
    /// `POST /events/batch`.
    #[serde(default)]
    pub batch: u32,
    /// `GET /events/{eventId}` of an event that was sent earlier.
    #[serde(default)]
    pub get: u32,
}

/// A route of the contract that a workload sends to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Route {
    /// `POST /events`.
    Single,
    /// `POST /events/batch`.
    Batch,
    /// `GET /events/{eventId}`.
    Get,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Single => "POST /events",
            Self::Batch => "POST /events/batch",
            Self::Get => "GET /events/{eventId}",
        })
    }
}

impl Mix {
    /// A random route, by weight.
    pub fn pick(&self, rng: &mut impl Rng) -> Route {
        let place = rng.random_range(0..u64::from(self.single) + u64::from(self.batch) + u64::from(self.get));
        if place < u64::from(self.single) {
            Route::Single
        } else if place < u64::from(self.single) + u64::from(self.batch) {
            Route::Batch
        } else {
            Route::Get
        }
    }
}

impl Arrival {
    /// The intended send times over `seconds` at `rate` per second, in seconds from the start.
    pub fn schedule(self, rate: f64, seconds: f64, rng: &mut impl Rng) -> Vec<f64> {
        if self == Self::Constant {
            return (0_u32..).map(|nth| f64::from(nth) / rate).take_while(|at| *at < seconds).collect();
        }
        let mut times = Vec::new();
        let mut at = 0.0;
        while at < seconds {
            times.push(at);
            // 1 - random is in (0, 1], so the logarithm is finite.
            at -= (1.0 - rng.random::<f64>()).ln() / rate;
        }
        times
    }
}

/// A workload together with its events.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The file's content.
    pub workload: Workload,
    /// The events, unpacked.
    pub events: Vec<u8>,
    /// Where the events come from, for messages and results.
    pub source: String,
}

impl Workload {
    /// Reads `named`, which is a built-in workload's name or a file. `events`, if given, replaces the workload's data.
    pub fn load(named: &str, events: Option<&Path>) -> Result<Loaded> {
        let (workload, path) = if named == FLIGHTS.0 {
            (Self::parse(FLIGHTS.1, "bench/workloads/flights.toml")?, None)
        } else {
            let path = Path::new(named);
            let text = text::read(path).with_context(|| {
                format!(
                    "workload {named}: neither a built-in workload (there is: {}) nor a file that can be read",
                    FLIGHTS.0
                )
            })?;
            (Self::parse(&text, named)?, Some(path))
        };
        let (packed, source) = match (events, path) {
            (Some(path), _) => (read(path)?, path.display().to_string()),
            (None, None) => (FLIGHTS.2.to_vec(), file_name(&workload.data)),
            (None, Some(path)) => {
                let data = path.parent().unwrap_or(Path::new(".")).join(&workload.data);
                (read(&data)?, file_name(&workload.data))
            }
        };
        let mut events = inflate(packed, &source)?;
        let mark = events.len() - text::without_mark(&events).len();
        events.drain(..mark);
        Ok(Loaded { events, workload, source })
    }

    /// Parses the text of a workload's file; `file` is for messages.
    pub fn parse(text: &str, file: &str) -> Result<Self> {
        let workload: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
            anyhow::anyhow!("{file}:{line}: {}", error.message().replace('\n', " "))
        })?;
        workload.check().with_context(|| file.to_owned())?;
        Ok(workload)
    }

    /// The same workload, shorter.
    #[must_use]
    pub fn quick(mut self) -> Self {
        self.cold.samples = self.quick.cold_samples;
        self.warm.seconds = self.quick.warm_seconds;
        self.throughput.seconds = self.quick.throughput_seconds;
        self.reports.samples = self.quick.report_samples;
        self.reports.fresh = self.quick.fresh;
        self
    }

    fn check(&self) -> Result<()> {
        ensure!(!self.name.is_empty(), "name: must not be empty");
        check_count("cold.samples", self.cold.samples, 1, 10_000)?;
        check_range("warm.rate", self.warm.rate, 1.0, 10_000.0)?;
        check_range("warm.seconds", self.warm.seconds, 1.0, 3600.0)?;
        check_range("warm.slice_seconds", self.warm.slice_seconds, 0.1, 60.0)?;
        check_mix("warm", &self.warm.mix, &self.warm.batch_sizes)?;
        check_count("throughput.connections", self.throughput.connections, 1, 256)?;
        check_range("throughput.seconds", self.throughput.seconds, 1.0, 3600.0)?;
        check_range("throughput.slice_seconds", self.throughput.slice_seconds, 0.1, 60.0)?;
        check_mix("throughput", &self.throughput.mix, &self.throughput.batch_sizes)?;
        ensure!(
            self.throughput.mix.single + self.throughput.mix.batch > 0,
            "throughput.mix: single or batch must be above 0, or the events would never be sent"
        );
        for (name, query) in &self.reports.queries {
            let is_query = query.contains('?') && query.bytes().all(|byte| byte.is_ascii_graphic());
            ensure!(
                is_query,
                "reports.queries.{name}: {query:?} is no report with a query, such as summary?metrics=count"
            );
        }
        for (key, count) in [("reports", &self.reports.samples), ("quick.report", &self.quick.report_samples)] {
            check_count(&format!("{key}_samples"), *count, 2, 10_000)?;
        }
        check_count("reports.fresh", self.reports.fresh, 2, 10_000)?;
        check_count("quick.fresh", self.quick.fresh, 2, 10_000)?;
        check_count("quick.cold_samples", self.quick.cold_samples, 1, 10_000)?;
        check_count("quick.events", self.quick.events, 1, 1_000_000_000)?;
        check_range("quick.warm_seconds", self.quick.warm_seconds, 1.0, 3600.0)?;
        check_range("quick.throughput_seconds", self.quick.throughput_seconds, 1.0, 3600.0)
    }
}

fn check_range(key: &str, value: f64, low: f64, high: f64) -> Result<()> {
    ensure!((low..=high).contains(&value), "{key}: {value} is not between {low} and {high}");
    Ok(())
}

fn check_count(key: &str, value: usize, low: usize, high: usize) -> Result<()> {
    ensure!((low..=high).contains(&value), "{key}: {value} is not between {low} and {high}");
    Ok(())
}

fn check_mix(phase: &str, mix: &Mix, batch_sizes: &[usize]) -> Result<()> {
    for (route, weight) in [("single", mix.single), ("batch", mix.batch), ("get", mix.get)] {
        ensure!(weight <= 1_000_000, "{phase}.mix.{route}: {weight} is above 1000000");
    }
    ensure!(mix.single + mix.batch + mix.get > 0, "{phase}.mix: all weights are 0");
    if mix.batch > 0 && batch_sizes.is_empty() {
        bail!("{phase}.batch_sizes: must name a size, since {phase}.mix.batch is above 0");
    }
    // The contract's limit is 500 events.
    for size in batch_sizes {
        check_count(&format!("{phase}.batch_sizes"), *size, 1, 500)?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read the events {}", path.display()))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Unpacks gzip, recognized by its first two bytes, and returns anything else unchanged.
fn inflate(packed: Vec<u8>, source: &str) -> Result<Vec<u8>> {
    if !packed.starts_with(&[0x1f, 0x8b]) {
        return Ok(packed);
    }
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(packed.as_slice()), &mut plain)
        .with_context(|| format!("{source}: cannot be unpacked as gzip"))?;
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_pcg::Pcg64Mcg;

    use super::*;

    fn flights() -> String {
        FLIGHTS.1.to_owned()
    }

    #[track_caller]
    fn check_refused(text: &str, expect: &str) {
        let error = format!("{:#}", Workload::parse(text, "mine.toml").unwrap_err());
        assert!(error.starts_with(expect), "{error:?} does not start with {expect:?}");
    }

    #[test]
    fn the_built_in_workload_is_good_and_shorter_when_quick() {
        let workload = Workload::parse(&flights(), "flights.toml").unwrap();
        assert!(workload.cold.samples >= 100);
        let quick = workload.clone().quick();
        assert_eq!(quick.cold.samples, 20);
        assert!(quick.warm.seconds < workload.warm.seconds && quick.throughput.seconds < workload.throughput.seconds);
    }

    #[test]
    fn a_mistake_is_named_with_its_line() {
        let line = 1 + flights().lines().position(|line| line.starts_with("arrival")).unwrap();
        check_refused(
            &flights().replace("arrival =", "arival ="),
            &format!("mine.toml:{line}: unknown field `arival`"),
        );
        check_refused(
            &flights().replace("\"poisson\"", "\"random\""),
            &format!("mine.toml:{line}: unknown variant `random`"),
        );
        check_refused("name = \"a\"\nseed = -1\n", "mine.toml:2: ");
        check_refused("name = \n", "mine.toml:1: ");
        check_refused("name = \"a\"\n", "mine.toml:1: missing field");
    }

    #[test]
    fn a_value_that_makes_no_sense_is_named() {
        let warm = flights().replace("rate = 100", "rate = 0");
        check_refused(&warm, "mine.toml: warm.rate: 0 is not between 1 and 10000");
        let sizes = flights().replace("batch_sizes = [10, 50, 100]", "batch_sizes = [501]");
        check_refused(&sizes, "mine.toml: throughput.batch_sizes: 501 is not between 1 and 500");
        let none = flights().replace("batch_sizes = [10, 50, 100]", "");
        check_refused(&none, "mine.toml: throughput.batch_sizes: must name a size");
        let gets = flights().replace("{ single = 70, batch = 10, get = 20 }", "{ get = 20 }");
        check_refused(&gets, "mine.toml: throughput.mix: single or batch must be above 0");
        check_refused(&flights().replace("{ single = 80, get = 20 }", "{}"), "mine.toml: warm.mix: all weights are 0");
    }

    #[test]
    fn a_workload_brings_its_data_from_beside_it_plain_or_packed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine.toml");
        std::fs::write(&file, flights().replace("../data/flights-2013-01.ndjson.gz", "mine.ndjson")).unwrap();
        // Some writers put a byte order mark before the first line.
        std::fs::write(folder.path().join("mine.ndjson"), "\u{feff}{}\n").unwrap();
        let named = file.to_str().unwrap();
        let loaded = Workload::load(named, None).unwrap();
        assert_eq!((loaded.events.as_slice(), loaded.source.as_str()), (&b"{}\n"[..], "mine.ndjson"));

        let packed = folder.path().join("other.gz");
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, b"{\"a\":1}\n").unwrap();
        let bytes = encoder.finish().unwrap();
        std::fs::write(&packed, &bytes).unwrap();
        assert_eq!(Workload::load(named, Some(&packed)).unwrap().events, b"{\"a\":1}\n");

        std::fs::write(&packed, &bytes[..bytes.len() - 6]).unwrap();
        let error = format!("{:#}", Workload::load(named, Some(&packed)).unwrap_err());
        assert!(error.contains("other.gz: cannot be unpacked as gzip"), "{error}");
    }

    #[test]
    fn a_workload_that_is_not_there_is_named() {
        let error = format!("{:#}", Workload::load("nowhere", None).unwrap_err());
        assert!(error.starts_with("workload nowhere: neither a built-in workload (there is: flights)"), "{error}");
        let error = format!("{:#}", Workload::load("flights", Some(Path::new("/nowhere.ndjson"))).unwrap_err());
        assert!(error.starts_with("cannot read the events /nowhere.ndjson"), "{error}");
    }

    #[test]
    fn schedules_have_their_rate_and_come_from_the_seed() {
        let schedule = |arrival: Arrival, seed| arrival.schedule(100.0, 50.0, &mut Pcg64Mcg::seed_from_u64(seed));
        assert_eq!(schedule(Arrival::Constant, 1).len(), 5000);
        let poisson = schedule(Arrival::Poisson, 1);
        assert!((4750..5250).contains(&poisson.len()), "{}", poisson.len());
        assert!(poisson.is_sorted() && poisson.iter().all(|at| (0.0..50.0).contains(at)));
        assert_eq!(poisson, schedule(Arrival::Poisson, 1));
        assert_ne!(poisson, schedule(Arrival::Poisson, 2));
        // Independent gaps have a standard deviation equal to their mean.
        let gaps: Vec<f64> = poisson.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let deviation = (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt();
        assert!((deviation / mean - 1.0).abs() < 0.1, "{deviation} {mean}");
    }
}
