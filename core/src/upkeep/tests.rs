use super::*;
use crate::rollup::key::Day;

const NOW: Millis = Millis(1_763_690_000_000);
const FULL: Load = Load { events: 2048, bytes: 2048 };

fn after(milliseconds: u64) -> Millis {
    Millis(NOW.0 + milliseconds)
}

fn idle() -> Upkeep {
    Upkeep::new(Pace::SERVER, Held { looked_at: NOW, ..Held::default() }, NOW)
}

fn day(name: &str) -> (Tenant, KeyRange) {
    (Tenant::parse(name.to_owned()).unwrap(), KeyRange::of_marks(Day(15_000), Day(15_001)))
}

#[track_caller]
fn check_folds(upkeep: &Upkeep, now: Millis) {
    assert!(matches!(upkeep.next(now), Task::Fold { .. }), "{:?}", upkeep.next(now));
}

#[test]
fn few_events_are_folded_after_a_while_and_many_at_once() {
    let mut upkeep = idle();
    assert_eq!(upkeep.next(NOW), Task::Sleep { until: after(ROUND) });
    upkeep.stored(Load { events: 1, bytes: 200 }, after(5));
    upkeep.stored(Load { events: 1, bytes: 200 }, after(900));
    assert_eq!(upkeep.next(after(900)), Task::Sleep { until: after(5005) });
    check_folds(&upkeep, after(5005));
    upkeep.stored(FULL, after(901));
    check_folds(&upkeep, after(901));
    upkeep.done(Outcome::Folded(FULL), after(902));
    assert_eq!(upkeep.unfolded(), Load { events: 2, bytes: 400 });
    assert_eq!(upkeep.next(after(903)), Task::Sleep { until: after(5902) });
}

#[test]
fn a_fold_with_much_to_write_makes_the_next_ones_smaller_for_a_while() {
    let mut upkeep = idle();
    upkeep.stored(Load { events: 100_000, bytes: 100_000 }, NOW);
    let mut sizes = Vec::new();
    for taken in [3, 6, 12] {
        upkeep.done(Outcome::Folded(Load { events: taken, bytes: taken }), NOW);
        let Task::Fold { events, .. } = upkeep.next(NOW) else { panic!("nothing to fold") };
        sizes.push(events);
    }
    assert_eq!(sizes, [6, 12, 24]);
}

#[test]
fn a_store_with_nothing_to_fold_is_believed() {
    let mut upkeep = idle();
    upkeep.stored(FULL, NOW);
    upkeep.done(Outcome::Folded(Load::default()), NOW);
    assert_eq!(upkeep.next(NOW), Task::Sleep { until: after(ROUND) });
}

#[test]
fn all_that_has_expired_goes_in_one_round_however_much_it_is() {
    let mut upkeep = Upkeep::new(Pace::SERVER, Held::default(), NOW);
    for _ in 0..1000 {
        assert_eq!(upkeep.next(NOW), Task::Expire { until: Seconds(1_763_690_000), among: EXPIRED });
        upkeep.done(Outcome::Expired(EXPIRED), NOW);
    }
    upkeep.done(Outcome::Expired(1), NOW);
    upkeep.done(Outcome::Expired(0), NOW);
    assert_eq!(upkeep.next(NOW), Task::Look { keep: NOW });
    upkeep.done(Outcome::Looked(vec![]), NOW);
    assert_eq!(upkeep.next(NOW), Task::Sleep { until: after(ROUND) });
}

#[test]
fn what_fails_holds_up_nothing_else() {
    let mut upkeep = Upkeep::new(Pace::SERVER, Held { unfolded: FULL, ..Held::default() }, NOW);
    check_folds(&upkeep, NOW);
    upkeep.done(Outcome::Failed(Failed::Fold), NOW);
    assert!(matches!(upkeep.next(NOW), Task::Expire { .. }));
    upkeep.done(Outcome::Failed(Failed::Expire), NOW);
    assert!(matches!(upkeep.next(NOW), Task::Look { .. }));
    upkeep.done(Outcome::Looked(vec![day("a"), day("b")]), NOW);
    let (tenant, mark) = day("b");
    assert_eq!(upkeep.next(NOW), Task::Compact { tenant, mark });
    upkeep.done(Outcome::Failed(Failed::Compact), NOW);
    let (tenant, mark) = day("a");
    assert_eq!(upkeep.next(NOW), Task::Compact { tenant, mark });
    upkeep.done(Outcome::Compacted, NOW);
    assert_eq!(upkeep.next(NOW), Task::Sleep { until: after(RETRY) });
    check_folds(&upkeep, after(RETRY));
}

#[test]
fn expiry_that_failed_is_not_put_off_by_a_restart() {
    let held = Held { looked_at: NOW, ..Held::default() };
    let mut upkeep = Upkeep::new(Pace::SERVER, held, NOW);
    let round = after(ROUND);
    upkeep.done(Outcome::Failed(Failed::Expire), round);
    let Task::Look { keep } = upkeep.next(round) else { panic!("no search for days") };
    upkeep.done(Outcome::Looked(vec![]), round);
    let restarted = Upkeep::new(Pace::SERVER, Held { looked_at: keep, ..Held::default() }, round);
    assert!(matches!(restarted.next(round), Task::Expire { .. }));
}

#[test]
fn folding_and_the_rest_take_turns() {
    let mut upkeep = Upkeep::new(Pace::SERVER, Held::default(), NOW);
    upkeep.stored(Load { events: 30_000, bytes: 30_000 }, NOW);
    let mut done = [0, 0];
    for _ in 0..20 {
        match upkeep.next(NOW) {
            Task::Fold { events, .. } => {
                done[0] += 1;
                upkeep.done(Outcome::Folded(Load { events, bytes: events }), NOW);
                upkeep.stored(FULL, NOW);
            }
            Task::Expire { among, .. } => {
                done[1] += 1;
                upkeep.done(Outcome::Expired(among), NOW);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(done, [10, 10]);
}

#[test]
fn a_failure_is_tried_again_ever_later_and_at_least_each_minute() {
    let mut upkeep = idle();
    upkeep.stored(FULL, NOW);
    let mut now = NOW;
    let mut waits = Vec::new();
    for _ in 0..20 {
        upkeep.done(Outcome::Failed(Failed::Fold), now);
        let Task::Sleep { until } = upkeep.next(now) else { panic!("it is tried again at once") };
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
fn a_full_tail_takes_no_events_until_it_is_folded() {
    for pace in [Pace::SERVER, Pace::INSTANCE, Pace::shard(4)] {
        let mut upkeep = Upkeep::new(pace, Held { looked_at: NOW, ..Held::default() }, NOW);
        assert!(upkeep.takes_events());
        upkeep.stored(pace.tail(), NOW);
        assert!(!upkeep.takes_events());
        while let Task::Fold { events, .. } = upkeep.next(NOW) {
            let bytes = upkeep.unfolded().bytes.div_ceil(upkeep.unfolded().events.max(1)) * events;
            upkeep.done(Outcome::Folded(Load { events, bytes }), NOW);
            if upkeep.takes_events() {
                break;
            }
        }
        assert!(upkeep.takes_events());
    }
}

#[test]
fn the_tails_of_all_shards_are_within_what_a_report_reads() {
    for shards in [1, 2, 4, 8] {
        assert!(shards as usize * Pace::shard(shards).tail().bytes <= TAIL.bytes);
    }
}

#[test]
fn a_request_folds_only_when_there_is_enough() {
    let mut upkeep = Upkeep::new(Pace::INSTANCE, Held { looked_at: NOW, ..Held::default() }, NOW);
    upkeep.stored(Load { events: 511, bytes: 1 }, NOW);
    assert!(!upkeep.is_pressing());
    upkeep.stored(Load { events: 1, bytes: 1 }, NOW);
    assert!(upkeep.is_pressing());
}

#[test]
fn a_clock_that_went_back_stops_nothing_for_long() {
    let held = Held { looked_at: after(1_000_000 * ROUND), ..Held::default() };
    assert_eq!(Upkeep::new(Pace::SERVER, held, NOW).next(NOW), Task::Sleep { until: after(ROUND) });
}
