//! What a store has of a tenant, as lines of JSON that another service can take in. `docs/move.md` has the format.

use std::fmt::{Display, Write as _};

use crate::codec::{Reader, Writer};
use crate::rollups::observation::{Dimensions, Observation};
use crate::rollups::stored::StoredPage;
use crate::store::new_event::NewEvent;
use crate::vocabulary::counted;
use crate::vocabulary::id::RequestId;
use crate::vocabulary::rejection::Rejection;
use crate::vocabulary::reply::Reply;
use crate::vocabulary::tenant::Tenant;
use crate::vocabulary::time::{Millis, Seconds};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// An answer is full once it has this many bytes. One more line may have some 550 kB, and Lambda's answer holds the
/// lines as text within JSON.
const FULL: usize = 512 * 1024;

/// How many events of any tenants one answer looks at: a fraction of a second's work.
const SCANNED: u64 = 100_000;

/// What is moved from one service to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moving {
    /// Events with their ids, digests and times.
    Events,
    /// Pages of rollups, and the manifests of days.
    Rollups,
}

/// Read what follows a cursor in one part of a store: a shard, or a partition. The read sees every write that was
/// answered before.
#[must_use = "a plan that is neither applied nor answered leaves its client without an answer"]
#[derive(Debug)]
pub struct ExportPlan {
    pub(crate) tenant: Tenant,
    pub(crate) request_id: RequestId,
    pub(crate) asked: Asked,
    pub(crate) is_head: bool,
}

/// What an export asks of a part of a store. It can be sent to a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What is asked for.
    pub what: Moving,
    /// The number of the part, from 0.
    pub part: u32,
    /// Only what follows this cursor is asked for. The store made it; it is empty at the beginning.
    pub after: String,
    /// When the request arrived.
    pub received_at: Millis,
    /// True while the tenant's clients may not write.
    pub is_frozen: bool,
}

/// The outcome of an [`ExportPlan`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportOutcome {
    /// The text of [`Export::end`].
    Read(String),
    /// The store gave no such cursor, or it has no such part.
    UnknownPlace,
    /// The store did not answer.
    Unavailable,
}

/// Where an answer ends.
#[derive(Clone, Debug)]
pub struct Place {
    /// How many parts the store has.
    pub parts: u32,
    /// Events that were accepted before this moment are in this part's rollups.
    pub folded_to: Millis,
    /// Whether events come in the order in which they were folded, so that new ones follow the last.
    pub is_ordered: bool,
    /// The place to go on from, if it is not behind what was added last.
    pub more: Option<String>,
}

/// The lines of an answer, until it is full.
#[derive(Debug)]
pub struct Export {
    lines: String,
    last: String,
    left_out: u64,
    expired_by: Seconds,
    is_frozen: bool,
}

impl ExportPlan {
    /// The tenant whose data are read.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// The id of the request, as its answer shows it.
    pub fn request_id(&self) -> RequestId {
        self.request_id
    }

    /// What to read.
    pub fn asked(&self) -> &Asked {
        &self.asked
    }

    /// The reply, given what the host read.
    pub fn respond(self, outcome: ExportOutcome) -> Reply {
        let reply = match outcome {
            ExportOutcome::Read(lines) => {
                let mut reply = Reply::of_json(200, lines.into_bytes());
                reply.headers = vec![("content-type", "application/x-ndjson".to_owned())];
                reply
            }
            ExportOutcome::UnknownPlace => {
                let problem = "part or after is not one that an earlier answer gave".to_owned();
                Rejection::InvalidQuery(problem).reply(self.request_id)
            }
            ExportOutcome::Unavailable => Rejection::Unavailable.reply(self.request_id),
        };
        reply.for_head(self.is_head)
    }
}

impl Asked {
    /// An answer without lines.
    pub fn begin(&self) -> Export {
        Export {
            lines: String::new(),
            last: self.after.clone(),
            left_out: 0,
            expired_by: self.received_at.to_seconds(),
            is_frozen: self.is_frozen,
        }
    }

    /// Encodes it for a shard of the same version.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.byte(u8::from(self.what == Moving::Rollups));
        writer.byte(self.is_frozen.into());
        writer.unsigned(self.part.into());
        writer.unsigned(self.received_at.0);
        writer.text(&self.after);
        writer.0
    }

    /// Reads what [`Asked::to_bytes`] gave.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let what = if reader.byte()? == 0 { Moving::Events } else { Moving::Rollups };
        let is_frozen = reader.byte()? != 0;
        let (part, received_at) = (reader.small()?, Millis(reader.small()?));
        Some(Self { what, part, received_at, is_frozen, after: reader.text()?.to_owned() })
    }

    /// The cursor of a store that numbers its events from 1; `None` if it is no number.
    pub fn number(&self) -> Option<u64> {
        if self.after.is_empty() { Some(0) } else { self.after.parse().ok() }
    }

    /// The number of the last event that one answer looks at after this one, where the events of all tenants are numbered
    /// together: one tenant may have few of very many.
    pub fn until(&self, after: u64, watermark: u64) -> u64 {
        watermark.min(after.saturating_add(SCANNED))
    }
}

impl Export {
    /// Adds a folded event, unless it has expired. A record that is no event is left out. `cursor` stands for all events
    /// up to this one.
    pub fn event(&mut self, event: &NewEvent, cursor: impl Display) {
        self.last = cursor.to_string();
        let NewEvent { digest, expires_at: Seconds(expires_at), ref record, .. } = *event;
        let is_event = || Observation::read(record, &Dimensions::new()).is_ok() && !record.contains('\n');
        if event.expires_at <= self.expired_by {
            return;
        }
        if !is_event() {
            self.leave_out(1);
        } else {
            let moved = if counted::is_counted(record) { r#""moved":true,"# } else { "" };
            let record = counted::record(record);
            // Writing to a string never fails.
            let _written =
                writeln!(self.lines, r#"{{"digest":"{digest}","expiresAt":{expires_at},{moved}"record":{record}}}"#);
        }
    }

    /// Says that so many events can't be read, and so are not in the export.
    pub fn leave_out(&mut self, events: u64) {
        self.left_out += events;
    }

    /// Adds a page. Pages come in the order of their keys. `cursor` stands for all pages up to this one.
    pub fn page(&mut self, StoredPage { key, bytes }: &StoredPage, cursor: &str) {
        let (name, page) = (serde_json::to_string(key).unwrap_or_default(), STANDARD.encode(bytes));
        let _written = writeln!(self.lines, r#"{{"key":{name},"page":"{page}"}}"#);
        cursor.clone_into(&mut self.last);
    }

    /// Whether no more is to be added.
    pub fn is_full(&self) -> bool {
        self.lines.len() >= FULL
    }

    /// The text of the answer.
    pub fn end(self, Place { parts, folded_to: Millis(folded_to), is_ordered, more }: Place) -> String {
        let is_over = more.is_none() && !self.is_full();
        let Self { mut lines, last, left_out, is_frozen, .. } = self;
        let next = serde_json::to_string(&more.unwrap_or(last)).unwrap_or_default();
        let _written = writeln!(
            lines,
            r#"{{"parts":{parts},"foldedTo":{folded_to},"ordered":{is_ordered},"over":{is_over},"leftOut":{left_out},"frozen":{is_frozen},"next":{next}}}"#
        );
        lines
    }
}
