use super::*;

const NOW: Millis = Millis(1_357_000_000_000);

fn parse(kind: Kind, query: &str) -> Result<Query, String> {
    Query::parse(kind, query, NOW).map_err(|rejection| rejection.to_string())
}

#[test]
fn ranges_are_whole_hours() {
    let query = parse(Kind::Summary, "from=2013-01-01T00:30:00Z&to=2013-01-01T02:00:00.001Z").unwrap();
    assert_eq!((query.from, query.until), (Hour(376_944), Hour(376_947)));
    let query = parse(Kind::Timeseries, "").unwrap();
    assert_eq!((query.until.0 - query.from.0, query.until), (168, Hour::of(NOW).next()));
}

#[test]
fn a_range_begins_with_the_earliest_events() {
    let first = Hour::of(Limits::CONTRACT.earliest);
    for (from, to, hours) in [
        ("1999-12-31T00:00:00Z", "2000-01-02T00:00:00Z", 24),
        ("1999-01-01T00:00:00Z", "2000-01-01T00:00:00.001Z", 1),
        // Nothing is left of these.
        ("1999-12-31T00:00:00Z", "2000-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59Z", "1970-01-01T00:00:00Z", 0),
        ("1969-06-01T00:00:00%2B02:00", "1970-06-01T00:00:00Z", 0),
        ("0000-01-01T00:00:00Z", "0000-12-31T23:59:59Z", 0),
    ] {
        let query = parse(Kind::Timeseries, &format!("from={from}&to={to}")).unwrap();
        assert_eq!((query.from, query.until), (first, Hour(first.0 + hours)), "{from} to {to}");
    }
    let query = parse(Kind::Summary, "to=2000-01-02T00:00:00Z").unwrap();
    assert_eq!((query.from, query.until), (first, Hour(first.0 + 24)));
    // The rules for a range hold for what was asked.
    for (range, problem) in [
        ("from=1969-01-02T00:00:00Z&to=1969-01-01T00:00:00Z", "from must be before to"),
        ("from=1969-01-01T00:00:00Z&to=1969-01-01T00:00:00Z", "from must be before to"),
        ("from=1968-01-01T00:00:00Z&to=1970-01-01T00:00:00Z", "731 days apart; the limit is 400"),
        ("from=1969-01-01T00:00:00Z", "the limit is 400"),
    ] {
        let message = parse(Kind::Timeseries, range).unwrap_err();
        assert!(message.contains(problem), "{range}: {message}");
    }
}

#[test]
fn a_range_ends_with_the_times_that_can_be_written() {
    for (to, is_taken) in
        [("9999-12-30T00:00:00Z", true), ("9999-12-30T00:00:00.001Z", false), ("9999-12-31T23:59:59-23:59", false)]
    {
        let query = parse(Kind::Timeseries, &format!("from=9999-12-01T00:00:00Z&to={to}"));
        assert_eq!(query.is_ok(), is_taken, "{to}: {:?}", query.map(|query| query.until));
    }
}

#[test]
fn a_query_that_is_not_utf_8_is_refused() {
    for wrong in ["eventType=%E9", "filter=a:%FF", "filter=a:%ED%A0%80", "%FF=1"] {
        let message = parse(Kind::Timeseries, wrong).unwrap_err();
        assert!(message.contains("the query is not UTF-8"), "{wrong}: {message}");
    }
    for right in ["eventType=%C3%A9", "eventType=%EF%BF%BD", "eventType=100%25", "eventType=a%"] {
        assert!(parse(Kind::Timeseries, right).is_ok(), "{right}");
    }
}

#[test]
fn a_limit_is_digits() {
    for wrong in ["%2B5", "-5", "", "0", "1e3", "10001"] {
        assert!(parse(Kind::Top, &format!("dimension=a&limit={wrong}")).is_err(), "{wrong}");
    }
    assert_eq!(parse(Kind::Top, "dimension=a&limit=05").unwrap().limit, 5);
}

#[test]
fn metrics_are_written_as_they_are_read() {
    for metrics in
        ["count", "users", "sum:a:b", r"sum:price\, EUR", r"max:a\\b", "p99.9:x", "p0.5:x", "p100:x", "min:é", "mean:x"]
    {
        assert_eq!(Metric::parse(metrics).unwrap().to_string(), metrics);
    }
    for wrong in
        ["", "Count", "p:x", "p101:x", "p99.:x", "p9.1234:x", "p-1:x", "p+1:x", "sum:", "sum", "median:x", r"sum:a\b"]
    {
        assert!(Metric::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_no_rollup_can_answer_is_rejected() {
    for (kind, query, problem) in [
        (Kind::Timeseries, "from=2013-01-02T00:00:00Z&to=2013-01-01T00:00:00Z", "from must be before to"),
        (Kind::Timeseries, "from=2011-01-02T00:00:00Z&to=2013-01-01T00:00:00Z", "the limit is 400"),
        (Kind::Timeseries, "from=yesterday", "RFC 3339"),
        (Kind::Timeseries, "tz=Mars/Olympus", "no IANA time zone"),
        (Kind::Timeseries, "interval=minute", "hour, day, week or month"),
        (Kind::Timeseries, "interval=day&interval=day", "interval is given twice"),
        (Kind::Timeseries, "metrics=count&metrics=users", "metrics is given twice"),
        (Kind::Timeseries, "metrics=count,sum:n,count", "metric count is given twice"),
        (Kind::Timeseries, "metrics=p50:n,p50.0:n", "metric p50:n is given twice"),
        (Kind::Timeseries, "cursor=1&cursor=2", "cursor is given twice"),
        (Kind::Timeseries, "filter=carrier", "<dimension>:<value>"),
        (Kind::Timeseries, "filter=carrier:UA&filter=dest:ATL", "one dimension at a time"),
        (Kind::Timeseries, "filter=carrier:UA&groupBy=dest", "one dimension at a time"),
        (Kind::Timeseries, "limit=0", "1 to 10000"),
        (Kind::Timeseries, "cursor=x", "next of an answer"),
        (Kind::Timeseries, "cursor=10", "earlier version"),
        (Kind::Timeseries, "filter=eventType:x", "the parameter eventType"),
        (Kind::Timeseries, "eventType=", "1 to 200 bytes"),
        (Kind::Timeseries, "eventType=a%0A", "no control characters"),
        (Kind::Timeseries, "filter=a%0A:x", "no control characters"),
        (Kind::Timeseries, r"filter=a:b\c", "write \\\\ for one"),
        (Kind::Timeseries, "groupBy=a%00", "no control characters"),
        (Kind::Summary, "metrics=sum:a%00", "no control characters"),
        (Kind::Summary, "cursor=x", "unknown parameter"),
        (Kind::Timeseries, "dimension=dest", "unknown parameter \"dimension\""),
        (Kind::Top, "metrics=count", "dimension is required"),
        (Kind::Summary, "limit=1", "unknown parameter \"limit\""),
    ] {
        let message = parse(kind, query).unwrap_err();
        assert!(message.contains(problem), "{query}: {message}");
    }
}

#[test]
fn filters_of_one_dimension_add_up() {
    let query = parse(Kind::Timeseries, "filter=carrier%3AUA&filter=carrier:A:B&groupBy=carrier").unwrap();
    assert_eq!(query.filter, Some(("carrier".to_owned(), BTreeSet::from(["UA".to_owned(), "A:B".to_owned()]))));
    assert_eq!(query.dimension(), Some("carrier"));
    let query = parse(Kind::Timeseries, r"filter=utm\:source:a\,b%5C%5Cc").unwrap();
    assert_eq!(query.filter, Some(("utm:source".to_owned(), BTreeSet::from([r"a,b\c".to_owned()]))));
    let property = parse(Kind::Top, r"dimension=\eventType").unwrap();
    assert_eq!(property.group_by, Some(GroupBy::Dimension("eventType".to_owned())));
    assert_eq!(parse(Kind::Top, "dimension=eventType").unwrap().group_by, Some(GroupBy::EventType));
}

#[test]
fn a_query_is_bounded() {
    let filters = |count: usize| (0..count).map(|at| format!("filter=a:{at}")).collect::<Vec<_>>().join("&");
    assert!(parse(Kind::Summary, &filters(100)).is_ok());
    assert!(parse(Kind::Summary, &filters(101)).unwrap_err().contains("limit is 100"));
    assert!(parse(Kind::Summary, &"filter=a:b&".repeat(101)).unwrap_err().contains("limit is 100"));
    assert!(parse(Kind::Summary, &"x".repeat(16 * 1024 + 1)).unwrap_err().contains("16384"));
    let long = format!("filter=a:{}", "x".repeat(201));
    assert!(parse(Kind::Summary, &long).unwrap_err().contains("(other)"));
    let metrics: Vec<String> = (0..21).map(|at| format!("sum:{at}")).collect();
    assert!(parse(Kind::Summary, &format!("metrics={}", metrics.join(","))).unwrap_err().contains("limit is 20"));
}

#[test]
fn a_cursor_belongs_to_its_query() {
    let query = parse(Kind::Top, "dimension=a&filter=a:x&filter=a:y").unwrap();
    let row = LastRow::Value(None, "x".to_owned());
    let cursor = row.to_cursor(query.fingerprint);
    let next = parse(Kind::Top, &format!("filter=a:y&filter=a:x&dimension=a&limit=3&cursor={cursor}")).unwrap();
    assert_eq!(next.after, Some(row));
    for other in [
        "dimension=a&filter=a:x",
        "dimension=b&filter=b:x&filter=b:y",
        "dimension=a&filter=a:x&filter=a:y&tz=Asia/Kolkata",
    ] {
        assert!(parse(Kind::Top, &format!("{other}&cursor={cursor}")).unwrap_err().contains("to this query"));
    }
}
