//! Merges the rollups that the parts of a store hold into one set. Parts are shards, lanes, and the rollups that came
//! from earlier services.

use std::collections::BTreeSet;

use crate::rollups::compaction::{DayManifest, DayState, Whole};
use crate::rollups::interner::{Interner, Symbol};
use crate::rollups::key::{Day, KeyKind, Period, Series, apart};
use crate::rollups::numbers_cap::NUMBERS;
use crate::rollups::page::{Head, PageReader, PageWriter};
use crate::rollups::rollup::{NAMES_A_DAY, Parts, Rollup};
use crate::rollups::stored::{PAGE_BYTES, StoredPage, UnreadablePage};

/// What a stored page belongs to. Groups are ordered as the keys of their pages are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PageGroup {
    /// The list of a day's event types. It is not moved: the target rebuilds it from the other pages.
    Types,
    /// The manifest of a day. The text is the part of the key that all of the day's manifests share.
    Manifest(String),
    /// A series, which `union` can merge. The text is the part of the key that all of its pages share.
    Series(String),
    /// Unreadable bytes that were set apart, or an unknown key.
    Damaged,
}

impl PageGroup {
    /// The group of the page under this key.
    pub fn of(key: &str) -> Self {
        match KeyKind::of(key) {
            // One character before the first value tells an own page from one that came from elsewhere.
            KeyKind::Page(_, first) | KeyKind::Moved(_, first) => {
                let prefix = key.len().checked_sub(first.len() + 1).and_then(|at| key.get(..at));
                prefix.map_or(Self::Damaged, |prefix| Self::Series(prefix.to_owned()))
            }
            KeyKind::Day if Day::of_types(key).is_some() => Self::Types,
            KeyKind::Day => {
                let day = Day::of_manifest(key).or_else(|| Day::of_moved_manifest(key));
                day.map_or(Self::Damaged, |day| Self::Manifest(day.manifest()))
            }
            KeyKind::Apart(_) | KeyKind::Unknown => Self::Damaged,
        }
    }
}

/// The first value of a page that came from another service; `None` for any other page.
pub fn moved_first(key: &str) -> Option<&str> {
    if let KeyKind::Moved(_, first) = KeyKind::of(key) { Some(first) } else { None }
}

/// The first value of a page, wherever it came from; `None` if the key is not a page's.
pub fn first_of(key: &str) -> Option<&str> {
    if let KeyKind::Page(_, first) | KeyKind::Moved(_, first) = KeyKind::of(key) { Some(first) } else { None }
}

/// The empty page that another service gets for a damaged one. Its key makes reports there say that they are
/// incomplete. `None` if the key does not tell which reports those are.
pub fn stand_in(key: &str) -> Option<StoredPage> {
    let key = match KeyKind::of(key) {
        KeyKind::Apart(_) => key.to_owned(),
        KeyKind::Page(series, first) | KeyKind::Moved(series, first) => {
            apart(&(Series::prefix(&series.dimension, series.period, &series.event_type) + first))
        }
        KeyKind::Day | KeyKind::Unknown => return None,
    };
    Some(StoredPage { key, bytes: Vec::new() })
}

/// The day that a page or a manifest is of, in days since 1970, and whether it covers all of the day's hours.
pub fn day_of(key: &str) -> Option<(u32, bool)> {
    match KeyKind::of(key) {
        KeyKind::Page(series, _) | KeyKind::Moved(series, _) => {
            Some((series.period.first_hour().day().0, matches!(series.period, Period::Day(_))))
        }
        KeyKind::Day => Day::of_manifest(key).or_else(|| Day::of_moved_manifest(key)).map(|day| (day.0, false)),
        KeyKind::Apart(_) | KeyKind::Unknown => None,
    }
}

/// Merges the pages that all parts of a store have of one series. The same rollups always give the same bytes, whatever
/// parts they were in. A page starts at each value of `firsts`, so it replaces the page that another store has under
/// that key.
///
/// If one part dropped a number for a value, the union drops it too. The remaining parts would give a partial figure.
///
/// # Errors
/// A page can't be read.
pub fn union(pages: &[StoredPage], firsts: &BTreeSet<String>) -> Result<Vec<StoredPage>, UnreadablePage> {
    let (mut names, mut whole, mut of) = (Interner::default(), Whole::default(), None);
    for StoredPage { key, bytes } in pages {
        let damaged = || UnreadablePage { key: key.clone() };
        let (KeyKind::Page(series, _) | KeyKind::Moved(series, _)) = KeyKind::of(key) else { return Err(damaged()) };
        add(&mut whole, bytes, &mut names).ok_or_else(damaged)?;
        of = Some(series);
    }
    let Some(series) = of else { return Ok(Vec::new()) };
    whole.firsts.clone_from(firsts);
    let written = |whole: &Whole| {
        let mut writer = PageWriter::default();
        whole.write(&series, &names, &mut writer);
        writer.written
    };
    let pages = written(&whole);
    if pages.iter().all(|page| page.key.len() + page.bytes.len() <= PAGE_BYTES) {
        return Ok(pages);
    }
    // Parts with different numbers can be too much for one page of one value. Then it keeps as many as a fold does.
    whole.values.values_mut().for_each(|rollup| rollup.keep_numbers(NUMBERS));
    Ok(written(&whole))
}

/// Adds a page. `None` means that the bytes are not a page.
fn add(whole: &mut Whole, page: &[u8], names: &mut Interner) -> Option<()> {
    let Head { dimensions, dimensions_dropped } = Head::read(Some(page))?;
    whole.head.dimensions.extend(dimensions);
    whole.head.dimensions_dropped |= dimensions_dropped;
    let mut reader = PageReader::open(page, names)?;
    while let Some((value, entry)) = reader.next()? {
        let mut rollup = reader.rollup(entry, Parts::All)?;
        match whole.values.get_mut(value) {
            Some(known) => {
                let has = |of: &Rollup| of.numbers.iter().map(|(name, _)| *name).collect::<Vec<Symbol>>();
                let (of_known, of_rollup) = (has(known), has(&rollup));
                known.numbers.retain(|(name, _)| !rollup.numbers_dropped || of_rollup.contains(name));
                rollup.numbers.retain(|(name, _)| !known.numbers_dropped || of_known.contains(name));
                known.merge(rollup, names);
            }
            None => drop(whole.values.insert(value.to_owned(), rollup)),
        }
    }
    Some(())
}

/// Merges the manifests that all parts of a store have of one day. `None` if there are none. The `bool` is true if the
/// day is sealed in every part: the day's own pages then hold all that its hours' pages hold. A day with an unreadable
/// manifest is not sealed, here as in reports.
pub fn union_of_manifests(manifests: &[StoredPage]) -> Option<(StoredPage, bool)> {
    let mut union: Option<(Day, DayManifest)> = None;
    for page in manifests {
        let (day, manifest) = DayManifest::read(page).or_else(|| DayManifest::read_moved(page))?;
        let manifest = manifest.unwrap_or_default();
        let sealed = DayManifest { state: DayState::Sealed, ..DayManifest::default() };
        let (_, all) = union.get_or_insert((day, sealed));
        all.dimensions.extend(manifest.dimensions);
        if manifest.state != DayState::Sealed {
            all.state = DayState::ByHour;
        }
    }
    let (day, mut manifest) = union?;
    // Nothing reads the names of a day that came from elsewhere, and a manifest must stay small.
    let beyond = manifest.dimensions.iter().nth(NAMES_A_DAY).cloned();
    beyond.iter().for_each(|name| drop(manifest.dimensions.split_off(name)));
    Some((manifest.write(day), manifest.state == DayState::Sealed))
}
