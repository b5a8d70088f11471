//! Runs shared vectors through core.
//!
//! A vector file is a JSON array of [`Vector`]s. [`run`] returns the JSON array of core's results, the same bytes on
//! every target. The file beside it named `*.expected.json` holds these bytes. As a wasm module the runner exports
//! [`wasm::alloc`] and [`wasm::run`] and imports nothing, which shows that core needs nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use isotherm_core::{
    Admission, Condition, EventId, ExportOutcome, FindOutcome, HEADERS, KeyRange, Level, Metrics, Millis, NewEvent,
    Plan, Ran, RejectedRecord, Reply, ReportData, ReportOutcome, Request, Service, Stamp, StoreOutcome, StoredPage,
    Unfolded, WriteLimits, Writer, joined,
};

/// Higher limits than any vector needs.
const LIMITS: WriteLimits = WriteLimits { pages: 10_000, bytes: 100_000_000 };
use serde::{Deserialize, Serialize};
use serde_json::value::Value;

/// A request, its stamp, and the store's side.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Vector {
    /// What the vector shows.
    pub name: String,
    /// The configuration, or its text if it is a string. Without it, the service is open.
    #[serde(default)]
    pub config: Option<Value>,
    /// The variables of the secrets that the configuration names, with their texts.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    /// `method path`, or `method path?query`.
    pub request: String,
    /// Header names in lower case, with their values, one for each line.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The body as text.
    #[serde(default)]
    pub body: Option<String>,
    /// The body as base64, if it is not text.
    #[serde(default)]
    pub body_base64: Option<String>,
    /// When the request arrives, in milliseconds since 1970.
    pub received_at: u64,
    /// The stamp's entropy, 32 hexadecimal digits.
    pub entropy: String,
    /// The outcome of each planned event.
    #[serde(default)]
    pub outcomes: Vec<StoreOutcome>,
    /// The record that a look-up finds, if any.
    #[serde(default)]
    pub found: Option<String>,
    /// The records that a report's pages are folded from, fold by fold.
    #[serde(default)]
    pub folded: Vec<Vec<Value>>,
    /// Whether past days of these pages are compacted.
    #[serde(default)]
    pub compacted: bool,
    /// The records behind the watermark that a report finds.
    #[serde(default)]
    pub tail: Vec<Value>,
    /// The condition of the store, if it answers.
    #[serde(default)]
    pub condition: Option<Condition>,
    /// Whether the result has the line that is logged: of a Lambda function if it is `"embedded"`.
    #[serde(default)]
    pub logs: Option<String>,
}

/// Core's result for a [`Vector`].
#[derive(Debug, Serialize)]
struct RanVector<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<StoreText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    find: Option<FindText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<ReportText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<Value>,
    reply: ReplyText,
}

#[derive(Debug, Serialize)]
struct StoreText {
    tenant: String,
    events: Vec<NewEvent>,
}

#[derive(Debug, Serialize)]
struct FindText {
    tenant: String,
    id: EventId,
}

#[derive(Debug, Serialize)]
struct ReportText {
    tenant: String,
    ranges: Vec<KeyRange>,
    /// All folded pages, not only those in the ranges: their bytes have to be the same too.
    pages: Vec<PageText>,
}

#[derive(Debug, Serialize)]
struct PageText {
    key: String,
    /// The page's bytes, in base64.
    bytes: String,
}

#[derive(Debug, Serialize)]
struct ReplyText {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

/// Runs a file of vectors. Takes JSON and returns JSON, one vector a line.
///
/// # Errors
/// The file holds no vectors, or a vector can't be run; the error then names it.
pub fn run(file: &[u8]) -> Result<String, String> {
    let vectors: Vec<Vector> = serde_json::from_slice(file).map_err(|error| error.to_string())?;
    let mut lines = Vec::with_capacity(vectors.len());
    for vector in &vectors {
        let ran = run_one(vector).map_err(|problem| format!("{}: {problem}", vector.name))?;
        lines.push(serde_json::to_string(&ran).map_err(|error| error.to_string())?);
    }
    Ok(format!("[\n{}\n]\n", lines.join(",\n")))
}

const OPEN: &str = r#"{"version":2,"open":true}"#;

fn run_one(vector: &Vector) -> Result<RanVector<'_>, String> {
    let config = match &vector.config {
        None => OPEN.to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(config) => config.to_string(),
    };
    let service = Service::from_text(Some(&config)).with_secrets(|variable| vector.secrets.get(variable).cloned());
    let (method, target) = vector.request.split_once(' ').ok_or("request must be `METHOD PATH`")?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let body = match (&vector.body, &vector.body_base64) {
        (_, Some(base64)) => STANDARD.decode(base64).map_err(|error| error.to_string())?,
        (body, None) => body.clone().unwrap_or_default().into_bytes(),
    };
    let header = |name: &str| {
        let lines = vector.headers.iter().filter(|(known, _)| known == name);
        joined(lines.map(|(_, value)| value.as_bytes()))
    };
    let headers: Vec<_> = HEADERS.iter().filter_map(|name| Some((*name, header(name)?))).collect();
    let entropy = u128::from_str_radix(&vector.entropy, 16).map_err(|error| error.to_string())?;
    let stamp = Stamp { received_at: Millis(vector.received_at), entropy };
    let (mut store, mut find, mut report) = (None, None, None);
    let request = Request { method, path, query, headers: &headers, body: &body };
    let mut reply = match service.admit(&request, stamp) {
        Admission::Reply(reply) => reply,
        Admission::Plan(Plan::Store(plan)) => {
            store = Some(StoreText { tenant: plan.tenant().as_str().to_owned(), events: plan.events().to_vec() });
            plan.respond(vector.outcomes.clone())
        }
        Admission::Plan(Plan::Find(plan)) => {
            find = Some(FindText { tenant: plan.tenant().as_str().to_owned(), id: plan.id() });
            let found = vector.found.clone().map_or(FindOutcome::Absent, FindOutcome::Found);
            plan.respond(found)
        }
        Admission::Plan(Plan::Report(plan)) => {
            let all = stored(&service, vector)?;
            let manifests: Vec<KeyRange> = plan.reading().manifests().into_iter().collect();
            let ranges = plan.reading().ranges(&read(&all, &manifests));
            let pages = read(&all, &ranges);
            let tail = vector.tail.iter().map(Value::to_string).collect();
            let text = |StoredPage { key, bytes }| PageText { key, bytes: STANDARD.encode(bytes) };
            let all = all.into_values().map(text).collect();
            report = Some(ReportText { tenant: plan.tenant().as_str().to_owned(), ranges, pages: all });
            plan.respond(ReportOutcome::Read(vec![ReportData { pages, tail, ..ReportData::default() }])).reply
        }
        Admission::Plan(Plan::Maintenance(plan)) => plan.respond(true),
        Admission::Plan(Plan::Ready(plan)) => plan.respond(vector.condition),
        Admission::Plan(Plan::Metrics(plan)) => {
            plan.respond(Some(&Metrics::default()), vector.condition.map(|condition| vec![condition]))
        }
        Admission::Plan(Plan::Export(plan)) => plan.respond(ExportOutcome::Unavailable),
        Admission::Plan(Plan::Import(plan)) => plan.respond(true),
    };
    let ran = Ran { duration: Duration::from_micros(1500), is_cold: vector.logs.is_some() };
    let seen = service.seen(&request, stamp, &mut reply, ran);
    let function = vector.logs.as_deref().filter(|logs| *logs == "embedded").map(|_| "isotherm-ingest");
    let writer = Writer { level: Level::Info, instance: "7", function, x_ray: None };
    let line = vector.logs.as_ref().and_then(|_| service.line(&request, &seen, writer));
    let line = line.map(|line| serde_json::from_str(&line.text)).transpose().map_err(|error| error.to_string())?;
    let Reply { status, headers, body, .. } = reply;
    let body = String::from_utf8(body).map_err(|error| error.to_string())?;
    Ok(RanVector { name: &vector.name, store, find, report, line, reply: ReplyText { status, headers, body } })
}

/// The pages after these folds, one after another, and after the compaction of all past days, if the vector asks for
/// it.
fn stored(service: &Service, vector: &Vector) -> Result<BTreeMap<String, StoredPage>, String> {
    let mut pages: BTreeMap<String, StoredPage> = BTreeMap::new();
    for records in &vector.folded {
        let records: Vec<String> = records.iter().map(Value::to_string).collect();
        let unfolded: Vec<_> = records.iter().map(|record| Unfolded { tenant: "default", record }).collect();
        let mut rest = unfolded.as_slice();
        while !rest.is_empty() {
            let step = service.fold(rest, usize::MAX, LIMITS);
            rest = rest.get(step.records()..).unwrap_or_default();
            let stored = step.ranges().map(|(_, ranges)| read(&pages, ranges)).collect();
            let write =
                step.merge(stored).map_err(|_too_much| "a step needs more than a transaction takes".to_owned())?;
            if let Some(RejectedRecord { index, reason }) = write.rejected.first() {
                return Err(format!("record {index}: {reason}"));
            }
            pages.extend(write.pages.into_iter().map(|(_, page)| (page.key.clone(), page)));
        }
    }
    if vector.compacted {
        let manifests = read(&pages, &[service.manifests()]);
        let received_at = Millis(vector.received_at);
        for compaction in service.compactions(&manifests, received_at) {
            let stored = read(&pages, &compaction.ranges());
            let written = compaction.merge(Some(stored), LIMITS).pages;
            pages.extend(written.into_iter().map(|page| (page.key.clone(), page)));
        }
    }
    Ok(pages)
}

fn read(pages: &BTreeMap<String, StoredPage>, ranges: &[KeyRange]) -> Vec<StoredPage> {
    pages.values().filter(|page| ranges.iter().any(|range| range.contains(&page.key))).cloned().collect()
}

/// The exports of the wasm module.
pub mod wasm {
    /// Allocates `len` bytes and returns their address.
    #[expect(unsafe_code, reason = "an export needs a name that is not mangled")]
    #[unsafe(no_mangle)]
    pub extern "C" fn alloc(len: usize) -> *mut u8 {
        Box::leak(vec![0; len].into_boxed_slice()).as_mut_ptr()
    }

    /// Runs the vectors in the `len` bytes at `file`, which [`alloc`] gave. Returns where the answer is, with the
    /// address in the upper 32 bits and the length in the lower. An answer that does not start with `[` is the text
    /// of an error.
    ///
    /// # Safety
    /// `file` and `len` are those of one call of [`alloc`], used once.
    #[expect(unsafe_code, reason = "bytes come in through linear memory")]
    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn run(file: *mut u8, len: usize) -> u64 {
        // SAFETY: by the contract above this is the slice that `alloc` leaked.
        let file = unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(file, len)) };
        let answer = crate::run(&file).unwrap_or_else(|problem| problem).leak();
        (answer.as_ptr() as usize as u64) << 32 | answer.len() as u64
    }
}
