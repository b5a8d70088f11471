//! The figures of a result by name.

use crate::results::parts::{Figures, Reports};
use crate::stats::Estimate;

/// The compared figures, and whether more is better.
pub(crate) const COMPARED: &[(&str, bool)] = &[
    ("artifact_raw", false),
    ("artifact_gzip", false),
    ("cold_init_p50", false),
    ("cold_init_p90", false),
    ("cold_init_p99", false),
    ("cold_first_response_p50", false),
    ("cold_first_response_p90", false),
    ("cold_first_response_p99", false),
    ("warm_p50", false),
    ("warm_p90", false),
    ("warm_p99", false),
    ("requests_per_second", true),
    ("events_per_second", true),
    ("cpu_ms_per_request", false),
    ("memory_peak_rss", false),
];

/// Whether more of a compared figure is better.
pub(crate) fn more_is_better(name: &str) -> bool {
    COMPARED.iter().any(|(figure, more_is_better)| *figure == name && *more_is_better)
}

/// The estimate of a figure that was counted or computed, not sampled.
pub(crate) fn certain(value: f64) -> Estimate {
    Estimate { value, low: value, high: value }
}

/// Whether a figure is the same in every run of the same artifact.
pub(crate) fn is_counted(name: &str) -> bool {
    name.starts_with("artifact_")
}

/// A compared figure by its name.
pub(crate) fn estimate(figures: &Figures, name: &str) -> Option<Estimate> {
    let certain = |bytes: u64| certain(bytes as f64);
    let Figures { artifact, cold, warm, throughput, cpu, memory, .. } = figures;
    Some(match name {
        "artifact_raw" => certain(artifact.raw_bytes),
        "artifact_gzip" => certain(artifact.gzip_bytes),
        "cold_init_p50" => cold.init.p50,
        "cold_init_p90" => cold.init.p90,
        "cold_init_p99" => cold.init.p99,
        "cold_first_response_p50" => cold.first_response.p50,
        "cold_first_response_p90" => cold.first_response.p90,
        "cold_first_response_p99" => cold.first_response.p99,
        "warm_p50" => warm.latency.p50,
        "warm_p90" => warm.latency.p90,
        "warm_p99" => warm.latency.p99,
        "requests_per_second" => throughput.requests_per_second,
        "events_per_second" => throughput.events_per_second,
        "cpu_ms_per_request" => cpu.ms_per_request,
        "memory_peak_rss" => memory.peak_rss_over_runs.unwrap_or_else(|| certain(memory.peak_rss_bytes)),
        _ => return None,
    })
}

/// The medians of the reports by name, as `report:<name>_p50` and `freshness_p50`.
pub(crate) fn report_medians(reports: &Reports) -> impl Iterator<Item = (String, Estimate)> {
    let latency = reports.latency.iter().map(|(name, distribution)| (format!("report:{name}_p50"), distribution.p50));
    latency.chain([("freshness_p50".to_owned(), reports.freshness.p50)])
}
