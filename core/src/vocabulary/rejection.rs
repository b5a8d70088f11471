//! Reasons to reject a request or an event: a stable code, a status, and a message with the problem, its place and the
//! expected value.

use std::fmt;

use serde::Serialize;

use crate::vocabulary::id::{EventId, RequestId};
use crate::vocabulary::limits::Limits;
use crate::vocabulary::name::NameFlaw;
use crate::vocabulary::refused::Refused;
use crate::vocabulary::reply::Reply;
use crate::vocabulary::time::TimeFlaw;

const LIMITS: Limits = Limits::CONTRACT;
/// The longest message, in bytes as JSON writes it. It keeps the whole answer to a rejected request below 1 kB.
const MESSAGE_BYTES: usize = 640;
/// When to send again what a frozen tenant did not take, in seconds. A client that asks more often may give up before the
/// tenant has moved.
const FROZEN_SECONDS: u32 = 10;

/// A field of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// Who did it.
    UserId,
    /// What was done.
    EventType,
    /// What else there is to say.
    Properties,
    /// The client's own id of the event.
    MessageId,
    /// When it happened.
    Timestamp,
}

impl Field {
    pub(crate) const ALL: [Self; 5] =
        [Self::UserId, Self::EventType, Self::Properties, Self::MessageId, Self::Timestamp];

    /// The field's name in JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::UserId => "userId",
            Self::EventType => "eventType",
            Self::Properties => "properties",
            Self::MessageId => "messageId",
            Self::Timestamp => "timestamp",
        }
    }
}

/// A client's text, cut to the length that a message may repeat.
pub(crate) fn shown(text: &str) -> String {
    first(text, 40).map_or_else(|| text.to_owned(), |start| format!("{start}…"))
}

/// A path into a client's JSON, without its middle if it is long. Its start and its end tell the most.
pub(crate) fn shown_path(path: String) -> String {
    const START: usize = 40;
    const END: usize = 80;
    let (Some(start), Some((cut, _))) = (first(&path, START + END), path.char_indices().nth_back(END - 1)) else {
        return path;
    };
    format!("{}…{}", first(start, START).unwrap_or(start), path.get(cut..).unwrap_or_default())
}

/// serde's message about a client's text, which it quotes. A long message is cut and followed by the place.
pub(crate) fn shown_problem(error: &serde_json::Error) -> String {
    let problem = error.to_string();
    match first(&problem, 80) {
        Some(start) if problem.len() > 160 => {
            format!("{start}… at line {} column {}", error.line(), error.column())
        }
        _ => problem,
    }
}

/// The first `characters` of a text, if it has more.
fn first(text: &str, characters: usize) -> Option<&str> {
    text.get(..text.char_indices().nth(characters)?.0)
}

/// A reason to reject a request or one event of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// The text is not JSON: the parser's message and place.
    InvalidJson(String),
    /// The bytes are not UTF-8: the index of the first bad one, from 0.
    InvalidUtf8(usize),
    /// The body claims to be gzip but is not, or it ends too early.
    InvalidGzip,
    /// A batch that is not `{"events":[…]}`: the parser's message.
    InvalidBatch(String),
    /// A body of another protocol that is not what this route takes: what was expected.
    InvalidDelivery(&'static str),
    /// A CloudEvent without this attribute.
    MissingAttribute(&'static str),
    /// A message of a type that Segment's API does not have.
    UnknownMessage(String),
    /// A batch without events.
    NoEvents,
    /// The event is JSON, but not an object.
    NotAnObject,
    /// A required field is missing, null or empty.
    Required(Field),
    /// A field has the wrong type.
    WrongType(Field),
    /// A field that the contract does not know.
    UnknownField(String),
    /// A key appears twice in one object, at this path.
    DuplicateKey(String),
    /// A name or an id is invalid, at this path.
    Name(String, NameFlaw),
    /// A value is nested more deeply than [`Limits::depth`], at this path.
    TooDeep(String),
    /// `properties` has more members than [`Limits::properties`].
    TooManyProperties(usize),
    /// The properties do not meet the schema of their event type: the path, and what was expected there.
    SchemaViolation(String, String),
    /// A number is beyond the largest double.
    NumberOutOfRange(String),
    /// A timestamp is neither RFC 3339 nor whole milliseconds.
    InvalidTimestamp,
    /// A timestamp is before [`Limits::earliest`] or more than [`Limits::ahead`] in the future.
    TimestampOutOfRange,
    /// An event has more bytes than [`Limits::event_bytes`]: how many.
    EventTooLarge(usize),
    /// A body has more bytes than [`Limits::body_bytes`].
    BodyTooLarge,
    /// A body that holds its key has more bytes than [`Limits::keyless_bytes`], as sent.
    KeylessBodyTooLarge,
    /// A batch has more events than [`Limits::batch_events`].
    TooManyEvents,
    /// The route does not accept this content type: the type sent, and the types accepted.
    UnsupportedMediaType(String, &'static str),
    /// The content encoding is not gzip or identity.
    UnsupportedEncoding(String),
    /// There is no key, or it is not configured.
    Unauthorized,
    /// The key may not be used by pages of this origin.
    OriginNotAllowed(String),
    /// A secret key stands where only a public one may.
    SecretKey,
    /// No configured issuer signed the token, or its claims do not hold now. The text is the reason.
    InvalidToken(&'static str),
    /// The sender did not sign the webhook, or its time is too far away. The text is the reason.
    InvalidSignature(&'static str),
    /// The key may not do this: the scope that it lacks.
    Forbidden(&'static str),
    /// No such route.
    NoRoute,
    /// No such event.
    NoEvent,
    /// The route accepts only these other methods.
    MethodNotAllowed(&'static str),
    /// The messageId already names this event, which has other content.
    Conflict(EventId),
    /// A parameter of a report is wrong: which one, and what was expected.
    InvalidQuery(String),
    /// No rollup can answer this report: the reason.
    UnsupportedReport(String),
    /// The report would read or hold too much: what to narrow.
    ReportTooLarge(String),
    /// The same with status 400, for clients that don't know its own.
    BadRequest(Box<Self>),
    /// The service has no valid configuration.
    NotConfigured,
    /// The key or the tenant has sent too many events.
    Limited(Refused),
    /// The store is at its capacity.
    Overloaded,
    /// The store did not answer in time.
    Unavailable,
    /// The tenant moves to another service, and its clients may not write meanwhile.
    Frozen,
    /// The service should get no requests now, for this reason.
    NotReady(String),
}

impl Rejection {
    /// The response's status, and a code that stays the same when messages change.
    pub(crate) fn status_and_code(&self) -> (u16, &'static str) {
        match self {
            Self::InvalidJson(_) | Self::InvalidUtf8(_) => (400, "invalid_json"),
            Self::InvalidGzip => (400, "invalid_gzip"),
            Self::InvalidBatch(_) | Self::InvalidDelivery(_) | Self::NoEvents => (400, "invalid_batch"),
            Self::UnknownMessage(_)
            | Self::MissingAttribute(_)
            | Self::NotAnObject
            | Self::Required(_)
            | Self::WrongType(_)
            | Self::UnknownField(_) => (400, "invalid_event"),
            Self::InvalidQuery(_) => (400, "invalid_query"),
            Self::DuplicateKey(_) => (400, "duplicate_key"),
            Self::InvalidTimestamp => (400, "invalid_timestamp"),
            Self::Unauthorized | Self::InvalidToken(_) | Self::InvalidSignature(_) => (401, "unauthorized"),
            Self::Forbidden(_) => (403, "forbidden"),
            Self::NoRoute | Self::NoEvent => (404, "not_found"),
            Self::MethodNotAllowed(_) => (405, "method_not_allowed"),
            Self::Conflict(_) => (409, "conflict"),
            Self::OriginNotAllowed(_) => (403, "origin_not_allowed"),
            Self::SecretKey => (403, "secret_key"),
            Self::BodyTooLarge | Self::KeylessBodyTooLarge => (413, "body_too_large"),
            Self::EventTooLarge(_) => (413, "event_too_large"),
            Self::TooManyEvents => (413, "too_many_events"),
            Self::UnsupportedMediaType(..) => (415, "unsupported_media_type"),
            Self::UnsupportedEncoding(_) => (415, "unsupported_encoding"),
            Self::Name(..) => (422, "invalid_name"),
            Self::TooDeep(_) => (422, "too_deep"),
            Self::TooManyProperties(_) => (422, "too_many_properties"),
            Self::SchemaViolation(..) => (422, "schema_violation"),
            Self::NumberOutOfRange(_) => (422, "number_out_of_range"),
            Self::TimestampOutOfRange => (422, "timestamp_out_of_range"),
            Self::UnsupportedReport(_) => (422, "unsupported_report"),
            Self::ReportTooLarge(_) => (422, "report_too_large"),
            Self::BadRequest(rejection) => (400, rejection.code()),
            Self::NotConfigured => (503, "not_configured"),
            Self::Limited(Refused { is_quota: false, .. }) => (429, "rate_limited"),
            Self::Limited(_) => (429, "quota_exceeded"),
            Self::Overloaded => (429, "overloaded"),
            Self::Unavailable => (503, "unavailable"),
            Self::Frozen => (503, "frozen"),
            Self::NotReady(_) => (503, "not_ready"),
        }
    }

    pub(crate) fn code(&self) -> &'static str {
        self.status_and_code().1
    }

    /// The problem in words: at most [`MESSAGE_BYTES`], whatever it repeats of a request.
    pub(crate) fn message(&self) -> String {
        let mut message = self.to_string();
        let mut bytes = 0;
        let beyond = message.char_indices().find(|(_, character)| {
            bytes += match character {
                '"' | '\\' => 2,
                control if control.is_ascii_control() => 6,
                other => other.len_utf8(),
            };
            bytes > MESSAGE_BYTES
        });
        if let Some((end, _)) = beyond {
            message.truncate(end);
            message.push('…');
        }
        message
    }

    /// The response, with the headers that its status requires.
    pub(crate) fn reply(&self, request: RequestId) -> Reply {
        let seconds = match self {
            Self::Limited(Refused { retry_after, .. }) => return self.again_after(request, *retry_after),
            Self::Frozen => Some(FROZEN_SECONDS),
            Self::Overloaded | Self::Unavailable | Self::NotReady(_) => Some(1),
            _ => None,
        };
        let mut reply = self.explained(request);
        reply.headers.extend(seconds.map(|seconds| ("retry-after", seconds.to_string())));
        reply
    }

    /// The response, which says in how many seconds the client may send again, and likewise for clients that read
    /// `x-ratelimit-reset`.
    pub(crate) fn again_after(&self, request: RequestId, seconds: u32) -> Reply {
        let reset = request.received_at().to_seconds().0.saturating_add(seconds.into());
        let mut reply = self.explained(request);
        reply.headers.extend([("retry-after", seconds.to_string()), ("x-ratelimit-reset", reset.to_string())]);
        reply
    }

    /// The response, which does not say when to send again.
    fn explained(&self, request: RequestId) -> Reply {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            error: &'a str,
            code: &'a str,
            message: String,
            request_id: String,
        }
        let (status, code) = self.status_and_code();
        let body = Body { error: code, code, message: self.message(), request_id: request.to_string() };
        let header = match self {
            Self::Unauthorized => {
                Some(("www-authenticate", r#"Bearer realm="isotherm", Basic realm="isotherm""#.to_owned()))
            }
            Self::InvalidToken(_) => {
                Some(("www-authenticate", r#"Bearer realm="isotherm", error="invalid_token""#.to_owned()))
            }
            Self::InvalidSignature(_) => Some(("www-authenticate", r#"Webhook realm="isotherm""#.to_owned())),
            Self::MethodNotAllowed(methods) => Some(("allow", (*methods).to_owned())),
            Self::UnsupportedEncoding(_) => Some(("accept-encoding", "gzip, identity".to_owned())),
            _ => None,
        };
        let mut reply = Reply::json(status, &body);
        reply.headers.extend(header);
        reply.facts.code = Some(code);
        reply
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidJson(problem) => write!(f, "not valid JSON: {problem}"),
            Self::InvalidUtf8(at) => write!(f, "not valid JSON: byte {at} is not UTF-8"),
            Self::InvalidGzip => f.write_str("the body is not a complete gzip stream of at most 1,024 members"),
            Self::InvalidBatch(problem) => write!(f, r#"a batch is {{"events":[…]}} or NDJSON: {problem}"#),
            Self::InvalidDelivery(expected) => write!(f, "the body is something else than expected: {expected}"),
            Self::MissingAttribute(name) => {
                write!(
                    f,
                    "{name} is missing or wrong: a CloudEvent has id, source and type as texts, and specversion 1.0"
                )
            }
            Self::UnknownMessage(sent) => {
                write!(f, "unknown type {sent:?}: a message has the type track, page, screen, identify, group or alias")
            }
            Self::NoEvents => write!(f, "the batch is empty: send 1 to {} events", LIMITS.batch_events),
            Self::NotAnObject => f.write_str("an event must be a JSON object"),
            Self::Required(Field::Properties) | Self::WrongType(Field::Properties) => {
                f.write_str("properties must be an object")
            }
            Self::Required(field) => write!(f, "{} is required", field.name()),
            Self::WrongType(Field::Timestamp) => {
                f.write_str("timestamp must be an RFC 3339 string or a number of milliseconds")
            }
            Self::WrongType(field) => write!(f, "{} must be a string", field.name()),
            Self::UnknownField(name) => {
                write!(f, "unknown field {name:?}: an event has ")?;
                let names = Field::ALL.map(Field::name);
                write!(f, "{}; anything else goes into properties", names.join(", "))
            }
            Self::DuplicateKey(path) => write!(f, "{path} appears twice in the same object"),
            Self::Name(path, flaw) => {
                write!(f, "{path} ")?;
                match flaw {
                    NameFlaw::Empty => f.write_str("is empty")?,
                    NameFlaw::TooLong => f.write_str("is too long")?,
                    NameFlaw::Control => f.write_str("has a control character")?,
                }
                write!(f, ": names and ids have 1 to {} bytes and no control characters", LIMITS.name_bytes)
            }
            Self::TooDeep(path) => write!(f, "{path} is nested more than {} levels deep", LIMITS.depth),
            Self::TooManyProperties(count) => {
                write!(f, "properties has {count} members; the limit is {}", LIMITS.properties)
            }
            Self::SchemaViolation(path, expected) => write!(f, "{path} {expected}"),
            Self::NumberOutOfRange(number) => {
                write!(f, "{number}: numbers are at most the largest double; send others as strings")
            }
            Self::InvalidTimestamp => f.write_str(
                "timestamp must be RFC 3339, such as 2013-01-01T10:15:00.000Z, or whole milliseconds since 1970",
            ),
            Self::TimestampOutOfRange => f.write_str("timestamp must be between 2000-01-01 and 24 hours from now"),
            Self::EventTooLarge(bytes) => {
                write!(f, "the event has {bytes} bytes; the limit is {}", LIMITS.event_bytes)
            }
            Self::BodyTooLarge => {
                write!(f, "the body has more than the limit of {} bytes, inflated", LIMITS.body_bytes)
            }
            Self::KeylessBodyTooLarge => {
                let most = LIMITS.keyless_bytes;
                write!(f, "a body that holds its key has at most {most} bytes as sent: send smaller batches, or gzip")
            }
            Self::TooManyEvents => write!(f, "the batch has more than the limit of {} events", LIMITS.batch_events),
            Self::UnsupportedMediaType(sent, taken) => {
                write!(f, "unsupported content type {sent:?}: send {taken}, in UTF-8")
            }
            Self::UnsupportedEncoding(sent) => {
                write!(f, "unsupported content encoding {sent:?}: send gzip or identity")
            }
            Self::Unauthorized => f.write_str("a configured key is required, as Bearer token or Basic credentials"),
            Self::OriginNotAllowed(origin) => write!(f, "pages of the origin {origin:?} may not use this key"),
            Self::SecretKey => {
                f.write_str("a secret key stands in the header authorization only: use a key of the kind public here")
            }
            Self::InvalidToken(problem) | Self::InvalidSignature(problem) => f.write_str(problem),
            Self::Forbidden(scope) => write!(f, "this key has no {scope} scope"),
            Self::NoRoute => f.write_str("no such route; GET /openapi.json lists them"),
            Self::NoEvent => f.write_str("no such event"),
            Self::MethodNotAllowed(methods) => write!(f, "this route takes {methods}"),
            Self::Conflict(first) => {
                write!(f, "this messageId already names {first} with other content, which stays as it is")
            }
            Self::BadRequest(rejection) => rejection.fmt(f),
            Self::NotConfigured => {
                f.write_str("this service is not configured; its operator finds the reason in its log")
            }
            Self::InvalidQuery(problem)
            | Self::UnsupportedReport(problem)
            | Self::ReportTooLarge(problem)
            | Self::NotReady(problem) => f.write_str(problem),
            Self::Limited(Refused { is_quota, retry_after }) => {
                let what = if *is_quota { "the day's quota is used up" } else { "events come too fast" };
                write!(f, "{what}: send the request again in {retry_after} s")
            }
            Self::Overloaded => f.write_str("the store is overloaded: send the request again, later"),
            Self::Frozen => {
                f.write_str("writes are paused while the data move: nothing was stored, send the request again")
            }
            Self::Unavailable => f.write_str("the store did not answer in time: send the request again"),
        }
    }
}

impl std::error::Error for Rejection {}

impl From<TimeFlaw> for Rejection {
    fn from(flaw: TimeFlaw) -> Self {
        match flaw {
            TimeFlaw::NotRfc3339 => Self::InvalidTimestamp,
            TimeFlaw::BeforeEpoch => Self::TimestampOutOfRange,
        }
    }
}
