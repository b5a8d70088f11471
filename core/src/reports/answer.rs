//! Writes an answer as JSON.

use std::cmp::Ordering;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::reports::calendar::Interval;
use crate::reports::cursor::LastRow;
use crate::reports::data::{CELL_BYTES, READ_BYTES, ReportData, UnreadablePages};
use crate::reports::kind::Kind;
use crate::reports::query::{Figure, Metric, Query};
use crate::reports::table::{Caps, Problem, Table};
use crate::rollups::fold::Fold;
use crate::rollups::key::Hour;
use crate::rollups::number::Number;
use crate::rollups::observation::Dimensions;
use crate::rollups::rollup::Rollup;
use crate::rollups::stored::StoredPage;
use crate::vocabulary::rejection::Rejection;
use crate::vocabulary::reply::Reply;
use crate::vocabulary::time::{Millis, Stamp};

/// How many hours a summary names.
const BUSIEST: usize = 5;
/// For how many seconds an answer may be cached. Events of the past come rarely, those of the present all the time.
const MAX_AGE_PAST: u32 = 60;
const MAX_AGE_PRESENT: u32 = 1;
/// The most bytes of rows in one answer, counted as text within JSON, because Lambda's answer holds the body that way.
/// Lambda's answer has at most 6 MB. The rest of an answer takes less than 1 MB of that.
const ROW_BYTES: usize = 4 * 1024 * 1024;
/// The most bytes of records that are folded at once for an answer.
const TAIL_BYTES: usize = 1024 * 1024;

/// The reply to a report, and what its host has to log.
#[must_use = "a reply that is dropped leaves its client without an answer"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportReply {
    /// The reply.
    pub reply: Reply,
    /// The pages that could not be read, if any.
    pub unreadable: UnreadablePages,
}

/// The answer to a query, given what the shards have.
pub(crate) fn reply(
    query: &Query,
    dimensions: &Dimensions,
    shards: Vec<ReportData>,
    stamp: Stamp,
) -> Result<ReportReply, Rejection> {
    if shards.iter().any(|shard| shard.is_too_large) {
        return Err(too_large("would read", READ_BYTES, query.reads_less()));
    }
    let mut merging = Merging { table: Table::new(query), unreadable: UnreadablePages::default() };
    let mut as_of = stamp.received_at;
    for ReportData { pages, tail, as_of: of_shard, is_incomplete, .. } in shards {
        merging.table.is_incomplete |= is_incomplete;
        as_of = of_shard.map_or(as_of, |of_shard| of_shard.min(as_of));
        merging.add_all(pages)?;
        let mut rest = tail.as_slice();
        while !rest.is_empty() {
            // The tail is folded in parts, because a record may take several times as much memory as text.
            let mut bytes = 0;
            let is_more = |record: &String| {
                bytes += record.len();
                bytes > TAIL_BYTES
            };
            let (records, others) = rest.split_at(rest.iter().position(is_more).unwrap_or(rest.len()).max(1));
            rest = others;
            let records = records.iter().map(String::as_str);
            merging.add_all(Fold::of_records(records, dimensions).merge(Vec::new()).pages)?;
        }
    }
    let Merging { table, unreadable } = merging;
    let max_age = if query.until.start() <= as_of { MAX_AGE_PAST } else { MAX_AGE_PRESENT };
    let mut reply = Reply::of_json(200, Answer { query, table: &table, as_of }.json());
    reply.facts.is_capped = !names_of(table.caps).is_empty();
    reply.facts.is_incomplete = table.is_incomplete;
    reply.headers.push(("cache-control", format!("private, max-age={max_age}")));
    Ok(ReportReply { reply, unreadable })
}

fn too_large(does: &str, limit: usize, ask_for: String) -> Rejection {
    let limit = limit / 1024 / 1024;
    Rejection::ReportTooLarge(format!("the report {does} more than {limit} MiB of rollups; ask for {ask_for}"))
}

/// The merged pages, and those that can't be read.
struct Merging<'q> {
    table: Table<'q>,
    unreadable: UnreadablePages,
}

impl Merging<'_> {
    /// Merges the pages of one store or shard.
    fn add_all(&mut self, mut pages: Vec<StoredPage>) -> Result<(), Rejection> {
        // A store may sort differently if values have control characters. Merging relies on this order within a series.
        pages.sort_unstable_by(|one, two| one.key.cmp(&two.key));
        let mut pages = pages.into_iter().peekable();
        while let Some(page) = pages.next() {
            match self.table.add(&page, pages.peek()) {
                Ok(()) => {}
                Err(Problem::Unreadable) => self.miss(&page.key),
                Err(Problem::TooLarge) => return Err(too_large("would hold", CELL_BYTES, self.table.query.narrower())),
            }
        }
        Ok(())
    }

    fn miss(&mut self, key: &str) {
        self.table.is_incomplete = true;
        self.unreadable.add(key);
    }
}

struct Answer<'t> {
    query: &'t Query,
    table: &'t Table<'t>,
    as_of: Millis,
}

/// One row: what identifies it, and its figures in the order of the query.
struct Row<'t> {
    place: Place<'t>,
    figures: &'t Figures<'t>,
    cell: Option<&'t Rollup>,
}

/// The place of a row among other rows.
enum Place<'t> {
    /// The index of an interval, and a group.
    Interval(usize, &'t str),
    /// The figure that rows are ranked by, and a value.
    Value(Option<Number>, &'t str),
    Only,
}

/// The figures of all rows.
struct Figures<'t> {
    table: &'t Table<'t>,
    metrics: Vec<(String, &'t Metric)>,
    is_grouped: bool,
}

/// Orders rows: the largest figure first and unknown figures last. Equal figures are ordered by value.
fn by_rank((one, first): (Option<Number>, &str), (two, second): (Option<Number>, &str)) -> Ordering {
    let figures = match (one, two) {
        (Some(one), Some(two)) => two.compare(one),
        _ => two.is_some().cmp(&one.is_some()),
    };
    figures.then_with(|| first.cmp(second))
}

impl Place<'_> {
    fn last_row(&self, table: &Table<'_>) -> Option<LastRow> {
        match *self {
            Self::Interval(interval, group) => {
                Some(LastRow::Interval(table.intervals.start(interval)?, group.to_owned()))
            }
            Self::Value(figure, value) => Some(LastRow::Value(figure, value.to_owned())),
            Self::Only => None,
        }
    }
}

impl<'t> Answer<'t> {
    /// Writes rows one by one until there are enough, and then the rest of the object.
    fn json(&self) -> Vec<u8> {
        let mut body = br#"{"rows":["#.to_vec();
        let next = self.write_rows(&mut body);
        body.push(b']');
        let rest = serde_json::to_vec(&Rest { answer: self, next }).unwrap_or_default();
        if let Some((_brace, rest)) = rest.split_first() {
            body.push(b',');
            body.extend_from_slice(rest);
        }
        body
    }

    /// Writes the rows after the cursor, and returns the cursor for the rows that follow.
    fn write_rows(&self, body: &mut Vec<u8>) -> Option<String> {
        let Self { query, table, .. } = *self;
        let figures = Figures {
            table,
            metrics: query.metrics.iter().map(|metric| (metric.to_string(), metric)).collect(),
            is_grouped: query.group_by.is_some(),
        };
        let (after, limit) = (query.after.as_ref(), query.limit);
        let row = |place, cell| Row { place, figures: &figures, cell };
        let last = match query.kind {
            Kind::Timeseries => {
                let rows = table.rows(after);
                write(rows.map(|(interval, group, cell)| row(Place::Interval(interval, group), cell)), limit, body)
            }
            Kind::Top => {
                let figure = |cell| query.metrics.first().and_then(|first| table.figure(first, Some(cell)));
                let ranked = table.totals().map(|(value, cell)| (figure(cell), value, cell));
                let mut ranked: Vec<_> = ranked
                    .filter(|(figure, value, _)| match after {
                        Some(LastRow::Value(last, of)) => by_rank((*figure, value), (*last, of)).is_gt(),
                        _ => true,
                    })
                    .collect();
                ranked.sort_unstable_by(|one, two| by_rank((one.0, one.1), (two.0, two.1)));
                let rows = ranked.into_iter();
                write(rows.map(|(figure, value, cell)| row(Place::Value(figure, value), Some(cell))), limit, body)
            }
            Kind::Summary => {
                let total = table.totals().next().map(|(_, cell)| cell);
                write(std::iter::once(row(Place::Only, total)), limit, body)
            }
        };
        Some(last?.last_row(table)?.to_cursor(query.fingerprint))
    }

    fn busiest_hours(&self) -> Vec<Busiest> {
        let mut busiest: Vec<(Hour, u64)> = Vec::with_capacity(BUSIEST + 1);
        for (hour, count) in &self.table.hours {
            // Place it behind earlier hours with the same count.
            let place = busiest.partition_point(|(_, known)| known >= count);
            busiest.insert(place, (*hour, *count));
            busiest.truncate(BUSIEST);
        }
        busiest.into_iter().map(|(hour, count)| Busiest { time: self.query.zone.rfc3339(hour), count }).collect()
    }
}

#[derive(serde::Serialize)]
struct Busiest {
    time: String,
    count: u64,
}

/// Writes rows with commas between them, up to `limit` and as far as there is room. Returns the place of the last row
/// if more follow.
fn write<'t>(rows: impl Iterator<Item = Row<'t>>, limit: usize, body: &mut Vec<u8>) -> Option<Place<'t>> {
    let mut last: Option<Place<'t>> = None;
    let mut bytes = 0;
    for (count, row) in rows.enumerate() {
        if count == limit {
            return last;
        }
        let end = body.len();
        if count > 0 {
            body.push(b',');
        }
        // Writing to memory never fails.
        let _written = serde_json::to_writer(&mut *body, &row);
        bytes += body.get(end..).map_or(0, escaped_length);
        if bytes > ROW_BYTES && count > 0 {
            body.truncate(end);
            return last;
        }
        last = Some(row.place);
    }
    None
}

/// The length of this JSON text as part of a string within another JSON text.
fn escaped_length(json: &[u8]) -> usize {
    json.len() + json.iter().filter(|byte| matches!(byte, b'"' | b'\\')).count()
}

/// Everything in an answer except its rows.
struct Rest<'t> {
    answer: &'t Answer<'t>,
    next: Option<String>,
}

impl Serialize for Rest<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { answer, next } = self;
        let Answer { query, table, as_of } = answer;
        let mut map = serializer.serialize_map(None)?;
        if query.kind == Kind::Summary {
            map.serialize_entry("busiestHours", &answer.busiest_hours())?;
            map.serialize_entry("eventTypes", &table.event_types)?;
            map.serialize_entry("dimensions", &table.dimensions)?;
            map.serialize_entry("numbers", &table.numeric_properties)?;
        }
        map.serialize_entry("from", &query.zone.rfc3339(query.from))?;
        map.serialize_entry("to", &query.zone.rfc3339(query.until))?;
        map.serialize_entry("tz", query.zone.name())?;
        if query.kind == Kind::Timeseries {
            let interval = match query.interval {
                Interval::Hour => "hour",
                Interval::Day => "day",
                Interval::Week => "week",
                Interval::Month => "month",
            };
            map.serialize_entry("interval", interval)?;
        }
        map.serialize_entry("asOf", &as_of.to_rfc3339())?;
        map.serialize_entry("accuracy", &Accuracy { query, table })?;
        let caps = names_of(table.caps);
        if !caps.is_empty() {
            map.serialize_entry("caps", &caps)?;
        }
        if table.is_incomplete {
            map.serialize_entry("incomplete", &true)?;
        }
        map.serialize_entry("next", next)?;
        map.end()
    }
}

fn names_of(caps: Caps) -> Vec<&'static str> {
    let Caps { values, dimensions, event_types, numbers } = caps;
    let caps = [(values, "values"), (dimensions, "dimensions"), (event_types, "eventTypes"), (numbers, "numbers")];
    caps.into_iter().filter_map(|(is_met, name)| is_met.then_some(name)).collect()
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { place, figures, cell } = self;
        let mut map = serializer.serialize_map(None)?;
        match *place {
            Place::Interval(interval, group) => {
                map.serialize_entry("time", &figures.table.intervals.time(interval))?;
                if figures.is_grouped {
                    map.serialize_entry("group", group)?;
                }
            }
            Place::Value(_, value) => map.serialize_entry("value", value)?,
            Place::Only => {}
        }
        for (name, metric) in &figures.metrics {
            map.serialize_entry(name, &figures.table.figure(metric, *cell))?;
        }
        map.end()
    }
}

/// How accurate each figure is.
struct Accuracy<'t> {
    query: &'t Query,
    table: &'t Table<'t>,
}

#[derive(serde::Serialize)]
#[serde(untagged)]
enum Bound {
    Word(&'static str),
    /// The largest relative difference from the exact figure.
    Relative {
        relative: f64,
    },
    /// The relative difference that holds in this share of cases.
    Confidence {
        relative: f64,
        confidence: f64,
    },
    Shift {
        #[serde(rename = "shiftMinutes")]
        shift_minutes: u32,
    },
}

impl Serialize for Accuracy<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { query, table } = self;
        let mut map = serializer.serialize_map(None)?;
        for metric in &query.metrics {
            let bound = match metric {
                _ if table.is_incomplete => Bound::Word("incomplete"),
                Metric::Users => Bound::Confidence { relative: 0.02, confidence: 0.95 },
                Metric::Number(..) if table.caps.numbers => Bound::Word("incomplete"),
                Metric::Number(Figure::Percentile(_), name) => Bound::Relative { relative: table.relative_error(name) },
                Metric::Number(Figure::Sum, name) if table.has_overflow(name) => Bound::Word("overflow"),
                Metric::Count | Metric::Number(..) => Bound::Word("exact"),
            };
            map.serialize_entry(&metric.to_string(), &bound)?;
        }
        if query.dimension().is_some() {
            map.serialize_entry(
                "dimension",
                if table.caps.values || table.caps.dimensions { "capped" } else { "exact" },
            )?;
        }
        let shift_minutes = table.intervals.shift_minutes();
        if shift_minutes > 0 {
            map.serialize_entry("time", &Bound::Shift { shift_minutes })?;
        }
        map.end()
    }
}
