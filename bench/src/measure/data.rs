//! Checks the events before anything starts: core itself says which of them the contract refuses.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use isotherm_core::{Digest, EventId, Millis};
use jiff::{SignedDuration, Timestamp, Unit};

use crate::contract::Contract;
use crate::load::Events;

/// `LONGEST` is the longest range of a report. `AFTER` is the longest run for events whose time is the time of receipt.
const LONGEST: SignedDuration = SignedDuration::from_hours(400 * 24);
const AFTER: SignedDuration = SignedDuration::from_hours(24);

/// The range of the events' times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub from: Timestamp,
    /// Some time after the last event.
    pub to: Timestamp,
    /// Whether the range covers all events, or only the last part that fits into one report.
    pub is_whole: bool,
}

/// Reads events and lets core admit each of them. So a bad line is reported at once, and not as a platform's error.
pub(crate) fn parse(text: Vec<u8>, source: &str) -> Result<(Events, Span)> {
    let events = Events::parse(text, source)?;
    let received_at = Millis(u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0));
    let contract = Contract::at(received_at)?;
    let mut known: BTreeMap<EventId, (Digest, usize)> = BTreeMap::new();
    let (mut earliest, mut latest) = (received_at, Millis(0));
    for index in 0..events.len() {
        let number = events.line_number(index);
        let event = contract.event(events.line(index), index as u128);
        let event = event.with_context(|| format!("{source}:{number}"))?;
        (earliest, latest) = (earliest.min(event.occurred_at), latest.max(event.occurred_at));
        let (digest, first) = *known.entry(event.id).or_insert((event.digest, number));
        if digest != event.digest {
            bail!("{source}:{number}: has the messageId of line {first}, but other content");
        }
    }
    Ok((events, span(earliest, latest)?))
}

fn span(earliest: Millis, latest: Millis) -> Result<Span> {
    let time = |Millis(ms): Millis| Timestamp::from_millisecond(i64::try_from(ms)?).map_err(anyhow::Error::from);
    let to = (time(latest)? + AFTER).round(Unit::Hour)?;
    let first = (time(earliest)? - SignedDuration::from_mins(30)).round(Unit::Hour)?;
    let from = first.max(to - LONGEST);
    Ok(Span { from, to, is_whole: from == first })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"messageId":"a","userId":"u","eventType":"t","properties":{}}"#;

    #[track_caller]
    fn check_refused(line: &str, expect: &str) {
        let error = format!("{:#}", parse(format!("{GOOD}\n{line}\n").into_bytes(), "mine.ndjson").unwrap_err());
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
        assert_eq!(parse(format!("{GOOD}\n{GOOD}\n").into_bytes(), "e").unwrap().0.len(), 2);
    }

    #[test]
    fn the_flights_are_all_good() {
        let loaded = crate::workload::Workload::load("flights", None).unwrap();
        let (events, span) = parse(loaded.events, &loaded.source).unwrap();
        assert_eq!(events.len(), 27_004);
        let (from, to) = (span.from.to_string(), span.to.to_string());
        assert_eq!((from.as_str(), to.as_str(), span.is_whole), ("2013-01-01T10:00:00Z", "2013-02-02T05:00:00Z", true));
    }
}
