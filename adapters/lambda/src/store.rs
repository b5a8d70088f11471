//! The event store: one DynamoDB table, one item an event.
//!
//! | attribute | type | |
//! | --- | --- | --- |
//! | `pk` | S, partition key | `tenant#eventId`: ids are spread evenly, so no partition gets hot |
//! | `e` | B | the event as core packs it |
//! | `ttl` | N | seconds, as DynamoDB wants it; it deletes the item some time after |
//!
//! Names are short, since DynamoDB bills them in each item. Items of older versions have, in place of `e`, the event as
//! it is answered in `record` (S), and `digest` (B), which tells a repetition from a conflict.
//!
//! Items whose key has no tenant are core's: the shapes of packed events (`shapes.rs`), and pulses. Pulses have a time
//! `at`, and a `ttl`.

use std::future::ready;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::join;
use futures_util::stream::{self, StreamExt as _};
use isotherm_core::{
    EventId, FindOutcome, FindPlan, Holder, Limiter, Millis, NewEvent, Packer, Pulse, Seconds, StoreOutcome, StorePlan,
    Tenant, Unpacker,
};
use tokio::time::{Instant, sleep, timeout_at};

use crate::aws::{DYNAMODB, FIRST_BACKOFF, environment};
pub(crate) use crate::put::EVENT;
use crate::put::{Put, expires_at};

/// How many requests of an invocation run at once. Each has a connection of its own, and so a TLS handshake on a cold
/// start.
pub(crate) const CONCURRENCY: usize = 32;
/// Wait after a cancelled transaction, before the watermark is read again.
pub(crate) const PAUSE: Duration = Duration::from_millis(20);

/// The tables that the environment names, and the bucket for backups, if there is one.
pub(crate) struct Store {
    pub(crate) table: String,
    pub(crate) rollups: String,
    pub(crate) bucket: Option<String>,
    pub(crate) packer: Mutex<Packer>,
    pub(crate) unpacker: Mutex<Unpacker>,
    /// What keys and tenants have sent to this environment.
    pub(crate) limiter: Mutex<Limiter>,
}

impl Store {
    pub(crate) fn of_environment() -> Self {
        let table = environment("ISOTHERM_TABLE").unwrap_or_else(|| "events".to_owned());
        let rollups = environment("ISOTHERM_ROLLUPS").unwrap_or_else(|| "rollups".to_owned());
        let bucket = environment("ISOTHERM_BACKUP_BUCKET");
        let (packer, unpacker, limiter) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { table, rollups, bucket, packer, unpacker, limiter }
    }

    /// Takes the plan's events from what their key and tenant may send. Returns whether they may be kept.
    pub(crate) fn takes(&self, plan: &mut StorePlan) -> bool {
        !plan.is_limited() || plan.take_from(&mut self.limiter.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts each event unless its key is taken, and new shapes beside them. Returns the outcome of each event, at the
    /// latest when the deadline comes.
    pub(crate) async fn keep(&self, plan: &StorePlan, entropy: u128, deadline: Instant) -> Vec<StoreOutcome> {
        let (events, put_by) = (plan.events(), (entropy >> 64) as u64);
        let shapes = self.put_shapes(self.packer().shapes(events));
        let mut outcomes = vec![StoreOutcome::Unavailable; events.len()];
        let puts = events.iter().enumerate();
        let puts = stream::iter(puts.map(|(at, event)| async move { (at, self.put(plan, event, put_by).await) }));
        let all = puts.buffer_unordered(CONCURRENCY).for_each(|(at, outcome)| {
            match outcome {
                Ok(outcome) => outcomes[at] = outcome,
                Err(error) => eprintln!("{}: cannot put an event: {error:#}", plan.request_id()),
            }
            ready(())
        });
        if timeout_at(deadline, join(all, shapes)).await.is_err() {
            eprintln!("{}: the invocation's deadline came before DynamoDB had answered every put", plan.request_id());
        }
        outcomes
    }

    /// Puts pulses beside the events. A failed put is not retried; a later batch writes pulses again.
    pub(crate) async fn pulse(&self, pulses: Vec<Pulse>) {
        let put = async |Pulse { key, at: Millis(at), expires_at }: Pulse| {
            let put = DYNAMODB.put_item().table_name(&self.table).item("pk", AttributeValue::S(key));
            let put = put.item("at", AttributeValue::N(at.to_string()));
            put.item("ttl", AttributeValue::N(expires_at.0.to_string())).send().await
        };
        let mut all = pin!(stream::iter(pulses.into_iter().map(put)).buffer_unordered(CONCURRENCY));
        while let Some(put) = all.next().await {
            put.err().iter().for_each(|error| eprintln!("cannot put a pulse: {error:#}"));
        }
    }

    /// Looks one event up with a strongly consistent read.
    pub(crate) async fn find(&self, plan: &FindPlan) -> Result<FindOutcome> {
        let (tenant, id) = (plan.tenant(), plan.id());
        let get = DYNAMODB
            .get_item()
            .table_name(&self.table)
            .key("pk", AttributeValue::S(key(tenant, id)))
            .consistent_read(true);
        let Some(mut item) = get.send().await?.item else { return Ok(FindOutcome::Absent) };
        if expires_at(&item).is_some_and(|expires_at| expires_at <= plan.expired_by()) {
            return Ok(FindOutcome::Absent);
        }
        if let Some(AttributeValue::B(packed)) = item.get(EVENT) {
            self.learn_shapes([packed.as_ref()]).await?;
            return Ok(FindOutcome::Found(self.unpacker().record(&id.to_string(), packed.as_ref())?));
        }
        match item.remove("record") {
            Some(AttributeValue::S(record)) => Ok(FindOutcome::Found(record)),
            _ => bail!("the item of {id} has no record: something else writes to table {}", self.table),
        }
    }

    /// Puts one event, and retries while DynamoDB throttles or fails. An expired event under the same key makes way,
    /// even if its TTL has not deleted it yet.
    async fn put(&self, plan: &StorePlan, event: &NewEvent, put_by: u64) -> Result<StoreOutcome> {
        let (key, packed) = (key(plan.tenant(), event.id), self.packer().pack(event, put_by));
        let put = Put::of_event(&self.table, &key, packed, event.expires_at);
        let mut answer = put.attempt().await;
        if answer.is_err() {
            sleep(FIRST_BACKOFF).await;
            answer = put.send().await;
        }
        let mut has_made_way = false;
        loop {
            let Some(taken) = answer? else { return Ok(StoreOutcome::Stored) };
            if taken.put_by == Some(put_by) {
                // An earlier attempt of this same put succeeded, and its answer got lost.
                return Ok(StoreOutcome::Stored);
            }
            match plan.holder(taken.digest, taken.expires_at) {
                Holder::Stays(outcome) => {
                    if taken.digest.is_none() {
                        eprintln!("item {key} has no digest: something else writes to table {}", self.table);
                    }
                    return Ok(outcome);
                }
                // Another request has put an event since, and it has expired too.
                Holder::MakesWay if has_made_way => return Ok(StoreOutcome::Unavailable),
                Holder::MakesWay => {
                    self.make_way(&key, plan.expired_by()).await?;
                    has_made_way = true;
                    answer = put.send().await;
                }
            }
        }
    }

    /// Deletes an event if it has expired. The event is not overwritten, because the fold counts only new items in
    /// the stream, not changed ones.
    async fn make_way(&self, key: &str, Seconds(expired_by): Seconds) -> Result<()> {
        let delete = DYNAMODB
            .delete_item()
            .table_name(&self.table)
            .key("pk", AttributeValue::S(key.to_owned()))
            .condition_expression("#ttl <= :now")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":now", AttributeValue::N(expired_by.to_string()));
        match delete.send().await {
            // Another request deleted it first.
            Err(error)
                if error.as_service_error().is_some_and(DeleteItemError::is_conditional_check_failed_exception) =>
            {
                Ok(())
            }
            deleted => Ok(deleted.map(drop)?),
        }
    }
}

fn key(tenant: &Tenant, id: EventId) -> String {
    format!("{}#{id}", tenant.as_str())
}
