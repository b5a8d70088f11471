//! Packed events: each record comes back byte for byte, whatever clients send and whatever is stored.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics to fail")]

use isotherm_core::{
    Admission, Digest, Millis, NewEvent, PackedHead, Packer, Plan, Request, Seconds, Service, Stamp, StoreOutcome,
    StoredShape, Unpacker, UnreadableEvent,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const RECEIVED_AT: Millis = Millis(1_763_690_000_000);
/// DynamoDB's limit for an item, which includes its key and the names of its attributes.
const ITEM_BYTES: usize = 400_000;

/// The events that core makes of some JSON objects, of which it takes as many as are valid.
fn admitted(events: &[Value], stamp: Stamp) -> Vec<NewEvent> {
    let service = Service::from_text(Some(r#"{"version":2,"open":true}"#));
    let body = json!({ "events": events }).to_string();
    let request = Request { method: "POST", path: "/events/batch", query: "", headers: &[], body: body.as_bytes() };
    let Admission::Plan(Plan::Store(plan)) = service.admit(&request, stamp) else { return Vec::new() };
    let events = plan.events().to_vec();
    let _reply = plan.respond(vec![StoreOutcome::Stored; events.len()]);
    events
}

fn event(properties: Value) -> NewEvent {
    let stamp = Stamp { received_at: RECEIVED_AT, entropy: 7 };
    let event = json!({ "userId": "u", "eventType": "t", "properties": properties });
    admitted(&[event], stamp).pop().unwrap()
}

/// Looks at events and stores every shape that is to be stored.
fn store(packer: &mut Packer, events: &[NewEvent]) -> Vec<StoredShape> {
    let shapes = packer.shapes(events);
    shapes.iter().for_each(|shape| packer.is_stored(shape));
    shapes
}

/// A packer that has stored the shapes of these events, and an unpacker that knows them.
fn knowing(events: &[NewEvent]) -> (Packer, Unpacker) {
    let (mut packer, mut unpacker) = (Packer::default(), Unpacker::default());
    for _ in 0..2 {
        for StoredShape { id, bytes, .. } in store(&mut packer, events) {
            unpacker.learn(id, bytes);
        }
    }
    (packer, unpacker)
}

fn names() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{1,8}", r#"["\\{}\[\],:/ ]{1,6}"#, "\\PC{1,12}", "[€😀\u{2028}\u{feff}]{1,4}"]
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3000..3000_i64).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (0..64_u32, any::<bool>(), -1..2_i64).prop_map(|(bits, is_negative, more)| {
            let edge = (1_i64 << bits.min(62)) + more;
            Value::from(if is_negative { -edge } else { edge })
        }),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
        prop::sample::select(vec![-0.0, 1e300, 1e-300, 0.1, 1e21, 12.0]).prop_map(Value::from),
        "(\\PC|[\u{0}-\u{1f}\u{7f}\"\\\\{}\\[\\],:]){0,20}".prop_map(Value::from),
        names().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(names(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn events() -> impl Strategy<Value = Value> {
    let properties = prop::collection::btree_map(names(), values(), 0..12);
    let properties = properties.prop_map(|members| members.into_iter().collect::<Map<_, _>>());
    let times = prop::option::of(946_684_800_000..1_763_690_000_000_u64);
    (names(), names(), prop::option::of(names()), times, properties).prop_map(
        |(user, event_type, message_id, time, properties)| {
            let mut event = json!({ "userId": user, "eventType": event_type, "properties": properties });
            message_id.into_iter().for_each(|id| event["messageId"] = id.into());
            time.into_iter().for_each(|time| event["timestamp"] = time.into());
            event
        },
    )
}

proptest! {
    #[test]
    fn a_record_comes_back_byte_for_byte(
        sent in prop::collection::vec(events(), 1..4),
        ms in prop_oneof![Just(RECEIVED_AT.0), 946_684_800_000..4_102_444_800_000_u64, any::<u64>()],
        entropy in any::<u128>(),
        put_by in any::<u64>(),
    ) {
        let events = admitted(&sent, Stamp { received_at: Millis(ms), entropy });
        let (packer, unpacker) = knowing(&events);
        for event in &events {
            let id = event.id.to_string();
            for (packer, mut unpacker) in [(&packer, unpacker.clone()), (&Packer::default(), Unpacker::default())] {
                let packed = packer.pack(event, put_by);
                prop_assert_eq!(PackedHead::of(&packed), Ok(PackedHead { digest: event.digest, put_by }));
                prop_assert!(unpacker.unknown([&*packed]).is_empty());
                prop_assert_eq!(unpacker.record(&id, &packed), Ok(event.record.clone()));
                // Only a clock that is far beyond the year 9999 gives a record that is packed as text.
                prop_assert!(matches!(packed[0], 1 | 2) || ms > 1 << 62, "{packed:?}");
                prop_assert!(packed.len() <= event.record.len() || ms > 1 << 62, "{packed:?}");
            }
        }
    }

    #[test]
    fn what_is_no_record_comes_back_too(record in "\\PC{0,60}", cut in any::<prop::sample::Index>()) {
        let whole = event(json!({ "a": 1, "b": "c", "d": [{}] }));
        let at = cut.index(whole.record.len() + 1);
        let cut = whole.record[..at].to_owned();
        let spaced = format!("{} {}", cut, &whole.record[at..]);
        for record in [record, cut, spaced] {
            let event = NewEvent { record, ..whole.clone() };
            let (packer, unpacker) = knowing(std::slice::from_ref(&event));
            let packed = packer.pack(&event, 1);
            prop_assert_eq!(unpacker.record(&event.id.to_string(), &packed), Ok(event.record));
        }
    }

    #[test]
    fn no_bytes_make_an_unpacker_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), version in 0..5_u8, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let event = event(json!({ "a": 1, "b": "c" }));
        let (packer, mut unpacker) = knowing(std::slice::from_ref(&event));
        bytes.insert(0, version);
        let mut damaged = packer.pack(&event, 1);
        let at = at.index(damaged.len());
        damaged[at] = byte;
        for packed in [&bytes, &damaged, &damaged[..at].to_vec()] {
            let _any = (unpacker.unknown([&**packed]), PackedHead::of(packed));
            let _any = unpacker.record(&event.id.to_string(), packed);
        }
        prop_assert_eq!(unpacker.record("evt_1", &packer.pack(&event, 1)), Err(UnreadableEvent::Damaged));
    }
}

#[test]
fn a_flight_takes_a_third_of_its_record() {
    let sent = json!({ "messageId": "nyc13-12345", "userId": "N14228", "eventType": "flight_departed",
        "timestamp": "2013-01-01T10:15:00.000Z", "properties": { "carrier": "UA", "flight": 1545, "origin": "EWR",
        "dest": "IAH", "distance": 1400, "depDelay": 2, "arrDelay": 11, "airTime": 227 } });
    let events = admitted(&[sent], Stamp { received_at: RECEIVED_AT, entropy: 7 });
    let (packer, _) = knowing(&events);
    let packed = packer.pack(&events[0], 1);
    assert!(packed.len() * 3 < events[0].record.len(), "{} of {}", packed.len(), events[0].record.len());
    assert!(Packer::default().pack(&events[0], 1).len() < events[0].record.len() * 2 / 3);
}

/// The bytes that every later version must read.
#[test]
fn stored_bytes_are_read_as_they_were_written() {
    let event = admitted(
        &[json!({ "messageId": "m", "userId": "\"é", "eventType": "t", "timestamp": "2013-01-01T10:15:00.000Z",
            "properties": { "a": -3, "b": "x\n", "c": 2.5, "d": true, "e": [1] } })],
        Stamp { received_at: RECEIVED_AT, entropy: 7 },
    )
    .pop()
    .unwrap();
    let (packer, unpacker) = knowing(std::slice::from_ref(&event));
    let shape = b"\x01\x01\x01t\x01a\x01b\x01c\x01d\x01e";
    let head = [&event.digest.to_bytes()[..], &[0, 0, 0, 0, 0, 0, 1, 2]].concat();
    let values = b"\x80\xdd\xf6\xa0\xaa\x33\xc0\xa7\x92\xe8\xd5\x17\x01m\x04\\\"\xc3\xa9\x14\x0dx\\n\x0e2.5\x0b\x0e[1]";
    let id = [0x37, 0xb0, 0x0c, 0xad, 0x65, 0xfd, 0x47, 0x41];
    let stored = [
        [&[1], &head[..], &id, values].concat(),
        [&[2], &head[..], &[shape.len() as u8], shape, values].concat(),
        [&[3], &head[..], event.record.as_bytes()].concat(),
    ];
    for packed in &stored {
        assert_eq!(unpacker.record(&event.id.to_string(), packed).as_ref(), Ok(&event.record), "{packed:x?}");
    }
    assert_eq!(packer.pack(&event, 258), stored[0]);
    assert_eq!(Packer::default().pack(&event, 258), stored[1]);
}

#[test]
fn a_shape_is_stored_when_it_comes_again_and_is_not_there_yet() {
    let one = [event(json!({ "a": 1 }))];
    let mut packer = Packer::default();
    assert_eq!(packer.shapes(&one), []);
    let [shape] = &packer.shapes(&one)[..] else { panic!("it came twice") };
    assert_eq!(packer.shapes(&one), std::slice::from_ref(shape), "it is not stored yet");
    assert!(shape.id.to_string().starts_with("#shape-") && shape.bytes.ends_with(b"a"), "{shape:?}");
    let alone = packer.pack(&one[0], 1);
    packer.is_stored(shape);
    assert_eq!(packer.shapes(&one), []);
    let packed = packer.pack(&one[0], 1);
    assert!(packed.len() < alone.len() + 8 && packed[0] != alone[0]);
    let mut unpacker = Unpacker::default();
    assert_eq!(unpacker.unknown([&*packed, &*alone, &*packed]).into_iter().collect::<Vec<_>>(), [shape.id]);
    let id = one[0].id.to_string();
    assert_eq!(unpacker.record(&id, &packed), Err(UnreadableEvent::NoShape(shape.id)));
    unpacker.learn(shape.id, shape.bytes[1..].to_vec());
    assert_eq!(unpacker.record(&id, &packed), Err(UnreadableEvent::NoShape(shape.id)), "other bytes");
    unpacker.learn(shape.id, shape.bytes.clone());
    assert_eq!(unpacker.record(&id, &packed).as_ref(), Ok(&one[0].record));
    let said = UnreadableEvent::NoShape(shape.id).to_string();
    assert!(said.contains(&shape.id.to_string()), "{said}");
    // All events of a batch count.
    assert_eq!(Packer::default().shapes(&[one[0].clone(), one[0].clone()]).len(), 1);
}

#[test]
fn a_shape_outlives_the_events_that_refer_to_it() {
    let mut one = event(json!({ "a": 1 }));
    let mut packer = Packer::default();
    store(&mut packer, &[one.clone()]);
    let [first] = &store(&mut packer, &[one.clone()])[..] else { panic!("it came twice") };
    assert!(first.expires_at.0 >= one.expires_at.0 + 90 * 86_400 && first.expires_at.0.is_multiple_of(86_400));
    // An event may wait in a queue for two weeks, so its shape must last longer than the event by more than that.
    let late = NewEvent { expires_at: Seconds(one.expires_at.0 - 14 * 86_400), ..one.clone() };
    let mut other = Packer::default();
    let [shorter] = &store(&mut other, &[late.clone(), late])[..] else { panic!("it came twice") };
    one.expires_at = shorter.expires_at;
    assert_eq!(packer.pack(&one, 1)[0], 2, "the shape may be gone before a late event is folded");
    one.expires_at = Seconds(shorter.expires_at.0 - 86_401);
    assert_eq!(packer.shapes(&[one.clone()]), []);
    assert_eq!(packer.pack(&one, 1)[0], 1);
    one.expires_at = first.expires_at;
    let [again] = &store(&mut packer, &[one.clone()])[..] else { panic!("it expires too early") };
    assert!(again.id == first.id && again.bytes == first.bytes && again.expires_at > first.expires_at);
    assert_eq!(packer.pack(&one, 1)[0], 1);
}

#[test]
fn names_that_are_always_new_are_neither_stored_nor_kept_in_mind() {
    let new = |n: usize| event(json!({ format!("n{n}"): n }));
    let common = [event(json!({ "a": 1 }))];
    let mut packer = Packer::default();
    store(&mut packer, &common);
    assert_eq!(store(&mut packer, &common).len(), 1);
    for n in 0..1000 {
        assert_eq!(packer.shapes(&[new(n)]), []);
        if n % 200 == 0 {
            assert_eq!(packer.shapes(&common), [], "{n}: it is in use and stays in mind");
        }
    }
    assert_eq!(packer.pack(&common[0], 1)[0], 1);
    assert_eq!(packer.shapes(&[new(999)]).len(), 1, "the last ones are known");
    assert_eq!(packer.shapes(&[new(0)]), [], "the first ones are forgotten");
    // The names of one event can be 32 kB.
    let long = [event(json!({ "n".repeat(200): 1, "a".repeat(200): 1 }))];
    let many: Map<String, Value> = (0..128).map(|n| (format!("{n:-<200}"), Value::Null)).collect();
    let longer = [event(many.into())];
    assert_eq!((0..2).map(|_| packer.shapes(&long).len()).sum::<usize>(), 1);
    assert_eq!((0..2).map(|_| packer.shapes(&longer).len()).sum::<usize>(), 0);
}

#[test]
fn an_unpacker_keeps_a_bounded_number_of_shapes() {
    let mut unpacker = Unpacker::default();
    let mut packer = Packer::default();
    let mut packed = Vec::new();
    for n in 0..300 {
        let one = [event(json!({ format!("n{n}"): n }))];
        store(&mut packer, &one);
        for StoredShape { id, bytes, .. } in store(&mut packer, &one) {
            unpacker.learn(id, bytes);
        }
        packed.push(packer.pack(&one[0], 1));
    }
    assert_eq!(unpacker.unknown([]).len(), 0);
    assert_eq!(unpacker.unknown(packed.iter().map(Vec::as_slice)).len(), 300, "all are forgotten at once");
}

#[test]
fn the_largest_events_fit_into_an_item() {
    let text = "\u{1}".repeat(5_000);
    let many: Map<String, Value> = (0..128).map(|n| (format!("{n:\"<90}"), Value::Null)).collect();
    let deep = (0..29).fold(json!([]), |inner, _| json!({ "\\": inner }));
    for properties in [json!({ "a": text }), many.into(), json!({ "a": deep })] {
        let event = event(properties);
        let packed = Packer::default().pack(&event, u64::MAX);
        assert!(packed.len() < ITEM_BYTES / 10, "{}", packed.len());
        assert_eq!(Unpacker::default().record(&event.id.to_string(), &packed), Ok(event.record));
    }
    let any = NewEvent { record: "x".repeat(40_000), digest: Digest::from_bytes([1; 16]), ..event(json!({})) };
    assert_eq!(Packer::default().pack(&any, 0).len(), 40_025);
}
