//! Checks a result with every field against its schema.

use std::time::Duration;

use isotherm_hosts::meters::{Invocations, Rows};
use isotherm_hosts::{Meters, Runtime};

use super::*;
use crate::results::cost::{CostCurve, CostItem, CostLine, Crossing, Kind};
use crate::workload::Route;

fn around(value: f64) -> Estimate {
    Estimate { value, low: 0.98 * value, high: 1.03 * value }
}

fn distribution(ms: f64) -> Distribution {
    Distribution { n: 2, p50: around(ms), p90: around(1.2 * ms), p99: around(2.0 * ms), samples: vec![ms, 1.1 * ms] }
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
        cpu: Cpu { ms_per_request: around(0.1 * scale), us_per_event: around(7.0), deferred_seconds: 0.25 },
        memory: Memory { peak_rss_bytes: (12_000_000.0 * scale) as u64, peak_rss_over_runs: None },
    }
}

fn metered() -> Metered {
    let invocations = Invocations { count: 6000, cpu: Duration::from_millis(6000), wall: Duration::from_millis(9000) };
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
                ("rollups/transact".to_owned(), sizes(600)),
                ("rollups/query".to_owned(), sizes(300)),
            ]),
            rows: BTreeMap::from([
                ("alarms".to_owned(), Rows { read: 0, written: 70 }),
                ("events".to_owned(), Rows { read: 180_000, written: 90_003 }),
                ("rollups".to_owned(), Rows { read: 20_000, written: 900 }),
            ]),
            stream_records: 30_000,
            log_bytes: 1_800,
            queue_operations: 3,
            objects: 60,
            object_bytes: 1_200_000,
            events_stored: 30_001,
            pages_stored: 700,
            store_bytes: 9_000_000,
        },
    }
}

/// The same meters for Durable Objects.
fn metered_objects() -> Metered {
    let mut metered = metered();
    let invocations = |count| Invocations { count, cpu: Duration::ZERO, wall: Duration::from_millis(count) };
    metered.readings.functions =
        BTreeMap::from([("shard/alarm".to_owned(), invocations(60)), ("shard/fetch".to_owned(), invocations(7800))]);
    metered.readings.store.clear();
    metered
}

fn singles(scale: f64) -> Singles {
    Singles { errors: 0, figures: figures(scale), meters: metered(), cost: None }
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
        meters: Some(if *platform == Platform::Workers { metered_objects() } else { metered() }),
        floor: figures(1.0),
        ratio: BTreeMap::from([
            ("cold_init_p50".to_owned(), around(123.4)),
            ("warm_p99".to_owned(), around(1.0)),
            ("requests_per_second".to_owned(), around(0.0123)),
        ]),
        scopes: scope::scopes(*platform, "wasmtime (embedded)"),
        runs: vec![],
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
        baseline: Some(Baseline {
            function: singles(3.0),
            isotherm: singles(1.0),
            ratio: BTreeMap::from([("cold_init_p50".to_owned(), around(3.0))]),
        }),
        not_started: vec![NotStarted { platform: Platform::Spin, reason: "its component is missing".into() }],
        deployments: vec![],
        unreachable: vec![],
        cost: None,
        cold_share: vec![],
        noise: None,
    }
}

/// A result with prices and a simulation.
pub(crate) fn priced() -> Comparison {
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
        assumptions: vec!["Prices of 2026-11-01.".into(), "CPU time there is 1.0 times that of this machine.".into()],
        lines: [("lambda", 4.2), ("workers", 0.9), ("native", 0.87), ("baseline", 9.5)].map(line).into(),
        curves: [("lambda", 0.0, 4.2), ("workers", 5.0, 0.9), ("native", 53.0, 0.05)].map(curve).into(),
        crossings: vec![
            Crossing { monthly_events: 1.52e6, usd: 6.4, below: "lambda".into(), above: "workers".into() },
            Crossing { monthly_events: 56.5e6, usd: 55.8, below: "workers".into(), above: "native".into() },
        ],
    };
    let cold_share = [("lambda, fixed 5 min", Kind::Modelled, 300.0), ("lambda, STeLLAR", Kind::Published, 600.0)];
    let mut result = Comparison { cost: Some(cost), cold_share: cold_share.map(share).into(), ..sample() };
    if let Some(Baseline { function, isotherm, .. }) = &mut result.baseline {
        function.cost = Some(line(("baseline", 11.5)));
        isotherm.cost = Some(line(("lambda, single events", 3.5)));
    }
    result
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
    let schema = serde_json::to_value(schemars::schema_for!(Comparison)).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let priced = serde_json::to_value(priced()).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(&priced).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    for part in [
        "/cost/lines/0/total",
        "/cold_share/0/kind",
        "/baseline/isotherm/warm",
        "/platforms/0/meters/readings/store",
        "/platforms/0/scopes/warm/http",
        "/workload/warm",
    ] {
        let mut priced = priced.clone();
        *priced.pointer_mut(part).unwrap() = serde_json::Value::Bool(true);
        assert!(!validator.is_valid(&priced), "valid with {part} of another type");
    }
    for field in ["schema", "machine", "workload", "platforms", "not_started"] {
        let mut priced = priced.clone();
        priced.as_object_mut().unwrap().remove(field);
        assert!(!validator.is_valid(&priced), "valid without {field}");
    }
}

#[test]
fn a_result_of_version_1_is_read_and_its_baseline_has_its_new_name() {
    let mut old = serde_json::to_value(priced()).unwrap();
    let fields = old.as_object_mut().unwrap();
    fields.insert("schema".into(), "isotherm.compare/1".into());
    fields.insert("ranking".into(), serde_json::json!({"warm_p50": [["lambda"], ["spin"]]}));
    let mut baseline = fields.remove("baseline").unwrap();
    baseline["function"]["cost"]["name"] = "article's function".into();
    fields.insert("article".into(), baseline);
    for platform in fields["platforms"].as_array_mut().unwrap() {
        platform.as_object_mut().unwrap().remove("scopes");
    }
    for of in ["lines", "curves"] {
        for line in fields["cost"][of].as_array_mut().unwrap() {
            if line["name"] == "baseline" {
                line["name"] = "article".into();
            }
        }
    }
    let mut expected = priced();
    for measured in &mut expected.platforms {
        measured.scopes = scope::scopes(measured.platform, &measured.figures.runtime.name);
    }
    assert_eq!(file::parse(&old.to_string()).unwrap(), expected);
    old["schema"] = "isotherm.compare/0".into();
    assert!(file::parse(&old.to_string()).unwrap_err().to_string().contains("not isotherm.compare/2"));
}
