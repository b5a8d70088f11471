//! Reads and writes results.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use tempfile::NamedTempFile;

use crate::results::scope::scopes;
use crate::results::upgrade::{OLD, upgraded};
use crate::results::{Comparison, SCHEMA};

/// Writes a file completely or not at all.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<()> {
    let writing = || format!("cannot write {}", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder).with_context(writing)?;
    file.write_all(content).with_context(writing)?;
    file.as_file().sync_all().with_context(writing)?;
    // Only its owner can read a temporary file, but a result should have the usual permissions.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(mode).with_context(writing)?;
    file.persist(path).with_context(writing)?;
    Ok(())
}

/// Reads a `result.json`.
///
/// # Errors
/// Fails if the file can't be read, or is not a result of this version or the one before.
pub(crate) fn read(path: &Path) -> Result<Comparison> {
    parse(&crate::text::read(path)?).with_context(|| path.display().to_string())
}

/// Reads the text of a `result.json`.
pub(crate) fn parse(text: &str) -> Result<Comparison> {
    let result: serde_json::Value = serde_json::from_str(text).context("is not JSON")?;
    let schema = result.get("schema").and_then(serde_json::Value::as_str).unwrap_or("none");
    ensure!(
        [SCHEMA, OLD].contains(&schema),
        "is no result of `isotherm compare`: its schema is {schema}, not {SCHEMA} or {OLD}"
    );
    let mut result: Comparison = serde_json::from_value(upgraded(result))
        .context("lacks what this version of isotherm reads; measure again with `isotherm compare`")?;
    for measured in result.platforms.iter_mut().filter(|measured| measured.scopes.is_empty()) {
        measured.scopes = scopes(measured.platform, &measured.figures.runtime.name);
    }
    Ok(result)
}

/// The result as JSON on one line: most of it is samples, which nobody reads by eye.
pub(crate) fn json(result: &Comparison) -> Result<String> {
    let mut text = serde_json::to_string(result)?;
    text.push('\n');
    Ok(text)
}
