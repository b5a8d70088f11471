//! What is the same, what differs, and what is not compared.

use isotherm_core::{Digest, Millis, NewEvent};

use super::*;

/// An event that was received at this second, and expires at that one.
fn event(id: char, content: u32, [received, expires]: [u64; 2]) -> NewEvent {
    let id = format!("evt_0000000000000000000000000{id}").parse().unwrap();
    let (received_at, expires_at) = (Millis(1000 * received), Seconds(expires));
    NewEvent {
        id,
        digest: Digest::from_bytes([0; 16]),
        occurred_at: received_at,
        received_at,
        expires_at,
        record: content.to_string(),
    }
}

/// Compares by a horizon of 1,000 s.
fn compared(backup: &[NewEvent], service: &[NewEvent]) -> Verified {
    let side = |events: &[NewEvent]| {
        let mut side = Side::new().unwrap();
        events.iter().for_each(|event| side.add(event).unwrap());
        side
    };
    let mut verified = Verified::default();
    let manifests = verified.compare(&mut side(backup), &mut side(service), Seconds(1000)).unwrap();
    verified.conclude(&manifests);
    verified
}

#[test]
fn events_alike_are_the_same_however_often_they_are_backed_up() {
    let (a, b) = (event('A', 1, [10, 2000]), event('B', 2, [100_000, 200_000]));
    let same = compared(&[b.clone(), a.clone(), a.clone()], &[a, b]);
    assert!(same.same);
    assert_eq!((same.alike, same.days.len()), (2, 2));
    let day = &same.days["1970-01-01"];
    assert_eq!(day.backup, day.service);
}

#[test]
fn what_differs_is_counted_and_named() {
    let [a, b, c] = ['A', 'B', 'C'].map(|id| event(id, 1, [10, 2000]));
    let newest = event('Z', 1, [50, 2000]);
    let differs = compared(&[a.clone(), b.clone(), newest.clone()], &[event('A', 2, [10, 2000]), c, newest]);
    assert!(!differs.same);
    let ids = |ids: &Ids| (ids.count, ids.ids.join(" "));
    assert_eq!(ids(&differs.only_in_backup), (1, "evt_0000000000000000000000000B".to_owned()));
    assert_eq!(ids(&differs.only_at_service), (1, "evt_0000000000000000000000000C".to_owned()));
    assert_eq!(ids(&differs.otherwise), (1, "evt_0000000000000000000000000A".to_owned()));
}

#[test]
fn what_expires_or_is_new_is_not_compared() {
    let (expired, new) = (event('A', 1, [10, 999]), event('B', 1, [50, 2000]));
    let backup = [event('C', 1, [50, 2000])];
    for (backup, service) in [
        (vec![expired.clone(), backup[0].clone()], backup.to_vec()),
        (backup.to_vec(), vec![expired, backup[0].clone()]),
    ] {
        let same = compared(&backup, &service);
        assert_eq!((same.same, same.alike, same.expired), (true, 1, 1));
    }
    let same = compared(&backup, &[backup[0].clone(), new]);
    assert_eq!((same.same, same.not_yet_backed_up), (true, 1));
    // The messageId was used again after its first event had expired.
    let again = event('C', 2, [60, 3000]);
    let same = compared(&[backup[0].clone(), again.clone()], &[again]);
    assert_eq!((same.same, same.alike), (true, 1));
}
