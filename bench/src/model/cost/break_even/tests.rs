//! Compares what is said of two designs with their prices at many loads.

use super::*;
use crate::model::cost::assumptions::Assumptions;
use crate::model::cost::sample::tests::flights;
use crate::model::prices::Book;

/// Prices of nodes are steps, so two designs may cross several times. The answer holds at every load after the last one.
#[test]
fn what_is_said_of_two_holds_from_there_on() {
    let (book, sample) = (Book::own().unwrap(), flights());
    let rates = Rates { book: &book, on: "2026-11-28".parse().unwrap(), free_tier: false };
    let mut assumed = Assumptions::read().unwrap();
    assumed.set("lambda-memory-mb", 300.0, "a test").unwrap();
    let load = Load { duration_ms: Some(170.0), ..Load::of_run(0.0) };
    let given = Given { load: &load, assumed: &assumed, rates: &rates, sample: &sample };
    let both = [Design::Lambda, Design::Managed];
    let [pair] = &pairs(&both, &given).unwrap()[..] else { panic!("one pair") };
    assert_eq!(pair.one, "lambda");
    assert!(pair.flips.iter().any(|flip| flip.first_requests_month.is_some()), "{pair:?}");

    let known = Known::default();
    let sides = Sides { designs: both, carrying: &both, given: &given, known: &known };
    let mut compared = 0;
    for part in 0..140 {
        let point = sides.at(8.0 + f64::from(part) / 70.0).unwrap();
        if !sides.are_carried(point.requests).unwrap() {
            break;
        }
        let is_open = |flip: &Flip| {
            let first = flip.first_requests_month.unwrap_or(flip.requests_month);
            (first * 0.999_99..flip.requests_month).contains(&point.requests)
        };
        if pair.flips.iter().any(is_open) {
            continue;
        }
        let last = pair.flips.iter().rfind(|flip| flip.requests_month <= point.requests);
        let cheaper = last.map_or(pair.one.as_str(), |flip| flip.cheaper.as_str());
        assert_eq!(cheaper, both[usize::from(point.is_dearer())].name(), "{point:?}: {pair:?}");
        compared += 1;
    }
    assert!(compared > 60, "{compared}");
}

#[test]
fn crossings_close_together_are_told_as_one() {
    let crossing = |requests: f64, is_dearer| {
        let usd = if is_dearer { [5.0, 4.0] } else { [4.0, 5.0] };
        Point { log: requests.log10(), requests, usd }
    };
    let both = [Design::Lambda, Design::Managed];
    let told = flips(both, &[crossing(1e6, true), crossing(1e8, false), crossing(1.5e8, true), crossing(2e8, false)]);
    let told: Vec<_> =
        told.iter().map(|flip| (flip.first_requests_month, flip.requests_month, &*flip.cheaper)).collect();
    assert_eq!(told, [(None, 1e6, "managed"), (Some(1e8), 2e8, "lambda")]);
}
