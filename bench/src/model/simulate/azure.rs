//! The traces that Azure Functions published: counts per minute (2019) and rows per invocation (2021).
//!
//! Both are replayed as load on *one* function: all rows together, or the rows of one named function.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use anyhow::{Context, Result, bail, ensure};

use crate::model::simulate::arrival::Arrival;
use crate::model::simulate::generate::{Spread, burst};
use crate::model::simulate::input::Lines;
use crate::model::simulate::time::Micros;

/// Minutes in a file of 2019: one day.
pub(crate) const MINUTES: usize = 1440;

/// Number of columns before the counts in a file of 2019.
const BEFORE_COUNTS: usize = 4;

/// The sum of each minute over the rows of a file of 2019: `HashOwner,HashApp,HashFunction,Trigger,1,…,1440`. With
/// `function`, only rows count whose HashFunction begins with it.
///
/// # Errors
/// Fails if the file does not have this format, and names the line. Fails if no row belongs to that function.
pub(crate) fn per_minute(lines: &mut Lines, function: Option<&str>) -> Result<Vec<u64>> {
    let header = lines.next()?.unwrap_or_default();
    ensure!(
        header.starts_with("HashOwner,HashApp,HashFunction,Trigger,1,"),
        "{}: the first line is not HashOwner,HashApp,HashFunction,Trigger,1,…,{MINUTES}",
        lines.place()
    );
    let mut sums = vec![0_u64; MINUTES];
    let mut has_rows = false;
    while let Some(line) = lines.next()? {
        if line.is_empty() {
            continue;
        }
        let is_asked_for =
            function.is_none_or(|function| line.split(',').nth(2).is_some_and(|name| name.starts_with(function)));
        if !is_asked_for {
            continue;
        }
        has_rows = true;
        if let Err(problem) = add(line, &mut sums) {
            bail!("{}: {problem}", lines.place());
        }
    }
    match function {
        Some(function) if !has_rows => {
            bail!("{}: no row is of a function that begins with {function:?}", lines.name())
        }
        _ => Ok(sums),
    }
}

fn add(row: &str, sums: &mut [u64]) -> Result<()> {
    let columns = row.split(',').count();
    ensure!(columns == BEFORE_COUNTS + MINUTES, "has {columns} columns, not {}", BEFORE_COUNTS + MINUTES);
    for (minute, (sum, count)) in sums.iter_mut().zip(row.split(',').skip(BEFORE_COUNTS)).enumerate() {
        let count: u32 = count.parse().ok().with_context(|| format!("minute {}: {count:?} is no count", minute + 1))?;
        *sum += u64::from(count);
    }
    Ok(())
}

/// Arrivals at the given count per minute, spread evenly within each minute.
pub(crate) fn spread(counts: Vec<u64>, seed: u64) -> impl Iterator<Item = Micros> {
    counts.into_iter().enumerate().flat_map(move |(minute, count)| {
        let start = Micros(minute as u64 * Micros::MINUTE.0);
        let seed = seed.wrapping_add(1 + minute as u64);
        burst(count, Spread::Within(Micros::MINUTE), seed).map(move |at| start + at)
    })
}

/// The arrival and duration of a row in microseconds. The row waits for rows with earlier arrivals.
type Row = Reverse<(i64, u64)>;

/// The invocations of a file of 2021, in order of arrival. Its rows are `app,func,end_timestamp,duration`, in seconds.
///
/// An invocation arrived at `end_timestamp − duration`. The file is in order of ends, so arrivals are sorted again, in
/// memory that holds the rows of one `window`. A duration longer than the window can't be put in order and is an error,
/// which names the line.
pub(crate) struct Invocations {
    lines: Lines,
    function: Option<String>,
    window: Micros,
    waiting: BinaryHeap<Row>,
    latest_end: i64,
    /// The first and the last arrival that were returned.
    given: Option<(i64, i64)>,
    is_read: bool,
    has_failed: bool,
}

impl Invocations {
    /// # Errors
    /// Fails if the first line is not the header.
    pub(crate) fn new(mut lines: Lines, function: Option<String>, window: Micros) -> Result<Self> {
        let header = lines.next()?.unwrap_or_default();
        ensure!(
            header == "app,func,end_timestamp,duration",
            "{}: the first line is not app,func,end_timestamp,duration",
            lines.place()
        );
        Ok(Self {
            lines,
            function,
            window,
            waiting: BinaryHeap::new(),
            latest_end: i64::MIN,
            given: None,
            is_read: false,
            has_failed: false,
        })
    }

    fn read_row(&mut self) -> Result<()> {
        let Some(line) = self.lines.next()? else {
            self.is_read = true;
            return Ok(());
        };
        let row = if line.is_empty() { Ok(None) } else { parse(line, self.function.as_deref()) };
        let Some((end, duration)) = row.with_context(|| self.lines.place())? else { return Ok(()) };
        let arrival = end - duration as i64;
        if let Some((_, last)) = self.given {
            ensure!(
                arrival >= last,
                "{}: arrived {} before an earlier row: sort the file by end_timestamp, or give a window that is longer than {}",
                self.lines.place(),
                Micros(last.abs_diff(arrival)),
                self.window
            );
        }
        self.waiting.push(Reverse((arrival, duration)));
        self.latest_end = self.latest_end.max(end);
        Ok(())
    }

    fn next_arrival(&mut self) -> Result<Option<Arrival>> {
        loop {
            let settled = self.latest_end.saturating_sub_unsigned(self.window.0);
            match self.waiting.peek() {
                Some(Reverse((arrival, _))) if self.is_read || *arrival <= settled => break,
                None if self.is_read => break,
                _ => self.read_row()?,
            }
        }
        let Some(Reverse((arrival, duration))) = self.waiting.pop() else { return Ok(None) };
        let (first, _) = self.given.unwrap_or((arrival, arrival));
        self.given = Some((first, arrival));
        Ok(Some(Arrival { at: Micros(arrival.abs_diff(first)), service: Some(Micros(duration)) }))
    }
}

/// The end and the duration of a row, in microseconds; `None` if the row belongs to another function.
fn parse(row: &str, function: Option<&str>) -> Result<Option<(i64, u64)>> {
    let mut columns = row.split(',');
    let (Some(_app), Some(func), Some(end), Some(duration), None) =
        (columns.next(), columns.next(), columns.next(), columns.next(), columns.next())
    else {
        bail!("has {} columns, not 4", row.split(',').count());
    };
    if function.is_some_and(|function| !func.starts_with(function)) {
        return Ok(None);
    }
    let seconds = |name: &str, text: &str, range: std::ops::Range<f64>| -> Result<f64> {
        let seconds = text.trim().parse().ok().filter(|seconds| range.contains(seconds));
        seconds.with_context(|| format!("{name}: {text:?} is no number of seconds"))
    };
    let end = seconds("end_timestamp", end, -1e12..1e12)?;
    let duration = seconds("duration", duration, 0.0..1e9)?;
    Ok(Some(((end * 1e6).round() as i64, (duration * 1e6).round() as u64)))
}

impl Iterator for Invocations {
    type Item = Result<Arrival>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed {
            return None;
        }
        let next = self.next_arrival();
        self.has_failed = next.is_err();
        next.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::simulate::input::tests::lines;

    fn header() -> String {
        let minutes: Vec<String> = (1..=MINUTES).map(|minute| minute.to_string()).collect();
        format!("HashOwner,HashApp,HashFunction,Trigger,{}\n", minutes.join(","))
    }

    /// A row whose counts are 0 except for the given minutes.
    fn row(function: &str, counts: &[(usize, u64)]) -> String {
        let mut all = vec![0; MINUTES];
        counts.iter().for_each(|(minute, count)| all[minute - 1] = *count);
        let all: Vec<String> = all.iter().map(u64::to_string).collect();
        format!("o,a,{function},http,{}\n", all.join(","))
    }

    #[test]
    fn minutes_of_2019_are_summed_and_spread() {
        let file = header() + &row("f1", &[(1, 3), (1440, 2)]) + &row("f2", &[(1, 4)]);
        let sums = per_minute(&mut lines(&file), None).unwrap();
        assert_eq!((sums[0], sums[1439], sums.iter().sum::<u64>()), (7, 2, 9));
        let times: Vec<Micros> = spread(sums, 1).collect();
        assert!(times.is_sorted() && times.len() == 9);
        assert!(times[6] < Micros::MINUTE && times[7] >= Micros(1439 * 60_000_000), "{times:?}");
        assert!(times[8] < Micros(1440 * 60_000_000));
        let one = per_minute(&mut lines(&file), Some("f2")).unwrap();
        assert_eq!(one.iter().sum::<u64>(), 4);
    }

    #[test]
    fn what_is_no_file_of_2019_is_named_with_its_line() {
        let good = row("f1", &[(1, 3)]);
        let short = good.replacen(",0", "", 1);
        let wrong = good.replacen(",3,", ",x,", 1);
        for (file, function, expect) in [
            ("a,b\n".to_owned(), None, "mine.csv:1: the first line is not HashOwner,"),
            (String::new(), None, "mine.csv:1: the first line"),
            (header() + &good + &short, None, "mine.csv:3: has 1443 columns, not 1444"),
            (header() + &wrong, None, "mine.csv:2: minute 1: \"x\" is no count"),
            (header() + &good, Some("g"), "mine.csv: no row is of a function that begins with \"g\""),
        ] {
            let error = format!("{:#}", per_minute(&mut lines(&file), function).unwrap_err());
            assert!(error.starts_with(expect), "{error}");
        }
    }

    const HEADER: &str = "app,func,end_timestamp,duration\n";

    fn invocations(rows: &str, function: Option<&str>, window: &str) -> Result<Vec<(f64, f64)>> {
        let window = Micros::parse(window).unwrap();
        let invocations = Invocations::new(lines(&format!("{HEADER}{rows}")), function.map(str::to_owned), window)?;
        let pair = |arrival: Result<Arrival>| {
            arrival.map(|arrival| (arrival.at.seconds(), arrival.service.unwrap_or_default().seconds()))
        };
        invocations.map(pair).collect()
    }

    #[test]
    fn invocations_of_2021_come_in_the_order_of_arrival() {
        let rows = "a,f,0.5,0.1\na,g,2,1\na,f,3,2.9\na,f,100,0\n";
        let expect = vec![(0.0, 2.9), (0.3, 0.1), (0.9, 1.0), (99.9, 0.0)];
        let near = |got: Vec<(f64, f64)>, expect: &[(f64, f64)]| {
            assert_eq!(got.len(), expect.len(), "{got:?}");
            for (got, expect) in got.iter().zip(expect) {
                assert!((got.0 - expect.0).abs() < 1e-9 && (got.1 - expect.1).abs() < 1e-9, "{got:?}, not {expect:?}");
            }
        };
        near(invocations(rows, None, "10s").unwrap(), &expect);
        near(invocations(rows, None, "1d").unwrap(), &expect);
        near(invocations(rows, Some("g"), "1d").unwrap(), &[(0.0, 1.0)]);
    }

    #[test]
    fn memory_is_that_of_the_window() {
        let rows: String = (0..20_000).map(|n| format!("a,f,{n},0.5\n")).collect();
        let file = format!("{HEADER}{rows}");
        let mut invocations = Invocations::new(lines(&file), None, Micros(60_000_000)).unwrap();
        let mut most = 0;
        while invocations.next().transpose().unwrap().is_some() {
            most = most.max(invocations.waiting.len());
        }
        assert!((55..=65).contains(&most), "{most} rows were kept");
    }

    #[test]
    fn what_is_no_file_of_2021_is_named_with_its_line() {
        for (rows, expect) in [
            ("a,f,1\n", "mine.csv:2: has 3 columns, not 4"),
            ("a,f,1,2\na,f,x,2\n", "mine.csv:3: end_timestamp: \"x\" is no number of seconds"),
            ("a,f,1,-2\n", "mine.csv:2: duration: \"-2\" is no number of seconds"),
            ("a,f,1,NaN\n", "mine.csv:2: duration"),
            ("a,f,100,0\na,f,200,0\na,f,201,150\n", "mine.csv:4: arrived 49s before an earlier row: sort the file"),
        ] {
            let error = format!("{:#}", invocations(rows, None, "10s").unwrap_err());
            assert!(error.starts_with(expect), "{error}");
        }
        let error = Invocations::new(lines("a,b\n"), None, Micros::MINUTE).err().unwrap().to_string();
        assert!(error.starts_with("mine.csv:1: the first line is not app,"), "{error}");
    }
}
