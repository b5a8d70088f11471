//! The guarantees of each platform, from the table of docs/guarantees.md, so that figures are not read without them.

use maud::{Markup, html};

use crate::words::capital;

const PAGE: &str = include_str!("../../../docs/guarantees.md");

/// The table as Markdown.
pub(crate) fn markdown() -> String {
    table().fold(String::new(), |table, line| table + line + "\n")
}

/// The table's cells, heading first. Of links the text alone is left; code stays marked.
pub(crate) fn rows() -> impl Iterator<Item = Vec<String>> {
    let is_rule = |line: &&str| line.starts_with("| ---");
    let cells = |line: &'static str| {
        let line = line.trim().trim_start_matches('|').trim_end_matches('|');
        line.split('|').map(|cell| without_links(cell.trim())).collect()
    };
    table().filter(move |line| !is_rule(line)).map(cells)
}

/// The head and the body of the table as HTML.
pub(crate) fn html() -> Markup {
    let mut rows = rows();
    let heads = rows.next().unwrap_or_default();
    html! {
        thead { tr { @for head in heads { th scope="col" { (code(&head)) } } } }
        tbody {
            @for cells in rows {
                tr {
                    @for (place, cell) in cells.into_iter().enumerate() {
                        @if place == 0 { th scope="row" { (code(&capital(&cell))) } } @else { td { (code(&cell)) } }
                    }
                }
            }
        }
    }
}

/// Turns Markdown's code spans into HTML.
fn code(text: &str) -> Markup {
    html! {
        @for (place, part) in text.split('`').enumerate() {
            @if place % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

fn without_links(markdown: &str) -> String {
    let (mut plain, mut rest) = (String::new(), markdown);
    while let Some((before, link)) = rest.split_once('[')
        && let Some((text, target)) = link.split_once("](")
        && let Some((_, after)) = target.split_once(')')
    {
        plain.extend([before, text]);
        rest = after;
    }
    plain + rest
}

/// The lines of the only table on the page.
fn table() -> impl Iterator<Item = &'static str> {
    let is_row = |line: &&str| line.starts_with('|');
    PAGE.lines().skip_while(move |line| !is_row(line)).take_while(is_row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_speaks_of_every_platform() {
        let rows: Vec<_> = rows().collect();
        assert_eq!(rows[0], ["", "Lambda", "Workers", "Spin", "native"]);
        assert_eq!(without_links("a `b` [c d](e.md#f) g [h](i), [j]"), "a `b` c d g h, [j]");
        assert!(rows.len() > 10 && rows.iter().all(|row| row.len() == 5), "{rows:#?}");
    }
}
