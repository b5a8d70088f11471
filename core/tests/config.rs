//! Configurations: what is refused says where and what was expected.

use isotherm_core::{Config, Service};

const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

#[track_caller]
fn check(json: &str, expect: Result<u32, &str>) {
    let parsed = Config::parse(json).map(|config| Service::new(config).shards()).map_err(|error| error.to_string());
    match (parsed, expect) {
        (Err(message), Err(part)) => assert!(message.contains(part), "{message}"),
        (parsed, expect) => assert_eq!(parsed, expect.map_err(str::to_owned)),
    }
}

#[test]
fn nothing_is_the_default() {
    check("", Ok(4));
    check(" \n", Ok(4));
    check("{}", Ok(4));
    assert!(Service::new(Config::parse("").unwrap()).notice().is_some());
}

#[test]
fn keys_and_shards() {
    let keys = format!(r#"{{"keys":[{{"sha256":"{HASH}","tenant":"acme","scope":"both"}}],"shards":16}}"#);
    check(&keys, Ok(16));
    assert_eq!(Service::new(Config::parse(&keys).unwrap()).notice(), None);
}

#[test]
fn what_is_wrong_is_named() {
    let key = |hash: &str, tenant: &str, scope: &str| {
        format!(r#"{{"keys":[{{"sha256":"{hash}","tenant":"{tenant}","scope":"{scope}"}}]}}"#)
    };
    check("{", Err("line 1 column 1"));
    check(r#"{"shard":1}"#, Err("unknown field `shard`"));
    check(r#"{"shards":0}"#, Err("shards is 0, 1 to 256 are possible"));
    check(r#"{"shards":257}"#, Err("shards is 257"));
    check(&key("abc", "acme", "both"), Err("keys[0].sha256 must be 64 hexadecimal digits"));
    check(&key(&format!("+{}", &HASH[1..]), "acme", "both"), Err("keys[0].sha256"));
    check(&key(HASH, "", "both"), Err("tenant \"\" must be"));
    check(&key(HASH, "a#b", "both"), Err("tenant \"a#b\" must be"));
    check(&key(HASH, "acme", "admin"), Err("unknown variant `admin`"));
    let twice = format!(r#"{{"sha256":"{HASH}","tenant":"a","scope":"read"}}"#);
    check(&format!(r#"{{"keys":[{twice},{twice}]}}"#), Err("keys[1].sha256 is there twice"));
}
