//! Pages and marks that are damaged: what can't be read is named, and what is whole stays right.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use arbitrary::Unstructured;
use isotherm_fuzz::{Pages, SERVICE, check_reply, records, report};

/// What DynamoDB takes as an item.
const ITEM_BYTES: usize = 400_000;

static RECORDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let event = |n: usize| {
        format!(
            r#"{{"userId":"u{}","eventType":"t{}","timestamp":"2013-01-0{}T{:02}:15:00Z","properties":{{"n":{n},"x":{}.5,"to":"{}","via":"v{}"}}}}"#,
            n % 7,
            n % 2,
            1 + n % 2,
            n % 3,
            3 * n,
            n % 11,
            n % 3
        )
    };
    records(&(0..40).map(event).collect::<Vec<_>>().join("\n"))
});

static GOOD: LazyLock<[Pages; 2]> = LazyLock::new(|| {
    let mut pages = Pages::default();
    pages.fold(&SERVICE, RECORDS[..25].iter().map(String::as_str)).expect("no page is damaged");
    let mut compacted = pages.clone();
    compacted.compact(&SERVICE).expect("no page is damaged");
    [pages, compacted]
});

/// The good pages of hours, and what comes after.
static RIGHT: LazyLock<Pages> = LazyLock::new(|| {
    let mut right = GOOD[0].clone();
    right.fold(&SERVICE, RECORDS[25..].iter().map(String::as_str)).expect("no page is damaged");
    right
});

const REPORTS: [(&str, &str); 3] = [
    ("/reports/timeseries", "groupBy=to&interval=hour&metrics=count,users,sum:n,mean:x,p95:n"),
    ("/reports/top", "dimension=via&metrics=count,users,min:n,max:x,p50:x"),
    ("/reports/summary", "metrics=count,users,sum:n"),
];

/// Damages to some pages, and what is done with them then: folding, compaction or a report.
pub(crate) fn run(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let Ok((pages, damaged)) = damage(&mut input) else { return };
    match input.int_in_range(0..=4) {
        Ok(0) => fold(pages, &damaged),
        Ok(1) => {
            let mut pages = pages;
            match pages.compact(&SERVICE) {
                Err(unreadable) => check_named(&unreadable.key, &damaged),
                Ok(()) => check_sizes(&pages),
            }
        }
        Ok(place) => {
            let (path, query) = REPORTS[place % REPORTS.len()];
            let range = "from=2013-01-01T00:00:00Z&to=2013-01-04T00:00:00Z";
            // A mark that can't be read stops the host before it has anything to settle.
            let reply = report(&SERVICE, &[(&pages, &[])], path, &format!("{range}&{query}"));
            if let Some(reply) = reply {
                check_reply(&reply);
                assert!(matches!(reply.status, 200 | 422 | 500), "status {}", reply.status);
            }
        }
        Err(_) => {}
    }
}

/// Folds into damaged pages what [`RIGHT`] has.
fn fold(mut pages: Pages, damaged: &BTreeSet<String>) {
    match pages.fold(&SERVICE, RECORDS[25..].iter().map(String::as_str)) {
        Err(unreadable) => check_named(&unreadable.key, damaged),
        Ok(()) => {
            check_sizes(&pages);
            let spoilt: BTreeSet<_> = damaged.iter().filter_map(|key| hour_and_type(key)).collect();
            // Days, whose numbers begin with a c, are written by compaction alone.
            let is_whole =
                |key: &str| hour_and_type(key).is_some_and(|of| !spoilt.contains(&of) && !of.0.starts_with('c'));
            let of = |pages: &Pages| pages.0.clone().into_iter().filter(|(key, _)| is_whole(key)).collect::<Vec<_>>();
            assert_eq!(of(&pages), of(&RIGHT), "{damaged:?} change what is none of theirs");
        }
    }
}

fn check_named(key: &str, damaged: &BTreeSet<String>) {
    assert!(damaged.contains(key), "{key:?} can't be read, and {damaged:?} are damaged");
}

/// Good pages, some of which are changed; and the keys of those.
fn damage(input: &mut Unstructured<'_>) -> arbitrary::Result<(Pages, BTreeSet<String>)> {
    let mut pages = GOOD[usize::from(input.arbitrary::<bool>()?)].clone();
    let mut damaged = BTreeSet::new();
    for _ in 0..input.int_in_range(1..=4)? {
        let at = input.choose_index(pages.0.len())?;
        let Some((key, bytes)) = pages.0.iter_mut().nth(at) else { continue };
        damaged.insert(key.clone());
        let offset = input.int_in_range(0..=bytes.len())?;
        match input.int_in_range(0..=4)? {
            0 => bytes.truncate(offset),
            1 => *bytes = input.arbitrary()?,
            2 => drop(bytes.splice(offset..offset, input.arbitrary::<[u8; 3]>()?)),
            3 => drop(bytes.drain(offset..(offset + 1).min(bytes.len()))),
            _ => {
                let by = input.arbitrary::<u8>()?;
                bytes.iter_mut().skip(offset).take(1).for_each(|byte| *byte ^= by);
            }
        }
    }
    Ok((pages, damaged))
}

/// `None` for a mark.
fn hour_and_type(key: &str) -> Option<(&str, &str)> {
    let mut parts = key.split('\u{1f}').skip(1);
    Some((parts.next()?, parts.next()?))
}

fn check_sizes(pages: &Pages) {
    for (key, bytes) in &pages.0 {
        assert!(key.len() + bytes.len() < ITEM_BYTES, "{key:?} has {} bytes", bytes.len());
    }
}
