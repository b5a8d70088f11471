//! The comparison as a table for a terminal: the verdict, then figures as rows and platforms as columns, at most 120
//! characters wide.

use crate::compare::deployed::Deployed;
use crate::compare::result::{Comparison, Measured};
use crate::compare::rows::{self, Cell, Row, Section};
use crate::compare::verdict::Verdict;
use crate::compare::words::{Unit, grouped, multiple, named, short, wrapped};
use crate::compare::{baseline, progress};
use crate::stats::Estimate;

const WIDTH: usize = 120;
const LABEL: usize = 16;
const GAP: usize = 2;

/// The widths of the parts of a cell: `value interval ratio*`.
const VALUE: usize = 5;
const INTERVAL: usize = 11;
const RATIO: usize = 5;
const CELL: usize = VALUE + 1 + INTERVAL + 1 + RATIO + 1;

/// Number of platforms that fit side by side.
const COLUMNS: usize = 4;

const _: () = assert!(LABEL + COLUMNS * (CELL + GAP) <= WIDTH, "four platforms must fit");

/// The whole table.
pub(super) fn render(result: &Comparison) -> String {
    let mut text = head(result).join("\n");
    text.push_str("\n\n");
    for sentence in Verdict::of(result).lines() {
        text.push_str(&hanging(&sentence));
    }
    text.push('\n');
    let platforms = &result.platforms;
    text.push_str(&words("", platforms.iter().map(|measured| measured.platform.to_string())));
    let runtimes: Vec<Vec<String>> = platforms
        .iter()
        .map(|measured| {
            wrapped(&format!("{} {}", measured.figures.runtime.name, measured.figures.runtime.version), CELL)
        })
        .collect();
    for place in 0..runtimes.iter().map(Vec::len).max().unwrap_or(0) {
        let label = if place == 0 { "runtime" } else { "" };
        text.push_str(&words(label, runtimes.iter().map(|lines| lines.get(place).cloned().unwrap_or_default())));
    }
    for section in rows::sections(result) {
        text.push_str(&self::section(&section));
    }
    text.push_str(&cost(result));
    text.push('\n');
    text.push_str(&words("errors", platforms.iter().map(|measured| grouped(measured.errors))));
    text.push_str(&words("events sent", platforms.iter().map(|measured| grouped(measured.replay.sent))));
    let there = |measured: &Measured| {
        format!("{} of {}", grouped(measured.replay.verified), grouped(result.workload.events as u64))
    };
    text.push_str(&words("there at the end", platforms.iter().map(there)));
    text.push_str(
        "\na–b: 95 % interval   ×: multiple of the floor's figure   *: best of its line, or can't be told from it\n",
    );
    text.push_str(&section(&rows::floors(result)));
    if let Some(of_article) = baseline::section(result) {
        text.push_str(&headed(&of_article));
    }
    text.push_str(&deployments(result));
    text
}

/// The figures measured over the network, in blocks of at most `COLUMNS` deployments.
fn deployments(result: &Comparison) -> String {
    let Some(mut section) = rows::deployments(result) else { return String::new() };
    let mut text = String::new();
    let mut from = result.platforms.len();
    section.rows.retain(|row| row.cells[from..].iter().any(|cell| cell.estimate.is_some()));
    for deployed in result.deployments.chunks(COLUMNS) {
        let range = from..from + deployed.len();
        from = range.end;
        let rows = section.rows.iter().map(|row| Row { cells: row.cells[range.clone()].to_vec(), ..row.clone() });
        let rows = rows.collect();
        text += "\n";
        text += &words("", deployed.iter().map(|deployed| deployed.name.clone()));
        text += &words("errors", deployed.iter().map(|deployed| grouped(deployed.errors)));
        let there = |deployed: &Deployed| {
            format!("{} of {}", grouped(deployed.replay.verified), grouped(result.workload.events as u64))
        };
        text += &words("there at the end", deployed.iter().map(there));
        text += &self::section(&Section {
            id: section.id,
            title: section.title,
            conditions: section.conditions.clone(),
            rows,
        });
    }
    text
}

/// The workload, the machine and the time of the run.
pub(super) fn head(result: &Comparison) -> [String; 3] {
    let Comparison { machine, workload, .. } = result;
    let commit = machine.commit.as_ref().map_or_else(String::new, |commit| {
        let id: String = commit.id.chars().take(10).collect();
        format!(" · commit {id}{}", if commit.dirty { ", modified" } else { "" })
    });
    let runs = if result.runs() > 1 { format!(" · {} runs", result.runs()) } else { String::new() };
    [
        format!(
            "isotherm compare · {}: {} events of {} · seed {}{}",
            workload.workload.name,
            grouped(workload.events as u64),
            workload.source,
            workload.workload.seed,
            if workload.is_quick { " · quick" } else { "" },
        ),
        format!(
            "{} · {} cores, {} GB · {}, Linux {}",
            machine.cpu,
            machine.cores,
            short(machine.memory_bytes as f64 / 1e9),
            machine.os,
            machine.kernel,
        ),
        format!("{} · {}{runs}{commit}", machine.time, progress::time(machine.seconds)),
    ]
}

/// Wrapped text whose lines after the first are indented.
fn hanging(text: &str) -> String {
    let lines = wrapped(text, WIDTH - 2);
    lines.iter().enumerate().map(|(place, line)| format!("{}{line}\n", if place == 0 { "" } else { "  " })).collect()
}

fn section(Section { title, conditions, rows, .. }: &Section) -> String {
    let is_in_ms = rows.iter().all(|row| row.unit == Unit::Ms);
    let unit = if is_in_ms { ", ms" } else { "" };
    let mut text = format!("\n{title}{unit} · {conditions}\n");
    for Row { label, unit, cells, .. } in rows {
        let cells = cells.iter().map(|Cell { estimate, ratio, is_best, .. }| {
            let ratio = ratio.as_ref().map_or_else(String::new, |ratio| format!("{}×", multiple(ratio.value)));
            let star = if *is_best { "*" } else { "" };
            let shown = estimate.as_ref().map_or_else(String::new, |estimate| shown(estimate, *unit));
            format!("{shown} {ratio:>RATIO$}{star}")
        });
        text.push_str(&line(&format!("  {label:.14}"), cells));
    }
    text
}

/// The section of the baseline. Its columns are not platforms, so it has its own line of headings, with notes below.
fn headed(of_article: &Section) -> String {
    let text = section(of_article);
    let (title, rows) = text.trim_start().split_once('\n').unwrap_or_default();
    let heads = of_article.rows.iter().take(1).flat_map(|row| &row.cells).map(|cell| named(&cell.name));
    let notes: String = baseline::NOTES.map(hanging).concat();
    format!("\n{}{}{rows}{notes}", hanging(title), words("", heads))
}

/// Text for each platform, placed in its column.
fn words(label: &str, cells: impl Iterator<Item = String>) -> String {
    line(label, cells.map(|cell| cell.chars().take(CELL).collect()))
}

/// The cost of a million events over their whole path, and with the article's design.
fn cost(result: &Comparison) -> String {
    let Some(cost) = &result.cost else { return String::new() };
    let usd = |name: &str| {
        let line = cost.lines.iter().find(|line| line.name == name);
        line.map_or_else(String::new, |line| format!("{:>VALUE$}", short(line.total.value)))
    };
    let title = format!(
        "cost at {} events a month, {} from this run by list prices, no unit free",
        grouped(cost.monthly_events as u64),
        cost.kind.word()
    );
    let platforms = result.platforms.iter().map(|measured| usd(measured.platform.name()));
    let mut text = format!("\n{title}\n{}", line("  USD/M events", platforms));
    let others = cost.lines.iter().filter(|line| result.platforms.iter().all(|of| of.platform.name() != line.name));
    for other in others {
        text += &format!("  {:<14}  {} with the design of the {}\n", "", usd(&other.name), other.name);
    }
    text
}

/// The value and its interval. For bytes, the unit stands in place of the interval.
fn shown(estimate: &Estimate, unit: Unit) -> String {
    if unit == Unit::Bytes {
        let (size, unit) = if estimate.value < 1e6 { (1e3, "kB") } else { (1e6, "MB") };
        return format!("{:>VALUE$} {unit:<INTERVAL$}", short(estimate.value / size));
    }
    let interval = format!("{}–{}", short(estimate.low), short(estimate.high));
    format!("{:>VALUE$} {interval:<INTERVAL$}", short(estimate.value))
}

fn line(label: &str, cells: impl Iterator<Item = String>) -> String {
    let mut text = format!("{label:<LABEL$}");
    for cell in cells {
        text.push_str(&format!("{:GAP$}{cell:<CELL$}", ""));
    }
    format!("{}\n", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_platforms_fit_into_120_columns() {
        let mut comparison = crate::compare::result::tests::priced();
        let events = crate::workload::Workload::load("flights", None).unwrap().events;
        comparison.cost = Some(crate::cost::of_run(&comparison, &events).unwrap());
        let text = render(&comparison);
        assert!(text.contains("\n  USD/M events") && text.contains("with the design of the article"), "{text}");
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{} wide: {line}", line.chars().count());
        }
        assert!(text.contains("lambda") && text.contains("native"), "{text}");
        assert!(text.contains("\n                  article's function        Lambda, single events\n"), "{text}");
        assert!(text.contains("\n  USD/M events     11.5 11.4–11.6   3.29×    3.50 3.45–3.55        *\n"), "{text}");
    }
}
