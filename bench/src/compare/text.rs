//! The comparison as Markdown and as CSV: the rows of the table for a pull request, and the figures for a spreadsheet.

use crate::compare::deployed::Deployed;
use crate::compare::page::Kind;
use crate::compare::result::{Comparison, Measured};
use crate::compare::rows::{self, Cell, Row, Section};
use crate::compare::table;
use crate::compare::verdict::Verdict;
use crate::compare::words::{self, Quantity, Unit, capital, grouped, multiple};
use crate::compare::{baseline, guarantees};

/// The comparison as GitHub's Markdown.
pub(super) fn markdown(result: &Comparison) -> String {
    let [what, r#where, when] = table::head(result);
    let mut text = format!("## {what}\n\n");
    let platforms = || result.platforms.iter().map(|measured| words::title(measured.platform).to_owned());
    for line in Verdict::of(result).lines() {
        text += &format!("- {}\n", escaped(&line));
    }
    for Section { title, conditions, rows, .. } in rows::sections(result).iter().chain([&rows::floors(result)]) {
        text += &format!("\n### {}\n\n{}\n\n{}", capital(title), escaped(conditions), heading(platforms()));
        text += &rows.iter().map(row).collect::<String>();
    }
    if let Some(Section { title, conditions, rows, .. }) = baseline::section(result) {
        let names = rows.iter().take(1).flat_map(|row| &row.cells).map(|cell| words::named(&cell.name));
        text += &format!("\n### {}\n\n{}\n\n{}", capital(title), escaped(&conditions), heading(names));
        text += &rows.iter().map(row).collect::<String>();
        text += &baseline::NOTES.map(|note| format!("\n{}\n", escaped(note))).concat();
    }
    text += &format!("\n### Answers\n\n{}", heading(platforms()));
    let mut add = |label: &str, of: &dyn Fn(&Measured) -> String| {
        let cells: Vec<String> = result.platforms.iter().map(of).collect();
        text += &format!("| {label} | {} |\n", cells.join(" | "));
    };
    let events = grouped(result.workload.events as u64);
    add("errors", &|measured| grouped(measured.errors));
    add("events sent", &|measured| grouped(measured.replay.sent));
    add("there at the end", &|measured| format!("{} of {events}", grouped(measured.replay.verified)));
    if let Some(Section { title, conditions, rows, .. }) = rows::deployments(result) {
        let names = platforms().chain(result.deployments.iter().map(|deployed| deployed.name.clone()));
        text += &format!("\n### {}\n\n{}\n\n{}", capital(title), escaped(&conditions), heading(names));
        text += &rows.iter().map(row).collect::<String>();
        for Deployed { name, url, errors, replay, .. } in &result.deployments {
            let there = grouped(replay.verified);
            text += &format!(
                "\n{}: {}, {} errors, {there} of {events} events there at the end.\n",
                escaped(name),
                escaped(url),
                grouped(*errors)
            );
        }
    }
    text += &format!("\n### Guarantees\n\n{}", guarantees::markdown());
    text += &format!(
        "\nValue (95 % interval) and multiple of the floor's figure; **bold**: best of its row, or tied with it. Figures are measured.\n\n\
         {} · {}\n",
        escaped(&r#where),
        escaped(&when)
    );
    text
}

fn heading(names: impl Iterator<Item = String>) -> String {
    let (heads, rules): (String, String) = names.map(|name| (format!(" {name} |"), " ---: |")).unzip();
    format!("| |{heads}\n| --- |{rules}\n")
}

fn row(Row { label, unit, cells, .. }: &Row) -> String {
    let cell = |Cell { estimate, ratio, is_best, .. }: &Cell| {
        let Some(estimate) = estimate else { return " – |".to_owned() };
        let ratio = ratio.as_ref().map_or_else(String::new, |ratio| format!(" {}×", multiple(ratio.value)));
        let bold = if *is_best { "**" } else { "" };
        format!(" {bold}{}{bold}{ratio} |", Quantity::of(estimate, *unit).with_interval())
    };
    format!("| {} |{}\n", escaped(label), cells.iter().map(cell).collect::<String>())
}

/// Escapes text for a cell of a Markdown table.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;").replace('\n', " ")
}

/// CSV with one line for each figure of each platform. It follows RFC 4180, but with plain line feeds.
pub(super) fn csv(result: &Comparison) -> String {
    let mut text = "platform,figure,unit,n,value,low,high,floor_ratio,kind\n".to_owned();
    let sections = rows::sections(result).into_iter().filter(|section| section.id != "reports");
    let mut rows: Vec<Row> = sections.flat_map(|section| section.rows).collect();
    rows.extend(rows::routes(result));
    rows.extend(rows::report_quantiles(result));
    rows.extend(rows::floors(result).rows);
    let of_article = baseline::section(result).into_iter().flat_map(|section| section.rows);
    // The costs follow below, by service.
    rows.extend(of_article.filter(|row| row.figure != baseline::COST));
    let mut deployed = rows::deployments(result).map_or_else(Vec::new, |section| section.rows);
    for row in &mut deployed {
        // The platforms' cells are already in other rows.
        row.cells.drain(..result.platforms.len());
    }
    for Row { figure, unit, cells, .. } in rows.iter().chain(&deployed) {
        for Cell { name, estimate, n, ratio, .. } in cells {
            let Some(estimate) = estimate else { continue };
            let ratio = ratio.map(|ratio| ratio.value.to_string()).unwrap_or_default();
            let numbers = [estimate.value, estimate.low, estimate.high].map(|value| value.to_string()).join(",");
            let kind = Kind::Measured.word();
            text += &format!("{},{},{},{n},{numbers},{ratio},{kind}\n", quoted(name), quoted(figure), unit.name());
        }
    }
    let of_article = result.article.iter().flat_map(|article| [&article.function.cost, &article.isotherm.cost]);
    let kind = result.cost.as_ref().map_or(Kind::Modelled, |cost| cost.kind).word();
    for line in result.cost.iter().flat_map(|cost| &cost.lines).chain(of_article.flatten()) {
        for item in &line.items {
            let (figure, usd) = (format!("{}:{}", baseline::COST, item.service), item.usd);
            text += &format!(
                "{},{},{},1,{usd},{usd},{usd},,{kind}\n",
                quoted(&line.name),
                quoted(&figure),
                Unit::Usd.name()
            );
        }
        let total = [line.total.value, line.total.low, line.total.high].map(|value| value.to_string()).join(",");
        text += &format!("{},{},{},1,{total},,{kind}\n", quoted(&line.name), baseline::COST, Unit::Usd.name());
    }
    text
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::result::tests::{priced, sample};

    #[test]
    fn markdown_has_a_table_with_all_platforms_for_each_section() {
        let text = markdown(&sample());
        let tables = text.matches("\n| | Lambda | Workers | Spin | native |\n").count();
        assert_eq!(tables, rows::sections(&sample()).len() + 3, "{text}");
        let (before, rest) = text.split_once("\n| | article's function | Lambda, single events |\n").unwrap();
        let (beside, after) = rest.split_once("\n### ").unwrap();
        for (part, columns) in [(before, 6), (beside, 4), (after, 6)] {
            for line in part.lines().filter(|line| line.starts_with('|')) {
                assert_eq!(line.replace("\\|", "").matches('|').count(), columns, "{line}");
            }
        }
        assert!(
            beside.contains("\n| ready p50 | 3.70\u{a0}ms (3.63–3.81) 3.00× | **1.23\u{a0}ms (1.21–1.27)** |"),
            "{beside}"
        );
        assert!(text.contains("| p99 | **864\u{a0}µs (847–890)** 1.00× |"), "{text}");
    }

    #[test]
    fn csv_has_a_line_for_each_figure() {
        let mut result = priced();
        result.platforms[0].reports.latency =
            [("day, \"all\"".to_owned(), result.platforms[0].reports.freshness.clone())].into();
        result.workload.workload.reports.queries = [("day, \"all\"".to_owned(), String::new())].into();
        let text = csv(&result);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "platform,figure,unit,n,value,low,high,floor_ratio,kind");
        let has = |start: &str, end: &str| lines.iter().any(|line| line.starts_with(start) && line.ends_with(end));
        assert!(has("lambda,cold_init_p50,ms,2,1.234,1.209", ",123.4,measured"), "{text}");
        assert!(has("lambda,\"report:day, \"\"all\"\"_p90\",ms,2,", ",,measured"), "{text}");
        assert!(has("native,warm:GET /events/{eventId}_p99,ms,", ",,measured"), "{text}");
        assert!(has("spin,floor_requests_per_second,1/s,1,", ",,measured"), "{text}");
        assert!(has("workers,cost_per_million_events,USD,1,0.9,0.85,0.95", ",,modelled"), "{text}");
        assert!(has("article's function,cold_init_p50,ms,2,3.70", ",3,measured"), "{text}");
        assert!(has("\"lambda, single events\",cost_per_million_events,USD,1,3.5,", ",,modelled"), "{text}");
        let fields = |line: &str| line.split('"').step_by(2).map(|part| part.matches(',').count()).sum::<usize>();
        assert!(lines.iter().all(|line| fields(line) == 8), "{text}");
    }
}
