//! A page: the rollups of consecutive values of one series, as bytes.
//!
//! Version 1, by [`codec`](crate::rollup::codec): the version; how many values; the dimensions that the hour's events have,
//! twice their number plus 1 where there were more; the names of all numeric properties; then for each value its text and
//! its rollup, both with their lengths. Values and names are sorted. A change of this layout takes the next version, and
//! [`PageReader::open`] goes on to read this one.

use std::collections::{BTreeMap, BTreeSet};

use crate::rollup::codec::{Reader, Writer};
use crate::rollup::{Columns, NameId, Names, Rollup};

const VERSION: u8 = 1;

/// Rollups by value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    /// The empty value stands for `(other)`; in the series of all events it is the only one.
    pub(crate) values: BTreeMap<String, Rollup>,
    /// In the series of all events: which dimensions there are.
    pub(crate) dimensions: BTreeSet<String>,
    /// Whether there were more dimensions.
    pub(crate) dimensions_dropped: bool,
}

impl Page {
    pub(crate) fn write(&self, names: &Names) -> Vec<u8> {
        let mut table: Vec<NameId> = Vec::new();
        for (name, _) in self.values.values().flat_map(|rollup| &rollup.numbers) {
            if !table.contains(name) {
                let place = table.partition_point(|known| names.name(*known) < names.name(*name));
                table.insert(place, *name);
            }
        }
        let mut writer = Writer::default();
        writer.byte(VERSION);
        writer.length(self.values.len());
        writer.length(self.dimensions.len() << 1 | usize::from(self.dimensions_dropped));
        self.dimensions.iter().for_each(|dimension| writer.text(dimension));
        writer.length(table.len());
        table.iter().for_each(|name| writer.text(names.name(*name)));
        for (value, rollup) in &self.values {
            writer.text(value);
            writer.nested(|writer| rollup.write(writer, &table));
        }
        writer.0
    }

    /// Reads all of a page. `None`: these bytes are none.
    pub(crate) fn read(bytes: &[u8], names: &mut Names) -> Option<Self> {
        let mut reader = PageReader::open(bytes, names)?;
        let mut page = Self { dimensions_dropped: reader.dimensions_dropped, ..Self::default() };
        page.dimensions.extend(reader.dimensions.iter().map(|dimension| (*dimension).to_owned()));
        while let Some((value, entry)) = reader.next()? {
            page.values.insert(value.to_owned(), reader.rollup(entry, Columns::All)?);
        }
        Some(page)
    }

    /// How many values a page has, without reading them.
    pub(crate) fn length(bytes: &[u8]) -> Option<usize> {
        let mut reader = Reader(bytes);
        reader.byte().filter(|version| *version == VERSION)?;
        reader.small()
    }
}

/// Reads a page value by value.
pub(crate) struct PageReader<'a> {
    rest: Reader<'a>,
    left: usize,
    table: Vec<NameId>,
    pub(crate) dimensions: Vec<&'a str>,
    pub(crate) dimensions_dropped: bool,
}

impl<'a> PageReader<'a> {
    pub(crate) fn open(bytes: &'a [u8], names: &mut Names) -> Option<Self> {
        let mut rest = Reader(bytes);
        rest.byte().filter(|version| *version == VERSION)?;
        let left = rest.small()?;
        let length: usize = rest.small()?;
        let dimensions = (0..length >> 1).map(|_| rest.text()).collect::<Option<_>>()?;
        let table_length: usize = rest.small()?;
        let table = (0..table_length).map(|_| rest.text().map(|name| names.id(name))).collect::<Option<_>>()?;
        Some(Self { rest, left, table, dimensions, dimensions_dropped: length & 1 == 1 })
    }

    /// The next value and the bytes of its rollup; the inner `None` after the last, the outer where the bytes are no page.
    pub(crate) fn next(&mut self) -> Option<Option<(&'a str, &'a [u8])>> {
        if self.left == 0 {
            return self.rest.is_empty().then_some(None);
        }
        self.left -= 1;
        Some(Some((self.rest.text()?, self.rest.bytes()?)))
    }

    /// The numeric properties of the page's rollups.
    pub(crate) fn names(&self) -> impl Iterator<Item = NameId> {
        self.table.iter().copied()
    }

    pub(crate) fn rollup(&self, entry: &[u8], columns: Columns<'_>) -> Option<Rollup> {
        Rollup::read(&mut Reader(entry), &self.table, columns)
    }
}
