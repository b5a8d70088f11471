//! The result of a comparison, as it is written: `bench/schema/compare-1.schema.json` is its schema.
//!
//! Within version 1 fields may be added; none changes its meaning or goes.

use std::collections::BTreeMap;

use isotherm_hosts::{Meters, Platform, Runtime};
use serde::{Deserialize, Serialize};

use crate::compare::noise::Noise;
use crate::compare::page::{ColdShare, Cost};
use crate::stats::Estimate;
use crate::workload::{Route, Workload};

/// The schema's name and version.
pub const SCHEMA: &str = "isotherm.compare/1";

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// [`SCHEMA`].
    pub schema: String,
    /// Where and when it ran.
    pub machine: Machine,
    /// What was sent.
    pub workload: Sent,
    /// What was measured, in the order in which the platforms took turns.
    pub platforms: Vec<Measured>,
    /// Platforms that could not be started.
    pub not_started: Vec<NotStarted>,
    /// For each figure the platforms from best to worst; those in one group are tied with the best of it.
    pub ranking: BTreeMap<String, Vec<Vec<Platform>>>,
    /// What it costs, where prices were applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// How many requests meet a cold start, where that was simulated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cold_share: Vec<ColdShare>,
    /// Whether its figures can be called sound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<Noise>,
}

/// The machine and the versions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// When the run began, UTC, RFC 3339.
    pub time: String,
    /// How long it took.
    pub seconds: f64,
    /// The processor's name.
    pub cpu: String,
    /// Processors that this program may use.
    pub cores: usize,
    /// Memory of the machine.
    pub memory_bytes: u64,
    /// The distribution.
    pub os: String,
    /// The kernel's release.
    pub kernel: String,
    /// The commit of the working tree that the program lies in; absent where there is none.
    pub commit: Option<Commit>,
    /// Versions of programs: `isotherm`, `rustc`.
    pub versions: BTreeMap<String, String>,
}

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Its hash.
    pub id: String,
    /// Whether tracked files differed from it.
    pub dirty: bool,
}

/// The workload as it was run: what its file says, and what flags made of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sent {
    /// The file's content, with what `--quick` and `--seed` changed.
    #[serde(flatten)]
    pub workload: Workload,
    /// The name of the file that the events come from.
    pub source: String,
    /// How many events of it were sent, each once before any again.
    pub events: usize,
    /// The file's size, unpacked.
    pub event_bytes: usize,
    /// Whether it was shortened.
    pub is_quick: bool,
}

/// A platform that could not be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotStarted {
    /// Which.
    pub platform: Platform,
    /// Why.
    pub reason: String,
}

/// A platform, its floor, and how they compare.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Which.
    pub platform: Platform,
    /// Answers that were missing or wrong, of the platform and of its floor; a run with any has failed.
    pub errors: u64,
    /// The platform's figures.
    #[serde(flatten)]
    pub figures: Figures,
    /// How long reports take, and how fresh they are.
    pub reports: Reports,
    /// What became of the events.
    pub replay: Replay,
    /// What they used, as it is billed; results of older versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meters: Option<Metered>,
    /// The smallest function on the same runtime, in the same run.
    pub floor: Figures,
    /// Each figure as a multiple of the floor's. A figure is left out where the floor's is 0.
    pub ratio: BTreeMap<String, Estimate>,
}

/// What was measured of a platform, or of its floor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// What it ran on.
    pub runtime: Runtime,
    /// The first of its missing or wrong answers.
    pub first_errors: Vec<String>,
    /// What is deployed.
    pub artifact: Artifact,
    /// Cold starts.
    pub cold: Cold,
    /// Latency in open loop.
    pub warm: Warm,
    /// Requests in closed loop.
    pub throughput: Throughput,
    /// CPU time in closed loop.
    pub cpu: Cpu,
    /// Memory over the whole run.
    pub memory: Memory,
}

/// The size of what is deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Bytes as they are.
    pub raw_bytes: u64,
    /// Bytes with each file packed by gzip -9.
    pub gzip_bytes: u64,
    /// The files.
    pub files: Vec<ArtifactFile>,
}

/// One file of an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactFile {
    /// Its path within the artifact.
    pub name: String,
    /// Its size.
    pub raw_bytes: u64,
    /// Its size packed.
    pub gzip_bytes: u64,
}

/// Quantiles, and the samples that they come from, milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// How many samples.
    pub n: usize,
    /// The median.
    pub p50: Estimate,
    /// The 90th percentile.
    pub p90: Estimate,
    /// The 99th percentile.
    pub p99: Estimate,
    /// In the order in which they were taken.
    pub samples: Vec<f64>,
}

/// Cold starts: from "the artifact is there and no instance" on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cold {
    /// Until the instance was ready for a request.
    pub init: Distribution,
    /// Until the first byte of the first answer.
    pub first_response: Distribution,
}

/// Latency in open loop, from when a request was due to the last byte of its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Warm {
    /// Requests a second that were sent.
    pub rate: f64,
    /// Of all requests.
    pub latency: Distribution,
    /// Of the requests to each route.
    pub routes: BTreeMap<Route, Distribution>,
    /// How late the client itself sent; part of the latency.
    pub client_lag: Distribution,
}

/// Requests in closed loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Throughput {
    /// Connections with one request under way each.
    pub connections: usize,
    /// Requests answered rightly, a second.
    pub requests_per_second: Estimate,
    /// Events in them, a second.
    pub events_per_second: Estimate,
    /// What the figures come from.
    pub slices: Vec<Slice>,
}

/// One turn in closed loop.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// From the first request to the last answer.
    pub seconds: f64,
    /// Requests answered rightly.
    pub requests: u64,
    /// Events in them.
    pub events: u64,
    /// CPU time of the runtime's processes.
    pub cpu_seconds: f64,
}

/// Reports over the events of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reports {
    /// From the request to the last byte of the answer, by the name that the workload gives the report.
    pub latency: BTreeMap<String, Distribution>,
    /// From when an event was accepted to the last byte of the first report that counts it.
    pub freshness: Distribution,
}

/// CPU time of the runtime's processes: not of the host around them, nor of emulated stores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// Milliseconds for a request of the closed loop.
    pub ms_per_request: Estimate,
    /// Microseconds for an event of the closed loop: what its batches cost is spread over their events.
    pub us_per_event: Estimate,
}

/// Memory of the runtime's processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The most that was resident at once.
    pub peak_rss_bytes: u64,
}

/// What became of the events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// Requests of the warm phase and of the closed loop.
    pub requests: u64,
    /// Events in them; what goes beyond the data is the data once more, under new messageIds.
    pub sent: u64,
    /// Events that were accepted.
    pub accepted: u64,
    /// Events that were there already.
    pub duplicates: u64,
    /// Events that were looked up meanwhile, and found.
    pub found: u64,
    /// Events of the data that were there at the end, and were what had been sent.
    pub verified: u64,
}

/// The meters of the warm phase and of the closed loop, and of what followed from them: folding, and backing up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metered {
    /// Requests.
    pub requests: u64,
    /// Those with a batch.
    pub batches: u64,
    /// Events that were accepted; as many more were in the store afterwards.
    pub events: u64,
    /// Bytes of the answers, with their heads.
    pub response_bytes: u64,
    /// CPU time of the runtime's processes.
    pub cpu_seconds: f64,
    /// What the platform's host counted.
    pub readings: Meters,
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use isotherm_hosts::meters::Invocations;

    use super::*;
    use crate::compare::page::{CostCurve, CostItem, CostLine, Crossing, Kind};

    fn around(value: f64) -> Estimate {
        Estimate { value, low: 0.98 * value, high: 1.03 * value }
    }

    fn distribution(ms: f64) -> Distribution {
        Distribution {
            n: 2,
            p50: around(ms),
            p90: around(1.2 * ms),
            p99: around(2.0 * ms),
            samples: vec![ms, 1.1 * ms],
        }
    }

    fn figures(scale: f64) -> Figures {
        Figures {
            runtime: Runtime { name: "a runtime with a rather long name".into(), version: "1.20261117.0".into() },
            first_errors: vec![],
            artifact: Artifact {
                raw_bytes: (8_000_000.0 * scale) as u64,
                gzip_bytes: (300_000.0 * scale) as u64,
                files: vec![ArtifactFile { name: "a".into(), raw_bytes: 1, gzip_bytes: 21 }],
            },
            cold: Cold { init: distribution(1.234 * scale), first_response: distribution(12.34 * scale) },
            warm: Warm {
                rate: 100.0,
                latency: distribution(0.4321 * scale),
                routes: BTreeMap::from([(Route::Single, distribution(0.5)), (Route::Get, distribution(0.3))]),
                client_lag: distribution(0.02),
            },
            throughput: Throughput {
                connections: 8,
                requests_per_second: around(12_345.0 / scale),
                events_per_second: around(123_456.0 / scale),
                slices: vec![Slice { seconds: 1.0, requests: 2, events: 3, cpu_seconds: 0.5 }],
            },
            cpu: Cpu { ms_per_request: around(0.1 * scale), us_per_event: around(7.0) },
            memory: Memory { peak_rss_bytes: (12_000_000.0 * scale) as u64 },
        }
    }

    fn metered() -> Metered {
        let invocations =
            Invocations { count: 6000, cpu: Duration::from_millis(6000), wall: Duration::from_millis(9000) };
        let sizes = |count| BTreeMap::from([(1024, count), (2048, 1)]);
        Metered {
            requests: 6000,
            batches: 600,
            events: 30_001,
            response_bytes: 3_000_000,
            cpu_seconds: 8.5,
            readings: Meters {
                functions: BTreeMap::from([
                    ("ingest".to_owned(), invocations),
                    ("aggregate".to_owned(), Invocations { count: 60, ..invocations }),
                ]),
                store: BTreeMap::from([
                    ("events/put".to_owned(), sizes(30_000)),
                    ("rollups/transact-put".to_owned(), sizes(600)),
                    ("rollups/query".to_owned(), sizes(300)),
                ]),
                queue_operations: 3,
                objects: 60,
                object_bytes: 1_200_000,
                events_stored: 30_001,
                pages_stored: 700,
                store_bytes: 9_000_000,
            },
        }
    }

    /// A result with every field.
    pub(crate) fn sample() -> Comparison {
        let workload = Workload::load("flights", None).unwrap().workload;
        let measured = |(place, platform): (usize, &Platform)| Measured {
            platform: *platform,
            errors: 0,
            figures: figures(1.0 + 40.0 * place as f64),
            reports: Reports {
                latency: BTreeMap::from([("by day".to_owned(), distribution(3.0))]),
                freshness: distribution(5.0),
            },
            replay: Replay {
                requests: 6000,
                sent: 1_234_567,
                accepted: 1_234_567,
                duplicates: 0,
                found: 100,
                verified: 27_004,
            },
            meters: Some(metered()),
            floor: figures(1.0),
            ratio: BTreeMap::from([
                ("cold_init_p50".to_owned(), around(123.4)),
                ("warm_p99".to_owned(), around(1.0)),
                ("requests_per_second".to_owned(), around(0.0123)),
            ]),
        };
        Comparison {
            schema: SCHEMA.to_owned(),
            machine: Machine {
                time: "2026-11-21T05:12:33Z".into(),
                seconds: 301.0,
                cpu: "Some Processor @ 2.20GHz".into(),
                cores: 2,
                memory_bytes: 24_000_000_000,
                os: "Debian GNU/Linux 12 (bookworm)".into(),
                kernel: "6.1.0".into(),
                commit: Some(Commit { id: "0400d7f1e2".repeat(4), dirty: true }),
                versions: BTreeMap::from([("isotherm".to_owned(), "0.1.0".to_owned())]),
            },
            workload: Sent {
                workload,
                source: "f.ndjson.gz".into(),
                events: 27_004,
                event_bytes: 6_548_215,
                is_quick: false,
            },
            platforms: Platform::ALL.iter().enumerate().map(measured).collect(),
            not_started: vec![NotStarted { platform: Platform::Spin, reason: "its component is missing".into() }],
            ranking: BTreeMap::from([(
                "warm_p99".to_owned(),
                vec![vec![Platform::Lambda], vec![Platform::Spin, Platform::Native]],
            )]),
            cost: None,
            cold_share: vec![],
            noise: None,
        }
    }

    /// A result with prices and a simulation.
    pub(in crate::compare) fn priced() -> Comparison {
        let line = |(name, usd): (&str, f64)| CostLine {
            name: name.to_owned(),
            items: vec![
                CostItem { service: "function".into(), usd: usd / 3.0 },
                CostItem { service: "store".into(), usd: usd * 2.0 / 3.0 },
            ],
            total: Estimate { value: usd, low: usd - 0.05, high: usd + 0.05 },
        };
        let points = |scale: f64, fixed: f64| (0..10).map(|n| 10_f64.powi(n)).map(|x| [x, fixed + scale * x]).collect();
        let curve =
            |(name, fixed, usd): (&str, f64, f64)| CostCurve { name: name.into(), points: points(usd / 1e6, fixed) };
        let share = |(name, kind, keep): (&str, Kind, f64)| ColdShare {
            name: name.into(),
            kind,
            points: (-4..4).map(|n| 10_f64.powi(n)).map(|x| [x, (-keep * x).exp()]).collect(),
        };
        let cost = Cost {
            kind: Kind::Modelled,
            monthly_events: 1e7,
            assumptions: vec![
                "Prices of 2026-11-01.".into(),
                "CPU time there is 1.0 times that of this machine.".into(),
            ],
            lines: [("lambda", 4.2), ("workers", 0.9), ("native", 0.87), ("article", 9.5)].map(line).into(),
            curves: [("lambda", 0.0, 4.2), ("workers", 5.0, 0.9), ("native", 53.0, 0.05)].map(curve).into(),
            crossings: vec![
                Crossing { monthly_events: 1.52e6, usd: 6.4, below: "lambda".into(), above: "workers".into() },
                Crossing { monthly_events: 56.5e6, usd: 55.8, below: "workers".into(), above: "native".into() },
            ],
        };
        let cold_share = [("lambda, fixed 5 min", Kind::Modelled, 300.0), ("lambda, STeLLAR", Kind::Published, 600.0)];
        Comparison { cost: Some(cost), cold_share: cold_share.map(share).into(), ..sample() }
    }

    #[test]
    fn a_result_survives_being_written_and_read() {
        let text = serde_json::to_string(&sample()).unwrap();
        assert_eq!(serde_json::from_str::<Comparison>(&text).unwrap(), sample());
        let text = serde_json::to_string(&priced()).unwrap();
        assert_eq!(serde_json::from_str::<Comparison>(&text).unwrap(), priced());
    }

    #[test]
    fn a_result_is_what_its_schema_says() {
        let schema: serde_json::Value =
            serde_json::from_str(include_str!("../../schema/compare-1.schema.json")).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let result = serde_json::to_value(sample()).unwrap();
        let errors: Vec<String> =
            validator.iter_errors(&result).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{errors:#?}");
        let priced = serde_json::to_value(priced()).unwrap();
        assert!(validator.is_valid(&priced), "{priced:#}");
        for part in ["/cost/lines/0/total", "/cost/curves/0/points", "/cost/kind", "/cold_share/0/kind"] {
            let mut priced = priced.clone();
            *priced.pointer_mut(part).unwrap() = serde_json::Value::Bool(true);
            assert!(!validator.is_valid(&priced), "valid with {part} of another type");
        }

        // And it says something: no field may be missing, and none be of another type.
        for field in ["schema", "machine", "workload", "platforms", "not_started", "ranking"] {
            let mut result = result.clone();
            result.as_object_mut().unwrap().remove(field);
            assert!(!validator.is_valid(&result), "valid without {field}");
        }
        for field in [
            "platform",
            "runtime",
            "errors",
            "artifact",
            "cold",
            "warm",
            "throughput",
            "cpu",
            "memory",
            "meters",
            "floor",
            "ratio",
        ] {
            let mut result = result.clone();
            result["platforms"][0][field] = serde_json::Value::Bool(true);
            assert!(!validator.is_valid(&result), "valid with {field} of another type");
        }
    }
}
