//! Pings that keep Lambda environments warm. They carry no event and reach no store.

use serde::Deserialize;

/// The answer to a warming ping; `None` for any other payload.
///
/// A ping is one of: `{"source":"warming","action":"ping"}`, a scheduled event of EventBridge (`"source":"aws.events"`)
/// or of its Scheduler (`aws.scheduler`), a ping of a plugin named serverless-warmup, or lambda-warmer's
/// `{"warmer":true}`.
pub fn answer(payload: &[u8]) -> Option<&'static str> {
    #[derive(Deserialize)]
    struct Ping {
        source: Option<String>,
        action: Option<String>,
        warmer: Option<bool>,
    }
    let ping: Ping = serde_json::from_slice(payload).ok()?;
    let warming = match ping.source.as_deref() {
        Some("warming") => ping.action.as_deref() == Some("ping"),
        Some("aws.events" | "aws.scheduler" | "serverless-warmup" | "serverless-plugin-warmup") => true,
        _ => ping.warmer == Some(true),
    };
    warming.then_some(r#"{"status":"warm"}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pings_are_told_from_everything_else() {
        for ping in [
            r#"{"source":"warming","action":"ping"}"#,
            r#"{"version":"0","detail-type":"Scheduled Event","source":"aws.events","resources":[],"detail":{}}"#,
            r#"{"version":"0","detail-type":"Scheduled Event","source":"aws.scheduler","resources":["arn"],"detail":"{}"}"#,
            r#"{"source":"serverless-plugin-warmup"}"#,
            r#"{"warmer":true,"concurrency":1}"#,
            r#"{"warmer":true,"concurrency":3,"__WARMER_INVOCATION__":2,"__WARMER_CORRELATIONID__":"id"}"#,
        ] {
            assert_eq!(answer(ping.as_bytes()), Some(r#"{"status":"warm"}"#), "{ping}");
        }
        for other in [
            "",
            "{}",
            "[]",
            "null",
            r#"{"source":"warming"}"#,
            r#"{"source":"aws.s3"}"#,
            r#"{"warmer":false}"#,
            r#"{"warmer":"true"}"#,
            r#"{"Records":[]}"#,
        ] {
            assert_eq!(answer(other.as_bytes()), None, "{other}");
        }
    }
}
