//! What each platform guarantees: the table of the README, so that figures are not read without it.

/// The table as Markdown, the README's rows.
pub(super) const MARKDOWN: &str = include_str!("guarantees.md");

/// The table's cells, the heading's first.
pub(super) fn rows() -> impl Iterator<Item = Vec<&'static str>> {
    let is_rule = |line: &&str| line.starts_with("| ---");
    let cells = |line: &'static str| {
        let line = line.trim().trim_start_matches('|').trim_end_matches('|');
        line.split('|').map(str::trim).collect()
    };
    MARKDOWN.lines().filter(move |line| !is_rule(line)).map(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_has_the_same_table() {
        let readme = include_str!("../../../README.md");
        assert!(readme.contains(&format!("\n{MARKDOWN}\n")), "README.md and guarantees.md differ: change both");
    }

    #[test]
    fn each_row_speaks_of_every_platform() {
        let rows: Vec<_> = rows().collect();
        assert_eq!(rows[0], ["", "Lambda", "Workers", "Spin", "native"]);
        assert!(rows.len() > 10 && rows.iter().all(|row| row.len() == 5), "{rows:#?}");
    }
}
