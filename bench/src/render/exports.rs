//! Results where teams look: Bencher's JSON, and OpenMetrics text for Prometheus and what reads its format.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::json;

use crate::render::csv::rows;
use crate::render::rows::{Cell, Row};
use crate::results::Comparison;
use crate::stats::Estimate;
use crate::words::Unit;

/// Bencher Metric Format: for each platform, each figure with its value and interval. Times are in nanoseconds, which is
/// Bencher's own unit of `latency`.
///
/// # Errors
/// Never fails: all of it is text and numbers.
pub(crate) fn bencher(result: &Comparison) -> Result<String> {
    let mut benchmarks: BTreeMap<String, BTreeMap<&str, serde_json::Value>> = BTreeMap::new();
    for (row, cell, Estimate { value, low, high }) in figures(result) {
        let (measure, factor) = match row.unit {
            Unit::Ms => ("latency", 1e6),
            Unit::PerSecond => ("throughput", 1.0),
            Unit::Bytes => ("file-size", 1.0),
            Unit::Usd => ("cost", 1.0),
        };
        let metric = json!({"value": value * factor, "lower_value": low * factor, "upper_value": high * factor});
        benchmarks.entry(format!("{}/{}", cell.name, row.figure)).or_default().insert(measure, metric);
    }
    Ok(serde_json::to_string_pretty(&benchmarks)? + "\n")
}

/// OpenMetrics text: a family for each unit, in base units, with a sample for each figure and for both ends of its
/// interval.
pub(crate) fn open_metrics(result: &Comparison) -> String {
    const FAMILIES: [(Unit, &str, &str, f64); 4] = [
        (Unit::Ms, "isotherm_time_seconds", "seconds", 1e-3),
        (Unit::PerSecond, "isotherm_rate_per_second", "per_second", 1.0),
        (Unit::Bytes, "isotherm_size_bytes", "bytes", 1.0),
        (Unit::Usd, "isotherm_cost_usd", "usd", 1.0),
    ];
    let figures: Vec<_> = figures(result).collect();
    let time = result.machine.time.parse::<jiff::Timestamp>().map_or(0, |time| time.as_second());
    let mut text = String::new();
    for (unit, family, unit_name, factor) in FAMILIES {
        let of: Vec<_> = figures.iter().filter(|(row, ..)| row.unit == unit).collect();
        if of.is_empty() {
            continue;
        }
        text += &format!("# TYPE {family} gauge\n# UNIT {family} {unit_name}\n");
        text += &format!("# HELP {family} Figures of isotherm compare, with both ends of their 95 % intervals.\n");
        for (row, cell, Estimate { value, low, high }) in of {
            for (end, value) in [("value", value), ("low", low), ("high", high)] {
                let labels =
                    [("platform", &*cell.name), ("figure", &row.figure), ("of", end), ("kind", cell.kind.word())]
                        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
                        .join(",");
                text += &format!("{family}{{{labels}}} {} {time}\n", value * factor);
            }
        }
    }
    text + "# EOF\n"
}

/// Every figure that has a value, each once.
fn figures(result: &Comparison) -> impl Iterator<Item = (Row, Cell, Estimate)> {
    rows(result).into_iter().flat_map(|row| {
        let cells: Vec<_> = row.cells.iter().filter_map(|cell| Some((cell.clone(), cell.estimate?))).collect();
        cells.into_iter().map(move |(cell, estimate)| (row.clone(), cell, estimate))
    })
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::sample;

    #[test]
    fn bencher_gets_values_with_their_intervals() {
        let text = bencher(&sample()).unwrap();
        let read: BTreeMap<String, BTreeMap<String, BTreeMap<String, f64>>> = serde_json::from_str(&text).unwrap();
        let warm = &read["lambda/warm_p50"]["latency"];
        assert!((warm["value"] - 432_100.0).abs() < 1e-6, "{warm:?}");
        assert!(warm["lower_value"] < warm["value"] && warm["value"] < warm["upper_value"]);
        assert!(read["workers/requests_per_second"].contains_key("throughput"));
        assert!(read["native/floor_artifact_gzip"].contains_key("file-size"));
    }

    #[test]
    fn open_metrics_have_a_family_for_each_unit_and_an_end() {
        let text = open_metrics(&sample());
        assert!(text.ends_with("\n# EOF\n") && text.starts_with("# TYPE isotherm_time_seconds gauge\n"));
        assert_eq!(text.matches("# TYPE ").count(), 3);
        let warm =
            "isotherm_time_seconds{platform=\"lambda\",figure=\"warm_p50\",of=\"value\",kind=\"measured\"} 0.0004321";
        assert!(text.contains(warm), "{text}");
        let mut families: Vec<&str> = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let family = line.split('{').next().unwrap();
            let fields: Vec<&str> = line.rsplitn(3, ' ').collect();
            assert!(fields[0].parse::<i64>().is_ok() && fields[1].parse::<f64>().is_ok(), "{line}");
            if families.last() != Some(&family) {
                assert!(!families.contains(&family), "a family's samples stand together");
                families.push(family);
            }
        }
        assert_eq!(escaped("a\"b\\c\n"), "a\\\"b\\\\c\\n");
    }
}
