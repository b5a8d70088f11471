//! The guarantees of each platform, from the table of docs/guarantees.md, so that figures are not read without them.

const PAGE: &str = include_str!("../../../docs/guarantees.md");

/// The table as Markdown.
pub(crate) fn markdown() -> String {
    table().fold(String::new(), |table, line| table + line + "\n")
}

/// The table's cells, heading first.
pub(crate) fn rows() -> impl Iterator<Item = Vec<&'static str>> {
    let is_rule = |line: &&str| line.starts_with("| ---");
    let cells = |line: &'static str| {
        let line = line.trim().trim_start_matches('|').trim_end_matches('|');
        line.split('|').map(str::trim).collect()
    };
    table().filter(move |line| !is_rule(line)).map(cells)
}

/// The lines of the only table on the page.
fn table() -> impl Iterator<Item = &'static str> {
    PAGE.lines().filter(|line| line.starts_with('|'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_speaks_of_every_platform() {
        let rows: Vec<_> = rows().collect();
        assert_eq!(rows[0], ["", "Lambda", "Workers", "Spin", "native"]);
        assert!(rows.len() > 10 && rows.iter().all(|row| row.len() == 5), "{rows:#?}");
    }
}
