//! Worked examples of moves, and flags that name none.

use clap::Parser;

use super::*;
use crate::model::cost::usage::Service;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    cost: Cost,
}

/// Bytes of an item in DynamoDB whose record has 945 bytes as it is sent.
const ITEM: f64 = 278.357_051_588_857_6;

fn answered(flags: &str) -> Result<Leave> {
    let flags = format!("isotherm --on=2026-11-20 --free-tier off --leave {flags}");
    answer(&Flags::try_parse_from(flags.split_whitespace())?.cost)
}

/// 512,000 events whose lines of an export have 1,024 bytes: 512 fill an answer, and 887 a request of an import. No
/// rollups are kept, and no block costs a row.
fn moved(flags: &str) -> Leave {
    let plain = "--events 512000 --bytes 945 --assume kept-months=0 --assume workers-block-rows=0";
    answered(&format!("{plain} {flags}")).unwrap()
}

#[track_caller]
fn units(side: &crate::model::cost::leave::Side, service: Service, price: &str, expected: f64) {
    let line = side.lines.iter().find(|line| (line.service, line.price.as_str()) == (service, price));
    let units = line.map_or(0.0, |line| line.units);
    assert!((units - expected).abs() < 1e-6 * expected.max(1.0), "{price}: {units} in place of {expected}");
}

#[test]
fn leaving_lambda_is_two_scans_a_run() {
    let Leave { source, usd, target, .. } = moved("--from lambda --to native --runs 1");
    // 1,000 answers a scan. Each reads 1,000 items of 278 bytes, strongly consistent.
    let units_of_answer = 1000.0 * ITEM / 4096.0;
    units(&source, Service::Store, "dynamodb-read", 2.0 * 1000.0 * units_of_answer);
    units(&source, Service::Gateway, "http-api-request", 2000.0);
    units(&source, Service::Function, "lambda-request", 2000.0);
    // 7 ms of CPU time and 5 ms of DynamoDB, with 256 MB.
    units(&source, Service::Function, "lambda-duration-x86", 2000.0 * 0.012 * 0.25);
    units(&source, Service::Logs, "cloudwatch-logs", 2000.0 * 980.0 / 1e9);
    units(&source, Service::Egress, "aws-egress", 2.0 * 512_000.0 * 1024.0 / 1e9);
    // A node is paid for anyway; what it answers leaves AWS: 578 answers of 550 bytes, 76 an event, and one pass.
    let answers = 512_000.0 * 76.0 + 578.0 * 550.0;
    units(&target, Service::Egress, "aws-egress", (answers + 512_000.0 * 1024.0) / 1e9);
    // 0.016990 + 0.002 + 0.0004 + 0.0001 + 0.00098 + (1.048576 + 0.5635179) × 0.09
    assert!((usd - 0.16556).abs() < 1e-5, "{usd}");
    assert!(source.lines.len() == 6 && target.lines.len() == 1);
    let twice = moved("--from lambda --to native");
    units(&twice.source, Service::Store, "dynamodb-read", 4.0 * 1000.0 * units_of_answer);
}

#[test]
fn a_table_is_read_once_where_it_is_smaller_than_an_answer_reads() {
    let few = answered("--from lambda --to native --events 100 --bytes 945 --runs 1 --assume kept-months=0").unwrap();
    let line = few.source.lines.iter().find(|line| line.price == "dynamodb-read").unwrap();
    assert!(line.units > 2.0 && line.units < 2.0 * 100.0 * 1024.0 / 4096.0, "{}", line.units);
}

#[test]
fn coming_to_lambda_is_a_put_of_the_whole_record_each_run() {
    let Leave { target, .. } = moved("--from native --to lambda");
    // 945 + 26 + 50 bytes are one unit of 1,024, in each of two runs.
    units(&target, Service::Store, "dynamodb-write", 2.0 * 512_000.0);
    // 578 requests of 887 × 1,039 bytes count twice, and 1,000 answers once, in each run.
    units(&target, Service::Gateway, "http-api-request", 2.0 * (2.0 * 578.0 + 1000.0));
    // Folds pass over the events: one transaction of the watermark, and one object, for each batch of 1,000.
    units(&target, Service::Backup, "s3-put", 512.0);
    units(&target, Service::Aggregation, "dynamodb-write", 2.0 * 512.0);
    let more = answered("--from native --to lambda --events 512000 --bytes 949 --assume kept-months=0").unwrap();
    units(&more.target, Service::Store, "dynamodb-write", 4.0 * 512_000.0);
}

#[test]
fn coming_to_workers_is_a_row_of_each_request_and_shard() {
    let Leave { target, .. } = moved("--from native --to workers");
    units(&target, Service::Store, "durable-objects-rows-written", 578.0 * 4.0 + 512_000.0 * 0.02);
    units(&target, Service::Aggregation, "durable-objects-rows-written", 1000.0 * 4.0);
    units(&target, Service::Backup, "r2-class-a", 1000.0);
    units(&target, Service::Function, "workers-request", 2.0 * (578.0 + 1000.0));
    // The plan includes all of that, but a begun million of objects of R2 is a whole one.
    let paid: Vec<_> =
        target.lines.iter().filter(|line| line.usd != Some(0.0)).map(|line| line.price.as_str()).collect();
    assert_eq!(paid, Vec::<&str>::new(), "the month's own objects begin the same million");
}

#[test]
fn a_move_asks_for_one_answer_at_a_time() {
    let seconds = |flags: &str| moved(&format!("--from native --to native --runs 1 {flags}")).seconds;
    // Copying: 25.6 s of work and 1,578 ways of 0.1 s. Then 1,000 answers of 0.107 s on each side.
    assert!((seconds("") - (25.6 + 157.8 + 214.0)).abs() < 1e-6, "{}", seconds(""));
    assert!((seconds("--rate 1000") - (512.0 + 214.0)).abs() < 1e-6);
    assert!((seconds("--rate 1000 --assume move-connection-ms=0") - (512.0 + 14.0)).abs() < 1e-6);
}

#[test]
fn leaving_pays_where_the_month_is_cheaper() {
    let left = answered("--from lambda --to workers --events 30000000 --stay").unwrap();
    let stay = left.stay.unwrap();
    assert!((stay.requests - 30e6 / 90.0 / 24.0 * 730.0).abs() < 1.0, "{}", stay.requests);
    let months = stay.pays_after_months.unwrap();
    assert!((months * (stay.source_month_usd - stay.target_month_usd) - left.usd).abs() < 1e-9);
    let back = answered("--from workers --to lambda --requests 10138889 --stay").unwrap();
    assert_eq!(back.stay.unwrap().pays_after_months, None);
    assert!((back.events / 30e6 - 1.0).abs() < 1e-6, "{}", back.events);
    assert!(left.pages > 0.0 && left.source.usd > 0.0);
}

#[test]
fn what_names_no_move_is_refused() {
    for (flags, words) in [
        ("--from lambda", "--to"),
        ("--to workers", "--from"),
        ("--from result.json --to workers", "--from names a platform"),
        ("--from lambda --to workers --events flights.ndjson", "--events is a number of events: is no number"),
        ("--from lambda --to akamai", "nothing moves from or to akamai"),
        ("--from lambda --to workers --platform spin", "cannot be used with"),
        ("--from lambda --to workers --bytes 0", "must be 1 or more"),
        ("--from lambda --to workers --runs 0", "0 is not in"),
    ] {
        let error = format!("{:#}", answered(flags).unwrap_err());
        assert!(error.contains(words), "{flags}: {error}");
    }
    let alone = Flags::try_parse_from(["isotherm", "--stay"]).err().unwrap().to_string();
    assert!(alone.contains("--leave"), "{alone}");
}

#[test]
fn the_words_fit_and_the_json_is_what_its_schema_says() {
    let left = answered("--from lambda --to workers --events 30000000 --stay").unwrap();
    let words = text(&left);
    assert!(words.lines().all(|line| line.chars().count() <= 120), "{words}");
    assert!(words.contains("leaving has paid after 0.") && words.contains("from Lambda to Workers: 30,000,000 events"));
    let schema = serde_json::to_value(schemars::schema_for!(Leave)).unwrap();
    jsonschema::validate(&schema, &serde_json::to_value(&left).unwrap()).unwrap();
}

#[test]
fn large_events_fill_a_fold_with_bytes() {
    // A fold of 512 KiB has 64 of them. Each writes a backup.
    let large = answered("--from lambda --to workers --events 64000 --bytes 8192 --runs 1").unwrap();
    units(&large.target, Service::Backup, "r2-class-a", 1000.0);
}
