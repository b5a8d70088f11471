//! Two processes pack events into one table while stored shapes appear and expire. Each event comes back byte for byte
//! until it expires. Any other bytes are refused or read, without a panic.

use std::collections::BTreeMap;

use arbitrary::Unstructured;
use isotherm_core::{
    Digest, EventId, Millis, NewEvent, PackedHead, Packer, RETENTION, Seconds, ShapeId, StoredShape, Unpacker,
    UnreadableEvent,
};
use isotherm_fuzz::STAMP;

/// DynamoDB's limit for an item.
const ITEM_BYTES: usize = 400_000;
const DAY: u64 = 24 * 60 * 60;
/// How long a message may wait in a queue, before its event is put: 14 days.
const LATEST: u64 = 14;
/// Where time ends, since [`time`] knows no more months.
const DAYS: u64 = 400;

/// An event in the table.
struct Item {
    event: NewEvent,
    put_by: u64,
    packed: Vec<u8>,
}

#[derive(Default)]
struct Table {
    events: Vec<Item>,
    shapes: BTreeMap<ShapeId, StoredShape>,
}

pub(crate) fn run(input: &[u8]) {
    let _enough = check(&mut Unstructured::new(input));
}

fn check(input: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let mut table = Table::default();
    let (mut packers, mut unpacker) = ([Packer::default(), Packer::default()], Unpacker::default());
    let mut today = LATEST;
    for _ in 0..input.int_in_range(1..=10)? {
        match input.int_in_range(0..=9)? {
            0..=5 => {
                let packer = &mut packers[usize::from(input.arbitrary::<bool>()?)];
                let mut events = Vec::new();
                for _ in 0..input.int_in_range(1..=3)? {
                    events.push(event(input, today)?);
                }
                table.put(input, packer, events)?;
            }
            6 => {
                today = (today + [1, 7, 31, 80][input.int_in_range(0..=3)?]).min(DAYS);
                table.expire(today);
            }
            7 => packers[0] = Packer::default(),
            8 => unpacker = Unpacker::default(),
            _ => return any_bytes(input, &table, &mut unpacker),
        }
    }
    for Item { event, put_by, packed } in &table.events {
        assert!(packed.len() < ITEM_BYTES, "an item of {} bytes", packed.len());
        assert_eq!(PackedHead::of(packed), Ok(PackedHead { digest: event.digest, put_by: *put_by }));
        for id in unpacker.unknown([&**packed]) {
            let stored = table.shapes.get(&id).unwrap_or_else(|| panic!("{id} is gone before {event:?}"));
            unpacker.learn(id, stored.bytes.clone());
        }
        assert_eq!(unpacker.record(&event.id.to_string(), packed).as_ref(), Ok(&event.record), "{packed:x?}");
    }
    Ok(())
}

impl Table {
    /// Puts events and their shapes, each of which may fail.
    fn put(
        &mut self,
        input: &mut Unstructured<'_>,
        packer: &mut Packer,
        events: Vec<NewEvent>,
    ) -> arbitrary::Result<()> {
        let put_by = input.arbitrary()?;
        let shapes = packer.shapes(&events);
        assert!(shapes.len() <= events.len());
        let is_first = input.arbitrary()?;
        let packed = |packer: &Packer| events.iter().map(|event| packer.pack(event, put_by)).collect::<Vec<_>>();
        let before = packed(packer);
        for shape in shapes {
            assert!(shape.bytes.len() < ITEM_BYTES && shape.id.to_string().len() < 64, "{shape:?}");
            if input.ratio(7, 8)? {
                packer.is_stored(&shape);
                self.shapes.insert(shape.id, shape);
            }
        }
        let packed = if is_first { before } else { packed(packer) };
        let items = events.into_iter().zip(packed).map(|(event, packed)| Item { event, put_by, packed });
        self.events.extend(items);
        Ok(())
    }

    /// Deletes what has expired.
    fn expire(&mut self, today: u64) {
        let now = Seconds(received_at(today, 0).0 / 1000);
        self.events.retain(|item| item.event.expires_at > now);
        self.shapes.retain(|_, shape| shape.expires_at > now);
    }
}

/// Reads any bytes as an event and as a shape.
fn any_bytes(input: &mut Unstructured<'_>, table: &Table, unpacker: &mut Unpacker) -> arbitrary::Result<()> {
    let mut packed = match input.choose_iter(&table.events) {
        Ok(item) => item.packed.clone(),
        Err(_) => vec![input.int_in_range(0..=4)?; 26],
    };
    for (id, shape) in &table.shapes {
        unpacker.learn(*id, shape.bytes.clone());
    }
    let at = input.int_in_range(0..=packed.len())?;
    match input.int_in_range(0..=2)? {
        0 => packed.truncate(at),
        1 => packed[at..].iter_mut().take(1).for_each(|byte| *byte = byte.wrapping_add(1)),
        _ => drop(packed.splice(at.., input.arbitrary::<&[u8]>()?.iter().copied())),
    }
    let unknown = unpacker.unknown([&*packed]);
    let id = id(input.arbitrary()?);
    let names: usize = table.shapes.values().map(|shape| shape.bytes.len()).max().unwrap_or_default();
    match unpacker.record(&id.to_string(), &packed) {
        // A name takes three bytes more in a record, and the shortest value is `false` in one byte.
        Ok(record) => assert!(record.len() < 300 + 8 * (packed.len() + names), "{} bytes", record.len()),
        Err(UnreadableEvent::NoShape(id)) => assert!(unknown.contains(&id)),
        Err(UnreadableEvent::Damaged) => {}
    }
    for id in unknown {
        unpacker.learn(id, packed.clone());
        assert!(unpacker.unknown([&*packed]).contains(&id), "bytes that the id was not made of are its shape");
    }
    Ok(())
}

/// An event that is put on this day. A message may have waited in a queue.
fn event(input: &mut Unstructured<'_>, today: u64) -> arbitrary::Result<NewEvent> {
    let day = today - input.int_in_range(0..=LATEST)?;
    let (id, received) = (id(input.arbitrary()?), input.int_in_range(0..=999)?);
    let received_at = received_at(day, received);
    let (occurred_day, occurred) = (day.saturating_sub(input.int_in_range(0..=2)?), input.int_in_range(0..=999)?);
    let event = NewEvent {
        id,
        digest: Digest::from_bytes(input.arbitrary()?),
        occurred_at: self::received_at(occurred_day, occurred),
        received_at,
        expires_at: Seconds(received_at.0 / 1000 + RETENTION.0),
        record: String::new(),
    };
    let (mut record, times) = (format!(r#"{{"eventId":"{id}""#), (time(occurred_day, occurred), time(day, received)));
    if input.arbitrary()? {
        record += &format!(r#","messageId":"{}""#, text(input)?);
    }
    record += &format!(r#","userId":"{}","eventType":"{}""#, text(input)?, input.choose(&["t", "type", "\\\"", ""])?);
    record += &format!(r#","timestamp":"{}","receivedAt":"{}","properties":{{"#, times.0, times.1);
    for at in 0..input.int_in_range(0..=4)? {
        let name = if input.ratio(1, 4)? { text(input)? } else { *input.choose(&["a", "b", "carrier"])? };
        let comma = if at > 0 { "," } else { "" };
        record += &format!(r#"{comma}"{name}":{}"#, value(input)?);
    }
    record += "}}";
    if input.ratio(1, 8)? {
        // No record that core makes; it has to come back all the same.
        let at = input.int_in_range(0..=record.len())?;
        if record.is_char_boundary(at) {
            record.insert_str(at, input.choose(&["", "\"", ",", "}", "{", ":", "\\", "0", "\u{0}", "é"])?);
        }
    }
    Ok(NewEvent { record, ..event })
}

fn value(input: &mut Unstructured<'_>) -> arbitrary::Result<String> {
    Ok(match input.int_in_range(0..=5)? {
        0 => input.arbitrary::<i64>()?.to_string(),
        1 => input.arbitrary::<i8>()?.to_string(),
        2 => {
            (*input.choose(&["null", "true", "false", "-0", "1e3", "[1,\"}\"]", "{\"a\":{}}", "+1", "007"])?).to_owned()
        }
        3 => text(input)?.to_owned(),
        _ => format!("\"{}\"", text(input)?),
    })
}

fn text<'a>(input: &mut Unstructured<'a>) -> arbitrary::Result<&'a str> {
    Ok(if input.arbitrary()? { input.choose(&["u", "m1", "é", "\\n"])? } else { input.arbitrary()? })
}

fn id(number: u8) -> EventId {
    format!("evt_{:026}", number).parse().expect("an id")
}

/// A time on this day after 2025-11-01.
fn received_at(day: u64, millis: u64) -> Millis {
    Millis(STAMP.received_at.0 - 20 * DAY * 1000 + day * DAY * 1000 + millis)
}

/// The same time as text.
fn time(mut day: u64, millis: u64) -> String {
    const MONTHS: [(&str, u64); 15] = [
        ("2025-11", 30),
        ("2025-12", 31),
        ("2026-01", 31),
        ("2026-02", 28),
        ("2026-03", 31),
        ("2026-04", 30),
        ("2026-05", 31),
        ("2026-06", 30),
        ("2026-07", 31),
        ("2026-08", 31),
        ("2026-09", 30),
        ("2026-10", 31),
        ("2026-11", 30),
        ("2026-12", 31),
        ("2027-01", 31),
    ];
    for (month, days) in MONTHS {
        if day < days {
            return format!("{month}-{:02}T01:53:20.{millis:03}Z", day + 1);
        }
        day -= days;
    }
    panic!("time has ended")
}
