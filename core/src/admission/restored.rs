//! Records of a raw backup, on their way back into a service.
//!
//! A record does not hold its digest, which is made of what the client sent. What the service has added or corrected
//! since leaves more than one digest possible.

use crate::admission::event::{digest, json_text};
use crate::admission::json::{self, Value};
use crate::admission::{bots, schemas};
use crate::doors::parts::RawMembers;
use crate::vocabulary::digest::Digest;
use crate::vocabulary::time::Millis;

const RECORD: &str = "a record is an event as it is stored";

/// The digests that the event of this record may have, the most likely first. `None` if the record is no event.
///
/// None of them is the event's digest if its client's clock was corrected: what the client said is not in the record.
pub fn digests_of_record(record: &str) -> Option<Vec<Digest>> {
    let members = RawMembers::read(record, RECORD).ok()?;
    let (user_id, event_type) = (members.text("userId")?, members.text("eventType")?);
    let (timestamp, received_at) = (members.time("timestamp")?, members.time("receivedAt")?);
    // An event without a timestamp has the time of its receipt.
    let unsaid = (timestamp == received_at).then_some(None);
    let times: Vec<_> = unsaid.into_iter().chain([Some(timestamp)]).collect();
    let properties = members.get("properties")?;
    let sent: Vec<_> = untagged(properties).into_iter().chain([properties.to_owned()]).collect();
    let digest = |sent: &str, time: &Option<Millis>| digest(&user_id, &event_type, *time, sent.as_bytes());
    Some(sent.iter().flat_map(|sent| times.iter().map(|time| digest(sent, time))).collect())
}

/// The properties without those that the service adds; `None` if it added none.
fn untagged(properties: &str) -> Option<String> {
    let Ok(Value::Object(mut members)) = json::read(properties) else { return None };
    let all = members.len();
    members.retain(|(name, _)| name != bots::TAG && name != schemas::REPORTED);
    (members.len() < all).then(|| json_text(&Value::Object(members)))
}
