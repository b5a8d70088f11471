//! Exports in files: lines of JSON, packed with gzip.
//!
//! ```text
//! {"isotherm":"export","version":1,"from":"…","at":"…"}
//! {"event":{"digest":"…","expiresAt":…,"record":{…}}}      one line an event
//! {"rollups":{"key":"…","page":"…"}}                       one line a page
//! {"manifest":{…}}
//! ```

use std::fmt::{Display, Formatter};
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use isotherm_core::StoredPage;
use serde::Deserialize;
use serde_json::value::RawValue;
use tempfile::NamedTempFile;

use super::lines::{EventLine, is_stand_in, page_line, page_of};
use super::manifest::Manifest;
use crate::load::Url;

/// The version of the format.
const VERSION: u32 = 1;
/// The first bytes of a file that is packed with gzip.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A file that an export is written into. It gets its name when it is complete.
pub(super) struct FileSink {
    path: PathBuf,
    file: Option<GzEncoder<BufWriter<NamedTempFile>>>,
}

/// A line of a file.
#[derive(Deserialize)]
pub(super) struct Line<'a> {
    #[serde(default)]
    version: Option<u32>,
    #[serde(borrow, default)]
    pub(super) event: Option<EventLine<'a>>,
    #[serde(borrow, default)]
    pub(super) rollups: Option<&'a RawValue>,
    #[serde(default)]
    manifest: Option<Manifest>,
}

impl FileSink {
    pub(super) fn create(path: &Path, from: &Url) -> Result<Self> {
        let name = path.display();
        ensure!(!path.exists(), "{name} is there already: name another file");
        let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        let file = NamedTempFile::new_in(folder).with_context(|| format!("cannot make the file {name}"))?;
        let mut sink =
            Self { path: path.to_owned(), file: Some(GzEncoder::new(BufWriter::new(file), Compression::default())) };
        let (from, at) = (serde_json::to_string(&from.to_string())?, jiff::Timestamp::now());
        sink.line(&format!(r#"{{"isotherm":"export","version":{VERSION},"from":{from},"at":"{at}"}}"#))?;
        Ok(sink)
    }

    pub(super) fn event(&mut self, event: &EventLine<'_>) -> Result<()> {
        let EventLine { digest, expires_at, record, .. } = event;
        self.line(&format!(r#"{{"event":{{"digest":"{digest}","expiresAt":{expires_at},"record":{record}}}}}"#))
    }

    pub(super) fn page(&mut self, page: &StoredPage) -> Result<()> {
        let page = page_line(page)?;
        self.line(&format!(r#"{{"rollups":{page}}}"#))
    }

    pub(super) fn end(&mut self, manifest: &Manifest) -> Result<()> {
        self.line(&format!(r#"{{"manifest":{}}}"#, serde_json::to_string(manifest)?))?;
        let Some(file) = self.file.take() else { return Ok(()) };
        let cannot = || format!("cannot write {}", self.path.display());
        let file = file.finish().with_context(cannot)?.into_inner().with_context(cannot)?;
        file.as_file().sync_all().with_context(cannot)?;
        file.persist_noclobber(&self.path).with_context(cannot).map(drop)
    }

    fn line(&mut self, line: &str) -> Result<()> {
        let Some(file) = &mut self.file else { bail!("the export has ended") };
        writeln!(file, "{line}").with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// The place of a line in a file.
pub(super) struct Place<'p> {
    path: &'p Path,
    /// The first line is 1.
    number: usize,
}

/// Hands out each line of an export, with its place.
pub(super) fn lines<'p>(path: &'p Path) -> Result<impl Iterator<Item = Result<(Place<'p>, String)>> + use<'p>> {
    let cannot = || format!("cannot read {}", path.display());
    let mut file = BufReader::new(File::open(path).with_context(cannot)?);
    let is_gzip = file.fill_buf().with_context(cannot)?.starts_with(&GZIP);
    ensure!(is_gzip, "{}: an export is packed with gzip", Place { path, number: 1 });
    let lines = BufReader::new(MultiGzDecoder::new(file)).lines();
    Ok(lines.enumerate().map(move |(at, line)| {
        let place = Place { path, number: at + 1 };
        let line = line.with_context(|| format!("{}: line {} can't be read", path.display(), place.number))?;
        Ok((place, line))
    }))
}

impl Place<'_> {
    pub(super) fn read<'l>(&self, line: &'l str) -> Result<Line<'l>> {
        let shown = || line.chars().take(80).collect::<String>();
        serde_json::from_str(line).with_context(|| format!("{self}: {}", shown()))
    }

    pub(super) fn page(&self, page: &RawValue) -> Result<StoredPage> {
        page_of(page.get()).with_context(|| self.to_string())
    }
}

/// The beginning of an error about the line.
impl Display for Place<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: line {} is no line of an export", self.path.display(), self.number)
    }
}

/// Reads all of the file, and checks it against its own manifest. Returns that manifest, and one without the events
/// that expire before `horizon`.
pub(super) fn manifest(path: &Path, horizon: u64) -> Result<(Manifest, Manifest)> {
    let (mut found, mut promised) = (Manifest::default(), None);
    let mut lasting = Manifest::until(horizon);
    for line in lines(path)? {
        let (place, line) = line?;
        ensure!(promised.is_none(), "{}: lines follow the manifest", path.display());
        let Line { version, event, rollups, manifest } = place.read(&line)?;
        if place.number == 1 {
            let version = version.with_context(|| format!("{} is no export", path.display()))?;
            ensure!(version <= VERSION, "{} is of version {version}; this program reads {VERSION}", path.display());
        }
        if let Some(event) = event {
            found.event_line(&event).with_context(|| place.to_string())?;
            lasting.event_line(&event)?;
        }
        if let Some(page) = rollups {
            let page = place.page(page)?;
            if !is_stand_in(&page) {
                found.page(&page);
                lasting.page(&page);
            }
        }
        promised = manifest;
    }
    let promised = promised
        .with_context(|| format!("{} has no manifest at its end: the export was broken off", path.display()))?;
    let differences = promised.differences(&found);
    ensure!(differences.is_empty(), "{} is damaged:\n  {}", path.display(), differences.join("\n  "));
    Ok((promised, lasting))
}
