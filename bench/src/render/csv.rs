//! The figures for a spreadsheet: one line for each figure of each platform, as RFC 4180 writes them.

use anyhow::{Context, Result};

use crate::render::baseline;
use crate::render::rows::{self, Row};
use crate::results::Comparison;
use crate::results::cost::Kind;
use crate::results::figure::certain;
use crate::results::scope::{Phase, inside};
use crate::stats::Estimate;
use crate::words::Unit;

const HEADS: [&str; 12] = [
    "platform",
    "figure",
    "unit",
    "n",
    "value",
    "low",
    "high",
    "floor_ratio",
    "added",
    "scope",
    "equal_scope_best",
    "kind",
];

/// The comparison as CSV.
///
/// # Errors
/// Never fails: memory takes every line.
pub(crate) fn render(result: &Comparison) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(HEADS)?;
    for row in rows(result) {
        for cell in &row.cells {
            let Some(Estimate { value, low, high }) = cell.estimate else { continue };
            let measured = result.platforms.iter().find(|measured| measured.platform.name() == cell.name);
            let scope = Phase::of(&row.figure).and_then(|phase| measured?.scopes.get(&phase));
            let number = |of: Option<Estimate>| of.map(|of| of.value.to_string()).unwrap_or_default();
            writer.write_record([
                cell.name.clone(),
                row.figure.clone(),
                row.unit.name().to_owned(),
                cell.n.to_string(),
                value.to_string(),
                low.to_string(),
                high.to_string(),
                number(cell.ratio),
                number(cell.added),
                scope.map(inside).unwrap_or_default(),
                cell.is_best.to_string(),
                cell.kind.word().to_owned(),
            ])?;
        }
    }
    let baselines = result.baseline.iter().flat_map(|of| [&of.function.cost, &of.isotherm.cost]).flatten();
    let kind = result.cost.as_ref().map_or(Kind::Modelled, |cost| cost.kind).word();
    for line in result.cost.iter().flat_map(|cost| &cost.lines).chain(baselines) {
        let items = line.items.iter().map(|item| (format!("{}:{}", baseline::COST, item.service), certain(item.usd)));
        for (figure, Estimate { value, low, high }) in items.chain([(baseline::COST.to_owned(), line.total)]) {
            let [value, low, high] = [value, low, high].map(|value| value.to_string());
            let usd = Unit::Usd.name();
            writer.write_record([&line.name, &figure, usd, "1", &value, &low, &high, "", "", "", "false", kind])?;
        }
    }
    String::from_utf8(writer.into_inner().context("cannot write CSV")?).context("cannot write CSV")
}

/// Every row, each figure once.
pub(crate) fn rows(result: &Comparison) -> Vec<Row> {
    let sections = rows::sections(result).into_iter().filter(|section| section.id != "reports");
    let mut rows: Vec<Row> = sections.flat_map(|section| section.rows).collect();
    rows.extend(rows::routes(result));
    rows.extend(rows::report_quantiles(result));
    rows.extend(rows::floors(result).rows);
    let of_baseline = baseline::section(result).into_iter().flat_map(|section| section.rows);
    // Costs follow by service.
    rows.extend(of_baseline.filter(|row| row.figure != baseline::COST));
    let mut deployed = rows::deployments(result).map_or_else(Vec::new, |section| section.rows);
    for row in &mut deployed {
        // The platforms' cells are already in other rows.
        row.cells.drain(..result.platforms.len());
    }
    rows.extend(deployed);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::priced;

    #[test]
    fn csv_has_a_line_for_each_figure() {
        let mut result = priced();
        result.platforms[0].reports.latency =
            [("day, \"all\"".to_owned(), result.platforms[0].reports.freshness.clone())].into();
        result.workload.workload.reports.queries = [("day, \"all\"".to_owned(), String::new())].into();
        let text = render(&result).unwrap();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        assert_eq!(reader.headers().unwrap(), HEADS.as_slice());
        let lines: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        let has = |platform: &str, figure: &str, at: usize, expect: &str| {
            let line = lines.iter().find(|line| &line[0] == platform && &line[1] == figure);
            assert_eq!(line.map(|line| line[at].to_owned()).as_deref(), Some(expect), "{platform} {figure}\n{text}");
        };
        has("lambda", "cold_init_p50", 7, "123.4");
        has("lambda", "cold_init_p50", 9, "process start");
        has("lambda", "report:day, \"all\"_p90", 2, "ms");
        has("native", "warm:GET /events/{eventId}_p99", 11, "measured");
        has("spin", "floor_requests_per_second", 2, "1/s");
        has("lambda", "cold_init_expected", 11, "modelled");
        has("workers", "cold_init_published", 11, "published");
        has("workers", "cost_per_million_events", 4, "0.9");
        has("baseline", "cold_init_p50", 7, "3");
        has("lambda, single events", "cost_per_million_events", 11, "modelled");
        has("workers", "warm_p50", 10, "true");
        has("lambda", "warm_p50", 10, "false");
    }
}
