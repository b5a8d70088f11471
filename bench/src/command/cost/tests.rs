//! Checks worked figures from providers and articles to the cent, and properties of every quote.

use clap::Parser;

use super::*;

mod designs;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    cost: Cost,
}

pub(crate) fn quoted(flags: &str) -> Quote {
    let day = if flags.contains("--on") { "" } else { "--on=2026-11-20 " };
    let flags = format!("isotherm {day}{flags}");
    let flags = flags.split_whitespace();
    quote(&Flags::try_parse_from(flags).unwrap().cost).unwrap()
}

fn cents(usd: f64) -> f64 {
    (usd * 100.0).round()
}

/// Checks the monthly cost of the only design, in cents.
#[track_caller]
fn check(flags: &str, expect: f64) {
    let quote = quoted(flags);
    assert_eq!(quote.designs.len(), 1);
    assert_eq!(cents(quote.designs[0].month_usd), expect, "{:#?}", quote.designs[0].bill.lines);
}

#[test]
fn figures_that_no_month_has_are_refused() {
    let refused = |flags: &str, words: &str| {
        let error = match Flags::try_parse_from(format!("isotherm {flags}").split_whitespace()) {
            Ok(flags) => format!("{:#}", quote(&flags.cost).unwrap_err()),
            Err(error) => error.to_string(),
        };
        assert!(error.contains(words), "{flags}: {error}");
    };
    refused("--requests 1e300", "must be from 0 to 1000000000000000");
    refused("--requests inf", "must be from 0 to");
    refused("--memory-mb 64", "must be a whole number from 128 to 10240");
    refused("--nodes 0", "must be a whole number from 1");
    refused("--nodes 1.5", "must be a whole number from 1");
    refused("--platform native --assume native-requests-per-second=0", "has no price for these figures");
}

/// The vector's line is that of a first request, and one that names a span. Few requests are either.
#[test]
fn a_line_on_lambda_has_the_bytes_that_are_assumed() {
    let vectors = include_str!("../../../../tests/vectors/watching.expected.json");
    let vectors: Vec<serde_json::Value> = serde_json::from_str(vectors).unwrap();
    let name = "the line of an event, for CloudWatch, with X-Ray's trace";
    let mut line = vectors.into_iter().find(|vector| vector["name"] == name).unwrap()["line"].take();
    for member in ["parentId", "faas.coldstart", "isotherm_cold_starts_total"] {
        line.as_object_mut().unwrap().remove(member).unwrap();
    }
    let metrics = line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array_mut().unwrap();
    assert_eq!(metrics.pop().unwrap()["Name"], "isotherm_cold_starts_total");
    line["faas.instance"] = "2026/11/27/[$LATEST]0123456789abcdef0123456789abcdef".into();
    let (bytes, assumed) =
        (line.to_string().len() as f64, Assumptions::read().unwrap().value("log-line-bytes").unwrap());
    assert!((0.97 * assumed..=assumed).contains(&bytes), "{bytes} of {assumed} bytes");
}

/// What a million events cost at a billion a month, without any free tier. Lambda's lines about requests, which the
/// configuration may leave out, come to 0.034 of it.
#[test]
fn a_tenth_of_the_articles_bill_on_every_platform() {
    for (platform, events_per_request, most) in [
        ("lambda --assume log-line-bytes=0", 10, 1.10),
        ("lambda", 10, 1.12),
        ("workers", 10, 1.10),
        ("workers", 1, 2.2),
        ("spin", 10, 1.10),
        ("native", 10, 1.10),
    ] {
        let requests = 1_000_000_000 / events_per_request;
        let quote = quoted(&format!(
            "--platform {platform} --requests {requests} --events-per-request {events_per_request} --free-tier off"
        ));
        let usd = quote.designs[0].per_million_events_usd.unwrap();
        assert!(usd <= most, "{platform}, {events_per_request} a request: {usd} USD, at most {most}");
    }
}

/// The units of one price in a design's bill.
fn units(quote: &Quote, price: &str) -> f64 {
    quote.designs[0].bill.lines.iter().filter(|line| line.price == price).map(|line| line.units).sum()
}

#[test]
fn workers_fifteen_million_requests_of_7_ms() {
    check("--platform workers --service plan --service function --requests 15000000 --cpu-ms 7", 800.0);
}

const LAMBDA: &str = "--platform lambda --service function --free-tier off --assume cold-share=0";

#[test]
fn lambda_a_million_requests_of_200_ms() {
    check(&format!("{LAMBDA} --requests 1000000 --duration-ms 200 --memory-mb 1024"), 353.0);
}

#[test]
fn lambda_five_provisioned() {
    // Provisioned: 5 GB for 730 hours cost 54.75. Half the memory costs 27.38. Both are 0.015 per GB-hour.
    check(&format!("{LAMBDA} --requests 0 --memory-mb 1024 --provisioned 5"), 5475.0);
    check(&format!("{LAMBDA} --requests 0 --memory-mb 512 --provisioned 5"), 2738.0);
    let quote = quoted(&format!("{LAMBDA} --requests 1000000 --duration-ms 200 --memory-mb 1024 --provisioned 5"));
    // A million requests to it cost 0.20, and 200 k GB-s at its own price cost 1.94.
    let [held, request, duration] = ["lambda-provisioned-x86", "lambda-request", "lambda-provisioned-duration-x86"]
        .map(|id| quote.designs[0].bill.lines.iter().find(|line| line.price == id).unwrap().usd.unwrap());
    assert_eq!([held, request, duration].map(cents), [5475.0, 20.0, 194.0]);
}

#[test]
fn lambda_bills_init_and_duration_as_one() {
    let flags = "--requests 1000 --memory-mb 1024 --duration-ms 250.06 --assume lambda-init-ms=100.77";
    let quote = quoted(&format!("--platform lambda --service function {flags} --assume cold-share=1"));
    assert_eq!(units(&quote, "lambda-duration-x86"), 351.0);
}

#[test]
fn lambda_waits_for_its_store() {
    let flags =
        "--platform lambda --service function --requests 1000 --memory-mb 1024 --assume cold-share=0 --cpu-ms 2";
    let seconds = |more: &str| units(&quoted(&format!("{flags} {more}")), "lambda-duration-x86");
    assert_eq!(seconds(""), 7.0);
    assert_eq!(seconds("--assume dynamodb-ms=12"), 14.0);
    assert_eq!(seconds("--assume cpu-factor=2.1"), 10.0);
    // 33 puts take two rounds of at most 32.
    assert_eq!(seconds("--events-per-request 33"), 12.0);
}

#[test]
fn workers_logs_are_bytes_from_december_on() {
    let logs = |more: &str| {
        let flags = "--platform workers --service logs --requests 75000000000 --assume workers-log-share=1";
        quoted(&format!("{flags} --assume workers-shards=1 --assume workers-log-bytes=1000 {more}")).designs.remove(0)
    };
    let price = |priced: &crate::model::cost::quote::Priced| {
        priced.bill.lines.iter().map(|line| line.price.clone()).collect::<Vec<_>>()
    };
    assert_eq!(price(&logs("")), ["workers-logs"]);
    let december = logs("--on=2026-12-01");
    assert_eq!(price(&december), ["workers-observability-ingested", "workers-observability-stored"]);
    let [ingested, stored] = [0, 1].map(|nth: usize| december.bill.lines[nth].units);
    // A request, its object's and the folds: some 150 billion events of 1,000 bytes, kept for 7 of 30.4 days.
    assert!((150_000.0..152_000.0).contains(&ingested), "{ingested}");
    assert!((stored / ingested - 7.0 * 24.0 / 730.0).abs() < 1e-9, "{stored}");
    assert!(december.unpriced.is_empty());
}

#[test]
fn three_t3_large_are_not_850() {
    let flags = "--platform native --service function --nodes 3 --node t3-large";
    check(flags, 18_221.0);
    let notes = quoted(flags).designs[0].bill.notes.join("\n");
    assert!(notes.contains("850") && notes.contains("182.21"), "{notes}");
}

#[test]
fn a_node_more_when_one_is_full() {
    let hours = |requests: &str| {
        let flags = "--platform native --assume native-requests-per-second=1000 --assume peak-to-mean=2 --assume event-work=0 --target-utilisation 1";
        units(&quoted(&format!("{flags} --requests {requests}")), "node-c7g-large")
    };
    // The busiest hour has twice the mean. So a node can take 500 per second all month.
    assert_eq!([hours("1314000000"), hours("1314000001")], [730.0, 1460.0]);
}

#[test]
fn the_baseline_s_design_pays_by_the_event() {
    let quote = quoted("--platform baseline --requests 1000000 --free-tier off");
    let priced = |service| {
        let of = quote.designs[0].bill.lines.iter().filter(|line| line.service == service);
        of.map(|line| cents(line.usd.unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(priced(Service::Gateway), [350.0]);
    // One PUT per event costs more than DynamoDB's put.
    assert_eq!(priced(Service::Backup)[0], 500.0);
    assert_eq!(priced(Service::Store)[1], 63.0);
    let [gateway, function, store] = [Service::Gateway, Service::Function, Service::Store].map(priced);
    assert!(function.len() == 2 && store.len() == 2 && gateway.len() == 1);
}

#[test]
fn an_object_a_batch_costs_less_than_an_object_an_event() {
    let puts = |design: &str, more: &str| {
        units(&quoted(&format!("--platform {design} --requests 100000000 {more}")), "s3-put")
    };
    assert_eq!(puts("baseline", ""), 1e8);
    assert!(puts("lambda", "") < 3e6);
    let short = "--assume lambda-window-s=1 --assume lambda-tumbling-s=5";
    assert!(puts("lambda", "") < puts("lambda", short) / 4.0);
    // No batch extends beyond its tumbling window.
    assert_eq!(puts("lambda", "--assume lambda-window-s=90"), puts("lambda", ""));
}

#[test]
fn shards_cost_pulses() {
    // One event every 20 minutes, in one of the shards.
    let of = |shards: u32, price: &str| {
        let flags = "--platform lambda --service aggregation --requests 2190";
        units(&quoted(&format!("{flags} --assume stream-shards={shards}")), price)
    };
    // The event causes its batch and its window's end, and two more invocations for each shard, its own among them. Few
    // windows have two events.
    assert!((of(1, "lambda-request") / 8760.0 - 1.0).abs() < 0.1, "{}", of(1, "lambda-request"));
    assert!((of(4, "lambda-request") / of(1, "lambda-request") - 2.5).abs() < 0.1, "{}", of(4, "lambda-request"));
    // Each such shard costs the put, and twice a watermark of two units. Puts for new shards are added.
    let more = of(4, "dynamodb-write") - of(1, "dynamodb-write");
    assert!((more / (2190.0 * 3.0 * 5.0 + 730.0 * 64.0 - 182.5 * 16.0) - 1.0).abs() < 0.1, "{more}");
}

#[test]
fn an_unpublished_price_is_said_or_is_yours() {
    let quote = quoted("--platform akamai --requests 2000000");
    assert_eq!((quote.designs[0].month_usd, &quote.designs[0].unpriced[..]), (0.0, &["akamai-request".to_owned()][..]));
    assert!(text(&quote).contains("unpriced"));
    check("--platform akamai --requests 2000000 --price akamai-request=0.50", 100.0);
}

#[test]
fn sums_are_those_of_their_lines() {
    for flags in ["", "--free-tier off", "--requests 0", "--events-per-request 50", "--arch arm --provisioned 2"] {
        for priced in quoted(flags).designs {
            let sum: f64 = priced.bill.lines.iter().filter_map(|line| line.usd).sum();
            assert!((sum - priced.month_usd).abs() < 1e-9);
            assert!(priced.bill.lines.iter().all(|line| line.units.is_finite() && line.units >= 0.0), "{priced:#?}");
            let per_million = priced.per_million_events_usd;
            assert_eq!(per_million.is_none(), flags == "--requests 0");
        }
    }
}

#[test]
fn some_services_are_the_lines_of_all() {
    let all = quoted("--platform lambda").designs.remove(0).bill.lines;
    let some = quoted("--platform lambda --service logs --service store").designs.remove(0).bill.lines;
    let expect: Vec<_> =
        all.into_iter().filter(|line| matches!(line.service, Service::Logs | Service::Store)).collect();
    assert_eq!((some.len(), some), (3, expect));
    assert_eq!(quoted("--platform lambda --service all"), quoted("--platform lambda"));
}

#[test]
fn what_a_table_rests_on_stands_under_it() {
    let text = crate::render::cost::text(&quoted("--platform lambda --memory-mb 512"));
    assert!(text.contains("lambda-memory-mb = 512 MB: memory of each function (--memory-mb)\n"), "{text}");
    assert!(!text.contains("workers-cpu-ms"), "{text}");
    assert!(text.contains("  rests on cpu-factor 1, event-work 0.34, measured-events 6, dynamodb-ms 5, "), "{text}");
    let text = crate::render::cost::text(&quoted("--on 2026-12-01"));
    assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
    assert_eq!(text.matches("dynamodb-ms = 5 ms: ").count(), 1, "{text}");
}

#[test]
fn cpu_time_grows_with_the_events_of_a_request() {
    let cpu = |flags: &str| units(&quoted(&format!("--platform workers --service function {flags}")), "workers-cpu");
    let of = |events: u32| cpu(&format!("--requests 1000 --events-per-request {events} --assume workers-cpu-ms=2.7"));
    // 6 events take as long as was measured: 2.7 ms, of which one event has 1 ms and each further one 0.34 ms.
    for (events, ms) in [(1, 1.0), (6, 2.7), (500, 1.0 + 499.0 * 0.34)] {
        assert!((of(events) / 1000.0 - ms).abs() < 1e-9, "{events}: {}", of(events));
    }
    assert_eq!(cpu("--requests 1000 --events-per-request 500 --cpu-ms 7"), 7000.0);
    let nodes = |events: u32| {
        let flags = format!("--platform native --requests 1000000000 --events-per-request {events}");
        units(&quoted(&format!("{flags} --assume native-requests-per-second=1000")), "node-c7g-large")
    };
    // 380 requests/s, 1,142 in the busiest hour. Of one event each, a node takes 2,700; of 12, it takes 570.
    assert_eq!([nodes(1), nodes(12)], [730.0, 3.0 * 730.0]);
}

/// What a design can't carry at this load, and what would.
fn impossible(flags: &str) -> Vec<String> {
    let exceeded = quoted(flags).designs.remove(0).impossible;
    exceeded.into_iter().map(|one| format!("{}; {}", one.problem, one.remedy)).collect()
}

#[test]
fn a_design_that_can_t_carry_the_load_says_so_and_what_would() {
    for (flags, expected) in [
        ("--platform workers --requests 100000000000", "a Durable Object holds 10 GB, and each of 4 would hold "),
        (
            "--platform workers --requests 10000000000",
            "a Durable Object takes 1,000 requests/s, and each of 4 would get 2,854",
        ),
        (
            "--platform workers --requests 5000000000 --cpu-ms 2",
            "a Durable Object has one thread, and each of 4 would have 2.854 s",
        ),
        (
            "--platform lambda --requests 500000000 --duration-ms 2000",
            "Lambda runs 1,000 environments of an account at once, and the busiest hour needs 1,142",
        ),
        (
            "--platform lambda --requests 10000000000",
            "API Gateway takes 10,000 requests/s of an account and Region, and the busiest hour has 11,416",
        ),
        (
            "--platform lambda --requests 40000000000",
            "a DynamoDB table on demand takes 40,000 write units/s, and the busiest hour has 45,662",
        ),
        (
            "--platform native --nodes 2",
            "the plain server runs on 1 node, because SQLite has one writer, and this takes 2",
        ),
        ("--platform native --requests 10000000000", "the plain server runs on 1 node"),
        ("--platform native --requests 1000000000000", "an EBS volume has at most 65,536 GB"),
        (
            "--platform baseline --requests 5000000000",
            "S3 takes 3,500 PUT/s under one prefix, which a day has, and the busiest hour has 5,708",
        ),
        ("--platform spin --events-per-request 1001", "a request has at most 1,000 events, not 1,001"),
    ] {
        let found = impossible(flags);
        assert!(found.iter().any(|one| one.starts_with(expected)), "{flags}: {found:#?}");
    }
    let shards = impossible("--platform workers --requests 10000000000");
    assert!(
        shards.iter().any(|one| one.ends_with("; 12 shards: `shards` in the configuration, before there are events")),
        "{shards:?}"
    );
    // With what it asks for, it is possible.
    let most =
        shards.iter().filter_map(|one| one.rsplit_once("; ")?.1.split(' ').next()?.parse::<u32>().ok()).max().unwrap();
    let flags = format!("--platform workers --requests 10000000000 --assume workers-shards={most}");
    assert_eq!(impossible(&flags), Vec::<String>::new());
    for platform in ["lambda", "workers", "spin", "native", "baseline"] {
        assert_eq!(impossible(&format!("--platform {platform} --requests 10000000")), Vec::<String>::new());
    }
    assert!(text(&quoted("--requests 100000000000")).contains("  workers: not possible, see above "));
}

#[test]
fn at_the_break_even_a_node_costs_the_same() {
    use crate::model::cost::break_even::Answer;
    let quote = quoted("");
    let found: Vec<&str> = quote.break_even.iter().map(|one| one.policy.as_str()).collect();
    assert_eq!(found, ["lambda", "workers", "baseline", "firehose", "pipelines"]);
    for one in quote.break_even.iter().filter(|one| one.policy != "pipelines") {
        let Answer::From { requests_month, usd_month } = one.answer else { panic!("{one:?}") };
        let costs = |requests: f64| {
            let flags = format!("--platform {} --platform native --free-tier off --requests {requests}", one.policy);
            let quote = quoted(&flags);
            (quote.designs[0].month_usd, quote.designs[1].month_usd)
        };
        let ((design, node), (design_below, node_below)) = (costs(requests_month), costs(requests_month * 0.999));
        assert!(node <= design && node_below > design_below, "{one:?}: {design} {node}");
        assert!((node / usd_month - 1.0).abs() < 1e-9, "{one:?}: {node}");
    }
    // Neither the load nor the free tier is in the answer.
    assert_eq!(quoted("--requests 1 --free-tier off").break_even, quote.break_even);
    let answer = |flags: &str| quoted(&format!("--platform lambda {flags}")).break_even.remove(0).answer;
    assert_eq!(answer("--provisioned 100"), Answer::Always);
    assert_eq!(answer("--assume native-requests-per-second=1"), Answer::Never);
}

#[test]
fn a_metered_run_is_priced_by_its_meters() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("result.json");
    let mut result = crate::results::tests::sample();
    std::fs::write(&file, serde_json::to_vec(&result).unwrap()).unwrap();
    let flags = format!("--from {} --free-tier off --requests 30001 --events-per-request 1", file.display());
    let quote = quoted(&format!("{flags} --platform lambda"));
    assert!(quote.designs[0].about.starts_with("as metered at about "), "{}", quote.designs[0].about);
    let line = |service, price| {
        let found = |line: &&crate::model::cost::bill::Line| line.service == service && line.price == price;
        (quote.designs[0].bill.lines.iter().find(found).unwrap().units * 1000.0).round() / 1000.0
    };
    assert_eq!(line(Service::Gateway, "http-api-request"), 6000.0);
    assert_eq!(line(Service::Function, "lambda-request"), 6000.0);
    // 1 ms CPU and DynamoDB's 5 ms, with 256 MB.
    assert_eq!(line(Service::Function, "lambda-duration-x86"), 6000.0 * 0.006 / 4.0);
    // 30,000 puts of one unit and one of two units.
    assert_eq!(line(Service::Store, "dynamodb-write"), 30_002.0);
    // In transactions, each unit counts as two.
    assert_eq!(line(Service::Aggregation, "dynamodb-write"), 1204.0);
    assert_eq!(line(Service::Aggregation, "dynamodb-read"), 301.0);
    assert_eq!(line(Service::Backup, "s3-put"), 60.0);
    let workers = quoted(&format!("{flags} --platform workers"));
    assert_eq!(units(&workers, "r2-class-a"), 60.0);
    assert_eq!(units(&workers, "workers-cpu"), 8500.0);
    assert_eq!(units(&workers, "durable-objects-request"), 7860.0);
    assert_eq!(units(&workers, "durable-objects-rows-read"), 200_000.0);
    // The rows include those that expire: three blocks for each of 60 folds.
    assert_eq!(units(&workers, "durable-objects-rows-written"), 90_973.0 + 180.0);
    result.platforms[1].meters.as_mut().unwrap().readings.rows.clear();
    std::fs::write(&file, serde_json::to_vec(&result).unwrap()).unwrap();
    // A run that did not count rows is not priced by its meters.
    assert!(!quoted(&format!("{flags} --platform workers")).designs[0].about.starts_with("as metered"));
    result.platforms.iter_mut().for_each(|measured| measured.meters = None);
    std::fs::write(&file, serde_json::to_vec(&result).unwrap()).unwrap();
    assert!(quoted(&format!("{flags} --platform lambda")).designs[0].about.starts_with("HTTP API"));
}

#[test]
fn the_lines_of_a_service_are_priced_as_a_month() {
    let lines = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/lines.ndjson");
    let quote = quoted(&format!("--from {lines} --free-tier off --platform lambda"));
    let production = quote.production.unwrap();
    assert_eq!((quote.requests, quote.events_per_request), (production.requests, production.events_per_request));
    assert!(
        (49.0..51.0).contains(&production.hours) && (5.0..8.0).contains(&quote.events_per_request),
        "{production:?}"
    );
    let [lambda] = &quote.designs[..] else { panic!("one design") };
    assert!(lambda.about.starts_with("HTTP API"), "{}", lambda.about);
    let cold = lambda.assumptions.iter().find(|one| one.name == "cold-share").unwrap();
    assert_eq!((Some(cold.value), cold.source.as_str()), (production.cold_share, lines));
    let requests = lambda.bill.lines.iter().find(|line| line.price == "http-api-request").unwrap().units;
    assert_eq!(requests, production.requests);
    // A flag goes before the lines.
    assert_eq!(quoted(&format!("--from {lines} --requests 1000 --platform lambda")).requests, 1000.0);
}

#[test]
fn without_a_file_the_sample_is_priced_and_named() {
    let quote = quoted("--platform lambda --platform native --from");
    let [metered, node] = &quote.designs[..] else { panic!("{quote:?}") };
    assert!(metered.about.starts_with("as metered at about "), "{}", metered.about);
    assert!(metered.about.contains("events/s in the sample of 20"), "{}", metered.about);
    let sources: Vec<&str> = node.assumptions.iter().map(|one| one.source.as_str()).collect();
    assert!(sources.iter().any(|source| source.starts_with("the sample of 20")), "{sources:?}");
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    for flags in
        ["--requests=-1", "--requests=many", "--platform=azure", "--assume=x", "--cpu-ms=NaN", "--service=some"]
    {
        assert!(Flags::try_parse_from(["isotherm", flags]).is_err(), "{flags}");
    }
    for (flags, problem) in [
        ("--assume=x=1", "there is no assumption \"x\""),
        ("--price=x=1", "there is no price \"x\""),
        ("--node=c7g", "the price book has no price \"node-c7g\""),
        ("--events-per-request=0", "a request must have events"),
        ("--from=/nowhere.json", "cannot read /nowhere.json"),
    ] {
        let error = quote(&Flags::try_parse_from(["isotherm", flags]).unwrap().cost).unwrap_err();
        assert!(format!("{error:#}").contains(problem), "{flags}: {error:#}");
    }
}

#[test]
fn a_quote_is_what_its_schema_says() {
    let schema = serde_json::to_value(schemars::schema_for!(Quote)).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let quote = serde_json::to_value(quoted("")).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(&quote).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    for field in quote.as_object().unwrap().keys() {
        let mut quote = quote.clone();
        quote.as_object_mut().unwrap().remove(field);
        assert!(!validator.is_valid(&quote), "valid without {field}");
    }
    for field in quote["designs"][0].as_object().unwrap().keys() {
        let mut quote = quote.clone();
        quote["designs"][0][field] = serde_json::json!({ "an": "object" });
        assert!(!validator.is_valid(&quote), "valid with {field} of another type");
    }
}

#[test]
fn events_are_kept_as_the_configuration_says() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    let store = |platform: &str, retention: &str| {
        std::fs::write(&file, format!(r#"{{"version":2,"open":true,"retention":{{{retention}}}}}"#)).unwrap();
        quoted(&format!("--platform {platform} --free-tier off --requests 1000000 --config {}", file.display()))
    };
    let default = quoted("--platform lambda --free-tier off --requests 1000000");
    let days = |days: u64| format!(r#""flight_departed":{days}"#);
    // A part of the storage is that of rollups.
    let gb = |quote: &Quote| units(quote, "dynamodb-storage");
    assert_eq!(gb(&store("lambda", "")), gb(&default));
    let (month, quarter, year) =
        (gb(&store("lambda", &days(30))), gb(&store("lambda", &days(90))), gb(&store("lambda", &days(360))));
    assert!((quarter - gb(&default)).abs() < 1e-9 && month < quarter, "{month} {quarter}");
    assert!(((year - quarter) / (quarter - month) - 4.5).abs() < 1e-6, "{month} {quarter} {year}");
    // Of another type, they are kept as by default.
    assert_eq!(gb(&store("lambda", r#""other":30"#)), gb(&default));
    let rows = |quote: &Quote| units(quote, "durable-objects-rows-written");
    assert!(rows(&store("workers", &days(30))) > rows(&store("workers", "")));
}
