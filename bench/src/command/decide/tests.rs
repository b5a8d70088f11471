//! Runs the program as its users call it, within one process.

use clap::Parser;

use super::*;
use crate::results::cost::Kind;

#[derive(Debug, Parser)]
struct Flags {
    #[command(flatten)]
    decide: Decide,
}

fn decided(words: &str) -> Decision {
    let words = std::iter::once("decide").chain(words.split_whitespace()).chain(["--on=2026-11-20"]);
    decision(&Flags::try_parse_from(words).unwrap().decide).unwrap()
}

#[test]
fn each_platform_has_a_row_and_what_can_t_be_is_in_no_verdict() {
    let few = decided("--requests 1000000");
    let names: Vec<&str> = few.choices.iter().map(|choice| choice.policy.as_str()).collect();
    assert_eq!(names, POLICIES);
    assert!(few.choices.iter().all(|choice| choice.impossible.is_empty()), "{few:#?}");
    assert!((few.requests_month / 1e6 - 1.0).abs() < 0.02, "{}", few.requests_month);
    assert_eq!(few.cold_starts.len(), 4);
    let [lambda, workers] =
        ["lambda", "workers"].map(|name| few.choices.iter().find(|one| one.policy == name).unwrap());
    assert!(lambda.cold_share.value > 0.0 && lambda.p50_ms.value > 20.0, "{lambda:?}");
    // A million requests on Workers cost its plan, and a million operations of R2 that no free tier takes off.
    assert!((5.0..15.0).contains(&workers.usd_month.value), "{workers:?}");
    let cheapest = few.cheapest.clone().unwrap();
    let usd = |name: &str| few.choices.iter().find(|one| one.policy == name).unwrap().usd_month.value;
    assert!(few.choices.iter().all(|one| usd(&cheapest) <= one.usd_month.value), "{cheapest}");

    let many = decided("--requests 40000000000 --policy workers --policy lambda");
    assert!(many.choices.iter().all(|choice| !choice.impossible.is_empty()), "{many:#?}");
    let busy = decided(
        "--requests 5000000000 --events-per-request 10 --policy spin,nodes=1 --policy spin,nodes=9 --policy workers",
    );
    let problem = |nth: usize| busy.choices[nth].impossible.iter().map(|one| one.problem.as_str()).collect::<Vec<_>>();
    assert!(
        problem(0)[0].starts_with(
            "one such node gets through 447 requests/s of 10 events at 70 % utilisation, and the busiest hour has "
        ),
        "{busy:#?}"
    );
    assert!(problem(1).iter().all(|one| !one.contains("such node")), "{busy:#?}");
    assert_eq!(many.cheapest, None);
    let text = render::decide::text(&many);
    assert!(
        text.contains("not possible: a Durable Object holds 10 GB") && text.contains("none of these carries it"),
        "{text}"
    );
}

#[test]
fn the_number_that_is_asked_for_is_priced_and_printed() {
    for (words, requests) in [("--requests 2000000 --shape bursts", 2e6), ("--requests 1_000 --shape bursts", 1e3)] {
        let decision = decided(&format!("{words} --policy workers --policy lambda"));
        assert_eq!(decision.requests_month, requests);
        let drawn = decision.traffic.requests_per_second * SECONDS;
        assert!((drawn / requests - 1.0).abs() < 1e-6, "{drawn}");
        let heading = format!("{} requests a month, ", crate::words::amount(requests));
        assert!(render::decide::text(&decision).starts_with(&heading), "{heading}");
    }
    // At one request a month, a burst of twenty comes every twenty months: most seeds draw none in one.
    let errors = (1..9).filter_map(|seed| {
        let words = format!("decide --requests 1 --shape bursts --on 2026-11-20 --seed {seed}");
        let flags = Flags::try_parse_from(words.split_whitespace()).unwrap();
        super::decision(&flags.decide).err().map(|error| error.to_string())
    });
    let errors: Vec<String> = errors.collect();
    let expect = "too few requests to simulate: none comes within 30d at 1 a month, so ask for more with --requests";
    assert!(errors.iter().any(|error| error == expect), "{errors:?}");
}

#[test]
fn a_goal_holds_of_the_published_part_too() {
    let words = "--trace bursty:1/h,size=2,within=1s --policy lambda --policy container";
    let choices = decided(words).choices;
    assert!(
        choices[0].cold_share.value > 0.2 && choices[0].p99_ms.high == choices[0].p99_ms.value + 430.0,
        "{choices:?}"
    );
    assert_eq!((choices[1].cold_share.value, choices[1].p99_ms.high), (0.0, choices[1].p99_ms.value));
    let ms = choices[0].p99_ms.value + 100.0;
    assert_eq!(decided(&format!("{words} --p99 {ms:.0}ms")).cheapest.unwrap(), "container");
    assert_eq!(decided(&format!("{words} --p99 {:.0}ms", ms + 400.0)).cheapest.unwrap(), "lambda");
}

/// `isotherm cost`, `isotherm simulate` and `isotherm decide` have one break-even.
#[test]
fn the_break_even_is_that_of_a_simulation() {
    #[derive(Parser)]
    struct Other {
        #[command(flatten)]
        simulate: crate::command::simulate::Simulate,
    }
    let words = "simulate --json --trace poisson:1/s --duration 1h --on 2026-11-20 --policy lambda --policy workers";
    let flags = Other::try_parse_from(words.split_whitespace()).unwrap();
    let simulated: serde_json::Value =
        serde_json::from_str(&crate::command::simulate::simulated(&flags.simulate).unwrap()).unwrap();
    let decided = decided("--requests 100000 --policy lambda --policy workers");
    assert_eq!(simulated["break_even"], serde_json::to_value(&decided.break_even).unwrap());
    assert_eq!(simulated["pairs"], serde_json::to_value(&decided.pairs).unwrap());
    let quote = crate::command::cost::tests::quoted("--platform lambda --platform workers");
    assert_eq!(quote.pairs, decided.pairs);
    assert_eq!(decided.break_even.len(), 2);
}

#[test]
fn text_and_page_say_the_same_and_every_figure_its_kind() {
    let decision = decided("--requests 2000000 --shape bursts --cold-share 5%");
    let (text, page) = (render::decide::text(&decision), render::decide::page(&decision));
    for line in text.lines() {
        assert!(line.chars().count() <= 120 || line.contains("https://"), "{} wide: {line}", line.chars().count());
    }
    for choice in &decision.choices {
        let usd = format!("{:.2}", choice.usd_month.value);
        assert!(text.contains(&usd) && page.contains(&usd), "{choice:?}");
    }
    for kind in ["measured", "published", "modelled"] {
        assert!(text.contains(kind) && page.contains(&format!("<span class=\"chip\">{kind}</span>")), "{kind}");
    }
    for word in ["with at most 5.00 % cold", "bursty:", "STeLLAR"] {
        assert!(text.contains(word) && page.contains(word), "{word}: {text}");
    }
    assert!(text.contains("What each guarantees") && page.contains("What each guarantees"));
    assert!(!page.contains("<script") && !page.contains("src=") && !page.contains("href="));
}

#[test]
fn the_output_is_what_its_schema_says() {
    let schema = serde_json::to_value(schemars::schema_for!(Decision)).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let decision = serde_json::to_value(decided("--requests 1000000 --policy lambda --p99 1s")).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(&decision).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    for field in ["traffic", "choices", "break_even", "pairs", "instead", "cold_starts"] {
        let mut without = decision.clone();
        without.as_object_mut().unwrap().remove(field);
        assert!(!validator.is_valid(&without), "valid without {field}");
    }
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    for (words, expect) in [
        ("--requests 0", "must be from 1 to"),
        ("--events-per-request 0", "must be from 1 to 1000000"),
        ("--trace flights --requests 5", "cannot be used with"),
        ("--trace nowhere", "\"nowhere\" is no trace"),
        ("--policy spin,concurrency=3", "spin has no option \"concurrency\""),
    ] {
        let words = std::iter::once("decide").chain(words.split_whitespace());
        let error = Flags::try_parse_from(words).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
}

#[test]
fn beside_the_cheapest_stands_what_equal_availability_costs() {
    let decision = decided("--requests 2628000 --policy lambda --policy managed --policy spin --policy container");
    let [lambda, managed, spin, native] = &decision.choices[..] else { panic!("{decision:?}") };
    for one in [lambda, managed] {
        assert_eq!((one.usd_month, &one.available_about), (one.available_usd_month, &None), "{one:?}");
    }
    // A standby, two addresses, a balancer and its capacity, without the copies of some GB.
    let more = 730.0 * (0.0725 + 2.0 * 0.005 + 0.0225 + 0.04 * 0.008);
    let difference = native.available_usd_month.value - native.usd_month.value;
    assert!((more..more + 1.0).contains(&difference), "{difference}, not {more}");
    assert!(native.not_possible.as_ref().unwrap().contains("SQLite has one writer"));
    assert!(spin.available_usd_month.value - spin.usd_month.value > 2.0 * difference, "{spin:?}");
    let (text, page) = (render::decide::text(&decision), render::decide::page(&decision));
    for words in ["lambda · managed: as they are", "libSQL has one writer", "firehose: ", "pipelines: ", "baseline: "]
    {
        assert!(text.contains(words) && page.contains(words), "{words}: {text}");
    }
}

#[test]
fn a_deployment_fills_what_only_a_client_sees() {
    use crate::results::deployed::{Deployed, Network};
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("result.json");
    let mut result = crate::results::tests::sample();
    let measured = result.platforms[0].clone();
    let figures = measured.figures;
    result.deployments.push(Deployed {
        name: "prod".to_owned(),
        url: "https://events.example.com".to_owned(),
        errors: 0,
        first_errors: Vec::new(),
        network: Network { connect: figures.cold.init.clone(), tls: None },
        idle_seconds: Some(900.0),
        cold: Some(figures.cold.first_response),
        warm: figures.warm.clone(),
        connections: 1,
        requests_per_second: figures.throughput.requests_per_second,
        events_per_second: figures.throughput.events_per_second,
        turns: 1,
        reports: measured.reports,
        replay: measured.replay,
        runs: Vec::new(),
    });
    std::fs::write(&file, serde_json::to_vec(&result).unwrap()).unwrap();
    let words = format!("--requests 100000 --policy lambda --from {}", file.display());
    assert_eq!(decided(&words).deployed, None);
    let decision = decided(&format!("{words} --target prod"));
    let deployed = decision.deployed.as_ref().unwrap();
    assert_eq!((deployed.p99_ms.value, deployed.p99_ms.kind), (figures.warm.latency.p99.value, Kind::Measured));
    let text = render::decide::text(&decision);
    assert!(text.contains("deployed   prod: p50 ") && text.contains("https://events.example.com"), "{text}");
    let flags = format!("decide {words} --target dev --on 2026-11-20");
    let flags = Flags::try_parse_from(flags.split_whitespace()).unwrap().decide;
    let error = super::decision(&flags).unwrap_err().to_string();
    assert!(error.contains("has no target \"dev\"; it has prod"), "{error}");
}
