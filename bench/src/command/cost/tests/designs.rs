//! Bills of designs and of what stands beside them, worked by hand.

use isotherm_core::{Held, Maintenance, Millis, Next, Pace, Task};

use super::*;

/// A request a second.
const ONE_A_SECOND: &str = "--requests 2628000 --free-tier off";

/// The USD of one price in a design's bill.
fn usd(quote: &Quote, price: &str) -> f64 {
    quote.designs[0].bill.lines.iter().filter(|line| line.price == price).filter_map(|line| line.usd).sum()
}

#[track_caller]
fn close(found: f64, expect: f64) {
    assert!((found - expect).abs() < 1e-6 * expect.abs().max(1.0), "{found}, not {expect}");
}

#[test]
fn a_node_at_equal_availability_has_a_standby_a_balancer_and_copies() {
    let quote = quoted(&format!("--platform native {ONE_A_SECOND}"));
    let available = quote.designs[0].equal_availability.as_ref().unwrap();
    // One more node, two addresses, the balancer with 0.04 of an LCU for a connection a second, and copies of 14 of 90 days.
    let copies = units(&quote, "ebs-gp3") * (1.0 + 14.0 / 90.0) * 0.05;
    let more = 730.0 * (0.0725 + 2.0 * 0.005 + 0.0225 + 0.04 * 0.008) + copies;
    close(available.month_usd - quote.designs[0].month_usd, more);
    assert!(available.not_possible.starts_with("two active nodes, because SQLite has one writer"));
    let text = text(&quote);
    assert!(text.contains("at equal availability") && text.contains("target-utilisation 0.7"), "{text}");
}

#[test]
fn spin_at_equal_availability_has_a_second_node_a_database_and_kubernetes() {
    let quote = quoted(&format!("--platform spin {ONE_A_SECOND}"));
    let available = quote.designs[0].equal_availability.as_ref().unwrap();
    let copies = units(&quote, "ebs-gp3") * (1.0 + 14.0 / 90.0) * 0.05;
    // A node with its address, two nodes of the database, EKS, two addresses of the balancer.
    let more = 730.0 * (0.0725 + 0.005 + 2.0 * 0.0725 + 0.10 + 2.0 * 0.005 + 0.0225 + 0.04 * 0.008) + copies;
    close(available.month_usd - quote.designs[0].month_usd, more);
    // More than one node share a server of the database anyway.
    let two = quoted(&format!("--platform spin --nodes 2 {ONE_A_SECOND}"));
    assert_eq!(units(&two, "node-c7g-large"), 3.0 * 730.0);
    for platform in ["lambda", "managed", "workers", "baseline"] {
        assert_eq!(quoted(&format!("--platform {platform}")).designs[0].equal_availability, None);
    }
}

#[test]
fn a_balancer_s_capacity_is_of_bytes_where_connections_are_kept() {
    let flags = "--platform native --requests 2628000000 --nodes 1 --assume connection-requests=1000000";
    let quote = quoted(&format!("{flags} --assume response-bytes=0 --assume response-event-bytes=0"));
    let lines = &quote.designs[0].equal_availability.as_ref().unwrap().lines;
    let capacity = lines.iter().find(|line| line.price == "load-balancer-lcu").unwrap();
    let gb_an_hour = 3_600_000.0 * crate::model::cost::sample::tests::flights().body_bytes / 1e9;
    close(capacity.units, 730.0 * gb_an_hour);
}

#[test]
fn a_burstable_node_pays_for_cpu_time_beyond_its_credits() {
    let flags = "--platform native --service function --nodes 1 --node t4g-small --assume event-work=0";
    let of = |a_second: u64| {
        let requests = a_second * 730 * 3600;
        quoted(&format!("{flags} --assume native-requests-per-second=1000 --requests {requests}"))
    };
    // 400 of 1,000 requests/s are 0.8 of 2 vCPUs. 24 credits an hour are 0.4: the rest is 292 vCPU-hours of 0.04 USD.
    assert_eq!(cents(of(400).designs[0].month_usd), cents(730.0 * 0.0168 + 11.68));
    close(units(&of(400), "t4g-surplus"), 292.0);
    assert_eq!(cents(of(200).designs[0].month_usd), cents(730.0 * 0.0168));
}

#[test]
fn managed_instances_are_paid_by_the_hour_with_a_fee() {
    // Three c7g.large are 158.775, 15 % of it 23.816, a million requests 0.20.
    check("--platform managed --service function --free-tier off --requests 1000000", 18_279.0);
    let hours =
        |flags: &str| units(&quoted(&format!("--platform managed --peak-to-mean 1 {flags}")), "node-c7g-large") / 730.0;
    // 4,000 requests/s of 2 ms are 8 vCPUs; an instance has 1.4 at the target utilisation.
    assert_eq!(hours("--requests 10512000000 --cpu-ms 2"), 6.0);
    // With 100 ms each they are 400 at once, and an instance takes 16.
    assert_eq!(hours("--requests 10512000000 --cpu-ms 2 --duration-ms 100"), 25.0);
    let problem = impossible("--platform managed --peak-to-mean 1 --requests 10512000000 --cpu-ms 2 --nodes 5");
    assert!(
        problem.iter().any(|one| one.starts_with("the busiest hour needs 6 instances, and there are 5")),
        "{problem:?}"
    );
    // Around it is what stands around Lambda's function.
    let rest = |platform: &str| {
        let quote = quoted(&format!("--platform {platform} --requests 1000000"));
        let lines = quote.designs[0].bill.lines.iter().filter(|line| line.service != Service::Function);
        lines.map(|line| (line.price.clone(), line.units)).collect::<Vec<_>>()
    };
    assert_eq!(rest("managed"), rest("lambda"));
}

#[test]
fn firehose_rounds_each_record_up() {
    let quote = quoted("--platform firehose --requests 1000000 --free-tier off");
    // A million records of 5 KB, each in a request of its own.
    close(units(&quote, "firehose-ingested"), 5.12);
    assert_eq!(cents(usd(&quote, "firehose-ingested")), 15.0);
    assert_eq!(cents(usd(&quote, "rest-api-request")), 350.0);
    // An object after 300 s and the 2.6 s until its first event.
    close(units(&quote, "s3-put"), 2_628_000.0 / 302.628);
    // 20 million events a month are 2,190 MB of 5 MB, or an object in 300 s: at 100 times as many, buffers are full.
    let full = quoted("--platform firehose --requests 2000000000");
    close(units(&full, "s3-put"), 2e9 * crate::model::cost::sample::tests::flights().body_bytes / 5e6);
    let problem = impossible("--platform firehose --requests 5256000000 --peak-to-mean 1.5");
    assert!(problem[0].starts_with("a stream of Data Firehose takes 2,000 requests/s, and the busiest hour has 3,000"));
}

#[test]
fn pipelines_bill_what_is_written_beyond_50_gb() {
    let quote = quoted("--platform pipelines --requests 1000000000");
    let gb = crate::model::cost::sample::tests::flights().body_bytes;
    close(units(&quote, "pipelines-json"), gb);
    close(usd(&quote, "pipelines-json"), (gb - 50.0) * 0.03);
    close(units(&quote, "r2-storage"), 12.0 * gb);
    assert_eq!(usd(&quote, "workers-plan"), 5.0);
    assert!(text(&quote).contains("lacks: no report"));
}

#[test]
fn beside_a_design_stands_what_is_other_in_one_place() {
    let quote = quoted("--platform lambda --requests 100000000 --free-tier off");
    let all = quote.designs[0].month_usd;
    let [url, provisioned, seldom] = [0, 1, 2].map(|nth: usize| quote.designs[0].beside[nth].month_usd);
    close(all - url, usd(&quote, "http-api-request"));
    // A unit that is held for an hour takes 3,600 units. It is 70 % busy.
    let held = |price: &str| units(&quote, price) / 3600.0 / 0.7;
    let on_demand = usd(&quote, "dynamodb-write") + usd(&quote, "dynamodb-read");
    close(all - provisioned, on_demand - held("dynamodb-write") * 0.00065 - held("dynamodb-read") * 0.00013);
    let of_events = |price: &str| {
        let lines = quote.designs[0].bill.lines.iter();
        lines.filter(|line| line.service == Service::Store && line.price == price).map(|line| line.units).sum::<f64>()
    };
    close(all - seldom, of_events("dynamodb-storage") * 0.15 - of_events("dynamodb-write") * 0.155e-6);
    assert!(text(&quote).contains("a function URL in place of the HTTP API"));
    assert!(quoted("--platform workers").designs[0].beside.is_empty());
}

#[test]
fn where_two_cross_they_cost_the_same_and_nodes_as_at_the_break_even() {
    use crate::model::cost::break_even::Answer;
    let quote = quoted("--platform lambda --platform workers --platform spin --platform native --platform baseline");
    let names: Vec<_> = quote.pairs.iter().map(|pair| [pair.one.as_str(), pair.other.as_str()]).collect();
    assert_eq!(names.len(), 6, "{names:?}");
    let mut flips = 0;
    for pair in &quote.pairs {
        for flip in &pair.flips {
            let flags = format!("--platform {} --platform {} --free-tier off", pair.one, pair.other);
            let costs = |requests: f64| {
                let quote = quoted(&format!("{flags} --requests {requests}"));
                assert!(quote.designs.iter().all(|priced| priced.impossible.is_empty()), "{pair:?}");
                let of = |name: &str| quote.designs.iter().find(|one| one.design.name() == name).unwrap().month_usd;
                let cheaper = of(&flip.cheaper);
                (cheaper, of(&pair.one) + of(&pair.other) - cheaper)
            };
            let (cheaper, dearer) = costs(flip.requests_month);
            let (then_dearer, then_cheaper) = costs(flip.requests_month * 0.999);
            assert!(cheaper <= dearer && then_dearer > then_cheaper, "{pair:?}: {cheaper} {dearer}");
            flips += 1;
        }
    }
    assert!(flips >= 3, "{:#?}", quote.pairs);
    // Both are one node at first, and Spin needs a second one sooner.
    let nodes = quote.pairs.iter().find(|pair| pair.one == "native" && pair.other == "spin").unwrap();
    assert!(nodes.flips.is_empty(), "{nodes:?}");
    for one in quote.break_even.iter().filter(|one| ["lambda", "workers"].contains(&one.policy.as_str())) {
        let Answer::From { requests_month, usd_month } = one.answer else { panic!("{one:?}") };
        let pair = quote.pairs.iter().find(|pair| pair.one == one.policy && pair.other == "native").unwrap();
        assert_eq!((pair.flips[0].requests_month, pair.flips[0].usd_month), (requests_month, usd_month));
        assert_eq!(pair.flips[0].cheaper, "native");
    }
}

#[test]
fn a_shard_folds_after_bytes_too() {
    let batches = |more: &str| {
        let quote = quoted(&format!("--platform workers --service backup --requests 20000000000 {more}"));
        20e9 / units(&quote, "r2-class-a")
    };
    assert!((batches("") - 512.0).abs() < 1e-6, "{}", batches(""));
    let record = batches("--assume workers-fold-bytes=32768");
    // A flight's record has some 325 bytes.
    assert!((90.0..115.0).contains(&record), "{record}");
    // Core says how much a shard folds.
    let held = Held { unfolded: isotherm_core::Load { events: 1 << 20, bytes: 1 << 30 }, ..Held::default() };
    let next = Maintenance::new(Pace::shard(4), held, Millis(0)).next(Millis(0));
    let Next::Do(Task::Fold { events, bytes }) = next else { panic!("{next:?}") };
    let assumed = |name| Assumptions::read().unwrap().value(name).unwrap();
    assert_eq!([assumed("workers-fold-events"), assumed("workers-fold-bytes")], [events as f64, bytes as f64]);
}

#[test]
fn given_nodes_and_computed_ones_are_for_the_same_utilisation() {
    let busy = "--platform spin --requests 9000000000";
    let needs = units(&quoted(busy), "node-c7g-large") / 730.0;
    // Spin on several nodes has the server of its database.
    let nodes = needs - 1.0;
    assert!(nodes > 2.0, "{nodes}");
    let with = |nodes: f64| quoted(&format!("{busy} --nodes {nodes}")).designs.remove(0).impossible;
    assert_eq!(with(nodes), []);
    let [refused] = &with(nodes - 1.0)[..] else { panic!("{nodes}") };
    assert!(refused.problem.contains("at 70 % utilisation"), "{refused:?}");
    assert_eq!(refused.remedy, format!("{nodes} nodes, or larger ones"));
    let all = quoted(&format!("{busy} --target-utilisation 1 --nodes {}", (nodes * 0.7).ceil())).designs.remove(0);
    assert_eq!(all.impossible, []);
}

#[test]
fn managed_instances_are_not_burstable() {
    let quote = quoted("--platform managed --platform native --node t4g-small");
    let problem = &quote.designs[0].impossible[0].problem;
    assert_eq!(problem, "a t4g-small is burstable, and Managed Instances take no such machine");
    assert_eq!((quote.designs[1].impossible.len(), quote.pairs.len()), (0, 0));
    assert_eq!(quoted("--platform managed --node m7g-large").designs[0].impossible, []);
}

#[test]
fn what_is_known_of_a_price_is_said_of_equal_availability_too() {
    let quote = quoted("--platform native");
    assert!(quote.designs[0].bill.notes.iter().all(|note| !note.contains("EBS snapshots")));
    assert!(text(&quote).contains("note: EBS snapshots: from memory, not compared"), "{}", text(&quote));
}
