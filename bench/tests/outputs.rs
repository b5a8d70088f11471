//! The outputs that pages show are those of the program.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what a helper of a test finds wrong fails the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Stands in a page for lines that it does not show.
const LEFT_OUT: &str = "…";

/// The folder of the pages.
fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// The shown commands of `isotherm`, each with the lines below it. What needs files of its own is left out: other tests
/// run that.
fn shown(page: &str) -> Vec<(String, Vec<String>)> {
    let blocks = page.split("```text\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let examples = blocks.filter_map(|block| block.strip_prefix("$ isotherm ")?.split_once('\n'));
    let examples =
        examples.map(|(arguments, lines)| (arguments.to_owned(), lines.lines().map(str::to_owned).collect()));
    examples.filter(|(arguments, _): &(String, _)| !arguments.contains("--check")).collect()
}

/// The first shown line that the output does not have where the page has it.
fn missing<'s>(shown: &'s [String], output: &str) -> Option<&'s str> {
    let mut output = output.lines().map(str::trim_end);
    let mut may_skip = false;
    for line in shown {
        if line == LEFT_OUT {
            may_skip = true;
            continue;
        }
        let is_there = if may_skip { output.any(|found| found == line) } else { output.next() == Some(line) };
        if !is_there {
            return Some(line);
        }
        may_skip = false;
    }
    (!may_skip && output.next().is_some()).then_some("the end")
}

#[test]
fn outputs_that_are_shown_are_the_programs() {
    let mut ran = 0;
    for entry in fs::read_dir(docs()).unwrap() {
        let page = entry.unwrap().path();
        if page.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        for (arguments, lines) in shown(&fs::read_to_string(&page).unwrap()) {
            let mut command = Command::new(env!("CARGO_BIN_EXE_isotherm"));
            let output = command.args(arguments.split_whitespace()).stdin(Stdio::null()).output().unwrap();
            let output = String::from_utf8(output.stdout).unwrap();
            if let Some(line) = missing(&lines, &output) {
                panic!("{}: `isotherm {arguments}` does not have\n{line}\nIt says\n{output}", page.display());
            }
            ran += 1;
        }
    }
    assert!(ran >= 4, "only {ran} outputs were compared");
}

#[test]
fn a_line_that_differs_is_found() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(missing(&lines("a\n…\nc"), "a\nb\nc\n"), None);
    assert_eq!(missing(&lines("a\nc"), "a\nb\nc\n"), Some("c"));
    assert_eq!(missing(&lines("a\n…"), "a\nb\n"), None);
    assert_eq!(missing(&lines("a"), "a\nb\n"), Some("the end"));
    assert_eq!(missing(&lines("…\nd"), "a\nb\n"), Some("d"));
}
