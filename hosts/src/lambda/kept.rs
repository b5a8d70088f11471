//! JSON files in the data folder, for state that must survive a restart.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads `file`; `None` if it does not exist yet.
pub(crate) fn load<T: DeserializeOwned>(file: &Path) -> Result<Option<T>> {
    let problem = || format!("cannot read {}", file.display());
    match std::fs::read(file) {
        Ok(kept) => serde_json::from_slice(&kept).map(Some).with_context(problem),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(problem),
    }
}

/// Replaces `file`. It writes the new content beside it first, so that nobody reads half a file.
pub(crate) fn replace(file: &Path, kept: &impl Serialize) -> Result<()> {
    let unfinished = file.with_extension("new");
    std::fs::write(&unfinished, serde_json::to_vec(kept)?)?;
    Ok(std::fs::rename(&unfinished, file)?)
}
