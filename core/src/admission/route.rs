//! Maps paths and methods to routes.

use std::borrow::Cow;

use crate::doors::DoorRoute;
use crate::reports::kind::Kind;
use crate::store::export::Moving;
use crate::vocabulary::rejection::Rejection;

/// The path of the health check. It is answered while the process lives, even without a configuration.
pub(crate) const HEALTH: &str = "/healthz";
/// The paths of an operator's routes. They tell nothing to anyone else, not even which methods they take.
pub(crate) const OPERATORS: [&str; 6] =
    [MAINTENANCE, METRICS, EXPORT_EVENTS, EXPORT_ROLLUPS, IMPORT_EVENTS, IMPORT_ROLLUPS];
const MAINTENANCE: &str = "/schedule";
const METRICS: &str = "/metrics";
const EXPORT_EVENTS: &str = "/export/events";
const EXPORT_ROLLUPS: &str = "/export/rollups";
const IMPORT_EVENTS: &str = "/import/events";
const IMPORT_ROLLUPS: &str = "/import/rollups";
const READY: &str = "/readyz";
/// The name of an unknown route, in lines and metrics.
const NONE: &str = "(none)";

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    PostEvent,
    PostBatch,
    /// The id from the path, unchecked.
    OneEvent(&'a str),
    Report(Kind),
    Health,
    /// Whether the service should get requests.
    Ready,
    OpenApi,
    Dashboard,
    /// The script that other sites' pages include.
    Script,
    /// Another protocol's route.
    Door(DoorRoute<'a>),
    /// The maintenance that an operator's cron asks for.
    Maintenance,
    /// The metrics that an operator's Prometheus asks for.
    Metrics,
    /// Data to be moved to another service.
    Export(Moving),
    /// Data of another service.
    Import(Moving),
}

impl<'a> Route<'a> {
    /// The route of a path that [`normal`] has normalized.
    pub(crate) fn of(method: &str, path: &'a str) -> Result<Self, Rejection> {
        let (route, allowed) = Self::at(path).ok_or(Rejection::NoRoute)?;
        if allowed.split(", ").any(|one| one == method) { Ok(route) } else { Err(Rejection::MethodNotAllowed(allowed)) }
    }

    /// The route, and the methods that it takes.
    fn at(path: &'a str) -> Option<(Self, &'static str)> {
        Some(match path {
            "/events" => (Self::PostEvent, "POST"),
            "/events/batch" => (Self::PostBatch, "POST"),
            "/reports/timeseries" => (Self::Report(Kind::Timeseries), GET),
            "/reports/top" => (Self::Report(Kind::Top), GET),
            "/reports/summary" => (Self::Report(Kind::Summary), GET),
            HEALTH => (Self::Health, GET),
            READY => (Self::Ready, GET),
            "/dashboard" => (Self::Dashboard, GET),
            "/i.js" => (Self::Script, GET),
            "/openapi.json" => (Self::OpenApi, GET),
            MAINTENANCE => (Self::Maintenance, "POST"),
            METRICS => (Self::Metrics, GET),
            EXPORT_EVENTS => (Self::Export(Moving::Events), GET),
            EXPORT_ROLLUPS => (Self::Export(Moving::Rollups), GET),
            IMPORT_EVENTS => (Self::Import(Moving::Events), "POST"),
            IMPORT_ROLLUPS => (Self::Import(Moving::Rollups), "POST"),
            _ => match path.strip_prefix("/events/") {
                Some(id) if !id.is_empty() && !id.contains('/') => (Self::OneEvent(id), GET),
                _ => return DoorRoute::of(path).map(|(route, methods)| (Self::Door(route), methods)),
            },
        })
    }

    /// The route of a path as the contract writes it. It never has an id.
    pub(crate) fn name(path: &str) -> &'static str {
        match Route::at(path) {
            None => NONE,
            Some((route, _)) => match route {
                Route::PostEvent => "/events",
                Route::PostBatch => "/events/batch",
                Route::OneEvent(_) => "/events/{eventId}",
                Route::Report(Kind::Timeseries) => "/reports/timeseries",
                Route::Report(Kind::Top) => "/reports/top",
                Route::Report(Kind::Summary) => "/reports/summary",
                Route::Health => HEALTH,
                Route::Ready => READY,
                Route::OpenApi => "/openapi.json",
                Route::Dashboard => "/dashboard",
                Route::Script => "/i.js",
                Route::Door(door) => door.name(),
                Route::Maintenance => MAINTENANCE,
                Route::Metrics => METRICS,
                Route::Export(Moving::Events) => EXPORT_EVENTS,
                Route::Export(Moving::Rollups) => EXPORT_ROLLUPS,
                Route::Import(Moving::Events) => IMPORT_EVENTS,
                Route::Import(Moving::Rollups) => IMPORT_ROLLUPS,
            },
        }
    }
}

/// The methods of a read-only route, as the header `allow` lists them.
const GET: &str = "GET, HEAD";

/// The path with escaped unreserved characters unescaped: both spellings are the same path (RFC 3986, 6.2.2.2). Other
/// escapes stay as they are.
pub(crate) fn normal(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut normal = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        normal.push_str(before);
        let byte = after.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match byte.and_then(|digits| u8::from_str_radix(digits, 16).ok()).map(char::from) {
            Some(unreserved) if unreserved.is_ascii_alphanumeric() || "-._~".contains(unreserved) => {
                normal.push(unreserved);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                normal.push('%');
                rest = after;
            }
        }
    }
    normal.push_str(rest);
    Cow::Owned(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_shows_no_key() {
        for (path, expected) in [
            ("/v1/projects/pk_0123456789/settings", "/v1/projects/{key}/settings"),
            ("/array/pk_0123456789/config.js", "/array/{key}/config.js"),
            ("/v1/t", "/v1/{type}"),
            ("/i.js", "/i.js"),
        ] {
            assert_eq!(Route::name(path), expected);
        }
    }

    #[test]
    fn only_escapes_of_unreserved_characters_are_read_and_only_once() {
        for (path, expected) in [
            ("/events", "/events"),
            ("/%65vents", "/events"),
            ("/%65%76%65%6e%74%73/evt%5F%30%7E%2d%2E", "/events/evt_0~-."),
            ("/events%2Fbatch", "/events%2Fbatch"),
            ("/a%2fb%20%c3%A9", "/a%2fb%20%c3%A9"),
            ("/%2565vents", "/%2565vents"),
            ("/%", "/%"),
            ("/%6", "/%6"),
            ("/%%65", "/%e"),
            ("/%+5", "/%+5"),
            ("/%é5", "/%é5"),
        ] {
            assert_eq!(normal(path), expected, "{path}");
        }
    }
}
