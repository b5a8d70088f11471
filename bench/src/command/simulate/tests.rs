//! Runs the program as its users call it, within one process.

use clap::Parser;

use super::*;
use crate::model::simulate::input::tests::gzip;

#[derive(Debug, Parser)]
struct Flags {
    #[command(flatten)]
    simulate: Simulate,
}

fn flags(words: &str) -> Result<Simulate, clap::Error> {
    Flags::try_parse_from(std::iter::once("simulate").chain(words.split_whitespace())).map(|flags| flags.simulate)
}

fn output(words: &str) -> String {
    simulated(&flags(words).unwrap()).unwrap()
}

fn json(words: &str) -> serde_json::Value {
    serde_json::from_str(&output(&format!("{words} --json"))).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let words = "--trace bursty:1/s,size=5 --duration 2h --json --seed";
    assert_eq!(output(&format!("{words} 1")), output(&format!("{words} 1")));
    assert_ne!(output(&format!("{words} 1")), output(&format!("{words} 2")));
    let table = "--scale 3 --duration 5d";
    assert_eq!(output(table), output(table));
}

#[test]
fn what_a_policy_gets_does_not_depend_on_which_others_run() {
    let words = "--trace poisson:1/s --duration 1h --policy workers,locations=5";
    let (alone, among) = (json(words), json(&format!("{words} --policy lambda --policy container,nodes=0..2")));
    assert_eq!(alone["policies"][0], among["policies"][0]);
    assert_eq!(among["policies"].as_array().unwrap().len(), 3);
    assert_eq!(alone["break_even"][0]["policy"], "workers,locations=5");
    assert_eq!(among["break_even"].as_array().unwrap().len(), 2);
}

#[test]
fn the_flights_fit_into_120_columns_and_all_are_answered() {
    let table = output("");
    for line in table.lines() {
        assert!(line.chars().count() <= 120, "{} wide: {line}", line.chars().count());
    }
    for policy in json("")["policies"].as_array().unwrap() {
        assert_eq!((&policy["requests"], &policy["refused"]), (&27_004.into(), &0.into()), "{policy}");
    }
}

#[test]
fn the_cheapest_is_the_cheapest_of_those_that_meet_the_goals() {
    let all = json("");
    assert_eq!(all["cheapest"], "lambda");
    let warm = json("--cold-share 1%");
    assert_eq!(warm["cheapest"], "container,nodes=1");
    assert_eq!(json("--cold-share 5%")["cheapest"], "workers");
    assert_eq!(json("--p99 1ms")["cheapest"], serde_json::Value::Null);
    assert!(output("--p99 1ms").contains("no policy with p99 of at most 1.00 ms"));
    let refusing = json("--trace poisson:100/s --duration 1m --policy container,slots=1,queue=0");
    assert!(refusing["policies"][0]["refused"].as_u64().unwrap() > 0);
    assert_eq!(refusing["cheapest"], serde_json::Value::Null);
}

#[test]
fn scale_changes_the_load_and_the_cold_share() {
    let (one, many) = (json("--policy lambda"), json("--policy lambda --scale 100"));
    let share = |report: &serde_json::Value| report["policies"][0]["cold_share"].as_f64().unwrap();
    assert_eq!(many["trace"]["requests"].as_u64().unwrap(), 2_700_400);
    assert!(share(&many) < share(&one) / 10.0, "{} {}", share(&many), share(&one));
}

#[test]
fn bad_input_is_one_clear_line() {
    for (words, expect) in [
        ("--scale 0", "\"0\" is not a number above 0"),
        ("--cold-share 200%", "\"200%\" is no share"),
        ("--policy lamda", "\"lamda\" is no policy"),
        ("--trace nowhere", "\"nowhere\" is no trace"),
        ("--init published:cobol", "there is no recording \"cobol\""),
    ] {
        let error = flags(words).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
    for (words, expect) in [
        ("--trace events:/nowhere.ndjson", "cannot read /nowhere.ndjson: "),
        ("--from /nowhere.json", "cannot read /nowhere.json: "),
        ("--policy lambda --policy lambda", "the policy \"lambda\" is given twice"),
        ("--policy container,node=z9", "the price book has no price \"node-z9\" for 2026-11-01"),
        ("--trace poisson:1/d --duration 1s", "the trace has no request"),
    ] {
        let error = format!("{:#}", simulated(&flags(words).unwrap()).unwrap_err());
        assert!(error.starts_with(expect), "{error}");
    }
}

#[test]
fn the_output_is_what_its_schema_says() {
    let schema = serde_json::to_value(schemars::schema_for!(Report)).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let goals = "--trace bursty:1/s,size=5 --duration 1h --p99 1s --cold-share 0.1 --policy lambda,provisioned=100";
    for words in ["", goals, "--trace poisson:1/s --duration 1h --policy container,slots=1,queue=0"] {
        let report = json(words);
        let errors: Vec<String> =
            validator.iter_errors(&report).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{words}: {errors:#?}");
    }
    // The schema is strict: no field may be missing or have another type.
    let report = json("--duration 2d");
    for (field, value) in report.as_object().unwrap() {
        let mut without = report.clone();
        without.as_object_mut().unwrap().remove(field);
        // What may be null may be absent too.
        assert_eq!(validator.is_valid(&without), field == "cheapest", "{field}");
        let mut other = report.clone();
        other[field] = if value.is_object() { serde_json::json!(true) } else { serde_json::json!({}) };
        assert!(!validator.is_valid(&other), "valid with {field} of another type");
    }
    for field in report["policies"][0].as_object().unwrap().keys() {
        let mut without = report.clone();
        without["policies"][0].as_object_mut().unwrap().remove(field);
        assert!(!validator.is_valid(&without), "valid without {field} of a policy");
    }
}

#[track_caller]
fn check_line(words: &str, price: &str, cents: i64) {
    let report = json(words);
    let lines = report["policies"][0]["cost"]["lines"].as_array().unwrap();
    let line = lines.iter().find(|line| line["price"] == price).unwrap();
    assert_eq!((line["usd"].as_f64().unwrap() * 100.0).round() as i64, cents, "{line}");
}

/// Examples that the providers publish, as loads: a burst within an hour, 730 times a month.
#[test]
fn published_examples_come_out_to_the_cent() {
    // 1 M requests of 200 ms with 1 GB cost 3.53.
    let million = "--trace burst:136986 --policy lambda,memory=1024,init=0s --service 200ms";
    let usd = json(million)["policies"][0]["cost"]["usd_per_million"].as_f64().unwrap();
    assert_eq!((usd * 100.0).round() as i64, 353);
    // The free tier takes 1 M of these 100 M requests.
    check_line(&format!("{million} --free-tier"), "lambda-request", 1980);
    // 5 provisioned instances with 1 GB cost about 55.
    check_line("--trace burst:500 --policy lambda,provisioned=5,memory=1024", "lambda-provisioned-x86", 5475);
    // 15 M requests × 7 ms CPU on the paid plan cost 8.00.
    let workers = json("--trace burst:20548 --policy workers,cpu=7ms");
    assert_eq!((workers["policies"][0]["cost"]["usd_month"].as_f64().unwrap() * 100.0).round() as i64, 800);
    // One t4g.small for a month.
    check_line("--trace burst:500 --policy container", "node-t4g-small", 1226);
}

#[test]
fn pings_are_paid_for() {
    // One ping in every minute of an hour, including the first and the last, 730 times a month. The first has an init
    // of 1 s.
    let words = "--trace burst:1,within=1m --policy lambda,ping=1m,init=999ms,memory=1024,arch=arm --service 1ms";
    let report = json(words);
    let lines = report["policies"][0]["cost"]["lines"].as_array().unwrap();
    let units = |nth: usize| lines[nth]["units"].as_f64().unwrap();
    assert_eq!((lines[1]["price"].as_str().unwrap(), units(0).round()), ("lambda-duration-arm", 62.0 * 730.0));
    assert!((units(1) - 730.0 * (1.0 + 60.0 * 0.001 + 0.001)).abs() < 1e-6, "{}", units(1));
}

/// At the computed break-even load, a simulation finds the same costs.
#[test]
fn at_the_break_even_load_both_cost_the_same() {
    for policy in ["lambda", "workers", "lambda,memory=2048"] {
        let words = format!("--trace poisson:1/s --duration 1h --policy {policy} --policy container");
        let answer = &json(&words)["break_even"][0];
        assert_eq!((&answer["answer"], &answer["nodes"]), (&"from".into(), &1.into()), "{answer}");
        let there = json(&format!("{words} --scale {}", answer["scale"]));
        let usd = |nth: usize| there["policies"][nth]["cost"]["usd_month"].as_f64().unwrap();
        // The number of requests and of cold starts is random: 4 % is four standard deviations of 10,000 requests.
        assert!((usd(0) / usd(1) - 1.0).abs() < 0.04, "{policy}: {} and {}", usd(0), usd(1));
    }
}

#[test]
fn a_break_even_may_need_more_nodes_or_be_there_at_once_or_never() {
    let answer = |words: &str| json(&format!("--trace poisson:1/s --duration 1h {words}"))["break_even"][0].clone();
    // A node with one slot holds few requests of 100 ms. The break-even needs two nodes: at one, the free tier still
    // pays for most.
    let many = answer("--free-tier --service 100ms --policy lambda,memory=1024 --policy container,slots=1");
    assert_eq!((&many["answer"], &many["nodes"]), (&"from".into(), &2.into()), "{many}");
    assert_eq!(answer("--policy lambda,provisioned=50")["answer"], "always");
    let never = answer("--service 1s --policy lambda --policy container,slots=1");
    assert_eq!((&never["answer"], never.get("nodes")), (&"never".into(), None), "{never}");
}

#[test]
fn azure_s_traces_are_replayed_from_packed_files() {
    let folder = tempfile::tempdir().unwrap();
    let minutes: Vec<String> = (1..=1440).map(|minute| minute.to_string()).collect();
    let row = |count: &str| vec![count; 1440].join(",");
    let rows = format!("o,a,f1,http,{}\no,a,f2,timer,{}\n", row("2"), row("1"));
    let header = format!("HashOwner,HashApp,HashFunction,Trigger,{}\n", minutes.join(","));
    let file = folder.path().join("d01.csv.gz");
    std::fs::write(&file, gzip(&(header + &rows))).unwrap();
    let words = format!("--policy lambda --trace azure2019:{}", file.display());
    let day = json(&words);
    assert_eq!((&day["trace"]["requests"], &day["trace"]["seconds"]), (&4320.into(), &86_400.0.into()));
    assert_eq!(json(&format!("{words},function=f2"))["trace"]["requests"], 1440);
    assert_eq!(json(&format!("{words} --scale 2"))["trace"]["requests"], 8640);
    assert_eq!(json(&format!("{words} --scale 0.125"))["trace"]["requests"], 540);

    let rows: String = (1..=1000).map(|second| format!("a,f,{second}.25,0.25\n")).collect();
    let file = folder.path().join("2021.txt.gz");
    std::fs::write(&file, gzip(&format!("app,func,end_timestamp,duration\n{rows}"))).unwrap();
    let words = format!("--policy container --trace azure2021:{}", file.display());
    let p50 = |report: &serde_json::Value| report["policies"][0]["latency_ms"]["p50"].as_f64().unwrap();
    let own = json(&words);
    assert!((p50(&own) / 250.0 - 1.0).abs() < 1e-3, "{}", p50(&own));
    assert_eq!(own["policies"][0]["sources"]["service"], "trace: each request's own duration");
    let given = json(&format!("{words} --service 7ms"));
    assert!((p50(&given) / 7.0 - 1.0).abs() < 1e-3, "{}", p50(&given));
}

#[test]
fn a_comparison_s_result_says_how_long_its_platforms_take() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("result.json");
    let mut result = crate::results::tests::sample();
    result.platforms.truncate(2);
    for (measured, ms) in result.platforms.iter_mut().zip([2.0, 3.0]) {
        measured.figures.cold.init.samples = vec![100.0 * ms];
        measured.figures.warm.latency.samples = vec![ms];
        measured.figures.cpu.ms_per_request.value = ms;
    }
    std::fs::write(&file, serde_json::to_vec(&result).unwrap()).unwrap();
    let words = format!("--trace poisson:1/h --duration 30d --keep-alive 1m --from {}", file.display());
    let report = json(&format!("{words} --policy lambda --policy workers,keep-alive=1m"));
    for (nth, ms) in [(0, 202.0), (1, 303.0)] {
        let p50 = report["policies"][nth]["latency_ms"]["p50"].as_f64().unwrap();
        assert!((p50 / ms - 1.0).abs() < 1e-3, "{p50}, not {ms}");
    }
    assert_eq!(report["policies"][1]["sources"]["cpu"], "measured: 3.000 ms a request");
    let error = simulated(&flags(&words).unwrap()).unwrap_err();
    assert!(format!("{error:#}").ends_with("result.json has no measurements of native"), "{error:#}");
}

#[test]
fn without_a_file_the_sample_says_how_long_its_platforms_take() {
    let report = json("--trace poisson:1/h --duration 1d --policy lambda --from");
    let source = report["policies"][0]["sources"]["init"].as_str().unwrap();
    assert!(source.starts_with("measured: lambda, cold init, n = ") && source.contains("the sample of 20"), "{source}");
}
