//! The progress of a move, in a file. A killed move goes on from there.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The progress of a move: a cursor into the events of each part.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    from: String,
    to: String,
    /// A hash of the other settings that tell one move from another. They have keys, so they are not stored themselves.
    of: String,
    /// The cursor by part.
    pub(super) events: BTreeMap<u32, String>,
    #[serde(skip)]
    file: Option<PathBuf>,
}

impl State {
    /// The state in the file, or a new one.
    pub(super) fn of_file(file: Option<PathBuf>, from: &str, to: &str, of: &str) -> Result<Self> {
        let of = Sha256::digest(of).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let (from, to) = (from.to_owned(), to.to_owned());
        let fresh = Self { from, to, of, events: BTreeMap::new(), file: file.clone() };
        let Some(path) = file else { return Ok(fresh) };
        let name = path.display().to_string();
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(fresh),
            text => text.with_context(|| format!("cannot read {name}"))?,
        };
        let known: Self = serde_json::from_str(&text).with_context(|| format!("{name} is no state of a move"))?;
        ensure!(
            (&known.from, &known.to, &known.of) == (&fresh.from, &fresh.to, &fresh.of),
            "{name} is of a move from {} to {}, with its keys and flags: name another file with --state",
            known.from,
            known.to
        );
        Ok(Self { file: Some(path), ..known })
    }

    /// Writes the file, whole or not at all.
    pub(super) fn save(&self) -> Result<()> {
        let Some(path) = &self.file else { return Ok(()) };
        let cannot = || format!("cannot write {}", path.display());
        let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        let file = tempfile::NamedTempFile::new_in(folder).with_context(cannot)?;
        serde_json::to_writer(&file, self).with_context(cannot)?;
        file.persist(path).with_context(cannot).map(drop)
    }

    /// Removes the file: the move is done.
    pub(super) fn remove(&self) -> Result<()> {
        let Some(path) = &self.file else { return Ok(()) };
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }
}
