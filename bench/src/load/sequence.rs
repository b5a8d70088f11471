//! The sequence of requests. It depends only on the workload's seed, so that every platform gets the same.

use std::rc::Rc;

use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::load::Events;
use crate::workload::{Mix, Route};

/// Limit of a batch, in bytes. The contract's limit is 1 MiB, and the array around the events takes room too.
const BATCH_BYTES: usize = 1_000_000;

/// Look-ups start after this many events were sent.
const FIRST_GET: u64 = 32;

/// One request to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The route of the request.
    pub route: Route,
    /// The number of its first event, or of the event to look up; counted over passes.
    pub event: u64,
    /// Number of events in the request.
    pub count: usize,
    /// The body; empty for a look-up.
    pub body: Bytes,
}

/// Events in file order, cut into requests.
#[derive(Clone, Debug)]
pub struct Sequence {
    events: Rc<Events>,
    rng: Pcg64Mcg,
    next: u64,
}

impl Sequence {
    /// The sequence of `seed` over `events`.
    pub fn new(events: Rc<Events>, seed: u64) -> Self {
        Self { events, rng: Pcg64Mcg::seed_from_u64(seed), next: 0 }
    }

    /// The events it sends.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Number of events handed out so far.
    pub fn sent(&self) -> u64 {
        self.next
    }

    /// Whether every event was handed out at least once.
    pub fn is_through(&self) -> bool {
        self.next >= self.events.len() as u64
    }

    /// The next request.
    pub fn step(&mut self, mix: &Mix, batch_sizes: &[usize]) -> Step {
        match mix.pick(&mut self.rng) {
            Route::Get if self.next >= FIRST_GET => {
                let event = self.rng.random_range(0..self.next);
                Step { route: Route::Get, event, count: 0, body: Bytes::new() }
            }
            Route::Batch if !batch_sizes.is_empty() => {
                let size = batch_sizes[self.rng.random_range(0..batch_sizes.len())];
                self.batch(size)
            }
            Route::Single | Route::Get | Route::Batch => {
                let event = self.next;
                self.next += 1;
                let mut body = Vec::new();
                self.events.write(event, &mut body);
                Step { route: Route::Single, event, count: 1, body: body.into() }
            }
        }
    }

    fn batch(&mut self, size: usize) -> Step {
        let (body, count) = batch(&self.events, self.next, size);
        let event = self.next;
        self.next += count as u64;
        Step { route: Route::Batch, event, count, body }
    }
}

/// The body of a batch of at most `size` events from number `first` on, and the number of events in it, at least one.
pub fn batch(events: &Events, first: u64, size: usize) -> (Bytes, usize) {
    let mut body = b"{\"events\":[".to_vec();
    let mut count = 0;
    while count < size {
        let before = body.len();
        if count > 0 {
            body.push(b',');
        }
        events.write(first + count as u64, &mut body);
        if count > 0 && body.len() > BATCH_BYTES {
            body.truncate(before);
            break;
        }
        count += 1;
    }
    body.extend_from_slice(b"]}");
    (body.into(), count)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIX: Mix = Mix { single: 5, batch: 2, get: 3 };

    fn events(count: usize, padding: usize) -> Rc<Events> {
        let line = |n| format!("{{\"messageId\":\"m{n}\",\"p\":\"{}\"}}\n", "x".repeat(padding));
        Rc::new(Events::parse((0..count).map(line).collect::<String>().into_bytes(), "e").unwrap())
    }

    fn steps(seed: u64, count: usize) -> Vec<Step> {
        let mut sequence = Sequence::new(events(100, 1), seed);
        (0..count).map(|_| sequence.step(&MIX, &[3, 7])).collect()
    }

    #[test]
    fn a_seed_decides_everything() {
        assert_eq!(steps(1, 300), steps(1, 300));
        assert_ne!(steps(1, 300), steps(2, 300));
    }

    #[test]
    fn every_event_is_sent_once_and_in_order() {
        let mut next = 0;
        for step in steps(9, 300) {
            match step.route {
                Route::Get => assert!(step.event < next && step.count == 0),
                Route::Single => assert_eq!((step.event, step.count), (next, 1)),
                Route::Batch => assert!(step.event == next && [3, 7].contains(&step.count)),
            }
            next += step.count as u64;
        }
        assert!(next > 200, "later passes are in it: {next}");
    }

    #[test]
    fn the_mix_is_kept() {
        let steps = steps(4, 10_000);
        let share = |route| steps.iter().filter(|step| step.route == route).count() as f64 / 10_000.0;
        assert!((share(Route::Single) - 0.5).abs() < 0.02, "{}", share(Route::Single));
        assert!((share(Route::Batch) - 0.2).abs() < 0.02);
        assert!((share(Route::Get) - 0.3).abs() < 0.02);
    }

    #[test]
    fn a_batch_is_json_and_stays_below_the_limit() {
        let (body, count) = batch(&events(4, 1), 2, 5);
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let ids: Vec<_> = value["events"].as_array().unwrap().iter().map(|event| event["messageId"].clone()).collect();
        assert_eq!((count, ids), (5, ["m2", "m3", "m0~1", "m1~1", "m2~1"].map(Into::into).to_vec()));

        let (body, count) = batch(&events(50, 30_000), 0, 50);
        assert!((30..=34).contains(&count) && body.len() <= 1_000_002, "{count} events, {} bytes", body.len());
        assert_eq!(batch(&events(1, 1_100_000), 0, 2).1, 1);
    }
}
