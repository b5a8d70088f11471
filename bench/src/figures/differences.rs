//! Two results beside each other: what changed, what else differs, and what fails a rule.

use std::path::Path;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use crate::figures::changes::{Change, changes};
use crate::figures::rule::Rule;
use crate::results::{Comparison, Machine};

/// The schema's name and version.
const SCHEMA: &str = "isotherm.diff/2";

/// The output of `--json`, whose schema `isotherm schema diff` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Differences {
    pub(crate) schema: &'static str,
    pub(crate) before: Run,
    pub(crate) after: Run,
    /// Other differences between the two runs, in words. They may explain a change.
    pub(crate) notes: Vec<String>,
    pub(crate) changes: Vec<Change>,
    /// The figures that failed a rule of `--fail-if`, as `platform.figure`.
    pub(crate) failed: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Run {
    pub(crate) file: String,
    pub(crate) time: String,
    pub(crate) commit: Option<String>,
    /// Number of runs behind its figures.
    pub(crate) runs: usize,
}

impl Differences {
    /// The differences of two results, and which of them fail a rule.
    ///
    /// # Errors
    /// Fails if a rule names a figure that the results do not have.
    pub(crate) fn of(
        [before_file, after_file]: [&Path; 2],
        [before, after]: [&Comparison; 2],
        rules: &[Rule],
    ) -> Result<Self> {
        let changes = changes(before, after);
        rules.iter().try_for_each(|rule| rule.check(&changes))?;
        let hit = changes.iter().filter(|change| rules.iter().any(|rule| rule.hits(change)));
        let failed = hit.map(|change| format!("{}.{}", change.platform, change.figure)).collect();
        let run = |file: &Path, result: &Comparison| Run {
            file: file.display().to_string(),
            time: result.machine.time.clone(),
            commit: result.machine.commit.as_ref().map(|commit| commit.id.clone()),
            runs: result.runs(),
        };
        Ok(Self {
            schema: SCHEMA,
            before: run(before_file, before),
            after: run(after_file, after),
            notes: notes(before, after),
            changes,
            failed,
        })
    }
}

/// The differences beside the measurements.
fn notes(before: &Comparison, after: &Comparison) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |what: &str, before: String, after: String| {
        if before != after {
            notes.push(format!("{what}: {before} → {after}"));
        }
    };
    let (was, is) = (&before.machine, &after.machine);
    note("processor", was.cpu.clone(), is.cpu.clone());
    note("cores", was.cores.to_string(), is.cores.to_string());
    note("kernel", was.kernel.clone(), is.kernel.clone());
    let rustc = |machine: &Machine| machine.versions.get("rustc").cloned().unwrap_or_default();
    note("rustc", rustc(was), rustc(is));
    let (was, is) = (&before.workload, &after.workload);
    note("workload", was.workload.name.clone(), is.workload.name.clone());
    note("events", format!("{} of {}", was.events, was.source), format!("{} of {}", is.events, is.source));
    note("seed", was.workload.seed.to_string(), is.workload.seed.to_string());
    for later in &after.platforms {
        match before.platforms.iter().find(|earlier| earlier.platform == later.platform) {
            Some(earlier) => {
                let runtime = |of: &isotherm_hosts::Runtime| format!("{} {}", of.name, of.version);
                let name = format!("runtime of {}", later.platform);
                note(&name, runtime(&earlier.figures.runtime), runtime(&later.figures.runtime));
            }
            None => note("platform", "none".to_owned(), later.platform.to_string()),
        }
    }
    for earlier in &before.platforms {
        if after.platforms.iter().all(|later| later.platform != earlier.platform) {
            note("platform", earlier.platform.to_string(), "none".to_owned());
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::figures::changes::Verdict;
    use crate::results::OneRun;
    use crate::results::tests::sample;
    use crate::stats::{Estimate, over_runs};

    fn differences(rules: &[&str], after: &Comparison) -> Differences {
        let rules: Vec<Rule> = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        Differences::of(["a.json", "b.json"].map(Path::new), [&sample(), after], &rules).unwrap()
    }

    fn times(Estimate { value, low, high }: &Estimate, scale: f64) -> Estimate {
        Estimate { value: scale * value, low: scale * low, high: scale * high }
    }

    /// A run in which all times of a native request are `scale` times as long.
    fn slowed(scale: f64) -> Comparison {
        let mut run = sample();
        let native = run.platforms.iter_mut().find(|measured| measured.platform.name() == "native").unwrap();
        let latency = &mut native.figures.warm.latency;
        for figure in [&mut latency.p50, &mut latency.p90, &mut latency.p99] {
            *figure = times(figure, scale);
        }
        let rate = &mut native.figures.throughput.requests_per_second;
        *rate = times(rate, 1.0 / scale);
        run
    }

    #[test]
    fn a_run_is_a_tie_with_itself() {
        let found = differences(&["any>0%"], &sample());
        assert!(found.changes.len() > 40);
        assert!(found.changes.iter().all(|change| change.verdict == Verdict::Tie));
        assert_eq!((found.failed.len(), found.notes.len()), (0, 0));
        assert!(crate::render::diff::text(&found, false).contains("0 of "));
    }

    #[test]
    fn what_became_slower_is_worse_and_fails_what_names_it() {
        let found = |rules: &[&str], scale| differences(rules, &slowed(scale)).failed;
        let all = ["native.requests_per_second", "native.warm_p50", "native.warm_p90", "native.warm_p99"];
        let mut worse = found(&["any>10%"], 1.5);
        worse.sort();
        assert_eq!(worse, all);
        assert_eq!(found(&["native.warm_p50>40%"], 1.5), ["native.warm_p50"]);
        assert!(found(&["native.warm_p50>60%", "lambda.any>1%"], 1.5).is_empty());
        // The change is within the noise between two runs.
        assert!(found(&["any>0%"], 1.03).is_empty());
        // A better figure is no failure.
        assert!(found(&["any>0%"], 0.5).is_empty());
        let better = differences(&[], &slowed(0.5)).changes;
        assert_eq!(better.iter().filter(|change| change.verdict == Verdict::Better).count(), 4);
    }

    #[test]
    fn what_the_floor_does_as_well_is_noise() {
        let mut after = slowed(1.5);
        let native = after.platforms.iter_mut().find(|measured| measured.platform.name() == "native").unwrap();
        let p50 = &mut native.floor.warm.latency.p50;
        *p50 = times(p50, 1.6);
        let changes = changes(&sample(), &after);
        let verdict = |figure: &str| {
            let change = changes.iter().find(|change| change.platform.name() == "native" && change.figure == figure);
            change.unwrap().verdict
        };
        assert_eq!((verdict("warm_p50"), verdict("requests_per_second")), (Verdict::Tie, Verdict::Worse));
    }

    #[test]
    fn what_differs_from_run_to_run_is_noise() {
        // Native's warm median is 1.5 times as high in the later three runs. But it differs as much between the runs of
        // either result.
        let repeated = |runs: [f64; 3]| {
            let mut result = sample();
            let native = result.platforms.iter_mut().find(|measured| measured.platform.name() == "native").unwrap();
            let run = |_: &f64| OneRun { figures: BTreeMap::new(), floor: BTreeMap::new() };
            native.runs = runs.iter().map(run).collect();
            native.figures.warm.latency.p50 = over_runs(runs[1], &runs);
            result
        };
        let verdict = |before, after| {
            let changes = changes(&repeated(before), &repeated(after));
            let change =
                changes.iter().find(|change| change.platform.name() == "native" && change.figure == "warm_p50");
            change.unwrap().verdict
        };
        assert_eq!(verdict([1.0, 1.5, 1.2], [1.4, 2.2, 1.8]), Verdict::Tie);
        assert_eq!(verdict([1.0, 1.002, 1.001], [2.0, 2.002, 2.001]), Verdict::Worse);
        let found = Differences::of(["a", "b"].map(Path::new), [&repeated([1.0; 3]), &sample()], &[]).unwrap();
        assert!(
            crate::render::diff::text(&found, false).contains("3 runs")
                && crate::render::diff::text(&found, false).contains("1 run ·")
        );
        assert!(crate::render::diff::text(&found, false).contains("--repeat 5"));
    }

    /// Five runs of native's warm median around `mean`, with 1 % of noise. A busy neighbour slows them and the floor by
    /// some 30 %, more in one run than in another.
    fn five_runs(mean: f64, rng: &mut rand_pcg::Pcg64Mcg) -> Comparison {
        use rand::RngExt as _;
        let mut result = sample();
        result.platforms.retain(|measured| measured.platform == isotherm_hosts::Platform::Native);
        let native = &mut result.platforms[0];
        let (mut own, mut floor) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            let busy = 1.3 + 0.02 * rng.random::<f64>();
            let mut noise = || 1.0 + 0.01 * (2.0 * rng.random::<f64>() - 1.0);
            own.push(mean * busy * noise());
            floor.push(busy * noise());
        }
        native.runs = own.iter().map(|_| OneRun { figures: BTreeMap::new(), floor: BTreeMap::new() }).collect();
        let mean = |runs: &[f64]| runs.iter().sum::<f64>() / 5.0;
        native.figures.warm.latency.p50 = over_runs(mean(&own), &own);
        native.floor.warm.latency.p50 = over_runs(mean(&floor), &floor);
        result
    }

    #[test]
    fn beside_a_busy_neighbour_a_platform_ties_with_itself_and_one_10_percent_slower_does_not() {
        use rand::SeedableRng as _;
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(5);
        let mut worse = |scale: f64| {
            (0..200)
                .filter(|_| {
                    let [before, after] = [1.0, scale].map(|mean| five_runs(mean, &mut rng));
                    let found = changes(&before, &after);
                    found.iter().any(|change| change.figure == "warm_p50" && change.verdict != Verdict::Tie)
                })
                .count()
        };
        let (itself, slower, much_slower) = (worse(1.0), worse(1.1), worse(1.5));
        assert!(itself <= 2, "{itself} of 200");
        assert!(much_slower >= 195, "{much_slower} of 200");
        assert!(slower >= 60, "{slower} of 200");
    }

    #[test]
    fn other_conditions_are_noted_and_missing_platforms_left_out() {
        let mut after = sample();
        after.machine.cpu = "another".to_owned();
        after.workload.workload.seed = 1;
        after.platforms.remove(0);
        let found = differences(&[], &after);
        let notes = found.notes.join("\n");
        assert!(notes.contains("processor: ") && notes.contains("seed: ") && notes.contains("platform: lambda → none"));
        assert!(found.changes.iter().all(|change| change.platform.name() != "lambda"));
    }

    #[test]
    fn sizes_are_certain() {
        let mut after = sample();
        after.platforms[1].figures.artifact.raw_bytes += 1;
        let found = differences(&["artifact_raw>0%"], &after);
        assert_eq!(found.failed, ["workers.artifact_raw"]);
    }

    #[test]
    fn differences_are_what_their_schema_says() {
        let schema = serde_json::to_value(schemars::schema_for!(Differences)).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let found = differences(&["any>1%"], &slowed(2.0));
        let differences = serde_json::to_value(found).unwrap();
        let errors: Vec<String> = validator.iter_errors(&differences).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:#?}");
        let mut spoilt = differences;
        spoilt["changes"][0]["verdict"] = "perhaps".into();
        assert!(!validator.is_valid(&spoilt));
    }

    #[test]
    fn a_rule_that_names_nothing_is_refused() {
        let files = ["a.json", "b.json"].map(Path::new);
        for (rule, expected) in [
            ("warm_p9>10%", Some("--fail-if warm_p9>10%: the results have no such figure")),
            ("report:nothing_p50>5%", Some("no such figure")),
            ("lambda.warm_p99>10%", None),
            ("freshness_p50>10%", None),
            ("any>2.5%", None),
        ] {
            let rules = [rule.parse().unwrap()];
            let error = Differences::of(files, [&sample(), &sample()], &rules).err().map(|error| error.to_string());
            let is_as_expected = match (&error, expected) {
                (Some(error), Some(expected)) => error.contains(expected),
                (None, None) => true,
                _ => false,
            };
            assert!(is_as_expected, "{rule}: {error:?}");
            assert_eq!(crate::command::diff::check(&sample(), &rules).is_err(), expected.is_some(), "{rule}");
        }
    }
}
