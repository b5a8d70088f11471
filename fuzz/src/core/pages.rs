//! Damaged pages and manifests. Whatever can't be read is named and set apart, and whole pages stay right.

use std::collections::BTreeSet;
use std::slice::SliceIndex;
use std::sync::LazyLock;

use arbitrary::Unstructured;
use isotherm_core::{ReportReply, WriteLimits};
use isotherm_fuzz::{Folded, Pages, SERVICE, check_reply, records, report};
use serde_json::Value;

/// Few records, so that a run over them is quick: two days, hours, types and names.
static RECORDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let event = |n: usize| {
        let (user, kind, day, hour, to, via) = (n % 5, n % 2, 1 + n / 2 % 2, n / 4 % 2, n % 3, n % 2);
        format!(
            r#"{{"userId":"u{user}","eventType":"t{kind}","timestamp":"2013-01-0{day}T0{hour}:15:00Z","properties":{{"n":{n},"x":{n}.5,"to":"{to}","via":"v{via}"}}}}"#
        )
    };
    records(&(0..EVENTS).map(event).collect::<Vec<_>>().join("\n"))
});

const EVENTS: usize = 12;
/// How many events are folded before pages are damaged.
const FIRST: usize = 8;

static GOOD: LazyLock<[Pages; 2]> = LazyLock::new(|| {
    let mut pages = Pages::default();
    fold_some(&mut pages, ..FIRST);
    let mut compacted = pages.clone();
    assert!(compacted.compact(&SERVICE).is_empty());
    [pages, compacted]
});

/// The good pages of hours, after the remaining events are folded.
pub(crate) static RIGHT: LazyLock<Pages> = LazyLock::new(|| {
    let mut right = GOOD[0].clone();
    assert!(fold_some(&mut right, FIRST..).is_empty());
    right
});

/// Folds some of [`RECORDS`]. Returns the keys of pages that can't be read.
fn fold_some(pages: &mut Pages, some: impl SliceIndex<[String], Output = [String]>) -> Vec<String> {
    let records = RECORDS[some].iter().map(String::as_str);
    let Folded { damaged, rejected } = pages.fold(&SERVICE, records, WriteLimits::ONE_WRITER);
    assert_eq!(rejected, []);
    damaged
}

const REPORTS: [(&str, &str); 3] = [
    ("/reports/timeseries", "groupBy=to&interval=day&metrics=count,users,sum:n,mean:x,p95:n"),
    ("/reports/top", "dimension=via&metrics=count,users,min:n,max:x,p50:x"),
    ("/reports/summary", "metrics=count,users,sum:n"),
];

/// Damages some pages, then folds, compacts or reports.
pub(crate) fn run(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let Ok((mut pages, damaged)) = damage(&mut input) else { return };
    match input.int_in_range(0..=4) {
        Ok(0) => fold(&mut pages, &damaged),
        Ok(1) => check_named(&pages.compact(&SERVICE), &damaged),
        Ok(_) => {}
        Err(_) => return,
    }
    let place = input.int_in_range(0..=REPORTS.len() - 1).unwrap_or_default();
    check_report(&pages, REPORTS[place]);
}

/// Folds the rest into damaged pages, and compares the whole ones with [`RIGHT`].
fn fold(pages: &mut Pages, damaged: &BTreeSet<String>) {
    check_named(&fold_some(pages, FIRST..), damaged);
    let spoilt: BTreeSet<_> = damaged.iter().filter_map(|key| hour_and_type(key)).collect();
    // Keys of days, whose numbers begin with a `c`, are written only by compaction. Pages that were set apart stay.
    let is_whole = |key: &str| {
        !key.contains('\u{1e}') && hour_and_type(key).is_some_and(|of| !spoilt.contains(&of) && !of.0.starts_with('c'))
    };
    let is_right = pages.0.iter().filter(|(key, _)| is_whole(key)).eq(RIGHT.0.iter().filter(|(key, _)| is_whole(key)));
    assert!(is_right, "{damaged:?} change what is none of theirs");
    let met_again = fold_some(pages, FIRST..);
    assert!(met_again.is_empty(), "{met_again:?} are set apart, and met again");
}

/// Checks every report of these pages.
pub(crate) fn check_reports(pages: &Pages) {
    REPORTS.into_iter().for_each(|of| check_report(pages, of));
}

fn check_report(pages: &Pages, (path, query): (&str, &str)) {
    let range = "from=2013-01-01T00:00:00Z&to=2013-01-03T00:00:00Z";
    let ReportReply { reply, unreadable } = report(&SERVICE, &[(pages, &[])], path, &format!("{range}&{query}"));
    check_reply("GET", &reply);
    assert!(matches!(reply.status, 200 | 422), "status {}", reply.status);
    if reply.status == 200 && !unreadable.is_empty() {
        let body: Value = serde_json::from_slice(&reply.body).expect("JSON");
        assert_eq!(body["incomplete"], true, "{unreadable}, and the answer does not say so");
    }
}

fn check_named(keys: &[String], damaged: &BTreeSet<String>) {
    assert!(keys.iter().all(|key| damaged.contains(key)), "{keys:?} can't be read, and {damaged:?} are damaged");
}

/// Good pages with some damage, and the keys of the damaged ones.
pub(crate) fn damage(input: &mut Unstructured<'_>) -> arbitrary::Result<(Pages, BTreeSet<String>)> {
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

/// The hour and type in a page's key, or `None` for a manifest.
fn hour_and_type(key: &str) -> Option<(&str, &str)> {
    let mut parts = key.split('\u{1f}').skip(1);
    Some((parts.next()?, parts.next()?))
}
