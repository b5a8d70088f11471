//! What all parts of a run share: the clock, chance, current faults, and figures.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use isotherm_core::{Millis, Seconds, Service, Tenant, key_entry};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::truth::Truth;

pub(crate) const SECOND: u64 = 1000;
pub(crate) const MINUTE: u64 = 60 * SECOND;
pub(crate) const HOUR: u64 = 60 * MINUTE;
pub(crate) const DAY: u64 = 24 * HOUR;
/// Event types with the days for which they are kept.
pub(crate) type Retention = &'static [(&'static str, u64)];
/// Runs begin at 2025-01-01.
const START: u64 = 20_089 * DAY;

/// The tenants. Their names differ in length, and one is a prefix of another.
pub(crate) const TENANTS: [&str; 3] = ["acme", "acme-2", "b"];

/// One run.
pub(crate) struct World {
    now: Cell<u64>,
    rng: RefCell<Pcg64Mcg>,
    retention: Cell<Retention>,
    /// How many of the tenants have keys.
    keys: Cell<usize>,
    traces: bool,
    pub(crate) truth: RefCell<Truth>,
    pub(crate) faults: Faults,
    service: RefCell<Rc<Service>>,
    violation: RefCell<Option<String>>,
    pub(crate) figures: RefCell<Figures>,
}

/// The current faults.
#[derive(Default)]
pub(crate) struct Faults {
    /// True while a process may end at any pause, and a statement may fail.
    pub(crate) are_on: Cell<bool>,
    /// Nothing can be written until this time.
    pub(crate) disk: Cell<Millis>,
    /// No backup can be written until this time.
    pub(crate) bucket: Cell<Millis>,
    /// No rollups can be read until this time.
    pub(crate) rollups: Cell<Millis>,
    /// The tenant whose days can't be compacted, because one of their rows is damaged for good.
    pub(crate) stuck: RefCell<Option<Tenant>>,
    /// Tenants that have an overwritten page.
    pub(crate) damaged: RefCell<BTreeSet<String>>,
}

/// The figures of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Events that stores kept.
    pub events: u64,
    /// Requests of clients, reports among them.
    pub requests: u64,
    /// Requests and turns of maintenance that never finished, because their process had ended.
    pub unanswered: u64,
    /// Processes that ended.
    pub crashes: u64,
    /// Reports whose figures were compared with a recount of the events.
    pub reports: u64,
    /// Events that expired and were deleted.
    pub deleted: u64,
    /// Alarms of objects that rang late.
    pub late_rings: u64,
    /// Alarms of objects that rang once more, though their handler had ended.
    pub second_rings: u64,
    /// Alarms of objects that were given up, because their handler had ended early too often.
    pub given_up: u64,
    /// The most by which `asOf` trailed while nothing failed, in hundredths of a window.
    pub trails: u64,
    /// Simulated milliseconds.
    pub milliseconds: u64,
}

impl World {
    pub(crate) fn new(seed: u64, shards: u32, retention: Retention, traces: bool) -> Rc<Self> {
        let service = RefCell::new(Rc::new(service(shards, retention, &TENANTS)));
        Rc::new(Self {
            now: Cell::new(START),
            rng: RefCell::new(Pcg64Mcg::seed_from_u64(seed)),
            retention: Cell::new(retention),
            keys: Cell::new(TENANTS.len()),
            traces,
            truth: RefCell::default(),
            faults: Faults::default(),
            service,
            violation: RefCell::default(),
            figures: RefCell::default(),
        })
    }

    pub(crate) fn now(&self) -> Millis {
        Millis(self.now.get())
    }

    /// Moves the clock to this time, unless it is already later.
    pub(crate) fn pass_to(&self, Millis(then): Millis) {
        self.now.set(self.now.get().max(then));
        self.figures.borrow_mut().milliseconds = self.now.get() - START;
    }

    pub(crate) fn service(&self) -> Rc<Service> {
        Rc::clone(&self.service.borrow())
    }

    /// Removes the last tenant's keys. Its events stay.
    pub(crate) fn remove_keys(&self) {
        self.keys.set(TENANTS.len() - 1);
        self.configure();
    }

    /// Removes `retention` from the configuration. The expiry of earlier events stays.
    pub(crate) fn remove_retention(&self) {
        self.retention.set(&[]);
        self.configure();
    }

    fn configure(&self) {
        let shards = self.service().shards();
        *self.service.borrow_mut() = Rc::new(service(shards, self.retention(), &TENANTS[..self.keys.get()]));
    }

    pub(crate) fn retention(&self) -> Retention {
        self.retention.get()
    }

    /// A random number from 0 up to, but not including, `end`.
    pub(crate) fn below(&self, end: u64) -> u64 {
        self.rng.borrow_mut().random_range(0..end.max(1))
    }

    pub(crate) fn one_in(&self, cases: u64) -> bool {
        self.below(cases) == 0
    }

    /// True if a fault happens here.
    pub(crate) fn fails_one_in(&self, cases: u64) -> bool {
        self.faults.are_on.get() && self.one_in(cases)
    }

    /// True while this fault lasts.
    pub(crate) fn lasts(&self, until: &Cell<Millis>) -> bool {
        self.now() < until.get()
    }

    pub(crate) fn bits(&self) -> u128 {
        self.rng.borrow_mut().random()
    }

    /// Prints a line of the trace.
    pub(crate) fn say(&self, line: impl FnOnce() -> String) {
        if self.traces {
            let at = self.now.get() - START;
            let (day, hour, minute) = (at / DAY, at % DAY / HOUR, at % HOUR / MINUTE);
            println!("day {day:3} {hour:02}:{minute:02}:{:06.3}  {}", (at % MINUTE) as f64 / 1000.0, line());
        }
    }

    /// Notes that a rule is broken.
    pub(crate) fn violated(&self, rule: String) {
        self.say(|| format!("VIOLATED: {rule}"));
        self.violation.borrow_mut().get_or_insert(rule);
    }

    /// The first rule that was broken.
    pub(crate) fn violation(&self) -> Option<String> {
        self.violation.borrow().clone()
    }
}

impl Faults {
    /// Ends all faults, except permanent damage.
    pub(crate) fn end(&self) {
        self.are_on.set(false);
        for fault in [&self.disk, &self.bucket, &self.rollups] {
            fault.set(Millis(0));
        }
    }
}

/// The key of a tenant, as its clients send it.
pub(crate) fn key(tenant: &str) -> String {
    format!("a-key-that-is-long-enough-of-{tenant}")
}

fn service(shards: u32, retention: Retention, tenants: &[&str]) -> Service {
    let entry = |tenant: &&str| key_entry(&key(tenant), Some(tenant), tenant, "both", None).unwrap_or_default();
    let keys: Vec<String> = tenants.iter().map(entry).collect();
    let days: Vec<String> = retention.iter().map(|(event_type, days)| format!(r#""{event_type}":{days}"#)).collect();
    Service::from_text(Some(&format!(
        r#"{{"version":2,"shards":{shards},"retention":{{{}}},"keys":[{}]}}"#,
        days.join(","),
        keys.join(",")
    )))
}

/// The first moment of a second.
pub(crate) fn millis(Seconds(seconds): Seconds) -> Millis {
    Millis(seconds * 1000)
}

impl std::ops::Add for Figures {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            events: self.events + other.events,
            requests: self.requests + other.requests,
            unanswered: self.unanswered + other.unanswered,
            crashes: self.crashes + other.crashes,
            reports: self.reports + other.reports,
            deleted: self.deleted + other.deleted,
            late_rings: self.late_rings + other.late_rings,
            second_rings: self.second_rings + other.second_rings,
            given_up: self.given_up + other.given_up,
            trails: self.trails.max(other.trails),
            milliseconds: self.milliseconds + other.milliseconds,
        }
    }
}
