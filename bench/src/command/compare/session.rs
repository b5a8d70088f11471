//! One run of `isotherm compare`, from its flags to its exit code.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context, Result};
use futures_util::future::join_all;
use isotherm_hosts::{Platform, control};
use tokio::signal::unix::{SignalKind, signal};

use crate::command::compare::flags::{Compare, End};
use crate::command::compare::output::Output;
use crate::command::diff;
use crate::command::report::Format;
use crate::figures::repeat;
use crate::load::Events;
use crate::measure::data::{self, Span};
use crate::measure::deployment::{self, Deployments};
use crate::measure::phases::{self, PHASES, Run};
use crate::measure::role::Role;
use crate::measure::target::{Paths, Target};
use crate::measure::watch::Watch;
use crate::measure::{machine, summary};
use crate::model::cost::of_run as cost;
use crate::model::simulate::of_run as simulate;
use crate::render::text::{self, Style};
use crate::results::file;
use crate::results::{Baseline, Comparison, Machine, Measured, NotStarted, SCHEMA, Sent};
use crate::say;
use crate::stats::Bootstrap;
use crate::workload::Workload;

/// The checked plan of all measurements.
struct Plan {
    workload: Workload,
    events: Rc<Events>,
    span: Span,
    sent: Sent,
    platforms: Vec<Platform>,
    machine: Machine,
    output: Output,
    /// An earlier result, and its file.
    against: Option<(PathBuf, Comparison)>,
}

/// Runs the comparison and says on standard error what went wrong.
pub(crate) fn run(flags: &Compare) -> End {
    let started = Instant::now();
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return failed(&anyhow::Error::new(error).context("cannot find this program's own file")),
    };
    let plan = match Plan::make(flags, &program) {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("isotherm: {error:#}");
            return End::BadInput;
        }
    };
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(interruptible(flags, &program, plan, started)),
        Err(error) => failed(&error.into()),
    }
}

fn failed(error: &anyhow::Error) -> End {
    eprintln!("isotherm: {error:#}");
    End::Failed
}

impl Plan {
    fn make(flags: &Compare, program: &Path) -> Result<Self> {
        deployment::distinct(&flags.target)?;
        let loaded = Workload::load(&flags.workload, flags.events.as_deref())?;
        let mut workload = loaded.workload;
        if flags.quick {
            workload = workload.quick();
        }
        workload.seed = flags.seed.unwrap_or(workload.seed);
        let event_bytes = loaded.events.len();
        let (mut events, span) = data::parse(loaded.events, &loaded.source)?;
        if flags.quick {
            events.truncate(workload.quick.events);
        }
        let machine = machine::describe(program);
        let mut platforms = Platform::ALL.to_vec();
        platforms.retain(|platform| flags.platform.is_empty() || flags.platform.contains(platform));
        let against = flags.against.as_ref().map(|file| {
            let before = file::read(file)?;
            diff::check(&before, &flags.fail_if)?;
            Ok::<_, anyhow::Error>((file.clone(), before))
        });
        Ok(Self {
            against: against.transpose()?,
            output: Output::prepare(flags.out.as_deref(), &machine.time)?,
            sent: Sent {
                workload: workload.clone(),
                source: loaded.source,
                events: events.len(),
                event_bytes,
                is_quick: flags.quick,
            },
            workload,
            events: Rc::new(events),
            span,
            platforms,
            machine,
        })
    }
}

/// Runs until the end or a signal. Either way it stops every process it started before it returns.
async fn interruptible(flags: &Compare, program: &Path, plan: Plan, started: Instant) -> End {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return failed(&anyhow::anyhow!("cannot watch for Ctrl-C"));
    };
    let mut targets = Vec::new();
    let ended = tokio::select! {
        ended = whole(flags, program, plan, started, &mut targets) => Some(ended),
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
    };
    let stopped = join_all(targets.into_iter().map(|target: Target| async {
        let name = target.name();
        target.remote.stop().await.with_context(|| format!("{name}: cannot be stopped"))
    }));
    let stopped = stopped.await;
    control::stragglers().await;
    match ended {
        None => {
            eprintln!("isotherm: interrupted; no result is written");
            End::Interrupted
        }
        Some(Err(error)) => failed(&error),
        Some(Ok(end)) => stopped.into_iter().filter_map(Result::err).map(|error| failed(&error)).next().unwrap_or(end),
    }
}

/// The findings of the runs so far.
#[derive(Default)]
struct Runs {
    /// The measurements by platform, in the order of the runs.
    measured: BTreeMap<&'static str, Vec<Measured>>,
    baseline: Vec<Baseline>,
    /// A platform that could not be started even once is left out of the result.
    not_started: Vec<NotStarted>,
}

async fn whole(
    flags: &Compare,
    program: &Path,
    plan: Plan,
    started: Instant,
    targets: &mut Vec<Target>,
) -> Result<End> {
    let Plan { workload, events, span, sent, platforms, mut machine, output, against } = plan;
    let logs = output.logs()?;
    let paths = Paths { program, artifacts: &flags.artifacts, logs: &logs };
    let watch = Watch::start().await;
    let mut runs = Runs::default();
    let mut deployments = Deployments::default();
    for nth in 0..flags.repeat {
        let run =
            Run { nth, of: flags.repeat, phases: PHASES + of_deployments(flags), driving: driving(flags, &workload) };
        phases::stop(targets).await?;
        let mut turns = platforms.clone();
        turns.retain(|platform| runs.not_started.iter().all(|missing| missing.platform != *platform));
        // Each run begins with another platform, so that no platform always follows the same one.
        let first = nth % turns.len().max(1);
        turns.rotate_left(first);
        let workload = Workload { seed: repeat::seed(workload.seed, nth), ..workload.clone() };
        runs.not_started.extend(phases::start(paths, &turns, &events, workload.seed, run, targets).await);
        if targets.is_empty() {
            return Ok(End::NotStarted);
        }
        deployments.find(&flags.target, flags.key.as_deref(), &events, workload.seed).await;
        phases::measure(targets, &workload, &events, &span, run).await?;
        eprintln!("working out sizes and intervals takes some seconds");
        let mut bootstrap = Bootstrap::new(workload.seed);
        let of = |role| targets.iter().filter(move |target| target.role == role);
        for (own, floor) in of(Role::Own).zip(of(Role::Floor)) {
            let measured = summary::measured(own, floor, &workload, &mut bootstrap)?;
            runs.measured.entry(measured.platform.name()).or_default().push(measured);
        }
        for (function, isotherm) in of(Role::Baseline).zip(of(Role::Singles)) {
            runs.baseline.push(summary::baseline(function, isotherm, &workload, &mut bootstrap)?);
        }
        drive(&mut deployments, flags, &workload, &span, run).await;
    }
    let platforms: Vec<Measured> = platforms
        .iter()
        .filter(|platform| runs.not_started.iter().all(|missing| missing.platform != **platform))
        .filter_map(|platform| repeat::pooled(runs.measured.remove(platform.name())?))
        .collect();
    let (deployments, unreachable) = deployments.end(&flags.target);
    let deployments = deployments.into_iter().filter_map(repeat::deployments).collect();
    machine.seconds = started.elapsed().as_secs_f64().round();
    let mut result = Comparison {
        schema: SCHEMA.to_owned(),
        machine,
        workload: sent,
        platforms,
        baseline: repeat::baseline(runs.baseline),
        not_started: runs.not_started,
        deployments,
        unreachable,
        cost: None,
        cold_share: vec![],
        noise: None,
    };
    result.noise = Some(watch.end(&result.platforms));
    if let Err(error) = model(&mut result, events.text()) {
        // The measurements are worth more than the models built on them.
        eprintln!("isotherm: the result lacks costs or cold shares: {error:#}");
    }
    let [path, page] = output.write(&result)?;
    let format = flags.format();
    let mut said = format.render(&result)?;
    if format == Format::Table {
        said.push_str(&format!("{}\n", path.display()));
    } else {
        eprintln!("{}", path.display());
    }
    eprintln!("{}", page.display());
    say(&said)?;
    summarise(&text::render(&result, Style::Markdown));
    let ended = end(&result);
    let is_worse = against.is_some_and(|(file, before)| diff::against(&file, &before, &path, &result, &flags.fail_if));
    Ok(if is_worse && ended == End::Measured { End::Failed } else { ended })
}

/// Adds the parts of the result that are computed from measurements. `events` are the events that were sent, as NDJSON.
fn model(result: &mut Comparison, events: &[u8]) -> Result<()> {
    result.cost = Some(cost::of_run(result, events).context("cannot price the run")?);
    let priced = cost::of_baseline(result, events).context("cannot price the baseline")?;
    if let (Some(baseline), Some([function, isotherm])) = (&mut result.baseline, priced) {
        (baseline.function.cost, baseline.isotherm.cost) = (Some(function), Some(isotherm));
    }
    result.cold_share = simulate::of_run(result).context("cannot simulate the run's platforms")?;
    Ok(())
}

/// The number of phases that deployments add.
fn of_deployments(flags: &Compare) -> usize {
    if flags.target.is_empty() { 0 } else { 1 + usize::from(flags.idle.is_some()) }
}

/// Rough time for deployments in one run, in seconds.
fn driving(flags: &Compare, workload: &Workload) -> f64 {
    let resting = flags.idle.map_or(0.0, deployment::resting);
    let count = flags.target.len() as f64;
    if count > 0.0 { resting + count * deployment::seconds(workload) } else { 0.0 }
}

/// Drives the deployments after the platforms. They need not take turns: load on this machine does not affect a
/// deployment, nor the other way round.
async fn drive(deployments: &mut Deployments, flags: &Compare, workload: &Workload, span: &Span, run: Run) {
    if let Some(idle) = flags.idle {
        let phase =
            run.phase(run.phases - 1, "deployments, left alone and probed", run.driving - deployment::resting(idle));
        deployments.cold(idle, &phase).await;
    }
    if !flags.target.is_empty() {
        let phase = run.phase(run.phases, "deployments, over the network", 0.0);
        deployments.measure(workload, span, flags.idle, &phase).await;
    }
}

/// Adds the result to the summary of a job on GitHub, which names the file for it. Elsewhere there is none.
fn summarise(markdown: &str) {
    let Some(file) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|file| !file.is_empty()) else { return };
    let file = PathBuf::from(file);
    let written = std::fs::OpenOptions::new().append(true).create(true).open(&file);
    if let Err(error) = written.and_then(|mut summary| summary.write_all(markdown.as_bytes())) {
        // The result itself is written already.
        eprintln!("isotherm: cannot write the job's summary {}: {error}", file.display());
    }
}

fn end(result: &Comparison) -> End {
    let is_whole = result.not_started.is_empty() && result.unreachable.is_empty();
    let mut end = if is_whole { End::Measured } else { End::NotStarted };
    let platforms = result.platforms.iter().map(|Measured { platform, errors, figures, floor, .. }| {
        (platform.name(), *errors, vec![("", &figures.first_errors), ("its floor: ", &floor.first_errors)])
    });
    let baseline = result.baseline.iter().map(|Baseline { function, isotherm, .. }| {
        let [one, other] = [&function.figures.first_errors, &isotherm.figures.first_errors];
        ("the baseline", function.errors + isotherm.errors, vec![("", one), ("Isotherm beside it: ", other)])
    });
    let deployed = result
        .deployments
        .iter()
        .map(|deployed| (&*deployed.name, deployed.errors, vec![("", &deployed.first_errors)]));
    for (name, errors, firsts) in platforms.chain(baseline).chain(deployed).filter(|(_, errors, _)| *errors > 0) {
        end = End::Failed;
        eprintln!("isotherm: {name}: {errors} missing or wrong answers; the first:");
        for (of, errors) in firsts {
            for error in errors {
                eprintln!("  {of}{error}");
            }
        }
    }
    end
}
