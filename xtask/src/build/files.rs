//! Files that are written only when they change, and then whole.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use zip::write::SimpleFileOptions;

/// Copies a file unless the copy is there already. A program that runs from the old copy is not disturbed.
pub(crate) fn copy_if_changed(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if fs::read(to).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    let part = to.with_extension("part");
    fs::copy(from, &part)
        .and_then(|_| fs::rename(&part, to))
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

/// A zip as Lambda takes it, holding `program` as `bootstrap`; made when the program is newer than the zip.
pub(crate) fn zip_if_changed(program: &Path, zip: &Path) -> Result<()> {
    let modified = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified());
    if modified(zip).is_ok_and(|made| modified(program).is_ok_and(|changed| changed <= made)) {
        return Ok(());
    }
    let part = zip.with_extension("part");
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    File::create(&part)
        .map_err(anyhow::Error::from)
        .and_then(|file| write_zip(file, &bytes))
        .and_then(|()| Ok(fs::rename(&part, zip)?))
        .with_context(|| format!("cannot write {}", zip.display()))
}

/// Equal programs give equal zips: no time of day, no owner.
fn write_zip(file: File, program: &[u8]) -> Result<()> {
    let mut zip = zip::ZipWriter::new(file);
    let options = SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Deflated)
        .compression_level(Some(9))
        .last_modified_time(zip::DateTime::default())
        .unix_permissions(0o755);
    zip.start_file("bootstrap", options)?;
    zip.write_all(program)?;
    zip.finish()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_programs_give_equal_zips_whose_bootstrap_can_be_started() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("ingest");
        fs::write(&program, "\x7fELF and so on").unwrap();
        let [one, two] = ["one.zip", "two.zip"].map(|name| dir.path().join(name));
        zip_if_changed(&program, &one).unwrap();
        zip_if_changed(&program, &two).unwrap();
        assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());
        let mut archive = zip::ZipArchive::new(File::open(one).unwrap()).unwrap();
        assert_eq!(archive.len(), 1);
        let bootstrap = archive.by_name("bootstrap").unwrap();
        assert_eq!(bootstrap.unix_mode().map(|mode| mode & 0o777), Some(0o755));
    }

    #[test]
    fn a_copy_follows_its_original() {
        let dir = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "folder/to"].map(|name| dir.path().join(name));
        for content in ["first", "second"] {
            fs::write(&from, content).unwrap();
            copy_if_changed(&from, &to).unwrap();
            assert_eq!(fs::read_to_string(&to).unwrap(), content);
        }
        let before = fs::metadata(&to).unwrap().modified().unwrap();
        copy_if_changed(&from, &to).unwrap();
        assert_eq!(fs::metadata(&to).unwrap().modified().unwrap(), before);
    }
}
