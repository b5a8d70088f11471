//! Parses and checks the query of a report.

use std::collections::BTreeSet;
use std::fmt;

use percent_encoding::percent_decode_str;
use twox_hash::XxHash3_64;

use crate::codec::Writer;
use crate::reports::calendar::Interval;
use crate::reports::cursor::LastRow;
use crate::reports::kind::Kind;
use crate::reports::names::{self, EVENT_TYPE};
use crate::reports::zone::Zone;
use crate::rollups::key::{Hour, Series};
use crate::vocabulary::limits::Limits;
use crate::vocabulary::rejection::{Rejection, shown};
use crate::vocabulary::time::{Millis, rfc3339};

/// Milliseconds in an hour.
const HOUR: i64 = 60 * 60 * 1000;
/// 9999-12-30T00:00:00Z in hours since 1970. In every time zone it is a time that RFC 3339 can write.
const LATEST_HOUR: i64 = 2_932_895 * 24;
/// The longest range, in hours: 400 days.
const HOURS: i64 = 400 * 24;
/// The range of a query that names none, in hours: 7 days.
const DEFAULT_HOURS: i64 = 7 * 24;
/// Up to this many hours, 2 days, a time series is by hour unless the query names an interval.
const HOURLY: i64 = 48;
const MAX_ROWS: usize = 10_000;
const METRICS: usize = 20;
/// The most filters of a query, one for each value.
const FILTERS: usize = 100;
/// The most bytes of a query as sent.
const QUERY_BYTES: usize = 16 * 1024;

/// A checked query.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) kind: Kind,
    pub(crate) from: Hour,
    /// The hour after the range's last. A range that holds no hour of events ends where it begins.
    pub(crate) until: Hour,
    pub(crate) zone: Zone,
    pub(crate) interval: Interval,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) event_type: Option<String>,
    /// One dimension, and the values of it that count.
    pub(crate) filter: Option<(String, BTreeSet<String>)>,
    pub(crate) group_by: Option<GroupBy>,
    pub(crate) limit: usize,
    /// Rows start after this one.
    pub(crate) after: Option<LastRow>,
    /// A hash of the query without limit and cursor.
    pub(crate) fingerprint: u64,
}

/// What rows are grouped by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GroupBy {
    EventType,
    Dimension(String),
}

/// One figure of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Metric {
    Count,
    Users,
    Number(Figure, String),
}

/// A figure of a numeric property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    Sum,
    Min,
    Max,
    Mean,
    /// The percentile in thousandths of a percent.
    Percentile(u32),
}

impl Query {
    /// Reads the query of a request. A range without an end ends with the hour of `received_at`.
    pub(crate) fn parse(kind: Kind, query: &str, received_at: Millis) -> Result<Self, Rejection> {
        if query.len() > QUERY_BYTES {
            return Err(invalid(format!("the query has {} bytes; the limit is {QUERY_BYTES}", query.len())));
        }
        // Its parser would replace what is not UTF-8, and the answer would be about another name.
        if percent_decode_str(query).decode_utf8().is_err() {
            return Err(invalid("the query is not UTF-8: a % escape is part of no character".to_owned()));
        }
        let mut asked = Asked::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            asked.take(kind, &name, &value)?;
        }
        let until = match asked.to {
            Some(time) => (time + HOUR - 1).div_euclid(HOUR),
            None => Hour::of(received_at).next().0.into(),
        };
        let from = asked.from.map_or(until - DEFAULT_HOURS, |time| time.div_euclid(HOUR));
        if until > LATEST_HOUR {
            return Err(invalid("to must be before 9999-12-30".to_owned()));
        }
        if from >= until {
            return Err(invalid("from must be before to".to_owned()));
        }
        let hours = until - from;
        if hours > HOURS {
            return Err(Rejection::UnsupportedReport(format!(
                "from and to are {} days apart; the limit is 400",
                hours.unsigned_abs().div_ceil(24)
            )));
        }
        let zone = match asked.tz {
            None => Zone::utc(),
            Some(name) => Zone::find(&name).ok_or_else(|| {
                invalid(format!("tz {:?} is no IANA time zone, such as America/New_York", shown(&name)))
            })?,
        };
        let group_by = match kind {
            Kind::Top => Some(asked.group_by.ok_or_else(|| invalid("dimension is required".to_owned()))?),
            Kind::Timeseries | Kind::Summary => asked.group_by,
        };
        if let (Some((filtered, _)), Some(GroupBy::Dimension(grouped))) = (&asked.filter, &group_by)
            && filtered != grouped
        {
            return Err(Rejection::UnsupportedReport(format!(
                "filter is by {filtered:?} and rows are by {grouped:?}: rollups know one dimension at a time"
            )));
        }
        let mut query = Self {
            kind,
            from: hour_of_events(from),
            until: hour_of_events(until),
            zone,
            interval: asked.interval.unwrap_or(if hours <= HOURLY { Interval::Hour } else { Interval::Day }),
            metrics: asked.metrics.unwrap_or_else(|| vec![Metric::Count]),
            event_type: asked.event_type,
            filter: asked.filter,
            group_by,
            limit: asked.limit.unwrap_or(if kind == Kind::Top { 10 } else { 1000 }),
            after: None,
            fingerprint: 0,
        };
        query.fingerprint = query.fingerprint(asked.from, asked.to);
        query.after = asked.cursor.map(|cursor| query.last_row(&cursor)).transpose()?;
        Ok(query)
    }

    /// Hashes the query. An unnamed start or end moves on between two pages, so only those that are named count.
    fn fingerprint(&self, from: Option<i64>, to: Option<i64>) -> u64 {
        let mut writer = Writer::default();
        writer.byte(self.kind as u8);
        writer.byte(self.interval as u8);
        for time in [from, to] {
            writer.text(&time.map(|time| time.to_string()).unwrap_or_default());
        }
        writer.text(self.zone.name());
        writer.length(self.metrics.len());
        self.metrics.iter().for_each(|metric| writer.text(&metric.to_string()));
        writer.text(self.event_type.as_deref().unwrap_or_default());
        let (filtered, values) = self.filter.as_ref().map_or(("", None), |(name, values)| (name, Some(values)));
        writer.text(filtered);
        values.into_iter().flatten().for_each(|value| writer.text(value));
        match &self.group_by {
            None => {}
            Some(GroupBy::EventType) => writer.byte(1),
            Some(GroupBy::Dimension(dimension)) => writer.text(dimension),
        }
        XxHash3_64::oneshot(&writer.0)
    }

    fn last_row(&self, cursor: &str) -> Result<LastRow, Rejection> {
        LastRow::of_cursor(cursor, self.kind, self.fingerprint).ok_or_else(|| {
            let is_old = !cursor.is_empty() && cursor.bytes().all(|byte| byte.is_ascii_digit());
            invalid(if is_old {
                "cursor is one of an earlier version: begin anew, without a cursor".to_owned()
            } else {
                "cursor must be the next of an answer to this query: begin anew, without a cursor".to_owned()
            })
        })
    }

    /// Whether the period of a series lies within the range.
    pub(crate) fn spans(&self, series: &Series) -> bool {
        self.from <= series.period.first_hour() && series.period.until() <= self.until
    }

    /// Whether the answer needs the rollups of a series.
    pub(crate) fn asks_for(&self, series: &Series) -> bool {
        let is_of_type = self.event_type.as_ref().is_none_or(|event_type| *event_type == series.event_type);
        is_of_type && self.spans(series)
    }

    /// Tells a client how to have less read. Event types and metrics do not matter: pages are read whole.
    pub(crate) fn reads_less(&self) -> String {
        let mut ways = self.shorter();
        if self.kind != Kind::Top && self.dimension().is_some() {
            ways.push(if self.filter.is_some() { "no filter" } else { "no dimension" });
        }
        ways.join(", or ")
    }

    fn shorter(&self) -> Vec<&'static str> {
        let mut ways = vec!["a shorter range"];
        if self.kind == Kind::Timeseries && self.interval != Interval::Month {
            ways.push("a longer interval");
        }
        ways
    }

    /// Tells a client how to make the report smaller.
    pub(crate) fn narrower(&self) -> String {
        let mut ways = self.shorter();
        if self.filter.is_none() && self.dimension().is_some() {
            ways.push("a filter");
        }
        if self.event_type.is_none() {
            ways.push("one eventType");
        }
        if self.metrics.contains(&Metric::Users) {
            ways.push("no users");
        }
        if self.metrics.len() > 1 {
            ways.push("fewer metrics");
        }
        ways.join(", or ")
    }

    /// The dimension whose rollups give the answer; `None` if the rollups of all events do.
    pub(crate) fn dimension(&self) -> Option<&str> {
        match (&self.filter, &self.group_by) {
            (Some((dimension, _)), _) | (None, Some(GroupBy::Dimension(dimension))) => Some(dimension),
            _ => None,
        }
    }
}

fn invalid(problem: String) -> Rejection {
    Rejection::InvalidQuery(problem)
}

/// The parameters of a query, before they are checked together.
#[derive(Default)]
struct Asked {
    /// In milliseconds since 1970. Times before that are negative.
    from: Option<i64>,
    to: Option<i64>,
    tz: Option<String>,
    interval: Option<Interval>,
    metrics: Option<Vec<Metric>>,
    event_type: Option<String>,
    filter: Option<(String, BTreeSet<String>)>,
    /// The number of filters, including repeated ones, because the OpenAPI document bounds the list.
    filters: usize,
    group_by: Option<GroupBy>,
    limit: Option<usize>,
    cursor: Option<String>,
}

impl Asked {
    fn take(&mut self, kind: Kind, name: &str, value: &str) -> Result<(), Rejection> {
        match (name, kind) {
            ("from", _) => once(name, &mut self.from, time(name, value)?),
            ("to", _) => once(name, &mut self.to, time(name, value)?),
            ("tz", _) => once(name, &mut self.tz, value.to_owned()),
            ("interval", Kind::Timeseries) => once(name, &mut self.interval, interval(value)?),
            ("metrics", _) => {
                let mut metrics = Vec::new();
                let mut rest = Some(value);
                while let Some(text) = rest {
                    let (metric, others) =
                        names::split_once(text, ',').map_or((text, None), |(metric, rest)| (metric, Some(rest)));
                    let metric = Metric::parse(metric)?;
                    if metrics.contains(&metric) {
                        return Err(invalid(format!("metric {} is given twice", shown(&metric.to_string()))));
                    }
                    metrics.push(metric);
                    if metrics.len() > METRICS {
                        return Err(invalid(format!("too many metrics; the limit is {METRICS}")));
                    }
                    rest = others;
                }
                once(name, &mut self.metrics, metrics)
            }
            ("eventType", _) => once(name, &mut self.event_type, names::check_name(name, value.to_owned())?),
            ("filter", _) => self.filter(value),
            ("groupBy", Kind::Timeseries) | ("dimension", Kind::Top) => {
                let group_by = match value {
                    "" => return Err(invalid(format!("{name} is empty: give eventType or the name of a dimension"))),
                    EVENT_TYPE => GroupBy::EventType,
                    dimension => GroupBy::Dimension(names::name(name, dimension)?),
                };
                once(name, &mut self.group_by, group_by)
            }
            ("limit", Kind::Timeseries | Kind::Top) => {
                let digits = Some(value).filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()));
                let limit =
                    digits.and_then(|digits| digits.parse().ok()).filter(|limit| (1..=MAX_ROWS).contains(limit));
                let problem = || invalid(format!("limit must be 1 to {MAX_ROWS}"));
                once(name, &mut self.limit, limit.ok_or_else(problem)?)
            }
            ("cursor", Kind::Timeseries | Kind::Top) => once(name, &mut self.cursor, value.to_owned()),
            _ => {
                let taken = match kind {
                    Kind::Timeseries => "from, to, interval, tz, metrics, eventType, filter, groupBy, limit, cursor",
                    Kind::Top => "from, to, tz, metrics, eventType, filter, dimension, limit, cursor",
                    Kind::Summary => "from, to, tz, metrics, eventType, filter",
                };
                Err(invalid(format!("unknown parameter {:?}: this report takes {taken}", shown(name))))
            }
        }
    }

    /// Adds a filter. All filters are values of one dimension, and an event counts if it has any of them.
    fn filter(&mut self, text: &str) -> Result<(), Rejection> {
        let (dimension, value) = names::split_once(text, ':')
            .filter(|(dimension, value)| !dimension.is_empty() && !value.is_empty())
            .ok_or_else(|| invalid("filter must be <dimension>:<value>, such as carrier:UA".to_owned()))?;
        if dimension == EVENT_TYPE {
            return Err(invalid(
                r"the parameter eventType filters by event type; filter=\eventType:<value> by a property of that name"
                    .to_owned(),
            ));
        }
        let dimension = names::name("dimension", dimension)?;
        let value = names::unescaped(value)?;
        let longest = Limits::CONTRACT.name_bytes;
        if value.len() > longest {
            return Err(invalid(format!("values of more than {longest} bytes are counted as (other): filter by that")));
        }
        let (known, values) = self.filter.get_or_insert_with(|| (dimension.clone(), BTreeSet::new()));
        if *known != dimension {
            return Err(Rejection::UnsupportedReport(format!(
                "filters are by {known:?} and by {dimension:?}: rollups know one dimension at a time"
            )));
        }
        values.insert(value);
        self.filters += 1;
        if self.filters > FILTERS {
            return Err(invalid(format!("too many filters; the limit is {FILTERS}")));
        }
        Ok(())
    }
}

fn once<T>(name: &str, slot: &mut Option<T>, value: T) -> Result<(), Rejection> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(invalid(format!("{name} is given twice"))),
    }
}

fn time(name: &str, value: &str) -> Result<i64, Rejection> {
    let problem = || invalid(format!("{name} must be RFC 3339, such as 2013-01-01T00:00:00Z (write + as %2B)"));
    rfc3339(value).ok_or_else(problem)
}

/// An hour since 1970 as an edge of the range. No event is earlier than [`Limits::earliest`], and time zones are not
/// known before it, so the part of a range before it is left out.
fn hour_of_events(hour: i64) -> Hour {
    let earliest = Hour::of(Limits::CONTRACT.earliest);
    u32::try_from(hour).map_or(earliest, |hour| Hour(hour).max(earliest))
}

fn interval(value: &str) -> Result<Interval, Rejection> {
    match value {
        "hour" => Ok(Interval::Hour),
        "day" => Ok(Interval::Day),
        "week" => Ok(Interval::Week),
        "month" => Ok(Interval::Month),
        _ => Err(invalid("interval must be hour, day, week or month".to_owned())),
    }
}

impl Metric {
    fn parse(text: &str) -> Result<Self, Rejection> {
        let unknown = || {
            let shown = shown(text);
            invalid(format!(
                "metric {shown:?} must be count, users, or sum, min, max, mean or p0 to p100 and a property, such as p95:delay"
            ))
        };
        match text.split_once(':') {
            None if text == "count" => Ok(Self::Count),
            None if text == "users" => Ok(Self::Users),
            Some((figure, name)) if !name.is_empty() => {
                let figure = match figure {
                    "sum" => Figure::Sum,
                    "min" => Figure::Min,
                    "max" => Figure::Max,
                    "mean" => Figure::Mean,
                    _ => Figure::Percentile(figure.strip_prefix('p').and_then(percentile).ok_or_else(unknown)?),
                };
                Ok(Self::Number(figure, names::name("metric of", name)?))
            }
            _ => Err(unknown()),
        }
    }
}

/// Reads `99.9` as 99,900 thousandths.
fn percentile(text: &str) -> Option<u32> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let thousandths: u32 = format!("{fraction:0<3}").parse().ok()?;
    Some(whole.parse::<u32>().ok()? * 1000 + thousandths).filter(|thousandths| *thousandths <= 100_000)
}

impl fmt::Display for Metric {
    /// Writes the metric as in a query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count => f.write_str("count"),
            Self::Users => f.write_str("users"),
            Self::Number(figure, name) => {
                match figure {
                    Figure::Sum => f.write_str("sum")?,
                    Figure::Min => f.write_str("min")?,
                    Figure::Max => f.write_str("max")?,
                    Figure::Mean => f.write_str("mean")?,
                    Figure::Percentile(thousandths) => {
                        write!(f, "p{}", thousandths / 1000)?;
                        let fraction = format!("{:03}", thousandths % 1000);
                        match fraction.trim_end_matches('0') {
                            "" => {}
                            fraction => write!(f, ".{fraction}")?,
                        }
                    }
                }
                write!(f, ":{}", names::escaped(name))
            }
        }
    }
}

#[cfg(test)]
mod tests;
