//! The configuration that an operator writes: keys, shards and dimensions. It is one JSON text, the same on every
//! platform.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::admission::access::{Access, Key, Keys, Kind};
use crate::admission::allowances::Allowances;
use crate::admission::bots::Bots;
use crate::admission::privacy::Privacy;
use crate::admission::retention::Retention;
use crate::admission::schemas::Schemas;
use crate::admission::scope::Scope;
use crate::admission::secrets::Secrets;
use crate::admission::tokens::Issuer;
use crate::admission::webhooks::Sender;
use crate::rollups::observation::{DIMENSIONS, Dimensions};
use crate::vocabulary::tenant::{ID, Tenant, is_id};
use crate::vocabulary::time::Millis;
use crate::watching::level::Lines;

/// The configuration of a service.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) access: Access,
    pub(crate) shards: u32,
    pub(crate) dimensions: Dimensions,
    /// The origins whose pages may send events, of all keys together.
    pub(crate) origins: Vec<String>,
    pub(crate) retention: Retention,
    pub(crate) schemas: Schemas,
    pub(crate) allowances: Allowances,
    pub(crate) privacy: Privacy,
    pub(crate) bots: Bots,
    pub(crate) secrets: Secrets,
    pub(crate) lines: Lines,
    /// The tenants whose clients may not write for now.
    frozen: Vec<String>,
}

/// The configuration is invalid: the place and what was expected there. It reveals no key or hash, because it goes to a
/// log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "configuration: {}", self.0)
    }
}

impl std::error::Error for ConfigError {}

/// The configuration as JSON: version 1, which may leave `version` out, or version 2.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigText<'a> {
    #[serde(default = "first_version")]
    version: u32,
    #[serde(default)]
    open: bool,
    #[serde(borrow, default)]
    keys: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    jwt: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    webhooks: Option<Vec<&'a RawValue>>,
    #[serde(default = "default_shards")]
    shards: u32,
    #[serde(default)]
    dimensions: Dimensions,
    #[serde(default)]
    origins: Vec<String>,
    #[serde(borrow, default)]
    retention: Option<&'a RawValue>,
    #[serde(borrow, default)]
    schemas: Option<&'a RawValue>,
    #[serde(borrow, default)]
    limits: Option<&'a RawValue>,
    #[serde(borrow, default)]
    privacy: Option<&'a RawValue>,
    #[serde(borrow, default)]
    bots: Option<&'a RawValue>,
    #[serde(default)]
    log: Lines,
    #[serde(default)]
    frozen: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyText {
    id: Option<String>,
    sha256: String,
    tenant: String,
    scope: Scope,
    expires: Option<String>,
    #[serde(default)]
    kind: Kind,
    #[serde(default)]
    origins: Vec<String>,
}

const VERSIONS: std::ops::RangeInclusive<u32> = 1..=2;
const SHARDS: u32 = 4;
/// Stands for every tenant in `frozen`.
const ALL: &str = "*";

fn first_version() -> u32 {
    *VERSIONS.start()
}

fn default_shards() -> u32 {
    SHARDS
}

impl Config {
    /// Reads `{"version": 2, "keys": [{"id": "web", "sha256": "<64 hexadecimal digits>", "tenant": "acme",
    /// "scope": "write", "expires": "2027-01-01T00:00:00Z"}], "shards": 4,
    /// "dimensions": {"flight_departed": ["carrier", "dest"]}, "retention": {"flight_departed": 365},
    /// "log": {"level": "info", "sample": 0.1}}`, or
    /// `{"version": 2, "open": true}`.
    ///
    /// Either `open` or `keys` is required. The rest may be left out. The defaults: `version` is 1, a key's `id` is the
    /// first 8 digits of its hash, a key never expires, there are 4 shards, every string property of an event is a
    /// dimension, up to 8, and events are kept for 90 days. The platform decides which lines are
    /// logged.
    ///
    /// # Errors
    /// [`ConfigError`] names the wrong member and what was expected.
    pub fn parse(json: &str) -> Result<Self, ConfigError> {
        let json = json.trim_start_matches('\u{feff}').trim();
        if json.is_empty() {
            return Err(ConfigError(format!("there is none; {NEITHER}")));
        }
        let ConfigText {
            version,
            open,
            keys,
            jwt,
            webhooks,
            shards,
            dimensions,
            retention,
            schemas,
            limits,
            privacy,
            bots,
            log,
            frozen,
            mut origins,
        } = object(json).map_err(ConfigError)?;
        if !VERSIONS.contains(&version) {
            return Err(ConfigError(format!("unsupported version {version}: use 1 or 2")));
        }
        if !(1..=256).contains(&shards) {
            return Err(ConfigError(format!("shards is {shards}; it must be 1 to 256")));
        }
        for names in dimensions.values() {
            if names.len() > DIMENSIONS {
                let count = names.len();
                return Err(ConfigError(format!("dimensions has {count} names; the limit is {DIMENSIONS}")));
            }
        }
        if !open && !origins.is_empty() {
            return Err(ConfigError("origins stand beside open only; a key has its own".to_owned()));
        }
        check_origins(&origins).map_err(|problem| ConfigError(format!("origins{problem}")))?;
        if let Some(sample) = log.sample.filter(|sample| !(0.0..=1.0).contains(sample)) {
            return Err(ConfigError(format!("log.sample is {sample}; it must be 0 to 1")));
        }
        if !frozen.iter().all(|tenant| tenant == ALL || is_id(tenant)) {
            return Err(ConfigError(format!("frozen has a tenant that {ID}, or be {ALL}")));
        }
        let retention = retention.map(Retention::read).transpose().map_err(ConfigError)?.unwrap_or_default();
        let schemas = schemas.map(Schemas::read).transpose().map_err(ConfigError)?.unwrap_or_default();
        let allowances = limits.map(Allowances::read).transpose().map_err(ConfigError)?.unwrap_or_default();
        let has_any = keys.is_some() || jwt.is_some() || webhooks.is_some();
        let (keys, issuers) = (keys.unwrap_or_default(), jwt.unwrap_or_default());
        let senders = webhooks.unwrap_or_default();
        let access = match (open, has_any) {
            (true, false) => Access::Open,
            (true, true) => return Err(ConfigError("open stands beside keys; one of them must go".to_owned())),
            (false, _) if !keys.is_empty() || !issuers.is_empty() || !senders.is_empty() => {
                let mut known = Keys::default();
                for (index, text) in keys.into_iter().enumerate() {
                    let key = key(text.get()).and_then(|key| known.add(key));
                    key.map_err(|problem| ConfigError(format!("keys[{index}]{problem}")))?;
                }
                for (index, text) in issuers.into_iter().enumerate() {
                    let issuer = Issuer::read(text).and_then(|issuer| known.add_issuer(issuer));
                    issuer.map_err(|problem| ConfigError(format!("jwt[{index}]{problem}")))?;
                }
                for (index, text) in senders.into_iter().enumerate() {
                    let sender = Sender::read(text).and_then(|sender| known.add_sender(sender));
                    sender.map_err(|problem| ConfigError(format!("webhooks[{index}]{problem}")))?;
                }
                origins = known.origins();
                Access::Keys(known)
            }
            (false, _) => return Err(ConfigError(format!("there are no keys; {NEITHER}"))),
        };
        if !allowances.named_keys().all(|id| access.has_key(id)) {
            return Err(ConfigError("limits.keys names a key that keys does not have".to_owned()));
        }
        let privacy = privacy.map(Privacy::read).transpose().map_err(ConfigError)?.unwrap_or_default();
        let bots = bots.map(Bots::read).transpose().map_err(ConfigError)?.unwrap_or_default();
        let secrets = Secrets::named(&access, &privacy).map_err(ConfigError)?;
        Ok(Self {
            access,
            shards,
            dimensions,
            retention,
            schemas,
            allowances,
            privacy,
            bots,
            secrets,
            lines: log,
            frozen,
            origins,
        })
    }

    /// Says that the tenant's clients may not write for now, because the tenant moves to another service.
    pub(crate) fn is_frozen(&self, tenant: &Tenant) -> bool {
        self.frozen.iter().any(|name| name == ALL || name == tenant.as_str())
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.access, Access::Closed(_) | Access::Unread(_)) || self.secrets.are_missing()
    }

    /// Stands in for a missing or invalid configuration, with the reason. The service is closed and has the default
    /// shards and dimensions.
    pub(crate) fn closed(reason: String) -> Self {
        Self {
            access: Access::Closed(reason),
            shards: SHARDS,
            dimensions: Dimensions::new(),
            retention: Retention::default(),
            schemas: Schemas::default(),
            allowances: Allowances::default(),
            privacy: Privacy::default(),
            bots: Bots::default(),
            secrets: Secrets::default(),
            lines: Lines::default(),
            frozen: Vec::new(),
            origins: Vec::new(),
        }
    }

    /// Stands in for a configuration that could not be read for now.
    pub(crate) fn unread(reason: String) -> Self {
        Self { access: Access::Unread(reason), ..Self::closed(String::new()) }
    }
}

/// The place that holds the configuration, out of those that a platform knows by their names. `None` if the operator
/// has named none of them: then the configuration is the text in the environment.
///
/// A place goes before the text, even while it cannot be read. The text may be an old one, whose keys were taken back.
///
/// # Errors
/// [`ConfigError`] if two places are named. Neither goes first, because either may be the old one.
pub fn only_place<P>(named: impl IntoIterator<Item = (&'static str, Option<P>)>) -> Result<Option<P>, ConfigError> {
    let mut named = named.into_iter().filter_map(|(name, place)| Some((name, place?)));
    match (named.next(), named.next()) {
        (Some((one, _)), Some((other, _))) => {
            Err(ConfigError(format!("{one} stands beside {other}; one of them must go")))
        }
        (first, _) => Ok(first.map(|(_, place)| place)),
    }
}

/// A key as an entry for the `keys` of a configuration: JSON on one line.
///
/// # Errors
/// [`ConfigError`] if a configuration would not accept the entry.
pub fn key_entry(
    key: &str,
    id: Option<&str>,
    tenant: &str,
    scope: &str,
    expires: Option<&str>,
) -> Result<String, ConfigError> {
    entry(key, id, tenant, scope, expires, None, &[])
}

/// A public key, which may write, as an entry for the `keys` of a configuration: JSON on one line. `origins` are the
/// pages that may use it.
///
/// # Errors
/// [`ConfigError`] if a configuration would not accept the entry.
pub fn public_key_entry(
    key: &str,
    id: Option<&str>,
    tenant: &str,
    expires: Option<&str>,
    origins: &[String],
) -> Result<String, ConfigError> {
    entry(key, id, tenant, "write", expires, Some("public"), origins)
}

fn entry(
    key: &str,
    id: Option<&str>,
    tenant: &str,
    scope: &str,
    expires: Option<&str>,
    kind: Option<&str>,
    origins: &[String],
) -> Result<String, ConfigError> {
    #[derive(Serialize)]
    struct Entry<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
        sha256: String,
        tenant: &'a str,
        scope: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        expires: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        kind: Option<&'a str>,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        origins: &'a [String],
    }
    let sha256 = Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect();
    let entry = serde_json::to_string(&Entry { id, sha256, tenant, scope, expires, kind, origins });
    let entry = entry.map_err(|error| ConfigError(error.to_string()))?;
    Config::parse(&format!(r#"{{"version":2,"keys":[{entry}]}}"#)).map(|_good| entry)
}

const NEITHER: &str = r#"it needs "keys", or "open": true"#;

/// Reads one key. An error text continues the key's place, such as `keys[0]`.
fn key(text: &str) -> Result<Key, String> {
    let KeyText { id, sha256, tenant, scope, expires, kind, origins } =
        object(text).map_err(|problem| format!(": {problem}"))?;
    let hash = parse_sha256(&sha256).ok_or(".sha256 must be 64 hexadecimal digits")?;
    if hash.as_slice() == Sha256::digest(b"").as_slice() {
        return Err(".sha256 is that of the empty text, which is no key".to_owned());
    }
    let tenant = Tenant::parse(tenant).map_err(|problem| format!(".{problem}"))?;
    let id = id.unwrap_or_else(|| sha256.chars().take(8).collect::<String>().to_ascii_lowercase());
    if !is_id(&id) {
        return Err(format!(".id {ID}"));
    }
    let expires = expires.as_deref().map(Millis::from_rfc3339).transpose();
    let expires = expires.map_err(|_rejected| ".expires must be RFC 3339, such as 2027-01-01T00:00:00Z")?;
    if kind == Kind::Public && scope != Scope::Write {
        return Err(".kind public needs the scope write: everyone can read such a key".to_owned());
    }
    if !origins.is_empty() && scope != Scope::Write {
        return Err(".origins need the scope write: pages send events and read nothing".to_owned());
    }
    check_origins(&origins).map_err(|problem| format!(".origins{problem}"))?;
    Ok(Key { id, sha256: hash, tenant, scope, expires, kind, origins })
}

/// Checks that these are origins as browsers send them. An error text continues the place of the list.
fn check_origins(origins: &[String]) -> Result<(), String> {
    match origins.iter().position(|origin| !is_origin(origin)) {
        Some(index) => Err(format!("[{index}] must be an origin in lower case, such as https://shop.example")),
        None => Ok(()),
    }
}

/// Whether a browser may send this text as `Origin`: scheme, host and port, without a wildcard.
fn is_origin(text: &str) -> bool {
    let scheme = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
    let host = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._:[]".contains(c);
    text.split_once("://").is_some_and(|(before, after)| {
        before.starts_with(|c: char| c.is_ascii_lowercase())
            && before.chars().all(scheme)
            && !after.is_empty()
            && after.chars().all(host)
    })
}

/// Reads a JSON object. serde alone would also accept an array and take its elements as the members in order.
fn object<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, String> {
    if !json.starts_with('{') {
        return Err("it must be a JSON object".to_owned());
    }
    let read = serde_json::from_str(json).map_err(|error| without_values(&error.to_string()))?;
    // Whoever wrote it meant to say something, and it may be what closes the service.
    if has_null(json) {
        return Err("a member is null: leave it out, or say what it is".to_owned());
    }
    Ok(read)
}

/// True if a member of this JSON object is null. Outside of texts and of what is nested, no other value has an `n`.
fn has_null(object: &str) -> bool {
    let (mut depth, mut is_text, mut is_escaped) = (0_usize, false, false);
    object.bytes().any(|byte| {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => is_text = !is_text,
            _ if is_text => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'n' => return depth == 1,
            _ => {}
        }
        false
    })
}

/// The parser's message without the text that it quotes from the configuration, which could be a key or its hash. Short
/// words stay.
fn without_values(message: &str) -> String {
    let is_word = |text: &str| text.len() < 16 && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    // The quoted text comes first, in one of two kinds of quotes, and may contain both kinds. What serde expects comes
    // after it.
    let Some((from, quote)) = message.char_indices().find(|(_, c)| matches!(c, '`' | '"')) else {
        return message.to_owned();
    };
    let until = message.rfind(&format!("{quote}, expected ")).or(message.rfind(quote)).unwrap_or(from);
    let (Some(before), Some(value), Some(after)) =
        (message.get(..=from), message.get(from + 1..until), message.get(until..))
    else {
        return message.get(..from).unwrap_or_default().to_owned();
    };
    let value = if quote == '`' && is_word(value) { value } else { "…" };
    [before, value, after].concat()
}

fn parse_sha256(digits: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in hash.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?;
    }
    Some(hash)
}
