use super::*;
use crate::maintenance::intake::Intake;
use crate::maintenance::retry::{LONGEST_RETRY, RETRY};
use crate::rollups::key::Day;

const NOW: Millis = Millis(1_763_690_000_000);
const FULL: Load = Load { events: 2048, bytes: 2048 };
const DAY: u64 = 24 * ROUND;

fn later(milliseconds: u64) -> Millis {
    after(NOW, milliseconds)
}

/// A machine with nothing to do for a round.
fn idle() -> Maintenance {
    Maintenance::new(Pace::SERVER, Held { looked_at: NOW, ..Held::default() }, NOW)
}

fn holding(events: usize) -> Held {
    Held { unfolded: Load { events, bytes: events }, oldest: NOW, looked_at: NOW, ..Held::default() }
}

fn day(name: &str) -> (Tenant, KeyRange) {
    (Tenant::parse(name.to_owned()).unwrap(), KeyRange::of_manifests(Day(15_000), Day(15_001)))
}

fn compact(name: &str) -> Next {
    let (tenant, manifest) = day(name);
    Next::Do(Task::Compact { tenant, manifest })
}

fn is_fold(next: &Next) -> bool {
    matches!(next, Next::Do(Task::Fold { .. }))
}

fn is_expiry(next: &Next) -> bool {
    matches!(next, Next::Do(Task::Expire { .. }))
}

#[track_caller]
fn check_folds(maintenance: &Maintenance, now: Millis) {
    assert!(is_fold(&maintenance.next(now)), "{:?}", maintenance.next(now));
}

fn fail(maintenance: &mut Maintenance, now: Millis) {
    let Next::Do(task) = maintenance.next(now) else { panic!("nothing to do") };
    maintenance.failed(&task, now);
}

/// A store with this many expired events and days that are over.
struct Store {
    held: Held,
    expired: usize,
    days: Vec<(Tenant, KeyRange)>,
}

impl Store {
    fn do_task(&mut self, maintenance: &mut Maintenance, now: Millis) -> bool {
        let Next::Do(task) = maintenance.next(now) else { return false };
        let outcome = match task {
            Task::Count => Outcome::Counted(self.held),
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
            Task::NoteRound { began } => {
                self.held.looked_at = began;
                Outcome::Done
            }
        };
        maintenance.done(outcome, now);
        true
    }
}

#[test]
fn a_store_that_cannot_be_counted_at_first_is_counted_later_though_no_event_comes() {
    let mut maintenance = Maintenance::unread(Pace::SERVER, NOW);
    assert!(is_expiry(&maintenance.next(NOW)), "nothing waits for the count");
    maintenance.done(Outcome::Expired(0), NOW);
    maintenance.done(Outcome::Found(vec![]), NOW);
    maintenance.done(Outcome::Done, NOW);
    assert_eq!(maintenance.next(NOW), Next::SleepUntil(later(RETRY)));
    assert_eq!(maintenance.next(later(RETRY)), Next::Do(Task::Count));
    fail(&mut maintenance, later(RETRY));
    let then = later(3 * RETRY);
    assert_eq!(maintenance.next(later(RETRY)), Next::SleepUntil(then));
    maintenance.done(Outcome::Counted(Held { unfolded: FULL, oldest: NOW, ..Held::default() }), then);
    check_folds(&maintenance, then);
    maintenance.done(Outcome::Folded(FULL), then);
    assert_eq!(maintenance.next(then), Next::SleepUntil(later(ROUND)));
}

#[test]
fn few_events_are_folded_after_a_while_and_many_at_once() {
    let mut maintenance = idle();
    assert_eq!(maintenance.next(NOW), Next::SleepUntil(later(ROUND)));
    maintenance.stored(Load { events: 1, bytes: 200 }, later(5));
    maintenance.stored(Load { events: 1, bytes: 200 }, later(900));
    assert_eq!(maintenance.next(later(900)), Next::SleepUntil(later(5005)));
    check_folds(&maintenance, later(5005));
    maintenance.stored(FULL, later(901));
    check_folds(&maintenance, later(901));
    maintenance.done(Outcome::Folded(FULL), later(902));
    assert_eq!(maintenance.next(later(903)), Next::SleepUntil(later(5902)));
}

#[test]
fn events_have_waited_since_they_came_whichever_machine_waits() {
    let maintenance = Maintenance::new(Pace::shard(4), holding(1), later(9000));
    assert_eq!(maintenance.next(later(9000)), Next::SleepUntil(later(10_000)));
}

#[test]
fn a_fold_with_much_to_write_makes_the_next_ones_smaller_for_a_while() {
    let mut maintenance = idle();
    maintenance.stored(Load { events: 100_000, bytes: 100_000 }, NOW);
    let mut sizes = Vec::new();
    for taken in [3, 6, 12] {
        maintenance.done(Outcome::Folded(Load { events: taken, bytes: taken }), NOW);
        let Next::Do(Task::Fold { events, .. }) = maintenance.next(NOW) else { panic!("nothing to fold") };
        sizes.push(events);
    }
    assert_eq!(sizes, [6, 12, 24]);
}

#[test]
fn a_fold_with_little_to_fold_does_not_make_the_next_one_smaller() {
    let mut maintenance = idle();
    for events in [3, 1, 0] {
        let load = Load { events, bytes: events };
        maintenance.stored(load, NOW);
        maintenance.done(Outcome::Folded(load), NOW);
    }
    maintenance.stored(FULL, NOW);
    assert_eq!(maintenance.next(NOW), Next::Do(Task::Fold { events: 2048, bytes: 2 << 20 }));
}

#[test]
fn what_a_cut_fold_leaves_has_waited_already() {
    let mut maintenance = idle();
    maintenance.stored(Load { events: 10, bytes: 10 }, NOW);
    maintenance.done(Outcome::Folded(Load { events: 4, bytes: 4 }), later(5000));
    check_folds(&maintenance, later(5000));
}

#[test]
fn a_store_with_nothing_to_fold_is_believed() {
    let mut maintenance = idle();
    maintenance.stored(FULL, NOW);
    maintenance.done(Outcome::Folded(Load::default()), NOW);
    assert_eq!(maintenance.next(NOW), Next::SleepUntil(later(ROUND)));
}

#[test]
fn all_that_has_expired_goes_in_one_round_however_much_it_is() {
    let mut maintenance = Maintenance::new(Pace::SERVER, Held::default(), NOW);
    let mut store = Store { held: Held::default(), expired: 10_000_000, days: vec![] };
    let tasks = (0..2000).take_while(|_| store.do_task(&mut maintenance, NOW)).count();
    assert_eq!((store.expired, store.held.looked_at), (0, NOW));
    assert!(tasks < 1100, "{tasks}");
    assert_eq!(maintenance.next(NOW), Next::SleepUntil(later(ROUND)));
}

#[test]
fn what_fails_holds_up_nothing_else() {
    let mut maintenance = Maintenance::new(Pace::SERVER, Held { looked_at: Millis(0), ..holding(2048) }, NOW);
    check_folds(&maintenance, NOW);
    fail(&mut maintenance, NOW);
    assert!(is_expiry(&maintenance.next(NOW)));
    fail(&mut maintenance, NOW);
    assert_eq!(maintenance.next(NOW), Next::Do(Task::FindDays));
    maintenance.done(Outcome::Found(vec![day("a"), day("b")]), NOW);
    assert_eq!(maintenance.next(NOW), compact("b"));
    fail(&mut maintenance, NOW);
    assert_eq!(maintenance.next(NOW), compact("a"));
    maintenance.done(Outcome::Done, NOW);
    assert_eq!(maintenance.next(NOW), Next::SleepUntil(later(RETRY)));
    check_folds(&maintenance, later(RETRY));
}

#[test]
fn expiry_that_fails_for_days_stops_no_compaction_and_is_not_put_off_by_a_new_machine() {
    let mut maintenance = Maintenance::new(Pace::SERVER, Held::default(), NOW);
    let (mut now, mut searches) = (NOW, 0);
    while now < later(2 * DAY) {
        match maintenance.next(now) {
            Next::Do(task @ Task::Expire { .. }) => maintenance.failed(&task, now),
            Next::Do(Task::FindDays) => {
                searches += 1;
                maintenance.done(Outcome::Found(vec![]), now);
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
    let maintenance = Maintenance::new(Pace::SERVER, Held::default(), now);
    assert!(is_expiry(&maintenance.next(now)));
}

#[test]
fn folding_expiry_and_compaction_take_turns() {
    let mut maintenance = Maintenance::new(Pace::SERVER, Held::default(), NOW);
    let mut store = Store { held: Held::default(), expired: 1_000_000, days: vec![day("a"); 30] };
    let mut folds = 0;
    for _ in 0..100 {
        maintenance.stored(FULL, NOW);
        store.held.unfolded = store.held.unfolded + FULL;
        folds += usize::from(is_fold(&maintenance.next(NOW)));
        assert!(store.do_task(&mut maintenance, NOW));
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
            let mut maintenance = Maintenance::new(Pace::INSTANCE, store.held, NOW);
            let done = (0..tasks).take_while(|_| store.do_task(&mut maintenance, NOW)).count();
            if done <= 1 {
                break;
            }
        }
        assert_eq!((store.expired, store.days.len(), store.held.looked_at), (0, 0, NOW));
    }
}

#[test]
fn a_refreshed_machine_goes_on_with_what_it_has_begun() {
    let mut maintenance = Maintenance::new(Pace::INSTANCE, Held { looked_at: Millis(0), ..Held::default() }, NOW);
    maintenance.done(Outcome::Expired(0), NOW);
    maintenance.done(Outcome::Found(vec![day("a"), day("b")]), NOW);
    assert!(!maintenance.is_outdated(later(999)) && maintenance.is_outdated(later(1000)));
    maintenance.refresh(Held { unfolded: FULL, oldest: NOW, looked_at: Millis(0), ..Held::default() }, later(1000));
    assert!(!maintenance.is_outdated(later(1000)) && maintenance.has_whole_fold());
    maintenance.done(Outcome::Folded(FULL), later(1000));
    assert_eq!(maintenance.next(later(1000)), compact("b"));
}

#[test]
fn a_failure_is_tried_again_ever_later_and_at_least_each_minute() {
    let mut maintenance = idle();
    maintenance.stored(FULL, NOW);
    let mut now = NOW;
    let mut waits = Vec::new();
    for _ in 0..20 {
        fail(&mut maintenance, now);
        let Next::SleepUntil(until) = maintenance.next(now) else { panic!("it is tried again at once") };
        waits.push(until.0 - now.0);
        now = until;
    }
    assert_eq!(waits[..7], [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000]);
    assert!(waits[7..].iter().all(|wait| *wait == LONGEST_RETRY));
    maintenance.done(Outcome::Folded(FULL), now);
    maintenance.stored(FULL, now);
    check_folds(&maintenance, now);
}

#[test]
fn a_full_tail_takes_no_events_and_is_folded_at_once() {
    let shards = (1..=256).map(Pace::shard);
    for pace in shards.chain([Pace::SERVER, Pace::INSTANCE]) {
        for record in [200, 32 * 1024] {
            let mut maintenance = Maintenance::new(pace, Held { looked_at: NOW, ..Held::default() }, NOW);
            while maintenance.takes_events() {
                maintenance.stored(Load { events: 1, bytes: record }, NOW);
            }
            let Next::Do(Task::Fold { events, bytes }) = maintenance.next(NOW) else { panic!("nothing is folded") };
            let events = events.min(maintenance.unfolded.events).min(bytes.div_ceil(record));
            maintenance.done(Outcome::Folded(Load { events, bytes: events * record }), NOW);
            let next = maintenance.next(NOW);
            assert!(maintenance.takes_events() || is_fold(&next), "{next:?}");
        }
    }
}

#[test]
fn waiting_events_are_refused_only_while_no_task_can_make_room() {
    let held = Held { unfolded: Load { events: 1, bytes: Pace::SERVER.tail_bytes() }, ..holding(1) };
    let mut maintenance = Maintenance::new(Pace::SERVER, held, NOW);
    assert_eq!(maintenance.intake(NOW), Intake::AfterNextTask);
    fail(&mut maintenance, NOW);
    assert_eq!(maintenance.intake(NOW), Intake::Refuse);
    let Next::SleepUntil(until) = maintenance.next(NOW) else { panic!("it does not wait") };
    assert_eq!(maintenance.intake(until), Intake::AfterNextTask);
    maintenance.done(Outcome::Folded(held.unfolded), until);
    assert_eq!(maintenance.intake(until), Intake::Write);
}

/// An instance that has lost the race has folded nothing, so its count is that of the store.
#[test]
fn what_another_instance_has_folded_is_counted_anew() {
    let mut maintenance = Maintenance::new(Pace::INSTANCE, holding(1000), NOW);
    maintenance.begin_round(NOW);
    check_folds(&maintenance, NOW);
    maintenance.done(Outcome::Counted(holding(700)), NOW);
    assert_eq!(maintenance.condition(NOW).unfolded, Some(holding(700).unfolded));
    assert!(!is_fold(&maintenance.next(NOW)), "it has had its turn");
}

#[test]
fn the_tails_of_all_shards_leave_a_report_half_of_what_it_may_read() {
    assert!((1..=256).all(|shards| shards as usize * Pace::shard(shards).tail_bytes() <= READ_BYTES / 2));
    assert!(Load { events: 100_000, bytes: 0 }.budget_bytes() > 100_000 * 60);
}

#[test]
fn a_request_does_maintenance_only_when_there_is_a_whole_fold() {
    let mut maintenance = Maintenance::new(Pace::INSTANCE, Held { looked_at: NOW, ..Held::default() }, NOW);
    maintenance.stored(Load { events: 511, bytes: 1 }, NOW);
    assert!(!maintenance.has_whole_fold());
    maintenance.stored(Load { events: 1, bytes: 1 }, NOW);
    assert!(maintenance.has_whole_fold());
}

#[test]
fn a_clock_that_went_back_stops_nothing() {
    let ahead = later(1_000_000 * ROUND);
    let held = Held { looked_at: ahead, ..Held::default() };
    assert_eq!(Maintenance::new(Pace::SERVER, held, NOW).next(NOW), Next::SleepUntil(later(ROUND)));
    let mut maintenance = Maintenance::new(Pace::SERVER, held, ahead);
    maintenance.stored(FULL, ahead);
    fail(&mut maintenance, ahead);
    assert!(is_expiry(&maintenance.next(NOW)));
    maintenance.done(Outcome::Expired(0), NOW);
    check_folds(&maintenance, NOW);
    maintenance.done(Outcome::Folded(FULL), NOW);
    assert_eq!(maintenance.next(NOW), Next::Do(Task::FindDays));
}

#[test]
fn a_round_takes_a_second_at_least() {
    let mut maintenance = Maintenance::new(Pace::SERVER.with_round(Millis(0)), Held::default(), NOW);
    let mut store = Store { held: Held::default(), expired: 0, days: vec![] };
    let tasks = (0..100).take_while(|_| store.do_task(&mut maintenance, NOW)).count();
    assert_eq!((tasks, maintenance.next(NOW)), (3, Next::SleepUntil(later(1000))));
}

#[test]
fn a_round_takes_half_a_day_at_most_so_that_events_are_deleted_within_a_day() {
    let held = Held { looked_at: NOW, ..Held::default() };
    let maintenance = Maintenance::new(Pace::SERVER.with_round(Millis(7 * DAY)), held, NOW);
    assert_eq!(maintenance.next(NOW), Next::SleepUntil(later(DAY / 2)));
}

#[test]
fn an_operator_begins_a_round_whenever_the_last_one_was() {
    let mut maintenance = idle();
    maintenance.begin_round(NOW);
    let mut store = Store { held: Held::default(), expired: 1, days: vec![day("a")] };
    assert_eq!((0..100).take_while(|_| store.do_task(&mut maintenance, NOW)).count(), 5);
    assert_eq!((store.expired, store.days.len()), (0, 0));
}

#[test]
fn in_a_round_that_an_operator_begins_a_fold_that_is_due_comes_first() {
    let mut maintenance = idle();
    maintenance.done(Outcome::Folded(Load::default()), NOW);
    maintenance.stored(Load { events: 3, bytes: 3 }, NOW);
    let now = later(60_000);
    maintenance.begin_round(now);
    check_folds(&maintenance, now);
    maintenance.done(Outcome::Folded(Load { events: 3, bytes: 3 }), now);
    assert!(is_expiry(&maintenance.next(now)));
}

#[test]
fn a_store_that_has_had_events_out_of_order_goes_by_the_times_whatever_the_configuration_says_later() {
    let order = |maintenance: &Maintenance, now| match maintenance.next(now) {
        Next::Do(Task::Expire { order, .. }) => Some(order),
        _ => None,
    };
    let mut maintenance = idle();
    assert_eq!(order(&maintenance, later(ROUND)), Some(ExpiryOrder::Arrival));
    // The index is made at once, and not only in the next round.
    maintenance.set_pace(Pace::SERVER.with_expiry(ExpiryOrder::Time));
    assert_eq!(order(&maintenance, NOW), Some(ExpiryOrder::Time));
    maintenance.done(Outcome::Expired(0), NOW);
    maintenance.set_pace(Pace::SERVER);
    assert_eq!(order(&maintenance, NOW), None);
    maintenance.done(Outcome::Found(vec![]), later(ROUND));
    assert_eq!(order(&maintenance, later(ROUND)), Some(ExpiryOrder::Time));
    // A machine that is made anew learns it from the store, and so does one whose store another instance shares.
    let held = Held { looked_at: NOW, expiry: ExpiryOrder::Time, ..Held::default() };
    let mut shared = idle();
    shared.refresh(held, NOW);
    for maintenance in [Maintenance::new(Pace::SERVER, held, NOW), shared] {
        assert_eq!(order(&maintenance, later(ROUND)), Some(ExpiryOrder::Time));
    }
}

#[test]
fn a_machine_goes_on_at_the_pace_of_another_configuration() {
    let bytes = READ_BYTES / 2 / 8;
    let held = Held { unfolded: Load { events: 1, bytes }, ..holding(1) };
    let mut maintenance = Maintenance::new(Pace::shard(1), held, NOW);
    assert!(maintenance.takes_events());
    maintenance.set_pace(Pace::shard(16));
    assert!(!maintenance.takes_events());
    maintenance.set_pace(Pace::shard(1));
    assert!(maintenance.takes_events());
    // A fold of a server takes more events than one of a shard.
    let mut server = Maintenance::new(Pace::SERVER, holding(4096), NOW);
    server.set_pace(Pace::shard(1));
    assert_eq!(server.next(NOW), Next::Do(Task::Fold { events: 512, bytes: 512 << 10 }));
}

#[test]
fn a_server_folds_at_least_what_a_transaction_stores() {
    let Load { events, bytes } = crate::store::group_commit::share(1);
    assert!(Pace::SERVER.fold.events >= events && Pace::SERVER.fold.bytes >= bytes);
}
