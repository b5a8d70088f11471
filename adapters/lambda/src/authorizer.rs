//! The authoriser of the routes that lead into the queue. API Gateway asks it about a request's head (payload 2.0,
//! simple answers). The id of the key that it finds goes into the message in place of the key.

use std::collections::BTreeMap;

use isotherm_core::{Frozen, Millis, Service};
use serde::{Deserialize, Serialize};

/// API Gateway's question.
#[derive(Deserialize)]
struct Question {
    r#type: String,
    version: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

/// The answer to API Gateway.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    is_authorized: bool,
    context: BTreeMap<&'static str, String>,
}

/// Answers an authoriser's event. Returns `None` for any other event.
///
/// # Errors
/// The tenant is frozen. A refusal would reach the client as 403, and the client would drop its events. When the function
/// fails, API Gateway answers 500, and the client sends them again.
pub(crate) fn answer(service: &Service, event: &str, now: Millis) -> Result<Option<Answer>, Frozen> {
    let Ok(Question { r#type, version, headers }) = serde_json::from_str(event) else { return Ok(None) };
    if r#type != "REQUEST" || version != "2.0" {
        return Ok(None);
    }
    let header = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    let key = service.writer(header.map(|(_, value)| value.as_str()), now)?;
    Ok(Some(Answer { is_authorized: key.is_some(), context: key.into_iter().map(|id| ("key", id)).collect() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The SHA-256 of `a key of the tests`.
    const CONFIG: &str = r#"{"version":2,"keys":[{"id":"web","sha256":"773a4fa29b88e3f28dc7eaa78f758da4c2d2dafd157a4faaca8a58a9c888edc1","tenant":"a","scope":"write"}]}"#;

    #[test]
    fn a_key_that_may_write_is_let_in_by_its_id() {
        let service = Service::from_text(Some(CONFIG));
        let ask = |headers: &str| {
            let event = format!(
                r#"{{"version":"2.0","type":"REQUEST","routeArn":"arn:aws:execute-api:…","identitySource":["…"],"routeKey":"POST /queue/events","headers":{headers},"requestContext":{{"http":{{"method":"POST"}}}}}}"#
            );
            answer(&service, &event, Millis(0))
                .unwrap_or_default()
                .and_then(|answer| serde_json::to_string(&answer).ok())
                .unwrap_or_default()
        };
        let let_in = r#"{"isAuthorized":true,"context":{"key":"web"}}"#;
        assert_eq!(ask(r#"{"authorization":"Bearer a key of the tests"}"#), let_in);
        assert_eq!(ask(r#"{"Authorization":"Bearer a key of the tests"}"#), let_in);
        assert_eq!(ask(r#"{"authorization":"Bearer a key of somebody"}"#), r#"{"isAuthorized":false,"context":{}}"#);
        assert_eq!(ask("{}"), r#"{"isAuthorized":false,"context":{}}"#);
    }

    #[test]
    fn what_is_no_such_event_is_left_to_others() {
        let service = Service::from_text(None);
        for event in [r#"{"version":"2.0"}"#, r#"{"type":"REQUEST","version":"1.0"}"#, "[]", "{"] {
            assert!(matches!(answer(&service, event, Millis(0)), Ok(None)), "{event}");
        }
    }
}
