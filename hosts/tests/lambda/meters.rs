//! The meters of operations that AWS would bill.

use isotherm_hosts::Meters;

use super::reports::{complete, send_events};
use super::*;

/// What was counted once the function has answered for so many records. Reports count events earlier: pulses and shapes are written between.
async fn metered(host: &Host, records: u64) -> Meters {
    let started = Instant::now();
    loop {
        let meters = host.meters().await.unwrap();
        if meters.stream_records >= records {
            return meters;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "{meters:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_billed_is_counted() {
    const EVENTS: usize = 120;
    let host = start(&built("release", "lambda"), None).await;
    send_events(&host.url(), 0..EVENTS).await;
    complete(&host.url(), EVENTS).await;
    let meters = metered(&host, EVENTS as u64).await;
    assert_eq!((meters.operations("events/put"), meters.events_stored), (EVENTS as u64, EVENTS as u64));
    let others = meters.operations("events/put-other") + meters.operations("events/put-other-again");
    // Some of them may still be on their way.
    assert!((EVENTS as u64..=EVENTS as u64 + others).contains(&meters.stream_records), "{meters:?}");
    assert!(meters.operations("rollups/transact") > 0 && meters.operations("rollups/query") > 0, "{meters:?}");
    assert!(meters.objects > 0 && meters.object_bytes > 0 && meters.pages_stored > 0, "{meters:?}");
    assert_eq!(meters.functions["ingest"].count, 1);
    // Each invocation logs one line, and each environment one more, which says that the service is open.
    let invocations: u64 = meters.functions.values().map(|function| function.count).sum();
    assert!((1..1000 * invocations).contains(&meters.log_bytes), "{meters:?}");
    send_events(&host.url(), EVENTS..EVENTS + 1).await;
    complete(&host.url(), EVENTS + 1).await;
    let since = metered(&host, meters.stream_records + 1).await.since(&meters);
    assert_eq!((since.operations("events/put"), since.events_stored), (1, 1));
    assert!(since.stream_records >= 1, "{since:?}");
    host.stop().await.unwrap();
}
