//! The text of the report page as HTML. It is there with or without the page's script, which draws the charts beside
//! it.

use isotherm_hosts::Platform;

use crate::compare::page::Kind;
use crate::compare::result::{Comparison, Replay};
use crate::compare::rows::{self, Row, Section};
use crate::compare::verdict::{Basis, Sentence, Verdict};
use crate::compare::words::{self, Quantity, Unit, capital, grouped, multiple};
use crate::compare::{baseline, guarantees, html_cost, table};
use crate::stats::Estimate;

/// Escapes text for HTML.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A section of the page.
pub(super) struct Part {
    /// Its anchor.
    pub(super) id: &'static str,
    /// The text of the link to it.
    pub(super) link: &'static str,
    pub(super) title: &'static str,
    pub(super) text: String,
}

/// The whole text of the page.
pub(super) fn body(result: &Comparison, verdict: &Verdict) -> String {
    let sections = rows::sections(result);
    let of = |id: &str| sections.iter().find(|section| section.id == id);
    let tables = |ids: &[&str]| -> String { ids.iter().filter_map(|id| of(id)).map(figures).collect() };
    let part = |id, link, title, text| Part { id, link, title, text };
    let mut parts = vec![
        part(
            "cold",
            "Cold starts",
            "Cold starts",
            charts(&sections, &COLD_CHARTS) + &tables(&["cold-ready", "cold-answered"]),
        ),
        part(
            "warm",
            "Warm latency",
            "Warm latency",
            charts(&sections, &WARM_CHARTS) + &tables(&["warm"]) + &routes(result),
        ),
        part(
            "throughput",
            "Throughput",
            "Throughput and CPU time",
            charts(&sections, &THROUGHPUT_CHARTS) + &tables(&["throughput"]),
        ),
    ];
    if let Some(section) = rows::deployments(result) {
        parts.push(part("deployments", "Deployments", "Deployments", figures(&section)));
    }
    parts.extend(html_cost::parts(result));
    parts.extend(baseline::section(result).map(|section| {
        let notes: String = baseline::NOTES.map(|note| format!("<li>{}</li>", escaped(note))).concat();
        let text = format!("{}<ul class=\"caveats\">{notes}</ul>", figures(&section));
        part("article", "Otherwise", "What a user would have otherwise", text)
    }));
    parts.extend([
        part("reports", "Reports", "Reports", tables(&["reports"])),
        part("size", "Size", "Artifact and memory", tables(&["size"])),
        part("guarantees", "Guarantees", "Guarantees", guarantees_table()),
        part("method", "Method", "Method and environment", method(result)),
    ]);
    let links: String = parts.iter().map(|Part { id, link, .. }| format!("<a href=\"#{id}\">{link}</a>")).collect();
    let sections: String = parts
        .iter()
        .map(|Part { id, title, text, .. }| {
            format!("<section id=\"{id}\" aria-labelledby=\"{id}-h\"><h2 id=\"{id}-h\">{title}</h2>{text}</section>\n")
        })
        .collect();
    format!("{}{}<nav aria-label=\"Sections\">{links}</nav>\n{sections}", heading(result), judged(verdict))
}

fn heading(result: &Comparison) -> String {
    let workload = &result.workload;
    let names: Vec<&str> = result.platforms.iter().map(|measured| words::title(measured.platform)).collect();
    format!(
        "<header><p class=\"brand\">Isotherm compare</p><h1>{}</h1><p>{} · {} events of {} · {}{}</p></header>\n",
        escaped(&capital(&words::listed(&names))),
        escaped(&workload.workload.about),
        grouped(workload.events as u64),
        escaped(&workload.source),
        escaped(&result.machine.time.replace('T', " ").replace('Z', " UTC")),
        if workload.is_quick { " · <b>quick run</b>" } else { "" },
    )
}

/// The word that marks the source of figures.
pub(super) fn chip(kind: Kind) -> String {
    format!("<span class=\"chip {0}\">{0}</span>", kind.word())
}

/// A sentence in HTML without line breaks inside intervals.
fn sentence(text: &str) -> String {
    escaped(text).replace('–', "&#8288;–&#8288;")
}

fn judged(verdict: &Verdict) -> String {
    let answers: String = verdict.answers.iter().map(answer).collect();
    let flip = |Sentence { question, text, kind, .. }: &Sentence| {
        format!("<li><b>{}</b> {} {}</li>", escaped(question), chip(*kind), sentence(text))
    };
    let flips: String = verdict.flips.iter().map(flip).collect();
    let flips =
        if flips.is_empty() { flips } else { format!("<h3>When it flips</h3><ul class=\"flips\">{flips}</ul>") };
    let list = |class: &str, items: &[String]| {
        let items: String = items.iter().map(|text| format!("<li>{}</li>", escaped(text))).collect();
        if items.is_empty() { items } else { format!("<ul class=\"{class}\">{items}</ul>") }
    };
    let [warnings, caveats] = [list("warnings", &verdict.warnings), list("caveats", &verdict.caveats)];
    format!(
        "<section id=\"verdict\" aria-labelledby=\"verdict-h\"><h2 id=\"verdict-h\">Verdict for this workload</h2>\
         {warnings}<div class=\"answers\">{answers}</div>{flips}{caveats}</section>\n"
    )
}

fn answer(Sentence { question, answer, text, kind, basis }: &Sentence) -> String {
    let most = basis.iter().map(|basis| basis.estimate.high).fold(0.0, f64::max);
    let strip = |place: &Basis| {
        let at = |value: f64| 100.0 * value / most;
        let (value, low, high) = (at(place.estimate.value), at(place.estimate.low), at(place.estimate.high));
        let name = escaped(&place.name);
        // The figure alone, since the bar and the table show its interval.
        let figure = place.shown.split(" (").next().unwrap_or_default();
        format!(
            "<li><span>{name}</span><svg viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
             <rect class=\"f-{}\" y=\"1\" width=\"{value:.2}\" height=\"6\"/><path d=\"M{low:.2} 4H{high:.2}\"/></svg><b>{}</b></li>",
            colour(&place.name),
            escaped(figure)
        )
    };
    let strips: String = if most > 0.0 { basis.iter().map(strip).collect() } else { String::new() };
    format!(
        "<article><h3>{} {}</h3><p class=\"answer\">{}</p><p>{}</p><ol class=\"strips\">{strips}</ol></article>",
        escaped(question),
        chip(*kind),
        escaped(&capital(answer)),
        sentence(text)
    )
}

/// A chart of the figures of a section.
struct Chart {
    /// The way it is drawn: a key of the script's `KINDS`.
    kind: &'static str,
    /// The drawn data: a field of the result, by its name in the script's `data.js`.
    of: &'static str,
    /// The section, and those of its rows, that describe the chart.
    section: &'static str,
    rows: &'static [&'static str],
    title: &'static str,
    /// A note on how to read it.
    note: &'static str,
}

const CUMULATIVE: &str =
    "Share of cold starts within a time; logarithmic; dots and whiskers: p50 and p90 with 95 % intervals";
const COLD_CHARTS: [Chart; 2] = [
    Chart {
        kind: "ecdf",
        of: "cold.init",
        section: "cold-ready",
        rows: &["p50", "p90", "p99"],
        title: "Until ready",
        note: CUMULATIVE,
    },
    Chart {
        kind: "ecdf",
        of: "cold.first_response",
        section: "cold-answered",
        rows: &["p50", "p90", "p99"],
        title: "Until the first byte of the answer",
        note: CUMULATIVE,
    },
];
const WARM_CHARTS: [Chart; 1] = [Chart {
    kind: "percentiles",
    of: "warm.latency",
    section: "warm",
    rows: &["p50", "p90", "p99"],
    title: "Latency by percentile",
    note: "Logarithmic; dots and whiskers: p50, p90 and p99 with 95 % intervals",
}];
const MORE: &str = "More is better; whiskers: 95 % intervals";
const THROUGHPUT_CHARTS: [Chart; 3] = [
    Chart {
        kind: "bars",
        of: "requests_per_second",
        section: "throughput",
        rows: &["requests/s"],
        title: "Requests a second",
        note: MORE,
    },
    Chart {
        kind: "bars",
        of: "events_per_second",
        section: "throughput",
        rows: &["events/s"],
        title: "Events a second",
        note: MORE,
    },
    Chart {
        kind: "bars",
        of: "cpu_ms_per_request",
        section: "throughput",
        rows: &["CPU ms/request"],
        title: "CPU time a request",
        note: "Less is better; whiskers: 95 % intervals",
    },
];

fn charts(sections: &[Section], charts: &[Chart]) -> String {
    let chart = |Chart { kind, of, section, rows, title, note }: &Chart| {
        let section = sections.iter().find(|one| one.id == *section);
        let all = section.iter().flat_map(|section| &section.rows);
        let rows: Vec<&Row> = all.filter(|row| rows.contains(&row.label.as_str())).collect();
        let n = rows.first().map_or_else(String::new, |row| n(row));
        figure(kind, of, title, &format!("{} {n} · {note}", chip(Kind::Measured)), &described(&rows))
    };
    format!("<div class=\"charts of-{}\">{}</div>", charts.len(), charts.iter().map(chart).collect::<String>())
}

/// The placeholder of a chart. Its label describes the chart in words.
pub(super) fn figure(kind: &str, of: &str, title: &str, note: &str, description: &str) -> String {
    format!(
        "<figure><figcaption><b>{title}</b><span class=\"note\">{note}</span></figcaption>\
         <div class=\"plot {kind}\" data-chart=\"{kind}\" data-of=\"{of}\" role=\"img\" aria-label=\"{}\"></div></figure>",
        escaped(&format!("Chart, {title}. {description}"))
    )
}

/// The rows in words, such as `Lambda: p50 4.00 ms, p99 5.73 ms. Workers: …`.
fn described(rows: &[&Row]) -> String {
    let platforms = rows.first().map_or(0, |row| row.cells.len());
    (0..platforms)
        .map(|place| {
            let figures: Vec<String> = rows
                .iter()
                .filter_map(|row| {
                    let estimate = row.cells[place].estimate.as_ref()?;
                    Some(format!("{} {}", row.label, Quantity::of(estimate, row.unit).with_interval()))
                })
                .collect();
            let name = capital(&words::named(&rows[0].cells[place].name));
            format!("{name}: {}. ", figures.join(", "))
        })
        .collect()
}

/// A section as a table with platforms as rows, figures as columns, and n in the column heads.
fn figures(section: &Section) -> String {
    let Section { id, title, conditions, rows } = section;
    let conditions = match *id {
        "cold-ready" | "cold-answered" => "× is the multiple of the floor’s figure",
        "throughput" => &format!("{conditions} · n: turns"),
        _ => conditions,
    };
    let caption = format!(
        "<b>{}</b> {}<span class=\"note\">{}</span>",
        escaped(&capital(title)),
        chip(Kind::Measured),
        escaped(conditions)
    );
    transposed(&caption, rows)
}

fn transposed(caption: &str, rows: &[Row]) -> String {
    // Each cell shows its own unit.
    let label = |row: &Row| escaped(&row.label.replace("CPU ms/", "CPU time/"));
    let head = |row: &Row| format!("<th scope=\"col\">{}<small>{}</small></th>", label(row), n(row));
    let heads: String = rows.iter().map(head).collect();
    let Some(first) = rows.first() else { return String::new() };
    let body: String = (0..first.cells.len())
        .map(|place| {
            let cells: String = rows.iter().map(|row| cell(row, place)).collect();
            format!("<tr>{}{cells}</tr>", row_head(&first.cells[place].name))
        })
        .collect();
    scrolled(&format!(
        "<table><caption>{caption}</caption><thead><tr><th scope=\"col\">Platform</th>{heads}</tr></thead>\
         <tbody>{body}</tbody></table>"
    ))
}

/// The number of samples behind a row's figures; empty for counted figures.
fn n(row: &Row) -> String {
    let ns = || row.cells.iter().map(|cell| cell.n).filter(|n| *n > 0);
    match (ns().min(), ns().max()) {
        (Some(low), Some(high)) if low < high => {
            format!("n = {}–{}", grouped(low as u64), grouped(high as u64))
        }
        (Some(n), _) if n > 1 => format!("n = {}", grouped(n as u64)),
        _ => String::new(),
    }
}

/// The name of a platform or a design, with its colour.
pub(super) fn row_head(name: &str) -> String {
    format!("<th scope=\"row\"><i class=\"b-{}\"></i>{}</th>", colour(name), escaped(&words::named(name)))
}

/// The suffix of the colour classes for this name, which is its platform's.
fn colour(name: &str) -> &'static str {
    let lower = name.to_lowercase();
    Platform::ALL.iter().map(|platform| platform.name()).find(|platform| lower.starts_with(platform)).unwrap_or("other")
}

/// Wraps a table that may be wider than the screen.
pub(super) fn scrolled(table: &str) -> String {
    format!("<div class=\"scroll\">{table}</div>")
}

fn cell(row: &Row, place: usize) -> String {
    let cell = &row.cells[place];
    let Some(estimate) = &cell.estimate else { return "<td>–</td>".into() };
    let Quantity { value, interval, unit } = Quantity::of(estimate, row.unit);
    let ratio = cell
        .ratio
        .as_ref()
        .map_or_else(String::new, |ratio| format!(" <span class=\"ratio\">{}×</span>", multiple(ratio.value)));
    let interval = if interval.is_empty() && ratio.is_empty() {
        String::new()
    } else {
        format!("<small>{interval}{ratio}</small>")
    };
    let (class, best) = if cell.is_best {
        (" class=\"best\"", "<span class=\"unseen\"> best, or tied with it</span>")
    } else {
        ("", "")
    };
    format!("<td{class}><b>{value}</b> <span class=\"unit\">{unit}</span>{best}{interval}</td>")
}

fn routes(result: &Comparison) -> String {
    let rows = rows::routes(result);
    let tables: String = rows
        .chunks(3)
        .map(|rows| {
            let route = rows[0].label.trim_end_matches(" p50").to_owned();
            let short = |row: &Row| Row {
                label: row.label.rsplit(' ').next().unwrap_or_default().to_owned(),
                figure: row.figure.clone(),
                unit: row.unit,
                cells: row.cells.clone(),
            };
            let rows: Vec<Row> = rows.iter().map(short).collect();
            transposed(&format!("<b>{}</b> {}", escaped(&route), chip(Kind::Measured)), &rows)
        })
        .collect();
    format!("<details><summary>By route</summary>{tables}</details>")
}

fn guarantees_table() -> String {
    let mut rows = guarantees::rows();
    let heads: String =
        rows.next().unwrap_or_default().iter().map(|cell| format!("<th scope=\"col\">{}</th>", code(cell))).collect();
    let row = |cells: Vec<&str>| {
        let (first, rest) = cells.split_first().unwrap_or((&"", &[]));
        let rest: String = rest.iter().map(|cell| format!("<td>{}</td>", code(cell))).collect();
        format!("<tr><th scope=\"row\">{}</th>{rest}</tr>", capital(&code(first)))
    };
    let body: String = rows.map(row).collect();
    scrolled(&format!(
        "<table class=\"text\"><caption>What each gives for these figures. Answers, ids, limits and what is a repetition are the same on all four.</caption>\
         <thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
    ))
}

/// Turns Markdown's code spans into HTML.
fn code(text: &str) -> String {
    let parts = escaped(text);
    parts
        .split('`')
        .enumerate()
        .map(|(place, part)| if place % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() })
        .collect()
}

fn method(result: &Comparison) -> String {
    let machine = &result.machine;
    let versions = machine
        .versions
        .iter()
        .map(|(name, version)| if version.starts_with(name) { version.clone() } else { format!("{name} {version}") });
    let runtimes = result.platforms.iter().map(|measured| {
        let runtime = &measured.figures.runtime;
        (words::title(measured.platform), format!("{} {}", runtime.name, runtime.version))
    });
    let [what, r#where, when] = table::head(result);
    let facts =
        [("Run", what), ("Machine", r#where), ("When", when), ("Versions", versions.collect::<Vec<_>>().join(" · "))];
    let noise = result.noise.as_ref().map(|noise| ("Besides", noise.facts().join(" · ")));
    let facts: String = facts
        .into_iter()
        .chain(noise)
        .chain(runtimes)
        .map(|(name, fact)| format!("<dt>{name}</dt><dd>{}</dd>", escaped(&fact)))
        .collect();
    let intervals = match result.runs() {
        1 => "Intervals are 95 % percentile-bootstrap intervals of 2,000 seeded resamples of one run.".to_owned(),
        runs => format!(
            "Everything was measured {runs} times, with hosts started anew: values are those of all runs together, intervals 95 % intervals of Student’s t \
             over the runs."
        ),
    };
    format!(
        "<p>Every platform runs on its real runtime and takes turns with the others, so that a machine that drifts touches all alike. \
         {intervals} Two figures that can’t be told apart by them, or differ by less than 5 %, are called a tie: of a thousand comparisons of a \
         platform with itself, one is expected to call any figure different. \
         × is the multiple of the platform’s floor, the smallest hello function on the same runtime in the same run. \
         Warm latency is taken in open loop and counts from when a request was due, so a stall is charged to every request that it delays. \
         CPU time is what the runtime’s processes used, by the operating system’s count.</p>\
         <p class=\"kinds\">{} in this run · {} by others, with the source · {} from the other two.</p>\
         {}{}<dl>{facts}</dl>",
        chip(Kind::Measured),
        chip(Kind::Published),
        chip(Kind::Modelled),
        answers(result),
        figures(&rows::floors(result)),
    )
}

/// The section that shows that nothing was lost.
fn answers(result: &Comparison) -> String {
    let row = |name: &str, replay: &Replay, errors: u64| {
        format!(
            "<tr>{}<td>{}</td><td>{}</td><td>{}</td><td>{} of {}</td></tr>",
            row_head(name),
            grouped(replay.requests),
            grouped(replay.sent),
            grouped(errors),
            grouped(replay.verified),
            grouped(result.workload.events as u64)
        )
    };
    let local =
        result.platforms.iter().map(|measured| row(words::title(measured.platform), &measured.replay, measured.errors));
    let deployed = result.deployments.iter().map(|deployed| row(&deployed.name, &deployed.replay, deployed.errors));
    let rows: String = local.chain(deployed).collect();
    let heads: String = ["Platform", "Requests", "Events sent", "Missing or wrong answers", "Events there at the end"]
        .map(|head| format!("<th scope=\"col\">{head}</th>"))
        .concat();
    scrolled(&format!(
        "<table><caption><b>Answers checked</b> {}</caption><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>",
        chip(Kind::Measured)
    ))
}

/// A computed figure, with its interval if it has one.
pub(super) fn usd(estimate: &Estimate) -> String {
    let Quantity { value, interval, .. } = Quantity::of(estimate, Unit::Usd);
    let interval = if interval.is_empty() { interval } else { format!("<small>{interval}</small>") };
    format!("<td><b>{value}</b>{interval}</td>")
}
