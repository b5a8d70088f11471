//! Writes files only when they change, and then as a whole.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use zip::write::SimpleFileOptions;

/// Copies a file unless the copy is the same already. A program that runs from the old copy is not disturbed.
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

/// Runs `make` unless `output` was made from this content of `inputs` by this `recipe`, the source code that makes
/// it.
///
/// The note about that content lies beside the platforms' folders, because these are handed out whole.
pub(crate) fn when_changed(
    recipe: &str,
    inputs: &[&Path],
    output: &Path,
    make: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let mut hasher = DefaultHasher::new();
    recipe.hash(&mut hasher);
    for path in inputs {
        fs::read(path).with_context(|| format!("cannot read {}", path.display()))?.hash(&mut hasher);
    }
    let made_from = format!("{:016x}", hasher.finish());
    let (Some(file), Some(folder)) = (output.file_name(), output.parent()) else {
        bail!("{} is no path of an artifact", output.display());
    };
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push("-");
    name.push(file);
    let memories = folder.parent().unwrap_or(folder).join(".made-from");
    let memory = memories.join(name);
    if output.is_file() && fs::read_to_string(&memory).is_ok_and(|text| text == made_from) {
        return Ok(());
    }
    make()?;
    fs::create_dir_all(memories)?;
    fs::write(&memory, made_from).with_context(|| format!("cannot write {}", memory.display()))
}

/// Makes a zip for Lambda that holds `program` as `bootstrap`.
pub(crate) fn zip_if_changed(program: &Path, zip: &Path) -> Result<()> {
    when_changed(include_str!("files.rs"), &[program], zip, || {
        let part = zip.with_extension("part");
        let bytes = fs::read(program)?;
        File::create(&part)
            .map_err(anyhow::Error::from)
            .and_then(|file| write_zip(file, &bytes))
            .and_then(|()| Ok(fs::rename(&part, zip)?))
            .with_context(|| format!("cannot write {}", zip.display()))
    })
}

/// Writes the zip without a time and an owner, so that equal programs give equal zips.
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
        let dir = dir.path().join("lambda");
        fs::create_dir(&dir).unwrap();
        let program = dir.join("ingest");
        fs::write(&program, "\x7fELF and so on").unwrap();
        let [one, two] = ["one.zip", "two.zip"].map(|name| dir.join(name));
        zip_if_changed(&program, &one).unwrap();
        zip_if_changed(&program, &two).unwrap();
        assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());
        let mut archive = zip::ZipArchive::new(File::open(one).unwrap()).unwrap();
        assert_eq!(archive.len(), 1);
        let bootstrap = archive.by_name("bootstrap").unwrap();
        assert_eq!(bootstrap.unix_mode().map(|mode| mode & 0o777), Some(0o755));
    }

    #[test]
    fn what_is_made_is_made_again_when_an_input_or_the_recipe_changes() {
        let dir = tempfile::tempdir().unwrap();
        let [input, output] = ["input", "spin/output"].map(|name| dir.path().join(name));
        fs::create_dir(dir.path().join("spin")).unwrap();
        let made = |recipe: &str, text: &str| {
            let mut made = false;
            fs::write(&input, text).unwrap();
            let make = || {
                made = true;
                Ok(fs::write(&output, text)?)
            };
            when_changed(recipe, &[&input], &output, make).unwrap();
            made
        };
        let runs = [("-Os", "a"), ("-Os", "a"), ("-Os", "b"), ("-Oz", "b"), ("-Oz", "b")];
        assert_eq!(runs.map(|(recipe, text)| made(recipe, text)), [true, false, true, true, false]);
        fs::remove_file(&output).unwrap();
        assert!(made("-Oz", "b"));
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
