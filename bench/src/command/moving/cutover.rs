//! `isotherm cutover`: clients change from one service to another, and nothing is lost or counted twice.
//!
//! ```text
//! follow ─▶ the operator freezes the source ─▶ drain ─▶ compare ─▶ DNS may change
//!                     └───────── the pause ──────────┘
//! ```

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use clap::Args;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::live::Live;
use super::manifest::Manifest;
use super::pass::Pass;
use super::sink::Sink;
use super::source::{Service, Source};
use super::tally::Tally;
use super::{Ends, Opened, horizon, interruptible};
use crate::words::{grouped, time};

const EXAMPLES: &str = "Examples:
  isotherm cutover --from https://a.example.com --to https://b.example.net --state move.json
        after `isotherm move --follow`
  isotherm cutover --from https://b.example.net --to https://a.example.com --events-only
        back, after DNS has changed";

/// The name and version of the output of `--json`.
const SCHEMA: &str = "isotherm.cutover/1";
/// How often the source is asked whether it is frozen.
const PROBE_EVERY: Duration = Duration::from_millis(500);
/// How many days the compared reports cover.
const DAYS: i32 = 31;
/// The paths of the compared reports.
const REPORTS: [&str; 3] = ["summary?", "timeseries?interval=day&", "timeseries?interval=day&groupBy=eventType&"];

/// Brings the target up to date, waits until the operator freezes the source, copies the rest, compares both, and says how
/// long writes stood still and that DNS may change. Until then Ctrl-C does no harm: unfreeze the source, and all is as
/// before. docs/move.md has the steps.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub struct Cutover {
    #[command(flatten)]
    ends: Ends,
    /// Say that the source may be frozen once the target is at most so many seconds behind
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    lag: u64,
    /// For how many seconds all answers must say that the source is frozen, before the rest is copied: as long as a process
    /// with the old configuration may live on. 0 is enough for a single process
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    settle: u64,
    /// A key of scope read at the service to leave; with both read keys reports are compared, too
    #[arg(long, value_name = "KEY", env = "ISOTHERM_FROM_READ_KEY", hide_env_values = true, requires = "to_read_key")]
    from_read_key: Option<String>,
    /// A key of scope read at the service to go to
    #[arg(long, value_name = "KEY", env = "ISOTHERM_TO_READ_KEY", hide_env_values = true, requires = "from_read_key")]
    to_read_key: Option<String>,
    /// The result as JSON: `isotherm schema cutover`
    #[arg(long)]
    json: bool,
}

/// The output of `--json`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Switched {
    /// The name and version of this output.
    schema: String,
    /// The service that was left.
    from: String,
    /// The service that clients may use now.
    to: String,
    /// Events that both have, by digest.
    events: u64,
    /// Pages of rollups that both have; 0 on the way back, where the target counts for itself.
    rollups: u64,
    /// Reports that both answer with the same bytes, but for `asOf`.
    reports: u64,
    /// Why no report was compared; absent if one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    no_reports: Option<String>,
    /// Events that were copied during the pause.
    drained: u64,
    /// Records and pages of the source that can't be read, and so were not copied.
    unreadable: u64,
    /// True if the target is frozen itself: that has to end first.
    target_is_frozen: bool,
    /// When the source was last known to take events.
    still_from: String,
    /// When clients might write to the target.
    still_to: String,
    /// The pause in seconds.
    pause: f64,
}

/// The start of the pause: the last time at which the source was known to take events.
#[derive(Clone, Copy)]
struct Start {
    at: Timestamp,
    from: Instant,
}

impl Start {
    fn now() -> Self {
        Self { at: Timestamp::now(), from: Instant::now() }
    }
}

/// The outcome of the comparison of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reports {
    /// So many are the same on both sides; at least one.
    Compared(u64),
    /// There are no keys to read with.
    NoKeys,
    /// There is no day to report.
    NoDays,
    /// Both sides refuse all reports of these days: they would read too much.
    TooMuch,
}

/// The services that are compared in the end.
struct Both<'s> {
    ends: [&'s Source; 2],
    tallies: [Tally; 2],
    events_only: bool,
}

/// Runs `isotherm cutover`.
///
/// # Errors
/// Fails if a service refuses or does not answer, or if the target has something else than the source.
pub async fn cutover(flags: &Cutover) -> Result<ExitCode> {
    let from = &flags.ends.from;
    let as_before = format!("if {from} is frozen, take `frozen` out of its configuration, and all is as before");
    interruptible(cut_over(flags), &as_before).await
}

async fn cut_over(flags: &Cutover) -> Result<ExitCode> {
    let Opened { source, there, sink, state } = flags.ends.open(false).await?;
    let events_only = flags.ends.events_only;
    // An older service would never say that it is frozen.
    source.is_frozen().await?;
    let mut live = Live::new(&source, sink, state, events_only);
    let lag = Duration::from_secs(flags.lag);
    live.catch_up(lag).await?;
    let horizon = horizon();
    let tallies = [Tally::new(horizon), Tally::new(horizon)];
    let mut both = Both { ends: [&source, &there], tallies, events_only };
    both.read_early().await?;
    live.catch_up(lag).await?;
    if !source.is_frozen().await? {
        eprintln!("{}", how_to_freeze(source.url()));
    }

    let (mut drained, settle) = (0, Duration::from_secs(flags.settle));
    let (start, expected) = loop {
        let (start, frozen) = wait_until_frozen(&source, &mut live).await?;
        source.forget_taken();
        if settle > Duration::ZERO {
            // Most of the rest is copied meanwhile.
            drained += live.drain().await?.0;
            both.read_early().await?;
            while frozen.elapsed() < settle && source.is_frozen().await? {
                tokio::time::sleep(PROBE_EVERY).await;
            }
        }
        let (events, rollups) = live.drain().await?;
        drained += events;
        let mut differences = both.differences(&rollups).await?;
        let mut has_taken = source.has_taken();
        if !has_taken && !differences.is_empty() {
            eprintln!("they differ, so all is sent and read again:\n  {}", differences.join("\n  "));
            live.begin_anew();
            let (_, rollups) = live.drain().await?;
            both.tallies = [Tally::new(horizon), Tally::new(horizon)];
            differences = both.differences(&rollups).await?;
            has_taken = source.has_taken();
        }
        if has_taken {
            eprintln!("{} takes events again: a process still has the configuration from before", source.url());
            continue;
        }
        if !differences.is_empty() {
            bail!(
                "{} has something else than the source:\n  {}\nClients have changed nothing: take `frozen` out of the \
                 configuration of {}, and look into it",
                there.url(),
                differences.join("\n  "),
                source.url()
            );
        }
        break (start, both.tallies[0].events.with_rollups_of(rollups));
    };
    let reports = flags.compare_reports(&expected).await?;
    ensure!(source.is_frozen().await?, "{} takes events again: run this once more", source.url());
    live.end()?;
    let (events, rollups) = expected.counts();
    let switched = Switched {
        schema: SCHEMA.to_owned(),
        from: source.url().to_owned(),
        to: there.url().to_owned(),
        events,
        rollups,
        reports: reports.count(),
        no_reports: reports.why_none().map(str::to_owned),
        drained,
        unreadable: expected.left_out + expected.damaged,
        target_is_frozen: there.is_frozen().await.unwrap_or_default(),
        still_from: start.at.to_string(),
        still_to: Timestamp::now().to_string(),
        pause: start.from.elapsed().as_secs_f64(),
    };
    crate::say(&if flags.json {
        format!("{}\n", serde_json::to_string_pretty(&switched)?)
    } else {
        switched.text(events_only, reports)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn how_to_freeze(url: &str) -> String {
    format!(
        "The target is current. Freeze the source now: put the tenant into its configuration, {{\"frozen\": [\"TENANT\"], …}},\n\
         and have {url} read it: a restart of the plain server, `sam deploy` with another ConfigVersion, `wrangler secret put`\n\
         ISOTHERM_CONFIG, Spin's variable. Clients are answered 503 from then on and send again. Waiting for it; Ctrl-C stops."
    )
}

/// Goes on copying until the source says that it is frozen. Returns when it was last known to take events, and when the
/// request was sent to which it answered that it is frozen.
async fn wait_until_frozen(source: &Source, live: &mut Live<'_>) -> Result<(Start, Instant)> {
    let mut start = None;
    loop {
        let asked = Start::now();
        if source.is_frozen().await? {
            return Ok((start.unwrap_or(asked), asked.from));
        }
        start = Some(asked);
        if Instant::now() >= live.due {
            live.round().await?;
        }
        tokio::time::sleep(PROBE_EVERY).await;
    }
}

impl Both<'_> {
    async fn read_early(&mut self) -> Result<()> {
        for (tally, end) in self.tallies.iter_mut().zip(self.ends) {
            tally.read_early(end).await?;
        }
        Ok(())
    }

    /// Compares the events of both, and rollups if they have moved.
    async fn differences(&mut self, rollups: &Manifest) -> Result<Vec<String>> {
        for (tally, end) in self.tallies.iter_mut().zip(self.ends) {
            tally.read_on(end).await?;
        }
        let mut there = Pass::new(self.ends[1], false, 0);
        if !self.events_only {
            there.copy_rollups(&mut Sink::Nowhere).await?;
        }
        let [expected, found] = &self.tallies;
        let expected = expected.events.with_rollups_of(rollups.clone());
        Ok(expected.differences(&found.events.with_rollups_of(there.manifest)))
    }
}

impl Cutover {
    /// Compares reports of the last days.
    async fn compare_reports(&self, of: &Manifest) -> Result<Reports> {
        let Ends { from, to, from_key, to_key, care, .. } = &self.ends;
        let keys = [self.from_read_key.as_deref(), self.to_read_key.as_deref()];
        // Services that let a move in without a key are open, and so are their reports.
        let are_open = from_key.is_none() && to_key.is_none();
        if keys.contains(&None) && !are_open {
            return Ok(Reports::NoKeys);
        }
        let Some((first, last)) = of.last_days(DAYS) else { return Ok(Reports::NoDays) };
        let services = [Service::open(from, keys[0], *care).await?, Service::open(to, keys[1], *care).await?];
        let days = format!("from={first}T00:00:00Z&to={last}T23:59:59.999Z&metrics=count,users");
        let mut compared = 0;
        for report in REPORTS {
            let path = format!("/reports/{report}{days}");
            let read = async |service: &Service| {
                let (status, _, body) = service.answer("GET", &path, Bytes::new()).await?;
                let mut body: Value = serde_json::from_slice(&body)?;
                if let Some(body) = body.as_object_mut() {
                    body.retain(|name, _| !["asOf", "requestId"].contains(&name.as_str()));
                }
                anyhow::Ok((status, body))
            };
            let (status, source) = read(&services[0]).await?;
            let (other, there) = read(&services[1]).await?;
            // A report that would read too much is refused on both sides.
            ensure!([200, 422].contains(&status), "{path} is answered {status} by the source: {source}");
            if (status, &source) != (other, &there) {
                bail!("{path} differs: {source} at the source, {there} at the target");
            }
            compared += u64::from(status == 200);
        }
        Ok(if compared > 0 { Reports::Compared(compared) } else { Reports::TooMuch })
    }
}

impl Reports {
    fn count(self) -> u64 {
        if let Self::Compared(count) = self { count } else { 0 }
    }

    fn why_none(self) -> Option<&'static str> {
        match self {
            Self::Compared(_) => None,
            Self::NoKeys => Some("there are no read keys"),
            Self::NoDays => Some("there are no events"),
            Self::TooMuch => Some("both services answer 422, the reports would read too much"),
        }
    }

    /// The end of the line that says what is the same.
    fn text(self) -> String {
        let (count, all) = (self.count(), REPORTS.len());
        match self.why_none() {
            Some(why) => format!("; no report was compared: {why}"),
            None if count == all as u64 => format!(", and {count} reports"),
            None => format!(", and {count} of {all} reports; the others would read too much"),
        }
    }
}

impl Switched {
    fn text(&self, events_only: bool, reports: Reports) -> String {
        let Self { from, to, events, rollups, drained, still_from, still_to, pause, .. } = self;
        let (events, rollups, drained) = (grouped(*events), grouped(*rollups), grouped(*drained));
        let mut text = format!(
            "{events} events and {rollups} pages of rollups are the same at {to}{}\n\
             writes stood still from {still_from} to {still_to}: {}, for {drained} events\n",
            reports.text(),
            time(*pause)
        );
        if self.unreadable > 0 {
            text += &format!(
                "{} records and pages of {from} can't be read, and are not at {to}\n",
                grouped(self.unreadable)
            );
        }
        if self.target_is_frozen {
            text += &format!("{to} is frozen itself: take `frozen` out of its configuration first\n");
        }
        text += &format!(
            "DNS may change now: let it, or the clients, name {to}\n\
             Leave {from} frozen until nobody asks it any more: clients that still do send again\n\
             Back, before DNS changes: take `frozen` out of the configuration of {from}; nothing else has changed\n"
        );
        if !events_only {
            text += &format!("Back, afterwards: isotherm cutover --events-only --from {to} --to {from}\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Reports;

    #[test]
    fn a_comparison_without_reports_says_why() {
        for (reports, expected) in [
            (Reports::Compared(3), ", and 3 reports"),
            (Reports::Compared(1), ", and 1 of 3 reports; the others would read too much"),
            (Reports::NoKeys, "; no report was compared: there are no read keys"),
            (Reports::NoDays, "; no report was compared: there are no events"),
            (Reports::TooMuch, "; no report was compared: both services answer 422, the reports would read too much"),
        ] {
            assert_eq!(reports.text(), expected);
        }
    }
}
