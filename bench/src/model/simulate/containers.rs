//! Containers that are always on or scaled by load: nodes with a number of slots each, and one queue for all of them.
//!
//! A request takes a free slot or waits in the queue, first come, first served. If the queue is full, the request is
//! refused. No load balancer can do better. Every `interval` the scaler takes the mean number of requests in flight and
//! waiting since its last look. It wants enough nodes to hold that mean at the target utilisation. A new node serves
//! after its start time. The scaler removes nodes once it has wanted fewer for the whole `cooldown`, as Kubernetes'
//! horizontal autoscaler does. Requests on a removed node end undisturbed and are not billed. If the minimum is no node
//! at all, the first request starts one at once.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use anyhow::Result;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

use crate::model::simulate::draw::Draw;
use crate::model::simulate::record::{Record, Served};
use crate::model::simulate::time::Micros;

/// The rules by which nodes start, serve and stop.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rules {
    /// The fewest nodes, and their number at the start.
    pub least: u32,
    /// The most nodes.
    pub most: u32,
    /// Requests that one node serves at a time.
    pub slots: u32,
    /// The share of slots that the scaler wants busy.
    pub target: f64,
    /// Time from the scaler's decision until the node serves.
    pub start: Draw,
    /// Time between two looks of the scaler.
    pub interval: Micros,
    /// The scaler removes nodes after it has wanted fewer for this long.
    pub cooldown: Micros,
    /// Number of requests that may wait.
    pub queue: usize,
}

/// A waiting request.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    at: Micros,
    service: Micros,
    /// Whether no node was serving when the request arrived.
    is_cold: bool,
}

/// Never.
const NEVER: Micros = Micros(u64::MAX);

/// The nodes of one policy.
#[derive(Debug)]
pub(crate) struct Containers {
    rules: Rules,
    rng: Pcg64Mcg,
    ready: u32,
    /// The times at which starting nodes will serve.
    starting: BinaryHeap<Reverse<Micros>>,
    endings: BinaryHeap<Reverse<Micros>>,
    queue: VecDeque<Waiting>,
    next_look: Micros,
    looked: Micros,
    /// Requests in flight and waiting × microseconds, from the scaler's last look until `counted`.
    load_us: u64,
    counted: Micros,
    /// What the scaler wanted at its recent looks, as far back as the cooldown.
    wanted: VecDeque<u32>,
    is_over: bool,
    record: Record,
}

impl Containers {
    pub(crate) fn new(rules: Rules, seed: u64) -> Result<Self> {
        let is_scaled = rules.least < rules.most;
        let mut containers = Self {
            rng: Pcg64Mcg::seed_from_u64(seed),
            ready: rules.least,
            starting: BinaryHeap::new(),
            endings: BinaryHeap::new(),
            queue: VecDeque::new(),
            next_look: if is_scaled { rules.interval } else { NEVER },
            looked: Micros::ZERO,
            load_us: 0,
            counted: Micros::ZERO,
            wanted: VecDeque::new(),
            is_over: false,
            record: Record::new()?,
            rules,
        };
        containers.write_level(Micros::ZERO);
        Ok(containers)
    }

    /// A request arrives. Requests arrive in order of time.
    pub(crate) fn arrive(&mut self, now: Micros, service: Micros) {
        self.advance(now);
        self.count_load(now);
        let waiting = Waiting { at: now, service, is_cold: self.ready == 0 };
        if self.has_room() && self.queue.is_empty() {
            self.serve(now, waiting);
        } else if self.queue.len() < self.rules.queue {
            self.queue.push_back(waiting);
            if self.nodes() == 0 {
                self.scale_to(now, 1);
            }
        } else {
            self.record.refused += 1;
        }
        let states = self.endings.len() + self.queue.len() + self.starting.len() + self.wanted.len();
        self.record.states = self.record.states.max(states);
    }

    /// Ends the trace. Waiting requests are still served.
    pub(crate) fn finish(&mut self, end: Micros) {
        self.advance(end);
        self.record.timeline.advance(end);
        self.is_over = true;
        while !self.queue.is_empty() {
            self.advance(self.next());
        }
    }

    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    fn nodes(&self) -> u32 {
        self.ready + self.starting.len() as u32
    }

    fn has_room(&self) -> bool {
        self.endings.len() < self.ready as usize * self.rules.slots as usize
    }

    /// The time of the next event.
    fn next(&self) -> Micros {
        let [ending, start] = [&self.endings, &self.starting].map(|heap| heap.peek().map_or(NEVER, |Reverse(at)| *at));
        ending.min(start).min(self.next_look)
    }

    /// Handles every event until `now`.
    fn advance(&mut self, now: Micros) {
        loop {
            let at = self.next();
            if at > now || at == NEVER {
                return;
            }
            self.count_load(at);
            if self.endings.peek() == Some(&Reverse(at)) {
                self.endings.pop();
            } else if self.starting.peek() == Some(&Reverse(at)) {
                self.starting.pop();
                self.ready += 1;
            } else {
                self.look(at);
            }
            while self.has_room()
                && let Some(waiting) = self.queue.pop_front()
            {
                self.serve(at, waiting);
            }
        }
    }

    fn serve(&mut self, now: Micros, request: Waiting) {
        self.endings.push(Reverse(now + request.service));
        let wait = now - request.at;
        let has_waited = wait > Micros::ZERO;
        let is_cold = request.is_cold && has_waited;
        self.record.count(Served { at: request.at, latency: wait + request.service, is_cold, has_waited });
    }

    fn load(&self) -> u64 {
        (self.endings.len() + self.queue.len()) as u64
    }

    fn count_load(&mut self, now: Micros) {
        self.load_us += self.load() * (now - self.counted).0;
        self.counted = now;
    }

    /// Lets the scaler look at the load.
    fn look(&mut self, now: Micros) {
        let mean = self.load_us as f64 / (now - self.looked).0.max(1) as f64;
        let needed = (mean / (f64::from(self.rules.slots) * self.rules.target)).ceil() as u32;
        let needed = needed.max(u32::from(self.load() > 0)).clamp(self.rules.least, self.rules.most);
        (self.load_us, self.looked, self.next_look) = (0, now, now + self.rules.interval);
        self.wanted.push_back(needed);
        let looks = self.rules.cooldown.0.div_ceil(self.rules.interval.0) as usize;
        while self.wanted.len() > looks.max(1) {
            self.wanted.pop_front();
        }
        let most_wanted = self.wanted.iter().max().copied().unwrap_or(needed);
        if needed > self.nodes() {
            self.scale_to(now, needed);
        } else if self.wanted.len() >= looks && most_wanted < self.nodes() {
            self.scale_to(now, most_wanted);
        }
    }

    fn scale_to(&mut self, now: Micros, nodes: u32) {
        while self.nodes() < nodes {
            self.starting.push(Reverse(now + self.rules.start.draw(&mut self.rng)));
            self.record.started += 1;
        }
        // Nodes that do not serve yet go first. Which of them makes no difference, since all share one queue.
        while self.nodes() > nodes {
            if self.starting.pop().is_none() {
                self.ready -= 1;
            }
        }
        self.write_level(now);
    }

    fn write_level(&mut self, now: Micros) {
        if !self.is_over {
            self.record.timeline.set(now, u64::from(self.nodes()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn rules(least: u32, most: u32) -> Rules {
        Rules {
            least,
            most,
            slots: 2,
            target: 0.5,
            start: Draw::Fixed(Micros(20 * SECOND)),
            interval: Micros(10 * SECOND),
            cooldown: Micros(60 * SECOND),
            queue: 100,
        }
    }

    #[test]
    fn who_finds_no_slot_waits_and_who_finds_no_place_is_refused() {
        let mut containers = Containers::new(Rules { queue: 1, ..rules(1, 1) }, 1).unwrap();
        for _ in 0..4 {
            containers.arrive(Micros::ZERO, Micros(SECOND));
        }
        containers.finish(Micros(SECOND / 2));
        let record = containers.record();
        assert_eq!((record.requests, record.waited, record.refused, record.cold), (3, 1, 1, 0));
        assert!(record.latency.max() >= 2 * SECOND, "{}", record.latency.max());
        assert_eq!(record.timeline.instance_seconds(), 0.5);
    }

    #[test]
    fn nodes_come_with_the_load_and_go_after_the_cooldown() {
        let mut containers = Containers::new(rules(1, 8), 1).unwrap();
        // Four requests at a time for a hundred seconds. At half of two slots, they need four nodes.
        for second in 0..100 {
            for _ in 0..4 {
                containers.arrive(Micros(second * SECOND), Micros(SECOND));
            }
        }
        containers.advance(Micros(100 * SECOND));
        assert!((4..=8).contains(&containers.ready), "{}", containers.ready);
        // The last looks still saw load until 100 s. So the nodes are there until 160 s, and not for long after that.
        containers.advance(Micros(155 * SECOND));
        assert!(containers.ready >= 4, "{}", containers.ready);
        containers.finish(Micros(200 * SECOND));
        assert_eq!(containers.ready, 1);
        let record = containers.record();
        assert_eq!((record.requests, record.cold, record.refused), (400, 0, 0));
        assert!(record.waited > 0 && record.timeline.instance_seconds() > 200.0);
    }

    #[test]
    fn from_no_node_the_first_request_starts_one_and_is_cold() {
        let mut containers = Containers::new(rules(0, 2), 1).unwrap();
        containers.arrive(Micros(7 * SECOND), Micros(SECOND));
        containers.arrive(Micros(28 * SECOND), Micros(SECOND));
        containers.finish(Micros(400 * SECOND));
        let record = containers.record();
        assert_eq!((record.requests, record.cold, record.started, containers.nodes()), (2, 1, 1, 0));
        assert_eq!(record.latency.max() / SECOND, 21);
    }

    #[test]
    fn who_waits_at_the_end_is_served() {
        let mut containers = Containers::new(rules(0, 1), 1).unwrap();
        containers.arrive(Micros(7 * SECOND), Micros(SECOND));
        containers.finish(Micros(8 * SECOND));
        assert_eq!((containers.record().requests, containers.record().cold), (1, 1));
        assert_eq!(containers.record().timeline.instance_seconds(), 1.0);
    }
}
