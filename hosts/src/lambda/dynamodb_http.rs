//! DynamoDB's protocol over dynoxide, as far as functions use it. Each operation is counted by its size, as DynamoDB
//! bills it, and uses up its partition's throughput.
//!
//! dynoxide itself enforces DynamoDB's limits of items (400 KB) and transactions (100 actions, 4 MB).
//!
//! dynoxide has its own server, but that leaves no place to count. A proxy between it and the functions would
//! distort every measurement.

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

use super::stream::Stream;
use super::throughput::{Access, Partition, Throughput, read_units, write_units};
use crate::meters::count::step;
use crate::meters::{SIZE_STEP, Sizes};
use crate::server::Server;

/// The largest request that DynamoDB accepts: 16 MB.
const REQUEST_BYTES: usize = 16 * 1024 * 1024;

/// The bytes of a consistent read that one unit pays for.
const READ_BYTES: f64 = 4096.0;

/// The name of the partition key in all tables here.
const KEY: &str = "pk";
/// The kind of a put that adds a new item that is no event: a pulse or a shape.
pub(super) const OTHER_NEW: &str = "put-other";

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

/// The state behind the server.
#[derive(Clone)]
pub(super) struct Tables {
    pub(super) database: Database,
    pub(super) counts: Counts,
    pub(super) throughput: Throughput,
    /// Held during an operation: what is counted is then what is stored.
    pub(super) operating: Arc<Mutex<()>>,
}

/// Serves the tables and the stream of one table. It blocks, so run it on a thread of its own.
pub(super) async fn start(listener: std::net::TcpListener, tables: Tables, stream: Stream) -> Result<Server> {
    let answer = move |request| {
        let (tables, stream) = (tables.clone(), stream.clone());
        async move { Ok::<_, Infallible>(answer(&tables, &stream, request).await) }
    };
    Server::start(tokio::net::TcpListener::from_std(listener)?, service_fn(answer))
}

async fn answer(tables: &Tables, stream: &Stream, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
    let is_of_stream = target == Some("DynamoDBStreams_20120810.DescribeStream");
    let operation = target.and_then(|target| target.strip_prefix("DynamoDB_20120810.")).unwrap_or_default().to_owned();
    let result = match Limited::new(request.into_body(), REQUEST_BYTES).collect().await {
        Ok(body) if is_of_stream => describe(stream, &body.to_bytes()),
        Ok(body) => run(tables, &operation, &body.to_bytes()),
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

fn run(tables: &Tables, operation: &str, body: &[u8]) -> Result<String, DynoxideError> {
    let Tables { database, counts, throughput, operating } = tables;
    let _one_at_a_time = operating.lock().unwrap_or_else(PoisonError::into_inner);
    match operation {
        "PutItem" => {
            let mut request: dynoxide::actions::put_item::PutItemRequest = parse(body)?;
            let (table, bytes) = (request.table_name.clone(), item_size(&request.item));
            let partition = throughput.partition(&table, request.item.get(KEY), Access::Write);
            throughput.admit(&partition)?;
            throughput.take(&partition, write_units(bytes));
            let is_other = is_other(&request.item);
            if is_other {
                request.return_values = Some("ALL_OLD".to_owned());
            }
            let mut put = database.put_item(request);
            // The function did not ask for the item that was there.
            let was_there = is_other && put.as_mut().is_ok_and(|put| put.attributes.take().is_some());
            let kind = match &put {
                Ok(_) if was_there => "put-other-again",
                Ok(_) if is_other => OTHER_NEW,
                Ok(_) => "put",
                // DynamoDB also bills refused puts.
                Err(DynoxideError::ConditionalCheckFailedException(..)) => "put-refused",
                Err(_) => return text(&put?),
            };
            counts.add(&table, kind, bytes);
            text(&put?)
        }
        "DeleteItem" => {
            let mut request: dynoxide::actions::delete_item::DeleteItemRequest = parse(body)?;
            let table = request.table_name.clone();
            let partition = throughput.partition(&table, request.key.get(KEY), Access::Write);
            throughput.admit(&partition)?;
            // DynamoDB bills a delete by the size of the deleted item, and a refused delete by the smallest size.
            request.return_values = Some("ALL_OLD".to_owned());
            let deleted = database.delete_item(request);
            let bytes = deleted.as_ref().ok().and_then(|deleted| deleted.attributes.as_ref()).map_or(0, item_size);
            throughput.take(&partition, write_units(bytes));
            match &deleted {
                Ok(_) => counts.add(&table, "delete", bytes),
                Err(DynoxideError::ConditionalCheckFailedException(..)) => counts.add(&table, "delete-refused", 0),
                Err(_) => {}
            }
            deleted.map(|_| "{}".to_owned())
        }
        "GetItem" => {
            let request: dynoxide::actions::get_item::GetItemRequest = parse(body)?;
            let (table, is_consistent) = (request.table_name.clone(), request.consistent_read);
            let partition = throughput.partition(&table, request.key.get(KEY), Access::Read);
            throughput.admit(&partition)?;
            let found = database.get_item(request)?;
            let bytes = found.item.as_ref().map_or(0, item_size);
            throughput.take(&partition, read_units(bytes, is_consistent));
            counts.add(&table, read("get", is_consistent), bytes);
            text(&found)
        }
        "Query" => {
            let request: dynoxide::actions::query::QueryRequest = parse(body)?;
            let (table, is_consistent) = (request.table_name.clone(), request.consistent_read);
            // The functions here name their partition key `:pk` in a query.
            let key = request.expression_attribute_values.as_ref().and_then(|values| values.get(":pk"));
            let partition = throughput.partition(&table, key, Access::Read);
            throughput.admit(&partition)?;
            let found = database.query(request)?;
            let bytes = found.items.iter().flatten().map(|item: &Item| item_size(item)).sum();
            throughput.take(&partition, read_units(bytes, is_consistent));
            counts.add(&table, read("query", is_consistent), bytes);
            text(&found)
        }
        "Scan" => {
            let mut request: dynoxide::actions::scan::ScanRequest = parse(body)?;
            let (table, is_consistent) = (request.table_name.clone(), request.consistent_read);
            // A page of a scan is read from the partition that its first key is in, or from the next ones.
            let start = request.exclusive_start_key.as_ref().and_then(|key| key.get(KEY));
            let partition = throughput.partition(&table, start, Access::Read);
            throughput.admit(&partition)?;
            // What the filter leaves out is billed, too, and only the store knows it.
            request.return_consumed_capacity = Some("TOTAL".to_owned());
            let mut found = database.scan(request)?;
            let units = found.consumed_capacity.take().map_or(0.0, |used| used.capacity_units);
            throughput.take(&partition, units);
            let bytes = units * READ_BYTES / if is_consistent == Some(true) { 1.0 } else { 0.5 };
            counts.add(&table, read("query", is_consistent), bytes as usize);
            text(&found)
        }
        "TransactWriteItems" => {
            let mut request: TransactWriteItemsRequest = parse(body)?;
            // The larger of the old and the new item is billed. Only the store knows both, so use its count.
            request.return_consumed_capacity = Some("TOTAL".to_owned());
            let actions = actions(&request);
            let partition = |(table, key, _): &(String, Option<AttributeValue>, usize)| {
                throughput.partition(table, key.as_ref(), Access::Write)
            };
            let partitions: Vec<Partition> = actions.iter().map(partition).collect();
            throughput.admit_all(&partitions)?;
            for (partition, (.., bytes)) in partitions.iter().zip(&actions) {
                // A transaction uses twice the units: once to prepare and once to commit.
                throughput.take(partition, 2.0 * write_units(*bytes));
            }
            let mut written = database.transact_write_items(request);
            match &mut written {
                Ok(written) => {
                    for used in written.consumed_capacity.take().into_iter().flatten() {
                        counts.add(&used.table_name, "transact", bytes_of(used.capacity_units));
                    }
                }
                // The store reports no units here. DynamoDB bills a refused put as if it were made, so each action
                // counts the same way.
                Err(DynoxideError::TransactionCanceledException(..)) => {
                    for (table, _, bytes) in actions {
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

/// Answers `DescribeStream`, which is not billed.
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

/// Whether the item is no event: a pulse or a shape. Its key names no tenant.
fn is_other(item: &Item) -> bool {
    matches!(item.get(KEY), Some(AttributeValue::S(key)) if key.starts_with('#'))
}

/// For each action of a transaction: its table, the key of its partition, and the size in bytes. The size is that of
/// the item for a put, and that of the key for other actions.
fn actions(request: &TransactWriteItemsRequest) -> Vec<(String, Option<AttributeValue>, usize)> {
    let actions = request.transact_items.iter();
    let sizes = actions.filter_map(|TransactWriteItem { put, delete, update, condition_check }| {
        let put = put.as_ref().map(|put| (&put.table_name, &put.item));
        let delete = || delete.as_ref().map(|delete| (&delete.table_name, &delete.key));
        let update = || update.as_ref().map(|update| (&update.table_name, &update.key));
        let check = || condition_check.as_ref().map(|check| (&check.table_name, &check.key));
        put.or_else(delete).or_else(update).or_else(check)
    });
    sizes.map(|(table, item)| (table.clone(), item.get(KEY).cloned(), item_size(item))).collect()
}

/// The bytes that a transaction's write units stand for. Each item is billed two units per step of its size.
fn bytes_of(units: f64) -> usize {
    units as usize / 2 * SIZE_STEP as usize
}

/// The kind of a read. An eventually consistent read, which may miss the latest writes, is billed half as much.
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
        // dynoxide marks its own validation errors with these prefixes.
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
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::super::throughput::ThroughputSettings;
    use super::*;

    fn tables() -> Tables {
        let database = Database::memory().unwrap();
        let (counts, throughput) = (Counts::default(), Throughput::new(ThroughputSettings::default()));
        let tables = Tables { database, counts, throughput, operating: Arc::default() };
        let table = json!({
            "TableName": "table",
            "KeySchema": [{ "AttributeName": "pk", "KeyType": "HASH" }],
            "AttributeDefinitions": [{ "AttributeName": "pk", "AttributeType": "S" }],
            "BillingMode": "PAY_PER_REQUEST",
        });
        tables.database.create_table(serde_json::from_value(table).unwrap()).unwrap();
        tables
    }

    /// A put of an item with an attribute of this length, on condition that the key is new.
    fn put(key: &str, length: usize) -> Value {
        json!({
            "TableName": "table",
            "Item": { "pk": { "S": key }, "x": { "S": "x".repeat(length) } },
            "ConditionExpression": "attribute_not_exists(pk)",
        })
    }

    #[test]
    fn operations_are_counted_by_size_and_answered() {
        let tables = tables();
        let call = |operation: &str, request: Value| run(&tables, operation, request.to_string().as_bytes());
        call("PutItem", put("a", 10)).unwrap();
        call("PutItem", put("b", 1500)).unwrap();
        let refused = call("PutItem", put("a", 10)).unwrap_err();
        assert_eq!(refused.status_code(), 400);
        assert!(refused.to_json().contains("ConditionalCheckFailedException"), "{}", refused.to_json());
        let key = |consistent: bool| json!({ "TableName": "table", "Key": { "pk": { "S": "b" } }, "ConsistentRead": consistent });
        assert!(call("GetItem", key(true)).unwrap().contains("xxx"));
        call("GetItem", key(false)).unwrap();
        let transaction = json!({ "TransactItems": [{ "Put": put("c", 3000) }, { "Put": put("d", 1) }] });
        call("TransactWriteItems", transaction.clone()).unwrap();
        assert!(
            call("TransactWriteItems", transaction).unwrap_err().to_json().contains("TransactionCanceledException")
        );
        // The old item is larger than the new one, and the deleted item is larger than its key.
        let smaller = json!({ "TableName": "table", "Item": { "pk": { "S": "c" } } });
        let gone = json!({ "TableName": "table", "Key": { "pk": { "S": "b" } } });
        let transaction = json!({ "TransactItems": [{ "Put": smaller }, { "Delete": gone }] });
        assert_eq!(call("TransactWriteItems", transaction).unwrap(), "{}");
        let delete = |key: &str, condition: &str| {
            let key = json!({ "pk": { "S": key } });
            json!({ "TableName": "table", "Key": key, "ConditionExpression": condition })
        };
        call("PutItem", put("e", 2500)).unwrap();
        let refused = call("DeleteItem", delete("e", "attribute_not_exists(pk)")).unwrap_err();
        assert!(refused.to_json().contains("ConditionalCheckFailedException"), "{}", refused.to_json());
        assert_eq!(call("DeleteItem", delete("e", "attribute_exists(x)")).unwrap(), "{}");
        assert_eq!(call("DeleteItem", delete("e", "attribute_not_exists(x)")).unwrap(), "{}", "there is none");
        let query = json!({
            "TableName": "table", "ConsistentRead": true, "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": { ":pk": { "S": "c" } },
        });
        assert!(call("Query", query).unwrap().contains(r#""Count":1"#));
        let counted = [
            ("table/delete", vec![(1024, 1), (3072, 1)]),
            ("table/delete-refused", vec![(1024, 1)]),
            ("table/get", vec![(2048, 1)]),
            ("table/get-eventual", vec![(2048, 1)]),
            ("table/put", vec![(1024, 1), (2048, 1), (3072, 1)]),
            ("table/put-refused", vec![(1024, 1)]),
            ("table/query", vec![(1024, 1)]),
            ("table/transact", vec![(4096, 1), (5120, 1)]),
            ("table/transact-cancelled", vec![(1024, 1), (3072, 1)]),
        ];
        let counted = counted.map(|(name, sizes)| (name.to_owned(), sizes.into_iter().collect()));
        assert_eq!(tables.counts.read(), BTreeMap::from(counted));
        assert!(call("Scan", json!({})).is_err());
        let invalid = call("GetItem", json!({ "TableName": "t", "Key": { "pk": { "S": "b" } } })).unwrap_err();
        assert!(!invalid.to_json().contains("VALIDATION"), "{}", invalid.to_json());
    }

    #[test]
    fn limits_are_those_of_dynamodb() {
        let tables = tables();
        let call = |operation: &str, request: Value| run(&tables, operation, request.to_string().as_bytes());
        // The names of the attributes count too.
        let largest = 400 * 1024 - "pk".len() - "a".len() - "x".len();
        call("PutItem", put("a", largest)).unwrap();
        let refused = call("PutItem", put("b", largest + 1)).unwrap_err().to_json();
        assert!(refused.contains("ValidationException") && refused.contains("size"), "{refused}");
        let transaction = |count: usize, length: usize| {
            let puts: Vec<Value> =
                (0..count).map(|n| json!({ "Put": put(&format!("{count}-{n:03}"), length) })).collect();
            json!({ "TransactItems": puts })
        };
        call("TransactWriteItems", transaction(100, 1)).unwrap();
        let refused = call("TransactWriteItems", transaction(101, 1)).unwrap_err().to_json();
        assert!(refused.contains("ValidationException") && refused.contains("100"), "{refused}");
        call("TransactWriteItems", transaction(11, 380_000)).unwrap();
        let refused = call("TransactWriteItems", transaction(12, 380_000)).unwrap_err().to_json();
        assert!(refused.contains("ValidationException"), "{refused}");
    }

    #[test]
    fn a_partition_that_has_nothing_left_refuses_and_counts_nothing() {
        let settings = ThroughputSettings { partitions: 1, write_units: 0.001, ..ThroughputSettings::default() };
        let throughput = Throughput::new(ThroughputSettings { burst: Duration::ZERO, ..settings });
        let tables = Tables { throughput, ..tables() };
        let call = |operation: &str, request: Value| run(&tables, operation, request.to_string().as_bytes());
        call("PutItem", put("a", 10)).unwrap();
        let key = json!({ "TableName": "table", "Key": { "pk": { "S": "a" } } });
        for (operation, request) in [
            ("PutItem", put("b", 10)),
            ("DeleteItem", key.clone()),
            ("TransactWriteItems", json!({ "TransactItems": [{ "Put": put("c", 1) }] })),
        ] {
            let refused = call(operation, request).unwrap_err().to_json();
            assert!(refused.contains("Throughput exceeds"), "{operation}: {refused}");
        }
        assert!(call("GetItem", key).unwrap().contains("xxx"), "reading has units of its own");
        assert_eq!(
            tables.counts.read().keys().map(String::as_str).collect::<Vec<_>>(),
            ["table/get-eventual", "table/put"]
        );
    }
}
