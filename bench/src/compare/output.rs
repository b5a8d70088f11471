//! Writes the result and its page, completely or not at all.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tempfile::NamedTempFile;

use crate::compare::page;
use crate::compare::result::{Comparison, SCHEMA};

/// A folder that the result will be written to.
pub(super) struct Output {
    folder: PathBuf,
}

impl Output {
    /// Checks in advance that the result can be written. Without `out` the folder is `target/compare/<time>`.
    pub(super) fn prepare(out: Option<&Path>, time: &str) -> Result<Self> {
        let folder = match out {
            Some(out) => out.to_owned(),
            // Some file systems allow no colons in file names.
            None => Path::new("target/compare").join(time.replace(':', "-")),
        };
        let existing = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
        let existing = if existing.as_os_str().is_empty() { Path::new(".") } else { existing };
        NamedTempFile::new_in(existing)
            .map_err(|error| anyhow::anyhow!("cannot write to {}: {}", folder.display(), error.kind()))?;
        Ok(Self { folder })
    }

    /// Writes `result.json` and `report.html`, and returns their paths.
    pub(super) fn write(&self, result: &Comparison) -> Result<[PathBuf; 2]> {
        std::fs::create_dir_all(&self.folder).with_context(|| format!("cannot write to {}", self.folder.display()))?;
        let paths = ["result.json", "report.html"].map(|name| self.folder.join(name));
        write(&paths[0], json(result)?.as_bytes())?;
        write(&paths[1], page::render(result)?.as_bytes())?;
        Ok(paths)
    }
}

/// Writes a file completely or not at all.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<()> {
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
/// Fails if the file can't be read or is not a result of this version.
pub(crate) fn read(path: &Path) -> Result<Comparison> {
    parse(&crate::text::read(path)?).with_context(|| path.display().to_string())
}

/// Reads the text of a `result.json`.
pub(super) fn parse(text: &str) -> Result<Comparison> {
    let result: serde_json::Value = serde_json::from_str(text).context("is not JSON")?;
    let schema = result.get("schema").and_then(serde_json::Value::as_str).unwrap_or("none");
    ensure!(schema == SCHEMA, "is no result of `isotherm compare`: its schema is {schema}, not {SCHEMA}");
    serde_json::from_value(result)
        .context("lacks what this version of isotherm reads; measure again with `isotherm compare`")
}

/// The result as JSON on one line: most of it is samples, which nobody reads by eye.
pub(super) fn json(result: &Comparison) -> Result<String> {
    let mut text = serde_json::to_string(result)?;
    text.push('\n');
    Ok(text)
}
