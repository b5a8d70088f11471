//! The body of a request: finding its media type, inflating it within bounds, and splitting it into events.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::admission::request::Request;
use crate::gzip;
use crate::vocabulary::limits::Limits;
use crate::vocabulary::rejection::{Rejection, shown, shown_problem};

const LIMITS: Limits = Limits::CONTRACT;

/// What a body holds, according to its content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    Json,
    /// One JSON text per line.
    Ndjson,
}

impl Media {
    /// The media type of the request. A request that names none sends JSON. So does one of a browser's page that names
    /// `text/plain`, which a page may send without asking first. `None` means that no route accepts the type.
    fn of(request: &Request<'_>, from_page: bool) -> Option<Self> {
        match &*essence(request)? {
            JSON => Some(Self::Json),
            TEXT if from_page => Some(Self::Json),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Some(Self::Ndjson),
            _ => None,
        }
    }
}

pub(crate) const JSON: &str = "application/json";
pub(crate) const TEXT: &str = "text/plain";

/// The content type in lower case, without its parameters. A request without one sends JSON. `None` if its text is not
/// UTF-8, or if the header came more than once, so that it is unclear which value counts.
pub(crate) fn essence<'r>(request: &'r Request<'_>) -> Option<Cow<'r, str>> {
    media_type(request).filter(|(_, is_utf8)| *is_utf8).map(|(essence, _)| essence)
}

/// The essence of a content type, and whether its charset is UTF-8. `None` if the header came more than once.
pub(crate) fn media_type<'r>(request: &'r Request<'_>) -> Option<(Cow<'r, str>, bool)> {
    let Some(header) = request.header("content-type") else { return Some((Cow::Borrowed(JSON), true)) };
    if unquoted(header, ',').nth(1).is_some() {
        return None;
    }
    let mut parts = unquoted(header, ';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let utf8 = parts.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.eq_ignore_ascii_case("charset") => {
            let charset = value.trim_matches('"').to_ascii_lowercase();
            // ASCII is UTF-8 too. Reading the bytes later checks whether they really are UTF-8.
            matches!(charset.as_str(), "utf-8" | "utf8" | "us-ascii" | "ascii")
        }
        _ => true,
    });
    let lower = match essence.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(essence.to_ascii_lowercase()),
        false => Cow::Borrowed(essence),
    };
    Some((lower, utf8))
}

/// The parts of a header's value, split at separators outside quotation marks.
fn unquoted(value: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    value.split(move |character| {
        quoted ^= character == '"';
        character == separator && !quoted
    })
}

/// The text without the byte order mark that some programs write at its start (RFC 8259, 8.1).
pub(crate) fn without_byte_order_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text)
}

/// The media type of a request for one event, from its head. `from_page` says that a page sends it that may.
pub(crate) fn single(head: &Request<'_>, from_page: bool) -> Result<Media, Rejection> {
    match Media::of(head, from_page) {
        Some(Media::Json) => Ok(Media::Json),
        _ => Err(unsupported(head, "application/json")),
    }
}

/// The media type of a batch, from its head. `from_page` says that a page sends it that may.
pub(crate) fn batch(head: &Request<'_>, from_page: bool) -> Result<Media, Rejection> {
    Media::of(head, from_page).ok_or_else(|| unsupported(head, "application/json or application/x-ndjson"))
}

/// Checks that a request sends lines, from its head.
pub(crate) fn lines(head: &Request<'_>) -> Result<(), Rejection> {
    match Media::of(head, false) {
        Some(Media::Ndjson) => Ok(()),
        _ => Err(unsupported(head, "application/x-ndjson")),
    }
}

/// Rejects a body whose announced `content-length` is too large.
pub(crate) fn announced(head: &Request<'_>) -> Result<(), Rejection> {
    if announces_more(head, LIMITS.body_bytes) { Err(Rejection::BodyTooLarge) } else { Ok(()) }
}

/// Whether the announced `content-length` is more than this many bytes.
pub(crate) fn announces_more(head: &Request<'_>, bytes: usize) -> bool {
    let length = head.header("content-length").and_then(|length| length.trim().parse::<u64>().ok());
    length.is_some_and(|length| length > bytes as u64)
}

pub(crate) fn unsupported(request: &Request<'_>, taken: &'static str) -> Rejection {
    Rejection::UnsupportedMediaType(shown(&listed(request.header("content-type").unwrap_or_default())), taken)
}

/// A header's value with `, ` between its parts. Gateways join the lines of a header with or without the space.
fn listed(value: &str) -> String {
    value.split(',').map(str::trim).collect::<Vec<_>>().join(", ")
}

/// The body, inflated if it is gzip.
pub(crate) fn inflated<'a>(head: &Request<'_>, body: &'a [u8]) -> Result<Cow<'a, [u8]>, Rejection> {
    let encoding = head.header("content-encoding").unwrap_or("identity").trim().to_ascii_lowercase();
    // This check comes first: a body that a host cut short must not be read as if it were whole.
    if body.len() > LIMITS.body_bytes {
        return Err(Rejection::BodyTooLarge);
    }
    match encoding.as_str() {
        "identity" => Ok(Cow::Borrowed(body)),
        "gzip" | "x-gzip" => {
            // One byte above the limit tells "too large" from "just fits", and a gzip bomb inflates no further than
            // that.
            let inflated = gzip::inflated(body, LIMITS.body_bytes + 1).ok_or(Rejection::InvalidGzip)?;
            if inflated.len() > LIMITS.body_bytes { Err(Rejection::BodyTooLarge) } else { Ok(Cow::Owned(inflated)) }
        }
        other => Err(Rejection::UnsupportedEncoding(shown(&listed(other)))),
    }
}

/// The text of a JSON body.
pub(crate) fn text(body: &[u8]) -> Result<&str, Rejection> {
    utf8(without_byte_order_mark(body))
}

fn utf8(bytes: &[u8]) -> Result<&str, Rejection> {
    std::str::from_utf8(bytes).map_err(|error| Rejection::InvalidUtf8(error.valid_up_to()))
}

/// The texts of a batch's events, in order. Only a line of NDJSON that is not UTF-8 fails alone; other errors fail the
/// batch.
pub(crate) fn events(media: Media, body: &[u8]) -> Result<Vec<Result<&str, Rejection>>, Rejection> {
    let events: Vec<_> = match media {
        Media::Json => envelope(text(body)?)?.into_iter().map(|event| Ok(event.get())).collect(),
        // One event above the limit is enough to know that there are too many.
        Media::Ndjson => without_byte_order_mark(body)
            .split(|byte| *byte == b'\n')
            .map(<[u8]>::trim_ascii)
            .filter(|line| !line.is_empty())
            .take(LIMITS.batch_events + 1)
            .map(utf8)
            .collect(),
    };
    match events.len() {
        0 => Err(Rejection::NoEvents),
        count if count > LIMITS.batch_events => Err(Rejection::TooManyEvents),
        _ => Ok(events),
    }
}

fn envelope(text: &str) -> Result<Vec<&RawValue>, Rejection> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Envelope<'a> {
        #[serde(borrow)]
        events: Vec<&'a RawValue>,
    }
    // serde accepts an array for a struct and takes its elements as the fields in order, so arrays are rejected here.
    if text.trim_start().starts_with('[') {
        return Err(Rejection::InvalidBatch("this is an array".to_owned()));
    }
    serde_json::from_str::<Envelope<'_>>(text).map(|envelope| envelope.events).map_err(|error| {
        let problem = shown_problem(&error);
        if error.is_data() { Rejection::InvalidBatch(problem) } else { Rejection::InvalidJson(problem) }
    })
}
