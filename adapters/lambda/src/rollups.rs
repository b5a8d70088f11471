//! Rollups in a second DynamoDB table: folded from the stream of the first behind watermarks, and read for reports.
//!
//! | item | `pk` | `sk` | `page` |
//! | --- | --- | --- | --- |
//! | a page | `tenant#n` | core's key, U+001F, the lane | B |
//! | a lane's watermark | `watermark` | U+001F, the lane | B |
//!
//! A lane is a shard of the stream. `n` is the lane modulo [`PARTITIONS`], so that no partition has all writes. A step writes
//! its pages and moves the watermark in one transaction, on the condition that the watermark still is what it was when the
//! pages were read: should two be at work on a lane by mistake, it lets one through. A batch is backed up before it is folded.
//! Dead letters are sent before the watermark moves; there has to be a queue for them.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use isotherm_core::{
    KeyRange, Millis, ReportData, ReportOutcome, ReportPlan, Service, StepProblem, StoredPage, StreamBatch,
    StreamWrite, Tenant, Watermark, WriteLimits,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use crate::store::{CONCURRENCY, Store};

/// Partitions of a tenant's pages.
const PARTITIONS: u32 = 4;
/// What DynamoDB takes in one transaction: 100 actions, one of them for the watermark, and 4 MB, of which some are left for keys.
pub(crate) const LIMITS: WriteLimits = WriteLimits { pages: 99, bytes: 3_500_000 };
/// After a transaction that was cancelled, before the watermark is read again.
const PAUSE: Duration = Duration::from_millis(20);

/// The partition of the watermarks.
const WATERMARK: &str = "watermark";
const SEPARATOR: char = '\u{1f}';

type Item = HashMap<String, AttributeValue>;

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

impl Store {
    /// Folds a batch. The number of the first record that is not folded, when the deadline or a failure came before.
    ///
    /// # Errors
    /// When a batch without records can't be folded.
    pub(crate) async fn fold<'a>(
        &self,
        service: &Service,
        batch: &StreamBatch<'a>,
        deadline: Instant,
    ) -> Result<Option<&'a str>, String> {
        let mut watermark = Watermark::start();
        let all = async {
            if let Some(bucket) = &self.backup {
                bucket.put(batch.backups()).await?;
            }
            loop {
                match self.fold_from(service, batch, &mut watermark).await {
                    Err(Stop::Moved) => sleep(PAUSE).await,
                    Err(Stop::Failed(why)) => return Err(why),
                    Ok(()) => return Ok(()),
                }
            }
        };
        let late = || Err("the invocation's deadline came before the batch was folded".to_owned());
        let Err(why) = timeout_at(deadline, all).await.unwrap_or_else(|_elapsed| late()) else { return Ok(None) };
        eprintln!("cannot fold: {why}");
        batch.records.get(batch.folded(&watermark)).map(|record| Some(record.sequence_number)).ok_or(why)
    }

    /// Folds what is behind the watermark, which is where it is stored from the first step on.
    async fn fold_from(
        &self,
        service: &Service,
        batch: &StreamBatch<'_>,
        watermark: &mut Watermark,
    ) -> Result<(), Stop> {
        let lane = batch.lane();
        *watermark = self.watermark(&lane).await?;
        let mut at_most = batch.records.len();
        while let Some(step) = service.step(batch, watermark, at_most, LIMITS) {
            let mut stored = Vec::new();
            for (tenant, ranges) in step.ranges() {
                stored.push(self.pages_of(&lane, tenant, ranges).await?);
            }
            match step.settle(stored) {
                Ok(StreamWrite { pages, watermark: moved, letters }) => {
                    self.dead_letters.send(&letters).await.map_err(Stop::Failed)?;
                    self.write(&lane, pages, watermark, &moved).await?;
                    *watermark = moved;
                }
                Err(StepProblem::TooMuch { at_most: fewer }) => at_most = fewer,
                Err(problem) => return Err(failed(problem)),
            }
        }
        Ok(())
    }

    /// Writes pages of a lane and moves its watermark, if that still is what it was.
    pub(crate) async fn write(
        &self,
        lane: &str,
        pages: Vec<(Tenant, StoredPage)>,
        was: &Watermark,
        to: &Watermark,
    ) -> Result<(), Stop> {
        let put = |partition: String, key: &str, bytes: Vec<u8>| {
            let put = Put::builder().table_name(&self.rollups).item("pk", AttributeValue::S(partition));
            let put = put.item("sk", AttributeValue::S(format!("{key}{SEPARATOR}{lane}")));
            put.item("page", AttributeValue::B(Blob::new(bytes)))
        };
        let (condition, values) = unmoved(was);
        let moved = put(WATERMARK.to_owned(), "", to.to_bytes());
        let moved = moved.condition_expression(condition).set_expression_attribute_values(values);
        let pages = pages.into_iter().map(|(tenant, page)| put(partition(&tenant, lane), &page.key, page.bytes));
        let actions =
            pages.chain([moved]).map(|put| Ok(TransactWriteItem::builder().put(put.build().map_err(failed)?).build()));
        let actions = actions.collect::<Result<_, Stop>>()?;
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
        let key = format!("{SEPARATOR}{lane}");
        let stored = self.watermarks(KeyRange { from: key.clone(), until: key }).await?;
        Ok(stored.into_iter().next().map_or_else(Watermark::start, |(_lane, watermark)| watermark))
    }

    /// Those of all lanes, each with its lane.
    pub(crate) async fn all_watermarks(&self) -> Result<Vec<(String, Watermark)>, Stop> {
        self.watermarks(KeyRange { from: format!("{SEPARATOR}0"), until: format!("{SEPARATOR}g") }).await
    }

    async fn watermarks(&self, range: KeyRange) -> Result<Vec<(String, Watermark)>, Stop> {
        let stored = self.pages(vec![(WATERMARK.to_owned(), range)]).await?.into_iter();
        stored.map(|(lane, page)| Ok((lane, Watermark::read(&page).map_err(failed)?))).collect()
    }

    /// Forgets a lane that has ended, if its watermark still is this.
    pub(crate) async fn forget(&self, lane: &str, watermark: &Watermark) -> Result<(), Stop> {
        let (condition, values) = unmoved(watermark);
        let delete = self.client().delete_item().table_name(&self.rollups);
        let delete = delete.key("pk", AttributeValue::S(WATERMARK.to_owned()));
        let delete = delete.key("sk", AttributeValue::S(format!("{SEPARATOR}{lane}")));
        match delete.condition_expression(condition).set_expression_attribute_values(values).send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(DeleteItemError::ConditionalCheckFailedException(_)) => Err(Stop::Moved),
                _ => Err(failed(error)),
            },
        }
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
        let watermarks: Vec<_> = self.all_watermarks().await?.into_iter().map(|(_lane, watermark)| watermark).collect();
        let as_of = Some(Watermark::as_of(&watermarks, now));
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

    /// The pages of one lane and tenant in these ranges.
    pub(crate) async fn pages_of(
        &self,
        lane: &str,
        tenant: &Tenant,
        ranges: Vec<KeyRange>,
    ) -> Result<Vec<StoredPage>, Stop> {
        let partition = partition(tenant, lane);
        let read = self.pages(ranges.into_iter().map(|range| (partition.clone(), range)).collect()).await?;
        Ok(read.into_iter().filter_map(|(of, page)| (of == lane).then_some(page)).collect())
    }

    /// The pages in these ranges of sort keys, each range in a partition, of all lanes of the partition, each with its lane; as
    /// they are after every write before.
    async fn pages(&self, ranges: Vec<(String, KeyRange)>) -> Result<Vec<(String, StoredPage)>, Stop> {
        let query = |(partition, KeyRange { from, until }): (String, KeyRange)| {
            let values = [(":pk", partition), (":from", from), (":until", until)];
            let values = values.map(|(name, value)| (name.to_owned(), AttributeValue::S(value)));
            self.client()
                .query()
                .table_name(&self.rollups)
                .consistent_read(true)
                // `until` itself is the key of nothing, or of the only one that is asked for.
                .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :until")
                .set_expression_attribute_values(Some(values.into()))
                .into_paginator()
                .items()
                .send()
                .collect::<Result<Vec<Item>, _>>()
        };
        let no_page = || Stop::Failed("an item is no page: something else writes to the table of rollups".to_owned());
        let mut waiting = ranges.into_iter().map(query);
        let mut under_way = JoinSet::new();
        let mut pages = Vec::new();
        loop {
            for query in waiting.by_ref().take(CONCURRENCY - under_way.len()) {
                under_way.spawn(query);
            }
            let Some(read) = under_way.join_next().await else { return Ok(pages) };
            for item in read.map_err(failed)?.map_err(failed)? {
                pages.push(page_of(item).ok_or_else(no_page)?);
            }
        }
    }
}

/// A page and its lane.
fn page_of(mut item: Item) -> Option<(String, StoredPage)> {
    let (AttributeValue::S(sort), AttributeValue::B(bytes)) = (item.remove("sk")?, item.remove("page")?) else {
        return None;
    };
    let (key, lane) = sort.rsplit_once(SEPARATOR)?;
    Some((lane.to_owned(), StoredPage { key: key.to_owned(), bytes: bytes.into_inner() }))
}

/// What a write to a lane depends on, as expression and values: that its watermark still is this.
fn unmoved(watermark: &Watermark) -> (&'static str, Option<Item>) {
    if *watermark == Watermark::start() {
        return ("attribute_not_exists(pk)", None);
    }
    let was = AttributeValue::B(Blob::new(watermark.to_bytes()));
    ("page = :was", Some(Item::from([(":was".to_owned(), was)])))
}

/// Where the pages of a tenant's lane stand.
fn partition(tenant: &Tenant, lane: &str) -> String {
    format!("{}#{}", tenant.as_str(), u32::from_str_radix(lane, 16).unwrap_or_default() % PARTITIONS)
}
