//! Lines as each writer has them, and lines that are none.

use super::*;
use crate::model::simulate::input::tests::lines;
use crate::model::simulate::time::Micros;

fn read_all(text: &str) -> Log {
    read(lines(text)).unwrap()
}

/// The only entry of a log, and the name of its format.
#[track_caller]
fn one(text: &str) -> (Entry, String) {
    let log = read_all(text);
    assert_eq!(log.entries.len(), 1, "{log:?}");
    (log.entries[0], log.notes[0].clone())
}

fn at(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().unwrap().as_microsecond()
}

fn ms(ms: f64) -> Option<Micros> {
    Some(Micros::from_ms(ms))
}

const REPORT: &str = "REPORT RequestId: 8f507cfc-xmpl-4697-b07a-ac58fc914c95\tDuration: 12.50 ms\tBilled Duration: 113 ms\t\
                      Memory Size: 256 MB\tMax Memory Used: 41 MB\tInit Duration: 100.00 ms\t";

#[test]
fn lambda_s_reports_are_read_as_text_and_as_json() {
    let expected = Entry {
        at: at("2026-11-27T10:00:00Z") - 112_500,
        is_whole: true,
        duration: ms(12.5),
        init: ms(100.0),
        billed: ms(113.0),
        memory_mb: Some(256),
        ..Entry::default()
    };
    let exported = format!(
        "2026-11-27T09:59:59.900Z START RequestId: 8f507cfc-xmpl-4697-b07a-ac58fc914c95 Version: $LATEST\n\
         2026-11-27T10:00:00.000Z {REPORT}\n2026-11-27T10:00:00.000Z END RequestId: 8f507cfc\n"
    );
    let tailed = format!("2026-11-27T10:00:00.000000+00:00 2026/11/27/[$LATEST]0123 {REPORT}\n");
    for text in [exported, tailed] {
        let (entry, name) = one(&text);
        assert_eq!((entry, name.contains("Lambda's REPORT lines, 1 requests")), (expected, true), "{name}");
    }
    let event = serde_json::json!({ "timestamp": at("2026-11-27T10:00:00Z") / 1000, "message": REPORT });
    let platform = r#"{"time":"2026-11-27T10:00:00.000Z","type":"platform.report","record":{"requestId":"8f507cfc","metrics":{
        "durationMs":12.5,"billedDurationMs":113,"memorySizeMB":256,"maxMemoryUsedMB":41,"initDurationMs":100.0},"status":"success"}}"#;
    let start = r#"{"time":"2026-11-27T09:59:59.9Z","type":"platform.start","record":{"requestId":"8f507cfc"}}"#;
    assert_eq!(one(&format!("{start}\n{}\n", platform.replace("\n        ", ""))).0, expected);
    // CloudWatch's events have the time of the line, at the end.
    assert_eq!(one(&event.to_string()).0, expected);
}

#[test]
fn access_logs_of_aws_are_read() {
    let alb = "https 2026-11-27T10:00:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80 0.086 0.048 \
               0.037 200 200 34 366 \"GET https://www.example.com:443/ HTTP/1.1\" \"curl/7.46.0\" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2";
    let (entry, name) = one(alb);
    assert_eq!((entry.at, entry.duration), (at("2026-11-27T10:00:00.015641Z"), ms(171.0)), "{name}");
    assert_eq!((entry.status, entry.bytes), (Some(200), Some(400)));
    // The load balancer got no answer.
    let (entry, _) = one(&alb.replace("0.086 0.048 0.037 200 200", "-1 -1 -1 504 -"));
    assert_eq!((entry.at, entry.duration, entry.status), (at("2026-11-27T10:00:00.186641Z"), None, Some(504)));

    let cloudfront = "#Version: 1.0\n#Fields: date time x-edge-location sc-bytes c-ip cs-method sc-status cs-bytes time-taken\n\
                      2026-11-27\t10:00:01\tLHR62-C5\t2390\t192.0.2.10\tGET\t200\t23\t0.250\n";
    let (entry, name) = one(cloudfront);
    assert!(name.contains("CloudFront"), "{name}");
    assert_eq!((entry.at, entry.duration), (at("2026-11-27T10:00:00.75Z"), ms(250.0)));
    assert_eq!((entry.status, entry.bytes), (Some(200), Some(2413)));

    let gateway = r#"{"requestId":"id=","ip":"192.0.2.1","requestTime":"27/Nov/2026:10:00:00 +0000","httpMethod":"POST","status":"202","responseLength":"58","responseLatency":"17"}"#;
    let (entry, _) = one(gateway);
    assert_eq!((entry.at, entry.duration), (at("2026-11-27T10:00:00Z"), ms(17.0)));
    assert_eq!((entry.status, entry.bytes), (Some(202), Some(58)));
}

#[test]
fn nginx_apache_and_gateways_text_are_read() {
    let combined = r#"127.0.0.1 - frank [27/Nov/2026:11:00:00 +0100] "GET /a\"b?q=[1] HTTP/1.1" 200 2326 "http://x/" "Mozilla/5.0""#;
    let (entry, name) = one(combined);
    assert_eq!(
        (entry.at, entry.status, entry.bytes, entry.duration),
        (at("2026-11-27T10:00:00Z"), Some(200), Some(2326), None)
    );
    assert!(name.contains("nginx, Apache"), "{name}");
    assert_eq!(one(&format!("{combined} 0.012")).0.duration, ms(12.0));
    let gateway = r#"192.0.2.1 - - [27/Nov/2026:10:00:00 +0000] "POST /events HTTP/1.1" 202 58 JKJaXmPLvHcESHA="#;
    assert_eq!((one(gateway).0.status, one(gateway).0.duration), (Some(202), None));
}

#[test]
fn cloudflare_traces_and_any_json_with_a_time_are_read() {
    let logpush = r#"{"EdgeStartTimestamp":"2026-11-27T10:00:00Z","EdgeEndTimestamp":"2026-11-27T10:00:00.04Z","EdgeResponseStatus":202,"EdgeResponseBytes":812}"#;
    let expected = (at("2026-11-27T10:00:00Z"), ms(40.0), Some(202));
    let of = |entry: Entry| (entry.at, entry.duration, entry.status);
    assert_eq!(of(one(logpush).0), expected);
    let nanos = logpush
        .replace("\"2026-11-27T10:00:00Z\"", "1795773600000000000")
        .replace("\"2026-11-27T10:00:00.04Z\"", "1795773600040000000");
    assert_eq!(of(one(&nanos).0), expected);
    let worker = r#"{"EventTimestampMs":1795773600000,"Outcome":"ok","CPUTimeMs":2,"WallTimeMs":40}"#;
    assert_eq!(of(one(worker).0), (expected.0, expected.1, None));
    for time in
        ["1795773600", "1795773600000", "1795773600000000", "\"2026-11-27 10:00:00\"", "\"2026-11-27T11:00:00+01:00\""]
    {
        let line = format!(r#"{{"time":{time},"status":202,"duration_ms":40,"user":"u1"}}"#);
        assert_eq!(of(one(&line).0), expected, "{time}");
    }
    let otlp = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[
        {"kind":2,"startTimeUnixNano":"1795773600000000000","endTimeUnixNano":"1795773600040000000","attributes":[{"key":"http.response.status_code","value":{"intValue":"202"}}]},
        {"kind":3,"startTimeUnixNano":"1795773600000000000","endTimeUnixNano":"1795773600001000000"}]}]}]}"#;
    let (entry, name) = one(&otlp.replace("\n        ", ""));
    assert_eq!((of(entry), name.contains("OpenTelemetry")), (expected, true));
}

#[test]
fn lines_may_come_in_any_order_and_bad_ones_are_counted_and_shown() {
    let line = |time: &str| format!("{{\"time\":\"2026-11-27T{time}Z\"}}\n");
    let text = line("10:00:02") + &line("10:00:00") + "{\"time\":\n" + &line("10:00:01") + "{\"x\":1}\n";
    let log = read_all(&text);
    let seconds: Vec<i64> =
        log.entries.iter().map(|entry| (entry.at - at("2026-11-27T10:00:00Z")) / 1_000_000).collect();
    assert_eq!(seconds, [0, 1, 2]);
    assert!(
        log.notes[1].starts_with("2 lines can't be read and are left out: mine.csv:3: is no JSON object"),
        "{:?}",
        log.notes
    );
    assert!(log.notes[1].contains("mine.csv:5: has no time"), "{:?}", log.notes);
}

#[test]
fn a_line_that_is_no_text_is_a_bad_line_and_most_lines_must_be_good() {
    let read = |bytes: &[u8]| read(Lines::new(std::io::Cursor::new(bytes.to_vec()), "mine.log".to_owned()).unwrap());
    let good = &b"{\"time\":\"2026-11-27T10:00:00Z\"}\n"[..];
    let long = vec![b'x'; 3 << 20];
    let log = read(&[&b"\xff\n"[..], good, good, &long, b"\n", good].concat()).unwrap();
    assert_eq!(log.entries.len(), 3);
    let bad = "2 lines can't be read and are left out: mine.log:1: is not UTF-8; mine.log:4: is longer than a megabyte";
    assert_eq!(log.notes[1], bad);
    let error = read(&[good, b"\xff\n\xfe\n"].concat()).unwrap_err().to_string();
    assert!(error.starts_with("2 of 3 lines of mine.log can't be read: mine.log:2: is not UTF-8"), "{error}");
}

#[test]
fn a_log_is_in_seconds_if_all_of_its_own_times_are() {
    let cloudfront = |times: [&str; 2]| {
        let lines = times.map(|time| format!("2026-11-27\t{time}\t0.250\n"));
        read_all(&format!("#Fields: date time time-taken\n{}", lines.concat())).is_in_seconds
    };
    assert!(cloudfront(["10:00:00", "10:00:01"]), "what took a fraction may be logged in seconds");
    assert!(!cloudfront(["10:00:00", "10:00:01.5"]));
    assert!(!cloudfront(["10:00:00", "10:00:00"]), "all at the same time");
    let line = |ms: u64| format!("{{\"time\":{}}}\n", 1_795_773_600_000 + ms);
    assert!(read_all(&(line(0) + &line(2000))).is_in_seconds);
    assert!(!read_all(&(line(0) + &line(2001))).is_in_seconds);
}

#[test]
fn what_is_no_log_is_refused_and_says_where() {
    let error = |text: &str| format!("{:#}", read(lines(text)).unwrap_err());
    assert!(
        error("hello\nworld\n")
            .starts_with("2 of 2 lines of mine.csv can't be read: mine.csv:1: is of no log that is known")
    );
    assert!(
        error(&"hello\n".repeat(1000)).starts_with("mine.csv: none of the first 100 lines is of a log that is known")
    );
    assert_eq!(error(""), "mine.csv has no request");
    assert_eq!(error("#Version: 1.0\n"), "mine.csv has no request");
    for (line, problem) in [
        (format!("{REPORT}\n"), "has no time before REPORT"),
        ("2026-11-27T10:00:00Z REPORT RequestId: 8f\tMemory Size: 1 MB\n".to_owned(), "has no Duration"),
        ("{\"time\":\"soon\"}\n".to_owned(), "\"soon\" is no time"),
        ("{\"time\":12}\n".to_owned(), "12 is no time since 1970"),
        (
            "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"kind\":2}]}]}]}\n".to_owned(),
            "a span has no startTimeUnixNano",
        ),
        ("#Fields: time\n10:00:00\n10:00:01\n".to_owned(), "has no date"),
    ] {
        let error = error(&line);
        assert!(error.contains(problem), "{line}: {error}");
    }
}
