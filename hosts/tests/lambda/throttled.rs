//! Tables whose partitions accept far less than is sent.

use super::*;

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

#[tokio::test(flavor = "multi_thread")]
async fn what_a_table_does_not_take_now_is_for_later_and_is_counted_once_in_the_end() {
    let name = "throttled::what_a_table_does_not_take_now_is_for_later_and_is_counted_once_in_the_end";
    // A table has four partitions, so events and rollups get four times these units a second each.
    let variables = [("ISOTHERM_WRITE_UNITS", "20"), ("ISOTHERM_READ_UNITS", "100"), ("ISOTHERM_BURST_SECONDS", "1")];
    if !has_variables(name, &variables) {
        return;
    }
    const EVENTS: usize = 1500;
    let host = start(&built("release", "lambda"), None).await;
    let event = |n: usize| {
        json!({ "userId": "u", "eventType": "t", "timestamp": "2013-01-01T10:00:00Z", "messageId": format!("m{n}"),
            "properties": { "n": n } })
    };
    let mut waiting: Vec<usize> = (0..EVENTS).collect();
    let (mut later, started) = (0, Instant::now());
    while !waiting.is_empty() {
        assert!(started.elapsed() < Duration::from_secs(180), "{} are not taken in", waiting.len());
        let batches = waiting.chunks(500).map(|numbers| {
            let (url, numbers) = (host.url(), numbers.to_vec());
            let batch = json!({ "events": numbers.iter().copied().map(event).collect::<Vec<_>>() }).to_string();
            tokio::spawn(async move { (numbers, send(&url, "POST", "/events/batch", &JSON, batch).await) })
        });
        let mut again = Vec::new();
        for batch in batches.collect::<Vec<_>>() {
            let (numbers, answer) = batch.await.unwrap();
            assert!([200, 429, 503].contains(&answer.status), "{:?}", answer.body);
            let results = (answer.status == 200).then(|| answer.json()["results"].as_array().unwrap().clone());
            for (at, number) in numbers.into_iter().enumerate() {
                let status = results.as_ref().map_or("retry", |results| results[at]["status"].as_str().unwrap());
                match status {
                    "accepted" | "duplicate" => {}
                    "retry" => again.push(number),
                    other => panic!("{other}"),
                }
            }
        }
        later += again.len();
        waiting = again;
    }
    println!("{later} events were told to come again, in {:?}", started.elapsed());
    assert!(later > 0, "nothing was throttled");
    let path = "/reports/summary?from=2013-01-01T00:00:00Z&to=2013-02-01T00:00:00Z&metrics=count,sum:n";
    loop {
        // Reports may be throttled too.
        let answer = send(&host.url(), "GET", path, &[], "").await;
        assert!([200, 503].contains(&answer.status), "{:?}", answer.body);
        let row = answer.json()["rows"][0].clone();
        let count = row["count"].as_u64().unwrap_or_default();
        assert!(count <= EVENTS as u64, "{count} of {EVENTS}");
        if count == EVENTS as u64 {
            assert_eq!(row["sum:n"], json!(EVENTS * (EVENTS - 1) / 2));
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(240), "{count} of {EVENTS} are counted");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // The table has recovered and takes one more event at once.
    let answer = send(&host.url(), "POST", "/events", &JSON, event(EVENTS).to_string()).await;
    assert_eq!(answer.status, 202, "{:?}", answer.body);
    host.stop().await.unwrap();
}
