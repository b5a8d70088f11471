//! Rollups in a second DynamoDB table: folded from the stream of the first behind watermarks, and read for reports.
//!
//! | item | `pk` | `sk` | attributes |
//! | --- | --- | --- | --- |
//! | a page | `tenant#n` | core's key, U+001F, the lane | `page` B |
//! | a lane's watermark | `watermark` | the lane | `sequenceNumber` S, the last record that is in its pages; `foldedTo` N, milliseconds |
//!
//! A lane is a shard of the stream, by a hash of its name. The shard's records come in order, and only they are in the
//! lane's pages, so a lane has one writer: of two that are at work by mistake, the watermark lets one through. A
//! report adds the lanes up. `n` is the lane modulo [`PARTITIONS`], so that no partition has all writes.
//!
//! A step writes its pages and moves the watermark in one transaction, on the condition that the lane was not written since
//! the pages were read. So what is delivered again is not counted again. A batch is backed up before it is folded. A record
//! that is no event goes to the dead-letter queue with the reason before the watermark moves, and the records after it go
//! on; there has to be such a queue.
//!
//! How far a report is complete is the earliest `foldedTo` of all lanes that had a record within [`RETENTION`]. This relies
//! on what DynamoDB and Lambda say of streams: that a shard takes records for some hours only, so that one silent for a
//! day is at its end; that the records of a new shard are handed over after those of the shard it follows; and that the
//! mapping gives up no record.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use isotherm_core::{KeyRange, Millis, ReportData, ReportOutcome, ReportPlan, Service, StoredPage};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use crate::letters::letter;
use crate::store::{CONCURRENCY, Store};
use crate::stream::{Batch, Record};

/// Partitions of a tenant's pages.
const PARTITIONS: u32 = 4;
/// How long a stream keeps its records.
const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);
/// What DynamoDB takes in one transaction: 100 actions, and 4 MB, of which some are left for keys.
const ACTIONS: usize = 100;
const BYTES: usize = 3_500_000;
/// After a transaction that was cancelled, before the watermark is read again.
const PAUSE: Duration = Duration::from_millis(20);

/// The partition of the watermarks.
pub(crate) const WATERMARK: &str = "watermark";
const SEPARATOR: char = '\u{1f}';
const FOREIGN: &str = "the item is none of an event: something else writes to the table";

pub(crate) type Item = HashMap<String, AttributeValue>;

/// Why folding stopped.
pub(crate) enum Stop {
    /// The watermark is not where it was, or something else holds an item: to be read again.
    Moved,
    /// The store failed, or holds what can't be read.
    Failed(String),
}

pub(crate) fn failed(error: impl std::error::Error) -> Stop {
    Stop::Failed(DisplayErrorContext(error).to_string())
}

/// How far a lane is folded.
#[derive(Clone, Default)]
pub(crate) struct Watermark {
    sequence_number: Option<String>,
    pub(crate) folded_to: u64,
}

impl Watermark {
    pub(crate) fn read(item: &Item) -> Self {
        let folded_to = item.get("foldedTo").and_then(|number| number.as_n().ok()?.parse().ok());
        let sequence_number = item.get("sequenceNumber").and_then(|text| text.as_s().ok()).cloned();
        Self { sequence_number, folded_to: folded_to.unwrap_or_default() }
    }

    /// Where it stands after this record.
    fn after(&self, record: &Record<'_>) -> Self {
        let sequence_number = Some(record.sequence_number().to_owned());
        Self { sequence_number, folded_to: self.folded_to.max(record.written_at().0) }
    }

    /// What a write depends on, as expression and values: that the watermark still stands here.
    pub(crate) fn unmoved(&self) -> (&'static str, Option<Item>) {
        match self.sequence_number.clone() {
            None => ("attribute_not_exists(sequenceNumber)", None),
            Some(number) => {
                ("sequenceNumber = :was", Some(Item::from([(":was".to_owned(), AttributeValue::S(number))])))
            }
        }
    }

    /// Whether a record is in the pages already. Numbers of more digits are greater.
    fn covers(&self, record: &Record<'_>) -> bool {
        let number = record.sequence_number();
        self.sequence_number.as_deref().is_some_and(|last| (number.len(), number) <= (last.len(), last))
    }
}

/// The puts of one transaction, and the letters that are to be sent before.
#[derive(Default)]
pub(crate) struct Puts {
    items: Vec<Item>,
    bytes: usize,
    letters: Vec<String>,
}

impl Puts {
    fn add(&mut self, partition: &str, sort: String, attributes: Vec<(&str, AttributeValue)>) {
        let size = |value: &AttributeValue| match value {
            AttributeValue::S(text) => text.len(),
            AttributeValue::B(bytes) => bytes.as_ref().len(),
            _ => 0,
        };
        let keys = [("pk", AttributeValue::S(partition.to_owned())), ("sk", AttributeValue::S(sort))];
        let item: Item = keys.into_iter().chain(attributes).map(|(name, value)| (name.to_owned(), value)).collect();
        self.bytes += item.values().map(size).sum::<usize>();
        self.items.push(item);
    }

    /// A page of a lane.
    pub(crate) fn page(&mut self, partition: &str, lane: &str, StoredPage { key, bytes }: StoredPage) {
        let page = AttributeValue::B(Blob::new(bytes));
        self.add(partition, format!("{key}{SEPARATOR}{lane}"), vec![("page", page)]);
    }

    /// With the watermark, into one transaction.
    pub(crate) fn fit(&self) -> bool {
        self.items.len() < ACTIONS && self.bytes <= BYTES
    }
}

impl Store {
    /// Folds a batch. The first record that is not folded, when the deadline or a failure came before.
    ///
    /// # Errors
    /// When a batch without records can't be folded.
    pub(crate) async fn fold<'b, 'a>(
        &self,
        service: &Service,
        batch: &'b Batch<'a>,
        deadline: Instant,
    ) -> Result<Option<&'b Record<'a>>, String> {
        let folded = Cell::new(0);
        let all = async {
            if let Some(backup) = &self.backup {
                backup.put(service, &lane(&batch.shard_id), batch).await?;
            }
            loop {
                match self.fold_from(service, batch, &folded).await {
                    Err(Stop::Moved) => sleep(PAUSE).await,
                    Err(Stop::Failed(why)) => return Err(why),
                    Ok(()) => return Ok(()),
                }
            }
        };
        let late = || Err("the invocation's deadline came before the batch was folded".to_owned());
        let Err(why) = timeout_at(deadline, all).await.unwrap_or_else(|_elapsed| late()) else { return Ok(None) };
        eprintln!("cannot fold: {why}");
        batch.records.get(folded.get()).map(Some).ok_or(why)
    }

    /// Folds what is behind the watermark, in as many steps as it takes; counts the records that are folded.
    async fn fold_from(&self, service: &Service, batch: &Batch<'_>, folded: &Cell<usize>) -> Result<(), Stop> {
        let lane = lane(&batch.shard_id);
        let mut watermark = self.watermark(&lane).await?;
        folded.set(batch.records.partition_point(|record| watermark.covers(record)));
        let mut most = batch.records.len();
        while let Some(rest) = batch.records.get(folded.get()..).filter(|rest| !rest.is_empty()) {
            let step = rest.get(..most).unwrap_or(rest);
            let puts = self.step(service, &lane, &batch.shard_id, step).await?;
            match (step, puts) {
                ([.., last], Some(puts)) => {
                    self.dead_letters.send(&puts.letters).await.map_err(Stop::Failed)?;
                    let moved = watermark.after(last);
                    self.write(&lane, puts, &watermark, &moved).await?;
                    watermark = moved;
                    folded.set(folded.get() + step.len());
                    most = step.len() + step.len() / 2 + 1;
                }
                ([_], None) => return Err(Stop::Failed("one record needs more than a transaction takes".to_owned())),
                _ => most = step.len() / 2,
            }
        }
        let complete_to =
            batch.complete_to().filter(|to| watermark.sequence_number.is_some() && to.0 > watermark.folded_to);
        if let Some(Millis(folded_to)) = complete_to {
            let moved = Watermark { folded_to, ..watermark.clone() };
            self.write(&lane, Puts::default(), &watermark, &moved).await?;
        }
        Ok(())
    }

    /// What to put for these records; `None` when it is too much for one transaction.
    async fn step(
        &self,
        service: &Service,
        lane: &str,
        shard: &str,
        records: &[Record<'_>],
    ) -> Result<Option<Puts>, Stop> {
        let mut puts = Puts::default();
        let mut tenants: BTreeMap<&str, Vec<(&Record<'_>, &str)>> = BTreeMap::new();
        for record in records.iter().filter(|record| record.is_insert()) {
            match record.event() {
                Some((tenant, text)) => tenants.entry(tenant).or_default().push((record, text)),
                None => puts.letters.push(letter(shard, record, FOREIGN)),
            }
        }
        let mut folds = Vec::new();
        let mut ranges = 0;
        for (tenant, events) in tenants {
            let fold = service.fold(events.iter().map(|(_, text)| *text));
            for (index, problem) in fold.unreadable() {
                if let Some((record, _)) = events.get(*index) {
                    puts.letters.push(letter(shard, record, &problem.to_string()));
                }
            }
            ranges += fold.ranges().len();
            folds.push((partition(tenant, lane), fold));
        }
        // Each range gets a page or more: not worth reading then.
        if ranges >= ACTIONS {
            return Ok(None);
        }
        for (partition, fold) in folds {
            let stored = self.pages_of(lane, &partition, fold.ranges()).await?;
            for page in fold.settle(stored).map_err(failed)? {
                puts.page(&partition, lane, page);
            }
        }
        Ok(puts.fit().then_some(puts))
    }

    /// Writes pages and moves the watermark, if it still stands where it was.
    pub(crate) async fn write(&self, lane: &str, mut puts: Puts, was: &Watermark, to: &Watermark) -> Result<(), Stop> {
        let mut attributes = vec![("foldedTo", AttributeValue::N(to.folded_to.to_string()))];
        attributes.extend(to.sequence_number.clone().map(|number| ("sequenceNumber", AttributeValue::S(number))));
        puts.add(WATERMARK, lane.to_owned(), attributes);
        let (condition, values) = was.unmoved();
        let mut actions = Vec::new();
        for item in puts.items {
            let mut put = Put::builder().table_name(&self.rollups);
            if item.get("pk").and_then(|pk| pk.as_s().ok()).is_some_and(|pk| pk == WATERMARK) {
                put = put.condition_expression(condition).set_expression_attribute_values(values.clone());
            }
            let put = put.set_item(Some(item)).build().map_err(failed)?;
            actions.push(TransactWriteItem::builder().put(put).build());
        }
        let write = self.client().transact_write_items().set_transact_items(Some(actions));
        match write.send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(why))
                    if why.cancellation_reasons().iter().all(|reason| reason.code() != Some("ValidationError")) =>
                {
                    Err(Stop::Moved)
                }
                _ => Err(failed(error)),
            },
        }
    }

    pub(crate) async fn watermark(&self, lane: &str) -> Result<Watermark, Stop> {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let get = self.client().get_item().table_name(&self.rollups).key("pk", text(WATERMARK)).key("sk", text(lane));
        let item = get.consistent_read(true).send().await.map_err(failed)?.item;
        Ok(item.as_ref().map_or_else(Watermark::default, Watermark::read))
    }

    /// Reads what a report needs.
    pub(crate) async fn report(&self, plan: &ReportPlan, now: Millis, deadline: Instant) -> ReportOutcome {
        match timeout_at(deadline, self.lanes(plan, now)).await {
            Ok(Ok(lanes)) => return ReportOutcome::Read(lanes),
            Ok(Err(Stop::Failed(why))) => eprintln!("cannot read a report: {why}"),
            Ok(Err(Stop::Moved)) | Err(_) => eprintln!("the invocation's deadline came before a report was read"),
        }
        ReportOutcome::Later
    }

    async fn lanes(&self, plan: &ReportPlan, now: Millis) -> Result<Vec<ReportData>, Stop> {
        // Before the pages, which then hold at least what the watermarks say.
        let watermarks = self.watermarks().await?;
        let day_ago = now.0.saturating_sub(u64::try_from(RETENTION.as_millis()).unwrap_or(u64::MAX));
        let folded_to = watermarks.iter().map(|item| Watermark::read(item).folded_to).filter(|to| *to > day_ago);
        let as_of = Some(Millis(folded_to.min().unwrap_or(day_ago)));
        let tenant = plan.tenant().as_str();
        let everywhere = |ranges: Vec<KeyRange>| {
            let partitions = (0..PARTITIONS).map(|number| format!("{tenant}#{number}"));
            partitions
                .flat_map(|partition| ranges.iter().map(move |range| (partition.clone(), range.clone())))
                .collect()
        };
        let marks = self.pages(everywhere(plan.reading().marks().into_iter().collect())).await?;
        let marks: Vec<StoredPage> = marks.into_iter().map(|(_lane, mark)| mark).collect();
        let ranges = plan.reading().ranges(&marks).map_err(failed)?;
        let mut lanes = BTreeMap::from([(String::new(), ReportData { as_of, ..ReportData::default() })]);
        for (lane, page) in self.pages(everywhere(ranges)).await? {
            lanes.entry(lane).or_insert_with(|| ReportData { as_of, ..ReportData::default() }).pages.push(page);
        }
        Ok(lanes.into_values().collect())
    }

    /// The items of all watermarks.
    pub(crate) async fn watermarks(&self) -> Result<Vec<Item>, Stop> {
        let lanes = KeyRange { from: "0".to_owned(), until: "g".to_owned() };
        self.items(vec![(WATERMARK.to_owned(), lanes)]).await
    }

    /// The pages of one lane in these ranges of its partition.
    pub(crate) async fn pages_of(
        &self,
        lane: &str,
        partition: &str,
        ranges: Vec<KeyRange>,
    ) -> Result<Vec<StoredPage>, Stop> {
        let read = self.pages(ranges.into_iter().map(|range| (partition.to_owned(), range)).collect()).await?;
        Ok(read.into_iter().filter_map(|(of, page)| (of == lane).then_some(page)).collect())
    }

    /// The pages in these ranges, of all lanes of the partition, each with its lane.
    async fn pages(&self, ranges: Vec<(String, KeyRange)>) -> Result<Vec<(String, StoredPage)>, Stop> {
        let page = |mut item: Item| match (item.remove("sk"), item.remove("page")) {
            (Some(AttributeValue::S(sort)), Some(AttributeValue::B(bytes))) => {
                let (key, lane) = sort.rsplit_once(SEPARATOR)?;
                Some((lane.to_owned(), StoredPage { key: key.to_owned(), bytes: bytes.into_inner() }))
            }
            _ => None,
        };
        let no_page = || Stop::Failed("an item is no page: something else writes to the table of rollups".to_owned());
        self.items(ranges).await?.into_iter().map(|item| page(item).ok_or_else(no_page)).collect()
    }

    /// The items in these ranges of sort keys, each range in a partition, as they are after every write before.
    async fn items(&self, ranges: Vec<(String, KeyRange)>) -> Result<Vec<Item>, Stop> {
        let query = |(partition, KeyRange { from, until }): (String, KeyRange)| {
            let values = [(":pk", partition), (":from", from), (":until", until)];
            let values = values.map(|(name, value)| (name.to_owned(), AttributeValue::S(value)));
            self.client()
                .query()
                .table_name(&self.rollups)
                .consistent_read(true)
                // `until` itself is the key of nothing.
                .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :until")
                .set_expression_attribute_values(Some(values.into()))
                .into_paginator()
                .items()
                .send()
                .collect::<Result<Vec<Item>, _>>()
        };
        let mut waiting = ranges.into_iter().map(query);
        let mut under_way = JoinSet::new();
        let mut items = Vec::new();
        loop {
            for query in waiting.by_ref().take(CONCURRENCY - under_way.len()) {
                under_way.spawn(query);
            }
            match under_way.join_next().await {
                Some(read) => items.extend(read.map_err(failed)?.map_err(failed)?),
                None => return Ok(items),
            }
        }
    }
}

/// The lane of a stream's shard: FNV-1a of its name.
fn lane(shard: &str) -> String {
    format!(
        "{:08x}",
        shard.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    )
}

/// Where the pages of a tenant's lane stand.
pub(crate) fn partition(tenant: &str, lane: &str) -> String {
    format!("{tenant}#{}", partition_of(lane))
}

fn partition_of(lane: &str) -> u32 {
    u32::from_str_radix(lane, 16).unwrap_or_default() % PARTITIONS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watermark_covers_what_has_the_same_number_or_a_smaller_one() {
        let record = |number: &str| {
            let text = format!(
                r#"{{"eventName":"INSERT","dynamodb":{{"ApproximateCreationDateTime":7,"SequenceNumber":"{number}"}}}}"#
            );
            let text: &'static str = text.leak();
            serde_json::from_str::<Record<'static>>(text).unwrap()
        };
        let watermark = Watermark::default().after(&record("995"));
        assert_eq!((watermark.sequence_number.as_deref(), watermark.folded_to), (Some("995"), 7000));
        for (number, covered) in [("995", true), ("99", true), ("994", true), ("996", false), ("1000", false)] {
            assert_eq!(watermark.covers(&record(number)), covered, "{number}");
            assert!(!Watermark::default().covers(&record(number)));
        }
    }

    /// Names of lanes are in keys: another hash would count what is delivered again.
    #[test]
    fn a_shard_keeps_its_lane() {
        assert_eq!((lane(""), lane("a"), lane("foobar")), ("811c9dc5".into(), "e40c292c".into(), "bf9cf968".into()));
        assert_eq!(partition_of("bf9cf968"), 0);
    }
}
