//! One line of JSON for a request, a message of a queue, or a fold. It has no body, no key and no URL.

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::admission::access::Credential;
use crate::admission::config::Config;
use crate::admission::request::Request;
use crate::maintenance::folded::Folded;
use crate::vocabulary::id::RequestId;
use crate::vocabulary::time::Stamp;
use crate::watching::level::Level;
use crate::watching::metric::{DEAD_LETTERS, FOLD_LAG, FOLDED_EVENTS, Metric, PAGE_WRITES, SECONDS, UNREADABLE_PAGES};
use crate::watching::seen::Seen;
use crate::watching::trace::x_ray_root;

/// CloudWatch's namespace of all metrics.
const NAMESPACE: &str = "Isotherm";
/// CloudWatch's name of a Lambda function, which is a dimension of each metric.
const FUNCTION: &str = "FunctionName";

/// Where lines are written.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'h> {
    /// The least grave line that is written, unless the operator has configured another level.
    pub level: Level,
    /// A name of this process, isolate or instance.
    pub instance: &'h str,
    /// The name of the Lambda function. With it, CloudWatch makes metrics of a line (its embedded metric format).
    pub function: Option<&'h str>,
    /// What X-Ray calls the invocation, as its header `x-amzn-trace-id`.
    pub x_ray: Option<&'h str>,
}

/// One line of JSON, without a line's end.
#[must_use = "a line that is dropped is missing in the log"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How grave it is.
    pub level: Level,
    /// The line.
    pub text: String,
}

/// A member of a line.
enum Value<'v> {
    Text(&'v str),
    Owned(String),
    Number(f64),
    Count(u64),
    True,
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Owned(text) => serializer.serialize_str(text),
            Self::Number(number) => serializer.serialize_f64(*number),
            Self::Count(count) => serializer.serialize_u64(*count),
            Self::True => serializer.serialize_bool(true),
        }
    }
}

/// A line that is being made.
struct Members<'v> {
    level: Level,
    members: Vec<(&'static str, Value<'v>)>,
    metrics: Vec<(Metric, &'static str, Value<'v>)>,
    time: u64,
    function: Option<&'v str>,
}

impl<'v> Members<'v> {
    fn new(kind: &'static str, level: Level, stamp: Stamp, writer: Writer<'v>) -> Self {
        let mut members = Vec::new();
        // In CloudWatch's format the time has a place of its own.
        if writer.function.is_none() {
            members.push(("time", Value::Owned(stamp.received_at.to_rfc3339())));
        }
        members.push(("level", Value::Text(level.name())));
        members.push(("kind", Value::Text(kind)));
        members.push(("faas.instance", Value::Text(writer.instance)));
        Self { level, members, metrics: Vec::new(), time: stamp.received_at.0, function: writer.function }
    }

    fn add(&mut self, name: &'static str, value: Option<Value<'v>>) {
        self.members.extend(value.map(|value| (name, value)));
    }

    fn count(&mut self, metric: Metric, label: &'static str, count: u64) {
        if count > 0 {
            self.metrics.push((metric, label, Value::Count(count)));
        }
    }

    fn line(&self) -> Line {
        Line { level: self.level, text: serde_json::to_string(self).unwrap_or_default() }
    }
}

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in &self.members {
            map.serialize_entry(name, value)?;
        }
        for (metric, label, value) in &self.metrics {
            map.serialize_entry(&metric.in_line(label), value)?;
        }
        if let Some(function) = self.function {
            map.serialize_entry(FUNCTION, function)?;
            map.serialize_entry("_aws", &Embedded(self))?;
        }
        map.end()
    }
}

/// What CloudWatch is to make metrics of.
struct Embedded<'l>(&'l Members<'l>);

impl Serialize for Embedded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Directive {
            namespace: &'static str,
            dimensions: [[&'static str; 1]; 1],
            metrics: Vec<Definition>,
        }
        #[derive(serde::Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Definition {
            name: String,
            /// A count has none.
            #[serde(skip_serializing_if = "Option::is_none")]
            unit: Option<&'static str>,
        }
        let definition = |(metric, label, _): &(Metric, &'static str, Value<'_>)| Definition {
            name: metric.in_line(label),
            unit: metric.name.ends_with("_seconds").then_some("Seconds"),
        };
        let metrics = self.0.metrics.iter().map(definition).collect();
        let directive = Directive { namespace: NAMESPACE, dimensions: [[FUNCTION]], metrics };
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("Timestamp", &self.0.time)?;
        map.serialize_entry("CloudWatchMetrics", &[directive])?;
        map.end()
    }
}

/// The line of a request, or of a message that was a request; `None` if none is to be written.
pub(crate) fn of_request(
    config: &Config,
    request: &Request<'_>,
    credential: Credential<'_>,
    seen: &Seen,
    kind: &'static str,
    writer: Writer<'_>,
) -> Option<Line> {
    let (level, Seen { stamp, trace, ran, .. }) = (seen.level(), seen);
    if !config.lines.write(level, writer.level, *stamp, ran.is_cold) {
        return None;
    }
    let caller = config.access.identify(credential, stamp.received_at);
    let (tenant, key) = caller.as_ref().map_or((None, None), |(tenant, key)| (Some(tenant.as_str()), *key));
    let mut line = Members::new(kind, level, *stamp, writer);
    line.add("requestId", Some(Value::Owned(RequestId::of(*stamp).to_string())));
    line.add("traceId", Some(Value::Owned(trace.id())));
    let x_ray = writer.x_ray.and_then(x_ray_root).filter(|root| !trace.is_x_rays(root));
    line.add("xRayTraceId", x_ray.map(Value::Text));
    line.add("parentId", trace.parent().map(Value::Owned));
    line.add("tenant", tenant.map(Value::Text));
    line.add("keyId", key.map(Value::Text));
    line.add("method", Some(Value::Text(known_method(request.method))));
    line.add("route", Some(Value::Text(seen.route)));
    line.add("status", Some(Value::Count(seen.status.into())));
    line.add("code", seen.facts.code.map(Value::Text));
    let micros = ran.duration.as_micros() as f64;
    line.add("ms", Some(Value::Number(micros / 1000.0)));
    line.add("faas.coldstart", ran.is_cold.then_some(Value::True));
    // What the written lines of this level stand for.
    line.add("sample", config.lines.sample.filter(|_| level == Level::Info).map(Value::Number));
    line.metrics.push((SECONDS, "", Value::Number(micros / 1e6)));
    seen.counts(|metric, label, count| line.count(metric, label, count));
    Some(line.line())
}

/// The line of a fold; `None` if none is to be written.
pub(crate) fn of_fold(config: &Config, folded: &Folded, stamp: Stamp, writer: Writer<'_>) -> Option<Line> {
    let level = if folded.rejected > 0 || folded.damaged > 0 { Level::Warn } else { Level::Info };
    if *folded == Folded::default() || !config.lines.write(level, writer.level, stamp, false) {
        return None;
    }
    let mut line = Members::new("fold", level, stamp, writer);
    line.count(FOLDED_EVENTS, "", folded.events);
    line.count(PAGE_WRITES, "", folded.pages);
    line.count(DEAD_LETTERS, "", folded.rejected);
    line.count(UNREADABLE_PAGES, "", folded.damaged);
    line.metrics.extend(folded.lag.map(|lag| (FOLD_LAG, "", Value::Number(lag.as_millis() as f64 / 1000.0))));
    Some(line.line())
}

/// The method, unless a client has made it up.
fn known_method(method: &str) -> &str {
    let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"];
    if known.contains(&method) { method } else { "(other)" }
}
