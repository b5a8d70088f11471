//! Drives a deployment: any URL that speaks the contract (`--target`).
//!
//! A deployment gets the platforms' requests. They have new messageIds in each run, since its store may already hold
//! the events. A report over it may also count events that others send in the meantime; the check that every event of
//! the run is counted still applies. Cold starts can't be forced from outside. Instead, the deployment is left alone
//! (`--idle`), and the first request after that is measured.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use isotherm_hosts::Platform;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

use crate::load::{Client, Connection, Endpoint, Events, Expect, NO_EVENT, Sample, Sequence, Slice, Step, Timer, Url};
use crate::load::{closed, open};
use crate::measure::data::Span;
use crate::measure::progress::Phase;
use crate::measure::reports::Latencies;
use crate::measure::{reports, summary, verify, warm};
use crate::results::deployed::{Deployed, Network, Unreachable};
use crate::stats::Bootstrap;
use crate::workload::Workload;

/// How many times the network to a deployment is measured.
const CONNECTS: usize = 10;
/// Number of cold starts per deployment. Each of them takes the time of `--idle`.
const COLD_STARTS: usize = 3;
/// Time between two updates of the progress while deployments are left alone.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Rough time for one deployment without cold starts, in seconds.
pub(crate) fn seconds(workload: &Workload) -> f64 {
    warm::seconds(&workload.warm, 1) + workload.throughput.seconds + reports::seconds(&workload.reports, 1)
}

/// Total time for which deployments are left alone, in seconds.
pub(crate) fn resting(idle: Duration) -> f64 {
    COLD_STARTS as f64 * idle.as_secs_f64()
}

/// One flag `--target name=https://…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    name: String,
    url: Url,
}

impl FromStr for Named {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, url) = text.split_once('=').context("expected NAME=URL, such as prod=https://events.example.com")?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        ensure!(
            (1..=24).contains(&name.len()) && name.chars().all(is_plain),
            "{name:?} is no name: up to 24 letters, digits, -, _ and ."
        );
        ensure!(
            Platform::ALL.iter().all(|platform| platform.name() != name),
            "{name} is a platform here: take another name"
        );
        Ok(Self { name: name.to_owned(), url: url.parse()? })
    }
}

/// Checks that all names are different.
pub(crate) fn distinct(targets: &[Named]) -> Result<()> {
    for (place, Named { name, .. }) in targets.iter().enumerate() {
        ensure!(targets[..place].iter().all(|other| other.name != *name), "--target {name} is given twice");
    }
    Ok(())
}

/// Parses a time such as `90s`, `15m`, `1h 30m`.
///
/// # Errors
/// Fails for any other text.
pub(crate) fn idle(text: &str) -> Result<Duration> {
    let time: jiff::SignedDuration = text.parse().with_context(|| format!("{text:?} is no time such as 90s or 15m"))?;
    let time = Duration::try_from(time).ok().filter(|time| !time.is_zero());
    time.with_context(|| format!("{text:?} is no time to wait"))
}

/// A deployment in one run.
pub(crate) struct Deployment {
    named: Named,
    endpoint: Endpoint,
    client: Client,
    events: Rc<Events>,
    tag: String,
    /// Connect times in milliseconds.
    connect: Vec<f64>,
    tls: Vec<f64>,
    cold: Vec<f64>,
    reports: Latencies,
    fresh: Vec<f64>,
    warm: Vec<Sample>,
    slices: Vec<Slice>,
    verified: u64,
}

impl Deployment {
    /// Resolves the deployment, measures the network to it, and checks that it speaks the contract.
    pub(crate) async fn find(named: &Named, key: Option<&str>, events: &Events, seed: u64) -> Result<Self> {
        let endpoint = named.url.resolve(key).await?;
        let (mut connect, mut tls) = (Vec::new(), Vec::new());
        let ms = |time: Duration| 1000.0 * time.as_secs_f64();
        for _ in 0..CONNECTS {
            let connection = Connection::open(&endpoint).await?;
            connect.push(ms(connection.connecting));
            tls.extend(connection.securing.map(ms));
        }
        // No other run begins in the same millisecond and sends to the same deployment.
        let tag = format!("{:x}", jiff::Timestamp::now().as_millisecond());
        let events = Rc::new(events.tagged(&tag));
        let client = Client::new(endpoint.clone(), Expect::Contract, Sequence::new(Rc::clone(&events), seed));
        speaks_the_contract(&client).await?;
        Ok(Self {
            named: named.clone(),
            endpoint,
            client,
            events,
            tag,
            connect,
            tls,
            cold: vec![],
            reports: Latencies::new(),
            fresh: vec![],
            warm: vec![],
            slices: vec![],
            verified: 0,
        })
    }

    /// Measures everything except cold starts.
    async fn measure(&mut self, workload: &Workload, span: &Span, phase: &Phase) -> Result<()> {
        let range = format!("from={}&to={}", span.from, span.to);
        let before = reports::count(&self.client, &range).await?.0;
        let warming = warm::seconds(&workload.warm, 1);
        let whole = seconds(workload);
        let progress = |done: f64| phase.progress(done / whole, whole - done);
        self.warm(workload, &progress).await?;
        self.throughput(workload, &|done| progress(warming + done)).await?;
        if span.is_whole {
            self.all_counted(&range, before).await?;
        }
        self.reports(workload, &range).await?;
        let connections = workload.throughput.connections;
        self.verified = verify::look_up_all(&self.client, &self.events, connections, |_| ()).await?;
        Ok(())
    }

    async fn warm(&mut self, Workload { warm, seed, .. }: &Workload, progress: &impl Fn(f64)) -> Result<()> {
        let timer = Timer::new()?;
        for turn in 0..warm::turns(warm) {
            let mut rng = Pcg64Mcg::seed_from_u64(seed.wrapping_add(turn as u64));
            let schedule = warm.arrival.schedule(warm.rate, warm.slice_seconds, &mut rng);
            let steps: Vec<Step> = schedule.iter().map(|_| self.client.step(&warm.mix, &warm.batch_sizes)).collect();
            self.client.connect(warm::CONNECTIONS).await?;
            let samples = open(&self.client, &timer, &schedule, &steps).await?;
            self.client.bearable()?;
            if turn > 0 {
                self.warm.extend(samples);
            }
            progress((turn + 1) as f64 * warm.slice_seconds);
        }
        Ok(())
    }

    /// Runs the closed loop until its time is up and every event was sent once.
    async fn throughput(&mut self, Workload { throughput, .. }: &Workload, progress: &impl Fn(f64)) -> Result<()> {
        let mut passed = 0.0;
        while passed < throughput.seconds || !self.client.is_through() {
            self.client.connect(throughput.connections).await?;
            let slice = closed(
                &self.client,
                throughput.connections,
                &throughput.mix,
                &throughput.batch_sizes,
                throughput.slice_seconds,
            );
            let slice = slice.await;
            self.client.bearable()?;
            passed += slice.seconds;
            self.slices.push(slice);
            progress(passed.min(throughput.seconds));
        }
        Ok(())
    }

    /// Waits until a report counts the accepted events in addition to the earlier ones.
    async fn all_counted(&self, range: &str, before: u64) -> Result<()> {
        let accepted = self.client.tally().accepted;
        let started = Instant::now();
        loop {
            let counted = reports::count(&self.client, range).await?.0.saturating_sub(before);
            if counted >= accepted {
                return Ok(());
            }
            if started.elapsed() > reports::COUNTED_WITHIN {
                self.client.error(format!("{counted} events are counted, but {accepted} were accepted"));
                return Ok(());
            }
            tokio::time::sleep(reports::LOOK_AGAIN_AFTER).await;
        }
    }

    async fn reports(&mut self, Workload { reports, .. }: &Workload, range: &str) -> Result<()> {
        for round in 0..reports.samples + reports::DISCARDED {
            let kept = (round >= reports::DISCARDED).then_some(&mut self.reports);
            reports::latencies(&self.client, reports, range, kept).await?;
        }
        for nth in 0..reports.fresh {
            let event_type = format!("fresh-{}-{nth}", self.tag);
            self.fresh.push(1000.0 * reports::fresh(&self.client, &event_type).await?);
        }
        Ok(())
    }

    /// Sends one request after a pause. It uses a new connection, whose set-up time does not count.
    async fn probe(&mut self, nth: usize) -> Result<()> {
        let mut connection = Connection::open(&self.endpoint).await?;
        let event = self.events.cold(nth % self.events.len(), nth);
        let sent = Instant::now();
        let answer = connection.exchange("/events", Bytes::from(event)).await?;
        ensure!(answer.status == 202, "the request after a pause is answered {}, not 202", answer.status);
        self.cold.push(1000.0 * answer.at.duration_since(sent).as_secs_f64());
        Ok(())
    }

    /// The deployment's part of the result.
    fn deployed(&self, workload: &Workload, idle: Option<Duration>, bootstrap: &mut Bootstrap) -> Result<Deployed> {
        let none = "no request was answered";
        let (warm, _) = summary::warm(&self.warm, workload.warm.rate, bootstrap).context(none)?;
        let reports = summary::reports(&self.reports, &self.fresh, bootstrap)?;
        let mut of = |samples: &[f64]| summary::distribution(samples, bootstrap).map(|(distribution, _)| distribution);
        let network = Network { connect: of(&self.connect).context(none)?, tls: of(&self.tls) };
        let cold = of(&self.cold);
        let mut rate = |of: fn(&Slice) -> u64| {
            let slices: Vec<(f64, f64)> = self.slices.iter().map(|slice| (of(slice) as f64, slice.seconds)).collect();
            Ok::<_, anyhow::Error>(bootstrap.rate(&slices).context(none)?.estimate())
        };
        let tally = self.client.tally();
        let replay = summary::replay(&tally, self.verified);
        Ok(Deployed {
            name: self.named.name.clone(),
            url: self.named.url.to_string(),
            errors: tally.errors,
            first_errors: tally.first_errors,
            network,
            idle_seconds: idle.map(|idle| idle.as_secs_f64()),
            cold,
            warm,
            connections: workload.throughput.connections,
            requests_per_second: rate(|slice| slice.requests)?,
            events_per_second: rate(|slice| slice.events)?,
            turns: self.slices.len(),
            reports,
            replay,
            runs: vec![],
        })
    }
}

/// Asks for a missing event and for a report. A server that answers both according to the contract is assumed to speak
/// it.
async fn speaks_the_contract(client: &Client) -> Result<()> {
    let path = format!("/events/{NO_EVENT}");
    let answer = client.exchange(&path, Bytes::new()).await?;
    let says = |error: &str| {
        let body: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
        body.is_some_and(|body| body["error"] == error)
    };
    match answer.status {
        401 | 403 => bail!(
            "it refuses the key (GET {path} is answered {}): give its key as ISOTHERM_KEY or --key",
            answer.status
        ),
        404 if says("not_found") => {}
        status => {
            bail!(
                "it does not speak the contract: GET {path} is answered {status}, not 404 as JSON with the error not_found"
            )
        }
    }
    let summary = client.exchange("/reports/summary", Bytes::new()).await?;
    ensure!(
        summary.status == 200,
        "GET /reports/summary is answered {}, not 200: does the key have the scope both?",
        summary.status
    );
    Ok(())
}

/// All deployments of a run, and those that could not be measured.
#[derive(Default)]
pub(crate) struct Deployments {
    found: Vec<Deployment>,
    pub(crate) measured: BTreeMap<String, Vec<Deployed>>,
    pub(crate) unreachable: Vec<Unreachable>,
}

impl Deployments {
    fn lose(&mut self, Named { name, url }: &Named, error: &anyhow::Error) {
        let reason = format!("{error:#}");
        eprintln!("isotherm: {name} is left out, {url} can't be measured: {reason}");
        self.unreachable.push(Unreachable { name: name.clone(), url: url.to_string(), reason });
    }

    /// Finds the deployments before any measurement, so that a wrong URL or key is reported at once.
    pub(crate) async fn find(&mut self, named: &[Named], key: Option<&str>, events: &Events, seed: u64) {
        self.found.clear();
        for one in named {
            if self.unreachable.iter().all(|lost| lost.name != one.name) {
                match Deployment::find(one, key, events, seed).await {
                    Ok(found) => self.found.push(found),
                    Err(error) => self.lose(one, &error),
                }
            }
        }
    }

    /// Leaves all deployments alone for the idle time, then probes each once. Repeats this `COLD_STARTS` times.
    pub(crate) async fn cold(&mut self, idle: Duration, phase: &Phase) {
        for nth in 0..COLD_STARTS {
            let started = Instant::now();
            while started.elapsed() < idle && !self.found.is_empty() {
                let left = idle.saturating_sub(started.elapsed());
                let all = resting(idle);
                let still = left.as_secs_f64() + idle.as_secs_f64() * (COLD_STARTS - nth - 1) as f64;
                phase.progress(1.0 - still / all, still);
                tokio::time::sleep(left.min(LOOK_EVERY)).await;
            }
            for mut one in std::mem::take(&mut self.found) {
                match one.probe(nth).await {
                    Ok(()) => self.found.push(one),
                    Err(error) => self.lose(&one.named, &error),
                }
            }
        }
    }

    /// Measures everything else, one deployment after the other.
    pub(crate) async fn measure(&mut self, workload: &Workload, span: &Span, idle: Option<Duration>, phase: &Phase) {
        let mut bootstrap = Bootstrap::new(workload.seed);
        for mut one in std::mem::take(&mut self.found) {
            let measured = one.measure(workload, span, phase).await;
            match measured.and_then(|()| one.deployed(workload, idle, &mut bootstrap)) {
                Ok(deployed) => self.measured.entry(deployed.name.clone()).or_default().push(deployed),
                Err(error) => self.lose(&one.named, &error),
            }
        }
    }

    /// The results of all runs, in the order of the flags.
    pub(crate) fn end(mut self, named: &[Named]) -> (Vec<Vec<Deployed>>, Vec<Unreachable>) {
        let lost: Vec<&str> = self.unreachable.iter().map(|lost| lost.name.as_str()).collect();
        let kept = named.iter().filter(|named| !lost.contains(&named.name.as_str()));
        let deployed = kept.filter_map(|named| self.measured.remove(&named.name)).collect();
        (deployed, self.unreachable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_have_a_name_and_a_url() {
        let named: Named = "prod=https://a.example/v1?".trim_end_matches('?').parse().unwrap();
        assert_eq!((named.name.as_str(), named.url.to_string().as_str()), ("prod", "https://a.example/v1"));
        crate::assert_refused::<Named>(&[
            ("https://a", "expected NAME=URL"),
            ("=https://a", "is no name"),
            ("a b=https://a", "is no name"),
            ("spin=https://a", "is a platform here"),
            ("prod=a", "http or https"),
        ]);
    }

    #[test]
    fn a_time_to_wait_is_read() {
        assert_eq!(idle("90s").unwrap(), Duration::from_secs(90));
        assert_eq!(idle("1h 30m").unwrap(), Duration::from_secs(5400));
        for wrong in ["", "5", "-1s", "0s", "soon"] {
            assert!(idle(wrong).is_err(), "{wrong}");
        }
    }
}
