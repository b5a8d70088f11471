//! Instances that come with the requests and go when they have nothing to do: Lambda's environments with one request at a time, Workers'
//! isolates with many.
//!
//! The most recently used instance with room takes a request, at once; where there is none, a new one starts and the request waits for
//! it. Others that come while it starts and find room in it wait for the rest. An instance that has been idle for its keep-alive,
//! drawn anew for each idle period, is gone; an arrival in that very instant still finds it. Provisioned instances are there from the
//! start, are taken first and never go. What is alive (instances, requests under way) is all that is kept.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use anyhow::Result;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::simulate::draw::Draw;
use crate::simulate::record::{Record, Served};
use crate::simulate::time::Micros;

/// How instances come, serve and go.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rules {
    /// Requests that one instance takes at a time.
    pub concurrency: u32,
    /// Places that each have instances of their own; a request comes to one of them, each as likely.
    pub locations: u32,
    /// Instances that are always there.
    pub provisioned: u32,
    /// From a start to readiness.
    pub init: Draw,
    /// How long an instance stays idle before it goes.
    pub keep_alive: Draw,
    /// Requests that only keep instances warm.
    pub pings: Option<Pings>,
}

/// Requests that only keep instances warm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pings {
    /// How often.
    pub every: Micros,
    /// How many at once.
    pub count: u32,
    /// How long each keeps its instance busy.
    pub service: Micros,
}

/// What is billed of a fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Billed {
    /// Pings that were sent.
    pub pings: u64,
    /// Time of pings in instances on demand, as below.
    pub ping_ms: u64,
    /// Time of requests in instances on demand: the sum of init and service, each sum rounded up to 1 ms.
    pub on_demand_ms: u64,
    /// Time in provisioned instances, each request's and ping's rounded up to 1 ms.
    pub provisioned_ms: u64,
}

#[derive(Debug)]
struct Instance {
    location: u32,
    /// Requests in it.
    active: u32,
    ready_at: Micros,
    /// Its place in [`Fleet::open`].
    recency: u64,
    /// When it goes unless a request comes: while it is idle.
    expires: Micros,
    is_provisioned: bool,
}

/// A request under way: when it ends, and in which instance.
type Ending = Reverse<(Micros, u32)>;

/// Provisioned instances are more recent than all others: they are taken first.
const PROVISIONED: u64 = 1 << 63;

/// The instances of one policy.
#[derive(Debug)]
pub(super) struct Fleet {
    rules: Rules,
    rng: Pcg64Mcg,
    /// Places in it are reused: it is as long as there ever were instances at once.
    instances: Vec<Instance>,
    vacant: Vec<u32>,
    /// Instances with room, by location, the most recently used last.
    open: BTreeMap<(u32, u64), u32>,
    /// Idle instances, by when they go.
    expiring: BTreeSet<(Micros, u32)>,
    endings: BinaryHeap<Ending>,
    uses: u64,
    next_ping: Micros,
    billed: Billed,
    record: Record,
}

impl Fleet {
    pub(super) fn new(rules: Rules, seed: u64) -> Result<Self> {
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

    /// A request comes. Requests come in the order of time.
    pub(super) fn arrive(&mut self, now: Micros, service: Micros) {
        self.ping_until(now);
        self.advance(now);
        let wait = self.serve(now, service, false);
        let has_waited = wait > Micros::ZERO;
        self.record.count(Served { at: now, latency: wait + service, is_cold: has_waited, has_waited });
        let states = self.instances.len() + self.endings.len() + self.open.len() + self.expiring.len();
        self.record.states = self.record.states.max(states);
    }

    /// The trace is over.
    pub(super) fn finish(&mut self, end: Micros) {
        self.ping_until(end);
        self.advance(end);
        self.record.timeline.advance(end);
    }

    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    pub(super) fn billed(&self) -> Billed {
        self.billed
    }

    /// Requests under way.
    #[cfg(test)]
    pub(super) fn busy(&self) -> usize {
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

    /// Lets all happen that happens until `now`: what ends makes room at that very instant, what goes is still there then.
    pub(super) fn advance(&mut self, now: Micros) {
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

    /// Gives a request to an instance, and returns how long it waits for it.
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

    /// Has room from now on, and is the most recently used.
    fn open(&mut self, id: u32) {
        self.uses += 1;
        let instance = &mut self.instances[id as usize];
        instance.recency = self.uses | if instance.is_provisioned { PROVISIONED } else { 0 };
        self.open.insert((instance.location, instance.recency), id);
    }

    /// A request ends.
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

    /// An instance goes.
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

    /// A fleet after arrivals at so many milliseconds with a service of 10 ms.
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
        // Cold, cold beside it, warm once the first is free (at 110 ms), and gone 60 s after its last use.
        let fleet = replay(rules(), &[0, 50, 110, 60_120, 120_131], 120_200);
        assert_eq!((fleet.record().requests, fleet.record().cold, fleet.record().started), (5, 3, 3));
        assert_eq!(fleet.record().timeline.peak(), 2);
        // 110 + 110 + 10 + 10 + 110: init and service are one sum.
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
        // Two instances at first; afterwards one at a time is enough, and after a minute the other is gone.
        let arrivals: Vec<u64> = [0, 0].into_iter().chain((1..=20).map(|n| n * 10_000)).collect();
        let fleet = replay(rules(), &arrivals, 200_000);
        assert_eq!((fleet.record().cold, fleet.alive()), (2, 1));
    }

    #[test]
    fn provisioned_instances_come_first_and_stay() {
        // The third at once is on demand, and the last to end: the most recently used, and still not the one that is taken after 20 s.
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
        // The first starts one; the second waits for the rest; the third finds it full and starts another; so does the fourth, which waits
        // for the rest of that; the fifth finds both full; the sixth finds room in the first.
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
