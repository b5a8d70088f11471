//! Which request asks for what.

use crate::refusal::Refusal;
use crate::report::Kind;

/// The path of what is answered while the process lives, even where it has no configuration.
pub(crate) const HEALTH: &str = "/healthz";
/// The path of an operator's route, which tells nothing to whoever is none: not even which methods it takes.
pub(crate) const SCHEDULE: &str = "/schedule";

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    PostEvent,
    PostBatch,
    /// The id as the path has it, unchecked.
    OneEvent(&'a str),
    Report(Kind),
    Health,
    OpenApi,
    Dashboard,
    /// What an operator's cron asks for.
    Schedule,
}

impl<'a> Route<'a> {
    pub(crate) fn of(method: &str, path: &'a str) -> Result<Self, Refusal> {
        let (route, taken) = match path {
            "/events" => (Self::PostEvent, "POST"),
            "/events/batch" => (Self::PostBatch, "POST"),
            "/reports/timeseries" => (Self::Report(Kind::Timeseries), "GET"),
            "/reports/top" => (Self::Report(Kind::Top), "GET"),
            "/reports/summary" => (Self::Report(Kind::Summary), "GET"),
            HEALTH => (Self::Health, "GET"),
            "/dashboard" => (Self::Dashboard, "GET"),
            "/openapi.json" => (Self::OpenApi, "GET"),
            SCHEDULE => (Self::Schedule, "POST"),
            _ => match path.strip_prefix("/events/") {
                Some(id) if !id.is_empty() && !id.contains('/') => (Self::OneEvent(id), "GET"),
                _ => return Err(Refusal::NoRoute),
            },
        };
        if method == taken { Ok(route) } else { Err(Refusal::MethodNotAllowed(taken)) }
    }
}
