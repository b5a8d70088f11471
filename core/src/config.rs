//! What an operator decides: keys, shards and dimensions. One JSON text, the same on every platform.

use std::fmt;

use serde::Deserialize;

use crate::access::{Keys, Scope};
use crate::rollup::observation::{DIMENSIONS, Dimensions};

/// Whose events they are. 1–64 of `A–Z a–z 0–9 _ -`, so that every store can take it into a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant(String);

impl Tenant {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tenant of a service without keys.
    pub(crate) fn default_tenant() -> Self {
        Self("default".to_owned())
    }

    /// Reads a name, as a store has it.
    ///
    /// # Errors
    /// [`ConfigError`] where it is none.
    pub fn parse(name: String) -> Result<Self, ConfigError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if (1..=64).contains(&name.len()) && name.chars().all(allowed) {
            Ok(Self(name))
        } else {
            Err(ConfigError(format!("tenant {name:?} must be 1 to 64 of A-Z a-z 0-9 _ -")))
        }
    }
}

/// The configuration of a service.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) keys: Keys,
    pub(crate) shards: u32,
    pub(crate) dimensions: Dimensions,
}

/// The configuration is no good: where, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "configuration: {}", self.0)
    }
}

impl std::error::Error for ConfigError {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigText {
    #[serde(default)]
    keys: Vec<KeyText>,
    #[serde(default = "default_shards")]
    shards: u32,
    #[serde(default)]
    dimensions: Dimensions,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyText {
    sha256: String,
    tenant: String,
    scope: Scope,
}

const SHARDS: u32 = 4;

fn default_shards() -> u32 {
    SHARDS
}

impl Default for Config {
    /// No keys, so that the service is open, and 4 shards.
    fn default() -> Self {
        Self { keys: Keys::default(), shards: SHARDS, dimensions: Dimensions::new() }
    }
}

impl Config {
    /// Reads `{"keys": [{"sha256": "<64 hexadecimal digits>", "tenant": "acme", "scope": "write|read|both"}], "shards": 4,
    /// "dimensions": {"flight_departed": ["carrier", "dest"]}}`. All members may be left out; an empty text is the default
    /// configuration: no keys, 4 shards, and every string property of an event is a dimension, up to 8.
    ///
    /// # Errors
    /// [`ConfigError`] says which member is wrong and what was expected.
    pub fn parse(json: &str) -> Result<Self, ConfigError> {
        if json.trim().is_empty() {
            return Ok(Self::default());
        }
        let ConfigText { keys, shards, dimensions } =
            serde_json::from_str(json).map_err(|error| ConfigError(error.to_string()))?;
        if !(1..=256).contains(&shards) {
            return Err(ConfigError(format!("shards is {shards}, 1 to 256 are possible")));
        }
        for (event_type, names) in &dimensions {
            if names.len() > DIMENSIONS {
                let count = names.len();
                return Err(ConfigError(format!(
                    "dimensions.{event_type} has {count} names, at most {DIMENSIONS} are possible"
                )));
            }
        }
        let mut known = Keys::default();
        for (index, KeyText { sha256, tenant, scope }) in keys.into_iter().enumerate() {
            let hash = parse_sha256(&sha256)
                .ok_or_else(|| ConfigError(format!("keys[{index}].sha256 must be 64 hexadecimal digits")))?;
            known.add(hash, Tenant::parse(tenant)?, scope).map_err(|_taken| {
                ConfigError(format!("keys[{index}].sha256 is there twice; one key has one tenant and one scope"))
            })?;
        }
        Ok(Self { keys: known, shards, dimensions })
    }
}

fn parse_sha256(digits: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in hash.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&digits[at..at + 2], 16).ok()?;
    }
    Some(hash)
}
