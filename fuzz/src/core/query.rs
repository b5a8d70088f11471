//! Any query of a report. The answer is the same however the same events are stored.

use std::sync::LazyLock;

use isotherm_core::WriteLimits;
use isotherm_fuzz::{Folded, Pages, SERVICE, check_reply, records, report};
use serde_json::Value;

/// Some events of several types, hours, days, dimensions and numbers.
static RECORDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let event = |n: usize| {
        format!(
            r#"{{"userId":"u{}","eventType":"t{}","timestamp":"2013-01-0{}T{:02}:15:00Z","properties":{{"n":{n},"x":{}.5,"to":"{}","via":"v{}"}}}}"#,
            n % 7,
            n % 2,
            1 + n % 4,
            5 * n % 24,
            3 * n,
            n % 11,
            n % 3
        )
    };
    records(&(0..60).map(event).collect::<Vec<_>>().join("\n"))
});

static STORES: LazyLock<[Pages; 4]> = LazyLock::new(|| {
    let of = |records: &[String]| {
        let mut pages = Pages::default();
        let folded = pages.fold(&SERVICE, records.iter().map(String::as_str), WriteLimits::ONE_WRITER);
        assert_eq!(folded, Folded::default());
        pages
    };
    let (one, two) = RECORDS.split_at(25);
    let mut compacted = of(&RECORDS);
    assert!(compacted.compact(&SERVICE).is_empty(), "pages can be read");
    [of(&RECORDS), of(one), of(two), compacted]
});

/// The input is `path?query` of a report, or only the query of a time series.
pub(crate) fn run(input: &[u8]) {
    let Ok(target) = std::str::from_utf8(input) else { return };
    let (kind, query) = target.split_once('?').unwrap_or(("timeseries", target));
    let path = match kind {
        "top" => "/reports/top",
        "summary" => "/reports/summary",
        _ => "/reports/timeseries",
    };
    let [whole, one, two, compacted] = &*STORES;
    let (none, empty) = (&[][..], Pages::default());
    let asked = |shards: &[(&Pages, &[String])], query: &str| {
        let settled = report(&SERVICE, shards, path, query);
        assert!(settled.unreadable.is_empty(), "{}", settled.unreadable);
        settled.reply
    };
    let reply = asked(&[(whole, none)], query);
    check_reply("GET", &reply);
    assert!(matches!(reply.status, 200 | 400 | 422), "status {}", reply.status);
    assert!(reply.body.len() < 6_000_000, "an answer of {} bytes", reply.body.len());
    for shards in
        [&[(one, none), (two, none)][..], &[(compacted, none)], &[(one, &RECORDS[25..])], &[(&empty, &RECORDS)]]
    {
        assert_eq!(asked(shards, query), reply, "the answer depends on how events are stored");
    }
    if reply.status != 200 {
        return;
    }
    let body: Value = serde_json::from_slice(&reply.body).expect("JSON");
    let rows = body["rows"].as_array().expect("rows");
    for row in rows {
        if let Some(count) = row.get("count") {
            assert!(count.as_u64().is_some_and(|count| count <= 60), "{row}");
        }
    }
    let Some(next) = body["next"].as_str() else { return };
    if !query.contains("cursor") && !query.contains('%') {
        let next: String = next.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let reply = asked(&[(whole, none)], &format!("{query}&cursor={next}"));
        assert_eq!(reply.status, 200, "the next of an answer is refused");
        let more: Value = serde_json::from_slice(&reply.body).expect("JSON");
        let more = more["rows"].as_array().expect("rows");
        assert!(!more.is_empty(), "next, and no row");
        assert!(more.first() != rows.last(), "a row twice: {:?}", rows.last());
    }
}
