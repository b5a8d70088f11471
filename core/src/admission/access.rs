//! Who may do what. Keys are known only by their SHA-256.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::vocabulary::rejection::Rejection;
use crate::vocabulary::tenant::Tenant;
use crate::vocabulary::time::Millis;

/// The shortest key, in characters. A shorter text could be guessed, so it is never accepted.
const KEY_CHARACTERS: usize = 16;

/// What a key may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    Write,
    Read,
    /// Write and read.
    Both,
    /// An operator's work, such as maintenance.
    Operate,
    /// Erase events. No route asks for it yet.
    Erase,
}

impl Scope {
    fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Both => "both",
            Self::Operate => "operate",
            Self::Erase => "erase",
        }
    }

    fn covers(self, needed: Self) -> bool {
        self == needed || (self == Self::Both && matches!(needed, Self::Write | Self::Read))
    }
}

/// Who may use a service.
#[derive(Clone, Debug)]
pub(crate) enum Access {
    /// Nobody, because the configuration was not accepted, for this reason.
    Closed(String),
    /// Everyone may write and read, and all events belong to one tenant. Nobody is an operator.
    Open,
    /// Whoever presents one of these keys.
    Keys(Keys),
}

/// How a request identifies its sender.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Credential<'a> {
    /// The value of the header `authorization`.
    Authorization(Option<&'a str>),
    /// The id of a key that was checked before the request was written down as a message.
    KeyId(&'a str),
}

/// The configured keys. No two share a hash or an id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys(Vec<Key>);

/// One key.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    /// The name of the key in messages and configurations.
    pub(crate) id: String,
    pub(crate) sha256: [u8; 32],
    pub(crate) tenant: Tenant,
    pub(crate) scope: Scope,
    /// The key is invalid from this moment on.
    pub(crate) expires: Option<Millis>,
}

impl Access {
    /// The tenants that own a key, each once.
    pub(crate) fn tenants(&self) -> Vec<Tenant> {
        let Self::Keys(Keys(keys)) = self else { return vec![Tenant::default_tenant()] };
        let mut tenants: Vec<Tenant> = Vec::new();
        for Key { tenant, .. } in keys {
            if !tenants.contains(tenant) {
                tenants.push(tenant.clone());
            }
        }
        tenants
    }

    /// The tenant of a request, if its credential covers the scope `needed` at `received_at`.
    pub(crate) fn authorize(
        &self,
        credential: Credential<'_>,
        needed: Scope,
        received_at: Millis,
    ) -> Result<Tenant, Rejection> {
        match self {
            Self::Closed(_) => Err(Rejection::NotConfigured),
            Self::Open if matches!(needed, Scope::Write | Scope::Read) => Ok(Tenant::default_tenant()),
            Self::Open => Err(Rejection::Unauthorized),
            Self::Keys(keys) => keys.authorize(credential, needed, received_at).map(|key| key.tenant.clone()),
        }
    }

    /// The tenant of a request, and the id of its key if there are keys, whatever the key may be used for.
    pub(crate) fn identify(&self, credential: Credential<'_>, received_at: Millis) -> Option<(Tenant, Option<&str>)> {
        match self {
            Self::Closed(_) => None,
            Self::Open => Some((Tenant::default_tenant(), None)),
            Self::Keys(keys) => {
                keys.valid(credential, received_at).map(|key| (key.tenant.clone(), Some(key.id.as_str())))
            }
        }
    }

    /// The id of the key in `authorization`, if it may write. An open service checks no key; its id is `open`.
    pub(crate) fn writer(&self, authorization: Option<&str>, received_at: Millis) -> Result<&str, Rejection> {
        match self {
            Self::Closed(_) => Err(Rejection::NotConfigured),
            Self::Open => Ok("open"),
            Self::Keys(keys) => keys
                .authorize(Credential::Authorization(authorization), Scope::Write, received_at)
                .map(|key| key.id.as_str()),
        }
    }
}

impl Keys {
    /// Adds a key, or says whether its hash or its id is there already.
    pub(crate) fn add(&mut self, key: Key) -> Result<(), String> {
        if self.0.iter().any(|known| known.sha256 == key.sha256) {
            return Err(".sha256 is there twice; one key has one tenant and one scope".to_owned());
        }
        if self.0.iter().any(|known| known.id == key.id) {
            return Err(".id is there twice".to_owned());
        }
        self.0.push(key);
        Ok(())
    }

    /// The key that a request presents, if it has not expired.
    fn valid(&self, credential: Credential<'_>, received_at: Millis) -> Option<&Key> {
        let found = match credential {
            Credential::Authorization(header) => self.presented(header),
            Credential::KeyId(id) => self.0.iter().find(|key| key.id == id),
        };
        found.filter(|key| key.expires.is_none_or(|expires| received_at < expires))
    }

    fn authorize(&self, credential: Credential<'_>, needed: Scope, received_at: Millis) -> Result<&Key, Rejection> {
        let key = self.valid(credential, received_at).ok_or(Rejection::Unauthorized)?;
        if key.scope.covers(needed) { Ok(key) } else { Err(Rejection::Forbidden(needed.name())) }
    }

    fn presented(&self, authorization: Option<&str>) -> Option<&Key> {
        let presented = authorization.and_then(credential)?;
        presented.chars().nth(KEY_CHARACTERS - 1)?;
        let hash = Sha256::digest(presented.as_bytes());
        // Every key is compared, and each in constant time, so the duration reveals nothing about any key.
        self.0.iter().fold(None, |found, key| {
            if bool::from(key.sha256.as_slice().ct_eq(hash.as_slice())) { Some(key) } else { found }
        })
    }
}

/// The key in `Bearer <key>`, `Basic base64(<key>:)` or `Basic base64(<anything>:<key>)`.
fn credential(authorization: &str) -> Option<String> {
    let (scheme, rest) = authorization.trim().split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        Some(rest.to_owned())
    } else if scheme.eq_ignore_ascii_case("basic") {
        let pair = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
        let (user, password) = pair.split_once(':')?;
        Some(if password.is_empty() { user } else { password }.to_owned())
    } else {
        None
    }
}
