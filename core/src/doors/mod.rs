//! The doors: requests of clients that exist, read as Isotherm's events. A door is one file, which maps the body of its
//! clients' requests. `docs/doors.md` has the mappings as tables.

pub(crate) mod parts;

mod segment;

use std::borrow::Cow;

use crate::admission::event::Foreign;
use crate::store::answer::Style;
use crate::vocabulary::rejection::Rejection;

/// The methods of a route that takes events.
pub(crate) const POST: &str = "POST";
/// The methods of a route that is read.
const GET: &str = "GET, HEAD";

/// What a request asks of a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DoorRoute<'a> {
    /// Keep these events.
    Deliver(Dialect),
    /// Answer what a client asks for before it sends events.
    Settings(Settings, &'a str),
}

/// How a client describes its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Segment's and RudderStack's, in batches.
    SegmentBatch,
    /// Segment's and RudderStack's single message of this type.
    SegmentMessage(&'static str),
}

/// What a client asks for before it sends events. A key stands beside it, in the path or the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settings {
    /// What analytics.js loads first.
    Segment,
}

impl<'a> DoorRoute<'a> {
    /// The route of a normalized path, with the methods that it takes.
    pub(crate) fn of(path: &'a str) -> Option<(Self, &'static str)> {
        if let Some(key) = path.strip_prefix("/v1/projects/").and_then(|rest| rest.strip_suffix("/settings")) {
            let is_key = !key.is_empty() && !key.contains('/');
            return is_key.then_some((Self::Settings(Settings::Segment, key), GET));
        }
        let dialect = match path {
            "/v1/batch" | "/v1/b" => Dialect::SegmentBatch,
            "/v1/track" | "/v1/t" => Dialect::SegmentMessage(segment::TRACK),
            "/v1/page" | "/v1/p" => Dialect::SegmentMessage(segment::PAGE),
            "/v1/screen" | "/v1/s" => Dialect::SegmentMessage(segment::SCREEN),
            "/v1/identify" | "/v1/i" => Dialect::SegmentMessage(segment::IDENTIFY),
            "/v1/group" | "/v1/g" => Dialect::SegmentMessage(segment::GROUP),
            "/v1/alias" | "/v1/a" => Dialect::SegmentMessage(segment::ALIAS),
            _ => return None,
        };
        Some((Self::Deliver(dialect), POST))
    }
}

impl Dialect {
    /// The key in the text of a body.
    pub(crate) fn key(self, text: &str) -> Option<Cow<'_, str>> {
        match self {
            Self::SegmentBatch | Self::SegmentMessage(_) => segment::key(text),
        }
    }

    /// The events in the text of a body, in order. An event that can't be read fails alone.
    pub(crate) fn events(self, text: &str) -> Result<Vec<Result<Foreign<'_>, Rejection>>, Rejection> {
        match self {
            Self::SegmentBatch => segment::batch(text),
            Self::SegmentMessage(kind) => Ok(vec![segment::message(text, Some(kind), None)]),
        }
    }

    /// How an answer to these events looks.
    pub(crate) fn style(self) -> Style {
        match self {
            Self::SegmentBatch | Self::SegmentMessage(_) => Style::Counts,
        }
    }
}

impl Settings {
    /// The answer's JSON. `key` has been checked.
    pub(crate) fn json(self, key: &str) -> String {
        match self {
            Self::Segment => segment::settings(key),
        }
    }
}
