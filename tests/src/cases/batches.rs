//! Batches: each event has a result of its own.

use isotherm_hosts::Platform;
use serde_json::{Value, json};

use super::{counts, named, unnamed};
use crate::client::Ask;
use crate::fixture::Fixture;

/// Accepted, duplicate and invalid events side by side. `retry` needs a store that fails: see the cases of
/// [`super::store`].
pub fn each_kind_of_result(platform: Platform) {
    let host = Fixture::open(platform);
    host.ask(&Ask::event(&named("kinds-old")));
    host.ask(&Ask::event(&named("kinds-taken")));
    let mut conflict = named("kinds-taken");
    conflict["userId"] = json!("other");
    let events = [named("kinds-new"), named("kinds-old"), conflict, json!({"userId": "u"}), json!(7), unnamed()];
    let answer = host.ask(&Ask::batch(&events));
    assert_eq!(counts(&answer), [2, 1, 3, 0]);
    let results = answer.json()["results"].clone();
    let statuses: Vec<_> = (0..6).map(|index| results[index]["status"].as_str().unwrap().to_owned()).collect();
    assert_eq!(statuses, ["accepted", "duplicate", "invalid", "invalid", "invalid", "accepted"]);
    assert_eq!(results[2]["code"], "conflict");
    assert_eq!(results[3]["message"], "eventType is required");
    let id = results[5]["eventId"].as_str().unwrap();
    assert_eq!(host.ask(&Ask::get(&format!("/events/{id}"))).status, 200);
}

/// The first event of a messageId decides, within one request as across several.
pub fn repetitions_within_a_batch(platform: Platform) {
    let host = Fixture::open(platform);
    let mut other = named("within");
    other["properties"] = json!({"other": true});
    let answer = host.ask(&Ask::batch(&[named("within"), named("within"), other, named("within-2")]));
    assert_eq!(counts(&answer), [2, 1, 1, 0]);
}

/// A batch of as many events as fit, spread over every shard. Each is found again.
pub fn all_shards_take_part(platform: Platform) {
    let host = Fixture::open(platform);
    let events: Vec<Value> = (0..500).map(|index| named(&format!("spread-{index}"))).collect();
    let first = host.ask(&Ask::batch(&events));
    assert_eq!(counts(&first), [500, 0, 0, 0]);
    assert_eq!(counts(&host.ask(&Ask::batch(&events))), [0, 500, 0, 0]);
    for result in first.json()["results"].as_array().unwrap().iter().step_by(41) {
        let found = host.ask(&Ask::get(&format!("/events/{}", result["eventId"].as_str().unwrap())));
        assert_eq!(found.status, 200);
    }
}

/// Batches as NDJSON, in gzip, and both.
pub fn ndjson_and_gzip(platform: Platform) {
    let host = Fixture::open(platform);
    let lines =
        |name: &str| (0..40).map(|index| format!("{}\n", named(&format!("{name}-{index}")))).collect::<String>();
    let ndjson =
        |name: &str| Ask::new("POST", "/events/batch").header("content-type", "application/x-ndjson").body(lines(name));
    assert_eq!(counts(&host.ask(&ndjson("lines"))), [40, 0, 0, 0]);
    assert_eq!(counts(&host.ask(&ndjson("zipped").gzip())), [40, 0, 0, 0]);
    assert_eq!(counts(&host.ask(&Ask::batch(&[named("zipped-0"), named("zipped-x")]).gzip())), [1, 1, 0, 0]);
    assert_eq!(host.ask(&Ask::event(&named("zipped-alone")).gzip()).status, 202);
}
