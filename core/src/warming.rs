//! Pings that keep Lambda environments warm. They carry no event and reach no store.

use serde::Deserialize;

/// The answer to a payload that is a warming ping; `None` when it is anything else.
///
/// Pings are `{"source":"warming","action":"ping"}`, the scheduled events of EventBridge (`"source":"aws.events"`) and
/// those of the plugins named serverless-warmup.
pub fn answer(payload: &[u8]) -> Option<&'static str> {
    #[derive(Deserialize)]
    struct Ping<'a> {
        source: &'a str,
        action: Option<&'a str>,
    }
    let ping: Ping<'_> = serde_json::from_slice(payload).ok()?;
    let warming = match ping.source {
        "warming" => ping.action == Some("ping"),
        "aws.events" | "serverless-warmup" | "serverless-plugin-warmup" => true,
        _ => false,
    };
    warming.then_some(r#"{"status":"warm"}"#)
}
