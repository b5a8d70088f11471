use super::*;
use crate::rollups::key::Day;

const NOW: Millis = Millis(1_763_690_000_000);
const FULL: Load = Load { events: 2048, bytes: 2048 };
const DAY: u64 = 24 * ROUND;

fn later(milliseconds: u64) -> Millis {
    after(NOW, milliseconds)
}

/// A machine with nothing to do for a round.
fn idle() -> Upkeep {
    Upkeep::new(Pace::SERVER, Held { looked_at: NOW, ..Held::default() }, NOW)
}

fn holding(events: usize) -> Held {
    Held { unfolded: Load { events, bytes: events }, oldest: NOW, looked_at: NOW }
}

fn day(name: &str) -> (Tenant, KeyRange) {
    (Tenant::parse(name.to_owned()).unwrap(), KeyRange::of_marks(Day(15_000), Day(15_001)))
}

fn compact(name: &str) -> Next {
    let (tenant, mark) = day(name);
    Next::Do(Task::Compact { tenant, mark })
}

fn is_fold(next: &Next) -> bool {
    matches!(next, Next::Do(Task::Fold { .. }))
}

fn is_expiry(next: &Next) -> bool {
    matches!(next, Next::Do(Task::Expire { .. }))
}

#[track_caller]
fn check_folds(upkeep: &Upkeep, now: Millis) {
    assert!(is_fold(&upkeep.next(now)), "{:?}", upkeep.next(now));
}

fn fail(upkeep: &mut Upkeep, now: Millis) {
    let Next::Do(task) = upkeep.next(now) else { panic!("nothing to do") };
    upkeep.failed(&task, now);
}

/// A store with this many expired events and days that are over.
struct Store {
    held: Held,
    expired: usize,
    days: Vec<(Tenant, KeyRange)>,
}

impl Store {
    fn do_task(&mut self, upkeep: &mut Upkeep, now: Millis) -> bool {
        let Next::Do(task) = upkeep.next(now) else { return false };
        let outcome = match task {
            Task::Fold { events, .. } => {
                let load = Load { events: events.min(self.held.unfolded.events), bytes: 0 };
                self.held.unfolded = self.held.unfolded - load;
                Outcome::Folded(load)
            }
            Task::Expire { among, .. } => {
                let events = among.min(self.expired);
                self.expired -= events;
                Outcome::Expired(events)
            }
            Task::FindDays => Outcome::Found(self.days.clone()),
            Task::Compact { .. } => {
                self.days.pop();
                Outcome::Done
            }
            Task::Keep { looked_at } => {
                self.held.looked_at = looked_at;
                Outcome::Done
            }
        };
        upkeep.done(outcome, now);
        true
    }
}

#[test]
fn few_events_are_folded_after_a_while_and_many_at_once() {
    let mut upkeep = idle();
    assert_eq!(upkeep.next(NOW), Next::SleepUntil(later(ROUND)));
    upkeep.stored(Load { events: 1, bytes: 200 }, later(5));
    upkeep.stored(Load { events: 1, bytes: 200 }, later(900));
    assert_eq!(upkeep.next(later(900)), Next::SleepUntil(later(5005)));
    check_folds(&upkeep, later(5005));
    upkeep.stored(FULL, later(901));
    check_folds(&upkeep, later(901));
    upkeep.done(Outcome::Folded(FULL), later(902));
    assert_eq!(upkeep.next(later(903)), Next::SleepUntil(later(5902)));
}

#[test]
fn events_have_waited_since_they_came_whichever_machine_waits() {
    let upkeep = Upkeep::new(Pace::shard(4), holding(1), later(9000));
    assert_eq!(upkeep.next(later(9000)), Next::SleepUntil(later(10_000)));
}

#[test]
fn a_fold_with_much_to_write_makes_the_next_ones_smaller_for_a_while() {
    let mut upkeep = idle();
    upkeep.stored(Load { events: 100_000, bytes: 100_000 }, NOW);
    let mut sizes = Vec::new();
    for taken in [3, 6, 12] {
        upkeep.done(Outcome::Folded(Load { events: taken, bytes: taken }), NOW);
        let Next::Do(Task::Fold { events, .. }) = upkeep.next(NOW) else { panic!("nothing to fold") };
        sizes.push(events);
    }
    assert_eq!(sizes, [6, 12, 24]);
}

#[test]
fn a_fold_with_little_to_fold_does_not_make_the_next_one_smaller() {
    let mut upkeep = idle();
    for events in [3, 1, 0] {
        let load = Load { events, bytes: events };
        upkeep.stored(load, NOW);
        upkeep.done(Outcome::Folded(load), NOW);
    }
    upkeep.stored(FULL, NOW);
    assert_eq!(upkeep.next(NOW), Next::Do(Task::Fold { events: 2048, bytes: 4 << 20 }));
}

#[test]
fn what_a_cut_fold_leaves_has_waited_already() {
    let mut upkeep = idle();
    upkeep.stored(Load { events: 10, bytes: 10 }, NOW);
    upkeep.done(Outcome::Folded(Load { events: 4, bytes: 4 }), later(5000));
    check_folds(&upkeep, later(5000));
}

#[test]
fn a_store_with_nothing_to_fold_is_believed() {
    let mut upkeep = idle();
    upkeep.stored(FULL, NOW);
    upkeep.done(Outcome::Folded(Load::default()), NOW);
    assert_eq!(upkeep.next(NOW), Next::SleepUntil(later(ROUND)));
}

#[test]
fn all_that_has_expired_goes_in_one_round_however_much_it_is() {
    let mut upkeep = Upkeep::new(Pace::SERVER, Held::default(), NOW);
    let mut store = Store { held: Held::default(), expired: 10_000_000, days: vec![] };
    let tasks = (0..2000).take_while(|_| store.do_task(&mut upkeep, NOW)).count();
    assert_eq!((store.expired, store.held.looked_at), (0, NOW));
    assert!(tasks < 1100, "{tasks}");
    assert_eq!(upkeep.next(NOW), Next::SleepUntil(later(ROUND)));
}

#[test]
fn what_fails_holds_up_nothing_else() {
    let mut upkeep = Upkeep::new(Pace::SERVER, Held { looked_at: Millis(0), ..holding(2048) }, NOW);
    check_folds(&upkeep, NOW);
    fail(&mut upkeep, NOW);
    assert!(is_expiry(&upkeep.next(NOW)));
    fail(&mut upkeep, NOW);
    assert_eq!(upkeep.next(NOW), Next::Do(Task::FindDays));
    upkeep.done(Outcome::Found(vec![day("a"), day("b")]), NOW);
    assert_eq!(upkeep.next(NOW), compact("b"));
    fail(&mut upkeep, NOW);
    assert_eq!(upkeep.next(NOW), compact("a"));
    upkeep.done(Outcome::Done, NOW);
    assert_eq!(upkeep.next(NOW), Next::SleepUntil(later(RETRY)));
    check_folds(&upkeep, later(RETRY));
}

#[test]
fn expiry_that_fails_for_days_stops_no_compaction_and_is_not_put_off_by_a_new_machine() {
    let mut upkeep = Upkeep::new(Pace::SERVER, Held::default(), NOW);
    let (mut now, mut searches) = (NOW, 0);
    while now < later(2 * DAY) {
        match upkeep.next(now) {
            Next::Do(task @ Task::Expire { .. }) => upkeep.failed(&task, now),
            Next::Do(Task::FindDays) => {
                searches += 1;
                upkeep.done(Outcome::Found(vec![]), now);
            }
            Next::Do(task) => panic!("{task:?}"),
            Next::SleepUntil(until) => {
                assert!(until > now, "it does not sleep");
                now = until;
            }
        }
    }
    assert_eq!(searches, 48);
    // None of these rounds was kept.
    let upkeep = Upkeep::new(Pace::SERVER, Held::default(), now);
    assert!(is_expiry(&upkeep.next(now)));
}

#[test]
fn folding_expiry_and_compaction_take_turns() {
    let mut upkeep = Upkeep::new(Pace::SERVER, Held::default(), NOW);
    let mut store = Store { held: Held::default(), expired: 1_000_000, days: vec![day("a"); 30] };
    let mut folds = 0;
    for _ in 0..100 {
        upkeep.stored(FULL, NOW);
        store.held.unfolded = store.held.unfolded + FULL;
        folds += usize::from(is_fold(&upkeep.next(NOW)));
        assert!(store.do_task(&mut upkeep, NOW));
    }
    assert_eq!(folds, 50);
    assert!(store.days.len() < 10 && store.expired < 800_000, "{} {}", store.days.len(), store.expired);
}

#[test]
fn a_machine_that_is_lost_after_each_turn_still_comes_to_the_end() {
    for tasks in [4, 5, 20] {
        let mut store = Store { held: Held::default(), expired: 100_000, days: vec![day("a"); 40] };
        for turn in 0.. {
            assert!(turn < 200, "it comes to no end");
            store.held = Held { looked_at: store.held.looked_at, ..holding(512) };
            let mut upkeep = Upkeep::new(Pace::INSTANCE, store.held, NOW);
            let done = (0..tasks).take_while(|_| store.do_task(&mut upkeep, NOW)).count();
            if done <= 1 {
                break;
            }
        }
        assert_eq!((store.expired, store.days.len(), store.held.looked_at), (0, 0, NOW));
    }
}

#[test]
fn a_refreshed_machine_goes_on_with_what_it_has_begun() {
    let mut upkeep = Upkeep::new(Pace::INSTANCE, Held { looked_at: Millis(0), ..Held::default() }, NOW);
    upkeep.done(Outcome::Expired(0), NOW);
    upkeep.done(Outcome::Found(vec![day("a"), day("b")]), NOW);
    assert!(!upkeep.is_outdated(later(999)) && upkeep.is_outdated(later(1000)));
    upkeep.refresh(Held { unfolded: FULL, oldest: NOW, looked_at: Millis(0) }, later(1000));
    assert!(!upkeep.is_outdated(later(1000)) && upkeep.has_whole_fold());
    upkeep.done(Outcome::Folded(FULL), later(1000));
    assert_eq!(upkeep.next(later(1000)), compact("b"));
}

#[test]
fn a_failure_is_tried_again_ever_later_and_at_least_each_minute() {
    let mut upkeep = idle();
    upkeep.stored(FULL, NOW);
    let mut now = NOW;
    let mut waits = Vec::new();
    for _ in 0..20 {
        fail(&mut upkeep, now);
        let Next::SleepUntil(until) = upkeep.next(now) else { panic!("it is tried again at once") };
        waits.push(until.0 - now.0);
        now = until;
    }
    assert_eq!(waits[..7], [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000]);
    assert!(waits[7..].iter().all(|wait| *wait == LONGEST_RETRY));
    upkeep.done(Outcome::Folded(FULL), now);
    upkeep.stored(FULL, now);
    check_folds(&upkeep, now);
}

#[test]
fn a_full_tail_takes_no_events_and_is_folded_at_once() {
    let shards = (1..=256).map(Pace::shard);
    for pace in shards.chain([Pace::SERVER, Pace::INSTANCE]) {
        for record in [200, 32 * 1024] {
            let mut upkeep = Upkeep::new(pace, Held { looked_at: NOW, ..Held::default() }, NOW);
            while upkeep.takes_events() {
                upkeep.stored(Load { events: 1, bytes: record }, NOW);
            }
            let Next::Do(Task::Fold { events, bytes }) = upkeep.next(NOW) else { panic!("nothing is folded") };
            let events = events.min(upkeep.unfolded.events).min(bytes.div_ceil(record));
            upkeep.done(Outcome::Folded(Load { events, bytes: events * record }), NOW);
            let next = upkeep.next(NOW);
            assert!(upkeep.takes_events() || is_fold(&next), "{next:?}");
        }
    }
}

#[test]
fn the_tails_of_all_shards_leave_a_report_half_of_what_it_may_read() {
    assert!((1..=256).all(|shards| shards as usize * Pace::shard(shards).tail_bytes() <= READ_BYTES / 2));
    assert!(Load { events: 100_000, bytes: 0 }.budget_bytes() > 100_000 * 60);
}

#[test]
fn a_request_does_upkeep_only_when_there_is_a_whole_fold() {
    let mut upkeep = Upkeep::new(Pace::INSTANCE, Held { looked_at: NOW, ..Held::default() }, NOW);
    upkeep.stored(Load { events: 511, bytes: 1 }, NOW);
    assert!(!upkeep.has_whole_fold());
    upkeep.stored(Load { events: 1, bytes: 1 }, NOW);
    assert!(upkeep.has_whole_fold());
}

#[test]
fn a_clock_that_went_back_stops_nothing() {
    let ahead = later(1_000_000 * ROUND);
    let held = Held { looked_at: ahead, ..Held::default() };
    assert_eq!(Upkeep::new(Pace::SERVER, held, NOW).next(NOW), Next::SleepUntil(later(ROUND)));
    let mut upkeep = Upkeep::new(Pace::SERVER, held, ahead);
    upkeep.stored(FULL, ahead);
    fail(&mut upkeep, ahead);
    assert!(is_expiry(&upkeep.next(NOW)));
    upkeep.done(Outcome::Expired(0), NOW);
    check_folds(&upkeep, NOW);
    upkeep.done(Outcome::Folded(FULL), NOW);
    assert_eq!(upkeep.next(NOW), Next::Do(Task::FindDays));
}

#[test]
fn a_round_takes_a_second_at_least() {
    let mut upkeep = Upkeep::new(Pace::SERVER.with_round(Millis(0)), Held::default(), NOW);
    let mut store = Store { held: Held::default(), expired: 0, days: vec![] };
    let tasks = (0..100).take_while(|_| store.do_task(&mut upkeep, NOW)).count();
    assert_eq!((tasks, upkeep.next(NOW)), (3, Next::SleepUntil(later(1000))));
}

#[test]
fn an_operator_begins_a_round_whenever_the_last_one_was() {
    let mut upkeep = idle();
    upkeep.begin_round(NOW);
    let mut store = Store { held: Held::default(), expired: 1, days: vec![day("a")] };
    assert_eq!((0..100).take_while(|_| store.do_task(&mut upkeep, NOW)).count(), 5);
    assert_eq!((store.expired, store.days.len()), (0, 0));
}

#[test]
fn in_a_round_that_an_operator_begins_a_fold_that_is_due_comes_first() {
    let mut upkeep = idle();
    upkeep.done(Outcome::Folded(Load::default()), NOW);
    upkeep.stored(Load { events: 3, bytes: 3 }, NOW);
    let now = later(60_000);
    upkeep.begin_round(now);
    check_folds(&upkeep, now);
    upkeep.done(Outcome::Folded(Load { events: 3, bytes: 3 }), now);
    assert!(is_expiry(&upkeep.next(now)));
}
