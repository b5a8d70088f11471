//! Measures the size of deployed artifacts.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use isotherm_hosts::Platform;

use crate::measure::role::Role;
use crate::results::{Artifact, ArtifactFile};

/// The size of the files in `folder` that are deployed to the platform: unpacked, and with each file packed by itself.
pub(crate) fn measure(platform: Platform, role: Role, folder: &Path) -> Result<Artifact> {
    let paths = files(platform, role, folder)?;
    let files: Vec<ArtifactFile> = paths.iter().map(|path| file(folder, path)).collect::<Result<_>>()?;
    let sum = |size: fn(&ArtifactFile) -> u64| files.iter().map(size).sum();
    Ok(Artifact { raw_bytes: sum(|file| file.raw_bytes), gzip_bytes: sum(|file| file.gzip_bytes), files })
}

/// The files in `folder` that are deployed to the platform.
///
/// # Errors
/// Fails if one is missing.
pub(crate) fn files(platform: Platform, role: Role, folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    match platform {
        Platform::Lambda if role == Role::Baseline => {
            paths.extend(["ingest", "index.mjs"].map(|name| folder.join(name)))
        }
        // Each function is deployed as a zip of this one program. The program itself is counted, so that packing is the
        // same for all platforms.
        Platform::Lambda => paths.push(folder.join("bootstrap")),
        Platform::Workers => modules(folder, &mut paths)?,
        Platform::Spin => paths.push(folder.join("isotherm.wasm")),
        Platform::Native => paths.push(folder.join("isotherm-native")),
    }
    paths.sort();
    ensure!(!paths.is_empty(), "{} holds no modules", folder.display());
    for path in &paths {
        ensure!(path.is_file(), "there is no file {}", path.display());
    }
    Ok(paths)
}

/// The files of the bundle: the main module and its wasm. Other builds leave files in subfolders, which are not
/// deployed.
fn modules(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_file() && path.extension().is_some_and(|extension| extension == "js" || extension == "wasm") {
            paths.push(path);
        }
    }
    Ok(())
}

fn file(folder: &Path, path: &Path) -> Result<ArtifactFile> {
    let reading = || format!("cannot read {}", path.display());
    let mut input = std::fs::File::open(path).with_context(reading)?;
    let mut packed = GzEncoder::new(Counter(0), Compression::best());
    let raw_bytes = std::io::copy(&mut input, &mut packed).with_context(reading)?;
    let gzip_bytes = packed.finish().with_context(reading)?.0;
    let name = path.strip_prefix(folder).unwrap_or(path).display().to_string();
    Ok(ArtifactFile { name, raw_bytes, gzip_bytes })
}

/// A writer that counts its bytes.
struct Counter(u64);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_deployed_counts() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("worker")).unwrap();
        for (name, size) in
            [("index.js", 1000), ("index.d.ts", 9), ("a.wasm", 500), ("worker/shim.js", 9), ("package.json", 9)]
        {
            std::fs::write(folder.path().join(name), vec![b'a'; size]).unwrap();
        }
        let artifact = measure(Platform::Workers, Role::Own, folder.path()).unwrap();
        let names: Vec<&str> = artifact.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["a.wasm", "index.js"]);
        assert_eq!(artifact.raw_bytes, 1500);
        assert!((20..200).contains(&artifact.gzip_bytes), "{}", artifact.gzip_bytes);
    }

    #[test]
    fn a_missing_artifact_is_named() {
        let error = measure(Platform::Spin, Role::Own, Path::new("/nowhere")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/isotherm.wasm"), "{error}");
    }
}
