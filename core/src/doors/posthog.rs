//! PostHog's capture API, and what its clients ask for before they capture.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::admission::foreign::Foreign;
use crate::admission::json::Value;
use crate::admission::request::Request;
use crate::doors::parts::{RawMembers, batch, list, object, take, take_id, take_members};
use crate::gzip;
use crate::vocabulary::limits::Limits;
use crate::vocabulary::rejection::Rejection;
use crate::vocabulary::time::Millis;

const BODY: &str = r#"events are {"batch":[…]}, an array, or one event"#;
/// Where an event may have its key, beside its properties.
const KEYS: [&str; 3] = ["api_key", "token", "$token"];
/// Properties that are not kept: ids and keys that stand elsewhere.
const DROPPED: [&str; 4] = ["token", "distinct_id", "$distinct_id", "api_key"];
/// Members of an event beside its properties that are kept as properties.
const BESIDE: [&str; 2] = ["$set", "$set_once"];

/// The JSON in a body, which a browser's client packs as base64 in a form, or as gzip that it calls text.
pub(crate) fn unpacked(body: &[u8], is_form: bool) -> Result<Cow<'_, [u8]>, Rejection> {
    let body = if is_form {
        let data = form_urlencoded::parse(body).find_map(|(name, value)| (name == "data").then_some(value));
        let data = data.ok_or(Rejection::InvalidDelivery("a form has the events in the field data, as base64"))?;
        // The client escapes `+`, but not every browser did.
        let data = data.trim().replace(' ', "+");
        let decoded = STANDARD.decode(data);
        Cow::Owned(decoded.map_err(|_| Rejection::InvalidDelivery("the form's field data is base64"))?)
    } else {
        Cow::Borrowed(body)
    };
    if !body.starts_with(&[0x1f, 0x8b]) {
        return Ok(body);
    }
    let most = Limits::CONTRACT.body_bytes;
    let inflated = gzip::inflated(&body, most + 1).ok_or(Rejection::InvalidGzip)?;
    if inflated.len() > most { Err(Rejection::BodyTooLarge) } else { Ok(Cow::Owned(inflated)) }
}

/// The key in a body: beside its events, in its first event, or in that one's properties.
pub(crate) fn key(text: &str) -> Option<Cow<'_, str>> {
    fn beside<'a>(members: &RawMembers<'a>) -> Option<&'a str> {
        KEYS.iter().find_map(|name| members.get(name))
    }
    let first = match text.trim_start().starts_with('[') {
        true => list(text, BODY).ok()?.into_iter().next()?,
        false => text,
    };
    let members = RawMembers::read(first, BODY).ok()?;
    let found = beside(&members).or_else(|| {
        let batch = members.get("batch").and_then(|batch| list(batch, BODY).ok()?.into_iter().next());
        let event = RawMembers::read(batch.unwrap_or(first), BODY).ok()?;
        beside(&event).or_else(|| beside(&RawMembers::read(event.get("properties")?, BODY).ok()?))
    });
    RawMembers::text_of(found?)
}

/// The events in a body.
pub(crate) fn events<'a>(head: &Request<'_>, text: &'a str) -> Result<Vec<Result<Foreign<'a>, Rejection>>, Rejection> {
    // A browser's client sends its time in the query.
    let sent_at = form_urlencoded::parse(head.query.as_bytes())
        .find_map(|(name, value)| if name == "_" { value.parse().ok().map(Millis) } else { None });
    if text.trim_start().starts_with('[') {
        return Ok(batch(text, BODY)?.into_iter().map(|text| event(text, sent_at)).collect());
    }
    let members = RawMembers::read(text, BODY)?;
    let sent_at = members.time("sent_at").or(sent_at).filter(|_| members.get("historical_migration") != Some("true"));
    match members.get("batch") {
        Some(events) => Ok(batch(events, BODY)?.into_iter().map(|text| event(text, sent_at)).collect()),
        None => Ok(vec![event(text, sent_at)]),
    }
}

fn event(text: &str, sent_at: Option<Millis>) -> Result<Foreign<'_>, Rejection> {
    let mut members = object(text)?;
    let mut properties = take_members(&mut members, "properties");
    let user_id = take_id(&mut members, "distinct_id")
        .or_else(|| take_id(&mut members, "$distinct_id"))
        .or_else(|| take_id(&mut properties, "distinct_id"))
        .or_else(|| take_id(&mut properties, "$distinct_id"));
    properties.retain(|(name, _)| !DROPPED.contains(&name.as_ref()));
    for name in BESIDE {
        if let Some(value) = take(&mut members, name) {
            properties.push((Cow::Borrowed(name), value));
        }
    }
    let ago = match take(&mut members, "offset") {
        Some(Value::Unsigned(ms)) => Some(ms),
        _ => None,
    };
    Ok(Foreign {
        user_id,
        event_type: take(&mut members, "event"),
        message_id: take_id(&mut members, "uuid"),
        properties,
        timestamp: take(&mut members, "timestamp"),
        sent_at,
        ago,
    })
}

/// What posthog-js is told to do: capture, and nothing that would need PostHog's own services.
pub(crate) fn config(key: &str) -> String {
    let key = serde_json::to_string(key).unwrap_or_default();
    format!(
        concat!(
            r#"{{"token":{key},"supportedCompression":["gzip","gzip-js"],"hasFeatureFlags":false,"#,
            r#""captureDeadClicks":false,"capturePerformance":false,"autocapture_opt_out":false,"#,
            r#""autocaptureExceptions":false,"analytics":{{"endpoint":"/i/v0/e/"}},"elementsChainAsString":true,"#,
            r#""sessionRecording":false,"heatmaps":false,"surveys":false,"productTours":false,"#,
            r#""conversations":false,"defaultIdentifiedOnly":true,"siteApps":[]}}"#
        ),
        key = key
    )
}

/// The same as a script.
pub(crate) fn config_script(key: &str) -> String {
    let name = serde_json::to_string(key).unwrap_or_default();
    let config = config(key);
    format!(
        "(function(){{var c=window._POSTHOG_REMOTE_CONFIG=window._POSTHOG_REMOTE_CONFIG||{{}};c[{name}]={{config:{config},siteApps:[]}}}})();"
    )
}

/// The flags of anyone: none.
pub(crate) const FLAGS: &str =
    r#"{"flags":{},"featureFlags":{},"featureFlagPayloads":{},"errorsWhileComputingFlags":false}"#;
