//! Putting an event or a shape, unless its key is taken.
//!
//! The first attempt does without the SDK's client, which takes more CPU time for a put than all else that `ingest`
//! does. The SDK's parts sign and send it. If it fails, the client puts the event with all its retries.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};
use aws_sdk_dynamodb::config::endpoint::{DefaultResolver, Params, ResolveEndpoint as _};
use aws_sdk_dynamodb::config::http::HttpRequest;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue as SdkValue, ReturnValuesOnConditionCheckFailure};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_types::byte_stream::ByteStream;
use futures_util::FutureExt as _;
use isotherm_core::{Digest, PackedHead, Seconds, StoredShape};
use serde::{Deserialize, Serialize};
use serde_dynamo::{AttributeValue, Item};
use tokio::time::timeout;

use crate::aws::{ATTEMPT, DYNAMODB, connector, credentials, endpoint, region};

/// The attribute with a packed event, and the one with a shape.
pub(crate) const EVENT: &str = "e";
pub(crate) const SHAPE: &str = "shape";

const HEADERS: [(&str, &str); 2] =
    [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", "DynamoDB_20120810.PutItem")];
const CONDITION: &str = "attribute_not_exists(pk)";
/// Two shapes may have the same key. The first one stays. A second put of a shape can only lengthen its life, because
/// other events refer to it.
const CONDITION_OF_SHAPE: &str = "attribute_not_exists(pk) OR (shape = :shape AND #ttl < :ttl)";
const TAKEN: &str = "ConditionalCheckFailedException";

/// Made on first use. `None` if DynamoDB has no endpoint.
static SENDER: LazyLock<Option<Sender>> = LazyLock::new(Sender::of_environment);

/// A put, as DynamoDB reads it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Put<'a> {
    table_name: &'a str,
    item: BTreeMap<&'a str, AttributeValue>,
    condition_expression: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    expression_attribute_names: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    expression_attribute_values: BTreeMap<&'a str, AttributeValue>,
    return_values_on_condition_check_failure: &'a str,
}

/// The item that has the key of a put.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) digest: Option<Digest>,
    /// The request that put it. Items of older versions don't say that.
    pub(crate) put_by: Option<u64>,
    pub(crate) expires_at: Option<Seconds>,
    /// True if it is the shape that was to be put.
    pub(crate) is_same_shape: bool,
}

impl<'a> Put<'a> {
    /// The put of an event.
    pub(crate) fn of_event(table: &'a str, key: &str, packed: Vec<u8>, Seconds(expires_at): Seconds) -> Self {
        let (key, expires_at) = (AttributeValue::S(key.to_owned()), AttributeValue::N(expires_at.to_string()));
        Self {
            table_name: table,
            item: BTreeMap::from([("pk", key), (EVENT, AttributeValue::B(packed)), ("ttl", expires_at)]),
            condition_expression: CONDITION,
            expression_attribute_names: BTreeMap::new(),
            expression_attribute_values: BTreeMap::new(),
            return_values_on_condition_check_failure: "ALL_OLD",
        }
    }

    /// The put of a shape.
    pub(crate) fn of_shape(table: &'a str, StoredShape { id, bytes, expires_at }: &StoredShape) -> Self {
        let (key, shape) = (AttributeValue::S(id.to_string()), AttributeValue::B(bytes.clone()));
        let expires_at = AttributeValue::N(expires_at.0.to_string());
        Self {
            table_name: table,
            item: BTreeMap::from([("pk", key), (SHAPE, shape.clone()), ("ttl", expires_at.clone())]),
            condition_expression: CONDITION_OF_SHAPE,
            expression_attribute_names: BTreeMap::from([("#ttl", "ttl")]),
            expression_attribute_values: BTreeMap::from([(":shape", shape), (":ttl", expires_at)]),
            return_values_on_condition_check_failure: "ALL_OLD",
        }
    }

    /// Makes one attempt. Returns what has the key, if it is taken. After an error the item may be put or not.
    pub(crate) async fn attempt(&self) -> Result<Option<Taken>> {
        let sender = SENDER.as_ref().context("DynamoDB has no endpoint")?;
        let request = sender.signed(serde_json::to_vec(self)?)?;
        timeout(ATTEMPT, sender.send(request, self.item.get(SHAPE))).await?
    }

    /// Puts an event with the SDK's client. Returns what has the key, if it is taken.
    pub(crate) async fn send(&self) -> Result<Option<Taken>> {
        let mut put = DYNAMODB
            .put_item()
            .table_name(self.table_name)
            .condition_expression(CONDITION)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        for (name, value) in &self.item {
            let value = match value {
                AttributeValue::B(bytes) => SdkValue::B(Blob::new(&**bytes)),
                AttributeValue::N(number) => SdkValue::N(number.clone()),
                AttributeValue::S(text) => SdkValue::S(text.clone()),
                _ => bail!("an event has no attribute {name}"),
            };
            put = put.item(*name, value);
        }
        let Err(error) = put.send().await else { return Ok(None) };
        let Some(PutItemError::ConditionalCheckFailedException(taken)) = error.as_service_error() else {
            return Err(error.into());
        };
        let item = taken.item().context("DynamoDB does not say which item it has")?;
        let bytes = |name: &str| item.get(name)?.as_b().ok().map(Blob::as_ref);
        Ok(Some(Taken::of(bytes, expires_at(item))))
    }
}

impl Taken {
    fn of<'i>(bytes: impl Fn(&str) -> Option<&'i [u8]>, expires_at: Option<Seconds>) -> Self {
        let head = bytes(EVENT).and_then(|packed| PackedHead::of(packed).ok());
        // In items of older versions the digest is an attribute.
        let digest = || bytes("digest")?.try_into().ok().map(Digest::from_bytes);
        let put_by = head.map(|head| head.put_by);
        Self { digest: head.map(|head| head.digest).or_else(digest), put_by, expires_at, is_same_shape: false }
    }
}

/// Sends signed requests to DynamoDB.
#[derive(Debug)]
struct Sender {
    connector: Connector,
    identity: Identity,
    region: String,
    url: String,
}

impl Sender {
    fn of_environment() -> Option<Self> {
        let (region, endpoint) = (region()?, endpoint("DYNAMODB"));
        let params = Params::builder().region(&region).set_endpoint(endpoint.clone()).build().ok()?;
        // The resolver computes the URL locally, so the future is ready at once.
        let url = DefaultResolver::new().resolve_endpoint(&params).now_or_never()?.ok()?.url().to_owned();
        let connector = connector(endpoint.as_deref(), Some(&region));
        Some(Self { connector, identity: credentials().into(), region, url })
    }

    fn signed(&self, body: Vec<u8>) -> Result<HttpRequest> {
        let params = SigningParams::builder()
            .identity(&self.identity)
            .region(&self.region)
            .name("dynamodb")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let signable = SignableRequest::new("POST", &self.url, HEADERS.into_iter(), SignableBody::Bytes(&body))?;
        let (signing, _signature) = sign(signable, &params)?.into_parts();
        let mut request = HttpRequest::new(body.into());
        request.set_method("POST")?;
        request.set_uri(&*self.url)?;
        for (name, value) in HEADERS.into_iter().chain(signing.headers()) {
            request.headers_mut().try_insert(name.to_owned(), value.to_owned())?;
        }
        Ok(request)
    }

    async fn send(&self, request: HttpRequest, shape: Option<&AttributeValue>) -> Result<Option<Taken>> {
        #[derive(Deserialize)]
        struct Refused {
            #[serde(rename = "__type")]
            why: String,
            #[serde(rename = "Item")]
            item: Option<Item>,
        }
        let response = self.connector.call(request).await?;
        let status = response.status();
        // The connection is used again only if the answer is read to its end.
        let body = ByteStream::new(response.into_body()).collect().await?.into_bytes();
        if status.is_success() {
            return Ok(None);
        }
        let Refused { why, item } = serde_json::from_slice(&body)?;
        let Some(item) = item.filter(|_| why.ends_with(TAKEN)) else { bail!("DynamoDB says {status}: {why}") };
        let bytes = |name: &str| match item.get(name)? {
            AttributeValue::B(bytes) => Some(bytes.as_slice()),
            _ => None,
        };
        let expires_at = match item.get("ttl") {
            Some(AttributeValue::N(seconds)) => seconds.parse().ok().map(Seconds),
            _ => None,
        };
        let is_same_shape = shape.is_some() && item.get(SHAPE) == shape;
        Ok(Some(Taken { is_same_shape, ..Taken::of(bytes, expires_at) }))
    }
}

/// When an item expires, if it has a `ttl`.
pub(crate) fn expires_at(item: &HashMap<String, SdkValue>) -> Option<Seconds> {
    item.get("ttl")?.as_n().ok()?.parse().ok().map(Seconds)
}
