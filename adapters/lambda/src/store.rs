//! The event store: one DynamoDB table, one item an event.
//!
//! | attribute | type | |
//! | --- | --- | --- |
//! | `pk` | S, partition key | `tenant#eventId`: ids are spread evenly, so no partition gets hot |
//! | `digest` | B | tells a repetition from a conflict |
//! | `record` | S | the event as it is answered |
//! | `occurredAt`, `receivedAt` | N | milliseconds |
//! | `ttl` | N | seconds, as DynamoDB wants it; it deletes the item some time after |
//! | `putBy` | B | the request that put it, so that a retried put knows its own item |

use std::sync::OnceLock;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;
use aws_sdk_dynamodb::config::retry::{RetryPartition, TokenBucket};
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use isotherm_core::{Digest, EventId, FindOutcome, NewEvent, StoreOutcome, Tenant};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::aws::{environment, settings};
use crate::backup::Bucket;
use crate::dead_letters::DeadLetters;

/// How many requests of an invocation are under way at once. Each has a connection of its own, and its TLS handshake on a cold start.
pub(crate) const CONCURRENCY: usize = 32;
/// The tables and a client that is made when it is first needed; and what `aggregate` needs beside them.
pub(crate) struct Store {
    table: String,
    pub(crate) rollups: String,
    client: OnceLock<Client>,
    pub(crate) backup: Option<Bucket>,
    pub(crate) dead_letters: DeadLetters,
}

impl Store {
    /// What the environment names.
    pub(crate) fn of_environment() -> Self {
        let table = environment("ISOTHERM_TABLE").unwrap_or_else(|| "events".to_owned());
        let rollups = environment("ISOTHERM_ROLLUPS").unwrap_or_else(|| "rollups".to_owned());
        let (backup, dead_letters) = (Bucket::of_environment(), DeadLetters::of_environment());
        Self { table, rollups, client: OnceLock::new(), backup, dead_letters }
    }

    /// Puts each event unless its key is taken, and says what became of each when the deadline comes.
    pub(crate) async fn keep(
        &self,
        tenant: &Tenant,
        events: &[NewEvent],
        entropy: u128,
        deadline: Instant,
    ) -> Vec<StoreOutcome> {
        let put_by = Blob::new(entropy.to_be_bytes());
        let mut outcomes = vec![StoreOutcome::Later; events.len()];
        let mut waiting = events.iter().enumerate();
        let mut under_way = JoinSet::new();
        let all = async {
            loop {
                for (at, event) in waiting.by_ref().take(CONCURRENCY - under_way.len()) {
                    let put = self.put(tenant, event, put_by.clone());
                    let put_by = put_by.clone();
                    under_way.spawn(async move { (at, outcome(put, &put_by).await) });
                }
                match under_way.join_next().await {
                    Some(Ok((at, outcome))) => outcomes[at] = outcome,
                    Some(Err(lost)) => eprintln!("a put was lost: {lost}"),
                    None => break,
                }
            }
        };
        if timeout_at(deadline, all).await.is_err() {
            eprintln!("the invocation's deadline came before DynamoDB had answered every put");
        }
        outcomes
    }

    /// Looks one event up, as it is after every write that was answered before.
    pub(crate) async fn find(&self, tenant: &Tenant, id: EventId, deadline: Instant) -> FindOutcome {
        let get =
            self.client().get_item().table_name(&self.table).key("pk", key(tenant, id)).consistent_read(true).send();
        let item = match timeout_at(deadline, get).await {
            Ok(Ok(output)) => output.item,
            Ok(Err(error)) => {
                eprintln!("cannot get an event: {}", DisplayErrorContext(error));
                return FindOutcome::Later;
            }
            Err(_elapsed) => return FindOutcome::Later,
        };
        let record = item.map(|mut item| item.remove("record"));
        match record {
            Some(Some(AttributeValue::S(record))) => FindOutcome::Found(record),
            Some(_) => {
                eprintln!("the item of {id} has no record: something else writes to table {}", self.table);
                FindOutcome::Later
            }
            None => FindOutcome::Absent,
        }
    }

    fn put(&self, tenant: &Tenant, event: &NewEvent, put_by: Blob) -> PutItemFluentBuilder {
        let number = |number: u64| AttributeValue::N(number.to_string());
        self.client()
            .put_item()
            .table_name(&self.table)
            .item("pk", key(tenant, event.id))
            .item("digest", AttributeValue::B(Blob::new(event.digest.to_bytes())))
            .item("record", AttributeValue::S(event.record.clone()))
            .item("occurredAt", number(event.occurred_at.0))
            .item("receivedAt", number(event.received_at.0))
            .item("ttl", number(event.expires_at.0))
            .item("putBy", AttributeValue::B(put_by))
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }

    pub(crate) fn client(&self) -> &Client {
        self.client.get_or_init(|| connect(environment))
    }
}

/// Sends one put, and again while DynamoDB throttles or fails.
async fn outcome(put: PutItemFluentBuilder, put_by: &Blob) -> StoreOutcome {
    let error = match put.send().await {
        Ok(_) => return StoreOutcome::Stored,
        Err(error) => error,
    };
    let Some(PutItemError::ConditionalCheckFailedException(taken)) = error.as_service_error() else {
        eprintln!("cannot put an event: {}", DisplayErrorContext(error));
        return StoreOutcome::Later;
    };
    let blob = |name| taken.item()?.get(name)?.as_b().ok();
    if blob("putBy") == Some(put_by) {
        // An earlier attempt of this very put got through, and its answer got lost.
        return StoreOutcome::Stored;
    }
    match blob("digest").and_then(|digest| digest.as_ref().try_into().ok()) {
        Some(digest) => StoreOutcome::Existing(Digest::from_bytes(digest)),
        None => {
            eprintln!("an item has no digest: something else writes to this table");
            StoreOutcome::Later
        }
    }
}

fn key(tenant: &Tenant, id: EventId) -> AttributeValue {
    AttributeValue::S(format!("{}#{id}", tenant.as_str()))
}

fn connect(variable: impl Fn(&str) -> Option<String>) -> Client {
    let config = Builder::from(&settings("DYNAMODB", variable))
        // The usual bucket would end the retries of a throttled batch after a hundred of them.
        .retry_partition(RetryPartition::custom("events").token_bucket(TokenBucket::unlimited()).build());
    Client::from_conf(config.build())
}

/// The SDK against a DynamoDB that throttles, fails and loses answers, which the emulated one does not do.
#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write as _};
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use isotherm_core::{Admission, Config, Millis, Plan, Request, Service, Stamp, StorePlan};
    use serde_json::{Value, json};

    use super::*;

    /// What the server does with one request.
    enum Act {
        Answer(u16, Value),
        /// Closes the connection.
        Hang,
    }

    /// Counts of a running server.
    #[derive(Default)]
    struct Seen {
        requests: AtomicUsize,
        under_way: AtomicUsize,
        most: AtomicUsize,
    }

    fn put_done() -> Act {
        Act::Answer(200, json!({}))
    }

    fn throttled() -> Act {
        let kind = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException";
        Act::Answer(400, json!({ "__type": kind, "message": "slow down" }))
    }

    fn taken(item: &Value) -> Act {
        let kind = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";
        Act::Answer(400, json!({ "__type": kind, "message": "The conditional request failed", "Item": item }))
    }

    /// A DynamoDB that does as `act` says with the number and the body of each request.
    fn serve(act: impl Fn(usize, Value) -> Act + Send + Sync + 'static) -> (Store, Arc<Seen>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (act, seen) = (Arc::new(act), Arc::new(Seen::default()));
        let counts = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (act, counts) = (Arc::clone(&act), Arc::clone(&counts));
                std::thread::spawn(move || {
                    let stream = stream.unwrap();
                    stream.set_nodelay(true).unwrap();
                    let mut reader = BufReader::new(&stream);
                    while let Some(body) = request(&mut reader) {
                        let under_way = counts.under_way.fetch_add(1, Ordering::SeqCst) + 1;
                        counts.most.fetch_max(under_way, Ordering::SeqCst);
                        let acted = act(counts.requests.fetch_add(1, Ordering::SeqCst), body);
                        counts.under_way.fetch_sub(1, Ordering::SeqCst);
                        let Act::Answer(status, answer) = acted else { return };
                        let answer = answer.to_string();
                        let head = format!(
                            "HTTP/1.1 {status} x\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\r\n",
                            answer.len()
                        );
                        (&stream).write_all((head + &answer).as_bytes()).unwrap();
                    }
                });
            }
        });
        let variable = move |name: &str| match name {
            "AWS_ENDPOINT_URL_DYNAMODB" => Some(url.clone()),
            "AWS_REGION" => Some("eu-central-1".to_owned()),
            "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => Some("test".to_owned()),
            _ => None,
        };
        let (table, rollups) = ("events".to_owned(), "rollups".to_owned());
        let (client, dead_letters) = (OnceLock::from(connect(variable)), DeadLetters::of_environment());
        (Store { table, rollups, client, backup: None, dead_letters }, seen)
    }

    fn request(reader: &mut impl std::io::BufRead) -> Option<Value> {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().unwrap(),
                None if line == "\r\n" => break,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        serde_json::from_slice(&body).ok()
    }

    /// The plan of a batch with this many events.
    fn plan(events: usize) -> StorePlan {
        let events: Vec<Value> =
            (0..events).map(|n| json!({ "userId": "u", "eventType": "t", "properties": { "n": n } })).collect();
        let body = json!({ "events": events }).to_string();
        let request = Request {
            method: "POST",
            path: "/events/batch",
            query: "",
            headers: vec![("content-type", "application/json".to_owned())],
            body: body.as_bytes(),
        };
        let stamp = Stamp { received_at: Millis(1_763_690_000_000), entropy: 7 };
        match Service::new(Config::parse("").unwrap()).admit(&request, stamp) {
            Admission::Plan(Plan::Store(plan)) => plan,
            other => panic!("no plan to store: {other:?}"),
        }
    }

    async fn keep(store: &Store, events: usize, within: Duration) -> Vec<StoreOutcome> {
        let plan = plan(events);
        store.keep(plan.tenant(), plan.events(), 7, Instant::now() + within).await
    }

    #[tokio::test]
    async fn a_batch_is_put_in_parallel_up_to_a_bound() {
        let (store, seen) = serve(|_, put| {
            assert_eq!(put["ConditionExpression"], "attribute_not_exists(pk)");
            assert_eq!(put["ReturnValuesOnConditionCheckFailure"], "ALL_OLD");
            assert!(put["Item"]["pk"]["S"].as_str().unwrap().starts_with("default#evt_"));
            // 90 days after the stamp, in seconds.
            assert_eq!(put["Item"]["ttl"], json!({ "N": "1771466000" }));
            assert_eq!(put["Item"]["receivedAt"], json!({ "N": "1763690000000" }));
            std::thread::sleep(Duration::from_millis(2));
            put_done()
        });
        let outcomes = keep(&store, 500, Duration::from_secs(20)).await;
        assert_eq!(outcomes, vec![StoreOutcome::Stored; 500]);
        assert_eq!(seen.requests.load(Ordering::SeqCst), 500);
        let most = seen.most.load(Ordering::SeqCst);
        assert!((2..=CONCURRENCY).contains(&most), "{most} at once");
    }

    #[tokio::test]
    async fn throttled_and_failed_puts_are_made_again() {
        let (store, seen) = serve(|number, _| match number {
            0 | 2 => throttled(),
            1 => Act::Answer(500, json!({ "__type": "com.amazonaws.dynamodb.v20120810#InternalServerError" })),
            3 => Act::Hang,
            _ => put_done(),
        });
        assert_eq!(keep(&store, 1, Duration::from_secs(20)).await, [StoreOutcome::Stored]);
        assert_eq!(seen.requests.load(Ordering::SeqCst), 5);
    }

    #[tokio::test]
    async fn at_the_deadline_what_is_not_known_is_for_later() {
        let (store, seen) = serve(|_, put| match put["Item"]["record"]["S"].as_str().unwrap().contains(r#""n":0"#) {
            true => put_done(),
            false => throttled(),
        });
        let started = Instant::now();
        let outcomes = keep(&store, 3, Duration::from_millis(700)).await;
        assert_eq!(outcomes, [StoreOutcome::Stored, StoreOutcome::Later, StoreOutcome::Later]);
        assert!((700..1500).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
        assert!(seen.requests.load(Ordering::SeqCst) > 5, "it went on trying");
    }

    #[tokio::test]
    async fn what_cannot_succeed_is_not_tried_again() {
        let denied =
            || Act::Answer(400, json!({ "__type": "com.amazon.coral.service#AccessDeniedException", "message": "no" }));
        let (store, seen) = serve(move |_, _| denied());
        assert_eq!(keep(&store, 1, Duration::from_secs(20)).await, [StoreOutcome::Later]);
        assert_eq!(seen.requests.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_taken_key_gives_the_digest_that_is_stored() {
        let digest = Digest::from_bytes(*b"sixteen bytes..!");
        let (store, _) =
            serve(|_, _| taken(&json!({ "digest": { "B": "c2l4dGVlbiBieXRlcy4uIQ==" }, "putBy": { "B": "AAAA" } })));
        assert_eq!(keep(&store, 1, Duration::from_secs(20)).await, [StoreOutcome::Existing(digest)]);
        let (store, _) = serve(|_, _| taken(&json!({ "pk": { "S": "of someone else" } })));
        assert_eq!(keep(&store, 1, Duration::from_secs(20)).await, [StoreOutcome::Later]);
    }

    #[tokio::test]
    async fn a_put_whose_answer_was_lost_is_stored_and_no_duplicate_of_itself() {
        let kept = Mutex::new(None);
        let (store, seen) = serve(move |_, put| {
            let mut kept = kept.lock().unwrap();
            match kept.as_ref() {
                None => {
                    *kept = Some(put["Item"].clone());
                    Act::Hang
                }
                Some(item) => taken(item),
            }
        });
        assert_eq!(keep(&store, 1, Duration::from_secs(20)).await, [StoreOutcome::Stored]);
        assert_eq!(seen.requests.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn finding_reads_what_was_written_last() {
        let (store, _) = serve(|number, get| {
            assert_eq!((&get["ConsistentRead"], &get["TableName"]), (&json!(true), &json!("events")));
            match number {
                0 => throttled(),
                1 => Act::Answer(200, json!({ "Item": { "record": { "S": "{}" } } })),
                2 => Act::Answer(200, json!({})),
                _ => throttled(),
            }
        });
        let plan = plan(1);
        let id = plan.events()[0].id;
        let find = async |within| store.find(plan.tenant(), id, Instant::now() + Duration::from_millis(within)).await;
        assert_eq!(find(10_000).await, FindOutcome::Found("{}".to_owned()));
        assert_eq!(find(10_000).await, FindOutcome::Absent);
        assert_eq!(find(300).await, FindOutcome::Later);
    }
}
