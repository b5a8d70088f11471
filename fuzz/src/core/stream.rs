//! A stream whose records come again, in batches that are cut anywhere and break off. Each record is counted once.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use arbitrary::Unstructured;
use isotherm_core::{
    KeyRange, Lanes, Millis, StoredPage, StreamBatch, StreamItem, StreamRecord, StreamWrite, Tenant, TooMuch,
    Watermark, WriteLimits,
};
use isotherm_fuzz::{Pages, SERVICE, STAMP, records};
use serde_json::Value;

const MUCH: WriteLimits = WriteLimits { pages: 10_000, bytes: 100_000_000 };

const TOO_MUCH: &str = "more than a transaction takes";

static RECORDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let event = |n: usize| {
        format!(
            r#"{{"userId":"u{}","eventType":"t{}","timestamp":"2013-01-0{}T0{}:00:00Z","properties":{{"n":{n},"to":"{}"}}}}"#,
            n % 7,
            n % 3,
            1 + n % 4,
            n % 9,
            n % 11
        )
    };
    records(&(0..32).map(event).collect::<Vec<_>>().join("\n"))
});

/// A change of the store, before it has a place in the shard.
struct Change {
    sequence_number: String,
    written_at: Millis,
    item: Option<(Option<String>, Option<String>)>,
}

struct Lane {
    tenants: BTreeMap<String, Pages>,
    watermark: Watermark,
    letters: Vec<String>,
}

pub(crate) fn run(input: &[u8]) {
    let _enough = check(&mut Unstructured::new(input));
}

fn check(input: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let changes = changes(input)?;
    let all: Vec<StreamRecord<'_>> = changes.iter().map(Change::record).collect();
    let shard_id: String = input.arbitrary()?;
    let batch = |range: Range<usize>| StreamBatch {
        shard_id: &shard_id,
        records: all[range].to_vec(),
        window_start: Millis(0),
        complete_to: None,
    };
    let of_all = || batch(0..all.len());
    // Packing objects takes longer than everything else, so it is rare.
    if input.ratio(1, 32)? {
        for backup in of_all().backups() {
            assert!(backup.key.ends_with(".ndjson.gz") && !backup.bytes.is_empty());
        }
    }
    let mut whole = Lane::new();
    whole.fold(&of_all(), MUCH, usize::MAX);
    let mut parts = Lane::new();
    let limits = WriteLimits { pages: input.int_in_range(1..=60)?, bytes: input.int_in_range(500..=9000)? };
    for _ in 0..input.int_in_range(0..=3)? {
        let folded = of_all().folded(&parts.watermark);
        let from = input.int_in_range(0..=folded)?;
        let until = input.int_in_range(from..=all.len())?;
        let before = parts.as_of();
        let steps = input.int_in_range(0..=3)?;
        parts.fold(&batch(from..until), limits, steps);
        assert!(of_all().folded(&parts.watermark) >= folded, "a watermark goes back");
        assert!(parts.as_of() >= before);
    }
    parts.fold(&of_all(), MUCH, usize::MAX);
    assert_eq!(parts.watermark, whole.watermark);
    // A record that exceeds a transaction becomes a letter.
    if !parts.letters.iter().any(|letter| letter.contains(TOO_MUCH)) {
        assert_eq!(parts.tenants, whole.tenants, "the way in which records come shows in pages");
    }
    parts.letters.retain(|letter| !letter.contains(TOO_MUCH));
    assert_eq!(numbers(&parts.letters), numbers(&whole.letters), "letters are lost, or twice there");
    assert_eq!(of_all().folded(&whole.watermark), all.len());
    assert!(SERVICE.step(&of_all(), &whole.watermark, usize::MAX, MUCH).is_none(), "there is always more to do");
    Ok(())
}

fn changes(input: &mut Unstructured<'_>) -> arbitrary::Result<Vec<Change>> {
    // Within a day: reports would not look at older changes.
    let (mut number, mut written_at) = (1_u128, STAMP.received_at.0 - 3_600_000);
    let mut changes = Vec::new();
    for _ in 0..input.int_in_range(0..=8)? {
        number += 1 + u128::from(input.arbitrary::<u16>()?).pow(input.int_in_range(0..=4)?);
        written_at += u64::from(input.arbitrary::<u16>()?);
        let item = match input.int_in_range(0..=9)? {
            0 => None,
            1 => Some((input.arbitrary()?, input.arbitrary()?)),
            2 => Some((Some("a".to_owned()), input.arbitrary()?)),
            place => Some((Some(["a", "b"][place % 2].to_owned()), Some(input.choose(&RECORDS[..])?.clone()))),
        };
        changes.push(Change { sequence_number: number.to_string(), written_at: Millis(written_at), item });
    }
    Ok(changes)
}

impl Change {
    fn record(&self) -> StreamRecord<'_> {
        let item = self.item.as_ref().map(|(tenant, record)| StreamItem {
            key: tenant.as_deref(),
            tenant: tenant.as_deref(),
            record: record.as_deref().map(Ok),
        });
        StreamRecord { sequence_number: &self.sequence_number, written_at: self.written_at, item, is_new: true }
    }
}

impl Lane {
    fn new() -> Self {
        Self { tenants: BTreeMap::new(), watermark: Watermark::start(), letters: Vec::new() }
    }

    fn as_of(&self) -> Millis {
        let stored = StoredPage { key: "00000000".to_owned(), bytes: self.watermark.to_bytes() };
        Lanes::read([stored]).as_of(STAMP.received_at)
    }

    /// Folds as an adapter does, for at most `steps` steps.
    fn fold(&mut self, batch: &StreamBatch<'_>, limits: WriteLimits, steps: usize) {
        let mut at_most = usize::MAX;
        for step in 0..steps {
            assert!(step < 1000, "it never ends");
            let Some(step) = SERVICE.step(batch, &self.watermark, at_most, limits) else { return };
            let read = |(tenant, ranges): (&Tenant, &[KeyRange])| {
                self.tenants.get(tenant.as_str()).map(|pages| pages.read(ranges)).unwrap_or_default()
            };
            let stored = step.ranges().map(read).collect();
            match step.merge(stored) {
                Ok(StreamWrite { pages, damaged, watermark, letters, .. }) => {
                    assert!(damaged.is_empty(), "what is written can be read: {damaged:?}");
                    assert!(limits.fit(pages.iter().map(|(_, page)| page)), "more than a transaction takes");
                    for (tenant, page) in pages {
                        self.tenants.entry(tenant.as_str().to_owned()).or_default().write([page]);
                    }
                    self.letters.extend(letters);
                    let stored = StoredPage { key: String::new(), bytes: watermark.to_bytes() };
                    self.watermark = Watermark::read(&stored).expect("what is written can be read");
                    assert_eq!(self.watermark, watermark);
                }
                Err(TooMuch { at_most: fewer }) => {
                    assert!((1..at_most).contains(&fewer), "{fewer} of {at_most}");
                    at_most = fewer;
                }
            }
        }
    }
}

/// The sequence numbers of the records in these letters, in order.
fn numbers(letters: &[String]) -> Vec<String> {
    let number = |letter: &String| {
        let letter: Value = serde_json::from_str(letter).expect("a letter is JSON");
        assert!(letter["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{letter}");
        letter["sequenceNumber"].as_str().expect("a letter has a number").to_owned()
    };
    let mut numbers: Vec<String> = letters.iter().map(number).collect();
    numbers.sort();
    numbers
}
