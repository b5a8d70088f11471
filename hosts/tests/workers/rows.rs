//! How many rows events cost, from their arrival until they have expired, and how many bytes they take. `isotherm cost`
//! rests on these figures.

use isotherm_hosts::Meters;
use rusqlite::Connection;

use super::cron::{batch_long_ago, fire};
use super::services::{start_with, until};
use super::*;

/// Opens copies of all shards' databases.
fn shards(data: &Path) -> Vec<(tempfile::TempDir, Connection)> {
    let files = std::fs::read_dir(data.join("isotherm-shard")).unwrap().map(|file| file.unwrap().path());
    let copied = |file: &Path| {
        let folder = tempfile::tempdir().unwrap();
        for suffix in ["", "-wal"] {
            let from = format!("{}{suffix}", file.display());
            if Path::new(&from).is_file() {
                std::fs::copy(&from, folder.path().join(format!("shard.sqlite{suffix}"))).unwrap();
            }
        }
        let shard = Connection::open(folder.path().join("shard.sqlite")).unwrap();
        (folder, shard)
    };
    files
        .filter(|file| file.extension().is_some_and(|extension| extension == "sqlite"))
        .map(|file| copied(&file))
        .collect()
}

fn sum(data: &Path, query: &str) -> u64 {
    // A shard that was made this moment has no tables.
    shards(data).iter().filter_map(|(_, shard)| shard.query_row(query, [], |row| row.get::<_, u64>(0)).ok()).sum()
}

const UNFOLDED: &str = "SELECT coalesce(sum(count), 0) FROM blocks WHERE expires_at IS NULL";

/// How many events in blocks are not folded.
pub(crate) fn unfolded(data: &Path) -> u64 {
    sum(data, UNFOLDED)
}

const BYTES: &str = "SELECT page_size * (page_count - freelist_count)
    FROM pragma_page_count, pragma_page_size, pragma_freelist_count";

/// Sends flights that happened long ago.
async fn flights_long_ago(url: &str, numbers: std::ops::Range<usize>) {
    let flight = |n: usize| {
        let (carrier, dest) = (["UA", "AA", "B6", "DL"][n % 4], ["IAH", "MIA", "ATL"][n % 3]);
        json!({ "messageId": format!("nyc13-{n}"), "userId": format!("N{}", 10_000 + n * 7919 % 4000),
            "eventType": "flight_departed", "properties": { "carrier": carrier, "flight": n * 31 % 9000,
            "origin": "EWR", "dest": dest, "distance": 200 + n * 97 % 2400, "depDelay": n * 13 % 60,
            "arrDelay": n * 17 % 90, "airTime": 30 + n * 23 % 300 } })
    };
    let events: Vec<Value> = numbers.clone().map(flight).collect();
    batch_long_ago(url, numbers, json!({ "events": events }).to_string()).await;
}

/// Rows written and stored bytes for an event, if `requests` requests bring `events` each. The events expired long ago,
/// so the cron trigger deletes them.
async fn measured(requests: usize, events: usize) -> (f64, f64) {
    let data = tempfile::tempdir().unwrap();
    let host = start_with(&built("test", "workers"), data.path(), isotherm_hosts::OPEN).await;
    let folded = async |since: &Meters, events: u64| {
        until("all is folded", async || unfolded(data.path()) == 0).await;
        let meters = host.meters().await.unwrap();
        assert_eq!(meters.since(since).events_stored, events);
        (meters, sum(data.path(), BYTES))
    };
    // Tables are made once.
    flights_long_ago(&host.url(), 0..100).await;
    let (before, bytes_before) = folded(&Meters::default(), 100).await;
    for request in 0..requests {
        let first = 1000 + request * events;
        flights_long_ago(&host.url(), first..first + events).await;
    }
    let all = (requests * events) as u64;
    let (_, bytes) = folded(&before, all).await;
    fire(data.path()).await;
    until("all is deleted", async || host.meters().await.unwrap().events_stored == 0).await;
    let meters = host.meters().await.unwrap().since(&before);
    let an_event = |count: u64| count as f64 / all as f64;
    let rows = an_event(meters.rows.values().map(|rows| rows.written).sum());
    let bytes = an_event(bytes - bytes_before);
    println!("{requests} requests of {events}: {rows:.3} rows and {bytes:.1} bytes an event; {:?}", meters.rows);
    host.stop().await.unwrap();
    (rows, bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_costs_few_rows_and_bytes() {
    let _turn = beside().await;
    let (rows, bytes) = measured(1500, 10).await;
    assert!(rows < 0.6 && bytes < 200.0, "{rows} rows and {bytes} bytes");
    let (rows, _) = measured(3000, 1).await;
    assert!(rows < 1.5, "{rows} rows");
}
