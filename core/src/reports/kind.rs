//! The kinds of reports.

/// A kind of report. Each has a route of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Timeseries,
    Top,
    Summary,
}
