//! The events, checked before anything starts: core itself says which of them the contract refuses.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use isotherm_core::{Admission, Config, Digest, EventId, Millis, Plan, Request, Service, Stamp};
use serde::Deserialize;

use crate::load::Events;

#[derive(Deserialize)]
struct Refused {
    message: String,
}

/// Reads events and has core admit each of them, so that a bad line is named at once and not as some platform's error.
pub(super) fn parse(text: Vec<u8>, source: &str) -> Result<Events> {
    let events = Events::parse(text, source)?;
    let service = Service::new(Config::parse("").unwrap_or_default());
    let received_at = Millis(u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0));
    let mut known: BTreeMap<EventId, (Digest, usize)> = BTreeMap::new();
    for index in 0..events.len() {
        let number = events.line_number(index);
        let headers = vec![("content-type", "application/json".to_owned())];
        let request = Request { method: "POST", path: "/events", query: "", headers, body: events.line(index) };
        let plan = match service.admit(&request, Stamp { received_at, entropy: index as u128 }) {
            Admission::Plan(Plan::Store(plan)) => plan,
            Admission::Plan(Plan::Find(_) | Plan::Report(_)) => bail!("{source}:{number}: is not an event"),
            Admission::Reply(reply) => match serde_json::from_slice::<Refused>(&reply.body) {
                Ok(refused) => bail!("{source}:{number}: {}", refused.message),
                Err(_other) => bail!("{source}:{number}: is refused with status {}", reply.status),
            },
        };
        for event in plan.events() {
            let (digest, first) = *known.entry(event.id).or_insert((event.digest, number));
            if digest != event.digest {
                bail!("{source}:{number}: has the messageId of line {first}, but other content");
            }
        }
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"messageId":"a","userId":"u","eventType":"t","properties":{}}"#;

    #[track_caller]
    fn check_refused(line: &str, expect: &str) {
        let error = parse(format!("{GOOD}\n{line}\n").into_bytes(), "mine.ndjson").unwrap_err().to_string();
        assert!(error.starts_with(expect), "{error}");
    }

    #[test]
    fn what_core_would_refuse_is_refused_with_its_line() {
        check_refused(r#"{"eventType":"t","properties":{}}"#, "mine.ndjson:2: userId is required");
        check_refused(
            r#"{"userId":"u","eventType":"t","properties":[]}"#,
            "mine.ndjson:2: properties must be an object",
        );
        check_refused(
            r#"{"messageId":"a","userId":"v","eventType":"t","properties":{}}"#,
            "mine.ndjson:2: has the messageId of line 1, but other content",
        );
        assert_eq!(parse(format!("{GOOD}\n{GOOD}\n").into_bytes(), "e").unwrap().len(), 2);
    }

    #[test]
    fn the_flights_are_all_good() {
        let loaded = crate::workload::Workload::load("flights", None).unwrap();
        assert_eq!(parse(loaded.events, &loaded.source).unwrap().len(), 27_004);
    }
}
