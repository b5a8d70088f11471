//! The cost of leaving one platform for another with `isotherm move`: what both bill for it, and how long it takes.
//!
//! ```text
//! each run:  the source's events ─▶ the target                      a pass over the source, and writes
//!            the source's rollups ─▶ the target                     the same
//!            the source and the target again, to compare            a pass over each
//! ```
//!
//! A side's price is the cost of its month with the move in it, less the cost of the month without it. So tiers, free
//! units and a plan's included units count once.

use anyhow::{Result, bail};
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::cost::assumptions::Assumption;
use crate::model::cost::bill::{Bill, Line, Rates};
use crate::model::cost::design::Design;
use crate::model::cost::given::{self, Batches, GB, Given, HOURS, SECONDS};
use crate::model::cost::lambda::{CONCURRENCY, WAITS_OF_A_FOLD, lanes};
use crate::model::cost::usage::{Service, Usage};
use crate::model::cost::workers::{OBJECT_GB, fold_events};

/// The name and version of the output of `--leave --json`. Its schema is `isotherm schema leave`.
pub(crate) const SCHEMA: &str = "isotherm.leave/1";
/// Bytes after which an answer of an export is full (`core/src/store/export.rs`).
const ANSWER: f64 = 512.0 * 1024.0;
/// The most lines and bytes of a request of an import (`bench/src/command/moving/sink.rs`).
const LINES: f64 = 1000.0;
const REQUEST: f64 = 900.0 * 1024.0;
/// Bytes of an event's line beside its record, in an export and in an import, and of a page's line beside its base64.
const EXPORT_LINE: f64 = 79.0;
const IMPORT_LINE: f64 = 94.0;
const PAGE_LINE: f64 = 30.0;
/// Bytes that one page of DynamoDB's scans and queries reads at most, and the items that a page of a scan has
/// (`adapters/lambda/src/moved.rs`).
const SCANNED: f64 = 1024.0 * 1024.0;
const ITEMS: f64 = 1000.0;
/// Bytes of a moved event on Lambda beside its record, which is kept as text: its version, digest, request and mark.
const TEXT_HEAD: f64 = 26.0;
/// How often a run reads the source: to copy, and to compare.
const SOURCE_PASSES: f64 = 2.0;

/// What is moved, and how.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Leaving {
    pub from: Design,
    pub to: Design,
    /// Events that the source has.
    pub events: f64,
    /// Bytes of an event's record; `None` takes those of the sample.
    pub record_bytes: Option<f64>,
    /// How often `isotherm move` runs.
    pub runs: f64,
    /// The most events a second that are sent; `None` does not bound them.
    pub rate: Option<f64>,
    /// True asks for the monthly bills of both platforms, too.
    pub stays: bool,
}

impl Leaving {
    /// Bytes of an event's record.
    fn record_bytes(&self, given: &Given<'_>) -> f64 {
        self.record_bytes.unwrap_or(given.sample.record_bytes)
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Leave {
    /// The name and version of this output.
    pub schema: String,
    /// The day of the prices.
    pub on: String,
    /// When the prices were compared with their sources.
    pub checked: String,
    /// True if the prices deduct the free units.
    pub free_tier: bool,
    /// The platform to leave.
    pub from: Design,
    /// The platform to go to.
    pub to: Design,
    /// Events that are moved.
    pub events: f64,
    /// Pages of rollups that the source has of them.
    pub pages: f64,
    /// Bytes of an event's record.
    pub record_bytes: f64,
    /// How often `isotherm move` runs.
    pub runs: f64,
    /// What the source bills.
    pub source: Side,
    /// What the target bills.
    pub target: Side,
    /// The sum of both, in USD.
    pub usd: f64,
    /// How long the parts of one run take.
    pub times: Vec<Time>,
    /// How long all runs take, in seconds.
    pub seconds: f64,
    /// What staying costs beside it.
    pub stay: Option<Stay>,
    /// What the figures rest on.
    pub assumptions: Vec<Assumption>,
}

/// What one platform bills for a move.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Side {
    /// The lines. Their units and their prices are those of the move alone.
    pub lines: Vec<Line>,
    /// Their sum, in USD.
    pub usd: f64,
}

/// How long a part of a run takes.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Time {
    /// The part.
    pub what: String,
    /// Its time in seconds.
    pub seconds: f64,
}

/// The months of both platforms.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Stay {
    /// Requests of a month.
    pub requests: f64,
    /// USD of a month at the source.
    pub source_month_usd: f64,
    /// USD of a month at the target.
    pub target_month_usd: f64,
    /// Months after which leaving has paid; `None` if it never does.
    pub pays_after_months: Option<f64>,
}

/// Sizes and counts of what is moved.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Load {
    events: f64,
    /// Bytes of a record, and of the event as Lambda packs it.
    record: f64,
    packed: f64,
    /// Events of a block on Workers.
    block_events: f64,
    /// Pages, and the mean bytes of one with its key.
    pages: f64,
    page: f64,
}

impl Load {
    /// The data as the source stores it: records, and a set of rollups in each of its lanes or shards.
    fn at_source(leaving: &Leaving, given: &Given<'_>) -> Result<Self> {
        let rate = given.load.rate();
        match leaving.from {
            Design::Lambda => Self::of(leaving, given, lanes(given)?, 1.0),
            Design::Workers => {
                let shards = given.assumed("workers-shards")?;
                let (seconds, most) =
                    (given.assumed("workers-fold-s")?, fold_events(given, leaving.record_bytes(given))?);
                Self::of(leaving, given, shards, Batches::of(rate, shards, seconds, most).events)
            }
            _ => Self::of(leaving, given, 1.0, 1.0),
        }
    }

    /// The data as the target stores it: one set of rollups. It folds in full batches.
    fn as_one(leaving: &Leaving, given: &Given<'_>) -> Result<Self> {
        Self::of(leaving, given, 1.0, fold_events(given, leaving.record_bytes(given))?)
    }

    /// Assumes `parts` sets of rollups, each with every hour and day that has events, and `batch` events a fold. A
    /// block has the events of one fold.
    fn of(leaving: &Leaving, given: &Given<'_>, parts: f64, batch: f64) -> Result<Self> {
        let sample = given.sample;
        let record = leaving.record_bytes(given);
        let scale = record / sample.record_bytes;
        let an_hour = given.load.rate() / parts * 3600.0;
        let (hour, day) = (given.folded(an_hour, 1.0)?, given.folded(24.0 * an_hour, 1.0)?);
        let block = given.folded(batch, batch)?;
        let kept = given.assumed("kept-months")? * HOURS;
        let has_events = |events: f64| -(-events).exp_m1();
        let (hours, days) = (kept * has_events(an_hour), kept / 24.0 * has_events(24.0 * an_hour));
        let pages = parts * (hours * hour.hour_pages + days * day.hour_pages);
        let bytes = parts * (hours * hour.hour_bytes + days * day.hour_bytes);
        Ok(Self {
            events: leaving.events,
            record,
            packed: sample.packed_bytes * scale,
            block_events: (batch.round().max(1.0) / block.blocks).max(1.0),
            pages,
            page: if pages > 0.0 { bytes / pages } else { 0.0 },
        })
    }

    fn export_line(&self) -> f64 {
        self.record + EXPORT_LINE
    }

    fn page_line(&self) -> f64 {
        self.page * 4.0 / 3.0 + PAGE_LINE
    }

    /// Answers that one pass over the events takes, and over the pages.
    fn answers(&self) -> [f64; 2] {
        [(self.events, self.export_line()), (self.pages, self.page_line())]
            .map(|(count, line)| (count / (ANSWER / line).ceil()).ceil())
    }

    /// Requests that bring events, and pages; and the bytes of a full one.
    fn requests(&self) -> [(f64, f64); 2] {
        [(self.events, self.record + IMPORT_LINE), (self.pages, self.page_line())].map(|(count, line)| {
            let lines = LINES.min((REQUEST / line).floor()).max(1.0);
            ((count / lines).ceil(), lines.min(count) * line)
        })
    }

    /// Bytes of all answers of one pass.
    fn exported(&self) -> f64 {
        self.events * self.export_line() + self.pages * self.page_line()
    }
}

/// What leaving costs.
///
/// # Errors
/// Fails if the price book or the assumptions lack something, or if nothing can move between these designs.
pub(crate) fn leave(leaving: &Leaving, given: &Given<'_>) -> Result<Leave> {
    for design in [leaving.from, leaving.to] {
        if matches!(design, Design::Managed | Design::Akamai) || design.is_instead() {
            bail!("nothing moves from or to {}: lambda, workers, spin or native", design.name());
        }
    }
    // The target gets the rollups of all shards, partitions and lanes as one.
    let (at_source, at_target) = (Load::at_source(leaving, given)?, Load::as_one(leaving, given)?);
    let (mut out, mut into) = (Usage::default(), Usage::default());
    read(leaving.from, &at_source, SOURCE_PASSES * leaving.runs, given, &mut out)?;
    // Each run reads the target to compare it. Before each run but the first, the target's rollups are read too.
    read(leaving.to, &at_target, leaving.runs, given, &mut into)?;
    let rollups = Load { events: 0.0, ..at_target };
    read(leaving.to, &rollups, leaving.runs - 1.0, given, &mut into)?;
    write(leaving.to, &at_target, leaving, given, &mut into)?;

    let times = times(leaving, [&at_source, &at_target], given)?;
    let seconds = leaving.runs * times.iter().map(|time| time.seconds).sum::<f64>();
    let mut assumptions = given.assumed.take_used();

    let (source_month, target_month) = (leaving.from.usage(given)?, leaving.to.usage(given)?);
    let of_months = given.assumed.take_used();
    let source = side(&out, &source_month, given.rates)?;
    let target = side(&into, &target_month, given.rates)?;
    let usd = source.usd + target.usd;
    let stay = || {
        let month = |usage| Ok::<_, anyhow::Error>(Bill::of(usage, &Service::ALL, given.rates)?.usd());
        let [here, there] = [month(&source_month)?, month(&target_month)?];
        let pays = (here > there).then(|| usd / (here - there));
        Ok::<_, anyhow::Error>(Stay {
            requests: given.load.requests,
            source_month_usd: here,
            target_month_usd: there,
            pays_after_months: pays,
        })
    };
    let stay = leaving.stays.then(stay).transpose()?;
    if leaving.stays {
        let others: Vec<_> = of_months.into_iter().filter(|one| !assumptions.contains(one)).collect();
        assumptions.extend(others);
    }
    Ok(Leave {
        schema: SCHEMA.to_owned(),
        on: given.rates.on.to_string(),
        checked: given.rates.book.checked()?.to_string(),
        free_tier: given.rates.free_tier,
        from: leaving.from,
        to: leaving.to,
        events: leaving.events,
        pages: at_source.pages,
        record_bytes: at_source.record,
        runs: leaving.runs,
        source,
        target,
        usd,
        times,
        seconds,
        stay,
        assumptions,
    })
}

/// Adds `passes` passes over all events and pages: each is read, and leaves the platform.
fn read(design: Design, load: &Load, passes: f64, given: &Given<'_>, usage: &mut Usage) -> Result<()> {
    let [events, pages] = load.answers();
    let answers = passes * (events + pages);
    match design {
        Design::Lambda => {
            // An answer that is full leaves the rest of what DynamoDB read for it. The next one reads it again.
            let item = load.packed + given.assumed("item-bytes")?;
            let of_scan = (ITEMS * item).min(SCANNED);
            let scans = scanned(load.events, item, events, of_scan);
            let queries = scanned(load.pages, load.page, pages, SCANNED);
            let read = scans + queries;
            let reads = (scans / of_scan + queries / SCANNED) / (events + pages).max(1.0);
            let waits = reads.max(1.0) * given.assumed("dynamodb-ms")?;
            invocations(answers, 0.0, given.cpu_ms("move-answer-ms")? + waits, given, usage)?;
            let units = read / given.rates.price("dynamodb-read")?.round_up_to.unwrap_or(1.0);
            usage.add(Service::Store, "dynamodb-read", passes * units);
            usage.add(Service::Egress, "aws-egress", passes * load.exported() / GB);
        }
        Design::Workers => {
            usage.add(Service::Function, "workers-request", answers);
            usage.add(Service::Function, "workers-cpu", answers * given.cpu_ms("move-answer-ms")?);
            objects(answers, given, usage)?;
            let rows = load.events / load.block_events + load.pages;
            usage.add(Service::Store, "durable-objects-rows-read", passes * rows);
        }
        // Nodes are paid for anyway.
        _ => usage.add(Service::Egress, "aws-egress", passes * load.exported() / GB),
    }
    Ok(())
}

/// Bytes that DynamoDB reads for a pass. It reads whole pages of `page` bytes for each answer, but never more than
/// there is.
fn scanned(items: f64, bytes: f64, answers: f64, page: f64) -> f64 {
    if answers == 0.0 {
        return 0.0;
    }
    let pages = (items / answers * bytes / page).ceil();
    answers * (pages * page).min(items * bytes)
}

/// Adds what all runs write. A later run sends everything again. The target refuses an event that it has, and replaces
/// the page.
fn write(design: Design, load: &Load, leaving: &Leaving, given: &Given<'_>, usage: &mut Usage) -> Result<()> {
    let [(events, body), (pages, page_body)] = load.requests();
    let of_event = leaving.runs * load.events;
    let lines = load.events / events.max(1.0);
    let answered = leaving.runs
        * (load.events * given.assumed("response-event-bytes")?
            + (events + pages) * given.assumed("response-bytes")?);
    match design {
        Design::Lambda => {
            let duration = given.cpu_ms("move-answer-ms")? + puts_ms(lines, given)?;
            invocations(leaving.runs * events, body, duration, given, usage)?;
            invocations(leaving.runs * pages, page_body, duration, given, usage)?;
            // A put whose condition fails is billed as one that succeeds.
            let item = load.record + TEXT_HEAD + given.assumed("item-bytes")?;
            let units = of_event * given.rates.units_of("dynamodb-write", item)?;
            let of_pages = leaving.runs * load.pages * given.rates.units_of("dynamodb-write", load.page)?;
            usage.add(Service::Store, "dynamodb-write", units);
            usage.add(Service::Aggregation, "dynamodb-write", of_pages);
            usage.add(Service::Egress, "aws-egress", answered / GB);
            stream(load, leaving, given, usage)?;
        }
        Design::Workers => {
            let shards = given.assumed("workers-shards")?;
            let requests = leaving.runs * (events + pages);
            usage.add(Service::Function, "workers-request", requests);
            let batch = given::Load { events_per_request: lines.max(1.0), cpu_ms: None, ..given.load.clone() };
            let cpu = Given { load: &batch, ..*given }.request_cpu_ms("workers-cpu-ms")?;
            let of_pages = given.cpu_ms("move-answer-ms")?;
            usage.add(Service::Function, "workers-cpu", leaving.runs * (events * cpu + pages * of_pages));
            objects(requests * shards, given, usage)?;
            // A later run's events are there already, so no row is written for them.
            let folds = load.events / fold_events(given, load.record)?;
            let blocks = load.events / load.block_events * given.assumed("workers-block-rows")?;
            let rows = events * shards.min(lines.max(1.0))
                + blocks
                + load.events * given.assumed("workers-event-rows-written")?;
            usage.add(Service::Store, "durable-objects-rows-written", rows);
            usage.add(
                Service::Store,
                "durable-objects-rows-read",
                of_event * given.assumed("workers-event-rows-read")?,
            );
            let folded = folds * given.assumed("workers-fold-rows-written")?;
            usage.add(Service::Aggregation, "durable-objects-rows-written", folded + leaving.runs * load.pages);
            objects(folds, given, usage)?;
            usage.add(Service::Backup, "r2-class-a", folds);
        }
        _ => usage.add(Service::Egress, "aws-egress", answered / GB),
    }
    Ok(())
}

/// Adds requests to the function `Move`, each with a body of so many bytes, and its lines of the log.
fn invocations(count: f64, body: f64, ms: f64, given: &Given<'_>, usage: &mut Usage) -> Result<()> {
    let id = format!("lambda-duration-{}", given.load.arch);
    let seconds = given.rates.units_of(&id, ms)? / 1000.0;
    usage.add(Service::Gateway, "http-api-request", count * given.rates.units_of("http-api-request", body)?);
    usage.add(Service::Function, "lambda-request", count);
    usage.add(Service::Function, &id, count * seconds * given.assumed("lambda-memory-mb")? / 1024.0);
    let line = given.assumed("log-bytes")? + given.assumed("log-line-bytes")?;
    usage.add(Service::Logs, "cloudwatch-logs", count * line / GB);
    Ok(())
}

/// Adds requests to Durable Objects.
fn objects(count: f64, given: &Given<'_>, usage: &mut Usage) -> Result<()> {
    usage.add(Service::Store, "durable-objects-request", count);
    let seconds = given.cpu_ms("move-answer-ms")? / 1000.0;
    usage.add(Service::Store, "durable-objects-duration", count * seconds * OBJECT_GB);
    Ok(())
}

/// Adds the stream of the target's table on Lambda. Moved events pass through folds, which count none of them, and into
/// the backup. Events that a later run sends again are not written, so they are in no stream.
fn stream(load: &Load, leaving: &Leaving, given: &Given<'_>, usage: &mut Usage) -> Result<()> {
    let copying = copying(leaving, load, given)?;
    let rate = if copying > 0.0 { load.events / copying } else { 0.0 };
    let window = given.assumed("lambda-window-s")?.min(given.assumed("lambda-tumbling-s")?);
    let shards = given.assumed("stream-shards")?.max(1.0);
    let Batches { count, .. } = Batches::of(rate, shards, window, given.assumed("lambda-batch")?);
    let batches = if rate > 0.0 { count / SECONDS * load.events / rate } else { 0.0 };
    let id = format!("lambda-duration-{}", given.load.arch);
    let waits = WAITS_OF_A_FOLD * given.assumed("dynamodb-ms")? + given.assumed("s3-put-ms")?;
    let ms = given.rates.units_of(&id, given.cpu_ms("lambda-fold-cpu-ms")? + waits)?;
    usage.add(Service::Aggregation, "lambda-request", batches);
    usage.add(Service::Aggregation, &id, batches * ms / 1000.0 * given.assumed("lambda-memory-mb")? / 1024.0);
    // The watermark, read and then written in a transaction.
    usage.add(Service::Aggregation, "dynamodb-read", batches);
    let transactional = given.rates.price("dynamodb-write")?.times("transactional");
    usage.add(Service::Aggregation, "dynamodb-write", batches * transactional);
    usage.add(Service::Backup, "s3-put", batches);
    Ok(())
}

/// How long Lambda waits for the puts of a request with `events` events, in ms.
fn puts_ms(events: f64, given: &Given<'_>) -> Result<f64> {
    Ok((events / CONCURRENCY).ceil() * given.assumed("dynamodb-ms")?)
}

/// How long it takes to copy all events once, in seconds. A run asks for one answer at a time, and sends one request at a
/// time, each over a connection of its own.
fn copying(leaving: &Leaving, load: &Load, given: &Given<'_>) -> Result<f64> {
    let ([answers, _], [(requests, _), _]) = (load.answers(), load.requests());
    let way = given.assumed("move-connection-ms")?;
    let puts = match leaving.to {
        Design::Lambda => puts_ms(load.events / requests.max(1.0), given)?,
        _ => 0.0,
    };
    let work = load.events / given.assumed("move-events-a-second")?;
    let seconds = work + (answers * way + requests * (way + puts)) / 1000.0;
    Ok(leaving.rate.map_or(seconds, |rate| seconds.max(load.events / rate)))
}

/// How long the parts of one run take.
fn times(leaving: &Leaving, [source, target]: [&Load; 2], given: &Given<'_>) -> Result<Vec<Time>> {
    let way = given.assumed("move-connection-ms")? / 1000.0;
    let each = given.cpu_ms("move-answer-ms")? / 1000.0 + way;
    let reading = |load: &Load| load.answers().iter().sum::<f64>() * each;
    let [_, (requests, _)] = target.requests();
    let [_, answers] = source.answers();
    let parts = [
        ("copy events", copying(leaving, source, given)?),
        ("copy rollups", (answers + requests) * each),
        ("read the source again, to compare", reading(source)),
        ("read the target, to compare", reading(target)),
    ];
    Ok(parts.map(|(what, seconds)| Time { what: what.to_owned(), seconds }).to_vec())
}

/// The move's lines: what a month costs with it, less what it costs without.
fn side(moved: &Usage, month: &Usage, rates: &Rates<'_>) -> Result<Side> {
    let mut lines = Bill::of(moved, &Service::ALL, rates)?.lines;
    for line in &mut lines {
        let price = rates.price(&line.price)?;
        let (alone, others) = (moved.units(&line.price), month.units(&line.price));
        let added = price.usd(others + alone, rates.free_tier) - price.usd(others, rates.free_tier);
        line.usd = line.usd.map(|_| if alone > 0.0 { added * line.units / alone } else { 0.0 });
    }
    let usd = lines.iter().filter_map(|line| line.usd).sum();
    Ok(Side { lines, usd })
}
