//! Checks that core does no I/O, asks no clock and no randomness, is never async and knows no platform.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Result;

use super::source::{lines, names};
use super::{files, is_rust};

/// Names that core must not use, and why.
const FORBIDDEN: [(&str, &str); 22] = [
    ("async", "core is never async: a host does the waiting"),
    ("await", "core is never async: a host does the waiting"),
    ("Instant", "core asks no clock: time is in the Stamp"),
    ("SystemTime", "core asks no clock: time is in the Stamp"),
    ("::now", "core asks no clock: time is in the Stamp"),
    ("getrandom", "core has no randomness: entropy is in the Stamp"),
    ("rand", "core has no randomness: entropy is in the Stamp"),
    ("thread_rng", "core has no randomness: entropy is in the Stamp"),
    ("RandomState", "core has no randomness: entropy is in the Stamp"),
    ("HashMap", "its order differs from run to run: use BTreeMap"),
    ("HashSet", "its order differs from run to run: use BTreeSet"),
    ("std::fs", "core does no I/O"),
    ("std::io::std", "core does no I/O"), // reading a slice by std::io::Read is no I/O
    ("std::net", "core does no I/O"),
    ("std::env", "core does no I/O: configuration is an argument"),
    ("std::process", "core does no I/O"),
    ("std::thread", "core starts nothing"),
    ("println!", "core does no I/O"),
    ("target_arch", "core knows no platform"),
    ("target_family", "core knows no platform"),
    ("target_os", "core knows no platform"),
    ("extern", "core calls nothing from outside"),
];

/// Everything that core may depend on, and why. A crate that does I/O, or asks for time or randomness, has no place
/// here.
const DEPENDENCIES: [(&str, &str); 60] = [
    ("isotherm-core", "itself"),
    ("adler2", "checksums of flate2"),
    ("autocfg", "when num-traits is compiled"),
    ("base16ct", "of sec1"),
    ("base64", "Basic credentials"),
    ("block-buffer", "of digest"),
    ("cfg-if", "of sha2 and crc32fast"),
    ("cmov", "of ctutils"),
    ("const-oid", "of der"),
    ("cpubits", "of crypto-bigint"),
    ("cpufeatures", "of sha2, to choose instructions"),
    ("crc32fast", "checksums of flate2"),
    ("crypto-bigint", "of p256"),
    ("crypto-common", "of digest"),
    ("ctutils", "comparisons in constant time, of digest"),
    ("curve25519-dalek", "of ed25519-dalek"),
    ("curve25519-dalek-derive", "when curve25519-dalek is compiled"),
    ("der", "of sec1"),
    ("digest", "of sha2 and hmac"),
    ("ecdsa", "of p256"),
    ("ed25519", "of ed25519-dalek"),
    ("ed25519-dalek", "tokens signed with EdDSA"),
    ("elliptic-curve", "of p256"),
    ("ff", "of p256"),
    ("fiat-crypto", "of curve25519-dalek"),
    ("flate2", "gzip bodies, packed documents and time zones"),
    ("form_urlencoded", "queries of reports"),
    ("group", "of p256"),
    ("hmac", "tokens signed with HS256, hashes of personal data"),
    ("hybrid-array", "of digest"),
    ("itoa", "of serde_json"),
    ("memchr", "of serde_json"),
    ("miniz_oxide", "of flate2"),
    ("num-traits", "of crypto-bigint"),
    ("p256", "tokens signed with ES256"),
    ("percent-encoding", "whether a query is UTF-8; of form_urlencoded"),
    ("primefield", "of p256"),
    ("primeorder", "of p256"),
    ("proc-macro2", "when serde's derive is compiled"),
    ("quote", "when serde's derive is compiled"),
    ("rand_core", "traits alone, of signature"),
    ("rfc6979", "of ecdsa"),
    ("rustc_version", "when curve25519-dalek is compiled"),
    ("sec1", "of p256"),
    ("semver", "of rustc_version"),
    ("serde", "events as JSON"),
    ("serde_core", "of serde"),
    ("serde_derive", "of serde"),
    ("serde_json", "events as JSON"),
    ("sha2", "event ids, content digests, hashed keys"),
    ("signature", "of ecdsa and ed25519"),
    ("simd-adler32", "of miniz_oxide"),
    ("subtle", "keys are compared in constant time"),
    ("syn", "when serde's derive is compiled"),
    ("twox-hash", "users of rollups: a hash that is the same everywhere"),
    ("typenum", "of sha2"),
    ("unicode-ident", "when serde's derive is compiled"),
    ("wnaf", "of p256"),
    ("zeroize", "of p256"),
    ("zmij", "of serde_json"),
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

/// Finds crates in the output of `cargo tree` that core may not depend on.
pub(super) fn dependencies(tree: &str) -> Vec<String> {
    let found: BTreeSet<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let allowed = |name: &str| DEPENDENCIES.iter().any(|(known, _)| *known == name);
    let mut problems: Vec<String> = found
        .iter()
        .filter(|name| !allowed(name))
        .map(|name| {
            format!("core depends on {name}: if it does no I/O and asks no clock and no randomness, add it to DEPENDENCIES in xtask/src/gates/core.rs")
        })
        .collect();
    if !found.contains("isotherm-core") {
        problems.push("cargo tree did not show isotherm-core".to_owned());
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gates::tree_of;

    #[test]
    fn each_impure_name_is_found() {
        for (code, name) in [
            ("pub async fn admit() {}", "async"),
            ("let t = std::time::SystemTime::now();", "SystemTime"),
            ("use std::fs::File;", "std::fs"),
            ("let e = getrandom::u64();", "getrandom"),
            ("#[cfg(target_arch = \"wasm32\")]", "target_arch"),
        ] {
            let tree = tree_of(&[("a/b.rs", &format!("//! async, SystemTime, std::fs: fine here\n{code}\n"))]);
            let problems = purity(tree.path()).unwrap();
            assert!(problems.iter().any(|problem| problem.contains(&format!("b.rs:2: `{name}`"))), "{problems:?}");
        }
    }

    #[test]
    fn pure_code_passes() {
        let tree = tree_of(&[("lib.rs", "use std::io::Read;\nfn known(nowhere: u8) -> &'static str { \"now\" }\n")]);
        assert_eq!(purity(tree.path()).unwrap(), [""; 0]);
    }

    #[test]
    fn a_dependency_that_is_not_listed_is_found() {
        let tree = "isotherm-core v0.1.0 (/somewhere/core)\nserde v1.0.0\ntokio v1.40.0\nserde v1.0.0 (*)\n";
        let problems = dependencies(tree);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("core depends on tokio"));
        assert!(!dependencies("").is_empty());
    }
}
