//! One run from flags to exit code.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context, Result};
use futures_util::future::join_all;
use isotherm_hosts::{Platform, control};
use tokio::signal::unix::{SignalKind, signal};

use crate::compare::data::Span;
use crate::compare::noise::Watch;
use crate::compare::output::{self, Output};
use crate::compare::progress::{self, Phase};
use crate::compare::report::Format;
use crate::compare::result::{Article, Comparison, Machine, Measured, NotStarted, SCHEMA, Sent};
use crate::compare::target::{Role, Target};
use crate::compare::{Compare, End, cold, data, figures, machine, meters, reports, throughput, verify, warm};
use crate::cost;
use crate::diff;
use crate::load::Events;
use crate::simulate;
use crate::stats::Bootstrap;
use crate::workload::Workload;

/// Rough times for what can't be known beforehand, seconds: one cold start, one look-up.
const COLD_START: f64 = 0.03;
const LOOK_UP: f64 = 0.0004;

const PHASES: usize = 7;

/// What is to be measured, all of it checked.
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
pub(super) fn run(flags: &Compare) -> End {
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
        let against = flags.against.as_ref().map(|file| Ok::<_, anyhow::Error>((file.clone(), output::read(file)?)));
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

/// Runs until the end or a signal; either way every process that was started is stopped before this returns.
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

async fn whole(
    flags: &Compare,
    program: &Path,
    plan: Plan,
    started: Instant,
    targets: &mut Vec<Target>,
) -> Result<End> {
    let Plan { workload, events, span, sent, platforms, mut machine, output, against } = plan;
    let watch = Watch::start().await;
    let not_started = start(flags, program, &platforms, &events, workload.seed, targets).await;
    for NotStarted { platform, reason } in &not_started {
        eprintln!("isotherm: {platform} is left out, it can't be started: {reason}");
    }
    if targets.is_empty() {
        return Ok(End::NotStarted);
    }
    measure(targets, &workload, &events, &span).await?;

    let mut bootstrap = Bootstrap::new(workload.seed);
    let of = |role| targets.iter().filter(move |target| target.role == role);
    let measured: Result<Vec<_>> = of(Role::Own)
        .zip(of(Role::Floor))
        .map(|(own, floor)| figures::measured(own, floor, &workload, &mut bootstrap))
        .collect();
    let platforms = measured?;
    let article = of(Role::Article).zip(of(Role::Singles)).next();
    let article = article.map(|(function, isotherm)| figures::article(function, isotherm, &workload, &mut bootstrap));
    machine.seconds = started.elapsed().as_secs_f64().round();
    let ranking = figures::ranking(&platforms);
    let mut result = Comparison {
        schema: SCHEMA.to_owned(),
        machine,
        workload: sent,
        platforms,
        article: article.transpose()?,
        not_started,
        ranking,
        cost: None,
        cold_share: vec![],
        noise: None,
    };
    result.noise = Some(watch.end(&result.platforms));
    let sent = Workload::load(&flags.workload, flags.events.as_deref())?;
    result.cost = Some(cost::of_run(&result, &sent.events).context("cannot price the run")?);
    let priced = cost::of_article(&result, &sent.events).context("cannot price the article's function")?;
    if let (Some(article), Some([function, isotherm])) = (&mut result.article, priced) {
        (article.function.cost, article.isotherm.cost) = (Some(function), Some(isotherm));
    }
    result.cold_share = simulate::of_run(&result).context("cannot simulate the run's platforms")?;
    let [path, page] = output.write(&result)?;
    let format = flags.format();
    let mut text = format.render(&result)?;
    if format == Format::Table {
        text.push_str(&format!("{}\n", path.display()));
    } else {
        eprintln!("{}", path.display());
    }
    eprintln!("{}", page.display());
    // Not `print!`, which panics where the reader has gone.
    std::io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")?;
    let ended = end(&result);
    let is_worse = against.is_some_and(|(file, before)| diff::against(&file, &before, &path, &result, &flags.fail_if));
    Ok(if is_worse && ended == End::Measured { End::Failed } else { ended })
}

/// Starts each platform with its floor, and with Lambda the article's function; a platform beside which one of these can't be started is left
/// out too. Afterwards the platforms stand first in `targets`, then their floors in the same order.
async fn start(
    flags: &Compare,
    program: &Path,
    platforms: &[Platform],
    events: &Rc<Events>,
    seed: u64,
    targets: &mut Vec<Target>,
) -> Vec<NotStarted> {
    let phase = Phase::start(1, PHASES, "starting platforms and their floors", f64::NAN);
    let mut not_started = Vec::new();
    for (place, platform) in platforms.iter().enumerate() {
        let before = targets.len();
        // The article's function is one of Lambda's.
        let article: &[Role] = if *platform == Platform::Lambda { &[Role::Article, Role::Singles] } else { &[] };
        for role in [Role::Own, Role::Floor].iter().chain(article) {
            let events = Rc::clone(events);
            match Target::start(program, &flags.artifacts, *platform, *role, events, seed).await {
                Ok(target) => targets.push(target),
                Err(error) => {
                    let of = match role {
                        Role::Own | Role::Singles => "",
                        Role::Floor => "its floor: ",
                        Role::Article => "the article's function beside it: ",
                    };
                    not_started.push(NotStarted { platform: *platform, reason: format!("{of}{error:#}") });
                    for target in targets.drain(before..) {
                        // It is left out anyway; how it stops makes no difference.
                        let _stopped = target.remote.stop().await;
                    }
                    break;
                }
            }
        }
        phase.progress((place + 1) as f64 / platforms.len() as f64, f64::NAN);
    }
    targets.sort_by_key(|target| target.role);
    not_started
}

async fn measure(targets: &mut [Target], workload: &Workload, events: &Events, span: &Span) -> Result<()> {
    let count = targets.len();
    let platforms = targets.iter().filter(|target| target.role == Role::Own).count();
    let checking = LOOK_UP * (events.len() * platforms) as f64;
    let reporting = reports::seconds(&workload.reports, platforms) + checking;
    let metering = meters::SECONDS + reporting;
    let loading = throughput::seconds(&workload.throughput, count) + metering;
    let warming = warm::seconds(&workload.warm, count) + loading;
    let whole = COLD_START * (workload.cold.samples * count) as f64 + warming;
    eprintln!("measuring takes about {}", progress::time(whole));

    let phase = Phase::start(2, PHASES, "cold starts", warming);
    cold::measure(targets, events, workload.cold.samples, &phase).await?;
    drop(phase);
    meters::begin(targets).await?;
    let phase = Phase::start(3, PHASES, "warm latency, open loop", loading);
    warm::measure(targets, &workload.warm, workload.seed, &phase).await?;
    drop(phase);
    let phase = Phase::start(4, PHASES, "throughput, closed loop", metering);
    throughput::measure(targets, &workload.throughput, events.len(), &phase).await?;
    drop(phase);
    let phase = Phase::start(5, PHASES, "meters, once all is folded", reporting);
    meters::end(targets, &phase).await?;
    drop(phase);
    let phase = Phase::start(6, PHASES, "reports", checking);
    let cold_starts = workload.cold.samples + cold::DISCARDED;
    reports::measure(targets, &workload.reports, span, cold_starts, &phase).await?;
    drop(phase);
    let phase = Phase::start(7, PHASES, "checking that nothing was lost", 0.0);
    verify::check(targets, events, workload.throughput.connections, &phase).await
}

fn end(result: &Comparison) -> End {
    let mut end = if result.not_started.is_empty() { End::Measured } else { End::NotStarted };
    let platforms = result.platforms.iter().map(|Measured { platform, errors, figures, floor, .. }| {
        (platform.name(), *errors, [("", figures), ("its floor: ", floor)])
    });
    let article = result.article.iter().map(|Article { function, isotherm, .. }| {
        let errors = function.errors + isotherm.errors;
        ("the article's function", errors, [("", &function.figures), ("Isotherm beside it: ", &isotherm.figures)])
    });
    for (name, errors, figures) in platforms.chain(article).filter(|(_, errors, _)| *errors > 0) {
        end = End::Failed;
        eprintln!("isotherm: {name}: {errors} missing or wrong answers; the first:");
        for (of, figures) in figures {
            for error in &figures.first_errors {
                eprintln!("  {of}{error}");
            }
        }
    }
    end
}
