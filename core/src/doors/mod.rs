//! The doors: requests of clients that exist, read as Isotherm's events. A door is one file, which maps the body of its
//! clients' requests. `docs/doors.md` has the mappings as tables.

pub(crate) mod parts;

mod cloudevents;
mod otlp;
mod posthog;
mod protobuf;
mod segment;
mod webhooks;

use std::borrow::Cow;

use crate::admission::body::{JSON, TEXT};
use crate::admission::foreign::Foreign;
use crate::admission::request::Request;
use crate::store::answer::Style;
use crate::vocabulary::rejection::Rejection;
use crate::vocabulary::reply::Reply;

/// The method of a route that takes events.
pub(crate) const POST: &str = "POST";
/// The methods of a route that is read.
const GET: &str = "GET, HEAD";

/// What a request asks of a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DoorRoute<'a> {
    /// Keep these events.
    Deliver(Dialect),
    /// Keep what the sender with this id has signed.
    Webhook(&'a str),
    /// Answer what a client asks for before it sends events. The key is in the path, in the query, or not asked for.
    Settings(Settings, Option<&'a str>),
}

/// How a client describes its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Segment's and RudderStack's, in batches.
    SegmentBatch,
    /// Segment's and RudderStack's single message of this type.
    SegmentMessage(&'static str),
    PostHog,
    CloudEvents,
    /// OpenTelemetry's log records.
    Otlp,
    /// Standard Webhooks.
    Webhook,
}

/// What a client asks for before it sends events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settings {
    /// What analytics.js loads first.
    Segment,
    /// What RudderStack's client for browsers loads first.
    RudderStack,
    /// What posthog-js loads first, as a script.
    PostHogScript,
    /// What posthog-js loads first, as JSON.
    PostHogJson,
    /// The feature flags of PostHog's clients. There are none, so they need no key.
    Flags,
}

const FORM: &str = "application/x-www-form-urlencoded";
const PROTOBUF: &str = "application/x-protobuf";

impl<'a> DoorRoute<'a> {
    /// The route of a normalized path, with the methods that it takes.
    pub(crate) fn of(path: &'a str) -> Option<(Self, &'static str)> {
        let settings = |settings, rest: Option<&'a str>| {
            let key = rest.filter(|key| !key.is_empty() && !key.contains('/'))?;
            Some((Self::Settings(settings, Some(key)), GET))
        };
        if let Some(rest) = path.strip_prefix("/v1/projects/") {
            return settings(Settings::Segment, rest.strip_suffix("/settings"));
        }
        if let Some(rest) = path.strip_prefix("/array/") {
            return settings(Settings::PostHogScript, rest.strip_suffix("/config.js"))
                .or_else(|| settings(Settings::PostHogJson, rest.strip_suffix("/config")));
        }
        if let Some(sender) = path.strip_prefix("/webhooks/").filter(|id| !id.is_empty() && !id.contains('/')) {
            return Some((Self::Webhook(sender), POST));
        }
        let dialect = match path {
            "/v1/batch" | "/v1/b" | "/beacon/v1/batch" => Dialect::SegmentBatch,
            "/v1/track" | "/v1/t" => Dialect::SegmentMessage(segment::TRACK),
            "/v1/page" | "/v1/p" => Dialect::SegmentMessage(segment::PAGE),
            "/v1/screen" | "/v1/s" => Dialect::SegmentMessage(segment::SCREEN),
            "/v1/identify" | "/v1/i" => Dialect::SegmentMessage(segment::IDENTIFY),
            "/v1/group" | "/v1/g" => Dialect::SegmentMessage(segment::GROUP),
            "/v1/alias" | "/v1/a" => Dialect::SegmentMessage(segment::ALIAS),
            "/v1/logs" => Dialect::Otlp,
            "/cloudevents" => Dialect::CloudEvents,
            "/sourceConfig" | "/sourceConfig/" => return Some((Self::Settings(Settings::RudderStack, None), GET)),
            // PostHog's clients write these with a slash at the end, and without.
            "/flags" | "/flags/" | "/decide" | "/decide/" => {
                return Some((Self::Settings(Settings::Flags, None), POST));
            }
            "/batch" | "/batch/" | "/capture" | "/capture/" | "/e" | "/e/" | "/i/v0/e" | "/i/v0/e/" => Dialect::PostHog,
            _ => return None,
        };
        Some((Self::Deliver(dialect), POST))
    }
}

impl DoorRoute<'_> {
    /// The route as the contract writes it. It never has a key.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Deliver(Dialect::SegmentBatch) => "/v1/batch",
            Self::Deliver(Dialect::SegmentMessage(_)) => "/v1/{type}",
            Self::Deliver(Dialect::PostHog) => "/batch/",
            Self::Deliver(Dialect::CloudEvents) => "/cloudevents",
            Self::Deliver(Dialect::Otlp) => "/v1/logs",
            Self::Webhook(_) | Self::Deliver(Dialect::Webhook) => "/webhooks/{id}",
            Self::Settings(Settings::Segment, _) => "/v1/projects/{key}/settings",
            Self::Settings(Settings::RudderStack, _) => "/sourceConfig/",
            Self::Settings(Settings::PostHogScript, _) => "/array/{key}/config.js",
            Self::Settings(Settings::PostHogJson, _) => "/array/{key}/config",
            Self::Settings(Settings::Flags, _) => "/flags/",
        }
    }
}

impl Dialect {
    /// Whether a body may have the key. If not, the request's head must have it.
    pub(crate) fn may_hold_key(self) -> bool {
        matches!(self, Self::SegmentBatch | Self::SegmentMessage(_) | Self::PostHog)
    }

    /// The content types that a request may have, in words; `None` if it may have this one. Without one, a body is JSON.
    pub(crate) fn refuses(self, essence: &str) -> Option<&'static str> {
        match self {
            // rudder-sdk-node calls its packed JSON a form.
            Self::SegmentBatch | Self::SegmentMessage(_) | Self::PostHog => {
                let is_taken = [JSON, TEXT, FORM].contains(&essence);
                (!is_taken).then_some("application/json, text/plain or application/x-www-form-urlencoded")
            }
            Self::Otlp if [JSON, PROTOBUF].contains(&essence) => None,
            Self::Otlp => Some("application/json or application/x-protobuf"),
            Self::Webhook => (essence != JSON).then_some(JSON),
            // In binary mode the data may have any type.
            Self::CloudEvents => None,
        }
    }

    /// True if the body may be in any charset, because it is an event's data.
    pub(crate) fn takes_any_charset(self, essence: &str) -> bool {
        self == Self::CloudEvents && ![cloudevents::STRUCTURED, cloudevents::BATCHED].contains(&essence)
    }

    /// The JSON text that an inflated body stands for.
    pub(crate) fn json<'b>(
        self,
        head: &Request<'_>,
        essence: &str,
        body: &'b [u8],
    ) -> Result<Cow<'b, [u8]>, Rejection> {
        match self {
            Self::PostHog => posthog::unpacked(body, essence == FORM),
            Self::Otlp if essence == PROTOBUF => Ok(Cow::Owned(protobuf::json(body)?.into_bytes())),
            Self::CloudEvents if ![cloudevents::STRUCTURED, cloudevents::BATCHED].contains(&essence) => {
                Ok(Cow::Owned(cloudevents::of_binary(head, essence, body)?.into_bytes()))
            }
            _ => Ok(Cow::Borrowed(body)),
        }
    }

    /// The key in the text of a body.
    pub(crate) fn key(self, text: &str) -> Option<Cow<'_, str>> {
        match self {
            Self::SegmentBatch | Self::SegmentMessage(_) => segment::key(text),
            Self::PostHog => posthog::key(text),
            Self::CloudEvents | Self::Otlp | Self::Webhook => None,
        }
    }

    /// The events in the text of a body, in order. An event that can't be read fails alone. `key` is the id of the key or
    /// sender.
    pub(crate) fn events<'t>(
        self,
        head: &Request<'_>,
        essence: &str,
        text: &'t str,
        key: &str,
    ) -> Result<Vec<Result<Foreign<'t>, Rejection>>, Rejection> {
        match self {
            Self::SegmentBatch => segment::batch(text),
            Self::SegmentMessage(kind) => Ok(vec![segment::message(text, Some(kind), None)]),
            Self::PostHog => posthog::events(head, text),
            Self::CloudEvents if essence == cloudevents::BATCHED => cloudevents::batch(text),
            Self::CloudEvents => Ok(vec![cloudevents::event(text)]),
            Self::Otlp => otlp::events(text),
            Self::Webhook => Ok(vec![webhooks::event(head, text, key)]),
        }
    }

    /// Whether a request without events is all right.
    pub(crate) fn may_be_empty(self) -> bool {
        self == Self::Otlp
    }

    /// The rejection of a request as its client understands it.
    pub(crate) fn rejection(self, rejection: Rejection) -> Rejection {
        match self {
            // Its client for Go sends again for ever what is too large.
            Self::CloudEvents if rejection.status_and_code().0 == 413 => Rejection::BadRequest(Box::new(rejection)),
            _ => rejection,
        }
    }

    /// How an answer to these events looks.
    pub(crate) fn style(self, essence: &str) -> Style {
        match self {
            Self::SegmentBatch | Self::SegmentMessage(_) | Self::CloudEvents | Self::Webhook => Style::Counts,
            Self::PostHog => Style::NoTooMany,
            Self::Otlp if essence == PROTOBUF => Style::OtlpProtobuf,
            Self::Otlp => Style::Otlp,
        }
    }
}

impl Settings {
    /// Whether the answer is only for who has a key.
    pub(crate) fn needs_key(self) -> bool {
        self != Self::Flags
    }

    /// The answer to who has this key, which has been checked.
    pub(crate) fn reply(self, key: &str) -> Reply {
        let json = |json: String| Reply::of_json(200, json.into_bytes());
        match self {
            Self::Segment => json(segment::settings(key)),
            Self::RudderStack => json(segment::source_config(key)),
            Self::PostHogScript => Reply::script(posthog::config_script(key).into_bytes()),
            Self::PostHogJson => json(posthog::config(key)),
            Self::Flags => json(posthog::FLAGS.to_owned()),
        }
    }
}
