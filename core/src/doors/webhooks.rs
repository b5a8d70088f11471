//! Standard Webhooks: a signed message about something that happened elsewhere.

use std::borrow::Cow;

use crate::admission::foreign::Foreign;
use crate::admission::json::Value;
use crate::admission::request::Request;
use crate::admission::webhooks::ID_HEADER;
use crate::doors::parts::{object, take, take_id};
use crate::vocabulary::rejection::Rejection;

/// The type of an event whose message names none.
const UNTYPED: &str = "webhook";
/// Who did it, in the first of these members of the data that is there.
const USERS: [&str; 2] = ["userId", "user_id"];

/// The event of a message: `{"type": …, "timestamp": …, "data": {…}}`. Without `data`, the other members are its
/// properties. What no user did was done by the `sender`.
pub(crate) fn event<'a>(head: &Request<'_>, text: &'a str, sender: &str) -> Result<Foreign<'a>, Rejection> {
    let mut members = object(text)?;
    let event_type = take(&mut members, "type").unwrap_or(Value::String(Cow::Borrowed(UNTYPED)));
    let timestamp = take(&mut members, "timestamp");
    let mut properties = match take(&mut members, "data") {
        Some(Value::Object(data)) => data,
        Some(other) => vec![(Cow::Borrowed("data"), other)],
        None => members,
    };
    let user_id = USERS.iter().find_map(|name| take_id(&mut properties, name));
    let message_id = head.header(ID_HEADER).map(|id| Value::String(Cow::Owned(id.to_owned())));
    Ok(Foreign {
        user_id: user_id.or_else(|| Some(Value::String(Cow::Owned(sender.to_owned())))),
        event_type: Some(event_type),
        message_id,
        properties,
        timestamp,
        sent_at: None,
        ago: None,
    })
}
