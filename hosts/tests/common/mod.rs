//! What the tests of the hosts share.

use std::path::{Path, PathBuf};

/// The folder of a platform in one of the sets that `cargo xtask build` makes. A test fails without it: a host that can't be
/// tested is no host that passed.
#[track_caller]
pub(crate) fn built(set: &str, platform: &str) -> PathBuf {
    let root = std::env::var_os("ISOTHERM_ARTIFACTS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/artifacts"), PathBuf::from);
    let artifact = root.join(set).join(platform);
    assert!(artifact.is_dir(), "no artifact in {}: run `cargo xtask build`", artifact.display());
    artifact
}
