//! Checks that deployed artifacts are small, that no request can tell them the time, and that they name nothing of
//! the machine that built them.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::files;
use super::tree::contains;

/// The header that only the feature `test-stamp` knows.
const TEST_STAMP: &[u8] = b"x-isotherm-test-stamp";

/// Files of a platform that together may have this many bytes, as they are or packed by gzip.
struct Budget {
    platform: &'static str,
    files: &'static [&'static str],
    gzip: bool,
    bytes: usize,
}

const BUDGETS: [Budget; 3] = [
    Budget { platform: "workers", files: &["workers/index.js", "workers/index_bg.wasm"], gzip: true, bytes: 500_000 },
    Budget { platform: "spin", files: &["spin/isotherm.wasm"], gzip: false, bytes: 1_000_000 },
    Budget { platform: "lambda", files: &["lambda/bootstrap.zip"], gzip: false, bytes: 5_500_000 },
];

/// Finds artifacts of these platforms that exceed their budgets.
pub(super) fn budgets(set: &Path, platforms: &[&str]) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let budgets = BUDGETS.into_iter().filter(|budget| platforms.contains(&budget.platform));
    for Budget { files, gzip, bytes: most, .. } in budgets {
        let mut size = 0;
        for file in files {
            let path = set.join(file);
            let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            size += if gzip { packed(&bytes)? } else { bytes.len() };
        }
        let (files, form) = (files.join(" + "), if gzip { "packed by gzip" } else { "as it is" });
        println!("  {files}: {size} of {most} bytes {form}");
        if size > most {
            problems.push(format!("{files}: {size} bytes {form}; the budget is {most}"));
        }
    }
    Ok(problems)
}

fn packed(bytes: &[u8]) -> Result<usize> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?.len())
}

/// Finds release artifacts that know the test stamp. It also finds test artifacts that don't, since the gate would
/// then look for the wrong text.
pub(super) fn test_stamp(artifacts: &Path, platforms: &[&str]) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for platform in platforms {
        for (set, expected) in [("release", false), ("test", true)] {
            let mut knows = false;
            for path in files(&artifacts.join(set).join(platform))? {
                if contains(&fs::read(&path)?, TEST_STAMP) {
                    knows = true;
                    if !expected {
                        problems.push(format!("{} knows the test stamp: it must not be deployed", path.display()));
                    }
                }
            }
            if expected && !knows {
                problems.push(format!(
                    "nothing in {set}/{platform} knows the test stamp, so its absence elsewhere proves nothing"
                ));
            }
        }
    }
    Ok(problems)
}

/// Finds artifacts that name a folder of this machine. Zips are left out: they hold the programs beside them.
pub(super) fn machine_paths(artifacts: &Path, platforms: &[&str], private: &[String]) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for platform in platforms {
        let files = files(&artifacts.join("release").join(platform))?;
        for path in files.into_iter().filter(|path| path.extension().is_none_or(|it| it != "zip")) {
            let bytes = fs::read(&path)?;
            for found in private.iter().filter(|private| contains(&bytes, private.as_bytes())) {
                problems.push(format!("{} names {found}, a folder of one machine", path.display()));
            }
        }
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::PLATFORMS;
    use crate::gates::tree_of;

    #[test]
    fn an_artifact_over_its_budget_is_found() {
        let big = "x".repeat(1_000_001); // packs to almost nothing
        let content = |spin: &'static str| {
            [
                ("workers/index.js", big.as_str()),
                ("workers/index_bg.wasm", big.as_str()),
                ("spin/isotherm.wasm", if spin == "big" { big.as_str() } else { spin }),
                ("lambda/bootstrap.zip", ""),
            ]
        };
        let problems = budgets(tree_of(&content("big")).path(), &PLATFORMS).unwrap();
        assert_eq!(problems, ["spin/isotherm.wasm: 1000001 bytes as it is; the budget is 1000000"]);
        assert_eq!(budgets(tree_of(&content("small")).path(), &PLATFORMS).unwrap(), [""; 0]);
    }

    #[test]
    fn a_missing_artifact_does_not_pass() {
        assert!(budgets(tree_of(&[]).path(), &PLATFORMS).is_err());
        assert!(budgets(tree_of(&[]).path(), &["native"]).is_ok());
    }

    #[test]
    fn a_test_stamp_is_found_where_it_must_not_be_and_missed_where_it_must() {
        let stamp = "… x-isotherm-test-stamp …";
        let names: Vec<String> =
            PLATFORMS.iter().flat_map(|it| [format!("release/{it}/a"), format!("test/{it}/a")]).collect();
        let right: Vec<(&str, &str)> =
            names.iter().map(|name| (name.as_str(), if name.starts_with("test") { stamp } else { "" })).collect();
        assert_eq!(test_stamp(tree_of(&right).path(), &PLATFORMS).unwrap(), [""; 0]);
        let wrong: Vec<(&str, &str)> =
            right.iter().map(|(name, text)| (*name, if text.is_empty() { stamp } else { "" })).collect();
        assert_eq!(test_stamp(tree_of(&wrong).path(), &PLATFORMS).unwrap().len(), 8);
    }

    #[test]
    fn a_path_of_this_machine_is_found() {
        let tree =
            tree_of(&[("release/native/a", "panicked at /home/me/x.rs"), ("release/native/b", "at /crates/x.rs")]);
        assert_eq!(machine_paths(tree.path(), &["native"], &["/home/me/".to_owned()]).unwrap().len(), 1);
    }
}
