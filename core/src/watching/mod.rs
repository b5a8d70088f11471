//! The sixth room: what an operator sees of the service. It is the same on every platform.
//!
//! ```text
//! request, stamp, reply, how long it took ─▶ Service::seen ─▶ Seen ─┬─▶ Service::line   one line of JSON
//!                                                                   └─▶ Metrics         for processes that live long
//! a fold ─▶ Folded ─▶ likewise
//! the state of a store ─▶ Condition ─▶ ReadyPlan, MetricsPlan ─▶ Reply
//! ```
//!
//! `metric` lists all metrics. Names in lines, in `/metrics` and on dashboards come from there.

pub(crate) mod metric;
pub(crate) mod trace;

pub(crate) mod level;
pub(crate) mod line;
pub(crate) mod metrics;
pub(crate) mod plan;
pub(crate) mod seen;
