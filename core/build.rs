//! Compresses the documents that are built into the program. Uncompressed they would be a twentieth of the smallest
//! artifact.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use flate2::{Compression, GzBuilder};

fn main() -> io::Result<()> {
    let source = Path::new("src/openapi.json");
    println!("cargo::rerun-if-changed={}", source.display());
    let folder = env::var_os("OUT_DIR").map(PathBuf::from).ok_or(io::ErrorKind::NotFound)?;
    let mut packed = GzBuilder::new().write(fs::File::create(folder.join("openapi.json.gz"))?, Compression::best());
    packed.write_all(&fs::read(source)?)?;
    packed.finish()?;
    Ok(())
}
