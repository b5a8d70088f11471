//! Configurations. A refusal says where the problem is and what was expected, and never reveals a key.

#![allow(clippy::unwrap_used, reason = "a test panics to fail")]

use isotherm_core::{
    Admission, Config, Door, ExpiryOrder, Millis, Plan, Request, Service, Stamp, Unfolded, WriteLimits, only_place,
};

const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
/// The hash of the empty text.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// `a key of the tests` and its hash.
const KEY: (&str, &str) = ("a key of the tests", "773a4fa29b88e3f28dc7eaa78f758da4c2d2dafd157a4faaca8a58a9c888edc1");
const STAMP: Stamp = Stamp { received_at: Millis(1_763_690_000_000), entropy: 7 };

#[track_caller]
fn check(json: &str, expect: Result<u32, &str>) {
    let parsed = Config::parse(json).map(|config| Service::new(config).shards()).map_err(|error| error.to_string());
    match (parsed, expect) {
        (Err(message), Err(part)) => assert!(message.contains(part), "{message}"),
        (parsed, expect) => assert_eq!(parsed, expect.map_err(str::to_owned)),
    }
}

#[test]
fn only_open_is_open() {
    for open in [r#"{"open":true}"#, r#"{"version":1,"open":true}"#, "\u{feff} {\"version\":2,\"open\":true}\n"] {
        check(open, Ok(4));
        let service = Service::from_text(Some(open));
        assert!(service.notice().unwrap().contains("is open") && !service.is_closed());
    }
    for closed in ["", " \n", "{}", r#"{"keys":[]}"#, r#"{"open":false}"#, r#"{"version":2,"shards":4}"#] {
        check(closed, Err(r#"it needs "keys", or "open": true"#));
        assert!(Service::from_text(Some(closed)).is_closed());
    }
    assert!(Service::from_text(None).is_closed());
    let unreadable = Service::closed("no such file");
    assert!(unreadable.is_closed() && unreadable.notice().unwrap().ends_with("not configured: no such file"));
    assert_eq!(unreadable.shards(), 4);
}

/// A template that forgot a value writes `null`. What it was to say is lost, so that the service stays closed.
#[test]
fn a_member_that_is_null_is_wrong() {
    for member in ["keys", "jwt", "webhooks", "retention", "schemas", "limits", "privacy", "bots"] {
        check(&format!(r#"{{"version":2,"open":true,"{member}":null}}"#), Err("a member is null"));
        check(&format!("{{\"{member}\"\n: null, \"version\":2,\"open\":true}}"), Err("a member is null"));
    }
    for member in ["id", "expires"] {
        let key = format!(r#"{{"sha256":"{HASH}","tenant":"acme","scope":"both","{member}":null}}"#);
        check(&format!(r#"{{"version":2,"keys":[{key}]}}"#), Err("keys[0]: a member is null"));
    }
    // A text, and a value of a schema, may be so called.
    let schema = r#"{"schema":{"properties":{"null\\":{"enum":[null]}}}}"#;
    check(&format!(r#"{{"version":2,"open":true,"schemas":{{"null":{schema}}}}}"#), Ok(4));
}

/// A closed service that was read elsewhere may be mended there.
#[test]
fn a_closed_service_is_final_only_if_all_of_it_was_deployed() {
    let open = Service::from_text(Some(r#"{"open":true}"#));
    assert!(open.is_final(false) && open.is_final(true));
    let waits = r#"{"version":2,"open":true,"privacy":{"hashUserIds":true,"secret":"privacy"}}"#;
    let without_secret = Service::from_text(Some(waits)).with_secrets(|_name| None);
    for closed in [Service::from_text(None), Service::closed("no such key"), Service::unread("503"), without_secret] {
        assert!(!closed.is_final(false) && closed.is_final(true));
    }
}

#[test]
fn keys_and_shards() {
    let keys = format!(r#"{{"keys":[{{"sha256":"{HASH}","tenant":"acme","scope":"both"}}],"shards":16}}"#);
    check(&keys, Ok(16));
    assert_eq!(Service::new(Config::parse(&keys).unwrap()).notice(), None);
    check(&keys.replace(r#"{"keys""#, r#"{"version":2,"open":false,"keys""#), Ok(16));
    check(&keys.replace(r#"{"keys""#, r#"{"open":true,"keys""#), Err("open stands beside keys"));
    check(r#"{"open":true,"keys":[]}"#, Err("open stands beside keys"));
}

#[test]
fn events_are_kept_as_long_as_their_type() {
    let kept = |retention: &str, event_type: &str| {
        let service = Service::from_text(Some(&format!(r#"{{"open":true{retention}}}"#)));
        let event = format!(r#"{{"userId":"u","eventType":"{event_type}","properties":{{}}}}"#);
        let Admission::Plan(Plan::Store(plan)) = service.admit(&post(&[], event.as_bytes()), STAMP) else {
            panic!("{retention} {:?}", service.notice())
        };
        let days = (plan.events()[0].expires_at.0 - STAMP.received_at.0 / 1000) / 86_400;
        assert_eq!(service.retention(event_type).0, days * 86_400);
        let in_order = service.expiry_order() == ExpiryOrder::Arrival;
        let _unanswered = plan.respond(Vec::new());
        (days, in_order)
    };
    assert_eq!(kept("", "t"), (90, true));
    assert_eq!(kept(r#","retention":{}"#, "t"), (90, true));
    assert_eq!(kept(r#","retention":{"t":7}"#, "t"), (7, false));
    assert_eq!(kept(r#","retention":{"t":7}"#, "*"), (90, false));
    assert_eq!(kept(r#","retention":{"t":7,"*":3650}"#, "other"), (3650, false));
    assert_eq!(kept(r#","retention":{"t":7,"*":1}"#, "t"), (7, false));
    check(r#"{"open":true,"retention":{"t":0}}"#, Err("retention of an event type must be 1 to 3650 days"));
    check(r#"{"open":true,"retention":{"t":3651}}"#, Err("retention of an event type must be"));
    check(r#"{"open":true,"retention":{"t":-1}}"#, Err("retention of an event type must be"));
    check(r#"{"open":true,"retention":[7]}"#, Err("retention must be an object"));
    check(r#"{"open":true,"retention":{"":1}}"#, Err("retention cannot be read: invalid_name"));
}

/// The service that these members configure, open to everyone.
fn open_with(members: &str) -> Service {
    let service = Service::from_text(Some(&format!(r#"{{"version":2,"open":true,{members}}}"#)));
    assert!(!service.is_closed(), "{:?}", service.notice());
    service
}

/// What becomes of an event of type `t` with these properties: its record, or the rejection's status and body.
fn admitted(service: &Service, properties: &str) -> Result<String, (u16, String)> {
    let event = format!(r#"{{"userId":"u","eventType":"t","messageId":"m","properties":{properties}}}"#);
    match service.admit(&post(&[], event.as_bytes()), STAMP) {
        Admission::Plan(Plan::Store(plan)) => {
            let record = plan.events()[0].record.clone();
            let _unanswered = plan.respond(Vec::new());
            Ok(record)
        }
        Admission::Plan(_) => unreachable!("an event is stored"),
        Admission::Reply(reply) => Err((reply.status, String::from_utf8(reply.body).unwrap())),
    }
}

#[test]
fn an_event_meets_the_schema_of_its_type() {
    let schema = r#""schema":{"required":["n"],"properties":{"n":{"type":"number","minimum":0}}}"#;
    let service = open_with(&format!(r#""schemas":{{"t":{{{schema}}},"other":{{"schema":false}}}}"#));
    assert!(admitted(&service, r#"{"n":1}"#).unwrap().ends_with(r#""properties":{"n":1}}"#));
    let (status, body) = admitted(&service, r#"{"n":-1}"#).unwrap_err();
    assert_eq!(status, 422);
    assert!(
        body.starts_with(
            r#"{"error":"schema_violation","code":"schema_violation","message":"properties.n must be at least 0","#
        ),
        "{body}"
    );
    assert!(admitted(&service, "{}").unwrap_err().1.contains("properties.n is required"));
    // A batch takes the others.
    let batch = br#"{"events":[{"userId":"u","eventType":"t","properties":{}},{"userId":"u","eventType":"free","properties":{}}]}"#;
    let request = Request { path: "/events/batch", ..post(&[], batch) };
    let Admission::Plan(Plan::Store(plan)) = service.admit(&request, STAMP) else { unreachable!("one is taken") };
    let reply = String::from_utf8(plan.respond(vec![isotherm_core::StoreOutcome::Stored]).body).unwrap();
    assert!(
        reply.starts_with(r#"{"accepted":1,"duplicate":0,"invalid":1,"#) && reply.contains("schema_violation"),
        "{reply}"
    );
}

#[test]
fn a_violation_that_is_only_reported_is_counted_by_its_path() {
    let schemas = |mode: &str| {
        open_with(&format!(
            r#""schemas":{{"t":{{"mode":"{mode}","schema":{{"properties":{{"n":{{"type":"number"}}}}}}}}}}"#
        ))
    };
    let reporting = schemas("report-only");
    assert!(admitted(&reporting, r#"{"n":1}"#).unwrap().ends_with(r#""properties":{"n":1}}"#));
    let tagged = admitted(&reporting, r##"{"$schema":"mine","!":0,"n":"x"}"##).unwrap();
    assert!(tagged.ends_with(r#""properties":{"!":0,"$schema":"properties.n","n":"x"}}"#), "{tagged}");
    assert_eq!(admitted(&schemas("enforce"), r#"{"n":"x"}"#).unwrap_err().0, 422);
    // It is the same event as before the schema was there.
    let digest = |service: &Service| {
        let event = br#"{"userId":"u","eventType":"t","messageId":"m","properties":{"n":"x"}}"#;
        let Admission::Plan(Plan::Store(plan)) = service.admit(&post(&[], event), STAMP) else { unreachable!() };
        let digest = plan.events()[0].digest;
        let _unanswered = plan.respond(Vec::new());
        digest
    };
    assert_eq!(digest(&reporting), digest(&Service::from_text(Some(r#"{"open":true}"#))));
    check(r#"{"open":true,"schemas":{"t":{}}}"#, Err("schemas must be {"));
    check(r#"{"open":true,"schemas":{"t":{"schema":{},"mode":"off"}}}"#, Err("schemas must be {"));
    check(r#"{"open":true,"schemas":[]}"#, Err("schemas must be {"));
    check(r#"{"open":true,"schemas":{"t":{"schema":{},"schema":{}}}}"#, Err("schemas cannot be read: duplicate_key"));
    check(
        r#"{"open":true,"schemas":{"t":{"schema":{"format":"date"}}}}"#,
        Err("schemas.t.schema.format is no keyword"),
    );
}

#[test]
fn personal_data_is_dropped_or_hashed_before_it_is_stored() {
    let privacy = r#""privacy":{"drop":{"*":["email"],"t":["ip"],"other":["kept"]},"hash":{"*":["phone","many"]},"hashUserIds":true,"secret":"privacy"}"#;
    let service = Service::from_text(Some(&format!(r#"{{"version":2,"open":true,{privacy}}}"#)));
    assert_eq!(service.secrets(), ["ISOTHERM_SECRET_PRIVACY"]);
    assert!(service.is_closed() && service.notice().unwrap().contains("until it has its secrets"));
    let with = |secret: &str| service.clone().with_secrets(|_name| Some(secret.to_owned()));
    let one = with("the key of hashes, 32 bytes or more");
    let sent = r#"{"email":"a@b.test","ip":"192.0.2.1","kept":"x","many":[1],"phone":"u","none":null}"#;
    let record = admitted(&one, sent).unwrap();
    assert!(!record.contains("a@b") && !record.contains("192.0") && !record.contains(r#""u""#), "{record}");
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    let names: Vec<&String> = record["properties"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["kept", "many", "none", "phone"]);
    // One text has one hash, wherever it stands. It depends on the key.
    let hash = record["userId"].as_str().unwrap();
    assert!(hash.len() == 32 && record["properties"]["phone"] == hash && record["properties"]["many"] != hash);
    let other: serde_json::Value =
        serde_json::from_str(&admitted(&with("another key of hashes, of 32 bytes or more"), sent).unwrap()).unwrap();
    assert!(other["userId"] != record["userId"]);
    // The digest knows nothing of what was dropped.
    let digest = |properties: &str| {
        let event = format!(r#"{{"userId":"u","eventType":"t","messageId":"m","properties":{properties}}}"#);
        let Admission::Plan(Plan::Store(plan)) = one.admit(&post(&[], event.as_bytes()), STAMP) else { unreachable!() };
        let digest = plan.events()[0].digest;
        let _unanswered = plan.respond(Vec::new());
        digest
    };
    assert_eq!(digest(r#"{"email":"a","n":1}"#), digest(r#"{"email":"b","n":1}"#));
    assert_ne!(digest(r#"{"n":1}"#), digest(r#"{"n":2}"#));
    check(r#"{"open":true,"privacy":{"hash":{"*":["a"]}}}"#, Err("privacy.secret names the key"));
    check(r#"{"open":true,"privacy":{"drop":{"*":["a"]},"secret":"s"}}"#, Err("privacy.secret names the key"));
    check(
        r#"{"open":true,"privacy":{"mask":{}}}"#,
        Err("privacy has keep, drop, hash, hashUserIds and secret, and nothing else"),
    );
    check(r#"{"open":true,"privacy":{"keep":["ip","client.address"]}}"#, Ok(4));
    let everyone = r#"{"open":true,"privacy":{"keep":["email"]}}"#;
    let names = Config::parse(everyone).unwrap_err().to_string();
    let names = names.rsplit(": ").next().unwrap().split(", ").collect::<Vec<_>>();
    assert!(names.len() > 10 && names.is_sorted(), "{names:?}");
    let page = include_str!("../../docs/configuration.md");
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "docs/configuration.md has no {name}");
        check(&format!(r#"{{"open":true,"privacy":{{"keep":["{name}"]}}}}"#), Ok(4));
    }
    for keep in [r#"["email"]"#, r#""ip""#, "{}", "[1]"] {
        check(
            &format!(r#"{{"open":true,"privacy":{{"keep":{keep}}}}}"#),
            Err("privacy.keep must be an array of these"),
        );
    }
}

#[test]
fn bots_are_tagged_and_kept() {
    let tagged = |members: &str, user_agent: &str| {
        let service = open_with(members);
        let headers = [("user-agent", user_agent.to_owned())];
        let Admission::Plan(Plan::Store(plan)) = service.admit(&post(&headers, EVENT), STAMP) else { unreachable!() };
        let record = plan.events()[0].record.clone();
        let _unanswered = plan.respond(Vec::new());
        record.split_once(r#""properties":"#).unwrap().1.to_owned()
    };
    let googlebot = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
    assert_eq!(tagged(r#""bots":true"#, googlebot), r#"{"$bot":"bot"}}"#);
    assert_eq!(tagged(r#""bots":["GOOGLE"]"#, googlebot), r#"{"$bot":"google"}}"#);
    assert_eq!(tagged(r#""bots":true"#, "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"), "{}}");
    assert_eq!(tagged(r#""bots":true"#, "python-requests/2.32"), "{}}");
    for off in [r#""bots":false"#, r#""bots":[]"#, r#""shards":4"#] {
        assert_eq!(tagged(off, googlebot), "{}}");
    }
    check(r#"{"open":true,"bots":[""]}"#, Err("bots has a word that must have"));
}

#[test]
fn what_is_wrong_is_named() {
    let key = |hash: &str, tenant: &str, scope: &str| {
        format!(r#"{{"keys":[{{"sha256":"{hash}","tenant":"{tenant}","scope":"{scope}"}}]}}"#)
    };
    let with = |more: &str| format!(r#"{{"keys":[{{"sha256":"{HASH}","tenant":"acme","scope":"read",{more}}}]}}"#);
    check("{", Err("line 1 column 1"));
    check("[2,true]", Err("must be a JSON object"));
    check(r#"{"open":true,"log":{"level":"info","sample":0.01}}"#, Ok(4));
    check(r#"{"open":true,"log":{"level":"loud"}}"#, Err("unknown variant `loud`, expected one of `info`, `warn`"));
    check(r#"{"open":true,"log":{"sample":1.5}}"#, Err("log.sample is 1.5; it must be 0 to 1"));
    check(r#"{"open":true,"log":{"sample":-1}}"#, Err("log.sample is -1; it must be 0 to 1"));
    check(r#"{"open":true,"log":{"samples":1}}"#, Err("unknown field `samples`, expected `level` or `sample`"));
    check(r#"{"version":3,"open":true}"#, Err("unsupported version 3: use 1 or 2"));
    check(r#"{"shard":1}"#, Err("unknown field `shard`"));
    check(r#"{"open":true,"shards":0}"#, Err("shards is 0; it must be 1 to 256"));
    check(r#"{"open":true,"shards":257}"#, Err("shards is 257"));
    check(&key("abc", "acme", "both"), Err("keys[0].sha256 must be 64 hexadecimal digits"));
    check(&key(&format!("+{}", &HASH[1..]), "acme", "both"), Err("keys[0].sha256"));
    check(&key(EMPTY, "acme", "both"), Err("keys[0].sha256 is that of the empty text"));
    check(&key(&EMPTY.to_uppercase(), "acme", "both"), Err("keys[0].sha256 is that of the empty text"));
    check(&key(HASH, "", "both"), Err("keys[0].tenant must be"));
    check(&key(HASH, "a#b", "both"), Err("keys[0].tenant must be"));
    check(&key(HASH, "acme", "admin"), Err("keys[0]: unknown variant `admin`"));
    check(&with(r#""id":"""#), Err("keys[0].id must be"));
    check(&with(&format!(r#""id":"{}""#, "x".repeat(65))), Err("keys[0].id must be"));
    check(&with(r#""expires":"soon""#), Err("keys[0].expires must be RFC 3339"));
    let writes = |more: &str| format!(r#"{{"keys":[{{"sha256":"{HASH}","tenant":"acme","scope":"write",{more}}}]}}"#);
    check(&writes(r#""kind":"public","origins":["https://shop.example","http://localhost:3000","app://x"]"#), Ok(4));
    check(&with(r#""kind":"public""#), Err("keys[0].kind public needs the scope write"));
    check(&with(r#""origins":["https://shop.example"]"#), Err("keys[0].origins need the scope write"));
    check(&writes(r#""kind":"open""#), Err("keys[0]: unknown variant `open`"));
    for wrong in
        ["*", "null", "https://*.example", "https://shop.example/", "https://Shop.example", "shop.example", "://a"]
    {
        let origins = format!(r#""origins":["https://a","{wrong}"]"#);
        check(&writes(&origins), Err("keys[0].origins[1] must be an origin in lower case"));
    }
    check(r#"{"open":true,"origins":["https://shop.example"]}"#, Ok(4));
    check(r#"{"open":true,"origins":["*"]}"#, Err("origins[0] must be an origin"));
    let keys = writes(r#""kind":"public""#).replace(r#"{"keys""#, r#"{"origins":["https://a"],"keys""#);
    check(&keys, Err("origins stand beside open only"));
    check(r#"{"keys":[["x"]]}"#, Err("keys[0]: it must be a JSON object"));
    let twice = format!(r#"{{"sha256":"{HASH}","tenant":"a","scope":"read"}}"#);
    check(&format!(r#"{{"keys":[{twice},{twice}]}}"#), Err("keys[1].sha256 is there twice"));
    let other = format!(r#"{{"id":"9f86d081","sha256":"{}","tenant":"a","scope":"read"}}"#, KEY.1);
    check(&format!(r#"{{"keys":[{twice},{other}]}}"#), Err("keys[1].id is there twice"));
}

#[test]
fn what_is_wrong_says_no_key() {
    const SECRET: &str = "5up3r-s3cret of the operator";
    for wrong in [
        SECRET.to_owned(),
        format!(r#""{SECRET}""#),
        format!(r#"{{"keys":"{SECRET}"}}"#),
        format!(r#"{{"{SECRET}":1}}"#),
        format!(r#"{{"a`{SECRET}`b":1}}"#),
        format!(r#"{{"a\"{SECRET}\"b":1}}"#),
        format!(r#"{{"a\"`{SECRET}`\"b`, expected {SECRET}":1}}"#),
        format!(r#"{{"shards":"`{SECRET}`"}}"#),
        format!(r#"{{"shards":"{SECRET}"}}"#),
        format!(r#"{{"shards":"\" {SECRET}"}}"#),
        format!(r#"{{"keys":["{SECRET}"]}}"#),
        format!(r#"{{"keys":[{{"{SECRET}":"{HASH}","tenant":"a","scope":"both"}}]}}"#),
        format!(r#"{{"keys":[{{"sha256":"{SECRET}","tenant":"a","scope":"both"}}]}}"#),
        format!(r#"{{"keys":[{{"sha256":"{HASH}","tenant":"{SECRET}","scope":"both"}}]}}"#),
        format!(r#"{{"keys":[{{"sha256":"{HASH}","tenant":"a","scope":"{SECRET}"}}]}}"#),
        format!(r#"{{"keys":[{{"sha256":"{HASH}","tenant":"a","scope":"both","expires":"{SECRET}"}}]}}"#),
        format!(r#"{{"keys":[{{"sha256":"{HASH}","tenant":"a","scope":"both","id":"{SECRET}"}}]}}"#),
        format!(r#"{{"open":true,"dimensions":"{SECRET}"}}"#),
    ] {
        let said = Service::from_text(Some(&wrong)).notice().unwrap();
        assert!(!said.contains("5up3r") && !said.contains("operator\"") && !said.contains(&HASH[..8]), "{said}");
    }
}

#[test]
fn a_configuration_has_one_place() {
    let place = |named: [Option<u8>; 3]| {
        let place = only_place(["FILE", "OBJECT", "SECRET"].into_iter().zip(named));
        place.map_err(|error| error.to_string())
    };
    assert_eq!(place([None, None, None]), Ok(None));
    assert_eq!(place([Some(1), None, None]), Ok(Some(1)));
    assert_eq!(place([None, None, Some(3)]), Ok(Some(3)));
    let problem = Err("configuration: OBJECT stands beside SECRET; one of them must go".to_owned());
    assert_eq!(place([None, Some(2), Some(3)]), problem);
    assert!(place([Some(1), Some(2), Some(3)]).is_err());
}

fn keyed() -> Service {
    let config =
        format!(r#"{{"version":2,"keys":[{{"id":"web","sha256":"{}","tenant":"acme","scope":"write"}}]}}"#, KEY.1);
    Service::from_text(Some(&config))
}

fn post<'a>(headers: &'a [(&'static str, String)], body: &'a [u8]) -> Request<'a> {
    Request { method: "POST", path: "/events", query: "", headers, body }
}

fn status(admission: Admission) -> u16 {
    match admission {
        Admission::Reply(reply) => reply.status,
        Admission::Plan(Plan::Store(_)) => 202,
        Admission::Plan(_) => 0,
    }
}

const EVENT: &[u8] = br#"{"userId":"u","eventType":"t","properties":{}}"#;

#[test]
fn the_head_says_whether_there_is_a_body_to_read() {
    let service = keyed();
    let bytes = |head: &Request<'_>| match service.admit_head(head, STAMP) {
        Door::Reply(reply) => Err(reply.status),
        Door::Body(entry) => Ok(entry.body_bytes()),
    };
    let bearer = |key: &str| ("authorization", format!("Bearer {key}"));
    let (good, bad) = ([bearer(KEY.0)], [bearer("a key of somebody else")]);
    assert_eq!(bytes(&post(&good, b"")), Ok(1024 * 1024));
    assert_eq!(bytes(&post(&bad, b"")), Err(401));
    assert_eq!(bytes(&post(&[], b"")), Err(401));
    assert_eq!(bytes(&Request { path: "/nowhere", ..post(&good, b"") }), Err(404));
    assert_eq!(bytes(&Request { method: "PUT", ..post(&good, b"") }), Err(405));
    assert_eq!(bytes(&post(&[bearer(KEY.0), ("content-type", "text/plain".to_owned())], b"")), Err(415));
    assert_eq!(bytes(&post(&[bearer(KEY.0), ("content-length", "1048577".to_owned())], b"")), Err(413));
    assert_eq!(bytes(&post(&[bearer(KEY.0), ("content-length", "1048576".to_owned())], b"")), Ok(1024 * 1024));
    let open = Service::from_text(Some(r#"{"open":true}"#));
    let get = Request { method: "GET", path: "/reports/summary", ..post(&[], b"") };
    assert!(matches!(open.admit_head(&get, STAMP), Door::Body(entry) if entry.body_bytes() == 0));
}

#[test]
fn a_message_carries_the_id_of_a_key() {
    let (service, bearer) = (keyed(), format!("Bearer {}", KEY.0));
    assert_eq!(service.writer(Some(&bearer), STAMP.received_at).unwrap().as_deref(), Some("web"));
    assert_eq!(service.writer(Some("Bearer a key of somebody else"), STAMP.received_at), Ok(None));
    assert_eq!(service.writer(None, STAMP.received_at), Ok(None));
    let admit = |key_id: Option<&str>| status(service.admit_message(&post(&[], EVENT), key_id, STAMP));
    assert_eq!(admit(Some("web")), 202);
    assert_eq!(admit(Some(KEY.0)), 401);
    assert_eq!(admit(None), 401);
    // Messages from before keys had ids carry the header.
    let headers = [("authorization", bearer.clone())];
    assert_eq!(status(service.admit_message(&post(&headers, EVENT), None, STAMP)), 202);
    // A request over HTTP can't name a key by its id.
    assert_eq!(status(service.admit(&post(&[("authorization", "Bearer web".to_owned())], EVENT), STAMP)), 401);
    let open = Service::from_text(Some(r#"{"open":true}"#));
    let id = open.writer(None, STAMP.received_at).unwrap();
    assert_eq!(status(open.admit_message(&post(&[], EVENT), id.as_deref(), STAMP)), 202);
    assert_eq!(Service::from_text(None).writer(Some(&bearer), STAMP.received_at), Ok(None));
}

#[test]
fn a_closed_service_goes_on_folding() {
    let (open, closed) = (Service::from_text(Some(r#"{"open":true}"#)), Service::from_text(Some("{")));
    let Admission::Plan(Plan::Store(plan)) = open.admit(&post(&[], EVENT), STAMP) else { unreachable!("it is open") };
    let record = plan.events()[0].record.as_str();
    let records = [Unfolded { tenant: "default", record }];
    let pages = |service: &Service| {
        let step = service.fold(&records, usize::MAX, WriteLimits::ONE_WRITER);
        step.merge(vec![Vec::new()]).unwrap()
    };
    assert_eq!(pages(&open), pages(&closed));
    assert_eq!(open.tenants(), closed.tenants());
    let _unanswered = plan.respond(Vec::new());
}

#[test]
fn what_could_not_be_read_is_waited_for() {
    let (unread, wrong) = (Service::unread("KV says 500"), Service::from_text(Some("{")));
    for service in [&unread, &wrong] {
        assert!(service.is_closed() && service.notice().is_some());
        assert_eq!(status(service.admit(&post(&[], EVENT), STAMP)), 503);
        assert_eq!(status(service.admit_message(&post(&[], EVENT), Some("web"), STAMP)), 503);
        assert_eq!(service.writer(None, STAMP.received_at), Ok(None));
    }
    assert_eq!(wrong.known(), Ok(()));
    assert_eq!(keyed().known(), Ok(()));
    assert_eq!(Service::from_text(None).known(), Ok(()));
    let said = unread.known().map_err(|unread| unread.to_string());
    assert_eq!(said, Err("the configuration could not be read: KV says 500".to_owned()));
}
