//! Writes the result and its page, completely or not at all.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

use crate::render::page;
use crate::results::Comparison;
use crate::results::file::{json, write};

/// A folder that the result will be written to.
pub(crate) struct Output {
    folder: PathBuf,
}

impl Output {
    /// Checks in advance that the result can be written. Without `out` the folder is `target/compare/<time>`.
    pub(crate) fn prepare(out: Option<&Path>, time: &str) -> Result<Self> {
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

    /// Makes the folder for what the platforms log: a line for each request on Lambda.
    pub(crate) fn logs(&self) -> Result<PathBuf> {
        let logs = self.folder.join("logs");
        std::fs::create_dir_all(&logs).with_context(|| format!("cannot write to {}", logs.display()))?;
        Ok(logs)
    }

    /// Writes `result.json` and `report.html`, and returns their paths.
    pub(crate) fn write(&self, result: &Comparison) -> Result<[PathBuf; 2]> {
        std::fs::create_dir_all(&self.folder).with_context(|| format!("cannot write to {}", self.folder.display()))?;
        let paths = ["result.json", "report.html"].map(|name| self.folder.join(name));
        write(&paths[0], json(result)?.as_bytes())?;
        write(&paths[1], page::render(result)?.as_bytes())?;
        Ok(paths)
    }
}
