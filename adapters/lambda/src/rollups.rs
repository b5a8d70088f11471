//! Rollups in a second DynamoDB table, folded from the first table's stream behind watermarks, and read for reports.
//!
//! | item | `pk` | `sk` | `page` |
//! | --- | --- | --- | --- |
//! | a page | `tenant#n` | core's key, U+001F, the lane | B |
//! | a lane's watermark | `watermark` | U+001F, the lane | B |
//! | the shards that wait for a lane; the times that are lost | `watermark` | U+001F, core's name | B |
//! | a tenant's membership in a lane | `tenant` | the tenant, U+001F, the lane | B, empty |
//! | a dead letter, if no queue takes it | `rejected` | `letter`, a space, the shard, `/`, the sequence number | none; the text is `letter`, S |
//!
//! A lane receives the records of one shard of the stream at a time; core chooses the lane. `n` is the lane modulo
//! [`PARTITIONS`], so that writes are spread over partitions. One transaction writes a step's pages and moves the
//! watermark, on the condition that the watermark has not moved since the pages were read. If two invocations work on
//! a lane by mistake, the condition lets only one write. A batch is backed up before it is folded. Dead letters are
//! kept before the watermark moves.

use std::collections::{BTreeMap, HashMap};
use std::iter;
use std::ops::Range;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::transact_write_items::builders::TransactWriteItemsFluentBuilder;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::builders::PutBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use isotherm_core::{
    Condition, Folded, KeyRange, LaneStep, LaneWrite, Lanes, Millis, Pulse, ReportData, ReportOutcome, ReportPlan,
    Service, StoredPage, StreamBatch, StreamWrite, Tenant, TooMuch, Watermark, WriteLimits,
};
use tokio::time::sleep;

use crate::aws::DYNAMODB;
use crate::failure::InvalidEvent;
use crate::request::now;
use crate::store::{CONCURRENCY, PAUSE, Store};
use crate::{shards, watch};

/// Number of partitions for a tenant's pages.
pub(crate) const PARTITIONS: u32 = 4;
/// DynamoDB's limit for one transaction is 100 actions and 4 MB. One action is the watermark's, and some of the bytes
/// are left for keys.
pub(crate) const LIMITS: WriteLimits = WriteLimits { pages: 99, bytes: 3_500_000 };

/// A transaction for which the table has no capacity is given up once the next pause would be this long.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The partition that lists which tenants have pages in which lane.
const TENANT: &str = "tenant";
/// The partition that holds the watermarks.
const WATERMARK: &str = "watermark";
const SEPARATOR: char = '\u{1f}';
const NO_PAGE: &str = "an item is no page: something else writes to the table of rollups";
/// The condition that the watermark has not moved.
const UNMOVED: &str = "page = :was";
/// The same for a value that was read as empty, such as one that is not binary.
const STILL_EMPTY: &str = "page = :was OR NOT attribute_type(page, :binary)";

impl Store {
    /// Folds the records of a batch that are behind the stored watermark, which it reads into `watermark` first.
    /// Returns the pulses to write next. `None` means that something else moved the watermark or holds an item: read
    /// the watermark again.
    pub(crate) async fn fold(
        &self,
        service: &Service,
        stream: &str,
        batch: &mut StreamBatch<'_>,
        watermark: &mut Watermark,
    ) -> Result<Option<Vec<Pulse>>> {
        let mut lanes = self.lanes().await?;
        let lane = loop {
            match lanes.next(batch, now()?) {
                LaneStep::Describe => match shards::of(stream).await {
                    Ok((created_at, shards)) => lanes.learn(created_at, shards),
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
        let (mut at_most, mut done) = (batch.records.len(), Folded::default());
        while let Some(step) = service.step(batch, watermark, at_most, LIMITS) {
            at_most = 2 * step.records();
            let mut stored = Vec::new();
            for (tenant, ranges) in step.ranges() {
                stored.push(self.pages_of(&lane, tenant, ranges).await?);
            }
            match step.merge(stored) {
                Ok(StreamWrite { pages, damaged, newcomers, watermark: moved, letters, folded }) => {
                    for (tenant, page) in damaged {
                        eprintln!("lane {lane}: reports of {} are incomplete: {page}", tenant.as_str());
                    }
                    self.reject(&letters).await?;
                    if !self.write(&lane, pages, newcomers, watermark, Some(&moved)).await? {
                        return Ok(None);
                    }
                    *watermark = moved;
                    done = done.and(folded);
                }
                Err(TooMuch { at_most: fewer }) => at_most = fewer,
            }
        }
        watch::folded(service, &Folded { lag: batch.waited(now()?), ..done });
        Ok(Some(lanes.pulses(batch, now()?)))
    }

    /// The condition of the table of rollups. What is not folded is in the stream, which only Lambda sees; its metric
    /// `IteratorAge` says how old that is.
    pub(crate) async fn condition(&self) -> Result<Option<Condition>> {
        self.lanes().await.map(|_lanes| Some(Condition::default()))
    }

    /// Notes that records written to the stream in this period are lost.
    pub(crate) async fn lose(&self, written: Range<Millis>) -> Result<()> {
        while !self.write_lanes(self.lanes().await?.lose(written.clone())).await? {
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Writes pulses to shards that have had no records for a while.
    pub(crate) async fn heartbeat(&self, now: Millis) -> Result<()> {
        self.pulse(self.lanes().await?.heartbeat(now)).await;
        Ok(())
    }

    /// Writes pages of a lane and moves or deletes its watermark, if the watermark has not moved. Returns whether it
    /// wrote.
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
        send(write).await
    }

    /// Writes watermarks and the list of waiting shards, if none of them has changed. Returns whether it wrote.
    async fn write_lanes(&self, writes: Vec<LaneWrite>) -> Result<bool> {
        if writes.is_empty() {
            return Ok(true);
        }
        let mut write = DYNAMODB.transact_write_items();
        for LaneWrite { name, was, bytes } in writes {
            let put = self.put_page(WATERMARK.to_owned(), "", &name, bytes);
            let put = match was {
                Some(was) if was.is_empty() => {
                    let put = put.condition_expression(STILL_EMPTY);
                    let put = put.expression_attribute_values(":binary", AttributeValue::S("B".to_owned()));
                    put.expression_attribute_values(":was", AttributeValue::B(Blob::new(was)))
                }
                Some(was) => {
                    let was = AttributeValue::B(Blob::new(was));
                    put.condition_expression(UNMOVED).expression_attribute_values(":was", was)
                }
                None => put.condition_expression("attribute_not_exists(pk)"),
            };
            write = write.transact_items(TransactWriteItem::builder().put(put.build()?).build());
        }
        send(write).await
    }

    fn put_page(&self, partition: String, key: &str, lane: &str, bytes: Vec<u8>) -> PutBuilder {
        let put = Put::builder().table_name(&self.rollups).item("pk", AttributeValue::S(partition));
        put.item("sk", sort_key(key, lane)).item("page", AttributeValue::B(Blob::new(bytes)))
    }

    /// Reads everything stored about lanes except their pages.
    pub(crate) async fn lanes(&self) -> Result<Lanes> {
        let range = KeyRange { from: SEPARATOR.to_string(), until: format!("{SEPARATOR}~~") };
        let stored = self.pages(iter::once(WATERMARK.to_owned()), &[range]).await?.into_iter();
        let lanes = Lanes::read(stored.map(|(name, page)| StoredPage { key: name, ..page }));
        lanes.damaged().iter().for_each(|page| eprintln!("{page}"));
        Ok(lanes)
    }

    /// Reads the watermark of a lane; `None` if the lane is forgotten.
    pub(crate) async fn watermark(&self, lane: &str) -> Result<Option<Watermark>> {
        let key = format!("{SEPARATOR}{lane}");
        let range = KeyRange { from: key.clone(), until: key };
        let stored = self.pages(iter::once(WATERMARK.to_owned()), &[range]).await?;
        Ok(stored.first().map(|(_, page)| Watermark::read(page)).transpose()?)
    }

    /// Lists which tenants have pages in which lanes, as pairs of lane and tenant.
    pub(crate) async fn tenants(&self) -> Result<Vec<(String, String)>> {
        // All tenant names sort between these two.
        let all = KeyRange { from: "-".to_owned(), until: "~".to_owned() };
        let stored = self.pages(iter::once(TENANT.to_owned()), &[all]).await?;
        Ok(stored.into_iter().map(|(lane, page)| (lane, page.key)).collect())
    }

    /// Reads the data for a report.
    pub(crate) async fn report(&self, plan: &ReportPlan, now: Millis) -> Result<ReportOutcome> {
        // Lanes are read before pages, so the pages hold at least what the watermarks say.
        let lanes = self.lanes().await?;
        let (as_of, is_incomplete) = (Some(lanes.as_of(now)), lanes.is_incomplete(plan.reading(), now));
        let none = ReportData { as_of, is_incomplete, ..ReportData::default() };
        let partitions = (0..PARTITIONS).map(|number| format!("{}#{number}", plan.tenant().as_str()));
        let budget = Mutex::new(plan.reading().budget(1));
        let takes = |page: &StoredPage| budget.lock().unwrap_or_else(PoisonError::into_inner).takes_page(page);
        let too_large = ReportOutcome::Read(vec![ReportData::too_large()]);
        let manifests = self.pages_while(partitions.clone(), plan.reading().manifests().as_slice(), &takes).await?;
        let Some(manifests) = manifests else { return Ok(too_large) };
        let manifests: Vec<StoredPage> = manifests.into_iter().map(|(_lane, manifest)| manifest).collect();
        let pages = self.pages_while(partitions, &plan.reading().ranges(&manifests), &takes).await?;
        let Some(pages) = pages else { return Ok(too_large) };
        let mut lanes = BTreeMap::from([(String::new(), none.clone())]);
        for (lane, page) in pages {
            lanes.entry(lane).or_insert_with(|| none.clone()).pages.push(page);
        }
        Ok(ReportOutcome::Read(lanes.into_values().collect()))
    }

    /// Reads the pages of one lane and tenant in these ranges.
    pub(crate) async fn pages_of(&self, lane: &str, tenant: &Tenant, ranges: &[KeyRange]) -> Result<Vec<StoredPage>> {
        self.pages_of_while(lane, tenant, ranges, &|_| true).await.map(Option::unwrap_or_default)
    }

    /// Like [`Self::pages_of`], but stops reading and returns `None` as soon as `takes` rejects a page.
    pub(crate) async fn pages_of_while(
        &self,
        lane: &str,
        tenant: &Tenant,
        ranges: &[KeyRange],
        takes: &(dyn Fn(&StoredPage) -> bool + Sync),
    ) -> Result<Option<Vec<StoredPage>>> {
        let read = self.pages_while(iter::once(partition_of(tenant, lane)), ranges, takes).await?;
        Ok(read.map(|read| read.into_iter().filter_map(|(of, page)| (of == lane).then_some(page)).collect()))
    }

    /// Gives the pages of one lane and tenant in this range to `take`, one by one, for as long as it wants more.
    pub(crate) async fn each_page_of(
        &self,
        lane: &str,
        tenant: &Tenant,
        range: &KeyRange,
        mut take: impl FnMut(StoredPage) -> bool,
    ) -> Result<()> {
        let mut items = self.query(partition_of(tenant, lane), range).into_paginator().items().send();
        while let Some(item) = items.try_next().await? {
            let (of, page) = page_of(item).context(NO_PAGE)?;
            if of == lane && !take(page) {
                break;
            }
        }
        Ok(())
    }

    /// The query for the items of a partition in this range of sort keys. It is strongly consistent.
    fn query(&self, partition: String, KeyRange { from, until }: &KeyRange) -> QueryFluentBuilder {
        let query = DYNAMODB.query().table_name(&self.rollups).consistent_read(true);
        query
            // `until` itself is no page's key, or the key of the only page asked for, so `BETWEEN` may include it.
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :until")
            .expression_attribute_values(":pk", AttributeValue::S(partition))
            .expression_attribute_values(":from", AttributeValue::S(from.clone()))
            .expression_attribute_values(":until", AttributeValue::S(until.clone()))
    }

    /// Reads the pages of all lanes in these ranges of sort keys, in each of these partitions. Each page comes with
    /// its lane.
    async fn pages(
        &self,
        partitions: impl Iterator<Item = String>,
        ranges: &[KeyRange],
    ) -> Result<Vec<(String, StoredPage)>> {
        self.pages_while(partitions, ranges, &|_| true).await.map(Option::unwrap_or_default)
    }

    /// Like [`Self::pages`], but stops reading and returns `None` as soon as `takes` rejects a page.
    async fn pages_while(
        &self,
        partitions: impl Iterator<Item = String>,
        ranges: &[KeyRange],
        takes: &(dyn Fn(&StoredPage) -> bool + Sync),
    ) -> Result<Option<Vec<(String, StoredPage)>>> {
        let places = partitions.flat_map(|partition| ranges.iter().map(move |range| (partition.clone(), range)));
        let query = async |(partition, range): (String, &KeyRange)| {
            let mut items = self.query(partition, range).into_paginator().items().send();
            let mut pages = Vec::new();
            while let Some(item) = items.try_next().await? {
                let (lane, page) = page_of(item).context(NO_PAGE)?;
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

/// Sends a transaction. Tells a committed one (`true`) from one that was cancelled because of what others write
/// (`false`). While the table has no capacity for it, it is sent again after a pause that doubles: reading everything
/// again would take capacity too.
async fn send(write: TransactWriteItemsFluentBuilder) -> Result<bool> {
    let mut pause = PAUSE;
    loop {
        let Err(error) = write.clone().send().await else { return Ok(true) };
        match cancellation(error.as_service_error()) {
            Some(Cancellation::Others) => return Ok(false),
            Some(Cancellation::Throttled) if pause < LONGEST_PAUSE => sleep(pause).await,
            _ => return Err(error.into()),
        }
        pause *= 2;
    }
}

/// Why a transaction was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cancellation {
    /// A condition is not met, or another transaction holds an item.
    Others,
    /// The table has no capacity for it now.
    Throttled,
}

/// Why a transaction was cancelled; `None` if it failed in another way, or can never succeed.
fn cancellation(error: Option<&TransactWriteItemsError>) -> Option<Cancellation> {
    let Some(TransactWriteItemsError::TransactionCanceledException(why)) = error else { return None };
    let is_one = |codes: &[&str]| {
        let reasons = why.cancellation_reasons();
        reasons.iter().any(|reason| reason.code().is_some_and(|code| codes.contains(&code)))
    };
    if is_one(&["ValidationError", "ItemCollectionSizeLimitExceeded"]) {
        return None;
    }
    let is_throttled = is_one(&["ThrottlingError", "ProvisionedThroughputExceeded"]);
    Some(if is_throttled { Cancellation::Throttled } else { Cancellation::Others })
}

pub(crate) fn sort_key(key: &str, lane: &str) -> AttributeValue {
    AttributeValue::S(format!("{key}{SEPARATOR}{lane}"))
}

/// A page and its lane, from an item.
pub(crate) fn page_of(mut item: HashMap<String, AttributeValue>) -> Option<(String, StoredPage)> {
    let Some(AttributeValue::S(sort)) = item.remove("sk") else { return None };
    let (key, lane) = sort.rsplit_once(SEPARATOR)?;
    let bytes = match item.remove("page") {
        Some(AttributeValue::B(bytes)) => bytes.into_inner(),
        // A value that is not binary is read as an empty page, which core sets apart.
        _ => Vec::new(),
    };
    Some((lane.to_owned(), StoredPage { key: key.to_owned(), bytes }))
}

/// The partition that holds a tenant's pages of a lane.
pub(crate) fn partition_of(tenant: &Tenant, lane: &str) -> String {
    format!("{}#{}", tenant.as_str(), u32::from_str_radix(lane, 16).unwrap_or_default() % PARTITIONS)
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
    use aws_sdk_dynamodb::types::CancellationReason;
    use aws_sdk_dynamodb::types::error::TransactionCanceledException;

    use super::*;

    #[test]
    fn a_page_that_is_not_binary_is_an_empty_one() {
        let page = |value: Option<AttributeValue>| {
            let mut item = HashMap::from([("sk".to_owned(), sort_key("key", "0000002a"))]);
            item.extend(value.map(|value| ("page".to_owned(), value)));
            page_of(item)
        };
        let read =
            |bytes: &[u8]| Some(("0000002a".to_owned(), StoredPage { key: "key".to_owned(), bytes: bytes.to_owned() }));
        assert_eq!(page(Some(AttributeValue::B(Blob::new(vec![1_u8, 2])))), read(&[1, 2]));
        assert_eq!(page(Some(AttributeValue::S("text".to_owned()))), read(&[]));
        assert_eq!(page(Some(AttributeValue::Null(true))), read(&[]));
        assert_eq!(page(None), read(&[]));
    }

    #[test]
    fn a_table_without_capacity_is_told_from_what_others_write() {
        let why = |codes: &[&str]| {
            let reason = |code: &&str| CancellationReason::builder().code(*code).build();
            let why = TransactionCanceledException::builder();
            let why = why.set_cancellation_reasons(Some(codes.iter().map(reason).collect())).build();
            cancellation(Some(&TransactWriteItemsError::TransactionCanceledException(why)))
        };
        assert_eq!(why(&["None", "ConditionalCheckFailed"]), Some(Cancellation::Others));
        assert_eq!(why(&["TransactionConflict", "None"]), Some(Cancellation::Others));
        assert_eq!(why(&["None", "ThrottlingError"]), Some(Cancellation::Throttled));
        assert_eq!(why(&["ProvisionedThroughputExceeded", "TransactionConflict"]), Some(Cancellation::Throttled));
        assert_eq!(why(&["ValidationError", "ThrottlingError"]), None);
        assert_eq!(cancellation(None), None);
    }
}
