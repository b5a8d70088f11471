//! What is to be known of one answered request.

use std::time::Duration;

use crate::admission::request::Request;
use crate::admission::route::{self, Route};
use crate::vocabulary::facts::Facts;
use crate::vocabulary::reply::Reply;
use crate::vocabulary::time::Stamp;
use crate::watching::level::Level;
use crate::watching::metric::{COLD_STARTS, EVENTS, LIMITS_MET, Metric, REJECTIONS, REQUESTS};
use crate::watching::trace::{TRACEPARENT, Trace};

/// What only the host knows of a request that is answered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ran {
    /// How long the answer took, from the request's head on.
    pub duration: Duration,
    /// Whether it is the first request of this process, isolate or instance.
    pub is_cold: bool,
}

/// What is to be known of one answered request: for a line, and for metrics.
#[derive(Clone, Debug)]
pub struct Seen {
    pub(crate) stamp: Stamp,
    pub(crate) trace: Trace,
    pub(crate) route: &'static str,
    pub(crate) status: u16,
    pub(crate) facts: Facts,
    pub(crate) ran: Ran,
}

impl Seen {
    /// Looks at a request and its reply. If the request names a trace, the reply names it too.
    pub(crate) fn of(request: &Request<'_>, stamp: Stamp, reply: &mut Reply, ran: Ran) -> Self {
        let trace = Trace::of(request, stamp);
        if trace.is_named() {
            reply.headers.push((TRACEPARENT, trace.to_string()));
        }
        let (route, status) = (Route::name(&route::normal(request.path)), reply.status);
        Self { stamp, trace, route, status, facts: std::mem::take(&mut reply.facts), ran }
    }

    /// How grave it is.
    pub(crate) fn level(&self) -> Level {
        match self.status {
            500.. => Level::Error,
            400.. => Level::Warn,
            _ if self.facts.is_incomplete => Level::Warn,
            _ => Level::Info,
        }
    }

    /// The first digit of the status: `2xx`.
    pub(crate) fn class(&self) -> &'static str {
        match self.status {
            ..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            500.. => "5xx",
        }
    }

    /// Hands over what the request adds to each counter, with the label's value. A counter of requests has the class as
    /// its label here.
    pub(crate) fn counts(&self, mut add: impl FnMut(Metric, &'static str, u64)) {
        add(REQUESTS, self.class(), 1);
        for (outcome, count) in self.facts.events.by_name() {
            add(EVENTS, outcome, count);
        }
        for (code, count) in self.facts.code.iter().map(|code| (*code, 1)) {
            add(REJECTIONS, code, count);
        }
        for (code, count) in &self.facts.rejected {
            add(REJECTIONS, code, *count);
        }
        let is = |code| self.facts.code == Some(code);
        let limits = [
            ("overloaded", is("overloaded")),
            ("rate_limited", is("rate_limited")),
            ("quota_exceeded", is("quota_exceeded")),
            ("report_too_large", is("report_too_large")),
            ("report_capped", self.facts.is_capped),
            ("report_incomplete", self.facts.is_incomplete),
        ];
        for (limit, is_met) in limits {
            add(LIMITS_MET, limit, u64::from(is_met));
        }
        add(COLD_STARTS, "", u64::from(self.ran.is_cold));
    }
}
