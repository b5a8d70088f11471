//! How many numbers rollups keep: those with the first names, in whatever order names come. A dropped name never returns,
//! because the last kept name only ever moves forward.

/// The most numeric properties of a rollup. Together with the bounds of its sketches this bounds a rollup to some 160 kB.
pub(crate) const NUMBERS: usize = 24;
/// The most numeric properties of a dimension's value in an hour. An event counts in up to 8 dimensions, so this bounds
/// the work for it.
pub(crate) const NUMBERS_OF_VALUE: usize = 8;
/// The most names that the numbers of a dimension's values have in a page. Values whose events bring further names
/// lose their numbers for good, because each name makes the page's other entries dearer to write.
pub(crate) const NAMES_OF_PAGE: usize = 128;
