//! From the batches of a queue in SQS to core's requests, and back to the answer of its event source mapping.
//!
//! A message is the body of a `POST`; what core reads of the headers, and the path, are message attributes, as the
//! integration of API Gateway with SQS sends them. Without the attribute `path` it is one event, without `content-type` JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;

use isotherm_core::{Admission, Delivery, Millis, Plan, Request, Service, Stamp};
use serde::Deserialize;
use tokio::time::Instant;

use crate::request::{Text, known};
use crate::store::Store;
use crate::stream::BatchAnswer;

/// Messages of one queue.
#[derive(Deserialize)]
pub(crate) struct Messages<'a> {
    #[serde(rename = "Records", borrow)]
    messages: Vec<Message<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    #[serde(borrow)]
    message_id: Cow<'a, str>,
    #[serde(borrow)]
    body: Text<'a>,
    #[serde(borrow)]
    attributes: Attributes<'a>,
    #[serde(borrow, default)]
    message_attributes: BTreeMap<Text<'a>, MessageAttribute<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attributes<'a> {
    /// Milliseconds.
    #[serde(borrow)]
    sent_timestamp: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageAttribute<'a> {
    #[serde(borrow)]
    string_value: Option<Text<'a>>,
}

impl Message<'_> {
    fn request(&self) -> Request<'_> {
        let attributes = self.message_attributes.iter();
        let attributes = attributes.filter_map(|(name, value)| Some((&*name.0, &*value.string_value.as_ref()?.0)));
        let attributes: BTreeMap<&str, &str> = attributes.collect();
        let mut headers = known(attributes.iter().map(|(name, value)| (*name, *value)));
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            headers.push(("content-type", "application/json".to_owned()));
        }
        let path = attributes.get("path").copied().unwrap_or("/events");
        Request { method: "POST", path, query: "", headers, body: self.body.0.as_bytes() }
    }

    /// The same whenever it is delivered.
    fn stamp(&self) -> Stamp {
        // SQS sends a number.
        Stamp::of_message(&self.message_id, Millis(self.attributes.sent_timestamp.parse().unwrap_or_default()))
    }
}

/// Takes messages in one after the other, and answers which are to come again. One that is refused comes again too, until
/// the queue moves it to its dead-letter queue.
pub(crate) async fn drain(
    service: &Service,
    store: &Store,
    Messages { messages }: Messages<'_>,
    deadline: Instant,
) -> BatchAnswer {
    let mut failed = Vec::new();
    for message in messages {
        let stamp = message.stamp();
        let delivery = match service.admit(&message.request(), stamp) {
            Admission::Plan(Plan::Store(plan)) => {
                let outcomes = store.keep(plan.tenant(), plan.events(), stamp.entropy, deadline).await;
                plan.deliver(outcomes)
            }
            other => other.undeliverable(),
        };
        match delivery {
            Delivery::Done => continue,
            Delivery::Again => {}
            Delivery::Refused(reason) => eprintln!("message {} is refused: {reason}", message.message_id),
        }
        failed.push(message.message_id.into_owned());
    }
    BatchAnswer::new(None, failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch as AWS documents it; the first message has what API Gateway adds.
    const BATCH: &str = r#"{"Records":[
        {"messageId":"059f36b4-87a3-44ab-83d2-661975830a7d","receiptHandle":"AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a...",
         "body":"{\"a\":\"\u00e9\"}","attributes":{"ApproximateReceiveCount":"1","SentTimestamp":"1545082649183",
            "SenderId":"AIDAIENQZJOLO23YVJ4VO","ApproximateFirstReceiveTimestamp":"1545082649185"},
         "messageAttributes":{"authorization":{"stringValue":"Bearer k","stringListValues":[],"binaryListValues":[],"dataType":"String"},
            "Content-Type":{"stringValue":"application/x-ndjson","stringListValues":[],"binaryListValues":[],"dataType":"String"},
            "path":{"stringValue":"/events/batch","dataType":"String"},"other":{"binaryValue":"AAA=","dataType":"Binary"}},
         "md5OfBody":"e4e68fb7bd0e697a0ae8f1bb342846b3","eventSource":"aws:sqs",
         "eventSourceARN":"arn:aws:sqs:us-east-2:123456789012:my-queue","awsRegion":"us-east-2"},
        {"messageId":"2e1424d4-f796-459a-8184-9c92662be6da","receiptHandle":"AQEBzWwaftRI0KuVm4tP+/7q1rGgNqicHq...",
         "body":"{}","attributes":{"ApproximateReceiveCount":"1","SentTimestamp":"1545082650636"},"messageAttributes":{},
         "md5OfBody":"e4e68fb7bd0e697a0ae8f1bb342846b3","eventSource":"aws:sqs"}]}"#;

    #[test]
    fn a_message_is_a_request() {
        let Messages { messages } = serde_json::from_str(BATCH).unwrap();
        let [first, second] = &messages[..] else { panic!("two messages") };
        let request = first.request();
        assert_eq!((request.method, request.path, request.query), ("POST", "/events/batch", ""));
        assert_eq!(request.body, r#"{"a":"é"}"#.as_bytes());
        let header = |name| request.headers.iter().find(|(sent, _)| *sent == name).map(|(_, value)| value.as_str());
        assert_eq!((header("authorization"), header("content-type")), (Some("Bearer k"), Some("application/x-ndjson")));
        let request = second.request();
        assert_eq!((request.path, request.body), ("/events", &b"{}"[..]));
        assert_eq!(request.headers, [("content-type", "application/json".to_owned())]);
    }

    #[test]
    fn a_message_has_the_same_stamp_whenever_it_is_delivered() {
        let Messages { messages } = serde_json::from_str(BATCH).unwrap();
        let stamp = messages[0].stamp();
        assert_eq!(stamp, Stamp::of_message("059f36b4-87a3-44ab-83d2-661975830a7d", Millis(1_545_082_649_183)));
        assert_ne!(stamp.entropy, messages[1].stamp().entropy);
    }
}
