//! Measures other work on the machine during a run, to tell whether the figures are sound.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::measure::disk;
use crate::results::Measured;
use crate::results::noise::{Disk, Noise};
use crate::stats::quantile;
use crate::system;

/// The largest share of all processors that other programs may use before the run starts anything.
const MOST_BUSY: f64 = 0.2;
/// The largest share of processor time that a hypervisor may take away.
const MOST_STOLEN: f64 = 0.05;
/// The largest mean share of all processors that other programs may use during a run. It is what two figures may differ
/// by without a reason (`stats::LEAST`).
const MOST_MEANWHILE: f64 = 0.05;
/// The load may be sent late by this share of the latency, both as 99th percentiles, or by this many milliseconds.
const MOST_LATE: f64 = 0.25;
const LEAST_LATE_MS: f64 = 0.5;
/// The largest factor between the floors' cold starts in the first and the second half of a run.
const MOST_DRIFT: f64 = 1.25;
/// The smallest number of samples whose halves are compared.
const LEAST_SAMPLES: usize = 20;
const LOOK: Duration = Duration::from_millis(500);
const LOOK_EVERY: Duration = Duration::from_secs(1);

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
pub(crate) struct Watch {
    busy_before: Option<f64>,
    begun: Option<Ticks>,
    clocks: Vec<f64>,
    disk: Option<Disk>,
    others: Others,
}

/// A thread that looks every second how busy other programs are.
struct Others {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<f64>>>,
}

impl Others {
    fn start() -> Self {
        let is_over = Arc::<AtomicBool>::default();
        let seen = Arc::clone(&is_over);
        let look = move || {
            let mut shares = Vec::new();
            let mut before = (Ticks::read(), own_ticks());
            let mut is_last = false;
            while !is_last {
                std::thread::park_timeout(LOOK_EVERY);
                is_last = seen.load(Ordering::Relaxed);
                let now = (Ticks::read(), own_ticks());
                if let (Some(was), Some(is)) = (before.0, now.0)
                    && is.all > was.all
                {
                    let busy = (is.all - is.idle - is.stolen) - (was.all - was.idle - was.stolen);
                    let own = now.1.saturating_sub(before.1) as f64;
                    shares.push(((busy - own) / (is.all - was.all)).clamp(0.0, 1.0));
                }
                before = now;
            }
            shares
        };
        Self { is_over, thread: std::thread::Builder::new().name("watch".to_owned()).spawn(look).ok() }
    }

    /// The mean share of all processors that others used, and the 95th percentile of the seconds.
    fn end(mut self) -> Option<[f64; 2]> {
        self.is_over.store(true, Ordering::Relaxed);
        let thread = self.thread.take()?;
        thread.thread().unpark();
        let mut shares = thread.join().ok()?;
        shares.sort_by(f64::total_cmp);
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        (!shares.is_empty()).then(|| [mean, quantile(&shares, 0.95)])
    }
}

/// The processor time of this process and its descendants, including those that ended and were waited for.
fn own_ticks() -> u64 {
    let all = system::processes();
    let mut own = BTreeSet::from([std::process::id()]);
    // A child's id may be smaller than its parent's, because ids wrap. So this repeats until nothing is added.
    while {
        let before = own.len();
        own.extend(all.iter().filter(|(_, parent, _)| own.contains(parent)).map(|(id, ..)| *id).collect::<Vec<_>>());
        own.len() > before
    } {}
    all.iter().filter(|(id, ..)| own.contains(id)).map(|(.., ticks)| ticks).sum()
}

impl Watch {
    /// Measures for half a second how busy other programs are. The run must not have started anything yet.
    pub(crate) async fn start() -> Self {
        let disk = disk::describe(&std::env::temp_dir());
        let before = Ticks::read();
        tokio::time::sleep(LOOK).await;
        let begun = Ticks::read();
        let share =
            |(before, after): (Ticks, Ticks)| 1.0 - (after.idle - before.idle) / (after.all - before.all).max(1.0);
        Self { busy_before: before.zip(begun).map(share), begun, clocks: clocks(), disk, others: Others::start() }
    }

    /// The noise during the run.
    pub(crate) fn end(self, platforms: &[Measured]) -> Noise {
        let share = |(begun, ended): (Ticks, Ticks)| (ended.stolen - begun.stolen) / (ended.all - begun.all).max(1.0);
        let stolen = self.begun.zip(Ticks::read()).map(share);
        let governor = system::governor();
        let clocks = [self.clocks, clocks()].concat();
        let lowest = clocks.iter().copied().reduce(f64::min);
        let clock_mhz = lowest.zip(clocks.into_iter().reduce(f64::max)).map(<[f64; 2]>::from);
        let (busy_before, disk, busy_meanwhile) = (self.busy_before, self.disk, self.others.end());
        let mut noise = Noise { busy_before, stolen, busy_meanwhile, disk, governor, clock_mhz, reasons: Vec::new() };
        noise.reasons = reasons(&noise, platforms);
        noise
    }
}

/// The clock of each processor in MHz; empty if the system does not tell.
fn clocks() -> Vec<f64> {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let clock = |line: &str| line.strip_prefix("cpu MHz")?.trim_start().strip_prefix(':')?.trim().parse().ok();
    text.lines().filter_map(clock).collect()
}

fn reasons(noise: &Noise, platforms: &[Measured]) -> Vec<String> {
    let mut reasons = Vec::new();
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    if let Some(busy) = noise.busy_before.filter(|busy| *busy > MOST_BUSY) {
        reasons.push(format!("other programs took {} of the processors before it began: end them", percent(busy)));
    }
    if let Some([mean, worst]) =
        noise.busy_meanwhile.filter(|[mean, worst]| *mean > MOST_MEANWHILE || *worst > MOST_BUSY)
    {
        let (mean, worst) = (percent(mean), percent(worst));
        reasons.push(format!(
            "other programs took {mean} of the processors meanwhile, {worst} in its worst seconds: measure again without them"
        ));
    }
    if let Some(stolen) = noise.stolen.filter(|stolen| *stolen > MOST_STOLEN) {
        let share = percent(stolen);
        reasons.push(format!(
            "the hypervisor gave {share} of the time to other machines: take one with processors of its own"
        ));
    }
    if let Some(disk) = noise.disk.as_ref().filter(|disk| disk.is_memory) {
        let kind = &disk.file_system;
        reasons.push(format!(
            "stores were on {kind}, which is memory, so no flush reached a disk: set TMPDIR to a folder on one"
        ));
    }
    for measured in platforms {
        let name = measured.platform;
        let (late, latency) = (measured.figures.warm.client_lag.p99.value, measured.figures.warm.latency.p99.value);
        if late > LEAST_LATE_MS && late > MOST_LATE * latency {
            reasons.push(format!(
                "requests to {name} were sent {late:.1} ms late in the 99th percentile, with a latency of {latency:.1} ms: lower the workload's rate"
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
        let mut platforms = crate::results::tests::sample().platforms;
        let quiet = Noise {
            busy_before: Some(0.1),
            stolen: Some(0.01),
            busy_meanwhile: Some([0.01, 0.1]),
            disk: Some(Disk { file_system: "ext4".into(), is_memory: false, flush_ms_p50: 1.0, flush_ms_p99: 2.0 }),
            ..Noise::default()
        };
        assert_eq!(reasons(&quiet, &platforms), [""; 0]);
        // Late by a quarter of the latency.
        platforms[0].figures.warm.client_lag.p99.value = 0.6;
        platforms[3].floor.cold.init.samples = (0..40).map(|at| if at < 20 { 1.0 } else { 1.3 }).collect();
        let noisy = Noise {
            busy_before: Some(0.5),
            stolen: Some(0.06),
            busy_meanwhile: Some([0.02, 0.3]),
            disk: Some(Disk { file_system: "tmpfs".into(), is_memory: true, flush_ms_p50: 0.0, flush_ms_p99: 0.0 }),
            ..Noise::default()
        };
        let reasons = reasons(&noisy, &platforms);
        let begin = [
            "other programs took 50 % of the processors before",
            "other programs took 2 % of the processors meanwhile, 30 % in its worst seconds",
            "the hypervisor gave 6 %",
            "stores were on tmpfs",
            "requests to lambda were sent 0.6 ms late",
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
        let watch = Watch::start().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let noise = watch.end(&[]);
        assert!(noise.busy_before.is_some_and(|share| (0.0..=1.0).contains(&share)), "{noise:?}");
        assert!(noise.stolen.is_some_and(|share| (0.0..=1.0).contains(&share)), "{noise:?}");
        assert!(noise.busy_meanwhile.is_some_and(|[mean, worst]| 0.0 <= mean && worst <= 1.0), "{noise:?}");
        assert!(noise.disk.as_ref().is_some_and(|disk| disk.flush_ms_p50 > 0.0), "{noise:?}");
        assert!(noise.clock_mhz.is_none_or(|[low, high]| 0.0 < low && low <= high), "{noise:?}");
    }
}
