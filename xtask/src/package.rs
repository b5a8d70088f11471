//! Packs what is deployed into `target/package`, with checksums and a list of what it is made of.
//!
//! ```text
//! target/artifacts/release ─▶ zips, archives ─┬─▶ target/package ─▶ SHA256SUMS
//! cargo-cyclonedx ─▶ a bill of materials for each ─┘
//! ```
//!
//! Packed files have neither times nor owners, so equal artifacts make equal packages.

use std::env;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::build::{self, PLATFORMS, Set};
use crate::gates;
use crate::paths;
use crate::setup;
use crate::shell::{cargo, output, phase, program, run, run_logged};

/// The version of cargo-cyclonedx, which is installed once into the tools.
const CYCLONEDX: &str = "0.5.9";
/// The C library of Lambda's system, Amazon Linux 2023.
const NEWEST_GLIBC: (u32, u32) = (2, 34);
/// Where packages go, under `target`.
const PACKAGE: &str = "package";

/// What `cargo xtask package` is asked for.
pub(crate) struct Asked<'a> {
    /// The platforms to pack; none for all that this machine can build.
    pub(crate) platforms: Vec<&'a str>,
    /// Whether what is deployed is built a second time, in an empty folder, and compared.
    pub(crate) twice: bool,
}

impl<'a> Asked<'a> {
    pub(crate) fn parse(arguments: &'a [String]) -> Result<Self> {
        let (mut asked, mut rest) = (Self { platforms: Vec::new(), twice: false }, arguments.iter());
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--twice" => asked.twice = true,
                "--platform" => {
                    let platform = rest.next().map(String::as_str).unwrap_or_default();
                    ensure!(
                        PLATFORMS.contains(&platform),
                        "--platform is {platform:?}; it must be one of {PLATFORMS:?}"
                    );
                    asked.platforms.push(platform);
                }
                other => bail!("`cargo xtask package` does not take {other:?}; see `cargo xtask help`"),
            }
        }
        Ok(asked)
    }
}

/// Builds and packs.
pub(crate) fn make(asked: &Asked<'_>) -> Result<()> {
    let arch = arch();
    // Bundlers for wasm are installed for x86-64 alone.
    let buildable = if arch == "x86_64" { PLATFORMS.to_vec() } else { vec!["lambda", "native"] };
    let platforms = if asked.platforms.is_empty() { buildable } else { asked.platforms.clone() };
    // What lambda's and native's programs need beside cargo is for other commands.
    let wasm: Vec<&str> = platforms.iter().copied().filter(|platform| ["workers", "spin"].contains(platform)).collect();
    let tools = setup::install(&wasm, &[])?;
    let is_whole = asked.platforms.is_empty() && platforms.len() == PLATFORMS.len();
    let mut programs = if is_whole { build::isotherm(&PLATFORMS) } else { program("true") };
    build::all(&tools, &[Set::Release], &platforms, &mut programs)?;
    let to = paths::target().join(PACKAGE);
    pack(&platforms, &to)?;
    if is_whole {
        let release = paths::isotherm().parent().map(Path::to_owned).context("target has no folder")?;
        archive(&to.join(format!("isotherm-{arch}.tar.gz")), &release, &["isotherm", "isotherm-host"])?;
    }
    bills(&platforms, &to)?;
    checksums(&to)?;
    if asked.twice {
        again(&platforms, &to)?;
    }
    phase(&format!("package: {}", to.display()));
    Ok(())
}

/// This machine's architecture, as packages name it.
fn arch() -> &'static str {
    match env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    }
}

/// Packs the artifacts of these platforms into a new folder.
fn pack(platforms: &[&str], to: &Path) -> Result<()> {
    phase("package: packing");
    _ = fs::remove_dir_all(to);
    fs::create_dir_all(to)?;
    let arch = arch();
    for platform in platforms {
        let from = Set::Release.folder(platform);
        match *platform {
            "lambda" => {
                old_enough(&from.join("bootstrap"))?;
                copy(&from.join("bootstrap.zip"), &to.join(format!("isotherm-lambda-{arch}.zip")))?;
            }
            "native" => archive(&to.join(format!("isotherm-native-{arch}.tar.gz")), &from, &["isotherm-native"])?,
            "workers" => archive(&to.join("isotherm-workers.tar.gz"), &from, &["."])?,
            "spin" => copy(&from.join("isotherm.wasm"), &to.join("isotherm-spin.wasm"))?,
            other => bail!("{other} is packed in no way"),
        }
    }
    archive(&to.join("isotherm-deploy.tar.gz"), paths::root(), &["deploy", "docs"])
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).map(drop).with_context(|| format!("cannot copy {}", from.display()))
}

/// Packs files of a folder in the order of their names, without times and owners.
fn archive(to: &Path, folder: &Path, files: &[&str]) -> Result<()> {
    let mut tar = program("tar");
    tar.args(["--create", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"]);
    tar.args(["--format=ustar", "--mode=u=rwX,go=rX", "--use-compress-program=gzip --no-name --best"]);
    run(tar.arg("--file").arg(to).arg("--directory").arg(folder).args(files))
}

/// Fails if a program needs a newer C library than Lambda's system has.
fn old_enough(program_file: &Path) -> Result<()> {
    let symbols = output(program("objdump").arg("-T").arg(program_file))?;
    let newest = newest_glibc(&symbols).with_context(|| format!("{} asks for no glibc", program_file.display()))?;
    ensure!(
        newest <= NEWEST_GLIBC,
        "{} needs glibc {}.{}; Lambda has {}.{}: build it on an older system, such as ubuntu-22.04",
        program_file.display(),
        newest.0,
        newest.1,
        NEWEST_GLIBC.0,
        NEWEST_GLIBC.1
    );
    Ok(())
}

/// The newest version of glibc that a list of dynamic symbols names.
fn newest_glibc(symbols: &str) -> Option<(u32, u32)> {
    let versions = symbols.split("GLIBC_").skip(1).filter_map(|rest| {
        let end = rest.find(|sign: char| !sign.is_ascii_digit() && sign != '.').unwrap_or(rest.len());
        let mut parts = rest[..end].split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    });
    versions.max()
}

/// Writes a bill of materials for each platform: which crates it is made of, as CycloneDX.
fn bills(platforms: &[&str], to: &Path) -> Result<()> {
    let tool = paths::tools().join("cyclonedx");
    if !tool.join("bin/cargo-cyclonedx").is_file() {
        phase("package: cargo-cyclonedx from crates.io");
        let mut install = cargo();
        install.args(["install", "--locked", "--version", CYCLONEDX, "cargo-cyclonedx", "--root"]).arg(&tool);
        run_logged("cyclonedx", install.env_remove("CARGO_TARGET_DIR"))?;
    }
    for platform in platforms {
        let folder = paths::root().join("adapters").join(platform);
        let name = format!("isotherm-{platform}.cdx");
        let mut bill = program(tool.join("bin/cargo-cyclonedx"));
        bill.args(["cyclonedx", "--format", "json", "--spec-version", "1.5", "--override-filename", &name]);
        // Without a time of its own, and so without a number of its own: equal crates make an equal bill.
        bill.env("SOURCE_DATE_EPOCH", "0").arg("--manifest-path").arg(folder.join("Cargo.toml"));
        run_logged("cyclonedx", &mut bill)?;
        // It writes one beside the manifest of each member of the workspace.
        let manifests = output(program("git").args(["ls-files", "-z", "--", "Cargo.toml", "*/Cargo.toml"]))?;
        let file = format!("{name}.json");
        for member in manifests.split_terminator('\0').filter_map(|manifest| Path::new(manifest).parent()) {
            let made = paths::root().join(member).join(&file);
            if made.parent() == Some(&folder) {
                fs::write(to.join(&file), without_root(&fs::read_to_string(&made)?, paths::root()))?;
            }
            // Most are of no use.
            _ = fs::remove_file(made);
        }
    }
    Ok(())
}

/// A bill that does not say where this machine keeps the project.
fn without_root(bill: &str, root: &Path) -> String {
    bill.replace(&format!("file://{}", root.display()), "file:///isotherm")
}

fn checksums(folder: &Path) -> Result<()> {
    let mut names: Vec<String> = gates::files(folder)?
        .iter()
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .filter(|name| name != "SHA256SUMS")
        .collect();
    names.sort();
    let sums = output(program("sha256sum").current_dir(folder).arg("--").args(&names))?;
    print!("{sums}");
    Ok(fs::write(folder.join("SHA256SUMS"), sums)?)
}

/// Builds and packs again, in empty folders, and compares.
fn again(platforms: &[&str], first: &Path) -> Result<()> {
    phase("package: building a second time");
    let (release, kept) = (paths::artifacts().join(Set::Release.name()), paths::artifacts().join("release-first"));
    let memories = paths::artifacts().join(".made-from");
    _ = fs::remove_dir_all(&kept);
    fs::rename(&release, &kept)?;
    _ = fs::remove_dir_all(memories);
    let built = paths::root().join("target/package-again");
    _ = fs::remove_dir_all(&built);
    let mut second = program(env::current_exe()?);
    second.arg("package").env("CARGO_TARGET_DIR", &built);
    for platform in platforms {
        second.args(["--platform", platform]);
    }
    let done = run(&mut second);
    let differ = done.and_then(|()| differences(first, &built.join(PACKAGE)));
    // Puts the first build's folder back.
    _ = fs::remove_dir_all(&release);
    fs::rename(&kept, &release)?;
    let differ = differ?;
    fs::remove_dir_all(&built)?;
    ensure!(differ.is_empty(), "a second build made other files: {}", differ.join(", "));
    println!("a second build, from nothing, made the same bytes");
    Ok(())
}

/// The names of files of the second folder that are not the same in the first.
fn differences(first: &Path, second: &Path) -> Result<Vec<String>> {
    let mut differ = Vec::new();
    for path in gates::files(second)? {
        let name = path.strip_prefix(second)?;
        // The first may have more, and so other sums.
        if name != Path::new("SHA256SUMS") && fs::read(&path)? != fs::read(first.join(name)).unwrap_or_default() {
            differ.push(name.display().to_string());
        }
    }
    Ok(differ)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gates::tree_of;

    #[test]
    fn the_newest_glibc_is_found() {
        let symbols = "0000 DF *UND* 0000 (GLIBC_2.2.5) free\n0000 DF *UND* 0000 (GLIBC_2.34) dlsym\n0 (GLIBC_2.9) x\n";
        assert_eq!(newest_glibc(symbols), Some((2, 34)));
        assert_eq!(newest_glibc("0000 DF *UND* 0000 (GCC_3.0) _Unwind_Resume"), None);
    }

    #[test]
    fn equal_files_make_equal_archives_whatever_their_times() {
        let trees = ["first", "second"].map(|_| tree_of(&[("a/b.js", "1"), ("a/a.js", "2")]));
        let old = fs::File::options().write(true).open(trees[0].path().join("a/b.js")).unwrap();
        old.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        let archives = trees.each_ref().map(|tree| {
            let to = tree.path().join("a.tar.gz");
            archive(&to, tree.path(), &["a"]).unwrap();
            fs::read(to).unwrap()
        });
        assert_eq!(archives[0], archives[1]);
    }

    #[test]
    fn a_bill_names_no_folder_of_this_machine() {
        let bill = r#"{"bom-ref":"path+file:///home/me/isotherm/core#isotherm-core@0.1.0"}"#;
        let expected = r#"{"bom-ref":"path+file:///isotherm/core#isotherm-core@0.1.0"}"#;
        assert_eq!(without_root(bill, Path::new("/home/me/isotherm")), expected);
    }

    #[test]
    fn what_differs_is_named() {
        let (one, other) =
            (tree_of(&[("a", "1"), ("b", "2"), ("c", "3")]), tree_of(&[("a", "1"), ("b", "x"), ("d", "3")]));
        assert_eq!(differences(one.path(), other.path()).unwrap(), ["b", "d"]);
    }

    #[test]
    fn what_is_asked_for_is_known() {
        let parse = |arguments: &[&str]| {
            let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
            Asked::parse(&arguments).map(|asked| asked.platforms.len()).map_err(|error| error.to_string())
        };
        assert_eq!(parse(&["--platform", "spin", "--twice"]), Ok(1));
        assert!(parse(&["--platform", "moon"]).unwrap_err().contains("\"moon\""));
        assert!(parse(&["--arch"]).unwrap_err().contains("does not take"));
    }
}
