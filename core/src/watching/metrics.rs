//! Metrics in the memory of a process that lives long, and their text for Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::maintenance::condition::Condition;
use crate::maintenance::folded::Folded;
use crate::maintenance::machine::Task;
use crate::watching::metric::{
    BUCKETS, DEAD_LETTERS, FAILED_TASKS, FOLD_LAG, FOLDED_EVENTS, FULL_STORES, Kind, METRICS, Metric, PAGE_WRITES,
    REQUESTS, UNFOLDED_BYTES, UNFOLDED_EVENTS, UNREADABLE_PAGES,
};
use crate::watching::seen::Seen;

/// What a process has counted since it started. Its size is bounded: labels have few values.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// By metric and values of its labels.
    counters: BTreeMap<(&'static str, [&'static str; 2]), u64>,
    /// By route.
    seconds: BTreeMap<&'static str, Histogram>,
}

#[derive(Clone, Debug, Default)]
struct Histogram {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    micros: u64,
}

impl Metrics {
    /// Counts an answered request.
    pub fn add(&mut self, seen: &Seen) {
        let route = seen.route;
        seen.counts(|metric, label, count| {
            let labels = if metric == REQUESTS { [route, label] } else { [label, ""] };
            self.count(metric, labels, count);
        });
        self.seconds.entry(route).or_default().add(seen.ran.duration);
    }

    /// Counts a fold, or what a compaction could not read.
    pub fn fold(&mut self, folded: &Folded) {
        self.count(FOLDED_EVENTS, ["", ""], folded.events);
        self.count(PAGE_WRITES, ["", ""], folded.pages);
        self.count(UNREADABLE_PAGES, ["", ""], folded.damaged);
    }

    /// Counts a task of maintenance that failed.
    pub fn fail(&mut self, task: &Task) {
        self.count(FAILED_TASKS, [task.name(), ""], 1);
    }

    fn count(&mut self, metric: Metric, labels: [&'static str; 2], count: u64) {
        if count > 0 {
            *self.counters.entry((metric.name, labels)).or_default() += count;
        }
    }
}

impl Histogram {
    fn add(&mut self, duration: Duration) {
        let bounds = BUCKETS.iter().zip(&mut self.buckets);
        if let Some((_, bucket)) = bounds.into_iter().find(|(bound, _)| duration.as_secs_f64() <= **bound) {
            *bucket += 1;
        }
        self.count += 1;
        self.micros = self.micros.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }
}

/// The metrics of a process, if it counts any, and of its stores, in Prometheus's text format 0.0.4.
pub(crate) fn text(metrics: Option<&Metrics>, conditions: &[Condition]) -> String {
    let mut text = String::new();
    let gauges = gauges(conditions);
    for metric in METRICS {
        let mut lines = String::new();
        match metric.kind {
            Kind::Gauge => {}
            Kind::Histogram => metrics.into_iter().for_each(|metrics| histograms(&mut lines, metric, metrics)),
            // It survives the process, because the records do.
            Kind::Counter if metric == DEAD_LETTERS => {}
            Kind::Counter => metrics.into_iter().for_each(|metrics| counters(&mut lines, metric, metrics)),
        }
        for (_, value) in gauges.iter().filter(|(gauge, _)| *gauge == metric) {
            let _infallible = writeln!(lines, "{} {value}", metric.name);
        }
        if !lines.is_empty() {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            let (name, help) = (metric.name, metric.help);
            let _infallible = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{lines}");
        }
    }
    text
}

/// The gauges of all stores together. A store that does not know one adds nothing to it.
fn gauges(conditions: &[Condition]) -> Vec<(Metric, f64)> {
    let sum = |part: fn(&Condition) -> Option<u64>| conditions.iter().filter_map(part).reduce(|one, two| one + two);
    let lag = conditions.iter().filter_map(|condition| condition.waits).max();
    let count = |metric, sum: Option<u64>| sum.map(|sum| (metric, sum as f64));
    let gauges = [
        count(DEAD_LETTERS, sum(|condition| condition.rejected)),
        lag.map(|lag| (FOLD_LAG, lag.as_millis() as f64 / 1000.0)),
        count(UNFOLDED_EVENTS, sum(|condition| condition.unfolded.map(|load| load.events as u64))),
        count(UNFOLDED_BYTES, sum(|condition| condition.unfolded.map(|load| load.bytes as u64))),
        count(FULL_STORES, sum(|condition| Some(u64::from(condition.is_full)))),
    ];
    gauges.into_iter().flatten().collect()
}

fn counters(lines: &mut String, metric: Metric, metrics: &Metrics) {
    if metric.labels.is_empty() {
        let count = metrics.counters.get(&(metric.name, ["", ""])).copied().unwrap_or_default();
        let _infallible = writeln!(lines, "{} {count}", metric.name);
        return;
    }
    for ((_, values), count) in metrics.counters.iter().filter(|((name, _), _)| *name == metric.name) {
        let labels = metric.labels.iter().zip(values).map(|(label, value)| format!("{label}=\"{value}\""));
        let labels = labels.collect::<Vec<_>>().join(",");
        let _infallible = writeln!(lines, "{}{{{labels}}} {count}", metric.name);
    }
}

fn histograms(lines: &mut String, metric: Metric, metrics: &Metrics) {
    let name = metric.name;
    for (route, Histogram { buckets, count, micros }) in &metrics.seconds {
        let mut below = 0;
        for (bound, bucket) in BUCKETS.iter().zip(buckets) {
            below += bucket;
            let _infallible = writeln!(lines, "{name}_bucket{{route=\"{route}\",le=\"{bound}\"}} {below}");
        }
        let sum = *micros as f64 / 1e6;
        let _infallible = write!(
            lines,
            "{name}_bucket{{route=\"{route}\",le=\"+Inf\"}} {count}\n{name}_sum{{route=\"{route}\"}} {sum}\n\
             {name}_count{{route=\"{route}\"}} {count}\n"
        );
    }
}
