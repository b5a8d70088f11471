//! Records a policy's replay in memory that does not grow with the trace: counts, a histogram of latencies and a
//! timeline of at most [`BINS`] bins.

use anyhow::Result;
use hdrhistogram::Histogram;

use crate::model::simulate::time::Micros;

/// The largest number of bins in a timeline.
pub(crate) const BINS: usize = 512;

/// The longest latency of a histogram. Longer ones count as this one.
const LONGEST: Micros = Micros(24 * 3600 * 1_000_000);

/// The outcome of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Served {
    /// When the request arrived.
    pub at: Micros,
    /// Time from its arrival to its answer.
    pub latency: Micros,
    /// Whether it waited for any part of an instance's start.
    pub is_cold: bool,
    /// Whether it waited for any reason.
    pub has_waited: bool,
}

/// The record of a policy's replay.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// Answered requests of the trace, without pings.
    pub requests: u64,
    /// Answered requests that waited for an instance to start.
    pub cold: u64,
    /// Answered requests that waited for anything.
    pub waited: u64,
    /// Requests refused because the queue was full.
    pub refused: u64,
    /// Number of instances started, also for pings.
    pub started: u64,
    /// Latencies in microseconds, to three digits.
    pub latency: Histogram<u64>,
    /// Instances and requests over time.
    pub timeline: Timeline,
    /// The largest number of live states at once. The memory of a replay grows with it.
    pub states: usize,
}

impl Record {
    /// Creates an empty record.
    ///
    /// # Errors
    /// Never fails: the histogram's bounds are valid.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            requests: 0,
            cold: 0,
            waited: 0,
            refused: 0,
            started: 0,
            latency: Histogram::new_with_bounds(1, LONGEST.0, 3)?,
            timeline: Timeline::new(),
            states: 0,
        })
    }

    /// Counts a request.
    pub(crate) fn count(&mut self, served: Served) {
        self.requests += 1;
        self.cold += u64::from(served.is_cold);
        self.waited += u64::from(served.has_waited);
        self.latency.saturating_record(served.latency.0);
        self.timeline.count(served.at, served.is_cold);
    }

    /// The share of answered requests that were cold; 0 without requests.
    pub(crate) fn cold_share(&self) -> f64 {
        share(self.cold, self.requests)
    }
}

/// `part` as a share of `all`; 0 if `all` is 0.
pub(crate) fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

/// One bin of a timeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bin {
    /// Requests that arrived.
    pub requests: u64,
    /// Cold requests among them.
    pub cold: u64,
    /// Instances × microseconds.
    pub instance_us: u64,
    /// The most instances at once.
    pub peak: u64,
}

/// Instances over time. A bin is one second wide at first. If the trace outgrows the bins, pairs of bins are merged.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    bins: Vec<Bin>,
    width: Micros,
    /// The level is added up until this time.
    until: Micros,
    level: u64,
}

impl Timeline {
    fn new() -> Self {
        Self { bins: Vec::with_capacity(BINS), width: Micros::SECOND, until: Micros::ZERO, level: 0 }
    }

    /// Sets the number of instances from `at` on.
    pub(crate) fn set(&mut self, at: Micros, level: u64) {
        self.advance(at);
        self.level = level;
        let place = self.place(at);
        self.bins[place].peak = self.bins[place].peak.max(level);
    }

    /// Adds up the current number of instances until `at`.
    pub(crate) fn advance(&mut self, at: Micros) {
        while self.until < at {
            let place = self.place(self.until);
            let end = Micros(self.width.0.saturating_mul(place as u64 + 1)).min(at);
            let bin = &mut self.bins[place];
            bin.instance_us += self.level * (end - self.until).0;
            bin.peak = bin.peak.max(self.level);
            self.until = end;
        }
    }

    fn count(&mut self, at: Micros, is_cold: bool) {
        let place = self.place(at);
        self.bins[place].requests += 1;
        self.bins[place].cold += u64::from(is_cold);
    }

    /// The bin of an instant, which is created if it is missing.
    fn place(&mut self, at: Micros) -> usize {
        while at.0 / self.width.0 >= BINS as u64 {
            self.halve();
        }
        let place = (at.0 / self.width.0) as usize;
        if place >= self.bins.len() {
            self.bins.resize(place + 1, Bin::default());
        }
        place
    }

    fn halve(&mut self) {
        self.bins = self
            .bins
            .chunks(2)
            .map(|pair| {
                pair.iter().fold(Bin::default(), |sum, bin| Bin {
                    requests: sum.requests + bin.requests,
                    cold: sum.cold + bin.cold,
                    instance_us: sum.instance_us + bin.instance_us,
                    peak: sum.peak.max(bin.peak),
                })
            })
            .collect();
        self.width = Micros(2 * self.width.0);
    }

    /// The width of a bin.
    pub(crate) fn width(&self) -> Micros {
        self.width
    }

    /// The bins, from the start of the trace.
    pub(crate) fn bins(&self) -> &[Bin] {
        &self.bins
    }

    /// Instances × seconds over the whole time.
    pub(crate) fn instance_seconds(&self) -> f64 {
        self.bins.iter().map(|bin| bin.instance_us as f64).sum::<f64>() / 1e6
    }

    /// The largest number of instances at once.
    pub(crate) fn peak(&self) -> u64 {
        self.bins.iter().map(|bin| bin.peak).max().unwrap_or(0)
    }

    /// Requests per second in the busiest bin.
    pub(crate) fn peak_rate(&self) -> f64 {
        self.bins.iter().map(|bin| bin.requests).max().unwrap_or(0) as f64 / self.width.seconds()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeline_keeps_its_sums_when_it_gets_coarser() {
        let mut timeline = Timeline::new();
        timeline.set(Micros::ZERO, 2);
        timeline.count(Micros(1), true);
        timeline.set(Micros(1_500_000), 5);
        timeline.set(Micros(1_600_000), 1);
        let hour = Micros(3_600_000_000);
        timeline.count(hour, false);
        timeline.advance(hour);
        // 2 × 1.5 s + 5 × 0.1 s + 1 × 3598.4 s
        assert!((timeline.instance_seconds() - 3601.9).abs() < 1e-6, "{}", timeline.instance_seconds());
        assert_eq!((timeline.peak(), timeline.width()), (5, Micros(8_000_000)));
        assert!(timeline.bins().len() <= BINS);
        let (first, last) = (timeline.bins()[0], timeline.bins()[450]);
        assert_eq!((first.requests, first.cold, first.peak), (1, 1, 5));
        assert_eq!((last.requests, last.cold), (1, 0));
        assert_eq!(timeline.peak_rate(), 0.125);
    }

    #[test]
    fn quantiles_are_right_to_three_digits() {
        let mut record = Record::new().unwrap();
        for micros in 1..=100_000 {
            let latency = Micros(micros);
            record.count(Served { at: Micros(micros), latency, is_cold: false, has_waited: false });
        }
        for (q, expect) in [(0.5, 50_000.0), (0.99, 99_000.0)] {
            let got = record.latency.value_at_quantile(q) as f64;
            assert!((got / expect - 1.0).abs() < 1e-3, "{q}: {got}");
        }
    }
}
