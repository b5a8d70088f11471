//! Which rollups count which events of a fold.

use crate::rollups::text::is_same_text;

/// Membership of one event in one column: the rollup of a dimension and value.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    pub(crate) column: u32,
    pub(crate) event: u32,
}

/// The events that have one value of a dimension.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    pub(crate) dimension: &'a str,
    pub(crate) value: &'a str,
    pub(crate) places: &'a [Place],
}

impl Run<'_> {
    pub(crate) fn is_of_dimension(&self, other: &Self) -> bool {
        is_same_text(self.dimension, other.dimension)
    }
}
