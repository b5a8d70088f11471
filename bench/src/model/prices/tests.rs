//! Tests of the price book. `bench/tests/prices.rs` compares it with saved files.

use super::*;

const PRICE: &str = r#"
    checked = "2026-11-01"
    [[price]]
    id = "x"
    platform = "lambda"
    item = "x"
    unit = "request"
    per = 10
    tiers = [{ above = 0, usd = 2.0 }, { above = 100, usd = 1.0 }]
    free = 20
    from = "2026-11-01"
    until = "2026-11-30"
    source = "a page"
"#;

fn day(text: &str) -> Date {
    text.parse().unwrap()
}

#[test]
fn tiers_and_free_units_add_up() {
    let book = Book::parse(PRICE).unwrap();
    let price = book.price("x", day("2026-11-30")).unwrap();
    for (units, free_tier, usd) in [
        (0.0, true, 0.0),
        (20.0, true, 0.0),
        (30.0, true, 2.0),
        (30.0, false, 6.0),
        (150.0, true, 21.0),
        (150.0, false, 25.0),
    ] {
        assert_eq!(price.usd(units, free_tier), usd, "{units} units");
    }
}

#[test]
fn begun_units_are_whole() {
    let book = Book::own().unwrap();
    let on = day("2026-11-20");
    for (id, amount, units) in [
        // The sum is rounded once: 251 + 101 would be 352.
        ("lambda-duration-x86", 250.06 + 100.77, 351.0),
        ("lambda-duration-arm", 200.0, 200.0),
        ("lambda-duration-x86", 0.1 + 0.2 + 2.7, 3.0),
        ("dynamodb-write", 1024.0, 1.0),
        ("dynamodb-write", 1025.0, 2.0),
        ("dynamodb-read", 0.0, 1.0),
        ("dynamodb-read", 8193.0, 3.0),
        ("http-api-request", 600_000.0, 2.0),
        ("sqs-request", 65_537.0, 2.0),
        ("queues-operation", 63_900.0, 1.0),
        ("queues-operation", 65_536.0, 2.0),
        ("rest-api-request", 600_000.0, 1.0),
    ] {
        assert_eq!(book.price(id, on).unwrap().units_of(amount), units, "{amount} of {id}");
    }
    let times = |id, condition| book.price(id, on).unwrap().times(condition);
    assert_eq!((times("dynamodb-write", "transactional"), times("dynamodb-read", "eventual")), (2.0, 0.5));
    assert_eq!(times("s3-put", "transactional"), 1.0);
}

#[test]
fn a_month_s_units_are_whole_where_the_provider_rounds_them() {
    let book = Book::own().unwrap();
    let usd = |id, units, free| book.price(id, day("2026-11-20")).unwrap().usd(units, free);
    for (id, units, cents) in
        [("r2-class-a", 1_000_001.0, 900.0), ("r2-storage", 1.2, 3.0), ("durable-objects-request", 1_000_001.0, 15.0)]
    {
        assert!((usd(id, units, false) * 100.0 - cents).abs() < 1e-9, "{units} of {id}: {}", usd(id, units, false));
    }
    assert_eq!(usd("r2-class-a", 1_000_001.0, true), 4.5);
    assert_eq!(usd("r2-class-a", 0.0, false), 0.0);
    // What the plan includes comes first: 400,000 GB-s.
    assert_eq!([399_999.0, 400_001.0].map(|units| usd("durable-objects-duration", units, false)), [0.0, 12.5]);
}

#[test]
fn a_price_of_one_s_own_takes_the_place() {
    let mut book = Book::own().unwrap();
    book.set("akamai-request", 0.4).unwrap();
    let price = book.price("akamai-request", day("2026-11-20")).unwrap();
    assert_eq!((price.unpublished, price.usd(3e6, true)), (false, 1.2));
    let error = book.set("x", 1.0).unwrap_err().to_string();
    assert_eq!(error, r#"there is no price "x": `isotherm prices` lists all"#);
}

#[test]
fn a_price_holds_between_its_days() {
    let book = Book::parse(PRICE).unwrap();
    assert!(book.price("x", day("2026-10-31")).is_err());
    let error = book.price("x", day("2026-12-01")).unwrap_err().to_string();
    assert_eq!(error, r#"the price book has no price "x" for 2026-12-01"#);
}

#[test]
fn what_is_no_price_book_is_refused() {
    for (wrong, problem) in [
        (PRICE.replace("above = 0,", "above = 1,"), "the first tier must be above 0"),
        (PRICE.replace("above = 100,", "above = 0,"), "in the order of above"),
        (PRICE.replace("2026-11-30", "2026-10-30"), "ends before it begins"),
        (PRICE.replace("\"2026-11-30\"", "\"soon\""), "is no day"),
        (PRICE.replace("per = 10", "per = 0"), "per must be above 0"),
        (PRICE.replace("per = 10", "per = 10\nround_up_to = 0"), "round_up_to must be above 0"),
        (PRICE.replace("per = 10", "per = 10\nwhole = 0"), "whole must be above 0"),
        (PRICE.replace("per = 10", "per = 10\nunpublished = true"), "has no tiers"),
        (PRICE.to_owned() + "at = { page = \"x\", text = [\"{usd}\"] }", "there is no [[page]] \"x\""),
        (PRICE.to_owned() + "at = { offer = 1 }", "did not match any variant"),
        (format!("{PRICE}{}", PRICE.replace(r#"checked = "2026-11-01""#, "")), "twice for the same days"),
    ] {
        let error = format!("{:#}", Book::parse(&wrong).unwrap_err());
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn the_program_s_own_book_is_one() {
    let book = Book::own().unwrap();
    assert!(book.prices().len() > 30 && book.checked().is_ok());
    assert!(book.prices().iter().all(|price| price.source.starts_with("https://")));
}

#[test]
fn a_surplus_is_a_price_of_the_book() {
    let node = PRICE.replace("per = 10", "machine = { vcpus = 2, credits = 24, surplus = \"beyond\" }\n    per = 10");
    let error = format!("{:#}", Book::parse(&node).unwrap_err());
    assert_eq!(error, "the price x: there is no price \"beyond\", its surplus");
    let of_beyond = PRICE.replace("checked = \"2026-11-01\"", "").replace("id = \"x\"", "id = \"beyond\"");
    Book::parse(&(node + &of_beyond)).unwrap();
}
