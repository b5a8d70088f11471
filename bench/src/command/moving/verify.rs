//! `isotherm verify` compares the events of a service with those of its raw backup.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use isotherm_core::{Seconds, Service};
use schemars::JsonSchema;
use serde::Serialize;

use super::backups::{Backups, Object, event_of};
use super::manifest::{Manifest, SumText};
use super::pass::Pass;
use super::progress::Progress;
use super::restore::{Whose, opened};
use super::side::{FILES, Seen, Side};
use super::sink::Sink;
use super::source::Source;
use super::state::State;
use super::{Care, horizon};
use crate::BadInput;
use crate::load::Url;
use crate::words::grouped;

const EXAMPLES: &str = "Examples:
  isotherm verify https://events.example.com backups   with a key of scope operate in ISOTHERM_KEY
  isotherm verify https://events.example.com backups --tenant shop --json";

/// The name and version of the output of `--json`.
const SCHEMA: &str = "isotherm.verify/1";
/// The most ids of one kind that are named.
const NAMED: usize = 10;

/// Compares the events of a service with those of its raw backup, by day and by id. The exit status is 1 if they differ.
/// What expires within a day, or is newer than the backup, is counted and not compared.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub struct Verify {
    /// The service
    url: Url,
    /// The folder with its raw backup
    folder: PathBuf,
    #[command(flatten)]
    whose: Whose,
    /// A key of scope operate of the tenant
    #[arg(long, value_name = "KEY", env = "ISOTHERM_KEY", hide_env_values = true)]
    key: Option<String>,
    /// As JSON: `isotherm schema verify`
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    care: Care,
}

/// The output of `--json`.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Verified {
    /// The name and version of this output.
    schema: String,
    /// The tenant whose backup it is.
    tenant: String,
    /// True if the backup is whole and the service has the same events.
    same: bool,
    /// Events that both have alike.
    alike: u64,
    /// What both have by the day of receipt, in UTC.
    days: BTreeMap<String, Day>,
    /// Events that only the backup has.
    only_in_backup: Ids,
    /// Events that only the service has.
    only_at_service: Ids,
    /// Events that both have, with another record.
    otherwise: Ids,
    /// Events of one side that have expired, or do so within a day: the other one may have deleted them.
    expired: u64,
    /// Events of the service that are as new as the newest event of the backup, or newer.
    not_yet_backed_up: u64,
    /// Events of the service whose digest can't be computed from the record: their clients' clocks were corrected.
    digest_unchecked: u64,
    /// Records of the service that can't be read.
    left_out: u64,
    /// Lines of the backup that are no event.
    unreadable: u64,
    /// Damaged objects of the backup, by name, with what is wrong.
    damaged: BTreeMap<String, String>,
}

/// Counts and digests of a day on both sides.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
struct Day {
    backup: SumText,
    service: SumText,
}

/// A number of events, and the ids of the first.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
struct Ids {
    count: u64,
    ids: Vec<String>,
}

impl Ids {
    fn add(&mut self, event: &Seen) {
        self.count += 1;
        if self.ids.len() < NAMED {
            self.ids.push(event.name());
        }
    }
}

/// Runs `isotherm verify`.
///
/// # Errors
/// Fails if the service refuses or does not answer.
pub async fn verify(flags: &Verify) -> Result<ExitCode> {
    let (backups, service) = opened(&flags.folder, &flags.whose).map_err(BadInput)?;
    let there = Source::open(&flags.url, flags.key.as_deref(), flags.care).await?;
    let (schema, tenant) = (SCHEMA.to_owned(), backups.tenant.clone());
    let mut verified = Verified { schema, tenant, ..Verified::default() };
    // The backup is read first, so that events the service accepts meanwhile are newer and not compared.
    let mut backup = verified.read(&backups, &service)?;
    there.wait_until_folded().await?;
    let mut sink = Sink::Side(Side::new()?);
    let mut pass = Pass::new(&there, false, 0);
    pass.copy_events(&mut sink, &mut State::default()).await?;
    verified.left_out = pass.manifest.left_out;
    if let Sink::Side(mut at_service) = sink {
        verified.digest_unchecked = at_service.unchecked;
        let manifests = verified.compare(&mut backup, &mut at_service, Seconds(horizon()))?;
        verified.conclude(&manifests);
        let text = if flags.json {
            format!("{}\n", serde_json::to_string_pretty(&verified)?)
        } else {
            verified.text(&manifests)
        };
        crate::say(&text)?;
    }
    Ok(if verified.same { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Verified {
    /// Reads all events of a backup.
    fn read(&mut self, backups: &Backups, service: &Service) -> Result<Side> {
        let (mut side, mut events) = (Side::new()?, 0);
        let mut progress = Progress::new("reading the backup", backups.bytes);
        for object in backups.all() {
            let object = object?;
            match object.check() {
                Err(error) => drop(self.damaged.insert(object.key, error.to_string())),
                Ok(()) => events += self.object(&object, service, &mut side)?,
            }
            progress.add(object.bytes);
            progress.tell(events);
        }
        Ok(side)
    }

    fn object(&mut self, object: &Object, service: &Service, side: &mut Side) -> Result<u64> {
        let (mut events, cannot) = (0, || format!("cannot read {}", object.key));
        for line in object.lines().with_context(cannot)? {
            match event_of(service, &line.with_context(cannot)?) {
                Some(event) => side.add(&event)?,
                None => self.unreadable += 1,
            }
            events += 1;
        }
        Ok(events)
    }

    /// Compares both sides. Returns the manifests of the compared events, of the backup and of the service.
    fn compare(&mut self, backup: &mut Side, service: &mut Side, horizon: Seconds) -> Result<[Manifest; 2]> {
        let newest = backup.newest;
        let mut manifests = [Manifest::default(), Manifest::default()];
        for at in 0..FILES {
            let (mut backed, mut held) = (by_id(backup.events(at)?), by_id(service.events(at)?));
            for (id, event) in &mut held {
                // A messageId is free once its event has expired. So a backup may have several events of one id.
                let versions = backed.remove(id).unwrap_or_default();
                let Some(event) = event.first() else { continue };
                if versions.iter().any(|version| version.bits == event.bits) {
                    self.alike += 1;
                    manifests.iter_mut().for_each(|manifest| manifest.record(event.received_at, event.bits));
                } else if let Some(version) = versions.last() {
                    self.otherwise.add(event);
                    manifests[0].record(version.received_at, version.bits);
                    manifests[1].record(event.received_at, event.bits);
                } else if event.expires_at < horizon {
                    self.expired += 1;
                } else if event.received_at >= newest {
                    self.not_yet_backed_up += 1;
                } else {
                    self.only_at_service.add(event);
                    manifests[1].record(event.received_at, event.bits);
                }
            }
            for event in backed.into_values().flatten() {
                if event.expires_at < horizon {
                    self.expired += 1;
                } else {
                    self.only_in_backup.add(&event);
                    manifests[0].record(event.received_at, event.bits);
                }
            }
        }
        Ok(manifests)
    }

    fn conclude(&mut self, [backup, service]: &[Manifest; 2]) {
        for (day, sum) in backup.days() {
            self.days.entry(day).or_default().backup = sum;
        }
        for (day, sum) in service.days() {
            self.days.entry(day).or_default().service = sum;
        }
        self.same = self.only_in_backup.count + self.only_at_service.count + self.otherwise.count == 0
            && self.left_out + self.unreadable == 0
            && self.damaged.is_empty();
    }

    fn text(&self, [backup, service]: &[Manifest; 2]) -> String {
        let mut text = format!("{}: {} events alike, of {} days\n", self.tenant, grouped(self.alike), self.days.len());
        for line in backup.differences_from(service, "in the backup") {
            text += &format!("{line}\n");
        }
        let kinds = [
            ("only in the backup", &self.only_in_backup),
            ("only at the service", &self.only_at_service),
            ("with another record", &self.otherwise),
        ];
        for (kind, Ids { count, ids }) in kinds.into_iter().filter(|(_, events)| events.count > 0) {
            let more = if *count > ids.len() as u64 { ", …" } else { "" };
            text += &format!("{} {kind}: {}{more}\n", grouped(*count), ids.join(", "));
        }
        let more = [
            (self.expired, "of one side are not compared: they have expired, or do so within a day"),
            (self.not_yet_backed_up, "are not compared: they are as new as the newest event of the backup, or newer"),
            (self.digest_unchecked, "have a digest that does not follow from the record: docs/move.md says when"),
            (self.left_out, "records of the service can't be read"),
            (self.unreadable, "lines of the backup are no event"),
        ];
        for (count, words) in more.into_iter().filter(|(count, _)| *count > 0) {
            text += &format!("{} {words}\n", grouped(count));
        }
        for (object, problem) in &self.damaged {
            text += &format!("{}/{object}: damaged: {problem}\n", self.tenant);
        }
        text += if self.same { "the same\n" } else { "they differ\n" };
        text
    }
}

/// The events of each id.
fn by_id(events: Vec<Seen>) -> BTreeMap<[u8; 30], Vec<Seen>> {
    let mut by_id: BTreeMap<_, Vec<Seen>> = BTreeMap::new();
    for event in events {
        by_id.entry(event.id).or_default().push(event);
    }
    by_id
}

#[cfg(test)]
mod tests;
