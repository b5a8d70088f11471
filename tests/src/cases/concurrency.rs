//! Many writers at once.

use isotherm_hosts::Platform;
use serde_json::Value;

use super::{counts, named};
use crate::client::{Answer, Ask, send};
use crate::fixture::{Fixture, block_on};

fn all_at_once(port: u16, asks: Vec<Ask>) -> Vec<Answer> {
    block_on(async {
        let sent: Vec<_> = asks.into_iter().map(|ask| tokio::spawn(async move { send(port, &ask).await })).collect();
        let mut answers = Vec::new();
        for one in sent {
            answers.push(one.await.unwrap().unwrap());
        }
        answers
    })
}

/// One writer's event is accepted, 99 are duplicates, and all answers have the same id.
pub fn one_of_a_hundred_writers_is_accepted(platform: Platform) {
    let host = Fixture::open(platform);
    let mut waiting: Vec<Ask> = (0..100).map(|_| Ask::event(&named("hundred"))).collect();
    let mut answers = Vec::new();
    // A host may turn some requests away for now. They come again, as clients' requests do.
    for _ in 0..50 {
        let sent = all_at_once(host.port, waiting.clone());
        let (later, answered): (Vec<_>, Vec<_>) =
            sent.into_iter().partition(|answer| matches!(answer.status, 429 | 503));
        answers.extend(answered);
        waiting.truncate(later.len());
        if waiting.is_empty() {
            break;
        }
    }
    assert_eq!(answers.len(), 100, "some were turned away for good");
    assert!(answers.iter().all(|answer| answer.status == 202), "{answers:?}");
    let first = answers.iter().filter(|answer| answer.json()["duplicate"].is_null()).count();
    assert_eq!(first, 1, "accepted");
    assert!(answers.iter().all(|answer| answer.text("eventId") == answers[0].text("eventId")));
}

/// Batches that share events, in different orders. Each event is accepted in exactly one batch.
pub fn batches_that_overlap_keep_each_event_once(platform: Platform) {
    let host = Fixture::open(platform);
    let events: Vec<Value> = (0..60).map(|index| named(&format!("overlap-{index}"))).collect();
    let asks = (0..12).map(|turn| {
        let mut turned = events.clone();
        turned.rotate_left(turn * 5);
        if turn % 2 == 1 {
            turned.reverse();
        }
        Ask::batch(&turned)
    });
    let answers = all_at_once(host.port, asks.collect());
    let total = answers.iter().map(counts).fold([0; 4], |sum, one| std::array::from_fn(|at| sum[at] + one[at]));
    assert_eq!(total, [60, 660, 0, 0]);
}
