//! Raw backups in a folder, as every platform names its objects.
//!
//! ```text
//! TENANT/2013-01-31/BATCH.ndjson.gz      a record on each line
//! ```

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use flate2::bufread::MultiGzDecoder;
use isotherm_core::{Millis, NewEvent, Seconds, Service, Tenant, digests_of_record};
use serde::Deserialize;

/// The most bytes of a line. A record has some 130 kB at most.
const LINE_BYTES: u64 = 1 << 20;
/// The day of objects whose first record has no time.
const UNDATED: &str = "undated";

/// The objects of one tenant.
pub(super) struct Backups {
    pub(super) tenant: String,
    folder: PathBuf,
    /// In their order.
    days: Vec<String>,
    pub(super) objects: u64,
    pub(super) bytes: u64,
}

/// One object.
pub(super) struct Object {
    /// Its name without the tenant, which sorts as objects are read.
    pub(super) key: String,
    pub(super) bytes: u64,
    path: PathBuf,
}

impl Backups {
    /// Looks for the objects of a tenant. Without a name, the folder must have the objects of one tenant only.
    ///
    /// # Errors
    /// Fails if there are none, or if the folder has several tenants and none is named.
    pub(super) fn open(folder: &Path, tenant: Option<&str>) -> Result<Self> {
        let name = folder.display();
        let (tenant, folder) = match tenant {
            Some(tenant) => (tenant.to_owned(), folder.join(tenant)),
            None if days(folder)?.is_empty() => {
                let tenants = tenants(folder)?;
                match tenants.as_slice() {
                    [] => bail!("{name} has no raw backups: they are named TENANT/DAY/BATCH.ndjson.gz"),
                    [one] => (one.clone(), folder.join(one)),
                    _ => bail!("{name} has the backups of {}: name one with --tenant", tenants.join(", ")),
                }
            }
            None => {
                let path = folder.canonicalize().with_context(|| format!("cannot read {name}"))?;
                let tenant = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
                (tenant, folder.to_owned())
            }
        };
        ensure!(folder.is_dir(), "there is no folder {}", folder.display());
        let mut backups = Self { tenant, days: days(&folder)?, folder, objects: 0, bytes: 0 };
        for object in backups.all() {
            let object = object?;
            backups.objects += 1;
            backups.bytes += object.bytes;
        }
        ensure!(
            backups.objects > 0,
            "{} has no raw backups: they are named DAY/BATCH.ndjson.gz",
            backups.folder.display()
        );
        Ok(backups)
    }

    /// All objects, in the order of their names. Only the names of one day are in memory.
    pub(super) fn all(&self) -> impl Iterator<Item = Result<Object>> + use<> {
        let folder = self.folder.clone();
        self.days.clone().into_iter().flat_map(move |day| match objects(&folder, &day) {
            Ok(objects) => objects.into_iter().map(Ok).collect::<Vec<_>>(),
            Err(error) => vec![Err(error)],
        })
    }
}

impl Object {
    /// Reads all of the object, so that none of its records is used if it is damaged: a checksum follows the records.
    ///
    /// # Errors
    /// Fails if it can't be read, is cut off or is damaged.
    pub(super) fn check(&self) -> io::Result<()> {
        for line in self.lines()? {
            line?;
        }
        Ok(())
    }

    /// Its lines, with the members of gzip joined. A plain file is taken, too.
    pub(super) fn lines(&self) -> io::Result<impl Iterator<Item = io::Result<String>>> {
        let mut file = BufReader::new(File::open(&self.path)?);
        let is_packed = file.fill_buf()?.starts_with(&[0x1f, 0x8b]);
        let mut text: Box<dyn BufRead> =
            if is_packed { Box::new(BufReader::new(MultiGzDecoder::new(file))) } else { Box::new(file) };
        Ok(std::iter::from_fn(move || line(&mut *text).transpose()))
    }
}

/// The next line that is not empty; `None` at the end.
fn line(text: &mut dyn BufRead) -> io::Result<Option<String>> {
    loop {
        let mut line = Vec::new();
        if text.take(LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        if line.last() != Some(&b'\n') && line.len() as u64 == LINE_BYTES {
            return Err(io::Error::other("a line has more than 1 MiB"));
        }
        let line = String::from_utf8(line).map_err(|_bytes| io::Error::other("a line is no UTF-8"))?;
        // Records that a move has brought begin with a space.
        if !line.trim().is_empty() {
            return Ok(Some(line.trim().to_owned()));
        }
    }
}

/// The event of a line. Its expiry follows from this service's configuration. `None` if the line is no event: the
/// source could not count it either.
pub(super) fn event_of(service: &Service, line: &str) -> Option<NewEvent> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Head {
        event_type: String,
    }
    service.observe(line).ok()?;
    let digest = *digests_of_record(line)?.first()?;
    let Head { event_type } = serde_json::from_str(line).ok()?;
    let mut event = NewEvent::of_record(line.to_owned(), digest, Seconds(0))?;
    let Millis(received_at) = event.received_at;
    event.expires_at = Seconds(received_at / 1000 + service.retention(&event_type).0);
    Some(event)
}

/// The names of a folder's entries, sorted.
fn names(folder: &Path) -> Result<Vec<String>> {
    let cannot = || format!("cannot read {}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(cannot)? {
        names.extend(entry.with_context(cannot)?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

/// The days that a tenant's folder has.
fn days(folder: &Path) -> Result<Vec<String>> {
    let is_day = |name: &String| name == UNDATED || name.parse::<jiff::civil::Date>().is_ok();
    Ok(names(folder)?.into_iter().filter(|name| is_day(name) && folder.join(name).is_dir()).collect())
}

/// The tenants that a bucket's folder has.
fn tenants(folder: &Path) -> Result<Vec<String>> {
    let mut tenants = Vec::new();
    for name in names(folder)? {
        let path = folder.join(&name);
        if Tenant::parse(name.clone()).is_ok() && path.is_dir() && !days(&path)?.is_empty() {
            tenants.push(name);
        }
    }
    Ok(tenants)
}

/// The objects of a day. Files with other endings are not objects: a server's unfinished file, or a tool's.
fn objects(folder: &Path, day: &str) -> Result<Vec<Object>> {
    let is_object = |name: &String| name.ends_with(".ndjson.gz") || name.ends_with(".ndjson");
    let path = folder.join(day);
    let object = |name: String| {
        let path = path.join(&name);
        let bytes = fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?.len();
        Ok(Object { key: format!("{day}/{name}"), bytes, path })
    };
    names(&path)?.into_iter().filter(is_object).map(object).collect()
}

#[cfg(test)]
mod tests;
