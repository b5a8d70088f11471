//! A service whose data are read through its export routes.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{HeaderMap, Request};
use isotherm_core::PageGroup;
use serde::Deserialize;

use super::Care;
use super::lines::page_of;
use crate::load::{Connection, Endpoint, Url};

/// A wait that takes longer than this is reported to the user.
const TOLD_AFTER: Duration = Duration::from_secs(10);
/// A cursor behind all pages of rollups: no key is as high.
const BEHIND_ALL: &str = "\u{10ffff}";

/// The longest pause before a request is sent again.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A service, asked with one key.
pub(super) struct Service {
    pub(super) url: String,
    endpoint: Endpoint,
    pub(super) care: Care,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Events,
    Rollups,
}

/// The service to read from.
pub(super) struct Source {
    service: Service,
    /// True if an answer since the last look at this flag has said that clients may write.
    has_taken: AtomicBool,
}

/// One answer of an export.
pub(super) struct Page {
    /// The lines before the last.
    pub(super) lines: Vec<String>,
    pub(super) end: End,
}

/// The last line of an answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct End {
    pub(super) parts: u32,
    pub(super) folded_to: u64,
    pub(super) ordered: bool,
    pub(super) over: bool,
    /// How many events of this answer can't be read.
    pub(super) left_out: u64,
    /// True while the tenant's clients may not write. Older services don't say.
    pub(super) frozen: Option<bool>,
    pub(super) next: String,
}

#[derive(Deserialize)]
struct Refused {
    message: String,
}

impl Service {
    pub(super) async fn open(url: &Url, key: Option<&str>, care: Care) -> Result<Self> {
        Ok(Self { url: url.to_string(), endpoint: url.resolve(key).await?, care })
    }

    /// Sends a request until the service answers 200, and returns the answer's head and body. It is sent again after an
    /// answer that asks for that, and after none at all.
    ///
    /// # Errors
    /// Fails on any other answer, and after `care.patience` seconds.
    pub(super) async fn send(&self, method: &str, path: &str, body: Bytes) -> Result<(HeaderMap, Bytes)> {
        match self.answer(method, path, body).await? {
            (200, headers, body) => Ok((headers, body)),
            (status, _, body) => bail!("{}{path} answers {status}: {}", self.url, said(&body)),
        }
    }

    /// Like [`Self::send`], but returns any answer that does not ask to send again.
    pub(super) async fn answer(&self, method: &str, path: &str, body: Bytes) -> Result<(u16, HeaderMap, Bytes)> {
        let until = Instant::now() + Duration::from_secs(self.care.patience);
        let mut pause = Duration::from_millis(200);
        loop {
            let problem = match self.try_send(method, path, body.clone()).await {
                Ok((status @ (408 | 429 | 500..), headers, body)) => {
                    let asked = headers.get("retry-after").and_then(|after| after.to_str().ok()?.parse().ok());
                    pause = pause.max(Duration::from_secs(asked.unwrap_or(0)));
                    format!("{status} {}", said(&body))
                }
                Ok(answer) => return Ok(answer),
                Err(error) => format!("{error:#}"),
            };
            ensure!(Instant::now() + pause < until, "{}: {problem}; given up after {} s", self.url, self.care.patience);
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    async fn try_send(&self, method: &str, path: &str, body: Bytes) -> Result<(u16, HeaderMap, Bytes)> {
        let mut request = Request::builder().method(method).uri(path);
        if !body.is_empty() {
            request = request.header("content-type", "application/x-ndjson");
        }
        let answer = Connection::open(&self.endpoint).await?.send(request.body(Full::new(body))?).await?;
        let (head, body) = answer.into_parts();
        Ok((head.status.as_u16(), head.headers, body))
    }
}

/// What an error answer says, in a few words.
fn said(body: &[u8]) -> String {
    let message = serde_json::from_slice(body).map(|Refused { message }| message);
    message.unwrap_or_else(|_| String::from_utf8_lossy(body).chars().take(200).collect())
}

impl Source {
    pub(super) async fn open(url: &Url, key: Option<&str>, care: Care) -> Result<Self> {
        let service = Service::open(url, key, care).await?;
        Ok(Self { service, has_taken: AtomicBool::new(false) })
    }

    pub(super) fn url(&self) -> &str {
        &self.service.url
    }

    /// A time that the clock of the service has not reached yet, in milliseconds since 1970.
    async fn soon(&self) -> Result<u64> {
        let (headers, _) = self.service.send("GET", "/healthz", Bytes::new()).await?;
        let date = headers.get("date").and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        let now = date.map_or_else(jiff::Timestamp::now, |date| date.timestamp());
        // The header has whole seconds: what was taken in this one is older than the next.
        Ok(now.as_millisecond().unsigned_abs() + 1000)
    }

    /// What follows a cursor in a part.
    pub(super) async fn page(&self, what: What, part: u32, after: &str) -> Result<Page> {
        let name = match what {
            What::Events => "events",
            What::Rollups => "rollups",
        };
        let mut path = format!("/export/{name}?part={part}&after=");
        for byte in after.bytes() {
            // Writing to a string never fails.
            let _written = write!(path, "%{byte:02X}");
        }
        let (_, body) = self.service.send("GET", &path, Bytes::new()).await?;
        let text = std::str::from_utf8(&body).context("an export is no UTF-8")?;
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let last = lines.pop().context("an export has no last line")?;
        let end: End =
            serde_json::from_str(&last).with_context(|| format!("{path}: the last line is no end: {last}"))?;
        if end.frozen != Some(true) {
            self.has_taken.store(true, Ordering::Relaxed);
        }
        Ok(Page { lines, end })
    }

    /// Asks the service whether the tenant is frozen: its clients may not write. It reads no data.
    pub(super) async fn is_frozen(&self) -> Result<bool> {
        let frozen = self.page(What::Rollups, 0, BEHIND_ALL).await?.end.frozen;
        frozen.with_context(|| format!("{} can't be frozen: deploy a newer version first", self.url()))
    }

    /// Asks the service whether it lists new events after the others. It reads no data.
    pub(super) async fn is_ordered(&self) -> Result<bool> {
        Ok(self.page(What::Rollups, 0, BEHIND_ALL).await?.end.ordered)
    }

    /// Forgets that earlier answers said that clients may write.
    pub(super) fn forget_taken(&self) {
        self.has_taken.store(false, Ordering::Relaxed);
    }

    /// True if an answer since the last call has said that clients may write.
    pub(super) fn has_taken(&self) -> bool {
        self.has_taken.swap(false, Ordering::Relaxed)
    }

    /// Looks for a page of rollups of the tenant. Rollups from an earlier service count, too.
    pub(super) async fn has_rollups(&self) -> Result<bool> {
        let (mut part, mut after) = (0, String::new());
        loop {
            let Page { lines, end } = self.page(What::Rollups, part, &after).await?;
            for line in &lines {
                if matches!(PageGroup::of(&page_of(line)?.key), PageGroup::Series(_)) {
                    return Ok(true);
                }
            }
            (part, after) = if end.over { (part + 1, String::new()) } else { (part, end.next) };
            if part >= end.parts {
                return Ok(false);
            }
        }
    }

    /// Waits until the rollups count everything that the service has accepted before this call. Returns the time of the
    /// call.
    pub(super) async fn wait_until_folded(&self) -> Result<Instant> {
        let now = Instant::now();
        let until = Instant::now() + Duration::from_secs(self.service.care.patience);
        let taken_to = self.soon().await?;
        let (mut part, mut is_told) = (0, false);
        loop {
            let end = self.page(What::Rollups, part, "").await?.end;
            if end.folded_to >= taken_to {
                part += 1;
                if part >= end.parts {
                    return Ok(now);
                }
                continue;
            }
            ensure!(
                Instant::now() < until,
                "{} has not folded yet what it took, after {} s: look at its /readyz",
                self.service.url,
                self.service.care.patience
            );
            // Most platforms fold within seconds, and `--follow` waits in each round, so short waits are not reported.
            if !is_told && now.elapsed() > TOLD_AFTER {
                eprintln!("waiting until {} has folded what it took", self.service.url);
                is_told = true;
            }
            // Some platforms fold only when they are asked.
            self.service.send("POST", "/schedule", Bytes::new()).await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}
