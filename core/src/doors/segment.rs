//! Segment's HTTP API, which RudderStack's is like: the messages track, page, screen, identify, group and alias.

use std::borrow::Cow;

use crate::admission::foreign::Foreign;
use crate::admission::json::Value;
use crate::doors::parts::{self, Members, RawMembers, object, take, take_id, take_members, take_time};
use crate::vocabulary::rejection::{Rejection, shown};
use crate::vocabulary::time::Millis;

pub(crate) const TRACK: &str = "track";
pub(crate) const PAGE: &str = "page";
pub(crate) const SCREEN: &str = "screen";
pub(crate) const IDENTIFY: &str = "identify";
pub(crate) const GROUP: &str = "group";
pub(crate) const ALIAS: &str = "alias";

const BATCH: &str = r#"a batch is {"batch":[…]}"#;
const MESSAGE: &str = "a message is a JSON object";

/// The members of `context` that become properties, and their names, which are those of Segment's warehouses. IP
/// addresses and user agents are not among them.
const CONTEXT: [(&str, &[(&str, &str)]); 8] = [
    ("app", &[("name", "context_app_name"), ("version", "context_app_version")]),
    (
        "campaign",
        &[
            ("source", "context_campaign_source"),
            ("medium", "context_campaign_medium"),
            ("name", "context_campaign_name"),
            ("term", "context_campaign_term"),
            ("content", "context_campaign_content"),
        ],
    ),
    ("device", &[("type", "context_device_type"), ("model", "context_device_model")]),
    ("library", &[("name", "context_library_name"), ("version", "context_library_version")]),
    ("os", &[("name", "context_os_name"), ("version", "context_os_version")]),
    ("page", &[("path", "context_page_path"), ("referrer", "context_page_referrer"), ("title", "context_page_title")]),
    ("screen", &[("width", "context_screen_width"), ("height", "context_screen_height")]),
    ("network", &[("carrier", "context_network_carrier")]),
];
/// The members of `context` itself that become properties.
const PLAIN_CONTEXT: [(&str, &str); 3] =
    [("locale", "context_locale"), ("timezone", "context_timezone"), ("groupId", "context_group_id")];

/// The key in a body.
pub(crate) fn key(text: &str) -> Option<Cow<'_, str>> {
    RawMembers::read(text, MESSAGE).ok()?.text("writeKey")
}

/// The messages of a batch.
pub(crate) fn batch(text: &str) -> Result<Vec<Result<Foreign<'_>, Rejection>>, Rejection> {
    let members = RawMembers::read(text, BATCH)?;
    let sent_at = members.time("sentAt");
    let messages = parts::batch(members.get("batch").ok_or(Rejection::InvalidDelivery(BATCH))?, BATCH)?;
    Ok(messages.into_iter().map(|text| message(text, None, sent_at)).collect())
}

/// One message, of this type or of the one that it names. `sent_at` is its batch's.
pub(crate) fn message<'a>(
    text: &'a str,
    kind: Option<&'static str>,
    sent_at: Option<Millis>,
) -> Result<Foreign<'a>, Rejection> {
    let mut members = object(text)?;
    let named = take(&mut members, "type");
    let kind = match (kind, &named) {
        (Some(kind), _) => kind,
        (None, Some(Value::String(named))) => known(named)?,
        (None, _) => return Err(Rejection::UnknownMessage(String::new())),
    };
    let mut context = take_members(&mut members, "context");
    let mut properties = match kind {
        IDENTIFY | GROUP => {
            // RudderStack's SDK for Python has the traits in the context.
            let traits = take_members(&mut members, "traits");
            if traits.is_empty() { take_members(&mut context, "traits") } else { traits }
        }
        _ => take_members(&mut members, "properties"),
    };
    // A message has the members of its own type. They go before properties of the same name.
    let own: &[&'static str] = match kind {
        PAGE | SCREEN => &["name", "category"],
        GROUP => &["groupId"],
        ALIAS => &["previousId"],
        _ => &[],
    };
    for name in own {
        if let Some(value) = take(&mut members, name) {
            properties.retain(|(known, _)| known != name);
            properties.push((Cow::Borrowed(*name), value));
        }
    }
    flatten(context, &mut properties);
    let event = take(&mut members, "event");
    let (user_id, anonymous_id) = (take_id(&mut members, "userId"), take_id(&mut members, "anonymousId"));
    if let (IDENTIFY, Some(_), Some(anonymous_id)) = (kind, &user_id, &anonymous_id) {
        properties.push((Cow::Borrowed("anonymousId"), anonymous_id.clone()));
    }
    let sent_at = sent_at.or(take_time(&mut members, "sentAt"));
    // RudderStack's clients send both times if an app has set `timestamp`, which then needs no correction.
    let (timestamp, original) = (take(&mut members, "timestamp"), take(&mut members, "originalTimestamp"));
    let sent_at = if timestamp.is_some() && original.is_some() { None } else { sent_at };
    Ok(Foreign {
        user_id: user_id.or(anonymous_id),
        event_type: if kind == TRACK { event } else { Some(Value::String(Cow::Borrowed(kind))) },
        message_id: take_id(&mut members, "messageId"),
        properties,
        timestamp: timestamp.or(original),
        sent_at,
        ago: None,
    })
}

fn known(kind: &str) -> Result<&'static str, Rejection> {
    let found = [TRACK, PAGE, SCREEN, IDENTIFY, GROUP, ALIAS].into_iter().find(|known| *known == kind);
    found.ok_or_else(|| Rejection::UnknownMessage(shown(kind)))
}

fn flatten<'a>(mut context: Members<'a>, properties: &mut Members<'a>) {
    let mut keep = |members: &mut Members<'a>, names: &[(&str, &'static str)]| {
        for (name, property) in names {
            if let Some(value @ (Value::String(_) | Value::Unsigned(_) | Value::Signed(_) | Value::Float(_))) =
                take(members, name)
            {
                properties.push((Cow::Borrowed(*property), value));
            }
        }
    };
    for (part, names) in CONTEXT {
        keep(&mut take_members(&mut context, part), names);
    }
    keep(&mut context, &PLAIN_CONTEXT);
}

/// What analytics.js loads before it sends: this one destination, no remote plugins, and no metrics of its own.
pub(crate) fn settings(key: &str) -> String {
    let key = serde_json::to_string(key).unwrap_or_default();
    format!(
        concat!(
            r#"{{"integrations":{{"Segment.io":{{"apiKey":{key},"unbundledIntegrations":[],"addBundledMetadata":false,"#,
            r#""maybeBundledConfigIds":{{}},"versionSettings":{{"version":"4.4.7","componentTypes":["browser"]}}}}}},"#,
            r#""plan":{{"track":{{"__default":{{"enabled":true,"integrations":{{}}}}}},"#,
            r#""identify":{{"__default":{{"enabled":true}}}},"group":{{"__default":{{"enabled":true}}}}}},"#,
            r#""edgeFunction":{{}},"analyticsNextEnabled":true,"middlewareSettings":{{}},"enabledMiddleware":{{}},"#,
            r#""metrics":{{"sampleRate":0}},"legacyVideoPluginsEnabled":false,"remotePlugins":[]}}"#
        ),
        key = key
    )
}

/// What RudderStack's client for browsers loads before it sends: a source without destinations, and no reports about
/// itself.
pub(crate) fn source_config(key: &str) -> String {
    let key = serde_json::to_string(key).unwrap_or_default();
    format!(
        concat!(
            r#"{{"source":{{"id":"isotherm","name":"isotherm","workspaceId":"isotherm","writeKey":{key},"enabled":true,"#,
            r#""config":{{"statsCollection":{{"errors":{{"enabled":false}},"metrics":{{"enabled":false}}}}}},"#,
            r#""destinations":[]}}}}"#
        ),
        key = key
    )
}
