//! An event of another protocol. The door of that protocol fills it in; [`crate::admission::event`] checks it.

use std::borrow::Cow;

use crate::admission::json::Value;
use crate::vocabulary::time::Millis;

/// An event as another protocol describes it, not yet checked.
#[derive(Debug, Default)]
pub(crate) struct Foreign<'a> {
    pub(crate) user_id: Option<Value<'a>>,
    pub(crate) event_type: Option<Value<'a>>,
    pub(crate) message_id: Option<Value<'a>>,
    /// In any order. If a name appears twice, the first one counts.
    pub(crate) properties: Vec<(Cow<'a, str>, Value<'a>)>,
    pub(crate) timestamp: Option<Value<'a>>,
    /// When the request was sent, by the client's clock.
    pub(crate) sent_at: Option<Millis>,
    /// How many milliseconds before the request the event happened, where the client says only that.
    pub(crate) ago: Option<u64>,
}
