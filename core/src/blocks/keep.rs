//! A request's events on their way to the store that keeps them, and its answer.

use crate::blocks::event::{BlockEvent, Text};
use crate::blocks::part;
use crate::codec::{Reader, Writer};
use crate::formats;
use crate::service::Service;
use crate::store::limiter::{Limiter, Standing};
use crate::store::new_event::NewEvent;
use crate::store::plan::{StoreOutcome, StorePlan};
use crate::vocabulary::digest::Digest;
use crate::vocabulary::refused::Refused;
use crate::vocabulary::time::{Millis, Seconds};

/// The most bytes of records in one part. Durable Objects take rows of 2 MB, and a part may come on top of a block.
const PART_BYTES: usize = 512 * 1024;

/// Flags of what a shard is to keep.
const REPEATED: u8 = 1;
const LIMITED: u8 = 2;

/// Events of a plan that go to one shard in one request.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    shard: u32,
    bytes: usize,
    /// Each event with its place in the plan.
    events: Vec<(usize, &'a NewEvent)>,
}

impl StorePlan {
    /// The parts of the plan, if its events are spread over `shards` shards.
    pub fn parts(&self, shards: u32) -> Vec<Part<'_>> {
        let mut parts: Vec<Part<'_>> = Vec::new();
        for (at, event) in self.events().iter().enumerate() {
            let (shard, bytes) = (event.id.shard(shards), event.record.len());
            match parts.iter_mut().rev().find(|part| part.shard == shard) {
                Some(part) if part.bytes + bytes <= PART_BYTES => {
                    part.bytes += bytes;
                    part.events.push((at, event));
                }
                _ => parts.push(Part { shard, bytes, events: vec![(at, event)] }),
            }
        }
        parts
    }
}

impl Part<'_> {
    /// The shard to which the events go.
    pub fn shard(&self) -> u32 {
        self.shard
    }

    /// What to send to the shard, which reads it with [`Keep::read`].
    pub fn to_bytes(&self, plan: &StorePlan) -> Vec<u8> {
        let mut writer = Writer(vec![formats::KEEP]);
        writer.byte(u8::from(plan.may_be_repeated()) | if plan.is_limited() { LIMITED } else { 0 });
        if plan.is_limited() {
            writer.text(&plan.key);
        }
        writer.unsigned(plan.expired_by().0);
        let events: Vec<_> = self.events.iter().map(|(_, event)| BlockEvent::of(event)).collect();
        part::write(events.iter(), &mut writer.0);
        writer.0
    }

    /// The part's events, in the plan's order.
    pub fn events(&self) -> impl Iterator<Item = &NewEvent> {
        self.events.iter().map(|(_, event)| *event)
    }

    /// Puts the outcomes of a shard's answer in their places among those of the plan. Returns whether the answer could
    /// be read; see [`Kept::to_bytes`].
    #[must_use]
    pub fn apply(&self, answer: &[u8], outcomes: &mut [StoreOutcome]) -> bool {
        let Some(answered) = read_outcomes(answer).filter(|answered| answered.len() == self.events.len()) else {
            return false;
        };
        for ((at, _), answered) in self.events.iter().zip(answered) {
            outcomes.iter_mut().skip(*at).take(1).for_each(|outcome| *outcome = answered);
        }
        true
    }
}

/// A part as its shard reads it.
#[derive(Clone, Debug)]
pub struct Keep<'a> {
    /// An event that expires by this time has expired, as in [`StorePlan::expired_by`].
    pub(crate) expired_by: Seconds,
    may_be_repeated: bool,
    /// The id of the key that the events came with, if that matters.
    key: Option<&'a str>,
    pub(crate) events: Vec<BlockEvent<'a>>,
    /// The events as they are appended to a block.
    pub(crate) part: &'a [u8],
}

impl<'a> Keep<'a> {
    /// Reads what [`Part::to_bytes`] gave; `None` if it is of another version or malformed.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        reader.byte().filter(|version| *version == formats::KEEP)?;
        let flags = reader.byte()?;
        let (may_be_repeated, is_limited) = (flags & REPEATED != 0, flags & LIMITED != 0);
        let key = if is_limited { Some(reader.text()?) } else { None };
        let expired_by = Seconds(reader.small()?);
        let events = part::read(reader.0).ok()?;
        Some(Self { expired_by, may_be_repeated, key, events, part: reader.0 })
    }

    /// Whether the store may already have an event with this id. An id that the server made for this request is new, so
    /// the store is not asked for it.
    pub(crate) fn may_be_there(&self, event: &BlockEvent<'_>) -> bool {
        match event.text {
            Text::Split { names, .. } => self.may_be_repeated || names.starts_with(r#""messageId":"#),
            Text::Whole(_) => true,
        }
    }

    /// Takes the events from this shard's part of what their key and their tenant may send. If there is an answer, keep
    /// nothing.
    pub fn take_from(&self, limiter: &mut Limiter, service: &Service, tenant: &str, now: Millis) -> Option<Kept> {
        let mut standing = Standing::new(service.rules(self.key?, tenant));
        limiter.take(&mut standing, self.events.len(), now, service.shards());
        Some(Kept(vec![StoreOutcome::Limited(standing.refused?); self.events.len()]))
    }

    /// What becomes of the events if the shard takes none for now.
    pub fn overloaded(&self) -> Kept {
        Kept(vec![StoreOutcome::Overloaded; self.events.len()])
    }
}

/// What became of a part's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept(pub(crate) Vec<StoreOutcome>);

impl Kept {
    /// These outcomes of a part's events.
    pub fn new(outcomes: Vec<StoreOutcome>) -> Self {
        Self(outcomes)
    }

    /// The outcomes, in the order of the part's events.
    pub fn outcomes(&self) -> &[StoreOutcome] {
        &self.0
    }

    /// The shard's answer, which [`Part::apply`] reads.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer(vec![formats::KEPT]);
        for outcome in &self.0 {
            match outcome {
                StoreOutcome::Stored => writer.byte(0),
                StoreOutcome::Existing(digest) => {
                    writer.byte(1);
                    writer.0.extend_from_slice(&digest.to_bytes());
                }
                StoreOutcome::Unavailable => writer.byte(2),
                StoreOutcome::Overloaded => writer.byte(3),
                StoreOutcome::Limited(Refused { is_quota, retry_after }) => {
                    writer.byte(if *is_quota { 5 } else { 4 });
                    writer.unsigned((*retry_after).into());
                }
            }
        }
        writer.0
    }
}

fn read_outcomes(answer: &[u8]) -> Option<Vec<StoreOutcome>> {
    let mut reader = Reader(answer);
    reader.byte().filter(|version| *version == formats::KEPT)?;
    let mut outcomes = Vec::new();
    while !reader.is_empty() {
        outcomes.push(match reader.byte()? {
            0 => StoreOutcome::Stored,
            1 => StoreOutcome::Existing(Digest::from_bytes(reader.take(16)?.try_into().ok()?)),
            2 => StoreOutcome::Unavailable,
            3 => StoreOutcome::Overloaded,
            reason @ (4 | 5) => StoreOutcome::Limited(Refused { is_quota: reason == 5, retry_after: reader.small()? }),
            _ => return None,
        });
    }
    Some(outcomes)
}
