//! The JSON of an answer.

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::report::ReportData;
use crate::report::calendar::Interval;
use crate::report::query::{Figure, Kind, Metric, Query};
use crate::report::table::Table;
use crate::rollup::Rollup;
use crate::rollup::fold::Fold;
use crate::rollup::key::Hour;
use crate::rollup::observation::Dimensions;
use crate::time::{Millis, Stamp};

/// Hours that a summary names.
const BUSIEST: usize = 5;
/// Names of each kind that a summary lists.
const LISTED: usize = 100;
/// For how long an answer may be kept, seconds: events of the past come rarely, those of the present all the time.
const MAX_AGE_PAST: u32 = 60;
const MAX_AGE_PRESENT: u32 = 1;

/// The answer to a query from what the shards have.
pub(crate) fn reply(
    query: &Query,
    dimensions: &Dimensions,
    shards: Vec<ReportData>,
    stamp: Stamp,
) -> Result<Reply, Refusal> {
    let mut table = Table::new(query);
    let mut as_of = stamp.received_at;
    for ReportData { pages, tail, as_of: of_shard } in shards {
        as_of = of_shard.map_or(as_of, |of_shard| of_shard.min(as_of));
        let unfolded = Fold::of_records(tail.iter().map(String::as_str), dimensions).settle(Vec::new()).pages;
        for pages in [pages, unfolded] {
            for (at, page) in pages.iter().enumerate() {
                table.add(page, pages.get(at + 1))?;
            }
        }
    }
    let max_age = if query.until.start() <= as_of { MAX_AGE_PAST } else { MAX_AGE_PRESENT };
    let mut reply = Reply::json(200, &Answer::of(query, &table, as_of));
    reply.headers.push(("cache-control", format!("private, max-age={max_age}")));
    Ok(reply)
}

struct Answer<'t> {
    query: &'t Query,
    table: &'t Table<'t>,
    as_of: Millis,
    rows: Vec<Row<'t>>,
    /// Where the next page of rows starts.
    next: Option<String>,
}

/// One row: what tells it from others, and its figures in the order of the query.
struct Row<'t> {
    names: Vec<(&'static str, String)>,
    metrics: &'t [Metric],
    table: &'t Table<'t>,
    cell: Option<&'t Rollup>,
}

impl<'t> Answer<'t> {
    fn of(query: &'t Query, table: &'t Table<'t>, as_of: Millis) -> Self {
        let row = |names, cell| Row { names, metrics: &query.metrics, table, cell };
        // One row more than is asked for tells whether there are more.
        let (offset, limit) = (query.offset, query.limit);
        let mut rows: Vec<Row<'_>> = match query.kind {
            Kind::Timeseries => table
                .rows(offset, limit + 1)
                .into_iter()
                .map(|(bucket, group, cell)| {
                    let group = query.group.is_some().then(|| ("group", group.to_owned()));
                    row(std::iter::once(("time", table.buckets.time(bucket))).chain(group).collect(), cell)
                })
                .collect(),
            Kind::Top => {
                let first = &query.metrics[0];
                let mut ranked: Vec<_> = table
                    .totals()
                    .into_iter()
                    .map(|(value, cell)| (table.figure(first, Some(cell)), value, cell))
                    .collect();
                // Values come sorted by name, and a stable sort leaves ties in that order.
                ranked.sort_by(|(one, ..), (two, ..)| match (one, two) {
                    (Some(one), Some(two)) => two.compare(*one),
                    _ => two.is_some().cmp(&one.is_some()),
                });
                let wanted = ranked.into_iter().skip(offset).take(limit + 1);
                wanted.map(|(_, value, cell)| row(vec![("value", value.to_owned())], Some(cell))).collect()
            }
            Kind::Summary => vec![row(Vec::new(), table.totals().first().map(|(_, cell)| *cell))],
        };
        let next = (rows.len() > limit).then(|| (offset + limit).to_string());
        rows.truncate(limit);
        Self { query, table, as_of, rows, next }
    }

    fn busiest_hours(&self) -> Vec<Busiest> {
        let mut busiest: Vec<(Hour, u64)> = Vec::with_capacity(BUSIEST + 1);
        for (hour, count) in &self.table.hours {
            // Behind those with as many, which are earlier.
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

impl Serialize for Answer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { query, table, as_of, rows, next } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("rows", rows)?;
        if query.kind == Kind::Summary {
            map.serialize_entry("busiestHours", &self.busiest_hours())?;
            map.serialize_entry("eventTypes", &table.event_types.iter().take(LISTED).collect::<Vec<_>>())?;
            map.serialize_entry("dimensions", &table.dimensions.iter().take(LISTED).collect::<Vec<_>>())?;
            map.serialize_entry("numbers", &table.numeric_properties().iter().take(LISTED).collect::<Vec<_>>())?;
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
        map.serialize_entry("next", next)?;
        map.end()
    }
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in &self.names {
            map.serialize_entry(name, value)?;
        }
        for metric in self.metrics {
            map.serialize_entry(&metric.to_string(), &self.table.figure(metric, self.cell))?;
        }
        map.end()
    }
}

/// How far each figure can be trusted.
struct Accuracy<'t> {
    query: &'t Query,
    table: &'t Table<'t>,
}

#[derive(serde::Serialize)]
#[serde(untagged)]
enum Bound {
    Word(&'static str),
    /// At most so far from the exact figure, relative to it.
    Relative {
        relative: f64,
    },
    /// The same in that share of cases.
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
                Metric::Users => Bound::Confidence { relative: 0.02, confidence: 0.95 },
                Metric::Number(..) if table.numbers_dropped => Bound::Word("incomplete"),
                Metric::Number(Figure::Percentile(_), name) => Bound::Relative { relative: table.relative_error(name) },
                Metric::Count | Metric::Number(..) => Bound::Word("exact"),
            };
            map.serialize_entry(&metric.to_string(), &bound)?;
        }
        if query.dimension().is_some() {
            map.serialize_entry("dimension", if table.is_capped { "capped" } else { "exact" })?;
        }
        let shift_minutes = table.buckets.shift_minutes();
        if shift_minutes > 0 {
            map.serialize_entry("time", &Bound::Shift { shift_minutes })?;
        }
        map.end()
    }
}
