//! A tenant's data leave one service and come into another: reports there are the same to the byte.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics to fail")]

use std::collections::{BTreeMap, BTreeSet};

use isotherm_core::{
    Admission, ExportOutcome, KeyRange, Millis, Moving, NewEvent, PageGroup, Place, Plan, Reply, ReportData,
    ReportOutcome, Request, Service, Stamp, StoreOutcome, StoredPage, Unfolded, WriteLimits, day_of, digests_of_record,
    moved_first, stand_in, union, union_of_manifests,
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// 2025-11-21T01:53:20Z.
const NOW: Millis = Millis(1_763_690_000_000);
const KEY: &str = "0123456789abcdef-operator";

type Pages = BTreeMap<String, Vec<u8>>;

fn open() -> Service {
    Service::from_text(Some(r#"{"version":2,"open":true}"#))
}

/// A service whose operator has [`KEY`].
fn operated() -> Service {
    use sha2::Digest as _;
    let hash: String = sha2::Sha256::digest(KEY).iter().map(|byte| format!("{byte:02x}")).collect();
    let key = json!({"sha256": hash, "tenant": "acme", "scope": "operate"});
    Service::from_text(Some(&json!({"version": 2, "keys": [key]}).to_string()))
}

fn ask(method: &str, path: &str, query: &str, body: &str) -> Admission {
    let authorization = format!("Bearer {KEY}");
    let headers = [("authorization", authorization), ("content-type", "application/x-ndjson".to_owned())];
    let request = Request { method, path, query, headers: &headers, body: body.as_bytes() };
    operated().admit(&request, Stamp { received_at: NOW, entropy: 5 })
}

/// The events of a batch, as a store keeps them.
fn events(bodies: &[Value], received_at: Millis) -> Vec<NewEvent> {
    let body = json!({ "events": bodies }).to_string();
    let request = Request { method: "POST", path: "/events/batch", query: "", headers: &[], body: body.as_bytes() };
    match open().admit(&request, Stamp { received_at, entropy: u128::from(received_at.0) }) {
        Admission::Plan(Plan::Store(plan)) => plan.events().to_vec(),
        other => panic!("{other:?}"),
    }
}

fn read(pages: &Pages, ranges: &[KeyRange]) -> Vec<StoredPage> {
    let found = ranges.iter().flat_map(|KeyRange { from, until }| pages.range(from.clone()..until.clone()));
    found.map(|(key, bytes)| StoredPage { key: key.clone(), bytes: bytes.clone() }).collect()
}

fn write(pages: &mut Pages, written: impl IntoIterator<Item = StoredPage>) {
    pages.extend(written.into_iter().map(|StoredPage { key, bytes }| (key, bytes)));
}

fn fold<'e>(pages: &mut Pages, records: impl IntoIterator<Item = &'e str>) {
    let records: Vec<_> = records.into_iter().map(|record| Unfolded { tenant: "acme", record }).collect();
    let step = open().fold(&records, usize::MAX, WriteLimits::NONE);
    assert_eq!(step.records(), records.len());
    let stored = step.ranges().map(|(_, ranges)| read(pages, ranges)).collect();
    write(pages, step.merge(stored).unwrap().pages.into_iter().map(|(_, page)| page));
}

fn compact(pages: &mut Pages) {
    let manifests = read(pages, &[open().manifests()]);
    for compaction in open().compactions(&manifests, NOW) {
        let merged = compaction.clone().merge(Some(read(pages, &compaction.ranges())), WriteLimits::NONE);
        write(pages, merged.pages);
    }
}

/// A report over all parts of a store.
fn report(parts: &[Pages], tail: &[String], path: &str, query: &str) -> String {
    let request = Request { method: "GET", path, query, headers: &[], body: b"" };
    let Admission::Plan(Plan::Report(plan)) = open().admit(&request, Stamp { received_at: NOW, entropy: 1 }) else {
        panic!("{query}")
    };
    let read = |pages: &Pages| {
        let manifests: Vec<_> = plan.reading().manifests().into_iter().collect();
        read(pages, &plan.reading().ranges(&read(pages, &manifests)))
    };
    let mut data: Vec<_> =
        parts.iter().map(|pages| ReportData { pages: read(pages), ..ReportData::default() }).collect();
    data.push(ReportData { tail: tail.to_vec(), ..ReportData::default() });
    String::from_utf8(plan.respond(ReportOutcome::Read(data)).reply.body).unwrap()
}

/// All kinds of reports.
fn reports(parts: &[Pages], tail: &[String]) -> Vec<String> {
    let range = "from=2025-11-01T00:00:00Z&to=2025-11-21T00:00:00Z";
    let metrics = "metrics=count,users,sum:n,min:n,max:n,p95:n";
    [
        ("/reports/summary", format!("{range}&{metrics}")),
        ("/reports/timeseries", format!("{range}&{metrics}&interval=day")),
        ("/reports/timeseries", format!("{range}&{metrics}&interval=day&groupBy=eventType")),
        ("/reports/timeseries", format!("{range}&{metrics}&interval=hour&groupBy=to")),
        ("/reports/top", format!("{range}&{metrics}&dimension=to")),
    ]
    .map(|(path, query)| report(parts, tail, path, &query))
    .into()
}

/// The rollups of all parts as one, as `isotherm move` makes them.
fn as_one(parts: &[Pages]) -> Vec<StoredPage> {
    let mut groups: BTreeMap<PageGroup, Vec<StoredPage>> = BTreeMap::new();
    for (key, bytes) in parts.iter().flatten() {
        let page = StoredPage { key: key.clone(), bytes: bytes.clone() };
        groups.entry(PageGroup::of(key)).or_default().push(page);
    }
    let (mut sealed, mut pages) = (BTreeSet::new(), Vec::new());
    for (group, of_group) in groups {
        match group {
            PageGroup::Types | PageGroup::Damaged => {}
            PageGroup::Manifest(_) => {
                let (manifest, is_sealed) = union_of_manifests(&of_group).unwrap();
                sealed.extend(day_of(&manifest.key).filter(|_| is_sealed).map(|(day, _)| day));
                pages.push(manifest);
            }
            PageGroup::Series(_) => pages.extend(union(&of_group, &BTreeSet::new()).unwrap()),
        }
    }
    pages.retain(|page| day_of(&page.key).is_some_and(|(day, is_whole)| !is_whole || sealed.contains(&day)));
    pages
}

fn export(pages: &[StoredPage]) -> String {
    let Admission::Plan(Plan::Export(plan)) = ask("GET", "/export/rollups", "part=0&after=", "") else { panic!() };
    let mut export = plan.asked().begin();
    pages.iter().for_each(|page| export.page(page, &page.key));
    assert!(!export.is_full(), "a test needs less");
    let place = Place { parts: 1, folded_to: NOW, is_ordered: true, more: None };
    let lines = export.end(place);
    let reply = plan.respond(ExportOutcome::Read(lines.clone()));
    assert_eq!((reply.status, String::from_utf8(reply.body).unwrap()), (200, lines.clone()));
    let (lines, end) = lines.trim_end().rsplit_once('\n').unwrap_or(("", lines.trim_end()));
    let end: Value = serde_json::from_str(end).unwrap();
    assert_eq!(end["over"], true);
    assert_eq!(end["next"].as_str(), Some(pages.last().map_or("", |page| &page.key)));
    lines.to_owned()
}

fn import(pages: &mut Pages, lines: &str) {
    if lines.is_empty() {
        return;
    }
    let Admission::Plan(Plan::Import(plan)) = ask("POST", "/import/rollups", "", lines) else { panic!() };
    let shards: Vec<StoredPage> = (0..3).flat_map(|shard| plan.of_shard(shard, 3)).collect();
    assert_eq!(
        shards.iter().map(|page| &page.key).collect::<BTreeSet<_>>(),
        plan.pages().map(|page| &page.key).collect()
    );
    write(pages, plan.pages().cloned());
    assert_eq!(plan.respond(true).status, 200);
}

fn event(n: u64, day: u32) -> Value {
    let (kind, to, user) = (n % 3, n % 7, n % 11);
    let time = format!("2025-11-{day:02}T{:02}:15:00Z", n % 24);
    json!({"userId": format!("u{user}"), "eventType": format!("t{kind}"), "timestamp": time,
        "properties": {"to": format!("x{to}"), "n": n * n, "f": n as f64 / 7.0}})
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever shards the source has, whatever it has compacted, and whatever the target has of its own.
    #[test]
    fn reports_are_the_same_after_moves(
        moved in prop::collection::vec((0..1000_u64, 1..20_u32), 1..40),
        own in prop::collection::vec((0..1000_u64, 1..20_u32), 0..10),
        is_compacted in any::<bool>(),
    ) {
        let all = |of: &[(u64, u32)], at: u64| {
            let bodies: Vec<_> = of.iter().map(|(n, day)| event(*n, *day)).collect();
            if bodies.is_empty() { Vec::new() } else { events(&bodies, Millis(NOW.0 - at)) }
        };
        let (moved, own) = (all(&moved, 2), all(&own, 1));
        let mut source = vec![Pages::new(), Pages::new(), Pages::new()];
        for (at, event) in moved.iter().enumerate() {
            fold(&mut source[at % 3], [event.record.as_str()]);
        }
        if is_compacted {
            source.iter_mut().take(2).for_each(compact);
        }
        let mut everything = Pages::new();
        fold(&mut everything, moved.iter().chain(&own).map(|event| event.record.as_str()));
        let mut target = Pages::new();
        fold(&mut target, own.iter().map(|event| event.record.as_str()));
        if is_compacted {
            compact(&mut target);
        }
        let lines = export(&as_one(&source));
        import(&mut target, &lines);
        import(&mut target, &lines);
        prop_assert_eq!(reports(std::slice::from_ref(&target), &[]), reports(&[everything.clone()], &[]));
        // The target folds and compacts on, and is left in its turn.
        fold(&mut target, own.iter().map(|event| event.record.as_str()));
        fold(&mut everything, own.iter().map(|event| event.record.as_str()));
        compact(&mut target);
        let mut next = Pages::new();
        import(&mut next, &export(&as_one(&[target])));
        prop_assert_eq!(reports(&[next], &[]), reports(&[everything], &[]));
    }
}

/// The events that an import of these lines keeps, and the answer if all are stored.
fn imported(lines: &str) -> (Vec<NewEvent>, Reply) {
    match ask("POST", "/import/events", "", lines) {
        Admission::Plan(Plan::Store(plan)) => {
            let events = plan.events().to_vec();
            (events.clone(), plan.respond(vec![StoreOutcome::Stored; events.len()]))
        }
        Admission::Reply(reply) => (Vec::new(), reply),
        Admission::Plan(other) => panic!("{other:?}"),
    }
}

#[test]
fn an_event_comes_out_as_it_went_in_and_is_counted_once() {
    let kept = events(&[event(5, 3), event(6, 4)], NOW);
    let Admission::Plan(Plan::Export(plan)) = ask("GET", "/export/events", "", "") else { panic!() };
    assert_eq!((plan.asked().what, plan.asked().number()), (Moving::Events, Some(0)));
    let mut export = plan.asked().begin();
    kept.iter().zip(1..).for_each(|(event, number)| export.event(event, number));
    let expired = NewEvent { expires_at: isotherm_core::Seconds(NOW.0 / 1000), ..kept[0].clone() };
    export.event(&expired, 3);
    export.event(&NewEvent { record: "{}".to_owned(), ..kept[0].clone() }, 4);
    let text = export.end(Place { parts: 2, folded_to: Millis(7), is_ordered: true, more: None });
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert_eq!(
        lines[2],
        r#"{"parts":2,"foldedTo":7,"ordered":true,"over":true,"leftOut":1,"frozen":false,"next":"4"}"#
    );

    let (same, reply) = imported(&lines[..2].join("\n"));
    assert_eq!((same.clone(), reply.status), (kept.clone(), 200));
    let counted: Vec<String> = lines[..2].iter().map(|line| line.replacen('{', r#"{"counted":true,"#, 1)).collect();
    let (counted, _) = imported(&counted.join("\n"));
    let times = |events: &[NewEvent]| -> Vec<_> {
        events.iter().map(|event| (event.id, event.digest, event.received_at, event.expires_at)).collect()
    };
    assert_eq!(times(&counted), times(&kept));
    // Neither a fold nor a report counts them again, and a look-up gives the record as it was.
    let mut pages = Pages::new();
    fold(&mut pages, counted.iter().map(|event| event.record.as_str()));
    let tail: Vec<String> = counted.iter().map(|event| event.record.clone()).collect();
    assert_eq!(reports(&[pages], &tail), reports(&[Pages::new()], &[]));
    let path = format!("/events/{}", kept[0].id);
    let request = Request { method: "GET", path: &path, query: "", headers: &[], body: b"" };
    let Admission::Plan(Plan::Find(find)) = open().admit(&request, Stamp { received_at: NOW, entropy: 1 }) else {
        panic!()
    };
    let found = find.respond(isotherm_core::FindOutcome::Found(counted[0].record.clone()));
    assert_eq!(String::from_utf8(found.body).unwrap(), kept[0].record);
}

#[test]
fn lines_that_no_export_gives_are_refused() {
    let record = events(&[event(5, 3)], NOW)[0].record.clone();
    let digest = "0".repeat(32);
    let line = |digest: &str, expires: u64, record: &str| {
        format!(r#"{{"digest":"{digest}","expiresAt":{expires},"record":{record}}}"#)
    };
    let (received, year) = (NOW.0 / 1000, 365 * 24 * 60 * 60);
    assert_eq!(imported(&line(&digest, received + year, &record)).0.len(), 1);
    let changed = |member: &str, value: Value| {
        let mut record: Value = serde_json::from_str(&record).unwrap();
        record[member] = value;
        record.to_string()
    };
    let properties = |count: usize| Value::Object((0..count).map(|n| (n.to_string(), json!(n))).collect());
    // As many as a client may send, and the service's two.
    assert_eq!(imported(&line(&digest, received + year, &changed("properties", properties(130)))).0.len(), 1);
    for wrong in [
        line("x", received + year, &record),
        line(&digest, received - year, &record),
        line(&digest, received + 11 * year, &record),
        line(&digest, received + year, "{}"),
        line(&digest, received + year, &record.replace("evt_", "evt-")),
        line(&digest, received + year, &record.replace(":00.000Z", "")),
        // No client could have sent these, and folds could not write what they count.
        line(&digest, received + year, &changed("userId", json!("u".repeat(201)))),
        line(&digest, received + year, &changed("eventType", json!("t".repeat(50_000)))),
        line(&digest, received + year, &changed("messageId", json!("m\u{1}"))),
        line(&digest, received + year, &changed("timestamp", json!("1999-12-31T23:59:59.999Z"))),
        line(&digest, received + year, &changed("timestamp", json!("9999-12-31T23:59:59.999Z"))),
        line(&digest, received + year, &changed("properties", json!({"p".repeat(201): 1}))),
        line(&digest, received + year, &changed("properties", properties(131))),
        "[]".to_owned(),
    ] {
        let (events, reply) = imported(&wrong);
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!((events.len(), reply.status, &body["invalid"]), (0, 200, &json!(1)), "{wrong}");
    }
    for wrong in [r#"{"key":"x","page":""}"#, r#"{"key":"\u001f0005c07a\u001ft\u001f","page":"AQ=="}"#, "x"] {
        let Admission::Reply(reply) = ask("POST", "/import/rollups", "", wrong) else { panic!("{wrong}") };
        assert_eq!(reply.status, 400, "{wrong}");
    }
    for query in ["part=-1", "part=x", "until=3"] {
        assert!(
            matches!(ask("GET", "/export/events", query, ""), Admission::Reply(Reply { status: 400, .. })),
            "{query}"
        );
    }
}

#[test]
fn only_an_operator_moves_data() {
    for (method, path) in
        [("GET", "/export/events"), ("GET", "/export/rollups"), ("POST", "/import/events"), ("POST", "/import/rollups")]
    {
        let request = Request { method, path, query: "", headers: &[], body: b"" };
        let Admission::Reply(reply) = open().admit(&request, Stamp { received_at: NOW, entropy: 1 }) else {
            panic!("{path}")
        };
        assert_eq!(reply.status, 401, "{path}");
    }
}

/// What the other shards have of a number that one shard has dropped is not all of it.
#[test]
fn a_number_that_one_shard_has_dropped_is_dropped() {
    let time = "2025-11-03T05:00:00Z";
    let of = |names: std::ops::Range<u32>| {
        let numbers: Value = names.map(|n| (format!("n{n:02}"), json!(n))).collect::<serde_json::Map<_, _>>().into();
        let event = json!({"userId": "u", "eventType": "t", "timestamp": time, "properties": numbers});
        events(&[event], NOW)[0].record.clone()
    };
    let mut shards = [Pages::new(), Pages::new()];
    fold(&mut shards[0], [of(0..30).as_str()]);
    fold(&mut shards[1], [of(20..32).as_str()]);
    let mut target = Pages::new();
    import(&mut target, &export(&as_one(&shards)));
    let sum = |number: &str| {
        let query = format!("from=2025-11-03T00:00:00Z&to=2025-11-04T00:00:00Z&metrics=count,sum:{number}");
        let answer: Value =
            serde_json::from_str(&report(std::slice::from_ref(&target), &[], "/reports/summary", &query)).unwrap();
        (answer["rows"][0]["count"].clone(), answer["rows"][0][format!("sum:{number}")].clone())
    };
    assert_eq!(sum("n05"), (json!(2), json!(5)), "only the first shard has it, and it has dropped none of it");
    assert_eq!(sum("n22"), (json!(2), json!(44)), "both have it");
    assert_eq!(sum("n31"), (json!(2), Value::Null), "the first shard may have dropped it");
}

/// A second move has more values, so its pages start elsewhere. What the first one brought must not stay beside them.
#[test]
fn pages_of_a_second_move_replace_those_of_the_first() {
    let time = "2025-11-03T05:00:00Z";
    let of = |values: std::ops::Range<u32>| {
        let event = |n: u32, times: u32| {
            let numbers = (0..8).map(|at| (format!("n{at:02}"), json!(f64::from(n * (at + 3) * times) / 7.0)));
            let mut properties: serde_json::Map<_, _> = numbers.collect();
            properties.insert("to".to_owned(), json!(format!("x{n:04}")));
            json!({"userId": format!("u{n}"), "eventType": "t", "timestamp": time, "properties": properties})
        };
        events(&values.flat_map(|n| [event(n, 1), event(n, 9)]).collect::<Vec<_>>(), NOW)
    };
    let firsts_of = |pages: &Pages| -> BTreeMap<PageGroup, BTreeSet<String>> {
        let mut firsts: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (key, first) in pages.keys().filter_map(|key| Some((key, moved_first(key)?))) {
            firsts.entry(PageGroup::of(key)).or_default().extend((!first.is_empty()).then(|| first.to_owned()));
        }
        firsts
    };
    let (mut source, mut target) = (Pages::new(), Pages::new());
    let mut most = 0;
    for values in [0..200, 200..280, 280..750] {
        of(values).chunks(200).for_each(|some| fold(&mut source, some.iter().map(|event| event.record.as_str())));
        let firsts = firsts_of(&target);
        let mut groups: BTreeMap<PageGroup, Vec<StoredPage>> = BTreeMap::new();
        for page in as_one(std::slice::from_ref(&source)) {
            groups.entry(PageGroup::of(&page.key)).or_default().push(page);
        }
        for (group, pages) in groups {
            let pages = match firsts.get(&group) {
                Some(firsts) => union(&pages, firsts).unwrap(),
                None => pages,
            };
            pages.chunks(4).for_each(|pages| import(&mut target, &export(pages)));
        }
        most = most.max(firsts_of(&target).values().map(BTreeSet::len).max().unwrap());
        assert_eq!(reports(std::slice::from_ref(&target), &[]), reports(std::slice::from_ref(&source), &[]));
        let again = |pages: &Pages| as_one(std::slice::from_ref(pages));
        assert_eq!(again(&target), again(&source), "and it can be left as the source can");
    }
    assert!(most > 2, "a series is split, and elsewhere each time");
}

#[test]
fn what_stands_for_a_damaged_page_makes_reports_incomplete() {
    let mut source = Pages::new();
    fold(&mut source, events(&[event(5, 3)], NOW).iter().map(|event| event.record.as_str()));
    let key = source.keys().find(|key| key.starts_with("to")).unwrap().clone();
    let mut target = Pages::new();
    let pages = as_one(std::slice::from_ref(&source)).into_iter().filter(|page| page.key != key);
    import(&mut target, &export(&pages.chain(stand_in(&key)).collect::<Vec<_>>()));
    let answer = &reports(&[target], &[])[4];
    assert!(answer.contains(r#""incomplete":true"#), "{answer}");
    assert_eq!(stand_in("no key"), None);
}

#[test]
fn an_id_that_comes_twice_is_kept_once() {
    let kept = events(&[event(5, 3)], NOW);
    let line = |digest: &str| format!(r#"{{"digest":"{digest}","expiresAt":1800000000,"record":{}}}"#, kept[0].record);
    let (one, two) = ("0".repeat(32), "1".repeat(32));
    let (events, reply) = imported(&[line(&one), line(&one), line(&two)].join("\n"));
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    let counts = ["accepted", "duplicate", "invalid"].map(|name| body[name].as_u64().unwrap());
    assert_eq!((events.len(), counts), (1, [1, 1, 1]));
}

#[test]
fn a_record_says_which_digests_its_event_may_have() {
    let service = Service::from_text(Some(r#"{"version":2,"open":true,"bots":true}"#));
    let user_agent = ("user-agent", "Googlebot/2.1".to_owned());
    let admitted = |service: &Service, headers: &[(&'static str, String)], body: Value| {
        let body = body.to_string();
        let request = Request { method: "POST", path: "/events", query: "", headers, body: body.as_bytes() };
        match service.admit(&request, Stamp { received_at: NOW, entropy: 1 }) {
            Admission::Plan(Plan::Store(plan)) => plan.events()[0].clone(),
            other => panic!("{other:?}"),
        }
    };
    let sent = json!({"userId": "é\"", "eventType": "t", "properties": {"b": 1e3, "a": {"x": [null, 0.1]}}});
    let with = |name: &str, value: Value| {
        let mut sent = sent.clone();
        sent[name] = value;
        sent
    };
    for body in [sent.clone(), with("timestamp", json!("2025-11-20T01:00:00Z")), with("messageId", json!("m"))] {
        let NewEvent { record, digest, .. } = admitted(&open(), &[], body.clone());
        assert_eq!(digests_of_record(&record).unwrap()[0], digest, "{record}");
        let NewEvent { record, digest, .. } = admitted(&service, std::slice::from_ref(&user_agent), body);
        assert!(record.contains(r#""$bot":"#), "{record}");
        assert_eq!(digests_of_record(&record).unwrap()[0], digest, "{record}");
    }
    // The client said the very millisecond in which it was received.
    let NewEvent { record, digest, .. } = admitted(&open(), &[], with("timestamp", json!(NOW.0)));
    assert_eq!(digests_of_record(&record).unwrap().iter().position(|one| *one == digest), Some(1));
    assert_eq!(digests_of_record(r#"{"userId":"u"}"#), None);
    assert_eq!(digests_of_record("x"), None);
}
