//! Lines of exports.

use anyhow::{Context, Result, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use isotherm_core::StoredPage;
use serde::Deserialize;
use serde_json::value::RawValue;

/// An event as a line of an export holds it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventLine<'a> {
    pub(super) digest: &'a str,
    pub(super) expires_at: u64,
    /// `true` if a move brought the event to the service.
    #[serde(default)]
    pub(super) moved: bool,
    #[serde(borrow)]
    pub(super) record: &'a RawValue,
}

impl EventLine<'_> {
    /// When the event was received, as its record says it.
    pub(super) fn received_at(&self) -> Result<&str> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Head<'a> {
            received_at: &'a str,
        }
        let head: Head<'_> = serde_json::from_str(self.record.get()).context("a record has no receivedAt")?;
        Ok(head.received_at)
    }

    /// The same in milliseconds since 1970.
    pub(super) fn received_ms(&self) -> Result<u64> {
        let time: jiff::Timestamp = self.received_at()?.parse().context("receivedAt is no time")?;
        Ok(time.as_millisecond().unsigned_abs())
    }

    /// The line for an import. `is_counted` says that the rollups which count the event are imported too.
    pub(super) fn to_import(&self, is_counted: bool) -> String {
        let Self { digest, expires_at, record, .. } = self;
        format!(r#"{{"counted":{is_counted},"digest":"{digest}","expiresAt":{expires_at},"record":{record}}}"#)
    }
}

/// The line of a page.
pub(super) fn page_line(StoredPage { key, bytes }: &StoredPage) -> Result<String> {
    Ok(format!(r#"{{"key":{},"page":"{}"}}"#, serde_json::to_string(key)?, STANDARD.encode(bytes)))
}

/// True if a page stands for a damaged one.
pub(super) fn is_stand_in(page: &StoredPage) -> bool {
    page.bytes.is_empty()
}

/// Reads the line of a page.
pub(super) fn page_of(line: &str) -> Result<StoredPage> {
    #[derive(Deserialize)]
    struct PageLine {
        key: String,
        page: String,
    }
    let PageLine { key, page } = serde_json::from_str(line).context("a line is no page")?;
    Ok(StoredPage { key, bytes: STANDARD.decode(page).map_err(|error| anyhow!("a page is no base64: {error}"))? })
}
