//! The list of all metrics.

/// A metric, as `/metrics`, lines, dashboards and alert rules name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// The name in Prometheus's way. In a line, a label's value follows it after a dot.
    pub name: &'static str,
    /// What it says, in one sentence.
    pub help: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
}

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, while the process lives. In a line it is what the line adds.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Durations in seconds, counted by [`BUCKETS`]. In a line it is one duration.
    Histogram,
}

/// The upper bounds of a histogram's buckets, in seconds.
pub const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, help, kind: Kind::Counter, labels }
}

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric { name, help, kind: Kind::Gauge, labels: &[] }
}

pub(crate) const REQUESTS: Metric = counter(
    "isotherm_requests_total",
    &["route", "class"],
    "Requests that were answered, by route and class of status.",
);
pub(crate) const SECONDS: Metric = Metric {
    name: "isotherm_request_seconds",
    help: "How long answers took, from the head of the request on.",
    kind: Kind::Histogram,
    labels: &["route"],
};
pub(crate) const EVENTS: Metric = counter(
    "isotherm_events_total",
    &["outcome"],
    "Events that were sent, by outcome: accepted, duplicate, invalid, retry.",
);
pub(crate) const REJECTIONS: Metric =
    counter("isotherm_rejections_total", &["code"], "Rejected requests, and rejected events of batches, by code.");
pub(crate) const LIMITS_MET: Metric = counter(
    "isotherm_limits_met_total",
    &["limit"],
    "Answers in which a limit showed: overloaded, rate_limited, quota_exceeded, report_too_large, report_capped, report_incomplete.",
);
pub(crate) const COLD_STARTS: Metric =
    counter("isotherm_cold_starts_total", &[], "Requests that were the first of their process, isolate or instance.");
pub(crate) const FOLDED_EVENTS: Metric =
    counter("isotherm_folded_events_total", &[], "Events that were folded into rollups.");
pub(crate) const PAGE_WRITES: Metric =
    counter("isotherm_page_writes_total", &[], "Pages of rollups that folds have written.");
pub(crate) const DEAD_LETTERS: Metric =
    counter("isotherm_dead_letters_total", &[], "Stored records that are no events, and so are in no report.");
pub(crate) const UNREADABLE_PAGES: Metric = counter(
    "isotherm_unreadable_pages_total",
    &[],
    "Stored pages of rollups that folds and compactions could not read. Reports of them are incomplete.",
);
pub(crate) const FAILED_TASKS: Metric =
    counter("isotherm_failed_tasks_total", &["task"], "Folds and other maintenance that failed, and are tried again.");
pub(crate) const FOLD_LAG: Metric =
    gauge("isotherm_fold_lag_seconds", "How long the oldest event that is not folded has waited; 0 if there is none.");
pub(crate) const UNFOLDED_EVENTS: Metric = gauge("isotherm_unfolded_events", "Events that are not folded yet.");
pub(crate) const UNFOLDED_BYTES: Metric =
    gauge("isotherm_unfolded_bytes", "Bytes of the events that are not folded yet.");
pub(crate) const FULL_STORES: Metric =
    gauge("isotherm_full_stores", "Stores that refuse new events, because too many wait to be folded.");

/// All metrics.
pub const METRICS: [Metric; 15] = [
    REQUESTS,
    SECONDS,
    EVENTS,
    REJECTIONS,
    LIMITS_MET,
    COLD_STARTS,
    FOLDED_EVENTS,
    PAGE_WRITES,
    DEAD_LETTERS,
    UNREADABLE_PAGES,
    FAILED_TASKS,
    FOLD_LAG,
    UNFOLDED_EVENTS,
    UNFOLDED_BYTES,
    FULL_STORES,
];

impl Metric {
    /// The name in a line, where a label's value follows the name: `isotherm_events_total.accepted`.
    pub fn in_line(&self, label: &str) -> String {
        if label.is_empty() { self.name.to_owned() } else { format!("{}.{label}", self.name) }
    }
}
