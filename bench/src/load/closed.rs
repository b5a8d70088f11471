//! Closed loop: a fixed number of connections, each of which sends its next request after the answer to the last one.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::load::Client;
use crate::workload::Mix;

/// The throughput of one slice of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slice {
    /// Seconds from the first request to the last answer.
    pub seconds: f64,
    /// Requests with a correct answer.
    pub requests: u64,
    /// Events in answered requests.
    pub events: u64,
}

/// Keeps `connections` requests in flight for `seconds`. Requests still in flight at the end are awaited and counted.
pub async fn closed(client: &Client, connections: usize, mix: &Mix, batch_sizes: &[usize], seconds: f64) -> Slice {
    let start = Instant::now();
    let until = start + Duration::from_secs_f64(seconds);
    let one = || async {
        let (mut requests, mut events) = (0, 0);
        while Instant::now() < until && client.bearable().is_ok() {
            let step = client.step(mix, batch_sizes);
            if client.perform(&step, Instant::now()).await.is_some() {
                requests += 1;
                events += step.count as u64;
            }
        }
        (requests, events)
    };
    let counts = join_all((0..connections).map(|_| one())).await;
    let seconds = start.elapsed().as_secs_f64();
    let (requests, events) = counts.into_iter().fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
    Slice { seconds, requests, events }
}
