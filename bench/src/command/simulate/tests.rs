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
    let day = (!words.contains("--on")).then_some("--on=2026-11-20");
    let words = std::iter::once("simulate").chain(words.split_whitespace()).chain(day);
    Flags::try_parse_from(words).map(|flags| flags.simulate)
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
        ("--policy container,node=z9", "the price book has no price \"node-z9\" for 2026-11-20"),
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
        assert_eq!(validator.is_valid(&without), ["cheapest", "check"].contains(&field.as_str()), "{field}");
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

/// A line of the function's part of a policy's bill.
#[track_caller]
fn line(report: &serde_json::Value, policy: usize, price: &str) -> serde_json::Value {
    let lines = report["policies"][policy]["cost"]["lines"].as_array().unwrap();
    let found = |line: &&serde_json::Value| line["price"] == price && line["service"] == "function";
    lines.iter().find(found).unwrap().clone()
}

#[track_caller]
fn check_line(words: &str, price: &str, cents: i64) {
    let report = json(words);
    let line = line(&report, 0, price);
    assert_eq!((line["usd"].as_f64().unwrap() * 100.0).round() as i64, cents, "{line}");
}

/// Examples that the providers publish, as loads: a burst within an hour, 730 times a month.
#[test]
fn published_examples_come_out_to_the_cent() {
    // 1 M requests of 200 ms with 1 GB cost 3.53.
    let million = "--trace burst:136986 --policy lambda,memory=1024,init=0s --service 200ms";
    // A hundred million of them cost 20 and 333.33.
    check_line(million, "lambda-request", 2000);
    check_line(million, "lambda-duration-x86", 33_333);
    // The free tier takes 1 M of these 100 M requests.
    check_line(&format!("{million} --free-tier"), "lambda-request", 1980);
    // 5 provisioned instances with 1 GB cost about 55.
    check_line("--trace burst:500 --policy lambda,provisioned=5,memory=1024", "lambda-provisioned-x86", 5475);
    // 15 M requests × 7 ms CPU on the paid plan cost 8.00.
    let workers = "--trace burst:20548 --policy workers,cpu=7ms";
    check_line(workers, "workers-request", 150);
    check_line(workers, "workers-cpu", 150);
    // One t4g.small for a month.
    check_line("--trace burst:500 --policy container,node=t4g-small", "node-t4g-small", 1226);
}

#[test]
fn pings_are_paid_for() {
    // One ping in every minute of an hour, including the first and the last, 730 times a month. The first has an init
    // of 1 s.
    let words = "--trace burst:1,within=1m --policy lambda,ping=1m,init=999ms,memory=1024,arch=arm --service 1ms";
    let report = json(words);
    let units = |price| line(&report, 0, price)["units"].as_f64().unwrap();
    assert_eq!(units("lambda-request").round(), 62.0 * 730.0);
    let seconds = units("lambda-duration-arm");
    assert!((seconds - 730.0 * (1.0 + 60.0 * 0.001 + 0.001)).abs() < 1e-6, "{seconds}");
}

/// `isotherm cost` and `isotherm simulate` have one break-even, whatever the trace.
#[test]
fn the_break_even_is_that_of_cost() {
    #[derive(Parser)]
    struct Cost {
        #[command(flatten)]
        cost: crate::command::cost::Cost,
    }
    let words = "cost --on 2026-11-20 --platform lambda --platform workers";
    let quoted = |more: &str| {
        let flags = Cost::try_parse_from(format!("{words} {more}").split_whitespace()).unwrap();
        serde_json::to_value(crate::command::cost::quote(&flags.cost).unwrap().break_even).unwrap()
    };
    let simulated = |more: &str| {
        let words = "--trace poisson:1/s --duration 1h --on 2026-11-20 --policy lambda --policy workers";
        json(&format!("{words} {more}"))["break_even"].clone()
    };
    assert_eq!(quoted("")[0]["answer"], "from");
    assert_eq!(quoted(""), simulated(""));
    assert_eq!(quoted(""), simulated("--scale 5 --free-tier"));
    let node = "--node t4g-small --assume cold-share=0.2";
    assert_eq!(quoted(node), simulated("--policy container,node=t4g-small --assume cold-share=0.2"));
    // What a policy says of itself counts: so many provisioned instances cost more than a node.
    let held = json("--trace poisson:1/s --duration 1h --policy lambda,provisioned=100");
    assert_eq!((&held["break_even"][0]["answer"], held["break_even"].as_array().unwrap().len()), (&"always".into(), 1));
}

#[test]
fn what_can_t_be_is_said_and_is_in_no_verdict() {
    let words = "--trace burst:3000,within=1s --service 2s --policy lambda --policy container,nodes=0..2,queue=100000";
    let report = json(words);
    let problem = |policy: usize| report["policies"][policy]["impossible"][0]["problem"].as_str().unwrap().to_owned();
    assert!(problem(0).starts_with("Lambda runs 1,000 environments of an account at once, and the trace needs 3,000"));
    assert!(problem(1).starts_with("the plain server runs on 1 node"), "{}", problem(1));
    assert_eq!(report["cheapest"], serde_json::Value::Null);
    let table = output(words).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        table.contains("not possible: Lambda runs 1,000") && table.contains("possible: a quota of 3,000"),
        "{table}"
    );
    // With a larger quota, environments still start no faster.
    let raised = json(&format!("{words} --assume lambda-concurrency=5000"));
    let problem = raised["policies"][0]["impossible"][0]["problem"].as_str().unwrap();
    assert!(problem.starts_with("Lambda starts 1,000 environments of a function in 10 s"), "{problem}");
    let few = json("--trace burst:500,within=1s --service 2s --policy lambda");
    assert_eq!((&few["policies"][0]["impossible"], &few["cheapest"]), (&serde_json::json!([]), &"lambda".into()));
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

/// A function of 128 MB whose environments stay for ten minutes, in a log that `simulate` reads.
#[test]
fn lambda_s_reports_are_replayed_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.gz");
    let line = |second: u64, init: &str, billed: u32| {
        let at = jiff::Timestamp::from_second(1_795_773_600).unwrap()
            + jiff::SignedDuration::from_secs(second.cast_signed());
        format!(
            "{at} REPORT RequestId: 8f507cfc\tDuration: 20.00 ms\tBilled Duration: {billed} ms\tMemory Size: 128 MB\t\
             Max Memory Used: 41 MB\t{init}\n"
        )
    };
    let (cold, warm) = (("Init Duration: 100.00 ms\t", 120), ("", 20));
    // Twelve minutes between two requests, then a minute: the first two are cold.
    let all = [(0, cold), (720, cold), (780, warm), (840, warm)];
    let text: String = all.iter().map(|(second, (init, billed))| line(*second, init, *billed)).collect();
    std::fs::write(&file, gzip(&text)).unwrap();
    let words = format!("--trace logs:{} --policy lambda", file.display());
    let check = &json(&words)["check"];
    assert_eq!((&check["observed"]["cold"], &check["observed"]["memory_mb"]), (&2.into(), &128.0.into()), "{check}");
    assert_eq!(check["observed"]["init_ms"]["p50"], 100.0);
    let near = |name: &str, expected: f64| (check[name].as_f64().unwrap() - expected).abs() < 1e-9;
    assert!(near("simulated_cold_share", 0.5) && near("cold_share_error", 0.0) && near("bill_error", 0.0), "{check}");
    assert!((check["observed"]["gb_seconds"].as_f64().unwrap() - 0.28 / 8.0).abs() < 1e-9, "{check}");
    let table = output(&words);
    assert!(
        table.contains("observed   4 requests, 50.0 % cold, init p50 100 p99 100 ms, duration p50 20.0 p99 20.0 ms"),
        "{table}"
    );
    assert!(table.contains("+0.00 points of cold requests, +0.0 % of the bill"), "{table}");
    // Lambda kept the second environment for less than the simulation has it: it errs, and says so.
    let all = [(0, cold), (720, cold), (1080, cold), (1140, warm)];
    let text: String = all.iter().map(|(second, (init, billed))| line(*second, init, *billed)).collect();
    std::fs::write(&file, text).unwrap();
    let check = &json(&words)["check"];
    assert!(
        (check["cold_share_error"].as_f64().unwrap() + 0.25).abs() < 1e-9
            && check["bill_error"].as_f64().unwrap() < -0.2,
        "{check}"
    );
    // The log says how long requests took. More arrivals than there were are not those that were observed.
    let report = json(&words);
    assert_eq!(report["policies"][0]["sources"]["service"], "trace: each request's own duration");
    assert_eq!(json(&format!("{words} --scale 3"))["check"], serde_json::Value::Null);
    let flights = json("--duration 2d --policy lambda");
    assert_eq!(flights["check"], serde_json::Value::Null);
}

#[test]
fn a_log_without_durations_takes_those_of_the_flags() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let line = |second: u32| {
        format!("192.0.2.1 - - [27/Nov/2026:10:00:{second:02} +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"-\"\n")
    };
    std::fs::write(&file, (0..60).map(line).collect::<String>()).unwrap();
    let words = format!("--trace logs:{} --policy container", file.display());
    let report = json(&words);
    assert_eq!(report["trace"]["requests"], 60);
    // Its times are whole seconds, so each request comes some time within its second.
    assert!((58.0..60.0).contains(&report["trace"]["seconds"].as_f64().unwrap()), "{}", report["trace"]);
    assert!(report["policies"][0]["sources"]["service"].as_str().unwrap().starts_with("assumed"), "{report}");
    std::fs::write(&file, "no log\n").unwrap();
    let error = format!("{:#}", simulated(&flags(&words).unwrap()).unwrap_err());
    assert!(error.ends_with("access.log:1: is of no log that is known"), "{error}");
}

/// The units of a price in a policy's bill.
fn units(report: &serde_json::Value, price: &str) -> f64 {
    let lines = report["policies"][0]["cost"]["lines"].as_array().unwrap().iter();
    lines.filter(|line| line["price"] == price).filter_map(|line| line["units"].as_f64()).sum()
}

#[test]
fn pods_go_to_none_and_their_nodes_stay() {
    let report = json("--trace poisson:1/h --duration 2000h --service 10ms --policy keda,pods=0..3,start=2s");
    let policy = &report["policies"][0];
    // Pods go after five minutes without requests, or up to half a minute later: some 9 in 10 find none.
    let cold = policy["cold_share"].as_f64().unwrap();
    assert!((0.88..0.95).contains(&cold), "{cold}");
    assert!((2005.0..2015.0).contains(&policy["latency_ms"]["p50"].as_f64().unwrap()), "{policy}");
    // A node, the server of the database, Kubernetes.
    assert_eq!(units(&report, "node-c7g-large"), 2.0 * 730.0);
    assert_eq!((units(&report, "eks-cluster"), units(&report, "public-ipv4")), (730.0, 730.0));
    // At equal availability, a node more and the database's standby. EKS is there.
    let more = policy["cost"]["equal_availability"]["month_usd"].as_f64().unwrap();
    let copies = units(&report, "ebs-gp3") * (1.0 + 14.0 / 90.0) * 0.05;
    let beside = 730.0 * (2.0 * 0.0725 + 3.0 * 0.005 + 0.0225) + copies;
    let difference = more - policy["cost"]["usd_month"].as_f64().unwrap();
    assert!((difference - beside).abs() < 0.01, "{difference}, not {beside}");
}

#[test]
fn managed_instances_are_never_cold_and_paid_by_the_hour() {
    let report = json("--trace poisson:1/s --duration 1h --policy managed");
    assert_eq!(
        (&report["policies"][0]["cold"], report["policies"][0]["instances"]["peak"].as_u64()),
        (&0.into(), Some(3))
    );
    assert!((units(&report, "node-c7g-large") - 2190.0).abs() < 1e-6);
    assert!((units(&report, "lambda-managed-fee") - 158.775).abs() < 1e-6);
    // Only folds are billed by their duration.
    let lines = report["policies"][0]["cost"]["lines"].as_array().unwrap().iter();
    let by_duration: Vec<_> = lines.filter(|line| line["price"] == "lambda-duration-x86").collect();
    assert!(
        by_duration.iter().all(|line| line["service"] == "aggregation") && by_duration.len() == 1,
        "{by_duration:?}"
    );
    // 8,000 requests/s of 1.4 ms are 11.2 vCPUs: eight instances at the target utilisation, though few requests are there at once.
    let words = "--trace poisson:8000/s --duration 20s --service 1ms --policy managed --assume measured-events=1";
    let busy = json(&format!("{words} --assume event-work=0"));
    let hours = busy["trace"]["requests_per_second"].as_f64().unwrap() * 0.0014 / 1.4 * 730.0;
    assert!((units(&busy, "node-c7g-large") / hours - 1.0).abs() < 1e-9, "{}", units(&busy, "node-c7g-large"));
}

#[test]
fn a_burstable_node_pays_for_busy_days_and_not_for_busy_hours() {
    let flags = "--policy container,node=t4g-small --assume native-requests-per-second=1000 --assume event-work=0";
    let beyond = |trace: &str| units(&json(&format!("{flags} {trace}")), "t4g-surplus");
    // 400 of 1,000 requests/s are 0.8 vCPUs, of which 0.4 are earned.
    let even = beyond("--trace poisson:400/s --duration 20m");
    assert!((even / 292.0 - 1.0).abs() < 0.02, "{even}");
    assert_eq!(beyond("--trace poisson:150/s --duration 20m"), 0.0);
    // An hour of them is paid back in the rest of a day.
    assert_eq!(beyond("--trace burst:1440000,within=1h,after=23h"), 0.0);
}

#[test]
fn flips_are_those_of_cost() {
    let words = "--trace poisson:1/s --duration 1h --policy lambda,memory=256 --policy workers --policy container";
    let report = json(words);
    let quote = crate::command::cost::tests::quoted("--platform lambda --platform workers --platform native");
    assert_eq!(report["pairs"], serde_json::to_value(&quote.pairs).unwrap());
    assert_eq!(report["pairs"].as_array().unwrap().len(), 3);
    let names: Vec<&str> =
        report["instead"].as_array().unwrap().iter().map(|one| one["design"].as_str().unwrap()).collect();
    assert_eq!(names, ["baseline", "firehose", "pipelines"]);
}

#[test]
fn burstable_nodes_that_come_and_go_are_refused() {
    let words = "--trace poisson:1/s --duration 1h --policy";
    let error = simulated(&flags(&format!("{words} container,node=t4g-small,nodes=0..2")).unwrap()).unwrap_err();
    let words_of =
        "container,node=t4g-small,nodes=0..2: a t4g-small is burstable, and the credits of nodes that come and go";
    assert!(format!("{error:#}").starts_with(words_of), "{error:#}");
    // A fixed number of nodes has a fixed number of credits, also where pods come and go.
    for policy in ["spin,node=t4g-small,nodes=2", "keda,node=t4g-small,pods=0..3"] {
        assert_eq!(json(&format!("{words} {policy}"))["policies"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn the_node_of_the_break_even_is_that_of_the_plain_server() {
    let node = |policies: &str| {
        let report = json(&format!("--trace poisson:1/s --duration 1h --policy lambda {policies}"));
        report["break_even"][0]["node"].as_str().unwrap().to_owned()
    };
    let all = "--policy managed,node=m7g-large --policy keda,node=t3-large";
    assert_eq!(node(&format!("{all} --policy container,node=t4g-small")), "t4g-small");
    assert_eq!(node(all), "t3-large");
    assert_eq!(node("--policy managed,node=m7g-large"), "c7g-large");
}
