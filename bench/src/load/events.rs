//! The events that a workload sends: NDJSON, read once and sent unchanged.

use std::ops::Range;

use anyhow::{Result, bail};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The longest messageId that the contract allows, bytes.
const MESSAGE_ID_BYTES: usize = 200;

/// Bytes kept free for the suffix that tells a later pass from the first, and one run from another.
const PASS_BYTES: usize = 24;

/// The events of a workload, in file order.
#[derive(Clone, Debug)]
pub struct Events {
    text: Vec<u8>,
    lines: Vec<Line>,
    /// Suffix of every messageId; empty if the store is a fresh one.
    tag: String,
}

#[derive(Clone, Debug)]
struct Line {
    number: usize,
    text: Range<usize>,
    /// The place of the messageId's closing quote.
    message_id_end: Option<usize>,
}

#[derive(Deserialize)]
struct Probe<'a> {
    #[serde(rename = "messageId", borrow, default)]
    message_id: Option<&'a RawValue>,
}

impl Events {
    /// Reads NDJSON and skips blank lines. `source` is for messages.
    pub fn parse(text: Vec<u8>, source: &str) -> Result<Self> {
        let mut lines = Vec::new();
        let mut start = 0;
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let number = index + 1;
            if !line.trim_ascii().is_empty() {
                let Ok(json) = str::from_utf8(line) else { bail!("{source}:{number}: is not UTF-8") };
                if !json.trim_start().starts_with('{') {
                    bail!("{source}:{number}: is not a JSON object");
                }
                let probe: Probe<'_> = match serde_json::from_str(json) {
                    Ok(probe) => probe,
                    Err(error) => bail!("{source}:{number}: is not JSON: {error}", error = without_line(&error)),
                };
                let message_id_end = probe.message_id.map(RawValue::get).and_then(|id| {
                    let fits = id.starts_with('"') && id.len() - 2 + PASS_BYTES <= MESSAGE_ID_BYTES;
                    // `id` is a slice of `line`, so its address gives its place.
                    let place = id.as_ptr() as usize - json.as_ptr() as usize;
                    fits.then_some(start + place + id.len() - 1)
                });
                lines.push(Line { number, text: start..start + line.len(), message_id_end });
            }
            start += line.len() + 1;
        }
        if lines.is_empty() {
            bail!("{source}: holds no events");
        }
        Ok(Self { text, lines, tag: String::new() })
    }

    /// The same events with other messageIds, for a store that may already hold them.
    #[must_use]
    pub fn tagged(&self, tag: &str) -> Self {
        Self { tag: format!("~{tag}"), ..self.clone() }
    }

    /// The whole NDJSON text.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Keeps only the first `count` events, but at least one.
    pub fn truncate(&mut self, count: usize) {
        self.lines.truncate(count.max(1));
    }

    /// Number of events; never 0.
    #[expect(clippy::len_without_is_empty, reason = "there is at least one: parsing refuses none")]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// The event at `index`, as it stands in the file.
    pub fn line(&self, index: usize) -> &[u8] {
        self.text[self.lines[index].text.clone()].trim_ascii()
    }

    /// The line number in the file of the event at `index`, from 1.
    pub fn line_number(&self, index: usize) -> usize {
        self.lines[index].number
    }

    /// Appends event number `nth`, counted over passes: after the last event the first one follows again, with a new
    /// messageId.
    pub fn write(&self, nth: u64, out: &mut Vec<u8>) {
        let (pass, index) = self.place(nth);
        let line = &self.lines[index];
        match line.message_id_end {
            Some(end) if pass > 0 || !self.tag.is_empty() => {
                out.extend_from_slice(self.text[line.text.start..end].trim_ascii_start());
                out.extend_from_slice(self.tag.as_bytes());
                if pass > 0 {
                    out.extend_from_slice(format!("~{pass}").as_bytes());
                }
                out.extend_from_slice(self.text[end..line.text.end].trim_ascii_end());
            }
            _ => out.extend_from_slice(self.line(index)),
        }
    }

    /// The event at `index` in the form that the `nth` cold start sends, with a messageId that is new each time.
    pub fn cold(&self, index: usize, nth: usize) -> String {
        let line = &self.lines[index];
        let mut out = Vec::new();
        match line.message_id_end {
            Some(end) => {
                out.extend_from_slice(&self.text[line.text.start..end]);
                out.extend_from_slice(format!("{}~c{nth}", self.tag).as_bytes());
                out.extend_from_slice(&self.text[end..line.text.end]);
            }
            None => out.extend_from_slice(self.line(index)),
        }
        String::from_utf8_lossy(&out).trim().to_owned()
    }

    /// The pass and the index of event number `nth`.
    pub fn place(&self, nth: u64) -> (u64, usize) {
        let len = self.lines.len() as u64;
        (nth / len, (nth % len) as usize)
    }
}

/// serde_json's message with the column alone: each event is one line.
fn without_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((message, _)) => format!("{message} at column {}", error.column()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &str) -> Events {
        Events::parse(text.as_bytes().to_vec(), "e.ndjson").unwrap()
    }

    fn written(events: &Events, nth: u64) -> String {
        let mut out = Vec::new();
        events.write(nth, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[track_caller]
    fn check_refused(text: &[u8], expect: &str) {
        let error = Events::parse(text.to_vec(), "e.ndjson").unwrap_err().to_string();
        assert_eq!(error, expect);
    }

    #[test]
    fn later_passes_have_messageids_of_their_own() {
        let events = events(
            "{\"messageId\":\"a\\\"b\",\"x\":{\"messageId\":\"in\"}}\n\n  {\"x\": 1, \"messageId\" : \"c\"} \r\n{\"x\":2}\n",
        );
        assert_eq!(events.len(), 3);
        assert_eq!(events.line_number(1), 3);
        assert_eq!(written(&events, 0), r#"{"messageId":"a\"b","x":{"messageId":"in"}}"#);
        assert_eq!(written(&events, 3), r#"{"messageId":"a\"b~1","x":{"messageId":"in"}}"#);
        assert_eq!(written(&events, 1), r#"{"x": 1, "messageId" : "c"}"#);
        assert_eq!(written(&events, 7), r#"{"x": 1, "messageId" : "c~2"}"#);
        assert_eq!(written(&events, 5), r#"{"x":2}"#);
        assert_eq!(events.cold(1, 4), r#"{"x": 1, "messageId" : "c~c4"}"#);
        let tagged = events.tagged("r7");
        assert_eq!(written(&tagged, 1), r#"{"x": 1, "messageId" : "c~r7"}"#);
        assert_eq!(written(&tagged, 4), r#"{"x": 1, "messageId" : "c~r7~1"}"#);
        assert_eq!(written(&tagged, 2), r#"{"x":2}"#);
        assert_eq!(tagged.cold(1, 4), r#"{"x": 1, "messageId" : "c~r7~c4"}"#);
    }

    #[test]
    fn what_is_no_event_is_refused_with_its_line() {
        check_refused(b"{\"a\":1}\n{\"a\":}\n", "e.ndjson:2: is not JSON: expected value at column 6");
        check_refused(b"{\"a\":1}\n\n[1]\n", "e.ndjson:3: is not a JSON object");
        check_refused(b"{\"a\":1} {}\n", "e.ndjson:1: is not JSON: trailing characters at column 9");
        check_refused(b"{\"a\":\"\xff\"}\n", "e.ndjson:1: is not UTF-8");
        check_refused(b"\n \n", "e.ndjson: holds no events");
    }
}
