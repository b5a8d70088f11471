//! Rollups in a second DynamoDB table: folded from the stream of the first behind watermarks, and read for reports.
//!
//! | item | `pk` | `sk` | `page` |
//! | --- | --- | --- | --- |
//! | a page | `tenant#n` | core's key, U+001F, the lane | B |
//! | a lane's watermark | `watermark` | U+001F, the lane | B |
//! | which shards wait for a lane; which times are lost | `watermark` | U+001F, core's name | B |
//! | that a tenant has pages in a lane | `tenant` | the tenant, U+001F, the lane | B, empty |
//!
//! A lane is what one shard of the stream at a time is folded into; core says which. `n` is the lane modulo [`PARTITIONS`], so that no partition has all writes. A step writes
//! its pages and moves the watermark in one transaction, on the condition that the watermark still is what it was when the
//! pages were read: should two be at work on a lane by mistake, it lets one through. A batch is backed up before it is folded.
//! Dead letters are sent before the watermark moves; there has to be a queue for them.

use std::collections::{BTreeMap, HashMap};
use std::iter;
use std::ops::Range;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::builders::PutBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use isotherm_core::{
    KeyRange, LaneStep, LaneWrite, Lanes, Millis, Pulse, ReportData, ReportOutcome, ReportPlan, Service, StoredPage,
    StreamBatch, StreamWrite, Tenant, TooMuch, Watermark, WriteLimits,
};
use tokio::time::sleep;

use crate::entry::now;
use crate::failure::InvalidEvent;
use crate::store::{CONCURRENCY, DYNAMODB, Store};
use crate::stream::PAUSE;
use crate::{dead_letters, shards};

/// Partitions of a tenant's pages.
const PARTITIONS: u32 = 4;
/// What DynamoDB takes in one transaction: 100 actions, one of them for the watermark, and 4 MB, of which some are left for keys.
pub(crate) const LIMITS: WriteLimits = WriteLimits { pages: 99, bytes: 3_500_000 };

/// The partition that lists whose events a lane has.
const TENANT: &str = "tenant";
/// The partition of the watermarks.
const WATERMARK: &str = "watermark";
const SEPARATOR: char = '\u{1f}';
/// The watermark is where it was.
const UNMOVED: &str = "page = :was";

impl Store {
    /// Folds what of a batch is behind the watermark, which is where it is stored from the first step on. The pulses to write
    /// then; `None` when something else has moved the watermark, or holds an item: it is to be read again.
    pub(crate) async fn fold(
        &self,
        service: &Service,
        stream: &str,
        batch: &mut StreamBatch<'_>,
        watermark: &mut Watermark,
    ) -> Result<Option<Vec<Pulse>>> {
        let mut lanes = self.lanes().await?;
        lanes.look_back(batch, now()?);
        let lane = loop {
            match lanes.next(batch) {
                LaneStep::Describe => match shards::of(stream).await {
                    Ok(shards) => lanes.learn(shards),
                    Err(error) if lanes.go_on(batch) => eprintln!("the stream cannot be described: {error:#}"),
                    Err(error) => return Err(error),
                },
                LaneStep::Write(writes) => {
                    if !self.write_lanes(writes).await? {
                        return Ok(None);
                    }
                }
                LaneStep::Fold { lane, watermark: stored } => {
                    *watermark = stored;
                    break lane;
                }
                LaneStep::Done => return Ok(Some(Vec::new())),
                LaneStep::UnknownShard => bail!(InvalidEvent("the stream does not have the batch's shard")),
            }
        };
        let mut at_most = batch.records.len();
        while let Some(step) = service.step(batch, watermark, at_most, LIMITS) {
            at_most = 2 * step.records();
            let mut stored = Vec::new();
            for (tenant, ranges) in step.ranges() {
                stored.push(self.pages_of(&lane, tenant, ranges).await?);
            }
            match step.settle(stored) {
                Ok(StreamWrite { pages, damaged, newcomers, watermark: moved, letters }) => {
                    for (tenant, page) in damaged {
                        eprintln!("lane {lane}: reports of {} are incomplete: {page}", tenant.as_str());
                    }
                    dead_letters::send(&letters).await?;
                    if !self.write(&lane, pages, newcomers, watermark, Some(&moved)).await? {
                        return Ok(None);
                    }
                    *watermark = moved;
                }
                Err(TooMuch { at_most: fewer }) => at_most = fewer,
            }
        }
        Ok(Some(lanes.pulses(batch, now()?)))
    }

    /// Notes that what was written to the stream within this time is lost.
    pub(crate) async fn lose(&self, written: Range<Millis>) -> Result<()> {
        while !self.write_lanes(self.lanes().await?.lose(written.clone())).await? {
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Writes pages of a lane and moves its watermark, or forgets that, if it still is what it was: whether it was.
    pub(crate) async fn write(
        &self,
        lane: &str,
        pages: Vec<(Tenant, StoredPage)>,
        newcomers: Vec<Tenant>,
        was: &Watermark,
        to: Option<&Watermark>,
    ) -> Result<bool> {
        let put = |partition: String, key: &str, bytes| self.put_page(partition, key, lane, bytes);
        let (partition, was) = (WATERMARK.to_owned(), AttributeValue::B(Blob::new(was.to_bytes())));
        let watermark = TransactWriteItem::builder();
        let watermark = if let Some(to) = to {
            let put = put(partition, "", to.to_bytes()).condition_expression(UNMOVED);
            watermark.put(put.expression_attribute_values(":was", was).build()?)
        } else {
            let delete = Delete::builder().table_name(&self.rollups).key("pk", AttributeValue::S(partition));
            let delete = delete.key("sk", sort_key("", lane)).condition_expression(UNMOVED);
            watermark.delete(delete.expression_attribute_values(":was", was).build()?)
        };
        let mut write = DYNAMODB.transact_write_items().transact_items(watermark.build());
        for (tenant, page) in pages {
            let put = put(partition_of(&tenant, lane), &page.key, page.bytes).build()?;
            write = write.transact_items(TransactWriteItem::builder().put(put).build());
        }
        for tenant in newcomers {
            let put = put(TENANT.to_owned(), tenant.as_str(), Vec::new()).build()?;
            write = write.transact_items(TransactWriteItem::builder().put(put).build());
        }
        is_written(write.send().await)
    }

    /// Writes watermarks, and which shards wait, if all of them still are what they were: whether they were.
    async fn write_lanes(&self, writes: Vec<LaneWrite>) -> Result<bool> {
        if writes.is_empty() {
            return Ok(true);
        }
        let mut write = DYNAMODB.transact_write_items();
        for LaneWrite { name, was, bytes } in writes {
            let put = self.put_page(WATERMARK.to_owned(), "", &name, bytes);
            let put = match was {
                Some(was) => {
                    let was = AttributeValue::B(Blob::new(was));
                    put.condition_expression(UNMOVED).expression_attribute_values(":was", was)
                }
                None => put.condition_expression("attribute_not_exists(pk)"),
            };
            write = write.transact_items(TransactWriteItem::builder().put(put.build()?).build());
        }
        is_written(write.send().await)
    }

    fn put_page(&self, partition: String, key: &str, lane: &str, bytes: Vec<u8>) -> PutBuilder {
        let put = Put::builder().table_name(&self.rollups).item("pk", AttributeValue::S(partition));
        put.item("sk", sort_key(key, lane)).item("page", AttributeValue::B(Blob::new(bytes)))
    }

    /// All that is stored of lanes beside their pages.
    pub(crate) async fn lanes(&self) -> Result<Lanes> {
        let range = KeyRange { from: SEPARATOR.to_string(), until: format!("{SEPARATOR}~~") };
        let stored = self.pages(iter::once(WATERMARK.to_owned()), &[range]).await?.into_iter();
        let lanes = Lanes::read(stored.map(|(name, page)| StoredPage { key: name, ..page }));
        lanes.damaged().iter().for_each(|page| eprintln!("{page}"));
        Ok(lanes)
    }

    /// Whose pages there are, in which lanes.
    pub(crate) async fn tenants(&self) -> Result<Vec<(String, String)>> {
        // Names of tenants are between these.
        let all = KeyRange { from: "-".to_owned(), until: "~".to_owned() };
        let stored = self.pages(iter::once(TENANT.to_owned()), &[all]).await?;
        Ok(stored.into_iter().map(|(lane, page)| (lane, page.key)).collect())
    }

    /// Reads what a report needs.
    pub(crate) async fn report(&self, plan: &ReportPlan, now: Millis) -> Result<ReportOutcome> {
        // Before the pages, which then hold at least what the watermarks say.
        let lanes = self.lanes().await?;
        let (as_of, is_incomplete) = (Some(lanes.as_of(now)), lanes.is_incomplete(plan.reading()));
        let none = ReportData { as_of, is_incomplete, ..ReportData::default() };
        let partitions = (0..PARTITIONS).map(|number| format!("{}#{number}", plan.tenant().as_str()));
        let budget = Mutex::new(plan.reading().budget(1));
        let takes = |page: &StoredPage| budget.lock().unwrap_or_else(PoisonError::into_inner).takes_page(page);
        let too_large = ReportOutcome::Read(vec![ReportData::too_large()]);
        let marks = self.pages_while(partitions.clone(), plan.reading().marks().as_slice(), &takes).await?;
        let Some(marks) = marks else { return Ok(too_large) };
        let marks: Vec<StoredPage> = marks.into_iter().map(|(_lane, mark)| mark).collect();
        let pages = self.pages_while(partitions, &plan.reading().ranges(&marks), &takes).await?;
        let Some(pages) = pages else { return Ok(too_large) };
        let mut lanes = BTreeMap::from([(String::new(), none.clone())]);
        for (lane, page) in pages {
            lanes.entry(lane).or_insert_with(|| none.clone()).pages.push(page);
        }
        Ok(ReportOutcome::Read(lanes.into_values().collect()))
    }

    /// The pages of one lane and tenant in these ranges.
    pub(crate) async fn pages_of(&self, lane: &str, tenant: &Tenant, ranges: &[KeyRange]) -> Result<Vec<StoredPage>> {
        let read = self.pages(iter::once(partition_of(tenant, lane)), ranges).await?;
        Ok(read.into_iter().filter_map(|(of, page)| (of == lane).then_some(page)).collect())
    }

    /// The pages in these ranges of sort keys in each of these partitions, of all lanes there, each with its lane; as they are
    /// after every write before.
    async fn pages(
        &self,
        partitions: impl Iterator<Item = String>,
        ranges: &[KeyRange],
    ) -> Result<Vec<(String, StoredPage)>> {
        self.pages_while(partitions, ranges, &|_| true).await.map(Option::unwrap_or_default)
    }

    /// The same; `None`, and nothing more is read, as soon as a page is not taken.
    async fn pages_while(
        &self,
        partitions: impl Iterator<Item = String>,
        ranges: &[KeyRange],
        takes: &(dyn Fn(&StoredPage) -> bool + Sync),
    ) -> Result<Option<Vec<(String, StoredPage)>>> {
        let places = partitions.flat_map(|partition| ranges.iter().map(move |range| (partition.clone(), range)));
        let query = async |(partition, KeyRange { from, until }): (String, &KeyRange)| {
            let query = DYNAMODB.query().table_name(&self.rollups).consistent_read(true);
            let mut items = query
                // `until` itself is the key of nothing, or of the only one that is asked for.
                .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :until")
                .expression_attribute_values(":pk", AttributeValue::S(partition))
                .expression_attribute_values(":from", AttributeValue::S(from.clone()))
                .expression_attribute_values(":until", AttributeValue::S(until.clone()))
                .into_paginator()
                .items()
                .send();
            let mut pages = Vec::new();
            while let Some(item) = items.try_next().await? {
                let (lane, page) =
                    page_of(item).context("an item is no page: something else writes to the table of rollups")?;
                if !takes(&page) {
                    return Ok(None);
                }
                pages.push((lane, page));
            }
            anyhow::Ok(Some(pages))
        };
        let mut read = pin!(stream::iter(places.map(query)).buffer_unordered(CONCURRENCY));
        let mut pages = Vec::new();
        while let Some(of_place) = read.try_next().await? {
            let Some(of_place) = of_place else { return Ok(None) };
            pages.extend(of_place);
        }
        Ok(Some(pages))
    }
}

/// Tells a transaction that was committed (`true`) from one that was cancelled (`false`).
fn is_written<Written>(sent: Result<Written, SdkError<TransactWriteItemsError>>) -> Result<bool> {
    let Err(error) = sent else { return Ok(true) };
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(why))
            if why.cancellation_reasons().iter().all(|reason| reason.code() != Some("ValidationError")) =>
        {
            Ok(false)
        }
        _ => Err(error.into()),
    }
}

fn sort_key(key: &str, lane: &str) -> AttributeValue {
    AttributeValue::S(format!("{key}{SEPARATOR}{lane}"))
}

/// A page and its lane.
fn page_of(mut item: HashMap<String, AttributeValue>) -> Option<(String, StoredPage)> {
    let (AttributeValue::S(sort), AttributeValue::B(bytes)) = (item.remove("sk")?, item.remove("page")?) else {
        return None;
    };
    let (key, lane) = sort.rsplit_once(SEPARATOR)?;
    Some((lane.to_owned(), StoredPage { key: key.to_owned(), bytes: bytes.into_inner() }))
}

/// Where the pages of a tenant's lane stand.
fn partition_of(tenant: &Tenant, lane: &str) -> String {
    format!("{}#{}", tenant.as_str(), u32::from_str_radix(lane, 16).unwrap_or_default() % PARTITIONS)
}
