//! What a service says of itself in production: its lines, summed up.

use anyhow::{Result, ensure};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::model::cost::given::HOURS;
use crate::model::simulate::input::Lines;

/// What each line of a request names.
const REQUESTS: &str = "\"isotherm_requests_total";
/// Lines that are looked at to find one of a request.
const LOOKED_AT: usize = 1000;
/// The outcomes of events that reach the store. Invalid events do not, and those that are to be tried again come in a later
/// request.
const STORED: [&str; 2] = ["isotherm_events_total.accepted", "isotherm_events_total.duplicate"];

/// The load of a service by its own lines, as a month of it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Production {
    /// The file of the lines.
    pub file: String,
    /// The hours from the first line to the last.
    pub hours: f64,
    /// Requests per month that brought events.
    pub requests: f64,
    /// Events in each of them that reached the store.
    pub events_per_request: f64,
    /// The share of these requests that came to a new instance of Lambda; null if the lines are of another platform.
    pub cold_share: Option<f64>,
    /// Lines that are not from Isotherm. They are left out.
    pub other_lines: u64,
}

/// The kinds of lines.
const KINDS: [&str; 3] = ["request", "message", "fold"];
/// A member of CloudWatch's embedded metric format, which only Lambda's lines have.
const OF_LAMBDA: &str = "_aws";

/// Sums over lines. A line of a sample counts for those that were not written.
#[derive(Default)]
struct Sums {
    /// Requests that brought events to the store.
    requests: f64,
    /// These events.
    events: f64,
    /// Such requests that a function of Lambda answered.
    lambda_requests: f64,
    /// Such requests that started a function of Lambda.
    lambda_cold_starts: f64,
    /// True if the configuration has lines written for cold starts alone.
    has_cold_starts_alone: bool,
    /// The first and the last time, in seconds since 1970.
    span: Option<(f64, f64)>,
    other_lines: u64,
}

impl Sums {
    fn add(&mut self, line: &Map<String, Value>) -> Option<()> {
        let kind = line.get("kind")?.as_str().filter(|kind| KINDS.contains(kind))?;
        let at = time(line)?;
        let (first, last) = self.span.unwrap_or((at, at));
        self.span = Some((first.min(at), last.max(at)));
        let sample = line.get("sample").map_or(Some(1.0), Value::as_f64)?;
        self.has_cold_starts_alone |= sample <= 0.0;
        let events: f64 = STORED.iter().filter_map(|name| line.get(*name)?.as_f64()).sum();
        if kind == "fold" || events <= 0.0 {
            return Some(());
        }
        let is_cold = line.get("faas.coldstart").is_some_and(|cold| *cold == Value::Bool(true));
        // Cold starts are always written.
        let weight = if is_cold { 1.0 } else { 1.0 / sample };
        self.requests += weight;
        self.events += weight * events;
        if line.contains_key(OF_LAMBDA) {
            self.lambda_requests += weight;
            self.lambda_cold_starts += f64::from(u8::from(is_cold));
        }
        Some(())
    }
}

/// When a line's request arrived, in seconds since 1970.
fn time(line: &Map<String, Value>) -> Option<f64> {
    match line.get(OF_LAMBDA) {
        Some(aws) => Some(aws.get("Timestamp")?.as_f64()? / 1000.0),
        None => Some(line.get("time")?.as_str()?.parse::<Timestamp>().ok()?.as_millisecond() as f64 / 1000.0),
    }
}

impl Production {
    /// True if these are lines of a service. Lambda writes others beside them.
    pub(crate) fn is_in(mut lines: Lines) -> bool {
        (0..LOOKED_AT).any(|_| matches!(lines.next(), Ok(Some(line)) if line.contains(REQUESTS)))
    }

    /// Sums up lines. What stands before a line's first brace, such as CloudWatch's time, is passed over.
    ///
    /// # Errors
    /// Fails if the lines can't be read, if none of them is a service's with events, or if all are of one moment.
    pub(crate) fn read(mut lines: Lines) -> Result<Self> {
        let mut sums = Sums::default();
        while let Some(line) = lines.next()? {
            let object = line.find('{').and_then(|at| line.get(at..));
            let read = object.and_then(|object| serde_json::from_str(object).ok());
            if read.and_then(|line| sums.add(&line)).is_none() && !line.trim().is_empty() {
                sums.other_lines += 1;
            }
        }
        let Sums { requests, events, lambda_requests, lambda_cold_starts, has_cold_starts_alone, span, other_lines } =
            sums;
        let name = lines.name();
        ensure!(
            !has_cold_starts_alone,
            "{name} is of a service whose configuration says \"sample\":0, so most requests have no line"
        );
        ensure!(
            requests > 0.0,
            "{name} has no line of a service that took events, such as {{\"kind\":\"request\",\"time\":\"…\",\"{}\":1}}; a service \
             writes them at the level info",
            STORED[0]
        );
        let hours = span.map_or(0.0, |(first, last)| (last - first) / 3600.0);
        ensure!(hours > 0.0, "{name} has lines of one moment alone, which say nothing of a month");
        Ok(Self {
            file: name.to_owned(),
            hours,
            requests: requests / hours * HOURS,
            events_per_request: events / requests,
            cold_share: (lambda_requests > 0.0).then(|| lambda_cold_starts / lambda_requests),
            other_lines,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use isotherm_core::{Admission, HEADERS, Level, Millis, Plan, Ran, Request, Service, Stamp, StoreOutcome, Writer};

    use super::*;
    use crate::model::simulate::input::tests::lines;

    const NOON: u64 = 1_763_690_000_000;

    /// The line that core writes of a batch of this many events, so many milliseconds after [`NOON`].
    fn line(after: u64, events: usize, is_cold: bool, sample: Option<f64>, function: Option<&str>) -> String {
        let sample = sample.map_or(String::new(), |sample| format!(r#","log":{{"sample":{sample}}}"#));
        let service = Service::from_text(Some(&format!(r#"{{"version":2,"open":true{sample}}}"#)));
        let event = r#"{"userId":"u","eventType":"t","properties":{}}"#;
        let body = format!(r#"{{"events":[{}]}}"#, vec![event; events].join(","));
        let headers = [(HEADERS[1], "application/json".to_owned())];
        let request =
            Request { method: "POST", path: "/events/batch", query: "", headers: &headers, body: body.as_bytes() };
        let stamp = Stamp { received_at: Millis(NOON + after), entropy: 0 };
        let mut reply = match service.admit(&request, stamp) {
            Admission::Plan(Plan::Store(plan)) => plan.respond(vec![StoreOutcome::Stored; events]),
            other => panic!("{other:?}"),
        };
        let seen = service.seen(&request, stamp, &mut reply, Ran { duration: Duration::from_millis(3), is_cold });
        let writer = Writer { level: Level::Info, instance: "i", function, x_ray: None };
        service.line(&request, &seen, writer).expect("a line is written").text
    }

    fn read(text: &str) -> Result<Production> {
        Production::read(lines(text))
    }

    #[test]
    fn the_lines_of_an_hour_are_a_months_load() {
        let hour = 3_600_000;
        let text = [
            line(0, 4, true, None, Some("ingest")),
            "START RequestId: 8f5 Version: 3".to_owned(),
            format!("2026-11-28T12:00:00.000Z\t{}", line(hour / 2, 2, false, None, Some("ingest"))),
            r#"{"kind":"request","time":"2025-11-21T02:00:00Z","route":"/healthz","status":200}"#.to_owned(),
            r#"{"kind":"fold","time":"2025-11-21T02:00:00Z","isotherm_folded_events_total":6}"#.to_owned(),
            r#"{"kind":"deploy","time":"2025-11-22T02:00:00Z","of":"something else"}"#.to_owned(),
            line(hour, 3, false, None, Some("ingest")),
        ];
        let found = read(&text.join("\n")).unwrap();
        assert_eq!((found.hours, found.requests, found.events_per_request), (1.0, 3.0 * HOURS, 3.0));
        assert_eq!((found.cold_share, found.other_lines), (Some(1.0 / 3.0), 2));
    }

    #[test]
    fn a_line_of_a_sample_counts_for_those_that_are_left_out_and_a_cold_start_for_itself() {
        let of = |function| [line(0, 1, true, Some(0.1), function), line(3_600_000, 1, false, Some(0.1), function)];
        let found = read(&of(Some("ingest")).join("\n")).unwrap();
        assert_eq!((found.requests, found.cold_share), (11.0 * HOURS, Some(1.0 / 11.0)));
        // An instance elsewhere is none of Lambda's.
        assert_eq!(read(&of(None).join("\n")).unwrap().cold_share, None);
    }

    #[test]
    fn what_says_nothing_of_a_month_is_refused_in_words() {
        let error = |text: &str| read(text).unwrap_err().to_string();
        assert!(error("").contains("has no line of a service that took events"));
        assert!(error("127.0.0.1 - - \"GET / HTTP/1.1\"").contains("at the level info"));
        assert!(error(&line(0, 1, false, None, None)).contains("one moment alone"));
        let cold = line(0, 1, true, Some(0.0), None) + "\n" + &line(9999, 1, true, Some(0.0), None);
        assert!(error(&cold).contains("most requests have no line"));
    }
}
