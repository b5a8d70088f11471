//! Checks that bench's data goes one way: measure → results → figures → verdict → render, and that its models do no I/O.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Result;

use super::source::{lines, names};
use super::{circles, files, is_rust};

/// The rooms that have an order, each with the rooms whose names it may use. What has no entry may use all.
const ROOMS: [(&str, &[&str]); 7] = [
    ("stats", &[]),
    ("results", &["stats", "text", "workload"]),
    ("measure", &["contract", "load", "results", "stats", "system", "words", "workload"]),
    ("figures", &["results", "stats"]),
    ("model", &["contract", "figures", "results", "stats", "words", "workload"]),
    ("verdict", &["figures", "model", "results", "stats", "words"]),
    ("render", &["figures", "model", "results", "stats", "verdict", "words", "workload"]),
];

/// What a model must not name: it is given all that it needs.
const IO: [&str; 8] =
    ["std::fs", "std::net", "std::process", "std::thread", "tokio", "println!", "eprintln!", "Instant"];

/// Finds names that a room must not use, in the folder of bench's sources.
pub(super) fn problems(src: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for path in files(src)?.into_iter().filter(|path| is_rust(path) && !path.ends_with("tests.rs")) {
        let inside = path.strip_prefix(src)?.with_extension("");
        let room = inside.iter().next().unwrap_or_default().to_string_lossy().into_owned();
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else { continue };
        let lines = lines(&fs::read_to_string(&path)?);
        let code: Vec<&str> = lines.iter().map(|line| line.code.as_str()).collect();
        let used: BTreeSet<String> = circles::imports(&code.join(" "))
            .into_iter()
            .filter_map(|path| path.split("::").next().map(str::to_owned))
            .filter(|used| *used != room && src.join(format!("{used}.rs")).exists() | src.join(used).is_dir())
            .collect();
        for used in used.iter().filter(|used| !allowed.contains(&used.as_str())) {
            problems.push(format!("{}: {room} must not use {used}", path.display()));
        }
        for name in IO.iter().filter(|name| room == "model" && code.iter().any(|line| names(line, name))) {
            problems.push(format!("{}: `{name}`: models do no I/O", path.display()));
        }
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gates::tree_of;

    #[track_caller]
    fn check(content: &[(&str, &str)], expected: &[&str]) {
        let tree = tree_of(content);
        let problems = problems(tree.path()).unwrap();
        let found: Vec<&str> = problems.iter().filter_map(|problem| problem.split(".rs: ").last()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn data_that_goes_back_is_found() {
        let rooms = [("render/mod.rs", ""), ("results/mod.rs", ""), ("figures/a.rs", "use crate::results::A;")];
        check(&rooms, &[]);
        check(
            &[rooms[0], ("results/b.rs", "use crate::{render::Row, text};"), ("text.rs", "")],
            &["results must not use render"],
        );
        check(&[rooms[0], ("render/c.rs", "use crate::render::d;"), ("command/e.rs", "use crate::render::f;")], &[]);
    }

    #[test]
    fn a_model_that_reads_files_is_found() {
        check(&[("model/a.rs", "use std::fs::File;\n// std::net")], &["`std::fs`: models do no I/O"]);
        check(&[("measure/a.rs", "use std::fs::File;")], &[]);
        check(&[("model/b.rs", "#[cfg(test)]\nmod tests { use std::fs; }")], &[]);
    }
}
