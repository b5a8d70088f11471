//! A page: the rollups of consecutive values of one series, as bytes.
//!
//! Layout of version 1, in the encoding of [`codec`](crate::codec): the version; the number of values; the
//! dimensions of the hour's events, preceded by twice their number, plus 1 if some were dropped; the names of all
//! numeric properties; then for each value its text and its rollup, both with their lengths. Values and names are
//! sorted. A changed layout takes the next version, and [`PageReader::open`] goes on reading this one.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use crate::codec::{Reader, Writer};
use crate::formats;
use crate::rollups::fold_events::FoldEvents;
use crate::rollups::interner::{Interner, Symbol};
use crate::rollups::numbers_cap::{NAMES_OF_PAGE, NUMBERS, NUMBERS_OF_VALUE};
use crate::rollups::place::Run;
use crate::rollups::rollup::{Parts, Rollup};
use crate::rollups::stored::StoredPage;
use crate::rollups::tally::Tally;

/// A page that grows beyond this many bytes is split, if it has at least two values.
const PAGE_BYTES: usize = 64 * 1024;

/// What a page says about its hour. Only the page of all events says something.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    /// The dimensions of the hour's events.
    pub(crate) dimensions: BTreeSet<String>,
    /// Whether there were more dimensions, which were dropped.
    pub(crate) dimensions_dropped: bool,
}

impl Head {
    /// Reads the head of a page, if there is one. `None` means that the bytes are not a page.
    pub(crate) fn read(bytes: Option<&[u8]>) -> Option<Self> {
        let Some(bytes) = bytes else { return Some(Self::default()) };
        let reader = PageReader::without_names(bytes)?;
        let mut head = Self { dimensions_dropped: reader.dimensions_dropped, ..Self::default() };
        head.dimensions.extend(reader.dimensions.iter().map(|dimension| (*dimension).to_owned()));
        Some(head)
    }

    /// Writes everything in a page except its values.
    fn write(&self, length: usize, table: &[Symbol], names: &Interner, writer: &mut Writer) {
        writer.byte(formats::PAGE);
        writer.length(length);
        writer.length(self.dimensions.len() << 1 | usize::from(self.dimensions_dropped));
        self.dimensions.iter().for_each(|dimension| writer.text(dimension));
        writer.length(table.len());
        table.iter().for_each(|name| writer.text(names.name(*name)));
    }
}

/// The number of values in a page, without reading them.
pub(crate) fn length(bytes: &[u8]) -> Option<usize> {
    let mut reader = Reader(bytes);
    reader.byte().filter(|version| *version == formats::PAGE)?;
    reader.small()
}

/// True if these bytes are a page, to the last rollup.
pub(crate) fn is_page(bytes: &[u8]) -> bool {
    let read = || {
        let mut reader = PageReader::without_names(bytes)?;
        while let Some((_, entry)) = reader.next()? {
            reader.rollup(entry, Parts::All)?;
        }
        Some(())
    };
    read().is_some()
}

/// The values of a page.
pub(crate) fn values(bytes: &[u8]) -> Option<Vec<&str>> {
    let mut reader = PageReader::without_names(bytes)?;
    let mut values = Vec::new();
    while let Some((value, _)) = reader.next()? {
        values.push(value);
    }
    Some(values)
}

/// The names of a page's numeric properties.
pub(crate) fn names(bytes: &[u8]) -> Option<Vec<&str>> {
    let mut names = Vec::new();
    PageReader::open_with(bytes, |name| {
        names.push(name);
        Symbol::UNKNOWN
    })?;
    Some(names)
}

/// The bytes that the numbers of the page's rollups take.
pub(crate) fn numbers_bytes(bytes: &[u8]) -> usize {
    let Some(mut reader) = PageReader::without_names(bytes) else { return 0 };
    let entries = std::iter::from_fn(|| reader.next().flatten());
    entries.map(|(_, entry)| Rollup::numbers_of(entry).1).sum()
}

/// Writes pages, and reuses its memory from page to page.
#[derive(Debug, Default)]
pub(crate) struct PageWriter {
    pub(crate) written: Vec<StoredPage>,
    head: Writer,
    values: Writer,
    added: Writer,
    table: Vec<Symbol>,
    pub(crate) tally: Tally,
    /// How many more bytes the series may take. Once none are left, rollups that get events lose their numbers.
    pub(crate) room: isize,
}

impl PageWriter {
    /// Counts the events of `runs`, which are sorted by value, in the page of `series` that starts at `first`. The page
    /// may be stored or new. `None` means that the stored bytes are not a page.
    pub(crate) fn merge(
        &mut self,
        (series, first): (&str, &str),
        stored: Option<&[u8]>,
        head: &Head,
        runs: &[Run<'_>],
        events: &FoldEvents,
        names: &mut Interner,
    ) -> Option<()> {
        let mut reader = stored.map_or(Some(PageReader::default()), |bytes| PageReader::open(bytes, names))?;
        let table = &mut self.table;
        table.clone_from(&reader.table);
        let is_of_values = runs.iter().any(|run| !run.dimension.is_empty());
        let most = if is_of_values { NUMBERS_OF_VALUE } else { NUMBERS };
        events.join_names(runs, most, names, table);
        let is_full = is_of_values && table.len() > NAMES_OF_PAGE;
        if is_full {
            let mut listed = reader.table.len();
            table.retain(|name| {
                let is_known = reader.table.contains(name);
                listed += usize::from(!is_known);
                is_known || listed <= NAMES_OF_PAGE
            });
        }
        let has_no_place = |run: &Run<'_>| is_full && events.has_other_names(run.places, most, table);
        let is_same_table = table.len() == reader.table.len();
        // When the table is full, it may list names that no rollup uses. Then the page must be rewritten exactly.
        let mut is_exact = !is_full || is_same_table;
        let mut length = 0;
        self.values.0.clear();
        let mut runs = runs.iter().peekable();
        let mut entry = reader.next()?;
        loop {
            let order = match (entry, runs.peek()) {
                (Some((known, _)), Some(run)) => known.cmp(run.value),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => break,
            };
            let known = entry.filter(|_| order.is_le());
            let run = runs.next_if(|_| order.is_ge());
            length += 1;
            self.values.text(known.map_or_else(|| run.map_or("", |run| run.value), |(value, _)| value));
            if known.is_some() {
                entry = reader.next()?;
            }
            let known = known.map(|(_, bytes)| bytes);
            let before = self.values.0.len();
            match (known, run) {
                (Some(known), None) if is_same_table => self.values.bytes(known),
                (None, Some(run)) => {
                    let most = if self.room > 0 && !has_no_place(run) { most } else { 0 };
                    is_exact &= most > 0 || is_same_table;
                    self.values.nested(|values| self.tally.write(run.places, most, events, names, table, values));
                }
                (Some(known), run) => {
                    let drops_numbers = run.is_some_and(|run| self.room <= 0 || has_no_place(run));
                    let parts = if drops_numbers { Parts::Some { users: true, numbers: &[] } } else { Parts::All };
                    let mut rollup = reader.rollup(known, parts)?;
                    if let Some(run) = run {
                        let had_none = if drops_numbers {
                            let numbers = Rollup::numbers_of(known).0;
                            rollup.numbers_dropped |= numbers > 0;
                            numbers == 0
                        } else {
                            rollup.has_no_numbers_left()
                        };
                        let most = if drops_numbers || had_none { 0 } else { most };
                        self.added.0.clear();
                        self.tally.write(run.places, most, events, names, table, &mut self.added);
                        rollup.merge(Rollup::read(&mut Reader(&self.added.0), table, Parts::All)?, names);
                        rollup.keep_numbers(most);
                        // If the stored rollup loses a name now, the table may list a name that no rollup has.
                        is_exact &= !rollup.numbers_dropped || (had_none && is_same_table);
                    }
                    self.values.nested(|values| rollup.write(values, table, names));
                }
                (None, None) => {}
            }
            let grown = self.values.0.len() - before;
            self.room = self.room.saturating_add_unsigned(known.map_or(0, <[u8]>::len)).saturating_sub_unsigned(grown);
        }
        self.head.0.clear();
        head.write(length, table, names, &mut self.head);
        let page = [self.head.0.as_slice(), &self.values.0].concat();
        if is_exact && (page.len() <= PAGE_BYTES || length == 1) {
            self.written.push(StoredPage { key: [series, first].concat(), bytes: page });
            return Some(());
        }
        let mut reader = PageReader::open(&page, names)?;
        let mut entries = Vec::with_capacity(length);
        while let Some(entry) = reader.next()? {
            entries.push(entry);
        }
        let before = self.written.len();
        let cut = self.cut((series, first), &entries, &reader, head, names);
        if cut.is_none() {
            // A part may have been written before another could not be read.
            self.written.truncate(before);
        }
        cut
    }

    /// Writes these values as one page, or in halves if the page is too large. Their bytes stay as they are wherever one
    /// value has all names of the table.
    fn cut(
        &mut self,
        (series, first): (&str, &str),
        entries: &[(&str, &[u8])],
        reader: &PageReader<'_>,
        head: &Head,
        names: &Interner,
    ) -> Option<()> {
        let has_all_names = |(_, entry): &(&str, &[u8])| Rollup::numbers_of(entry).0 == reader.table.len();
        if !entries.iter().any(has_all_names) {
            let rollup = |(value, entry): &(_, &[u8])| Some((*value, reader.rollup(entry, Parts::All)?));
            let values: Vec<(&str, Rollup)> = entries.iter().map(rollup).collect::<Option<_>>()?;
            let values: Vec<(&str, &Rollup)> = values.iter().map(|(value, rollup)| (*value, rollup)).collect();
            self.write_split((series, first), &values, head, names);
            return Some(());
        }
        let mut page = Writer::default();
        head.write(entries.len(), &reader.table, names, &mut page);
        for (value, entry) in entries {
            page.text(value);
            page.bytes(entry);
        }
        let (lower, upper) = entries.split_at(entries.len() / 2);
        match upper.first() {
            Some((middle, _)) if page.0.len() > PAGE_BYTES && !lower.is_empty() => {
                self.cut((series, first), lower, reader, head, names)?;
                self.cut((series, middle), upper, reader, &Head::default(), names)?;
            }
            _ => self.written.push(StoredPage { key: [series, first].concat(), bytes: page.0 }),
        }
        Some(())
    }

    /// Writes these rollups as one page, or splits them in halves if the page is too large.
    pub(crate) fn write_split(
        &mut self,
        (series, first): (&str, &str),
        values: &[(&str, &Rollup)],
        head: &Head,
        names: &Interner,
    ) {
        let mut table = Vec::new();
        table.extend(values.iter().flat_map(|(_, rollup)| &rollup.numbers).map(|(name, _)| *name));
        names.sort(&mut table);
        let mut page = Writer::default();
        head.write(values.len(), &table, names, &mut page);
        for (value, rollup) in values {
            page.text(value);
            page.nested(|page| rollup.write(page, &table, names));
        }
        let (lower, upper) = values.split_at(values.len() / 2);
        match upper.first() {
            Some((middle, _)) if page.0.len() > PAGE_BYTES && !lower.is_empty() => {
                self.write_split((series, first), lower, head, names);
                self.write_split((series, middle), upper, &Head::default(), names);
            }
            _ => self.written.push(StoredPage { key: [series, first].concat(), bytes: page.0 }),
        }
    }
}

/// Reads a page value by value.
#[derive(Default)]
pub(crate) struct PageReader<'a> {
    rest: Reader<'a>,
    left: usize,
    table: Vec<Symbol>,
    pub(crate) dimensions: Vec<&'a str>,
    pub(crate) dimensions_dropped: bool,
}

impl<'a> PageReader<'a> {
    /// Opens a page whose rollups are merged with others. `None` means that the bytes are not a page.
    pub(crate) fn open(bytes: &'a [u8], names: &mut Interner) -> Option<Self> {
        Self::open_with(bytes, |name| names.intern(name))
    }

    /// Opens a page of which only known names matter: many pages can have more names than memory holds.
    pub(crate) fn open_known(bytes: &'a [u8], names: &Interner) -> Option<Self> {
        Self::open_with(bytes, |name| names.find(name).unwrap_or(Symbol::UNKNOWN))
    }

    fn without_names(bytes: &'a [u8]) -> Option<Self> {
        Self::open_with(bytes, |_| Symbol::UNKNOWN)
    }

    fn open_with(bytes: &'a [u8], mut symbol: impl FnMut(&'a str) -> Symbol) -> Option<Self> {
        let mut rest = Reader(bytes);
        rest.byte().filter(|version| *version == formats::PAGE)?;
        let left = rest.small()?;
        let length: usize = rest.small()?;
        let dimensions = (0..length >> 1).map(|_| rest.text()).collect::<Option<_>>()?;
        let table_length: usize = rest.small()?;
        let mut table = Vec::new();
        let mut before = None;
        for _ in 0..table_length {
            let name = rest.text().filter(|name| before.is_none_or(|before| before < *name))?;
            table.push(symbol(name));
            before = Some(name);
        }
        Some(Self { rest, left, table, dimensions, dimensions_dropped: length & 1 == 1 })
    }

    /// The next value and the bytes of its rollup. The inner `None` means that there are no more, the outer that the
    /// bytes are not a page.
    pub(crate) fn next(&mut self) -> Option<Option<(&'a str, &'a [u8])>> {
        if self.left == 0 {
            return self.rest.is_empty().then_some(None);
        }
        self.left -= 1;
        Some(Some((self.rest.text()?, self.rest.bytes()?)))
    }

    pub(crate) fn rollup(&self, entry: &[u8], parts: Parts<'_>) -> Option<Rollup> {
        Rollup::read(&mut Reader(entry), &self.table, parts)
    }
}
