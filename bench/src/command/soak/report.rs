//! The report of a soak, as text and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;
use isotherm_hosts::{Platform, Runtime};
use serde::Serialize;

use crate::command::soak::good::Found;
use crate::command::soak::memory;
use crate::command::soak::round::Statuses;
use crate::command::soak::state::{Phase, State};

/// The limits. The first is for the growth of memory over a phase. The second is for good clients' p99 beside hostile
/// ones, over their p99 alone.
const GROWTH: f64 = 0.01;
const SLOWER: f64 = 1.5;

/// The report.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    platform: Platform,
    runtime: Runtime,
    finished: String,
    /// Seconds of load in each phase.
    phase_seconds: f64,
    /// Milliseconds from one request of a kind of hostile clients to the next.
    hostile_every_ms: u64,
    /// Number of rounds. Each ends with a kill, except where the runtime is stopped at the end.
    rounds: usize,
    #[serde(flatten)]
    found: Found,
    phases: [Figures; 2],
    /// p99 of all good requests beside hostile clients, over p99 without them.
    p99_ratio: f64,
}

#[derive(Debug, Serialize)]
struct Figures {
    name: &'static str,
    /// Milliseconds.
    p50: f64,
    p99: f64,
    /// By kind of request.
    p99_of: BTreeMap<String, f64>,
    memory_mean_bytes: f64,
    memory_peak_bytes: u64,
    /// Growth from the first sample to the last by least squares, over the mean.
    memory_growth: f64,
    /// Number of requests by kind and status; status 0 stands for no answer.
    requests: Statuses,
}

impl Report {
    pub(crate) fn of(platform: Platform, runtime: &Runtime, state: &State, found: Found) -> Self {
        let [quiet, hostile] = &state.phases;
        let phases = [Figures::of("good clients alone", quiet), Figures::of("beside hostile clients", hostile)];
        Self {
            platform,
            runtime: runtime.clone(),
            finished: format!("{:.0}", jiff::Timestamp::now()),
            phase_seconds: state.rounds as f64 * state.round_seconds,
            hostile_every_ms: state.hostile_every_ms,
            rounds: 2 * state.rounds,
            found,
            p99_ratio: phases[1].p99 / phases[0].p99,
            phases,
        }
    }

    /// Whether every accepted event is there exactly once.
    pub(crate) fn is_whole(&self) -> bool {
        self.found.lost == 0 && self.found.doubled == 0
    }

    pub(crate) fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    pub(crate) fn markdown(&self) -> String {
        let Self { platform, runtime, finished, phase_seconds, hostile_every_ms, rounds, found, phases, p99_ratio } =
            self;
        let Found { accepted, lost, doubled, looked_up, unanswered } = found;
        let mut text = format!(
            "# Soak: {platform}\n\n{} {}, finished {finished}. {rounds} rounds, two phases of {phase_seconds:.0} s; the host was killed \
             after each round. A round of both before them is not measured. Hostile clients sent each kind of request every {} s.\n\n",
            runtime.name,
            runtime.version,
            *hostile_every_ms as f64 / 1000.0
        );
        // Writing to a string cannot fail.
        let mut line = |line: String| _ = writeln!(text, "{line}");
        let held = |holds: bool| if holds { "holds" } else { "**does not hold**" };
        line("| | found | limit | |\n| --- | --- | --- | --- |".to_owned());
        line(format!("| events lost | {lost} of {accepted} | 0 | {} |", held(*lost == 0)));
        line(format!("| events doubled | {doubled} | 0 | {} |", held(*doubled == 0)));
        for Figures { name, memory_growth, .. } in phases {
            let holds = held(*memory_growth < GROWTH);
            line(format!("| memory's growth, {name} | {:.1} % | 1 % | {holds} |", 100.0 * memory_growth));
        }
        let holds = held(*p99_ratio <= SLOWER);
        line(format!("| p99 beside hostile clients over p99 without them | {p99_ratio:.2} | {SLOWER} | {holds} |\n"));
        line(format!(
            "Reports counted every round's events, and {looked_up} events were looked up. {unanswered} events were never answered, and \
             may be there or not. Memory's growth is the line of least squares through samples of each second but those of each \
             round's first third, from the first to the last, over their mean. Latency is from when a request was due to its last byte.\n"
        ));
        line("| phase | p50 | p99 | memory, mean | peak |\n| --- | --- | --- | --- | --- |".to_owned());
        for Figures { name, p50, p99, memory_mean_bytes, memory_peak_bytes, .. } in phases {
            let (mean, peak) = (memory_mean_bytes / 1e6, *memory_peak_bytes as f64 / 1e6);
            line(format!("| {name} | {p50:.1} ms | {p99:.1} ms | {mean:.1} MB | {peak:.1} MB |"));
        }
        line("\n| requests | phase | p99 | by status |\n| --- | --- | --- | --- |".to_owned());
        for Figures { name, p99_of, requests, .. } in phases {
            for (kind, statuses) in requests {
                let p99 = p99_of.get(kind).map_or_else(String::new, |p99| format!("{p99:.1} ms"));
                let status = |(status, count): (&u16, &u64)| match status {
                    0 => format!("no answer: {count}"),
                    _ => format!("{status}: {count}"),
                };
                let statuses: Vec<String> = statuses.iter().map(status).collect();
                line(format!("| {kind} | {name} | {p99} | {} |", statuses.join(", ")));
            }
        }
        text
    }
}

impl Figures {
    fn of(name: &'static str, phase: &Phase) -> Self {
        let mut all: Vec<u32> = phase.latencies.values().flatten().copied().collect();
        let points: Vec<(f64, f64)> = phase.memory.iter().map(|(at, bytes)| (*at, *bytes as f64)).collect();
        let p99_of =
            phase.latencies.iter().map(|(kind, latencies)| (kind.clone(), quantile(&mut latencies.clone(), 0.99)));
        Self {
            name,
            p50: quantile(&mut all, 0.5),
            p99: quantile(&mut all, 0.99),
            p99_of: p99_of.collect(),
            memory_mean_bytes: points.iter().map(|(_, bytes)| bytes).sum::<f64>() / (points.len().max(1) as f64),
            memory_peak_bytes: phase.memory.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0),
            memory_growth: memory::growth(&points),
            requests: phase.statuses.clone(),
        }
    }
}

/// A quantile in milliseconds of samples in microseconds; 0 without samples.
fn quantile(micros: &mut [u32], share: f64) -> f64 {
    micros.sort_unstable();
    let place = ((micros.len() as f64 * share).ceil() as usize).saturating_sub(1);
    micros.get(place).map_or(0.0, |micros| f64::from(*micros) / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_sorted_and_a_lost_event_is_said() {
        assert_eq!(quantile(&mut [3000, 1000, 2000], 0.5), 2.0);
        assert_eq!(quantile(&mut [3000, 1000, 2000], 0.99), 3.0);
        assert_eq!(quantile(&mut [], 0.5), 0.0);
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(&folder.path().join("s"), Platform::Native, 30.0, 2, 9).unwrap();
        let runtime = Runtime { name: "linux".to_owned(), version: "1".to_owned() };
        let found = Found { accepted: 5, lost: 1, ..Found::default() };
        let report = Report::of(Platform::Native, &runtime, &state, found);
        assert!(!report.is_whole());
        assert!(
            report.markdown().contains("| events lost | 1 of 5 | 0 | **does not hold** |"),
            "{}",
            report.markdown()
        );
        assert_eq!(serde_json::from_str::<serde_json::Value>(&report.json().unwrap()).unwrap()["lost"], 1);
    }
}
