//! Checks that core does no I/O, asks for no randomness, is never async and knows no platform. What clippy can check is in
//! `core/clippy.toml`, and what core may depend on in `core/deny.toml`.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::source::{lines, names};
use super::{files, is_rust};

/// Names that core must not use, and why.
const FORBIDDEN: [(&str, &str); 15] = [
    ("async", "core is never async: a host does the waiting"),
    ("await", "core is never async: a host does the waiting"),
    ("getrandom", "core has no randomness: entropy is in the Stamp"),
    ("rand", "core has no randomness: entropy is in the Stamp"),
    ("thread_rng", "core has no randomness: entropy is in the Stamp"),
    ("std::fs", "core does no I/O"),
    ("std::io::std", "core does no I/O"), // reading a slice by std::io::Read is no I/O
    ("std::net", "core does no I/O"),
    ("std::env", "core does no I/O: configuration is an argument"),
    ("std::process", "core does no I/O"),
    ("std::thread", "core starts nothing"),
    ("target_arch", "core knows no platform"),
    ("target_family", "core knows no platform"),
    ("target_os", "core knows no platform"),
    ("extern", "core calls nothing from outside"),
];

/// Finds forbidden names in core's sources.
pub(super) fn purity(dir: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for path in files(dir)?.into_iter().filter(|path| is_rust(path)) {
        for (number, line) in lines(&fs::read_to_string(&path)?).iter().enumerate() {
            for (name, why) in FORBIDDEN.iter().filter(|(name, _)| names(&line.code, name)) {
                problems.push(format!("{}:{}: `{name}`: {why}", path.display(), number + 1));
            }
        }
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gates::tree_of;

    #[test]
    fn each_impure_name_is_found() {
        for (code, name) in [
            ("pub async fn admit() {}", "async"),
            ("use std::fs::File;", "std::fs"),
            ("let e = getrandom::u64();", "getrandom"),
            ("#[cfg(target_arch = \"wasm32\")]", "target_arch"),
        ] {
            let tree = tree_of(&[("a/b.rs", &format!("//! async, std::fs: fine here\n{code}\n"))]);
            let problems = purity(tree.path()).unwrap();
            assert!(problems.iter().any(|problem| problem.contains(&format!("b.rs:2: `{name}`"))), "{problems:?}");
        }
    }

    #[test]
    fn pure_code_passes() {
        let tree = tree_of(&[("lib.rs", "use std::io::Read;\nfn known(nowhere: u8) -> &'static str { \"now\" }\n")]);
        assert_eq!(purity(tree.path()).unwrap(), [""; 0]);
    }
}
