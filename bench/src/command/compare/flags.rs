//! The flags of `isotherm compare`, and its exit codes.

use std::path::PathBuf;

use clap::Args;
use isotherm_hosts::Platform;

use crate::command::report::Format;
use crate::figures::rule::Rule;
use crate::measure::deployment;

const EXAMPLES: &str = "\
Examples:
  isotherm compare --quick                   all four platforms, in about a minute
  isotherm compare --repeat 5 --out before   five runs: intervals hold what differs between them
  isotherm compare --repeat 5 --against before/result.json --fail-if 'any>10%'
  isotherm compare --events mine.ndjson.gz --platform native --platform spin
  isotherm compare --target prod=https://events.example.com --idle 15m
        a deployment beside them, cold after 15 minutes' rest; its key is in ISOTHERM_KEY";

const NOTES: &str = "\
A target must speak the contract. It gets the workload's events, under messageIds of their own, and keeps them. The network is in its \
figures, so it is shown beside the platforms and not ranked with them.

Exit codes: 0 measured, and every answer was right; 1 answers were missing or wrong, or --fail-if names what became worse; 2 a flag, a \
workload or events that can't be used; 3 a platform could not be started, or a target not be measured; 130 interrupted.";

/// The flags of `isotherm compare`.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES, after_help = NOTES)]
pub struct Compare {
    /// What is sent: the name of a built-in workload, or a TOML file as in bench/workloads
    #[arg(long, value_name = "NAME|FILE", default_value = "flights")]
    pub workload: String,
    /// Your own events instead of the workload's: NDJSON, plain or gzip
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// Fewer cold starts and shorter measurements: about a minute
    #[arg(long)]
    pub quick: bool,
    /// Measure so many times, each with hosts started anew, and take intervals over the runs: 5 is a good number, 2 tell almost nothing
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=100))]
    pub repeat: usize,
    /// How the result is printed to standard output
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub format: Format,
    /// Short for --format json: the result, and nothing else there
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// Only this platform; may be given more than once
    #[arg(long, value_name = "NAME", value_parser = crate::command::up::platform())]
    pub platform: Vec<Platform>,
    /// A deployment of yours to measure beside them, such as `prod=https://events.example.com`; may be given more than once
    #[arg(long, value_name = "NAME=URL")]
    pub target: Vec<deployment::Named>,
    /// The key that deployments want as `Authorization: Bearer KEY`; better in the environment, where no list of processes shows it
    #[arg(long, value_name = "KEY", env = "ISOTHERM_KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// Measure cold starts of deployments too: leave them alone for so long (90s, 15m), then send one request; three times
    #[arg(long, value_name = "TIME", value_parser = deployment::idle, requires = "target")]
    pub idle: Option<std::time::Duration>,
    /// Where result.json, report.html and logs/ of the platforms are written; without it, target/compare/TIME
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Afterwards, say what changed since this result.json, and what is noise
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// With --against: exit with 1 if this figure became worse by more, such as any>10%; see `isotherm diff --help`
    #[arg(long, value_name = "RULE", requires = "against")]
    pub fail_if: Vec<Rule>,
    /// Instead of the workload's seed
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Where `cargo xtask build` put the artifacts
    #[arg(long, value_name = "DIR", env = "ISOTHERM_ARTIFACTS", default_value = "target/artifacts")]
    pub artifacts: PathBuf,
}

impl Compare {
    /// The output format. `--json` is short for one of them.
    pub(crate) fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

/// The end of a comparison, as an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Everything was measured, and every answer was right.
    Measured = 0,
    /// A platform gave wrong answers, or something on this machine failed.
    Failed = 1,
    /// A flag, a workload or events can't be used.
    BadInput = 2,
    /// A platform could not be started or a deployment could not be measured. The others were measured.
    NotStarted = 3,
    /// Ctrl-C or SIGTERM.
    Interrupted = 130,
}
