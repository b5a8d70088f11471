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

use std::env;
use std::sync::OnceLock;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::{RetryConfig, RetryPartition, TokenBucket};
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region, SharedHttpClient};
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{self, TrustStore};
use isotherm_core::{Digest, EventId, FindOutcome, NewEvent, StoreOutcome, Tenant};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// How many puts of a batch are under way at once. Each has a connection of its own, and its TLS handshake on a cold start.
const CONCURRENCY: usize = 32;
/// More than fit into any invocation: the deadline ends the retries.
const ATTEMPTS: u32 = 20;
/// The first retry waits a random time up to this, the next one up to twice as long, and so on.
const FIRST_BACKOFF: Duration = Duration::from_millis(25);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);
/// DynamoDB answers in milliseconds: an attempt that takes longer is better made again.
const ATTEMPT: Duration = Duration::from_secs(3);

/// The table, and a client that is made when it is first needed.
pub(crate) struct Store {
    table: String,
    client: OnceLock<Client>,
}

impl Store {
    /// The table that the environment names.
    pub(crate) fn of_environment() -> Self {
        let table = environment("ISOTHERM_TABLE").unwrap_or_else(|| "events".to_owned());
        Self { table, client: OnceLock::new() }
    }

    /// Puts each event unless its key is taken, and says what became of each when the deadline comes.
    pub(crate) async fn keep(&self, tenant: &Tenant, events: &[NewEvent], entropy: u128, deadline: Instant) -> Vec<StoreOutcome> {
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
        let get = self.client().get_item().table_name(&self.table).key("pk", key(tenant, id)).consistent_read(true).send();
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

    fn client(&self) -> &Client {
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

/// A client as Lambda's environment variables describe it. aws-config would look in places that a function does not have.
fn connect(variable: impl Fn(&str) -> Option<String>) -> Client {
    let credentials = Credentials::new(
        variable("AWS_ACCESS_KEY_ID").unwrap_or_default(),
        variable("AWS_SECRET_ACCESS_KEY").unwrap_or_default(),
        variable("AWS_SESSION_TOKEN"),
        None, // the environment ends before its credentials do
        "environment",
    );
    let endpoint = variable("AWS_ENDPOINT_URL_DYNAMODB").or_else(|| variable("AWS_ENDPOINT_URL"));
    let region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
    let config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(https(endpoint.as_deref(), region.as_deref(), variable("SSL_CERT_FILE").is_some()))
        .region(region.map(Region::new))
        .credentials_provider(credentials)
        .retry_config(
            // Exponential, with full jitter.
            RetryConfig::standard()
                .with_max_attempts(ATTEMPTS)
                .with_initial_backoff(FIRST_BACKOFF)
                .with_max_backoff(LONGEST_BACKOFF),
        )
        // The usual bucket would end the retries of a throttled batch after a hundred of them.
        .retry_partition(RetryPartition::custom("events").token_bucket(TokenBucket::unlimited()).build())
        .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).build());
    let config = match endpoint {
        Some(endpoint) => config.endpoint_url(endpoint),
        None => config,
    };
    Client::from_conf(config.build())
}

/// HTTPS that trusts Amazon's own authorities, which sign for DynamoDB: reading all those of the system costs a cold start
/// more than everything else here. It is the system's that count for other endpoints, other partitions, and on request.
fn https(endpoint: Option<&str>, region: Option<&str>, on_request: bool) -> SharedHttpClient {
    let elsewhere = endpoint.is_some_and(|url| url.starts_with("https:"))
        || region.is_some_and(|region| region.starts_with("cn-") || region.contains("-iso"))
        || on_request;
    let builder = aws_smithy_http_client::Builder::new().tls_provider(tls::Provider::Rustls(CryptoMode::Ring));
    let amazon = TrustStore::empty().with_pem_certificate(include_bytes!("amazon-roots.pem"));
    match tls::TlsContext::builder().with_trust_store(amazon).build() {
        Ok(amazon) if !elsewhere => builder.tls_context(amazon).build_https(),
        _ => builder.build_https(),
    }
}

fn environment(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests;
