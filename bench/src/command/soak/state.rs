//! The state of a soak: a JSON file, written after each round.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use isotherm_hosts::Platform;
use serde::{Deserialize, Serialize};

use crate::command::soak::keys::PHASES;
use crate::command::soak::round::{Round, Sent, Statuses, add};

/// Number of events that are looked up at the end.
const LOOK_UPS: usize = 1000;

/// The state of a soak.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    pub platform: Platform,
    pub round_seconds: f64,
    /// Milliseconds from one request of a kind of hostile clients to the next.
    pub hostile_every_ms: u64,
    /// Whether the warm-up is done.
    pub is_warm: bool,
    /// Number of rounds in each phase.
    pub rounds: usize,
    pub phases: [Phase; PHASES],
    /// Number of accepted events by event type; each round has a type of its own.
    pub accepted: BTreeMap<String, u64>,
    /// Events without an answer, to be sent again.
    pub unanswered: Vec<Sent>,
    /// Some accepted events, with their ids.
    pub examples: Vec<(String, String)>,
}

/// The findings of one phase.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Phase {
    pub rounds: usize,
    /// Latencies in microseconds, by kind of request.
    pub latencies: BTreeMap<String, Vec<u32>>,
    /// Seconds of load and resident bytes, without the first third of each round.
    pub memory: Vec<(f64, u64)>,
    pub statuses: Statuses,
}

impl State {
    /// Reads the file, or begins a new soak if there is no file.
    ///
    /// # Errors
    /// Fails if the file belongs to another soak or can't be read.
    pub(crate) fn open(
        file: &Path,
        platform: Platform,
        round_seconds: f64,
        rounds: usize,
        hostile_every_ms: u64,
    ) -> Result<Self> {
        if !file.exists() {
            let phases = Default::default();
            let (accepted, unanswered, examples) = Default::default();
            let is_warm = false;
            return Ok(Self {
                platform,
                round_seconds,
                hostile_every_ms,
                is_warm,
                rounds,
                phases,
                accepted,
                unanswered,
                examples,
            });
        }
        let name = file.display();
        let state: Self =
            serde_json::from_str(&crate::text::read(file)?).with_context(|| format!("{name} is no state of a soak"))?;
        ensure!(
            (state.platform, state.round_seconds, state.rounds, state.hostile_every_ms)
                == (platform, round_seconds, rounds, hostile_every_ms),
            "{name} is of another soak: of {} with {} rounds of {} s in each phase, and hostile requests each {} ms",
            state.platform,
            state.rounds,
            state.round_seconds,
            state.hostile_every_ms
        );
        Ok(state)
    }

    /// Writes the file completely or not at all.
    ///
    /// # Errors
    /// Fails if the file can't be written.
    pub(crate) fn save(&self, file: &Path) -> Result<()> {
        let write = || {
            let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let mut written = tempfile::NamedTempFile::new_in(folder)?;
            written.write_all(&serde_json::to_vec(self)?)?;
            written.persist(file)?;
            anyhow::Ok(())
        };
        write().with_context(|| format!("cannot write {}", file.display()))
    }

    /// How many rounds of the phases are done.
    pub(crate) fn done(&self) -> usize {
        self.phases.iter().map(|phase| phase.rounds).sum()
    }

    /// Adds the findings of a finished round. The latencies and the memory of a round outside the phases do not count;
    /// its events do.
    pub(crate) fn add(&mut self, phase: Option<usize>, round: Round) {
        let Round { accepted, unanswered, examples, latencies, memory, statuses } = round;
        for (event_type, count) in accepted {
            *self.accepted.entry(event_type).or_default() += count;
        }
        self.unanswered.extend(unanswered);
        // The events of all rounds have the same chance to stay among the examples.
        self.examples.extend(examples);
        let step = self.examples.len().div_ceil(LOOK_UPS).max(1);
        self.examples = std::mem::take(&mut self.examples).into_iter().step_by(step).collect();
        let Some(phase) = phase else {
            self.is_warm = true;
            return;
        };
        let phase = &mut self.phases[phase];
        let before = phase.rounds as f64 * self.round_seconds;
        let is_warm = |(at, _): &(f64, u64)| *at > self.round_seconds / 3.0;
        phase.memory.extend(memory.into_iter().filter(is_warm).map(|(at, bytes)| (before + at, bytes)));
        for (kind, latencies) in latencies {
            phase.latencies.entry(kind).or_default().extend(latencies);
        }
        add(&mut phase.statuses, statuses);
        phase.rounds += 1;
    }
}

/// The folder of the platform's data.
pub(crate) fn data(file: &Path) -> PathBuf {
    file.with_extension("data")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_soak_goes_on_where_its_state_says_and_no_other_does() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("s.json");
        let mut state = State::open(&file, Platform::Native, 6.0, 2, 9).unwrap();
        let memory = vec![(1.0, 9), (3.0, 7)];
        let accepted = BTreeMap::from([("soak_1".to_owned(), 3)]);
        state.add(None, Round::default());
        state.add(Some(0), Round { memory, accepted, ..Round::default() });
        state.save(&file).unwrap();
        let state = State::open(&file, Platform::Native, 6.0, 2, 9).unwrap();
        assert_eq!((state.is_warm, state.done(), state.accepted["soak_1"]), (true, 1, 3));
        assert_eq!(state.phases[0].memory, [(3.0, 7)]);
        let other = format!("{:#}", State::open(&file, Platform::Spin, 6.0, 2, 9).unwrap_err());
        assert!(other.contains("is of another soak: of native"), "{other}");
        std::fs::write(&file, "{").unwrap();
        assert!(State::open(&file, Platform::Native, 6.0, 2, 9).is_err());
    }
}
