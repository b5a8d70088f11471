//! Personal data: properties that are dropped, or replaced by a keyed hash, before anything is stored.
//!
//! SDKs send IP addresses and user agents that nobody asked for. Of their events these are dropped unless the configuration
//! keeps them. A client of `/events` sends what it names itself.

use std::borrow::Cow;
use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::value::RawValue;
use sha2::Sha256;

use crate::admission::json::Value;
use crate::admission::member;
use crate::vocabulary::tenant::Tenant;

/// Stands for every event type.
const ALL: &str = "*";
/// Properties in which SDKs send IP addresses and user agents: PostHog's, and those of OpenTelemetry's semantic conventions,
/// of today (<https://opentelemetry.io/docs/specs/semconv/registry/attributes/>) and of before. They are sorted.
const UNASKED: [&str; 16] = [
    "$ip",
    "$raw_user_agent",
    "$user_agent",
    "client.address",
    "http.client_ip",
    "http.request.header.user-agent",
    "http.request.header.x-forwarded-for",
    "http.user_agent",
    "ip",
    "net.peer.ip",
    "net.sock.peer.addr",
    "network.peer.address",
    "source.address",
    "userAgent",
    "user_agent",
    "user_agent.original",
];
/// Properties in which clients of other protocols repeat the user's id.
const COPIES: [&str; 7] = ["$user_id", "enduser.id", "session.id", "subject", "user.id", "userId", "user_id"];
/// How much of a hash is kept: 128 bits.
const HASH_BYTES: usize = 16;

/// Names of properties, by event type.
type Names = Vec<(String, Vec<String>)>;

/// What becomes of personal data, by event type.
#[derive(Clone, Default)]
pub(crate) struct Privacy {
    /// What is kept of [`UNASKED`].
    keep: Vec<String>,
    drop: Names,
    hash: Names,
    hashes_user_ids: bool,
    /// The name of the key of the hashes.
    pub(crate) secret: Option<String>,
    key: Option<Vec<u8>>,
}

impl std::fmt::Debug for Privacy {
    /// Shows no key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { keep, drop, hash, hashes_user_ids, .. } = self;
        write!(f, "keep {keep:?}, drop {drop:?}, hash {hash:?}, user ids {hashes_user_ids}")
    }
}

/// A value as a text; `None` for null.
fn text_of<'v>(value: &'v Value<'_>) -> Option<Cow<'v, str>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(Cow::Borrowed(text)),
        other => Some(Cow::Owned(serde_json::to_string(other).unwrap_or_default())),
    }
}

/// True if rules name this property of an event type.
fn is_named(rules: &Names, event_type: &str, name: &str) -> bool {
    let mut of_type = rules.iter().filter(|(known, _)| known == ALL || known == event_type);
    of_type.any(|(_, names)| names.iter().any(|known| known == name))
}

impl Privacy {
    /// Reads the configuration's member. An error text begins with the member's name.
    pub(crate) fn read(text: &RawValue) -> Result<Self, String> {
        const MEMBERS: [&str; 5] = ["drop", "hash", "hashUserIds", "keep", "secret"];
        let value = member::read("privacy", text)?;
        let members = member::members(&value).filter(|members| member::has_only(members, &MEMBERS));
        let members = members.ok_or("privacy has keep, drop, hash, hashUserIds and secret, and nothing else")?;
        let names = |of: &str| {
            let Some(value) = member::get(members, of) else { return Ok(Vec::new()) };
            let names =
                |(event_type, names): &(Cow<'_, str>, Value<'_>)| Some((event_type.to_string(), member::texts(names)?));
            member::members(value)
                .and_then(|types| types.iter().map(names).collect::<Option<Names>>())
                .ok_or_else(|| format!("privacy.{of} must be an object: arrays of names by event type"))
        };
        let (drop, hash) = (names("drop")?, names("hash")?);
        let keep = member::get(members, "keep").map_or(Some(Vec::new()), member::texts);
        let keep = keep.filter(|keep| keep.iter().all(|name| UNASKED.contains(&name.as_str())));
        let keep =
            keep.ok_or_else(|| format!("privacy.keep must be an array of these names: {}", UNASKED.join(", ")))?;
        let hashes_user_ids = match member::get(members, "hashUserIds") {
            None => false,
            Some(Value::Bool(hashes)) => *hashes,
            Some(_) => return Err("privacy.hashUserIds must be true or false".to_owned()),
        };
        let secret = member::get(members, "secret").map(|secret| member::text(secret).unwrap_or_default().to_owned());
        if (hashes_user_ids || !hash.is_empty()) != secret.is_some() {
            return Err(
                "privacy.secret names the key of the hashes, and is there exactly if something is hashed".to_owned()
            );
        }
        Ok(Self { keep, drop, hash, hashes_user_ids, secret, key: None })
    }

    pub(crate) fn give_secret(&mut self, secret: &str) {
        self.key = Some(secret.as_bytes().to_vec());
    }

    /// Whether events stay as they are.
    pub(crate) fn is_off(&self) -> bool {
        self.drop.is_empty() && self.secret.is_none()
    }

    /// True if an SDK's property with this name is stored, as it is or as its hash.
    pub(crate) fn keeps(&self, event_type: &str, name: &str) -> bool {
        UNASKED.binary_search(&name).is_err()
            || self.keep.iter().any(|kept| kept == name)
            || is_named(&self.hash, event_type, name)
    }

    /// Drops and hashes what it is told to, of an event of this type. Where the user's id is hashed, so are its copies among
    /// the properties.
    pub(crate) fn apply(
        &self,
        tenant: &Tenant,
        event_type: &str,
        user_id: &mut Cow<'_, str>,
        properties: &mut Value<'_>,
    ) {
        if let Value::Object(members) = properties {
            members.retain(|(name, _)| !is_named(&self.drop, event_type, name));
            for (name, value) in members {
                let is_copy = || COPIES.contains(&name.as_ref()) && text_of(value).is_some_and(|text| text == *user_id);
                if is_named(&self.hash, event_type, name) || (self.hashes_user_ids && is_copy()) {
                    self.hash_value(tenant, value);
                }
            }
        }
        if self.hashes_user_ids {
            *user_id = Cow::Owned(self.hashed(tenant, user_id));
        }
    }

    fn hash_value(&self, tenant: &Tenant, value: &mut Value<'_>) {
        let hashed = text_of(value).map(|text| self.hashed(tenant, &text));
        if let Some(hashed) = hashed {
            *value = Value::String(Cow::Owned(hashed));
        }
    }

    /// The hash of a text. Two tenants have different hashes of one text.
    fn hashed(&self, tenant: &Tenant, text: &str) -> String {
        // Any length is a key to HMAC. A service without its key is closed.
        let Ok(hmac) = Hmac::<Sha256>::new_from_slice(self.key.as_deref().unwrap_or_default()) else {
            return String::new();
        };
        let hash = hmac.chain_update(tenant.as_str()).chain_update([0]).chain_update(text).finalize().into_bytes();
        let mut digits = String::with_capacity(2 * HASH_BYTES);
        for byte in hash.iter().take(HASH_BYTES) {
            // Writing to a String cannot fail.
            let _written = write!(digits, "{byte:02x}");
        }
        digits
    }
}
