//! DynamoDB's protocol, as far as functions use it, over dynoxide; each operation is counted by its size, as DynamoDB bills it.
//!
//! dynoxide has a server of its own, which gives nobody a place to count; something between it and the functions would
//! take part in every figure.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use dynoxide::actions::transact_write_items::{TransactWriteItem, TransactWriteItemsRequest};
use dynoxide::types::{AttributeValue, Item, item_size};
use dynoxide::{Database, DynoxideError};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::server::Server;
use super::stream::Stream;
use crate::meters::count::step;
use crate::meters::{SIZE_STEP, Sizes};

/// The largest request of DynamoDB: 16 MB.
const REQUEST_BYTES: usize = 16 * 1024 * 1024;

/// The kind of a pulse that was not there before.
pub(super) const PULSE_NEW: &str = "put-pulse";

/// Operations so far, by table and kind.
#[derive(Clone, Default)]
pub(super) struct Counts(Arc<Mutex<BTreeMap<String, Sizes>>>);

impl Counts {
    fn add(&self, table: &str, kind: &str, bytes: usize) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(format!("{table}/{kind}")).or_default().entry(step(bytes)).or_default() += 1;
    }

    pub(super) fn read(&self) -> BTreeMap<String, Sizes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Serves the database. It blocks: this belongs on a thread of its own.
pub(super) async fn start(
    listener: std::net::TcpListener,
    database: Database,
    stream: Stream,
    counts: Counts,
) -> Result<Server> {
    let answer = move |request| {
        let (database, stream, counts) = (database.clone(), stream.clone(), counts.clone());
        async move { Ok::<_, Infallible>(answer(&database, &stream, &counts, request).await) }
    };
    Server::start(tokio::net::TcpListener::from_std(listener)?, service_fn(answer))
}

async fn answer(
    database: &Database,
    stream: &Stream,
    counts: &Counts,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
    let is_of_stream = target == Some("DynamoDBStreams_20120810.DescribeStream");
    let operation = target.and_then(|target| target.strip_prefix("DynamoDB_20120810.")).unwrap_or_default().to_owned();
    let result = match Limited::new(request.into_body(), REQUEST_BYTES).collect().await {
        Ok(body) if is_of_stream => describe(stream, &body.to_bytes()),
        Ok(body) => run(database, counts, &operation, &body.to_bytes()),
        Err(_broken) => Err(malformed()),
    };
    let (status, body) = match result {
        Ok(body) => (StatusCode::OK, body),
        Err(error) => (StatusCode::from_u16(error.status_code()).unwrap_or(StatusCode::BAD_REQUEST), error.to_json()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
    response
}

fn run(database: &Database, counts: &Counts, operation: &str, body: &[u8]) -> Result<String, DynoxideError> {
    match operation {
        "PutItem" => {
            let mut request: dynoxide::actions::put_item::PutItemRequest = parse(body)?;
            let (table, bytes) = (request.table_name.clone(), item_size(&request.item));
            if is_pulse(&request.item) {
                request.return_values = Some("ALL_OLD".to_owned());
                let put = database.put_item(request)?;
                counts.add(&table, if put.attributes.is_none() { PULSE_NEW } else { "put-pulse-again" }, bytes);
                return Ok("{}".to_owned());
            }
            let put = database.put_item(request);
            match &put {
                Ok(_) => counts.add(&table, "put", bytes),
                // Billed, too.
                Err(DynoxideError::ConditionalCheckFailedException(..)) => counts.add(&table, "put-refused", bytes),
                Err(_) => {}
            }
            text(&put?)
        }
        "DeleteItem" => {
            let mut request: dynoxide::actions::delete_item::DeleteItemRequest = parse(body)?;
            let table = request.table_name.clone();
            // Billed by the size of what is deleted; one that is refused by the least.
            request.return_values = Some("ALL_OLD".to_owned());
            let deleted = database.delete_item(request);
            match &deleted {
                Ok(deleted) => counts.add(&table, "delete", deleted.attributes.as_ref().map_or(0, item_size)),
                Err(DynoxideError::ConditionalCheckFailedException(..)) => counts.add(&table, "delete-refused", 0),
                Err(_) => {}
            }
            deleted.map(|_| "{}".to_owned())
        }
        "GetItem" => {
            let request: dynoxide::actions::get_item::GetItemRequest = parse(body)?;
            let (table, kind) = (request.table_name.clone(), read("get", request.consistent_read));
            let found = database.get_item(request)?;
            counts.add(&table, kind, found.item.as_ref().map_or(0, item_size));
            text(&found)
        }
        "Query" => {
            let request: dynoxide::actions::query::QueryRequest = parse(body)?;
            let (table, kind) = (request.table_name.clone(), read("query", request.consistent_read));
            let found = database.query(request)?;
            counts.add(&table, kind, found.items.iter().flatten().map(|item: &Item| item_size(item)).sum());
            text(&found)
        }
        "TransactWriteItems" => {
            let mut request: TransactWriteItemsRequest = parse(body)?;
            // The store's own count, for only it knows what was there before: the larger of both is billed.
            request.return_consumed_capacity = Some("TOTAL".to_owned());
            let actions = actions(&request);
            let mut written = database.transact_write_items(request);
            match &mut written {
                Ok(written) => {
                    for used in written.consumed_capacity.take().into_iter().flatten() {
                        counts.add(&used.table_name, "transact", bytes_of(used.capacity_units));
                    }
                }
                // Of these it tells nothing. A refused put is billed as if it were made, so each action here is, too.
                Err(DynoxideError::TransactionCanceledException(..)) => {
                    for (table, bytes) in actions {
                        counts.add(&table, "transact-cancelled", bytes);
                    }
                }
                Err(_) => {}
            }
            text(&written?)
        }
        other => {
            Err(DynoxideError::ValidationException(format!("{other:?} is none of the operations that are served here")))
        }
    }
}

/// `DescribeStream`, which is not billed.
fn describe(stream: &Stream, body: &[u8]) -> Result<String, DynoxideError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Describe {
        stream_arn: String,
        exclusive_start_shard_id: Option<String>,
    }
    let Describe { stream_arn, exclusive_start_shard_id } = parse(body)?;
    if stream_arn != stream.arn() {
        return Err(DynoxideError::ResourceNotFoundException(format!(
            "Requested resource not found: Stream: {stream_arn}"
        )));
    }
    let described = stream.describe(exclusive_start_shard_id.as_deref());
    text(&described.map_err(|error| DynoxideError::InternalServerError(format!("{error:#}")))?)
}

/// Whether the item is a pulse: its key names no tenant.
fn is_pulse(item: &Item) -> bool {
    matches!(item.get("pk"), Some(AttributeValue::S(key)) if key.starts_with('#'))
}

/// The table of each action of a transaction, and the bytes of the item that it puts or of the key that it is about.
fn actions(request: &TransactWriteItemsRequest) -> Vec<(String, usize)> {
    let actions = request.transact_items.iter();
    let sizes = actions.filter_map(|TransactWriteItem { put, delete, update, condition_check }| {
        let put = put.as_ref().map(|put| (&put.table_name, &put.item));
        let delete = || delete.as_ref().map(|delete| (&delete.table_name, &delete.key));
        let update = || update.as_ref().map(|update| (&update.table_name, &update.key));
        let check = || condition_check.as_ref().map(|check| (&check.table_name, &check.key));
        put.or_else(delete).or_else(update).or_else(check)
    });
    sizes.map(|(table, item)| (table.clone(), item_size(item))).collect()
}

/// The bytes that a transaction's write units stand for: two units for each step of each item's size.
fn bytes_of(units: f64) -> usize {
    units as usize / 2 * SIZE_STEP as usize
}

/// The kind of a read: half as much is billed where it may miss what was just written.
fn read(kind: &'static str, consistent: Option<bool>) -> &'static str {
    match (kind, consistent) {
        (kind, Some(true)) => kind,
        ("get", _) => "get-eventual",
        _ => "query-eventual",
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, DynoxideError> {
    serde_json::from_slice(body).map_err(|error| {
        let said = error.to_string();
        // dynoxide marks what it has found out itself.
        match said.strip_prefix("VALIDATION:").or_else(|| said.strip_prefix("VALIDATION_REQUEST:")) {
            Some(invalid) => DynoxideError::ValidationException(invalid.to_owned()),
            None => DynoxideError::SerializationException(said),
        }
    })
}

fn text(answer: &impl Serialize) -> Result<String, DynoxideError> {
    serde_json::to_string(answer).map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}

fn malformed() -> DynoxideError {
    DynoxideError::SerializationException("the request is too large, or broke off".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_counted_by_size_and_answered() {
        let database = Database::memory().unwrap();
        let table = serde_json::json!({
            "TableName": "table",
            "KeySchema": [{ "AttributeName": "pk", "KeyType": "HASH" }],
            "AttributeDefinitions": [{ "AttributeName": "pk", "AttributeType": "S" }],
            "BillingMode": "PAY_PER_REQUEST",
        });
        database.create_table(serde_json::from_value(table).unwrap()).unwrap();
        let counts = Counts::default();
        let call = |operation: &str, request: serde_json::Value| {
            run(&database, &counts, operation, request.to_string().as_bytes())
        };
        let put = |key: &str, length: usize| {
            serde_json::json!({
                "TableName": "table",
                "Item": { "pk": { "S": key }, "x": { "S": "x".repeat(length) } },
                "ConditionExpression": "attribute_not_exists(pk)",
            })
        };
        call("PutItem", put("a", 10)).unwrap();
        call("PutItem", put("b", 1500)).unwrap();
        let refused = call("PutItem", put("a", 10)).unwrap_err();
        assert_eq!(refused.status_code(), 400);
        assert!(refused.to_json().contains("ConditionalCheckFailedException"), "{}", refused.to_json());
        let key = |consistent: bool| serde_json::json!({ "TableName": "table", "Key": { "pk": { "S": "b" } }, "ConsistentRead": consistent });
        assert!(call("GetItem", key(true)).unwrap().contains("xxx"));
        call("GetItem", key(false)).unwrap();
        let transaction = serde_json::json!({ "TransactItems": [{ "Put": put("c", 3000) }, { "Put": put("d", 1) }] });
        call("TransactWriteItems", transaction.clone()).unwrap();
        assert!(
            call("TransactWriteItems", transaction).unwrap_err().to_json().contains("TransactionCanceledException")
        );
        // What was there is larger than what replaces it, or than the key of what is gone.
        let smaller = serde_json::json!({ "TableName": "table", "Item": { "pk": { "S": "c" } } });
        let gone = serde_json::json!({ "TableName": "table", "Key": { "pk": { "S": "b" } } });
        let transaction = serde_json::json!({ "TransactItems": [{ "Put": smaller }, { "Delete": gone }] });
        assert_eq!(call("TransactWriteItems", transaction).unwrap(), "{}");
        let query = serde_json::json!({
            "TableName": "table", "ConsistentRead": true, "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": { ":pk": { "S": "c" } },
        });
        assert!(call("Query", query).unwrap().contains(r#""Count":1"#));
        let counted = [
            ("table/get", vec![(2048, 1)]),
            ("table/get-eventual", vec![(2048, 1)]),
            ("table/put", vec![(1024, 1), (2048, 1)]),
            ("table/put-refused", vec![(1024, 1)]),
            ("table/query", vec![(1024, 1)]),
            ("table/transact", vec![(4096, 1), (5120, 1)]),
            ("table/transact-cancelled", vec![(1024, 1), (3072, 1)]),
        ];
        let counted = counted.map(|(name, sizes)| (name.to_owned(), sizes.into_iter().collect()));
        assert_eq!(counts.read(), BTreeMap::from(counted));
        assert!(call("Scan", serde_json::json!({})).is_err());
        let invalid =
            call("GetItem", serde_json::json!({ "TableName": "t", "Key": { "pk": { "S": "b" } } })).unwrap_err();
        assert!(!invalid.to_json().contains("VALIDATION"), "{}", invalid.to_json());
    }
}
