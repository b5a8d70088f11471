//! Who may do what. Keys are known only by their SHA-256.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::vocabulary::rejection::{Rejection, shown};
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

/// Who may know a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Only its owner. It stands in the header `authorization`.
    #[default]
    Secret,
    /// Everyone, since it is published with a page or an app. It may write, and may stand in a body, a query or a path.
    Public,
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
    /// A key that stands in a body, a query or a path. It must be public.
    Published(&'a str),
}

/// What a request that writes may do.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) tenant: Tenant,
    /// Whether a page of the request's origin may read the answer.
    pub(crate) is_shared: bool,
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
    pub(crate) kind: Kind,
    /// The origins of the pages that may use the key, as browsers send them.
    pub(crate) origins: Vec<String>,
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

    /// What a request may do that writes and comes from a page of this origin, if any.
    pub(crate) fn authorize_write(
        &self,
        credential: Credential<'_>,
        origin: Option<&str>,
        received_at: Millis,
    ) -> Result<Grant, Rejection> {
        let Self::Keys(keys) = self else {
            // Whoever reaches an open service may write. `Config::origins` says which pages may read the answer.
            return Ok(Grant { tenant: self.authorize(credential, Scope::Write, received_at)?, is_shared: true });
        };
        let key = keys.authorize(credential, Scope::Write, received_at)?;
        let is_listed = origin.is_some_and(|origin| key.origins.iter().any(|known| known == origin));
        // A secret key without origins is not meant for pages, and no browser lets a page send it. A header that a
        // proxy passes on does no harm.
        let is_bound = key.kind == Kind::Public || !key.origins.is_empty();
        match origin {
            Some(origin) if is_bound && !is_listed => Err(Rejection::OriginNotAllowed(shown(origin))),
            _ => Ok(Grant { tenant: key.tenant.clone(), is_shared: is_listed }),
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

    /// Every origin whose pages may use one of the keys, each once.
    pub(crate) fn origins(&self) -> Vec<String> {
        let mut origins: Vec<String> = self.0.iter().flat_map(|key| key.origins.iter().cloned()).collect();
        origins.sort_unstable();
        origins.dedup();
        origins
    }

    fn authorize(&self, credential: Credential<'_>, needed: Scope, received_at: Millis) -> Result<&Key, Rejection> {
        let found = match credential {
            Credential::Authorization(header) => header.and_then(self::credential).and_then(|key| self.presented(&key)),
            Credential::KeyId(id) => self.0.iter().find(|key| key.id == id),
            Credential::Published(key) => self.presented(key),
        };
        let is_valid = |key: &&Key| key.expires.is_none_or(|expires| received_at < expires);
        let key = found.filter(is_valid).ok_or(Rejection::Unauthorized)?;
        if matches!(credential, Credential::Published(_)) && key.kind == Kind::Secret {
            return Err(Rejection::SecretKey);
        }
        if key.scope.covers(needed) { Ok(key) } else { Err(Rejection::Forbidden(needed.name())) }
    }

    fn presented(&self, presented: &str) -> Option<&Key> {
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
