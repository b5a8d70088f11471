//! What a report is asked for, checked.

use std::fmt;

use crate::refusal::{Refusal, shown};
use crate::report::calendar::Interval;
use crate::report::zone::Zone;
use crate::rollup::key::Hour;
use crate::time::Millis;

/// The longest range: 400 days.
const HOURS: u32 = 400 * 24;
/// The range of a query that names none: 7 days.
const DEFAULT_HOURS: u32 = 7 * 24;
/// Up to here a time series is by hour unless it is asked for otherwise: 2 days.
const HOURLY: u32 = 48;
const MAX_ROWS: usize = 10_000;
/// The furthest row at which an answer may start.
const MAX_OFFSET: usize = 1 << 24;
const METRICS: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Timeseries,
    Top,
    Summary,
}

/// A checked query.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) kind: Kind,
    pub(crate) from: Hour,
    /// Not included.
    pub(crate) until: Hour,
    pub(crate) zone: Zone,
    pub(crate) interval: Interval,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) event_type: Option<String>,
    /// One dimension, and the values of it that count.
    pub(crate) filter: Option<(String, Vec<String>)>,
    pub(crate) group: Option<Group>,
    pub(crate) limit: usize,
    pub(crate) offset: usize,
}

/// What rows are told apart by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Group {
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
    /// In thousandths of a percent.
    Percentile(u32),
}

impl Query {
    /// Reads the query of a request; `received_at` is where a range ends that names no end.
    pub(crate) fn parse(kind: Kind, query: &str, received_at: Millis) -> Result<Self, Refusal> {
        let mut asked = Asked::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            asked.take(kind, &name, &value)?;
        }
        let until = match asked.to {
            Some(time) if time == Hour::of(time).start() => Hour::of(time),
            Some(time) => Hour::of(time).next(),
            None => Hour::of(received_at).next(),
        };
        let from = asked.from.map_or(Hour(until.0.saturating_sub(DEFAULT_HOURS)), Hour::of);
        if from >= until {
            return Err(invalid("from must be before to".to_owned()));
        }
        let hours = until.0 - from.0;
        if hours > HOURS {
            return Err(Refusal::UnsupportedReport(format!(
                "from and to are {} days apart, at most 400 are possible",
                hours.div_ceil(24)
            )));
        }
        let zone = match asked.tz {
            None => Zone::utc(),
            Some(name) => Zone::find(&name).ok_or_else(|| {
                invalid(format!("tz {:?} is no IANA time zone, such as America/New_York", shown(&name)))
            })?,
        };
        let group = match kind {
            Kind::Top => Some(asked.group.ok_or_else(|| invalid("dimension is required".to_owned()))?),
            Kind::Timeseries | Kind::Summary => asked.group,
        };
        if let (Some((filtered, _)), Some(Group::Dimension(grouped))) = (&asked.filter, &group)
            && filtered != grouped
        {
            return Err(Refusal::UnsupportedReport(format!(
                "filter is by {filtered:?} and rows are by {grouped:?}: rollups know one dimension at a time"
            )));
        }
        Ok(Self {
            kind,
            from,
            until,
            zone,
            interval: asked.interval.unwrap_or(if hours <= HOURLY { Interval::Hour } else { Interval::Day }),
            metrics: asked.metrics.unwrap_or_else(|| vec![Metric::Count]),
            event_type: asked.event_type,
            filter: asked.filter,
            group,
            limit: asked.limit.unwrap_or(if kind == Kind::Top { 10 } else { 1000 }),
            offset: asked.offset.unwrap_or(0),
        })
    }

    /// The dimension whose rollups give the answer; `None`: those of all events do.
    pub(crate) fn dimension(&self) -> Option<&str> {
        match (&self.filter, &self.group) {
            (Some((dimension, _)), _) | (None, Some(Group::Dimension(dimension))) => Some(dimension),
            _ => None,
        }
    }
}

fn invalid(problem: String) -> Refusal {
    Refusal::InvalidQuery(problem)
}

/// What a query says, parameter by parameter.
#[derive(Default)]
struct Asked {
    from: Option<Millis>,
    to: Option<Millis>,
    tz: Option<String>,
    interval: Option<Interval>,
    metrics: Option<Vec<Metric>>,
    event_type: Option<String>,
    filter: Option<(String, Vec<String>)>,
    group: Option<Group>,
    limit: Option<usize>,
    offset: Option<usize>,
}

impl Asked {
    fn take(&mut self, kind: Kind, name: &str, value: &str) -> Result<(), Refusal> {
        match (name, kind) {
            ("from", _) => once(name, &mut self.from, time(name, value)?),
            ("to", _) => once(name, &mut self.to, time(name, value)?),
            ("tz", _) => once(name, &mut self.tz, value.to_owned()),
            ("interval", Kind::Timeseries) => once(name, &mut self.interval, interval(value)?),
            ("metrics", _) => {
                let metrics = value.split(',').map(Metric::parse).collect::<Result<Vec<_>, _>>()?;
                if metrics.len() > METRICS {
                    return Err(invalid(format!("metrics are {}, at most {METRICS} are possible", metrics.len())));
                }
                if let Some(twice) = (1..metrics.len()).find(|&at| metrics[..at].contains(&metrics[at])) {
                    return Err(invalid(format!("metric {} is given twice", metrics[twice])));
                }
                once(name, &mut self.metrics, metrics)
            }
            ("eventType", _) => once(name, &mut self.event_type, value.to_owned()),
            ("filter", _) => self.filter(value),
            ("groupBy", Kind::Timeseries) | ("dimension", Kind::Top) => {
                let group = match value {
                    "" => return Err(invalid(format!("{name} is empty: give eventType or the name of a dimension"))),
                    "eventType" => Group::EventType,
                    dimension => Group::Dimension(dimension.to_owned()),
                };
                once(name, &mut self.group, group)
            }
            ("limit", Kind::Timeseries | Kind::Top) => {
                let limit = value.parse().ok().filter(|limit| (1..=MAX_ROWS).contains(limit));
                let problem = || invalid(format!("limit must be 1 to {MAX_ROWS}"));
                once(name, &mut self.limit, limit.ok_or_else(problem)?)
            }
            ("cursor", Kind::Timeseries | Kind::Top) => {
                // No answer has a row beyond, and what fits `usize` would be another thing on each target.
                let offset = value.parse().ok().filter(|offset| *offset <= MAX_OFFSET);
                let offset = offset.ok_or_else(|| invalid("cursor must be the next of an answer".to_owned()))?;
                once(name, &mut self.offset, offset)
            }
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

    /// Values of one dimension: an event counts if it has any of them.
    fn filter(&mut self, text: &str) -> Result<(), Refusal> {
        let (dimension, value) = text
            .split_once(':')
            .filter(|(dimension, value)| !dimension.is_empty() && !value.is_empty())
            .ok_or_else(|| invalid("filter must be <dimension>:<value>, such as carrier:UA".to_owned()))?;
        let (known, values) = self.filter.get_or_insert_with(|| (dimension.to_owned(), Vec::new()));
        if known != dimension {
            return Err(Refusal::UnsupportedReport(format!(
                "filters are by {known:?} and by {dimension:?}: rollups know one dimension at a time"
            )));
        }
        values.push(value.to_owned());
        Ok(())
    }
}

fn once<T>(name: &str, slot: &mut Option<T>, value: T) -> Result<(), Refusal> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(invalid(format!("{name} is given twice"))),
    }
}

fn time(name: &str, value: &str) -> Result<Millis, Refusal> {
    Millis::from_rfc3339(value).map_err(|_not_a_time| {
        invalid(format!("{name} must be RFC 3339, such as 2013-01-01T00:00:00Z (write + as %2B)"))
    })
}

fn interval(value: &str) -> Result<Interval, Refusal> {
    match value {
        "hour" => Ok(Interval::Hour),
        "day" => Ok(Interval::Day),
        "week" => Ok(Interval::Week),
        "month" => Ok(Interval::Month),
        _ => Err(invalid("interval must be hour, day, week or month".to_owned())),
    }
}

impl Metric {
    fn parse(text: &str) -> Result<Self, Refusal> {
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
                Ok(Self::Number(figure, name.to_owned()))
            }
            _ => Err(unknown()),
        }
    }
}

/// `99.9` as 99,900 thousandths.
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
    /// As it is written in a query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count => f.write_str("count"),
            Self::Users => f.write_str("users"),
            Self::Number(Figure::Sum, name) => write!(f, "sum:{name}"),
            Self::Number(Figure::Min, name) => write!(f, "min:{name}"),
            Self::Number(Figure::Max, name) => write!(f, "max:{name}"),
            Self::Number(Figure::Mean, name) => write!(f, "mean:{name}"),
            Self::Number(Figure::Percentile(thousandths), name) => {
                write!(f, "p{}", thousandths / 1000)?;
                let fraction = format!("{:03}", thousandths % 1000);
                match fraction.trim_end_matches('0') {
                    "" => write!(f, ":{name}"),
                    fraction => write!(f, ".{fraction}:{name}"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_357_000_000_000);

    fn parse(kind: Kind, query: &str) -> Result<Query, String> {
        Query::parse(kind, query, NOW).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn ranges_are_whole_hours() {
        let query = parse(Kind::Summary, "from=2013-01-01T00:30:00Z&to=2013-01-01T02:00:00.001Z").unwrap();
        assert_eq!((query.from, query.until), (Hour(376_944), Hour(376_947)));
        let query = parse(Kind::Timeseries, "").unwrap();
        assert_eq!((query.until.0 - query.from.0, query.until), (168, Hour::of(NOW).next()));
    }

    #[test]
    fn metrics_are_written_as_they_are_read() {
        for metrics in ["count", "users", "sum:a:b", "p99.9:x", "p0.5:x", "p100:x", "min:é", "mean:x"] {
            assert_eq!(Metric::parse(metrics).unwrap().to_string(), metrics);
        }
        for wrong in ["", "Count", "p:x", "p101:x", "p99.:x", "p9.1234:x", "p-1:x", "p+1:x", "sum:", "sum", "median:x"]
        {
            assert!(Metric::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_no_rollup_can_answer_is_refused() {
        for (kind, query, problem) in [
            (Kind::Timeseries, "from=2013-01-02T00:00:00Z&to=2013-01-01T00:00:00Z", "from must be before to"),
            (Kind::Timeseries, "from=2011-01-02T00:00:00Z&to=2013-01-01T00:00:00Z", "at most 400"),
            (Kind::Timeseries, "from=yesterday", "RFC 3339"),
            (Kind::Timeseries, "tz=Mars/Olympus", "no IANA time zone"),
            (Kind::Timeseries, "interval=minute", "hour, day, week or month"),
            (Kind::Timeseries, "interval=day&interval=day", "interval is given twice"),
            (Kind::Timeseries, "metrics=count&metrics=users", "metrics is given twice"),
            (Kind::Timeseries, "metrics=count,sum:n,count", "metric count is given twice"),
            (Kind::Timeseries, "metrics=p50:n,p50.0:n", "metric p50:n is given twice"),
            (Kind::Timeseries, "cursor=1&cursor=2", "cursor is given twice"),
            (Kind::Timeseries, "filter=carrier", "<dimension>:<value>"),
            (Kind::Timeseries, "filter=carrier:UA&filter=dest:ATL", "one dimension at a time"),
            (Kind::Timeseries, "filter=carrier:UA&groupBy=dest", "one dimension at a time"),
            (Kind::Timeseries, "limit=0", "1 to 10000"),
            (Kind::Timeseries, "cursor=x", "next of an answer"),
            (Kind::Timeseries, "cursor=4294967295", "next of an answer"),
            (Kind::Timeseries, "cursor=4294967296", "next of an answer"),
            (Kind::Timeseries, "dimension=dest", "unknown parameter \"dimension\""),
            (Kind::Top, "metrics=count", "dimension is required"),
            (Kind::Summary, "limit=1", "unknown parameter \"limit\""),
        ] {
            let message = parse(kind, query).unwrap_err();
            assert!(message.contains(problem), "{query}: {message}");
        }
    }

    #[test]
    fn filters_of_one_dimension_add_up() {
        let query = parse(Kind::Timeseries, "filter=carrier%3AUA&filter=carrier:A:B&groupBy=carrier").unwrap();
        assert_eq!(query.filter, Some(("carrier".to_owned(), vec!["UA".to_owned(), "A:B".to_owned()])));
        assert_eq!(query.dimension(), Some("carrier"));
    }
}
