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
use std::error::Error;
use std::fmt;
use std::time::Duration;

use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem};
use futures_util::stream::{self, StreamExt as _};
use isotherm_core::{
    KeyRange, Millis, ReportData, ReportOutcome, ReportPlan, Service, StepProblem, StoredPage, StreamBatch,
    StreamWrite, Tenant, Watermark, WriteLimits,
};
use tokio::time::{Instant, sleep, timeout_at};

use crate::store::{CONCURRENCY, DYNAMODB, Store};
use crate::{backup, dead_letters};

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

/// Why something is not done.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The watermark is not where it was, or something else holds an item: to be read again.
    Moved,
    /// The store failed, or holds what can't be read.
    Failed(String),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Moved => f.write_str("the lane is being folded"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl Error for Stop {}

pub(crate) fn failed(error: impl Error) -> Stop {
    Stop::Failed(DisplayErrorContext(error).to_string())
}

/// Does what there is time for.
pub(crate) async fn until<T>(deadline: Instant, work: impl Future<Output = Result<T, Stop>>) -> Result<T, Stop> {
    let late = |_elapsed| Err(Stop::Failed("the invocation's deadline came before everything was done".to_owned()));
    timeout_at(deadline, work).await.unwrap_or_else(late)
}

impl Store {
    /// Folds a batch. The number of the first record that is not folded, when the deadline or a failure came before.
    ///
    /// # Errors
    /// When a batch without records can't be folded.
    pub(crate) async fn fold(
        &self,
        service: &Service,
        batch: &StreamBatch<'_>,
        deadline: Instant,
    ) -> Result<Option<String>, Stop> {
        let mut watermark = Watermark::start();
        let all = async {
            if let Some(bucket) = &self.bucket {
                backup::put(bucket, batch.backups()).await?;
            }
            while let Err(stop) = self.fold_from(service, batch, &mut watermark).await {
                match stop {
                    Stop::Moved => sleep(PAUSE).await,
                    Stop::Failed(_) => return Err(stop),
                }
            }
            Ok(())
        };
        let Err(stop) = until(deadline, all).await else { return Ok(None) };
        eprintln!("cannot fold: {stop}");
        batch.records.get(batch.folded(&watermark)).map(|record| Some(record.sequence_number.to_owned())).ok_or(stop)
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
            at_most = step.records();
            let mut stored = Vec::new();
            for (tenant, ranges) in step.ranges() {
                stored.push(self.pages_of(&lane, tenant, ranges).await?);
            }
            match step.settle(stored) {
                Ok(StreamWrite { pages, watermark: moved, letters }) => {
                    dead_letters::send(&letters).await?;
                    self.write(&lane, pages, watermark, Some(&moved)).await?;
                    *watermark = moved;
                }
                Err(StepProblem::TooMuch { at_most: fewer }) => at_most = fewer,
                Err(problem) => return Err(failed(problem)),
            }
        }
        Ok(())
    }

    /// Writes pages of a lane and moves its watermark, or forgets that, if it still is what it was.
    pub(crate) async fn write(
        &self,
        lane: &str,
        pages: Vec<(Tenant, StoredPage)>,
        was: &Watermark,
        to: Option<&Watermark>,
    ) -> Result<(), Stop> {
        let key = |partition: String, key: &str| {
            let sort = AttributeValue::S(format!("{key}{SEPARATOR}{lane}"));
            Item::from([("pk".to_owned(), AttributeValue::S(partition)), ("sk".to_owned(), sort)])
        };
        let put = |mut item: Item, bytes: Vec<u8>| {
            item.insert("page".to_owned(), AttributeValue::B(Blob::new(bytes)));
            Put::builder().table_name(&self.rollups).set_item(Some(item))
        };
        let (condition, values) = match *was == Watermark::start() {
            true => ("attribute_not_exists(pk)", None),
            false => {
                ("page = :was", Some(Item::from([(":was".to_owned(), AttributeValue::B(Blob::new(was.to_bytes())))])))
            }
        };
        let watermark = key(WATERMARK.to_owned(), "");
        let mut write = DYNAMODB.transact_write_items();
        for (tenant, page) in pages {
            let put = put(key(partition(&tenant, lane), &page.key), page.bytes).build().map_err(failed)?;
            write = write.transact_items(TransactWriteItem::builder().put(put).build());
        }
        let action = TransactWriteItem::builder();
        let action = match to {
            Some(to) => {
                let put = put(watermark, to.to_bytes()).condition_expression(condition);
                action.put(put.set_expression_attribute_values(values).build().map_err(failed)?)
            }
            None => {
                let delete = Delete::builder().table_name(&self.rollups).set_key(Some(watermark));
                let delete = delete.condition_expression(condition).set_expression_attribute_values(values);
                action.delete(delete.build().map_err(failed)?)
            }
        };
        let Err(error) = write.transact_items(action.build()).send().await else { return Ok(()) };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(why))
                if why.cancellation_reasons().iter().all(|reason| reason.code() != Some("ValidationError")) =>
            {
                Err(Stop::Moved)
            }
            _ => Err(failed(error)),
        }
    }

    pub(crate) async fn watermark(&self, lane: &str) -> Result<Watermark, Stop> {
        let stored = self.watermarks(lane, lane).await?;
        Ok(stored.into_iter().next().map_or_else(Watermark::start, |(_lane, watermark)| watermark))
    }

    /// Those of all lanes, each with its lane.
    pub(crate) async fn all_watermarks(&self) -> Result<Vec<(String, Watermark)>, Stop> {
        self.watermarks("0", "g").await
    }

    async fn watermarks(&self, from: &str, until: &str) -> Result<Vec<(String, Watermark)>, Stop> {
        let range = KeyRange { from: format!("{SEPARATOR}{from}"), until: format!("{SEPARATOR}{until}") };
        let stored = self.pages(vec![(WATERMARK.to_owned(), range)]).await?.into_iter();
        stored.map(|(lane, page)| Ok((lane, Watermark::read(&page).map_err(failed)?))).collect()
    }

    /// Reads what a report needs.
    pub(crate) async fn report(&self, plan: &ReportPlan, now: Millis, deadline: Instant) -> ReportOutcome {
        until(deadline, self.lanes(plan, now)).await.map_or_else(
            |stop| {
                eprintln!("cannot read a report: {stop}");
                ReportOutcome::Later
            },
            ReportOutcome::Read,
        )
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
            DYNAMODB
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
        let mut queries = stream::iter(ranges.into_iter().map(query)).buffer_unordered(CONCURRENCY);
        let no_page = || Stop::Failed("an item is no page: something else writes to the table of rollups".to_owned());
        let mut pages = Vec::new();
        while let Some(items) = queries.next().await {
            for item in items.map_err(failed)? {
                pages.push(page_of(item).ok_or_else(no_page)?);
            }
        }
        Ok(pages)
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

/// Where the pages of a tenant's lane stand.
fn partition(tenant: &Tenant, lane: &str) -> String {
    format!("{}#{}", tenant.as_str(), u32::from_str_radix(lane, 16).unwrap_or_default() % PARTITIONS)
}
