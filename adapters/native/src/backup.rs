//! The raw backup: a file for each fold and tenant, in a folder that may be on another disk.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use isotherm_core::Backup;

/// Writes the file whole and durably, and replaces the file that an earlier try may have left.
pub(crate) fn write(folder: &Path, Backup { key, bytes }: &Backup) -> Result<()> {
    let path = folder.join(key);
    let unfinished = path.with_extension("new");
    let parent = path.parent().unwrap_or(folder);
    let write = || {
        fs::create_dir_all(parent)?;
        let mut file = File::create(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        File::open(parent)?.sync_all()
    };
    write().with_context(|| format!("cannot write the backup {}", path.display()))
}
