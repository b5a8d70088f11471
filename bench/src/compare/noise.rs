//! Measures other work on the machine during a run, to tell whether the figures are sound.

use std::fs;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::compare::result::Measured;
use crate::stats::quantile;
use crate::system;

/// The largest share of all processors that other programs may use before the run starts anything.
const MOST_BUSY: f64 = 0.2;
/// The largest share of processor time that a hypervisor may take away.
const MOST_STOLEN: f64 = 0.05;
/// The latest that the load may be sent, as a 99th percentile. Below a millisecond is usual.
const MOST_LATE_MS: f64 = 5.0;
/// The largest factor between the floors' cold starts in the first and the second half of a run.
const MOST_DRIFT: f64 = 1.5;
/// The smallest number of samples whose halves are compared.
const LEAST_SAMPLES: usize = 20;
const LOOK: Duration = Duration::from_millis(500);

/// Facts about other work on the machine. Shares are from 0 to 1 and absent if the system does not tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Noise {
    /// The share of all processors that other programs used right before the run.
    pub busy_before: Option<f64>,
    /// The share of processor time during the run that the hypervisor gave to others.
    pub stolen: Option<f64>,
    /// The governor of the processors' clocks; absent on most virtual machines.
    pub governor: Option<String>,
    /// The lowest and the highest clock of any processor at the start and the end, in MHz. On most virtual machines
    /// this is the nominal clock.
    #[serde(default)]
    pub clock_mhz: Option<[f64; 2]>,
    /// Why the figures are not sound, and what to do about it; empty if they are sound.
    pub reasons: Vec<String>,
}

impl Noise {
    /// The facts in words, for readers of a run's environment. Unknown facts are included.
    pub(super) fn facts(&self) -> [String; 4] {
        let share = |share: Option<f64>| share.map_or("unknown".to_owned(), |share| format!("{:.1} %", 100.0 * share));
        let clock = self.clock_mhz.map(|[low, high]| match high - low < 1.0 {
            true => format!("{high:.0} MHz"),
            false => format!("{low:.0}–{high:.0} MHz"),
        });
        [
            format!("processors busy before: {}", share(self.busy_before)),
            format!("taken by the hypervisor meanwhile: {}", share(self.stolen)),
            format!("clocks: {}", clock.as_deref().unwrap_or("unknown")),
            format!("governor: {}", self.governor.as_deref().unwrap_or("unknown")),
        ]
    }
}

/// Processor time since the machine started, in ticks of all processors.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ticks {
    all: f64,
    idle: f64,
    stolen: f64,
}

impl Ticks {
    fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?)
    }

    /// Parses the first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal. User time includes
    /// guests.
    fn parse(stat: &str) -> Option<Self> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<f64> = line.split_whitespace().take(8).filter_map(|ticks| ticks.parse().ok()).collect();
        let [.., idle, waiting, _, _, stolen] = ticks[..] else { return None };
        Some(Self { all: ticks.iter().sum(), idle: idle + waiting, stolen })
    }
}

/// Watches the machine from before a run to its end.
pub(super) struct Watch {
    busy_before: Option<f64>,
    begun: Option<Ticks>,
    clocks: Vec<f64>,
}

impl Watch {
    /// Measures for half a second how busy other programs are. The run must not have started anything yet.
    pub(super) async fn start() -> Self {
        let before = Ticks::read();
        tokio::time::sleep(LOOK).await;
        let begun = Ticks::read();
        let share =
            |(before, after): (Ticks, Ticks)| 1.0 - (after.idle - before.idle) / (after.all - before.all).max(1.0);
        Self { busy_before: before.zip(begun).map(share), begun, clocks: clocks() }
    }

    /// The noise during the run.
    pub(super) fn end(self, platforms: &[Measured]) -> Noise {
        let share = |(begun, ended): (Ticks, Ticks)| (ended.stolen - begun.stolen) / (ended.all - begun.all).max(1.0);
        let stolen = self.begun.zip(Ticks::read()).map(share);
        let governor = system::governor();
        let reasons = reasons(self.busy_before, stolen, platforms);
        let clocks = [self.clocks, clocks()].concat();
        let lowest = clocks.iter().copied().reduce(f64::min);
        let clock_mhz = lowest.zip(clocks.into_iter().reduce(f64::max)).map(<[f64; 2]>::from);
        Noise { busy_before: self.busy_before, stolen, governor, clock_mhz, reasons }
    }
}

/// The clock of each processor in MHz; empty if the system does not tell.
fn clocks() -> Vec<f64> {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let clock = |line: &str| line.strip_prefix("cpu MHz")?.trim_start().strip_prefix(':')?.trim().parse().ok();
    text.lines().filter_map(clock).collect()
}

fn reasons(busy_before: Option<f64>, stolen: Option<f64>, platforms: &[Measured]) -> Vec<String> {
    let mut reasons = Vec::new();
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    if let Some(busy) = busy_before.filter(|busy| *busy > MOST_BUSY) {
        reasons.push(format!("other programs took {} of the processors before it began: end them", percent(busy)));
    }
    if let Some(stolen) = stolen.filter(|stolen| *stolen > MOST_STOLEN) {
        let share = percent(stolen);
        reasons.push(format!(
            "the hypervisor gave {share} of the time to other machines: take one with processors of its own"
        ));
    }
    for measured in platforms {
        let (name, late) = (measured.platform, measured.figures.warm.client_lag.p99.value);
        if late > MOST_LATE_MS {
            reasons.push(format!(
                "requests to {name} were sent {late:.1} ms late in the 99th percentile: lower the workload's rate"
            ));
        }
        let drift = drift(&measured.floor.cold.init.samples);
        if drift > MOST_DRIFT {
            let text =
                format!("the floor of {name} started {drift:.1} times as fast in one half of the run as in the other");
            reasons.push(format!("{text}: wait until the machine is quiet, and measure again"));
        }
    }
    reasons
}

/// The factor between the medians of the first and the second half.
fn drift(samples: &[f64]) -> f64 {
    if samples.len() < LEAST_SAMPLES {
        return 1.0;
    }
    let median = |half: &[f64]| {
        let mut sorted = half.to_vec();
        sorted.sort_by(f64::total_cmp);
        quantile(&sorted, 0.5)
    };
    let (first, second) = samples.split_at(samples.len() / 2);
    let (first, second) = (median(first), median(second));
    if first.min(second) > 0.0 { first.max(second) / first.min(second) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_read_as_linux_writes_it() {
        let ticks = Ticks::parse("cpu  100 5 20 800 10 1 4 60 7 0\ncpu0 1 2 3 4 5 6 7 8 9 0\n");
        assert_eq!(ticks, Some(Ticks { all: 1000.0, idle: 810.0, stolen: 60.0 }));
        assert_eq!(Ticks::parse("cpu 1 2\n"), None);
        assert_eq!(Ticks::parse(""), None);
    }

    #[test]
    fn a_quiet_run_is_sound_and_a_noisy_one_says_why() {
        let mut platforms = crate::compare::result::tests::sample().platforms;
        assert_eq!(reasons(Some(0.1), Some(0.01), &platforms), [""; 0]);
        platforms[0].figures.warm.client_lag.p99.value = 6.0;
        platforms[3].floor.cold.init.samples = (0..40).map(|at| if at < 20 { 1.0 } else { 1.6 }).collect();
        let reasons = reasons(Some(0.5), Some(0.06), &platforms);
        let begin = [
            "other programs took 50 %",
            "the hypervisor gave 6 %",
            "requests to lambda were sent 6.0 ms late",
            "the floor of native",
        ];
        assert_eq!(reasons.len(), begin.len());
        assert!(reasons.iter().zip(begin).all(|(reason, begin)| reason.starts_with(begin)), "{reasons:#?}");
    }

    #[test]
    fn drift_needs_samples() {
        assert_eq!(drift(&[1.0, 9.0]), 1.0);
        assert_eq!(drift(&[0.0; 40]), 1.0);
        assert!((drift(&(0..40).map(f64::from).collect::<Vec<_>>()) - 29.5 / 9.5).abs() < 1e-9);
    }

    #[tokio::test]
    async fn this_machine_is_watched() {
        let noise = Watch::start().await.end(&[]);
        assert!(noise.busy_before.is_some_and(|share| (0.0..=1.0).contains(&share)), "{noise:?}");
        assert!(noise.stolen.is_some_and(|share| (0.0..=1.0).contains(&share)), "{noise:?}");
        assert_eq!(Noise::default().facts()[2], "clocks: unknown");
        let clocks = Noise { clock_mhz: Some([1200.0, 2900.4]), ..Noise::default() };
        assert_eq!(clocks.facts()[2], "clocks: 1200–2900 MHz");
        assert!(noise.clock_mhz.is_none_or(|[low, high]| 0.0 < low && low <= high), "{noise:?}");
    }
}
