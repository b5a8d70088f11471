//! One run: what happens in which order, and what is checked when.

use std::cell::Cell;
use std::rc::Rc;

use isotherm_core::{Millis, Tenant};

use crate::clients::Clients;
use crate::fibers::Fibers;
use crate::platform::{Platform, Stores as _};
use crate::reports::{Report, Rows};
use crate::world::{DAY, Figures, HOUR, MINUTE, Retention, SECOND, TENANTS, World};

/// How long a run is. One in six is longer than events are kept. The rest are shorter, so that more of them fit.
const LONG: u64 = 100 * DAY;
const SHORT: u64 = 20 * DAY;
/// The average time between two steps, besides what each platform does by itself.
const GAP: u64 = 10 * HOUR;
/// A thing that happens once in a run begins in each step with a chance of one in this many.
const STEPS: u64 = 80;
/// After this many windows with events, all shards are folded as far as they can be.
const WINDOWS: u64 = 8;
/// A store that wakes this often without time passing is never quiet.
const WAKES: usize = 20_000;

/// The kinds of flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Much {
    Events,
    Bytes,
}

struct Run<P> {
    world: Rc<World>,
    platform: Rc<P>,
    clients: Rc<Clients>,
    fibers: Fibers,
    /// The flood to come, which comes once.
    much: Option<Much>,
}

/// Runs a seed. The error is the rule that was broken.
pub(crate) fn run<P: Platform>(seed: u64, traces: bool) -> Result<Figures, String> {
    // Without a retention by type, all events of a flood expire at once.
    let retention: Retention = if seed.is_multiple_of(200) { &[] } else { P::RETENTION };
    let world = World::new(seed, P::SHARDS, retention, traces);
    let (platform, clients) = (Rc::new(P::new(&world)), Rc::new(Clients::new(&world)));
    // Floods come in few runs, since each takes as long as many runs without one.
    let much = match seed % 100 {
        // A store with a stream has no bound behind a watermark. There a flood tests the limits of transactions.
        0 | 2..5 if platform.window().is_some() => None,
        0 => Some(Much::Events),
        1..5 => Some(Much::Bytes),
        _ => None,
    };
    let mut run = Run { world, platform, clients, fibers: Fibers::new(), much };
    run.play();
    match run.world.violation() {
        Some(rule) => Err(rule),
        None => Ok(*run.world.figures.borrow()),
    }
}

impl<P: Platform> Run<P> {
    fn play(&mut self) {
        let length = if self.much == Some(Much::Events) || self.world.one_in(6) { LONG } else { SHORT };
        let end = self.world.now().0 + length + self.world.below(10 * DAY);
        let (loses_keys, mut loses_retention) = (self.world.one_in(4), self.world.one_in(2));
        self.world.faults.are_on.set(true);
        while self.world.now().0 < end && self.world.violation().is_none() {
            let gap = if self.world.one_in(3) { self.world.below(10 * SECOND) } else { self.world.below(3 * GAP) };
            self.pass(gap);
            self.happen();
            self.platform.stores().check_bounds();
            // A flood of events comes early, so that they expire within the run.
            if self.much == Some(Much::Events) || self.world.one_in(STEPS) {
                self.much.take().into_iter().for_each(|much| self.send_much(much));
            }
            if loses_keys && self.world.one_in(STEPS) {
                // A request that is under way would be answered 401.
                self.work(usize::MAX);
                self.world.say(|| "a tenant's keys are removed".to_owned());
                self.world.remove_keys();
            }
            if loses_retention && self.much.is_none() && self.world.one_in(STEPS) {
                self.world.say(|| "all event types are kept equally long from now on".to_owned());
                self.world.remove_retention();
                loses_retention = false;
            }
        }
        self.be_quiet();
        self.platform.stores().check_compaction(&self.clients);
        self.rest();
    }

    /// Makes something happen.
    fn happen(&mut self) {
        let (clients, platform, process) =
            (Rc::clone(&self.clients), Rc::clone(&self.platform), self.platform.process());
        let faults = &self.world.faults;
        match self.world.below(40) {
            0..16 => self.fibers.start(process, clients.send_some(platform)),
            16..20 => self.fibers.start(process, clients.look_up(platform)),
            20..24 => {
                let report = self.any_report();
                self.fibers.start(process, clients.ask(platform, report));
            }
            24 => self.end(),
            25 => self.fail("the disk", &faults.disk),
            26 => self.fail("the bucket", &faults.bucket),
            27 => self.fail("reading of rollups", &faults.rollups),
            28..30 => self.be_quiet(),
            32 => self.damage(),
            33 => self.stick(),
            _ => {}
        }
        self.work(self.world.below(30) as usize);
    }

    fn any_report(&self) -> Report {
        let tenant = TENANTS[self.world.below(self.world.service().tenants().len() as u64) as usize];
        let rows = Rows::ALL[self.world.below(Rows::ALL.len() as u64) as usize];
        Report::any(&self.world, tenant, rows, self.world.one_in(2))
    }

    /// Makes something fail for a while: mostly for minutes, sometimes for hours.
    fn fail(&self, name: &str, fault: &Cell<Millis>) {
        let longest = if self.world.one_in(4) { 3 * HOUR } else { 10 * MINUTE };
        let lasts = self.world.below(longest);
        fault.set(Millis(self.world.now().0 + lasts));
        self.world.say(|| format!("{name} fails for {} min", lasts / MINUTE));
    }

    /// Overwrites some page.
    fn damage(&self) {
        if !self.world.one_in(4) {
            return;
        }
        if let Some(tenant) = self.platform.stores().damage() {
            self.world.say(|| format!("a page of {tenant} is damaged"));
            self.world.faults.damaged.borrow_mut().insert(tenant);
        }
    }

    /// From now on one tenant's days can't be compacted.
    fn stick(&self) {
        if self.world.one_in(8) {
            let tenant = TENANTS[self.world.below(TENANTS.len() as u64) as usize];
            self.world.say(|| format!("the days of {tenant} can't be compacted any more"));
            *self.world.faults.stuck.borrow_mut() = Tenant::parse(tenant.to_owned()).ok();
        }
    }

    /// Sends more bytes than a store has room for behind its watermark, while nothing can be folded; or more events
    /// in some minutes than the store deletes in one task.
    fn send_much(&mut self, much: Much) {
        self.world.say(|| format!("much is sent: {much:?}"));
        let requests = match much {
            Much::Bytes => 24,
            Much::Events => 120,
        };
        if much == Much::Bytes || self.world.one_in(2) {
            self.world.faults.rollups.set(Millis(self.world.now().0 + HOUR));
        }
        for _ in 0..requests {
            let (clients, platform, process) =
                (Rc::clone(&self.clients), Rc::clone(&self.platform), self.platform.process());
            match much {
                Much::Bytes => self.fibers.start(process, clients.send_large(platform)),
                Much::Events => self.fibers.start(process, clients.send_many(platform)),
            }
            self.work(40);
            self.pass(SECOND);
            self.platform.stores().check_bounds();
        }
        self.be_quiet();
    }

    /// Ends a process, one that is working if there is any.
    fn end(&mut self) {
        let working = self.fibers.process(self.world.below(self.fibers.len() as u64) as usize);
        let process = working.unwrap_or_else(|| self.platform.process());
        let before = self.fibers.len();
        self.platform.end(process, &mut self.fibers);
        let mut figures = self.world.figures.borrow_mut();
        figures.crashes += 1;
        figures.unanswered += (before - self.fibers.len()) as u64;
        drop(figures);
        self.world.say(|| format!("{process:?} ends"));
    }

    /// Polls the running work this many times.
    fn work(&mut self, steps: usize) {
        for _ in 0..steps {
            if self.fibers.len() == 0 {
                self.wake_if_due();
            }
            if self.fibers.len() == 0 {
                return;
            }
            self.step();
        }
    }

    fn step(&mut self) {
        let index = self.world.below(self.fibers.len() as u64) as usize;
        self.fibers.go_on(index);
        self.wake_if_due();
        self.world.pass_to(Millis(self.world.now().0 + self.world.below(3)));
        if self.world.fails_one_in(300) {
            self.end();
        }
    }

    fn wake_if_due(&mut self) {
        if self.platform.wakes_at().is_some_and(|at| at <= self.world.now()) {
            self.platform.wake(&mut self.fibers);
        }
    }

    /// Lets time pass. Platforms do what they do by themselves.
    fn pass(&mut self, milliseconds: u64) {
        if milliseconds > MINUTE {
            // No running work takes longer than this.
            self.work(usize::MAX);
        }
        let until = Millis(self.world.now().0 + milliseconds);
        let (mut at, mut wakes) = (self.world.now(), 0);
        while self.world.violation().is_none() {
            let Some(wakes_at) = self.platform.wakes_at().filter(|wakes_at| *wakes_at <= until) else { break };
            self.world.pass_to(wakes_at);
            self.platform.wake(&mut self.fibers);
            // After midnight, late events come while days are compacted. Others come while shards close.
            let opened_at = self.platform.shard_opened_at();
            let age = opened_at.map_or(u64::MAX, |opened_at| self.world.now().0 - opened_at.0);
            if (self.world.now().0 % DAY < HOUR || age < 5 * SECOND) && self.world.fails_one_in(6) {
                let (clients, platform) = (Rc::clone(&self.clients), Rc::clone(&self.platform));
                self.fibers.start(self.platform.process(), clients.send_some(platform));
                self.work(12);
                self.platform.wake(&mut self.fibers);
            }
            self.work(usize::MAX);
            // Where reports trail, a report may count too much for a moment only. So reports are asked for here too.
            if self.platform.window().is_some() && self.world.fails_one_in(if age < 5 * MINUTE { 12 } else { 80 }) {
                let (clients, platform) = (Rc::clone(&self.clients), Rc::clone(&self.platform));
                let report = Report { rows: Rows::Days, ..self.any_report() };
                self.fibers.start(self.platform.process(), clients.ask(platform, report));
                self.work(usize::MAX);
            }
            wakes += 1;
            if self.world.now().0 > at.0 + SECOND {
                (at, wakes) = (self.world.now(), 0);
            } else if wakes > WAKES {
                self.world.violated("maintenance never sleeps".to_owned());
            }
        }
        self.world.pass_to(until);
    }

    /// Lets everything work again for a while. After that nothing may be left to fold, and answers must equal a
    /// recount.
    fn be_quiet(&mut self) {
        self.world.say(|| "faults end".to_owned());
        self.world.faults.end();
        self.work(usize::MAX);
        self.pass(P::CALM);
        self.check_fresh();
        self.platform.stores().check_folded();
        for tenant in TENANTS.iter().take(self.world.service().tenants().len()) {
            let rows = Rows::ALL[self.world.below(Rows::ALL.len() as u64) as usize];
            let report = Report::any(&self.world, tenant, rows, self.world.one_in(2));
            let (clients, platform) = (Rc::clone(&self.clients), Rc::clone(&self.platform));
            self.fibers.start(self.platform.process(), clients.ask_quietly(platform, report));
            self.work(usize::MAX);
        }
        let (clients, platform) = (Rc::clone(&self.clients), Rc::clone(&self.platform));
        self.fibers.start(self.platform.process(), clients.send_expired_again(platform));
        self.work(usize::MAX);
        self.world.say(|| "faults begin".to_owned());
        self.world.faults.are_on.set(true);
    }

    /// Checks platforms whose reports trail. While some events come in each window, `asOf` must be within a few
    /// windows. Then those events are folded too.
    fn check_fresh(&mut self) {
        let Some(window) = self.platform.window() else { return };
        for _ in 0..WINDOWS {
            let (clients, platform) = (Rc::clone(&self.clients), Rc::clone(&self.platform));
            self.fibers.start(self.platform.process(), clients.send_some(platform));
            self.work(usize::MAX);
            self.pass(window);
        }
        let report = Report::any(&self.world, TENANTS[0], Rows::Days, false);
        let (clients, platform) = (Rc::clone(&self.clients), Rc::clone(&self.platform));
        self.fibers.start(self.platform.process(), clients.ask_for_fresh(platform, report, window));
        self.work(usize::MAX);
        self.pass(WINDOWS * window);
    }

    /// Lets two days pass without faults and requests. All past days must be compacted, and answers must stay the
    /// same.
    fn rest(&mut self) {
        self.world.faults.end();
        self.pass(2 * DAY);
        let now = self.world.now();
        let over = Millis(now.0 - DAY - HOUR);
        self.platform.stores().check_compacted(over);
        self.be_quiet();
    }
}
