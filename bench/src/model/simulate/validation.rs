//! Tests the models against closed forms and against the three figures of the article that this project starts from.
//! `bench/VALIDATION.md` describes them.
//!
//! Bounds are 4.5 standard errors of the estimated share. Successive requests may be correlated. Then all requests
//! within a mean busy time and its relaxation count as one independent request, and a comment says how many.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::model::simulate::containers::{self, Containers};
use crate::model::simulate::draw::{Draw, Sourced};
use crate::model::simulate::fleet::{self, Fleet};
use crate::model::simulate::generate::poisson;
use crate::model::simulate::policy;
use crate::model::simulate::replay::{Outcome, replay};
use crate::model::simulate::time::Micros;

/// A start that still counts as one, but is too short to matter.
const INSTANT: Draw = Draw::Fixed(Micros(1));

fn draw(text: &str) -> Draw {
    Sourced::parse(text).unwrap().draw
}

fn lambda(keep_alive: Draw) -> fleet::Rules {
    fleet::Rules { concurrency: 1, locations: 1, provisioned: 0, init: INSTANT, keep_alive, pings: None }
}

/// A fleet after `arrivals` Poisson arrivals at `rate` per second.
fn run_fleet(rules: fleet::Rules, rate: f64, service: &Draw, arrivals: usize) -> Fleet {
    let mut fleet = Fleet::new(rules, 7).unwrap();
    let mut rng = Pcg64Mcg::seed_from_u64(8);
    for at in poisson(rate, 9).take(arrivals) {
        fleet.arrive(at, service.draw(&mut rng));
    }
    fleet
}

#[track_caller]
fn check_share(what: &str, got: f64, expect: f64, independent: f64) {
    let bound = 4.5 * (expect * (1.0 - expect) / independent).sqrt();
    assert!((got - expect).abs() < bound, "{what}: {got}, not {expect} ± {bound}");
}

#[test]
fn poisson_arrivals_find_a_fixed_keep_alive_over_as_often_as_an_exponential_gap_is_longer() {
    for load in [0.05, 0.5, 1.0, 2.0, 4.0] {
        // With one instance and no overlap the gaps are independent, so every request counts.
        let fleet = run_fleet(lambda(Draw::Fixed(Micros::MINUTE)), load / 60.0, &INSTANT, 200_000);
        check_share(&format!("λT = {load}"), fleet.record().cold_share(), (-load).exp(), 200_000.0);
    }
}

#[test]
fn an_exponential_keep_alive_is_over_with_the_odds_of_a_race() {
    for load in [0.1, 1.0, 9.0] {
        let fleet = run_fleet(lambda(Draw::Exponential(Micros::MINUTE)), load / 60.0, &INSTANT, 200_000);
        check_share(&format!("λT = {load}"), fleet.record().cold_share(), 1.0 / (1.0 + load), 200_000.0);
    }
}

/// M/G/∞: the number of requests in flight is Poisson with mean λ·E\[S\], whatever the distribution of S.
#[test]
fn requests_under_way_are_poisson_whatever_the_service() {
    const ARRIVALS: usize = 300_000;
    for service in ["1s", "exp:1s", "uniform:0s..2s", "lognormal:mean=1s/sd=1s"] {
        let service_time = draw(service);
        let mut fleet = Fleet::new(lambda(Draw::Fixed(Micros::ZERO)), 7).unwrap();
        let mut rng = Pcg64Mcg::seed_from_u64(8);
        let mut seen = [0_u32; 32];
        for at in poisson(4.0, 9).take(ARRIVALS) {
            // Poisson arrivals see time averages.
            fleet.advance(at);
            seen[fleet.busy().min(31)] += 1;
            fleet.arrive(at, service_time.draw(&mut rng));
        }
        let mut expect = (-4.0_f64).exp();
        for (busy, seen) in seen.iter().enumerate().take(12) {
            // There are four arrivals in a service time, and the correlation fades within about two of them. So eight
            // requests count as one.
            check_share(
                &format!("{service}, {busy} busy"),
                f64::from(*seen) / ARRIVALS as f64,
                expect,
                ARRIVALS as f64 / 8.0,
            );
            expect *= 4.0 / (busy + 1) as f64;
        }
    }
}

/// The share of Poisson requests that find N servers busy and then go elsewhere: Erlang's B formula.
fn erlang_b(servers: u32, load: f64) -> f64 {
    (1..=servers).fold(1.0, |b, n| load * b / (f64::from(n) + load * b))
}

/// The share of Poisson requests that wait for one of N servers with exponential service: Erlang's C formula.
fn erlang_c(servers: u32, load: f64) -> f64 {
    let (b, n) = (erlang_b(servers, load), f64::from(servers));
    n * b / (n - load * (1.0 - b))
}

/// Requests that overflow the provisioned instances. With a keep-alive of 0 each of them is cold, whatever the
/// distribution of service times.
#[test]
fn requests_overflow_provisioned_instances_by_erlang_b() {
    assert!((erlang_b(5, 3.0) - 0.1101).abs() < 1e-4);
    for (provisioned, load) in [(5, 3.0), (10, 8.0), (5, 1.0)] {
        for service in ["1s", "exp:1s", "lognormal:mean=1s/sd=1s"] {
            let rules = fleet::Rules { provisioned, ..lambda(Draw::Fixed(Micros::ZERO)) };
            let fleet = run_fleet(rules, load, &draw(service), 300_000);
            let independent = 300_000.0 / (2.0 * load).max(2.0);
            let what = format!("{provisioned} provisioned, load {load}, {service}");
            check_share(&what, fleet.record().cold_share(), erlang_b(provisioned, load), independent);
        }
    }
}

/// One isolate takes all requests. It ends when an idle period of M/G/∞ is longer than the keep-alive. A request finds
/// nobody with probability e^(−λE\[S\]). The idle period so far is then exponential, which gives e^(−λ(E\[S\] + T)),
/// whatever the distribution of S.
#[test]
fn an_isolate_with_overlapping_requests_is_cold_after_an_idle_period_longer_than_its_keep_alive() {
    for service in ["1s", "exp:1s", "lognormal:mean=1s/sd=2s"] {
        for keep_alive in [0.0, 0.5, 2.0] {
            let rules =
                fleet::Rules { concurrency: 1_000_000, ..lambda(Draw::Fixed(Micros::from_seconds(keep_alive))) };
            let fleet = run_fleet(rules, 1.0, &draw(service), 300_000);
            let expect = (-(1.0 + keep_alive)).exp();
            // There is one arrival in a service time, so a few requests together count as one.
            check_share(&format!("{service}, {keep_alive} s"), fleet.record().cold_share(), expect, 100_000.0);
        }
    }
}

/// M/M/c: the share that waits follows Erlang's C formula, and the mean wait is C / (c·μ − λ).
#[test]
fn containers_queue_as_erlang_c_says() {
    const ARRIVALS: usize = 1_000_000;
    for (nodes, slots, load) in [(1, 1, 0.5), (2, 2, 2.8), (8, 1, 6.0)] {
        let rules = containers::Rules {
            least: nodes,
            most: nodes,
            slots,
            target: 1.0,
            start: INSTANT,
            interval: Micros::MINUTE,
            cooldown: Micros::MINUTE,
            queue: 1_000_000,
        };
        let mut containers = Containers::new(rules, 7).unwrap();
        let mut rng = Pcg64Mcg::seed_from_u64(8);
        let (mut service_us, mut last) = (0_u64, Micros::ZERO);
        for at in poisson(load, 9).take(ARRIVALS) {
            let service = Draw::Exponential(Micros::SECOND).at(rng.random());
            service_us += service.0;
            containers.arrive(at, service);
            last = at;
        }
        containers.finish(last);
        let record = containers.record();
        let servers = nodes * slots;
        let (waits, spare) = (erlang_c(servers, load), f64::from(servers) - load);
        let what = format!("{servers} servers, load {load}");
        assert_eq!((record.requests, record.refused), (ARRIVALS as u64, 0), "{what}");
        // A queue forgets its state within about (1 + ρ) / (1 − ρ)² requests.
        let rho = load / f64::from(servers);
        let independent = ARRIVALS as f64 * (1.0 - rho).powi(2) / (1.0 + rho);
        check_share(&what, record.waited as f64 / ARRIVALS as f64, waits, independent);
        let mean_wait = (record.latency.mean() - service_us as f64 / ARRIVALS as f64) / 1e6;
        let (expect, error) = (waits / spare, (waits * (2.0 - waits) / independent).sqrt() / spare);
        assert!((mean_wait - expect).abs() < 4.5 * error + 2e-3, "{what}: {mean_wait} s, not {expect} ± {error}");
    }
}

/// The kept state grows with the live instances and requests, not with the trace.
#[test]
fn memory_does_not_grow_with_the_trace() {
    let states = |arrivals| {
        let rules = fleet::Rules {
            pings: Some(fleet::Pings { every: Micros::MINUTE, count: 3, service: Micros(1000) }),
            ..lambda(draw("exp:10s"))
        };
        let fleet = run_fleet(rules, 50.0, &draw("exp:100ms"), arrivals);
        (fleet.record().states, fleet.record().timeline.bins().len(), fleet.record().timeline.peak())
    };
    let (few, many) = (states(100_000), states(3_000_000));
    assert!(many.1 <= crate::model::simulate::record::BINS);
    // Each instance is one state itself and at most two more, whether idle (it has room and expires) or busy (a request
    // ends).
    assert!(many.0 as u64 <= 3 * many.2, "{} states for {} instances", many.0, many.2);
    // With thirty times the requests, the peak of a stationary load grows at most by the logarithm.
    assert!(many.0 as f64 <= 1.6 * few.0 as f64, "{} states after 100,000 requests, {} after 3,000,000", few.0, many.0);
}

/// Runs a trace with the article's 312 ms of init and 100 ms of service. Together they are 412 ms, its cold answer with
/// lazily loaded clients. The policies are plain Lambda, Lambda with five provisioned instances, and Lambda with a ping
/// every five minutes.
fn article(trace: &str, duration: &str, seed: u64) -> [f64; 3] {
    let policies = ["lambda", "lambda,provisioned=5", "lambda,ping=5m"];
    let defaults = policy::Defaults {
        service: Some(Sourced::parse("100ms").unwrap()),
        init: Some(Sourced::parse("312ms").unwrap()),
        ..policy::Defaults::default()
    };
    let resolve = |text: &str| text.parse::<policy::Spec>().unwrap().resolve(&defaults).unwrap();
    let duration = Some(Micros::parse(duration).unwrap());
    let trace = trace
        .parse::<crate::model::simulate::trace::Spec>()
        .unwrap()
        .open(1.0, duration, seed, &|_| anyhow::bail!("no file"))
        .unwrap();
    let Outcome { policies, .. } = replay(trace, policies.map(resolve).into(), seed, &mut |_, _| ()).unwrap();
    [0, 1, 2].map(|nth: usize| 100.0 * policies[nth].record.cold_share())
}

/// The means over several seeds.
fn articles(trace: &str, duration: &str) -> [f64; 3] {
    let all = [1, 2, 3, 4, 5, 6, 7, 8].map(|seed| article(trace, duration, seed));
    [0, 1, 2].map(|nth: usize| all.iter().map(|shares| shares[nth]).sum::<f64>() / all.len() as f64)
}

/// 28 % of 500 requests are cold if a third of them arrive in the first half second. Then 140 instances start. Five
/// ready instances, or one, make little difference, so neither of the other two figures comes out.
#[test]
fn the_monday_burst_gives_28_percent_and_then_not_the_other_two() {
    let [plain, provisioned, ping] = articles("burst:500,decay=1.25s,after=12m", "1h");
    assert!((plain - 28.0).abs() < 2.0, "{plain} %");
    assert!((20.0..plain).contains(&provisioned), "{provisioned} % with 5 provisioned");
    assert!((plain - ping).abs() < 1.5, "{ping} % with pings");
}

/// If 500 requests are spread evenly over the minute, they never overlap by more than a few. Then 1 % is cold without
/// provisioned instances, and none with 5.
#[test]
fn an_even_minute_gives_less_than_1_percent_with_5_provisioned_and_not_28_without() {
    let [plain, provisioned, _] = articles("burst:500,within=1m,after=12m", "1h");
    assert!((0.6..3.0).contains(&plain), "{plain} %");
    assert!(provisioned < 1.0, "{provisioned} %");
}

/// Quiet traffic gives all three figures together: bursts of two on average within 1.2 seconds, one every nine minutes,
/// over a year.
#[test]
fn quiet_traffic_in_small_bursts_gives_all_three_figures() {
    let [plain, provisioned, ping] = articles("bursty:13/h,size=2,within=1.2s", "365d");
    assert!((plain - 28.0).abs() < 1.5, "{plain} %");
    assert!(provisioned < 1.0, "{provisioned} % with 5 provisioned");
    assert!((ping - 8.0).abs() < 0.7, "{ping} % with pings");
}
