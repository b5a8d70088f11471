//! The source of arrivals: a stream in order of time, which is read once and never kept.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use isotherm_core::Millis;

use crate::contract::Contract;
use crate::model::cost::given::SECONDS;
use crate::model::logs;
use crate::model::logs::entry::Entry;
use crate::model::logs::observed::Observed;
use crate::model::simulate::arrival::{Arrival, Arrivals, Trace};
use crate::model::simulate::azure::{self, Invocations};
use crate::model::simulate::generate::{self, Spread};
use crate::model::simulate::input::{Lines, Open};
use crate::model::simulate::options::Options;
use crate::model::simulate::scale::Scaled;
use crate::model::simulate::time::{Micros, parse_rate};
use crate::words::amount;
use crate::workload::Workload;

/// The default length of generated arrivals.
const GENERATED: Micros = Micros(24 * 3600 * 1_000_000);

/// How long the simulation goes on after the start of a single burst.
const AFTER_BURST: Micros = Micros(3600 * 1_000_000);

/// The default window in which the rows of a trace per invocation are sorted.
const WINDOW: Micros = Micros(24 * 3600 * 1_000_000);

/// The spread of a log whose times are whole seconds has a random stream of its own.
const SECONDS_STREAM: u64 = 0x5ec0_4d50_0000_0000;

/// A trace as `--trace` names it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spec {
    text: String,
    kind: Kind,
    /// The rate that generated arrivals have exactly, and not only on average.
    exact_rate: Option<f64>,
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Flights {
        spread: Micros,
    },
    Events {
        file: PathBuf,
        spread: Micros,
    },
    Poisson {
        rate: f64,
    },
    Bursty {
        rate: f64,
        size: f64,
        within: Micros,
    },
    Burst {
        count: u64,
        spread: Spread,
        after: Micros,
    },
    /// Without a spread, whole seconds are spread over a second.
    Logs {
        file: PathBuf,
        spread: Option<Micros>,
    },
    Azure2019 {
        file: PathBuf,
        function: Option<String>,
    },
    Azure2021 {
        file: PathBuf,
        function: Option<String>,
        window: Micros,
    },
}

impl FromStr for Spec {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, rest) = text.split_once([':', ',']).unwrap_or((text, ""));
        // A comma after the name begins options: such a trace has no argument.
        let has_argument = text[name.len()..].starts_with(':');
        let (argument, options) = if has_argument { rest.split_once(',').unwrap_or((rest, "")) } else { ("", rest) };
        let mut options = Options::parse(options)?;
        let file = || -> Result<PathBuf> {
            ensure!(!argument.is_empty(), "{text:?}: a file must follow, {name}:FILE");
            Ok(PathBuf::from(argument))
        };
        let kind = match name {
            "flights" => Kind::Flights { spread: options.time("spread")?.unwrap_or_default() },
            "events" => Kind::Events { file: file()?, spread: options.time("spread")?.unwrap_or_default() },
            "logs" => Kind::Logs { file: file()?, spread: options.time("spread")? },
            "poisson" => Kind::Poisson { rate: parse_rate(argument)? },
            "bursty" => Kind::Bursty {
                rate: parse_rate(argument)?,
                size: options.number("size", 1.0, 1e6)?.unwrap_or(10.0),
                within: options.time("within")?.unwrap_or(Micros::SECOND),
            },
            "burst" => {
                let count = argument.parse().ok().filter(|count| (1..=10_000_000_000).contains(count));
                let count = count.with_context(|| format!("{argument:?} is no number of requests, such as 500"))?;
                let spread = match (options.time("within")?, options.time("decay")?) {
                    (Some(_), Some(_)) => bail!("{text:?}: give either within or decay"),
                    (None, Some(time)) => Spread::Decay(time),
                    (within, None) => Spread::Within(within.unwrap_or(Micros::MINUTE)),
                };
                Kind::Burst { count, spread, after: options.time("after")?.unwrap_or_default() }
            }
            "azure2019" => Kind::Azure2019 { file: file()?, function: options.text("function") },
            "azure2021" => Kind::Azure2021 {
                file: file()?,
                function: options.text("function"),
                window: options.time("window")?.unwrap_or(WINDOW),
            },
            _ => bail!(
                "{text:?} is no trace: give flights, events:FILE, logs:FILE, poisson:10/s, bursty:10/s,size=20,within=1s, burst:500,decay=4s, \
                 azure2019:FILE or azure2021:FILE"
            ),
        };
        options.finish(name)?;
        Ok(Self { text: text.to_owned(), kind, exact_rate: None })
    }
}

impl Spec {
    /// The text of the flag.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The same independent arrivals or bursts, of which those within the duration come at exactly this rate, in requests
    /// per second. A draw has its rate only on average.
    #[must_use]
    pub(crate) fn exactly(self, rate: f64) -> Self {
        Self { exact_rate: Some(rate), ..self }
    }

    /// The file of a log, which is read as a whole before anything is replayed.
    pub(crate) fn log(&self) -> Option<&Path> {
        match &self.kind {
            Kind::Logs { file, .. } => Some(file),
            _ => None,
        }
    }

    /// The arrivals, `scale` times as many, until `duration` at the latest.
    ///
    /// Generated arrivals and counts per minute get `scale` times their rate. In other traces each arrival becomes
    /// `scale` arrivals on average. The first comes at the original time. The others come at random within the minute
    /// after it, or within the trace's own `spread`.
    ///
    /// # Errors
    /// Fails if a file can't be opened, if its beginning is wrong, or if arrivals at an exact rate have no request.
    pub(crate) fn open(&self, scale: f64, duration: Option<Micros>, seed: u64, open: Open<'_>) -> Result<Trace> {
        let copies = |arrivals, spread| -> Arrivals { Box::new(Scaled::new(arrivals, scale, spread, seed)) };
        let generated = |default: Micros| Some(duration.unwrap_or(default));
        let mut has_service = matches!(self.kind, Kind::Azure2021 { .. });
        let (mut notes, mut observed) = (Vec::new(), None);
        let (arrivals, end): (Arrivals, Option<Micros>) = match &self.kind {
            Kind::Flights { spread } => {
                let flights = Workload::load("flights", None)?;
                let lines = Lines::new(Cursor::new(flights.events), flights.source)?;
                (copies(Box::new(Events::new(lines)?), *spread), None)
            }
            Kind::Events { file, spread } => (copies(Box::new(Events::new(open(file)?)?), *spread), None),
            Kind::Logs { file, spread } => {
                let mut log = logs::read(open(file)?)?;
                has_service = log.entries.iter().all(|entry| entry.duration.is_some());
                // More arrivals than there were, or fewer, are not those that were observed.
                let is_as_logged =
                    scale == 1.0 && duration.is_none() && spread.is_none_or(|spread| spread == Micros::ZERO);
                observed = Observed::of(&log.entries).filter(|_| is_as_logged);
                let mut arrivals = logged(log.entries);
                if log.is_in_seconds && spread.is_none() {
                    log.notes.push("times are whole seconds: requests are spread within each".to_owned());
                    let seed = seed.wrapping_add(SECONDS_STREAM);
                    arrivals = Box::new(Scaled::new(arrivals, 1.0, Micros::SECOND, seed));
                }
                notes = log.notes;
                (copies(arrivals, spread.unwrap_or_default()), None)
            }
            Kind::Poisson { rate } => {
                self.generated(rate * scale, scale, duration, |rate| generate::poisson(rate, seed))?
            }
            Kind::Bursty { rate, size, within } => {
                let bursts = |rate| generate::bursty(rate, *size, *within, seed);
                self.generated(rate * scale, scale, duration, bursts)?
            }
            Kind::Burst { count, spread, after } => {
                let count = (*count as f64 * scale).round() as u64;
                let after = *after;
                let times = generate::burst(count, *spread, seed).map(move |at| after + at);
                (plain(times), generated(after + AFTER_BURST))
            }
            Kind::Azure2019 { file, function } => {
                let counts = azure::per_minute(&mut open(file)?, function.as_deref())?;
                // The rounding rest of a minute goes to the next one, so that small counts are scaled correctly too.
                let mut rest = 0.0;
                let scaled = counts.into_iter().map(|count| {
                    rest += count as f64 * scale;
                    let whole = rest as u64;
                    rest -= whole as f64;
                    whole
                });
                let scaled = scaled.collect();
                let day = Micros(azure::MINUTES as u64 * Micros::MINUTE.0);
                (plain(azure::spread(scaled, seed)), Some(duration.map_or(day, |duration| duration.min(day))))
            }
            Kind::Azure2021 { file, function, window } => {
                let invocations = Invocations::new(open(file)?, function.clone(), *window)?;
                (copies(Box::new(invocations), Micros::ZERO), None)
            }
        };
        let last = end.or(duration).unwrap_or(Micros(u64::MAX));
        let is_before = move |arrival: &Result<Arrival>| arrival.as_ref().map_or(true, |arrival| arrival.at <= last);
        Ok(Trace { arrivals: Box::new(arrivals.take_while(is_before)), end, has_service, notes, observed })
    }

    /// Arrivals that `draw` generates at a rate, and their end.
    ///
    /// For an exact rate, the requests that a draw has are counted first. They end when that number is due, and are drawn
    /// again at the rate that they really had.
    fn generated<I: Iterator<Item = Micros> + 'static>(
        &self,
        rate: f64,
        scale: f64,
        duration: Option<Micros>,
        draw: impl Fn(f64) -> I,
    ) -> Result<(Arrivals, Option<Micros>)> {
        let duration = duration.unwrap_or(GENERATED);
        let Some(exact) = self.exact_rate.map(|exact| exact * scale) else {
            return Ok((plain(draw(rate)), Some(duration)));
        };
        let drawn = draw(rate).take_while(|at| *at <= duration).count();
        ensure!(
            drawn > 0,
            "too few requests to simulate: none comes within {duration} at {} a month, so ask for more with --requests",
            amount(exact * SECONDS)
        );
        let end = Micros::from_seconds(drawn as f64 / exact);
        let arrivals = draw(rate * duration.seconds() / end.seconds()).take(drawn);
        // The last burst may go on for a moment.
        Ok((plain(arrivals.map(move |at| at.min(end))), Some(end)))
    }
}

/// The arrivals of a log, from its first one on.
fn logged(entries: Vec<Entry>) -> Arrivals {
    let first = entries.first().map_or(0, |entry| entry.at);
    Box::new(
        entries
            .into_iter()
            .map(move |entry| Ok(Arrival { at: Micros(entry.at.abs_diff(first)), service: entry.duration })),
    )
}

fn plain(times: impl Iterator<Item = Micros> + 'static) -> Arrivals {
    Box::new(times.map(|at| Ok(Arrival { at, service: None })))
}

/// The timestamps of NDJSON events, in the order of the file.
struct Events {
    lines: Lines,
    contract: Contract,
    /// The first and the last timestamp that were returned.
    given: Option<(Millis, Millis)>,
}

impl Events {
    fn new(lines: Lines) -> Result<Self> {
        Ok(Self { lines, contract: Contract::at_any_time()?, given: None })
    }

    fn next_arrival(&mut self) -> Result<Option<Arrival>> {
        loop {
            let Some(line) = self.lines.next()? else { return Ok(None) };
            if line.trim().is_empty() {
                continue;
            }
            let event = self.contract.time(line);
            let event = event.with_context(|| format!("{}: is no event with a timestamp", self.lines.place()))?;
            let (first, last) = self.given.unwrap_or((event, event));
            ensure!(
                event >= last,
                "{}: is older than the line before: sort the events by timestamp",
                self.lines.place()
            );
            self.given = Some((first, event));
            return Ok(Some(Arrival { at: Micros(1000 * event.0.abs_diff(first.0)), service: None }));
        }
    }
}

impl Iterator for Events {
    type Item = Result<Arrival>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_arrival().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::simulate::input::tests::{gzip, lines};

    fn times(trace: &str, scale: f64, duration: Option<&str>) -> Vec<Micros> {
        let duration = duration.map(|text| Micros::parse(text).unwrap());
        let trace = trace.parse::<Spec>().unwrap().open(scale, duration, 1, &crate::command::watched::open).unwrap();
        let times: Vec<Micros> = trace.arrivals.map(|arrival| arrival.unwrap().at).collect();
        assert!(times.is_sorted());
        times
    }

    #[test]
    fn the_flights_come_when_they_departed() {
        let flights = times("flights", 1.0, None);
        assert_eq!((flights.len(), flights[0], flights[1]), (27_004, Micros::ZERO, Micros(14 * 60_000_000)));
        let minute = |at: &Micros| at.0 / Micros::MINUTE.0;
        assert!(flights.iter().all(|at| at.0 % Micros::MINUTE.0 == 0));
        let spread = times("flights,spread=1m", 1.0, None);
        assert_eq!(spread.len(), 27_004);
        let minutes = |times: &[Micros]| times.iter().map(minute).collect::<Vec<_>>();
        assert_eq!(minutes(&spread), minutes(&flights));
        assert!(spread.iter().filter(|at| at.0 % Micros::MINUTE.0 == 0).count() < 10);
    }

    #[test]
    fn scale_and_duration_hold_for_every_trace() {
        let flights = times("flights", 1.0, Some("2d")).len();
        let scaled = times("flights", 2.5, Some("2d")).len();
        assert!((scaled as f64 / flights as f64 - 2.5).abs() < 0.1, "{scaled} of {flights}");
        for (trace, expect) in [("poisson:10/s", 36_000.0), ("bursty:10/s,size=5,within=2s", 36_000.0)] {
            let (one, two) = (times(trace, 1.0, Some("1h")).len() as f64, times(trace, 2.0, Some("1h")).len() as f64);
            assert!((one / expect - 1.0).abs() < 0.1 && (two / expect - 2.0).abs() < 0.1, "{trace}: {one}, {two}");
        }
        let burst = times("burst:500,decay=4s,after=10m", 2.0, None);
        assert_eq!((burst.len(), burst[0].0 / Micros::MINUTE.0), (1000, 10));
    }

    #[test]
    fn events_are_read_and_refused_with_their_line() {
        let event = |at: &str| format!("{{\"timestamp\":\"2013-01-01T10:{at}Z\",\"x\":1}}\n");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("e.gz");
        std::fs::write(&file, gzip(&(event("00:00.5") + "\n" + &event("01:00")))).unwrap();
        let read = times(&format!("events:{}", file.display()), 1.0, None);
        assert_eq!(read, [Micros::ZERO, Micros(59_500_000)]);
        let marked = "\u{feff}{\"timestamp\":1357034400500}\n".to_owned() + &event("01:00");
        let read: Vec<_> = Events::new(lines(&marked)).unwrap().map(|arrival| arrival.unwrap().at).collect();
        assert_eq!(read, [Micros::ZERO, Micros(59_500_000)], "milliseconds, behind a byte order mark");
        for (text, expect) in [
            (event("01:00") + &event("00:00"), "mine.csv:2: is older than the line before"),
            (event("01:00") + "{}\n", "mine.csv:2: is no event with a timestamp: missing field"),
        ] {
            let error = format!("{:#}", Events::new(lines(&text)).unwrap().find_map(Result::err).unwrap());
            assert!(error.starts_with(expect), "{error}");
        }
    }

    #[test]
    fn whole_seconds_of_a_log_are_spread_unless_a_spread_is_given() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("access.log");
        let line = |at: &str| format!("192.0.2.1 - - [27/Nov/2026:10:00:{at} +0000] \"GET / HTTP/1.1\" 200 5\n");
        std::fs::write(&file, line("00").repeat(50) + &line("01").repeat(50)).unwrap();
        let logs = format!("logs:{}", file.display());
        let seconds = |times: &[Micros]| times.iter().map(|at| at.0 / 1_000_000).collect::<Vec<_>>();
        let together = times(&format!("{logs},spread=0s"), 1.0, None);
        assert_eq!(together, [[Micros::ZERO; 50], [Micros::SECOND; 50]].concat());
        let spread = times(&logs, 1.0, None);
        assert_eq!(seconds(&spread), seconds(&together));
        assert!(spread.windows(2).filter(|two| two[0] == two[1]).count() < 5, "{spread:?}");
        // The other copies come within a minute, as without a spread.
        assert!(times(&logs, 3.0, None).last().unwrap().0 > 10_000_000);
        let notes = |text: &str| {
            let trace = text.parse::<Spec>().unwrap().open(1.0, None, 1, &crate::command::watched::open).unwrap();
            trace.notes.join("\n")
        };
        assert!(notes(&logs).ends_with("\ntimes are whole seconds: requests are spread within each"));
        assert!(!notes(&format!("{logs},spread=0s")).contains("whole seconds"));
        // Fractions stay as they are.
        let line = |ms: u64| format!("{{\"time\":{}}}\n", 1_795_773_600_000 + ms);
        std::fs::write(&file, line(0) + &line(0) + &line(2500)).unwrap();
        assert_eq!(times(&logs, 1.0, None), [Micros::ZERO, Micros::ZERO, Micros(2_500_000)]);
    }

    #[test]
    fn an_exact_rate_holds_for_every_draw() {
        let day = Micros(24 * 3600 * 1_000_000);
        for (text, rate) in [("poisson:40/h", 40.0 / 3600.0), ("bursty:40/h,size=20,within=1s", 40.0 / 3600.0)] {
            for seed in 1..20 {
                let spec = text.parse::<Spec>().unwrap().exactly(rate);
                let trace = spec.open(1.0, Some(day), seed, &crate::command::watched::open).unwrap();
                let end = trace.end.unwrap();
                let times: Vec<Micros> = trace.arrivals.map(|arrival| arrival.unwrap().at).collect();
                assert!(times.is_sorted() && times.iter().all(|at| *at <= end), "{text}, seed {seed}");
                assert!((times.len() as f64 / end.seconds() / rate - 1.0).abs() < 1e-9, "{text}, seed {seed}");
            }
        }
        let few = "poisson:1/h".parse::<Spec>().unwrap().exactly(1.0 / 3600.0);
        let error = few.open(1.0, Some(Micros(1)), 1, &crate::command::watched::open).err().unwrap().to_string();
        assert_eq!(
            error,
            "too few requests to simulate: none comes within 1us at 730 a month, so ask for more with --requests"
        );
    }

    #[test]
    fn a_trace_that_is_none_is_named() {
        crate::assert_refused::<Spec>(&[
            ("flight", "\"flight\" is no trace: give flights"),
            ("flights,sprad=1m", "flights has no option \"sprad\""),
            ("poisson:10", "\"10\" is no rate"),
            ("poisson", "\"\" is no rate"),
            ("bursty:1/s,size=0", "size: \"0\" is not between 1 and 1000000"),
            ("bursty:1/s,size=2,size=3", "size is given twice"),
            ("burst:0", "\"0\" is no number of requests"),
            ("burst:5,within=1s,decay=1s", "give either within or decay"),
            ("azure2019", "a file must follow, azure2019:FILE"),
            ("azure2021:x,window", "\"window\" is no option, such as name=value"),
        ]);
    }
}
