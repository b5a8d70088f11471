//! Rules for every file of the project.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

const MOST_LINES: usize = 500;

/// Finds sources that are longer than a reader's patience.
pub(super) fn long_files(root: &Path, tracked: &[PathBuf]) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for path in tracked {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if !matches!(extension, "rs" | "js" | "mjs" | "ts" | "py" | "sh") || !path.is_file() {
            continue;
        }
        let lines = fs::read_to_string(path)?.lines().count();
        if lines > MOST_LINES {
            problems.push(format!("{}: {lines} lines; {MOST_LINES} are enough for one file", shown(root, path)));
        }
    }
    Ok(problems)
}

/// Finds files that name a folder of this machine.
pub(super) fn machine_paths(root: &Path, tracked: &[PathBuf], private: &[String]) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for path in tracked.iter().filter(|path| path.is_file()) {
        let bytes = fs::read(path)?;
        for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if let Some(found) = private.iter().find(|private| contains(line, private.as_bytes())) {
                problems.push(format!("{}:{}: names {found}, a folder of one machine", shown(root, path), number + 1));
            }
        }
    }
    Ok(problems)
}

/// Whether `bytes` contain `needle`.
pub(super) fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    let Some(first) = needle.first() else { return true };
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        rest = &rest[at..];
        if rest.starts_with(needle) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gates::{files, tree_of};

    #[test]
    fn a_long_source_is_found() {
        let tree = tree_of(&[("a.rs", &"\n".repeat(501)), ("b.rs", &"\n".repeat(500)), ("c.json", &"\n".repeat(900))]);
        let problems = long_files(tree.path(), &files(tree.path()).unwrap()).unwrap();
        assert_eq!(problems, ["a.rs: 501 lines; 500 are enough for one file"]);
    }

    #[test]
    fn a_path_of_this_machine_is_found() {
        let tree = tree_of(&[("a.toml", "x = 1\ny = \"/home/me/project/x\""), ("b.toml", "y = \"/home/you\"")]);
        let problems = machine_paths(tree.path(), &files(tree.path()).unwrap(), &["/home/me/".to_owned()]).unwrap();
        assert_eq!(problems, ["a.toml:2: names /home/me/, a folder of one machine"]);
    }

    #[test]
    fn a_needle_is_found_wherever_it_is() {
        assert!(contains(b"aab", b"ab"));
        assert!(contains(b"ab", b"ab"));
        assert!(!contains(b"a", b"ab"));
        assert!(!contains(b"", b"ab"));
    }
}
