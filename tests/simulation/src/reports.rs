//! Reports, compared with a recount of all events that were kept.

use std::collections::BTreeMap;
use std::rc::Rc;

use isotherm_core::{Millis, Plan, ReportPlan, ReportReply, Request};
use serde_json::Value;

use crate::clients::{Clients, authorization};
use crate::mapping::TICK;
use crate::platform::Platform;
use crate::truth::Count;
use crate::world::{DAY, HOUR, SECOND, World};

/// While nothing fails, `asOf` has passed an event after this many windows, plus this many milliseconds for the
/// batches.
const TRAILS: u64 = 2;
const BATCHES_TAKE: u64 = 3 * TICK;

/// The rows of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rows {
    Days,
    HoursByType,
    DaysByCarrier,
    TopCarriers,
}

impl Rows {
    pub(crate) const ALL: [Self; 4] = [Self::Days, Self::HoursByType, Self::DaysByCarrier, Self::TopCarriers];

    fn path(self) -> &'static str {
        if self == Self::TopCarriers { "/reports/top" } else { "/reports/timeseries" }
    }

    fn query(self) -> &'static str {
        match self {
            Self::Days => "interval=day",
            Self::HoursByType => "interval=hour&groupBy=eventType&limit=10000",
            Self::DaysByCarrier => "interval=day&groupBy=carrier&limit=10000",
            Self::TopCarriers => "dimension=carrier",
        }
    }

    /// The row that these events belong to: its start, and its name.
    fn row(self, hour: u64, event_type: &str, carrier: &str) -> (u64, String) {
        let day = hour / 24 * 24;
        match self {
            Self::Days => (day, String::new()),
            Self::HoursByType => (hour, event_type.to_owned()),
            Self::DaysByCarrier => (day, carrier.to_owned()),
            Self::TopCarriers => (0, carrier.to_owned()),
        }
    }
}

/// A report on these hours.
pub(crate) struct Report {
    pub(crate) tenant: String,
    pub(crate) rows: Rows,
    pub(crate) hours: std::ops::Range<u64>,
}

impl Clients {
    /// Asks for a report while others write. It must count at least the events kept when it was asked for, and at
    /// most those kept when it is answered.
    pub(crate) async fn ask<P: Platform>(self: Rc<Self>, platform: Rc<P>, report: Report) {
        let world = &self.world;
        let (least, known) = (report.count(world), world.truth.borrow().len());
        let Some((body, asked_at)) = self.answer(&*platform, &report).await else { return };
        let as_of = as_of(&body, asked_at);
        let is_right = if platform.window().is_some() { as_of <= Some(asked_at) } else { as_of == Some(asked_at) };
        let Some(as_of) = as_of.filter(|_| is_right) else {
            return world.violated(format!("asOf is {} at {}", body["asOf"], rfc3339(asked_at)));
        };
        if body["incomplete"] == true {
            return;
        }
        let most = report.count(world);
        let counted = counted(&body);
        let total = |counts: &BTreeMap<_, Count>| counts.values().map(|count| count.count).sum::<u64>();
        let mut uncertain = total(&report.count_lost(world));
        if platform.window().is_some() {
            uncertain += world.truth.borrow().count_since(as_of, known, &report.tenant, &report.hours);
        }
        let (least, total, most) = (total(&least).saturating_sub(uncertain), total(&counted), total(&most));
        world.say(|| format!("{} counts {total}, between {least} and {most}", report.name()));
        if total < least || total > most {
            world.violated(format!("{} counts {total} events, and there are {least} to {most}", report.name()));
        }
    }

    /// Asks for a report while nothing else happens. Each row must equal a recount.
    pub(crate) async fn ask_quietly<P: Platform>(self: Rc<Self>, platform: Rc<P>, report: Report) {
        let world = &self.world;
        let Some((body, _)) = self.answer(&*platform, &report).await else {
            return world.violated(format!("{} is not answered", report.name()));
        };
        world.figures.borrow_mut().reports += 1;
        if body["incomplete"] == true {
            let may_have_lost = world.truth.borrow().may_have_lost(&report.hours);
            if !may_have_lost && !world.faults.damaged.borrow().contains(&report.tenant) {
                world.violated(format!("{} is incomplete, and nothing of it is damaged or lost", report.name()));
            }
            return;
        }
        if world.truth.borrow().has_lost(&report.hours) {
            world.violated(format!("{} is not incomplete, and events of its hours are lost", report.name()));
        }
        let (expected, lost, counted) = (report.count(world), report.count_lost(world), counted(&body));
        let is_same = |row: &&Row| {
            let count = |counts: &BTreeMap<Row, Count>| counts.get(row).map_or(0, |count| count.count);
            let (lost, most, counted_of_row) = (count(&lost), count(&expected), count(&counted));
            let is_between = (most - lost..=most).contains(&counted_of_row);
            if lost > 0 { is_between } else { expected.get(row) == counted.get(row) }
        };
        let differ = expected.keys().chain(counted.keys()).find(|row| !is_same(row));
        if differ.is_some() {
            let shown = differ.map(|row| (row, expected.get(row), counted.get(row)));
            world.violated(format!("{} is not what a recount gives: {shown:?}", report.name()));
        }
    }

    /// Asks for a report while nothing else happens, after events have come in the last windows. Measures how far
    /// `asOf` trails: the age of the first event that the report does not cover.
    pub(crate) async fn ask_for_fresh<P: Platform>(self: Rc<Self>, platform: Rc<P>, report: Report, window: u64) {
        let world = &self.world;
        let Some((body, asked_at)) = self.answer(&*platform, &report).await else { return };
        let as_of = as_of(&body, asked_at).unwrap_or_default();
        let first = world.truth.borrow().first_since(as_of).unwrap_or(asked_at);
        let trails = asked_at.0 - first.0;
        world.say(|| format!("asOf trails by {:.2} windows of {} s", trails as f64 / window as f64, window / SECOND));
        if trails > TRAILS * window + BATCHES_TAKE {
            let (windows, length) = (trails as f64 / window as f64, window / SECOND);
            world.violated(format!("asOf trails events by {windows:.1} windows of {length} s where nothing fails"));
        }
        let mut figures = world.figures.borrow_mut();
        figures.trails = figures.trails.max(100 * trails / window);
    }

    async fn answer<P: Platform>(&self, platform: &P, report: &Report) -> Option<(Value, Millis)> {
        let asked_at = self.world.now();
        let plan = self.plan(report)?;
        let outcome = platform.report(&plan).await;
        let ReportReply { reply, .. } = plan.respond(outcome);
        match reply.status {
            200 => Some((serde_json::from_slice(&reply.body).ok()?, asked_at)),
            503 => None,
            status => {
                let body = String::from_utf8_lossy(&reply.body).into_owned();
                self.world.violated(format!("{} is answered {status}: {body}", report.name()));
                None
            }
        }
    }
}

impl Clients {
    /// Core's plan for a request for this report.
    pub(crate) fn plan(&self, report: &Report) -> Option<ReportPlan> {
        let Report { tenant, rows, hours } = report;
        let (from, to) = (rfc3339(Millis(hours.start * HOUR)), rfc3339(Millis(hours.end * HOUR)));
        let query = format!("from={from}&to={to}&metrics=count,sum:n,min:n,max:n&{}", rows.query());
        let headers = [authorization(tenant)];
        let request = Request { method: "GET", path: rows.path(), query: &query, headers: &headers, body: &[] };
        match self.admit(&request)? {
            Plan::Report(plan) => Some(plan),
            _ => None,
        }
    }
}

impl Report {
    /// A report on all that the tenant has, or on a part of it.
    pub(crate) fn any(world: &World, tenant: &str, rows: Rows, is_part: bool) -> Self {
        let hours = world.truth.borrow().hours(tenant);
        let now = world.now().0 / HOUR + 1;
        let first = hours.first().copied().unwrap_or(now - 1);
        // Rows of days are compared as whole days.
        let whole = |hour: u64| if rows == Rows::HoursByType { hour } else { hour / 24 * 24 };
        let longest = if rows == Rows::HoursByType { 7 * 24 } else { 399 * 24 };
        let (mut from, mut until) = (whole(first.max(now.saturating_sub(longest))), whole(now + 23));
        if is_part {
            from = whole(from + world.below(until - from));
            until = whole(from + 24 + world.below(until - from + 24));
        }
        Self { tenant: tenant.to_owned(), rows, hours: from..until.max(from + 24) }
    }

    pub(crate) fn name(&self) -> String {
        let Self { tenant, rows, hours } = self;
        format!(
            "{rows:?} of {tenant} from {} on, for {} h",
            rfc3339(Millis(hours.start * HOUR)),
            hours.end - hours.start
        )
    }

    fn count(&self, world: &World) -> BTreeMap<Row, Count> {
        let row = |hour, event_type: &str, carrier: &str| self.rows.row(hour, event_type, carrier);
        self.by_row(world.truth.borrow().count(&self.tenant, self.hours.clone(), row))
    }

    fn count_lost(&self, world: &World) -> BTreeMap<Row, Count> {
        let row = |hour, event_type: &str, carrier: &str| self.rows.row(hour, event_type, carrier);
        self.by_row(world.truth.borrow().count_lost(&self.tenant, self.hours.clone(), row))
    }

    fn by_row(&self, counts: BTreeMap<(u64, String), Count>) -> BTreeMap<Row, Count> {
        let time = |hour| if self.rows == Rows::TopCarriers { String::new() } else { seconds(Millis(hour * HOUR)) };
        counts.into_iter().map(|((hour, name), count)| ((time(hour), name), count)).collect()
    }
}

/// The start and name of a row.
type Row = (String, String);

/// The rows of an answer with a count above 0.
fn counted(body: &Value) -> BTreeMap<Row, Count> {
    let number = |value: &Value| value.as_i64().or_else(|| value.as_f64().map(|number| number as i64));
    let rows = body["rows"].as_array().map_or(&[][..], Vec::as_slice).iter();
    let rows = rows.filter(|row| row["count"] != 0).map(|row| {
        let name = row["group"].as_str().or(row["value"].as_str()).unwrap_or_default().to_owned();
        let count = Count {
            count: row["count"].as_u64().unwrap_or_default(),
            sum: number(&row["sum:n"]).unwrap_or_default(),
            min: number(&row["min:n"]),
            max: number(&row["max:n"]),
        };
        ((row["time"].as_str().unwrap_or_default().to_owned(), name), count)
    });
    rows.collect()
}

/// The time up to which an answer is complete. It is found only if it lies on one of the last three days.
fn as_of(body: &Value, asked_at: Millis) -> Option<Millis> {
    let text = body["asOf"].as_str()?;
    let is_day = |day: &u64| rfc3339(Millis(day * DAY)).get(..11) == text.get(..11);
    let day = (0..3).map(|ago| asked_at.0 / DAY - ago).find(is_day)?;
    let number = |places: std::ops::Range<usize>| text.get(places)?.parse::<u64>().ok();
    let seconds = (number(11..13)? * 60 + number(14..16)?) * 60 + number(17..19)?;
    Some(Millis(day * DAY + seconds * 1000 + number(20..23)?))
}

/// Formats a time like `2025-01-01T10:00:00.000Z`, as answers do.
pub(crate) fn rfc3339(Millis(time): Millis) -> String {
    let (year, month, day) = civil(time / DAY);
    let (hour, minute, second, milli) = (time % DAY / HOUR, time / 60_000 % 60, time / 1000 % 60, time % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// Formats a time without milliseconds, as rows do.
fn seconds(time: Millis) -> String {
    rfc3339(time).replace(".000", "")
}

/// Year, month and day, counted year by year. A simulation needs no faster way, and core's own code is under test.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let mut year = 1970;
    loop {
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let length = 365 + u64::from(is_leap);
        if days < length {
            let months = [31, 28 + u64::from(is_leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            let mut month = 1;
            for length in months {
                if days < length {
                    break;
                }
                days -= length;
                month += 1;
            }
            return (year, month, days + 1);
        }
        days -= length;
        year += 1;
    }
}
