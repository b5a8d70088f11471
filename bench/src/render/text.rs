//! The comparison as text: a table of at most 120 characters for a terminal, or GitHub's Markdown for a pull request.
//! Both have the same parts in the same order.

use comfy_table::presets::{ASCII_MARKDOWN, NOTHING};
use comfy_table::{ContentArrangement, Table};

use crate::render::rows::{self, Cell, Row, Section};
use crate::render::{baseline, guarantees};
use crate::results::cost::Cost;
use crate::results::{Comparison, Measured};
use crate::verdict::Verdict;
use crate::words::{Quantity, Unit, capital, grouped, multiple, named, short, time};

/// The width of a terminal for which tables are made.
pub(crate) const WIDTH: usize = 120;

/// How text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Terminal,
    Markdown,
}

const LEGEND: &str = "Value with its 95 % interval, × the multiple of the floor's figure, * the best among equal scopes, or not to be \
told from it. A row without * has no two equal scopes.";

/// The whole comparison.
pub(crate) fn render(result: &Comparison, style: Style) -> String {
    let [what, r#where, when] = head(result);
    let mut text = match style {
        Style::Terminal => format!("{what}\n{where}\n{when}\n\n", r#where = r#where),
        Style::Markdown => format!("## {}\n\n", escaped(&what)),
    };
    for sentence in Verdict::of(result).lines() {
        text += &match style {
            Style::Terminal => hanging(&sentence),
            Style::Markdown => format!("- {}\n", escaped(&sentence)),
        };
    }
    let platforms: Vec<String> =
        result.platforms.iter().map(|measured| capital(&named(measured.platform.name()))).collect();
    for of in rows::sections(result).iter().chain([&rows::floors(result)]) {
        text += &section(of, &platforms, style);
    }
    text += &note(LEGEND, style);
    text += &cost(result, style);
    if let Some(of) = baseline::section(result) {
        let heads: Vec<String> =
            of.rows.iter().take(1).flat_map(|row| &row.cells).map(|cell| named(&cell.name)).collect();
        text += &section(&of, &heads, style);
        text += &baseline::NOTES.map(|of| note(of, style)).concat();
    }
    if let Some(mut of) = rows::deployments(result) {
        let heads: Vec<String> = result.deployments.iter().map(|deployed| deployed.name.clone()).collect();
        for row in &mut of.rows {
            // The platforms' cells are above.
            row.cells.drain(..result.platforms.len());
        }
        of.rows.retain(|row| row.cells.iter().any(|cell| cell.estimate.is_some()));
        text += &section(&of, &heads, style);
    }
    text += &answers(result, style);
    if style == Style::Markdown {
        text +=
            &format!("\n### Guarantees\n\n{}\n{} · {}\n", guarantees::markdown(), escaped(&r#where), escaped(&when));
    }
    text
}

/// The workload, the machine and the time of the run.
pub(crate) fn head(result: &Comparison) -> [String; 3] {
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
        format!("{} · {}{runs}{commit}", machine.time, time(machine.seconds)),
    ]
}

fn section(Section { title, conditions, rows, scopes, .. }: &Section, heads: &[String], style: Style) -> String {
    let mut lines: Vec<Vec<String>> = rows.iter().map(|row| line(row, style)).collect();
    for (place, label) in ["in it", "not in it"].into_iter().enumerate().filter(|_| !scopes.is_empty()) {
        lines.push(std::iter::once(label.to_owned()).chain(scopes.iter().map(|scope| scope[place].clone())).collect());
    }
    grid(&capital(title), conditions, heads, lines, style)
}

fn line(Row { label, unit, cells, .. }: &Row, style: Style) -> Vec<String> {
    let cell = |Cell { estimate, ratio, is_best, .. }: &Cell| {
        let Some(estimate) = estimate else { return "–".to_owned() };
        let shown = Quantity::of(estimate, *unit).with_interval();
        let ratio = ratio.as_ref().map_or_else(String::new, |ratio| format!(" {}×", multiple(ratio.value)));
        match (is_best, style) {
            (true, Style::Markdown) => format!("**{shown}**{ratio}"),
            (true, Style::Terminal) => format!("{shown}{ratio}*"),
            (false, _) => format!("{shown}{ratio}"),
        }
    };
    std::iter::once(label.clone()).chain(cells.iter().map(cell)).collect()
}

/// One table with its title. Each line begins with its label.
fn grid(title: &str, conditions: &str, heads: &[String], lines: Vec<Vec<String>>, style: Style) -> String {
    let mut table = Table::new();
    let label = if style == Style::Markdown { " " } else { "" };
    let heads = std::iter::once(label.to_owned()).chain(heads.iter().cloned());
    match style {
        Style::Terminal => {
            table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH as u16);
            table.set_header(heads).add_rows(lines);
            format!("\n{}{}", hanging(&format!("{title} · {conditions}")), trimmed(&table))
        }
        Style::Markdown => {
            table.load_style(ASCII_MARKDOWN).set_header(heads);
            table.add_rows(lines.into_iter().map(|line| line.iter().map(|cell| escaped(cell)).collect::<Vec<_>>()));
            format!("\n### {title}\n\n{}\n\n{}", escaped(conditions), trimmed(&table))
        }
    }
}

fn trimmed(table: &Table) -> String {
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The cost of a million events over their whole path.
fn cost(result: &Comparison, style: Style) -> String {
    let Some(Cost { kind, monthly_events, lines, .. }) = &result.cost else { return String::new() };
    let heads: Vec<String> = lines.iter().map(|line| capital(&named(&line.name))).collect();
    let usd = lines.iter().map(|line| Quantity::of(&line.total, Unit::Usd).with_interval());
    let title = format!("Cost of a million events, {}", kind.word());
    let conditions =
        format!("at {} events a month, from this run by list prices, no unit free", grouped(*monthly_events as u64));
    let line = std::iter::once("cost".to_owned()).chain(usd).collect();
    grid(&title, &conditions, &heads, vec![line], style)
}

/// That nothing was lost.
fn answers(result: &Comparison, style: Style) -> String {
    let events = grouped(result.workload.events as u64);
    let line = |label: &str, of: &dyn Fn(u64, &crate::results::Replay) -> String| -> Vec<String> {
        let platforms = result.platforms.iter().map(|Measured { errors, replay, .. }| of(*errors, replay));
        let deployed = result.deployments.iter().map(|deployed| of(deployed.errors, &deployed.replay));
        std::iter::once(label.to_owned()).chain(platforms).chain(deployed).collect()
    };
    let heads: Vec<String> = result
        .platforms
        .iter()
        .map(|measured| capital(&named(measured.platform.name())))
        .chain(result.deployments.iter().map(|deployed| deployed.name.clone()))
        .collect();
    let lines = vec![
        line("errors", &|errors, _| grouped(errors)),
        line("events sent", &|_, replay| grouped(replay.sent)),
        line("there at the end", &|_, replay| format!("{} of {events}", grouped(replay.verified))),
    ];
    grid("Answers checked", "every event is looked up at the end", &heads, lines, style)
}

fn note(text: &str, style: Style) -> String {
    match style {
        Style::Terminal => format!("\n{}", hanging(text)),
        Style::Markdown => format!("\n{}\n", escaped(text)),
    }
}

/// Wrapped text whose lines after the first are indented.
fn hanging(text: &str) -> String {
    textwrap::fill(text, textwrap::Options::new(WIDTH).subsequent_indent("  ").break_words(false)) + "\n"
}

/// Escapes text for a cell of a Markdown table.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::{priced, sample};

    #[test]
    fn a_terminal_has_room_for_all_of_it() {
        let mut result = priced();
        let events = crate::workload::Workload::load("flights", None).unwrap().events;
        result.cost = Some(crate::model::cost::of_run::of_run(&result, &events).unwrap());
        let text = render(&result, Style::Terminal);
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{} wide: {line}", line.chars().count());
        }
        for part in
            ["Lambda", "native", "not in it", "flush", "Cost of a million events, modelled", "It knows no repetition"]
        {
            assert!(text.contains(part), "no {part} in\n{text}");
        }
    }

    #[test]
    fn markdown_has_a_table_with_all_platforms_for_each_section() {
        let text = render(&sample(), Style::Markdown);
        let tables = text.lines().filter(|line| line.starts_with("| ---") || line.starts_with("|---")).count();
        assert_eq!(tables, rows::sections(&sample()).len() + 4, "{text}");
        for table in text.split("\n\n").filter(|part| part.starts_with('|')) {
            let columns = |line: &str| line.replace("\\|", "").matches('|').count();
            let first = columns(table.lines().next().unwrap());
            assert!(table.lines().all(|line| columns(line) == first), "{table}");
        }
        assert!(text.contains("**864\u{a0}µs (847–890)**") || text.contains("432\u{a0}µs"), "{text}");
    }
}
