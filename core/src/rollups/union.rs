//! One set of rollups, made of those that the parts of a store hold: shards, lanes, and what came from earlier services.

use crate::rollups::compaction::{DayManifest, DayState, Whole};
use crate::rollups::interner::{Interner, Symbol};
use crate::rollups::key::{Day, KeyKind, Period};
use crate::rollups::page::{Head, PageReader, PageWriter};
use crate::rollups::rollup::{Parts, Rollup};
use crate::rollups::stored::{StoredPage, UnreadablePage};

/// What a stored page belongs to. Each part of a store has its pages in this order, which is that of their keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PageGroup {
    /// Whoever takes the other pages makes this one anew: the list of a day's event types.
    Types,
    /// The manifest of a day. The text is the part of the key that all of the day's manifests have.
    Manifest(String),
    /// A series, which `union` can merge. The text is the part of the key that all of its pages have.
    Series(String),
}

impl PageGroup {
    /// The group of this page.
    ///
    /// # Errors
    /// The page is damaged: a fold has set it apart, or its key says nothing.
    pub fn of(key: &str) -> Result<Self, UnreadablePage> {
        let damaged = || UnreadablePage { key: key.to_owned() };
        match KeyKind::of(key) {
            KeyKind::Page(_, first) | KeyKind::Moved(_, first) => {
                // One character before the first value tells an own page from one that came from elsewhere.
                let prefix = key.len().checked_sub(first.len() + 1).and_then(|at| key.get(..at));
                prefix.map(|prefix| Self::Series(prefix.to_owned())).ok_or_else(damaged)
            }
            KeyKind::Day if Day::of_types(key).is_some() => Ok(Self::Types),
            KeyKind::Day => {
                let day = Day::of_manifest(key).or_else(|| Day::of_moved_manifest(key));
                day.map(|day| Self::Manifest(day.manifest())).ok_or_else(damaged)
            }
            KeyKind::Apart(_) | KeyKind::Unknown => Err(damaged()),
        }
    }
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

/// The pages of one series, given those that all parts of the store have of it. The same rollups always give the same
/// bytes, whatever parts they were in.
///
/// A number that a part has dropped at a value is dropped there: what the other parts have of it is not all.
///
/// # Errors
/// A page can't be read.
pub fn union(pages: &[StoredPage]) -> Result<Vec<StoredPage>, UnreadablePage> {
    let (mut names, mut whole, mut of) = (Interner::default(), Whole::default(), None);
    for StoredPage { key, bytes } in pages {
        let damaged = || UnreadablePage { key: key.clone() };
        let (KeyKind::Page(series, _) | KeyKind::Moved(series, _)) = KeyKind::of(key) else { return Err(damaged()) };
        add(&mut whole, bytes, &mut names).ok_or_else(damaged)?;
        of = Some(series);
    }
    let mut writer = PageWriter::default();
    if let Some(series) = of {
        whole.write(&series, &names, &mut writer);
    }
    Ok(writer.written)
}

/// Adds a page. `None` means that the bytes are not a page.
fn add(whole: &mut Whole, page: &[u8], names: &mut Interner) -> Option<()> {
    let Head { dimensions, dimensions_dropped } = Head::read(Some(page), names)?;
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

/// The manifest of a day, given those that all parts of the store have of it, and whether the day's own pages hold
/// what its hours' pages hold, in every part. `None` if there are none.
///
/// # Errors
/// A manifest can't be read.
pub fn union_of_manifests(manifests: &[StoredPage]) -> Result<Option<(StoredPage, bool)>, UnreadablePage> {
    let mut union: Option<(Day, DayManifest)> = None;
    for page in manifests {
        let read = DayManifest::read(page).or_else(|| DayManifest::read_moved(page));
        let Some((day, Some(manifest))) = read else { return Err(UnreadablePage { key: page.key.clone() }) };
        let (_, all) = union.get_or_insert_with(|| (day, DayManifest { state: DayState::Sealed, ..manifest.clone() }));
        all.dimensions.extend(manifest.dimensions);
        if manifest.state != DayState::Sealed {
            all.state = DayState::ByHour;
        }
    }
    Ok(union.map(|(day, manifest)| (manifest.write(day), manifest.state == DayState::Sealed)))
}
