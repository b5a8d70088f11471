//! The raw backup: folded events as objects that can be read without Isotherm.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::gzip;
use crate::maintenance::step::Unfolded;
use crate::vocabulary::tenant::is_id;
use crate::vocabulary::time::Millis;

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
    /// The objects of a batch, one for each tenant. A text that is no tenant names no object, so its records are left out.
    pub(crate) fn of_tenants<'a>(batch: &str, records: impl IntoIterator<Item = Unfolded<'a>>) -> Vec<Self> {
        let mut tenants: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for Unfolded { tenant, record } in records {
            if is_id(tenant) {
                tenants.entry(tenant).or_default().push(record);
            }
        }
        tenants.into_iter().map(|(tenant, records)| Self::of(tenant, batch, records)).collect()
    }

    fn of<'a>(tenant: &str, batch: &str, records: impl IntoIterator<Item = &'a str>) -> Self {
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

/// The date on which a record was received; `None` if the text is not a record, or its time is none.
fn received_on(record: &str) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Received<'a> {
        received_at: &'a str,
    }
    let Received { received_at } = serde_json::from_str(record).ok()?;
    let received_at = Millis::from_rfc3339(received_at).ok()?.to_rfc3339();
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
        for record in ["{}", r#"{"receivedAt":"../../2013T"}"#, r#"{"receivedAt":"2013-02-30T00:00:00Z"}"#] {
            assert_eq!(Backup::of("a", "1", [record]).key, "a/undated/1.ndjson.gz");
        }
    }

    #[test]
    fn what_is_no_tenant_names_no_object() {
        let of = |(tenant, record)| Unfolded { tenant, record };
        let records = [("b", "1"), ("", "2"), ("../b", "3"), ("a", "4"), ("b", "5"), ("a/b", "6")];
        let backups = Backup::of_tenants("7", records.map(of));
        assert_eq!(backups, [Backup::of("a", "7", ["4"]), Backup::of("b", "7", ["1", "5"])]);
    }
}
