//! The raw backup: folded events as objects that can be read without Isotherm.

use serde::Deserialize;

use crate::gzip;

/// Some events of one tenant, as gzip of NDJSON with one record per line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// `tenant/2013-01-31/batch.ndjson.gz`, with the day on which the first event was received. The same batch has the
    /// same key, so a replay overwrites its own object.
    pub key: String,
    /// The object's content; equal records give equal bytes.
    pub bytes: Vec<u8>,
}

impl Backup {
    pub(crate) fn of<'a>(tenant: &str, batch: &str, records: impl IntoIterator<Item = &'a str>) -> Self {
        let (mut day, mut lines) = (None, String::new());
        for record in records {
            day.get_or_insert_with(|| received_on(record));
            lines += record;
            lines.push('\n');
        }
        let day = day.flatten().unwrap_or_else(|| "undated".to_owned());
        Self { key: format!("{tenant}/{day}/{batch}.ndjson.gz"), bytes: gzip::deflated(lines.as_bytes()) }
    }
}

/// The date on which a record was received; `None` if the text is not a record.
fn received_on(record: &str) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Received<'a> {
        received_at: &'a str,
    }
    let Received { received_at } = serde_json::from_str(record).ok()?;
    received_at.split_once('T').map(|(day, _)| day.to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_backup_is_its_records() {
        let records =
            [r#"{"receivedAt":"2013-01-31T23:59:59.999Z","n":"é"}"#, r#"{"receivedAt":"2013-02-01T00:00:00.000Z"}"#];
        let backup = Backup::of("acme", "shard-17", records);
        assert_eq!(backup.key, "acme/2013-01-31/shard-17.ndjson.gz");
        let mut text = String::new();
        flate2::read::GzDecoder::new(&*backup.bytes).read_to_string(&mut text).unwrap();
        assert_eq!(text.lines().collect::<Vec<_>>(), records);
        assert!(text.ends_with('\n'));
        assert_eq!(Backup::of("acme", "shard-17", records), backup);
    }

    #[test]
    fn what_is_no_record_is_kept_as_well() {
        assert_eq!(Backup::of("a", "1", ["{}"]).key, "a/undated/1.ndjson.gz");
    }
}
