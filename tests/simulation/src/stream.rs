//! DynamoDB's stream of a table's changes. Its shards close after some hours, and split. Records are forgotten after
//! a day.

use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

use isotherm_core::{Millis, StreamShard};

use crate::world::{DAY, HOUR, SECOND, World};

/// How long a record is kept, and how long a shard is kept after it has closed.
pub(crate) const RETENTION: u64 = DAY;
/// How long a shard takes records.
const LIFE: Range<u64> = 3 * HOUR..5 * HOUR;
/// The most open shards. A small table has one at a time, so no idle shard holds its reports back.
pub(crate) const MOST: usize = 5;
/// How far an answer of `DescribeStream` may be behind. AWS promises nothing; core counts on a minute.
const LATE: u64 = 58 * SECOND;
/// How long the mapping may take to notice that a shard has closed.
const NOTICE: u64 = 3 * SECOND;
/// Two ids that begin with these and are equal otherwise have the same 32-bit FNV-1a hash.
const SAME_HASH: [&str; 2] = ["01139599", "01322382"];

/// A table's stream.
pub(crate) struct Stream {
    world: Rc<World>,
    created_at: Millis,
    pub(crate) shards: Vec<Shard>,
    last_number: u64,
    opened: usize,
    /// The most open shards of this stream.
    most: usize,
}

/// A part of the changes: those of some keys, for some time.
pub(crate) struct Shard {
    pub(crate) id: String,
    /// How many shards there were before it.
    pub(crate) number: usize,
    /// The number and id of its parent.
    pub(crate) parent: Option<(usize, String)>,
    hashes: (u64, u64),
    pub(crate) opened_at: Millis,
    closes_at: Millis,
    pub(crate) closed_at: Option<Millis>,
    pub(crate) records: VecDeque<Rc<Record>>,
    /// How many records are forgotten.
    pub(crate) forgotten: usize,
}

/// A change of an item.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) number: String,
    pub(crate) written_at: Millis,
    pub(crate) key: String,
    /// The item, unless it was deleted.
    pub(crate) image: Option<Image>,
    pub(crate) is_new: bool,
}

/// An item as the stream has it.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// The packed event, if the item is an event.
    pub(crate) event: Option<Rc<[u8]>>,
}

impl Record {
    /// The time that DynamoDB gives for the record, in whole seconds.
    pub(crate) fn said_at(&self) -> Millis {
        Millis(self.written_at.0 / SECOND * SECOND)
    }

    /// The packed event, if the item is one.
    pub(crate) fn event(&self) -> Option<&Rc<[u8]>> {
        self.image.as_ref()?.event.as_ref()
    }

    /// The bytes that the record takes of an invocation's payload.
    pub(crate) fn bytes(&self) -> usize {
        // Bytes are base64 in a payload.
        300 + self.event().map_or(0, |packed| packed.len() * 4 / 3)
    }
}

impl Shard {
    /// The number of records that the shard has had.
    pub(crate) fn end(&self) -> usize {
        self.forgotten + self.records.len()
    }

    /// When the mapping notices that the shard has closed.
    pub(crate) fn ends_at(&self) -> Option<Millis> {
        Some(Millis(self.closed_at?.0 + self.number as u64 * 700 % NOTICE))
    }

    /// True once the mapping knows that the shard has closed.
    pub(crate) fn has_ended(&self, now: Millis) -> bool {
        self.ends_at().is_some_and(|ends_at| ends_at <= now)
    }

    /// A record, unless it is forgotten.
    pub(crate) fn record(&self, place: usize) -> Option<&Rc<Record>> {
        self.records.get(place.checked_sub(self.forgotten)?)
    }
}

impl Stream {
    pub(crate) fn new(world: &Rc<World>) -> Self {
        let most = if world.one_in(4) { 1 } else { MOST };
        let (world, created_at) = (Rc::clone(world), world.now());
        let mut stream = Self { world, created_at, shards: Vec::new(), last_number: 95, opened: 0, most };
        let shards = (most as u64).min(2);
        let length = u64::MAX / shards;
        for number in 0..shards {
            let last = if number + 1 == shards { u64::MAX } else { length * (number + 1) - 1 };
            let suffix = stream.world.bits();
            stream.open(None, (length * number, last), "00000000", suffix);
        }
        stream
    }

    fn open(&mut self, parent: Option<(usize, String)>, hashes: (u64, u64), first: &str, last: u128) {
        let now = self.world.now();
        let life = LIFE.start + self.world.below(LIFE.end - LIFE.start);
        self.opened += 1;
        self.shards.push(Shard {
            number: self.opened,
            id: format!("shardId-{first}{:012}-{:08x}", now.0, last as u32),
            parent,
            hashes,
            opened_at: now,
            closes_at: Millis(now.0 + life),
            closed_at: None,
            records: VecDeque::new(),
            forgotten: 0,
        });
    }

    /// Writes a change to the open shard of its key.
    pub(crate) fn write(&mut self, key: String, image: Option<Image>, is_new: bool) {
        let (hash, written_at) = (hash(&key), self.world.now());
        self.last_number += 1 + self.world.below(3);
        let number = self.last_number.to_string();
        let has = |shard: &&mut Shard| shard.closed_at.is_none() && (shard.hashes.0..=shard.hashes.1).contains(&hash);
        if let Some(shard) = self.shards.iter_mut().find(has) {
            shard.records.push_back(Rc::new(Record { number, written_at, key, image, is_new }));
        }
    }

    /// When the next shard closes.
    pub(crate) fn closes_at(&self) -> Option<Millis> {
        self.shards.iter().filter(|shard| shard.closed_at.is_none()).map(|shard| shard.closes_at).min()
    }

    /// Closes shards whose time has come, and opens their children. Returns the ids of the children.
    pub(crate) fn go_on(&mut self) -> Vec<String> {
        let now = self.world.now();
        let mut open = self.shards.iter().filter(|shard| shard.closed_at.is_none()).count();
        let mut closed = Vec::new();
        for shard in self.shards.iter_mut().filter(|shard| shard.closed_at.is_none() && shard.closes_at <= now) {
            shard.closed_at = Some(now);
            closed.push(((shard.number, shard.id.clone()), shard.hashes));
        }
        let count = self.shards.len();
        for (parent, (first, last)) in closed {
            let (middle, suffix) = (first + (last - first) / 2, self.world.bits());
            if open < self.most && self.world.one_in(2) {
                open += 1;
                self.open(Some(parent.clone()), (first, middle), SAME_HASH[0], suffix);
                self.open(Some(parent), (middle + 1, last), SAME_HASH[1], suffix);
            } else {
                self.open(Some(parent), (first, last), "00000000", suffix);
            }
        }
        self.shards.iter().skip(count).map(|shard| shard.id.clone()).collect()
    }

    /// Forgets shards that closed a day ago.
    pub(crate) fn forget(&mut self) {
        let now = self.world.now();
        self.shards.retain(|shard| shard.closed_at.is_none_or(|closed| closed.0 + RETENTION > now.0));
    }

    /// The answer of `DescribeStream`: when the stream was created, and its shards. It may be old, and older than an
    /// earlier answer.
    pub(crate) fn describe(&self) -> (Millis, Vec<StreamShard>) {
        let late = if self.world.fails_one_in(4) { self.world.below(LATE) } else { 0 };
        let at = Millis(self.world.now().0.saturating_sub(late));
        let known = self.shards.iter().filter(|shard| shard.opened_at <= at);
        let describe = |shard: &Shard| StreamShard {
            id: shard.id.clone(),
            parent: shard.parent.as_ref().map(|(_, id)| id.clone()),
            is_closed: shard.closed_at.is_some_and(|closed_at| closed_at <= at),
        };
        (self.created_at, known.map(describe).collect())
    }
}

/// Spreads keys evenly: FNV-1a, mixed.
fn hash(key: &str) -> u64 {
    let hash = key
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (hash ^ hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
