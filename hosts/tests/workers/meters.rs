//! The meters of operations that Cloudflare would bill.

use isotherm_hosts::Meters;

use super::services::{accepted, count, until};
use super::*;

/// The default configuration's number of shards.
const SHARDS: u64 = 4;

/// Waits until this many alarms have rung since `before`, and returns the counts since then.
async fn folded(host: &Host, before: &Meters, rings: u64) -> Meters {
    let alarms = |meters: &Meters| meters.functions.get("shard/alarm").map_or(0, |alarms| alarms.count);
    until("all is folded", async || alarms(&host.meters().await.unwrap().since(before)) >= rings).await;
    host.meters().await.unwrap().since(before)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_billed_is_counted() {
    const EVENTS: u64 = 120;
    let _turn = beside().await;
    let host = start(&built("release", "workers"), None).await;
    accepted(&host.url(), 0..40).await;
    // The first events also create tables. A new shard's first alarm begins its round of expiry and compaction; the
    // second one folds.
    let before = folded(&host, &Meters::default(), 2 * SHARDS).await;
    assert_eq!(before.events_stored, 40);

    accepted(&host.url(), 40..40 + EVENTS as usize).await;
    assert_eq!(count(&host.url()).await, 40 + EVENTS);
    let meters = folded(&host, &before, SHARDS).await;
    // Each shard writes its part into a block, which the fold closes, and the first row of ids.
    assert_eq!((meters.rows["blocks"].written, meters.rows["runs"].written), (2 * SHARDS, SHARDS), "{meters:?}");
    assert_eq!(meters.events_stored, EVENTS);
    // Each shard wrote its watermark besides the pages.
    assert!(meters.rows["rollups"].written >= meters.pages_stored + SHARDS, "{meters:?}");
    // A batch and a report send one request each to a shard, which set its alarm, and set it again for later work.
    let of = |name: &str| meters.functions[name].count;
    assert_eq!((of("shard/fetch"), of("shard/alarm"), meters.objects), (2 * SHARDS, SHARDS, SHARDS));
    assert_eq!(meters.rows["alarms"].written, 2 * SHARDS);
    assert!(!meters.functions["shard/fetch"].wall.is_zero(), "{meters:?}");

    let before = host.meters().await.unwrap();
    accepted(&host.url(), 200..201).await;
    let meters = folded(&host, &before, 1).await;
    assert_eq!((meters.rows["blocks"].written, meters.events_stored), (2, 1));
    // An object that the runtime has made anew meanwhile sets one more alarm, in case its first turn never ends.
    assert!((2..=3).contains(&meters.rows["alarms"].written), "{meters:?}");
    assert_eq!((meters.functions["shard/fetch"].count, meters.functions["shard/alarm"].count), (1, 1));
    host.stop().await.unwrap();
}
