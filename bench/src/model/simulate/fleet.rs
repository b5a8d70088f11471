//! Instances that start with the requests and end when they are idle: Lambda's environments with one request at a time,
//! and Workers' isolates with many.
//!
//! The most recently used instance with room takes a request at once. If there is none, a new instance starts and the
//! request waits for it. Requests that arrive during the start and find room in that instance wait for the rest of the
//! start. An instance ends after its keep-alive, which is drawn anew for each idle period. An arrival at that very
//! instant still finds it. Provisioned instances exist from the start, are taken first and never end. The fleet keeps
//! only live state: instances and requests in flight.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use anyhow::Result;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::model::simulate::draw::Draw;
use crate::model::simulate::record::{Record, Served};
use crate::model::simulate::time::Micros;

/// The rules by which instances start, serve and end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rules {
    /// Requests that one instance serves at a time.
    pub concurrency: u32,
    /// Number of locations, each with instances of its own. A request arrives at any of them with the same probability.
    pub locations: u32,
    /// Number of instances that are always there.
    pub provisioned: u32,
    /// Time from the start of an instance until it is ready.
    pub init: Draw,
    /// Time that an instance stays idle before it ends.
    pub keep_alive: Draw,
    /// The requests that only keep instances warm, if any.
    pub pings: Option<Pings>,
}

/// Requests that only keep instances warm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pings {
    /// Time between two pings.
    pub every: Micros,
    /// Number of pings at once.
    pub count: u32,
    /// Time that each ping keeps its instance busy.
    pub service: Micros,
}

/// The billed usage of a fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Billed {
    /// Number of pings sent.
    pub pings: u64,
    /// Time of pings in on-demand instances, counted as for `on_demand_ms`.
    pub ping_ms: u64,
    /// Time of requests in on-demand instances: init plus service, each sum rounded up to 1 ms.
    pub on_demand_ms: u64,
    /// Time in provisioned instances. Each request's and ping's time is rounded up to 1 ms.
    pub provisioned_ms: u64,
}

#[derive(Debug)]
struct Instance {
    location: u32,
    /// Number of requests in it.
    active: u32,
    ready_at: Micros,
    /// Its place in [`Fleet::open`].
    recency: u64,
    /// While it is idle: the time at which it ends unless a request arrives.
    expires: Micros,
    is_provisioned: bool,
}

/// A request in flight: its end and its instance.
type Ending = Reverse<(Micros, u32)>;

/// Provisioned instances count as more recent than all others, so that they are taken first.
const PROVISIONED: u64 = 1 << 63;

/// The instances of one policy.
#[derive(Debug)]
pub(crate) struct Fleet {
    rules: Rules,
    rng: Pcg64Mcg,
    /// Vacant places are reused, so its length is the largest number of instances at any time.
    instances: Vec<Instance>,
    vacant: Vec<u32>,
    /// Instances with room, by location; within one, the most recently used is last.
    open: BTreeMap<(u32, u64), u32>,
    /// Idle instances, by the time at which they end.
    expiring: BTreeSet<(Micros, u32)>,
    endings: BinaryHeap<Ending>,
    uses: u64,
    next_ping: Micros,
    billed: Billed,
    record: Record,
}

impl Fleet {
    pub(crate) fn new(rules: Rules, seed: u64) -> Result<Self> {
        let mut fleet = Self {
            rng: Pcg64Mcg::seed_from_u64(seed),
            instances: Vec::new(),
            vacant: Vec::new(),
            open: BTreeMap::new(),
            expiring: BTreeSet::new(),
            endings: BinaryHeap::new(),
            uses: 0,
            next_ping: Micros::ZERO,
            billed: Billed::default(),
            record: Record::new()?,
            rules,
        };
        for _ in 0..fleet.rules.provisioned {
            let id = fleet.add(0, Micros::ZERO, true);
            fleet.open(id);
        }
        fleet.record.timeline.set(Micros::ZERO, fleet.alive());
        Ok(fleet)
    }

    /// A request arrives. Requests arrive in order of time.
    pub(crate) fn arrive(&mut self, now: Micros, service: Micros) {
        self.ping_until(now);
        self.advance(now);
        let wait = self.serve(now, service, false);
        let has_waited = wait > Micros::ZERO;
        self.record.count(Served { at: now, latency: wait + service, is_cold: has_waited, has_waited });
        let states = self.instances.len() + self.endings.len() + self.open.len() + self.expiring.len();
        self.record.states = self.record.states.max(states);
    }

    /// Ends the trace.
    pub(crate) fn finish(&mut self, end: Micros) {
        self.ping_until(end);
        self.advance(end);
        self.record.timeline.advance(end);
    }

    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    pub(crate) fn billed(&self) -> Billed {
        self.billed
    }

    /// Number of requests in flight.
    #[cfg(test)]
    pub(crate) fn busy(&self) -> usize {
        self.endings.len()
    }

    fn alive(&self) -> u64 {
        (self.instances.len() - self.vacant.len()) as u64
    }

    fn ping_until(&mut self, now: Micros) {
        let Some(pings) = self.rules.pings else { return };
        while self.next_ping <= now {
            let at = self.next_ping;
            self.advance(at);
            for _ in 0..pings.count {
                self.serve(at, pings.service, true);
            }
            self.billed.pings += u64::from(pings.count);
            self.next_ping = at + pings.every;
        }
    }

    /// Handles every event until `now`. A request that ends at `now` has made room; an instance that expires at `now`
    /// is still there.
    pub(crate) fn advance(&mut self, now: Micros) {
        loop {
            let ending = self.endings.peek().map_or(Micros(u64::MAX), |Reverse((at, _))| *at);
            let expiry = self.expiring.first().map_or(Micros(u64::MAX), |(at, _)| *at);
            if ending <= now && ending <= expiry {
                let Some(Reverse((at, id))) = self.endings.pop() else { return };
                self.end(at, id);
            } else if expiry < now {
                let Some((at, id)) = self.expiring.pop_first() else { return };
                self.remove(at, id);
            } else {
                return;
            }
        }
    }

    /// Gives a request to an instance, and returns how long the request waits.
    fn serve(&mut self, now: Micros, service: Micros, is_ping: bool) -> Micros {
        let location = if self.rules.locations == 1 { 0 } else { self.rng.random_range(0..self.rules.locations) };
        let found = self.open.range((location, 0)..=(location, u64::MAX)).next_back().map(|(_, id)| *id);
        let id = found.unwrap_or_else(|| self.start(now, location));
        let instance = &mut self.instances[id as usize];
        if instance.active == 0 && !instance.is_provisioned && found.is_some() {
            self.expiring.remove(&(instance.expires, id));
        }
        instance.active += 1;
        let wait = instance.ready_at - now;
        self.endings.push(Reverse((now + wait + service, id)));
        let billed = (wait + service).0.div_ceil(1000);
        *match (instance.is_provisioned, is_ping) {
            (true, _) => &mut self.billed.provisioned_ms,
            (false, true) => &mut self.billed.ping_ms,
            (false, false) => &mut self.billed.on_demand_ms,
        } += billed;
        let (is_full, key) = (instance.active == self.rules.concurrency, (location, instance.recency));
        if is_full && found.is_some() {
            self.open.remove(&key);
        } else if !is_full && found.is_none() {
            self.open(id);
        }
        wait
    }

    fn start(&mut self, now: Micros, location: u32) -> u32 {
        let ready_at = now + self.rules.init.draw(&mut self.rng);
        let id = self.add(location, ready_at, false);
        self.record.started += 1;
        self.record.timeline.set(now, self.alive());
        id
    }

    fn add(&mut self, location: u32, ready_at: Micros, is_provisioned: bool) -> u32 {
        let instance = Instance { location, active: 0, ready_at, recency: 0, expires: Micros::ZERO, is_provisioned };
        if let Some(id) = self.vacant.pop() {
            self.instances[id as usize] = instance;
            return id;
        }
        self.instances.push(instance);
        (self.instances.len() - 1) as u32
    }

    /// Marks the instance as having room and as the most recently used.
    fn open(&mut self, id: u32) {
        self.uses += 1;
        let instance = &mut self.instances[id as usize];
        instance.recency = self.uses | if instance.is_provisioned { PROVISIONED } else { 0 };
        self.open.insert((instance.location, instance.recency), id);
    }

    /// Ends a request.
    fn end(&mut self, at: Micros, id: u32) {
        let instance = &mut self.instances[id as usize];
        let was_full = instance.active == self.rules.concurrency;
        instance.active -= 1;
        if instance.active == 0 && !instance.is_provisioned {
            instance.expires = at + self.rules.keep_alive.draw(&mut self.rng);
            self.expiring.insert((instance.expires, id));
        }
        if was_full {
            self.open(id);
        }
    }

    /// Removes an instance.
    fn remove(&mut self, at: Micros, id: u32) {
        let instance = &self.instances[id as usize];
        self.open.remove(&(instance.location, instance.recency));
        self.vacant.push(id);
        self.record.timeline.set(at, self.alive());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules {
            concurrency: 1,
            locations: 1,
            provisioned: 0,
            init: Draw::Fixed(Micros::from_ms(100.0)),
            keep_alive: Draw::Fixed(Micros::MINUTE),
            pings: None,
        }
    }

    /// A fleet after arrivals at the given milliseconds, each with a service time of 10 ms.
    fn replay(rules: Rules, arrivals: &[u64], end: u64) -> Fleet {
        let mut fleet = Fleet::new(rules, 1).unwrap();
        for ms in arrivals {
            fleet.arrive(Micros(ms * 1000), Micros::from_ms(10.0));
        }
        fleet.finish(Micros(end * 1000));
        fleet
    }

    #[test]
    fn one_at_a_time_starts_an_instance_for_each_that_finds_none_idle() {
        // The first is cold, the second is cold beside it, and the third is warm after the first has ended (at 110 ms).
        // The instances are gone 60 s after their last use.
        let fleet = replay(rules(), &[0, 50, 110, 60_120, 120_131], 120_200);
        assert_eq!((fleet.record().requests, fleet.record().cold, fleet.record().started), (5, 3, 3));
        assert_eq!(fleet.record().timeline.peak(), 2);
        // 110 + 110 + 10 + 10 + 110: init and service are rounded as one sum.
        assert_eq!(fleet.billed().on_demand_ms, 350);
    }

    #[test]
    fn time_is_billed_by_the_rounded_sum() {
        let init = Rules { init: Draw::Fixed(Micros(100_770)), ..rules() };
        let mut fleet = Fleet::new(init, 1).unwrap();
        fleet.arrive(Micros::ZERO, Micros(250_060));
        assert_eq!(fleet.billed().on_demand_ms, 351);
    }

    #[test]
    fn the_most_recently_used_is_taken_so_that_others_go() {
        // Two instances at first. Then one at a time is enough, and after a minute the other is gone.
        let arrivals: Vec<u64> = [0, 0].into_iter().chain((1..=20).map(|n| n * 10_000)).collect();
        let fleet = replay(rules(), &arrivals, 200_000);
        assert_eq!((fleet.record().cold, fleet.alive()), (2, 1));
    }

    #[test]
    fn provisioned_instances_come_first_and_stay() {
        // The third of three concurrent requests is on demand and ends last. So its instance is the most recently used,
        // and still it is not the one taken after 20 s.
        let arrivals = [0, 0, 0, 20_000, 500_000, 500_000];
        let fleet = replay(Rules { provisioned: 2, ..rules() }, &arrivals, 600_000);
        assert_eq!((fleet.record().cold, fleet.alive()), (1, 2));
        assert_eq!((fleet.billed().provisioned_ms, fleet.billed().on_demand_ms), (50, 110));
    }

    #[test]
    fn pings_keep_as_many_warm_as_come_at_once() {
        let pings = |count| Some(Pings { every: Micros(30_000_000), count, service: Micros::from_ms(1.0) });
        let fleet = replay(Rules { pings: pings(1), ..rules() }, &[500_000, 500_000], 510_000);
        assert_eq!((fleet.record().requests, fleet.record().cold, fleet.billed().pings), (2, 1, 18));
        let fleet = replay(Rules { pings: pings(2), ..rules() }, &[500_000, 500_000], 510_000);
        assert_eq!((fleet.record().cold, fleet.billed().pings), (0, 36));
    }

    #[test]
    fn many_at_a_time_share_an_instance_and_wait_for_the_rest_of_its_start() {
        let isolates = Rules { concurrency: 2, ..rules() };
        let mut fleet = Fleet::new(isolates, 1).unwrap();
        let waits = [0, 40, 60, 100, 105, 125].map(|ms| {
            let now = Micros(ms * 1000);
            fleet.advance(now);
            fleet.serve(now, Micros::from_ms(10.0), false).ms()
        });
        // The first starts an instance, and the second waits for the rest of that start. The third finds it full and
        // starts another, for which the fourth waits too. The fifth finds both full. The sixth finds room in the first
        // instance.
        assert_eq!(waits, [100.0, 60.0, 100.0, 60.0, 100.0, 0.0]);
        assert_eq!(fleet.alive(), 3);
    }

    #[test]
    fn each_location_has_its_own() {
        let arrivals: Vec<u64> = (0..1000).map(|n| 500 * n).collect();
        let fleet = replay(Rules { locations: 7, ..rules() }, &arrivals, 500_000);
        assert_eq!((fleet.record().cold, fleet.record().timeline.peak()), (7, 7));
    }
}
