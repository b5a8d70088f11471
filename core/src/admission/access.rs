//! Who may do what. Keys are known only by their SHA-256.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::admission::scope::{Caller, Scope};
use crate::admission::tokens::{self, Issuer};
use crate::admission::webhooks::Sender;
use crate::vocabulary::rejection::{Rejection, shown};
use crate::vocabulary::tenant::Tenant;
use crate::vocabulary::time::Millis;

/// The shortest key, in characters. A shorter text could be guessed, so it is never accepted.
const KEY_CHARACTERS: usize = 16;

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
    /// Nobody, because the configuration could not be read for now, for this reason.
    Unread(String),
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
    /// The same, where the platform's gateway has checked the signature of its token.
    Verified(&'a str),
    /// The id of a key that was checked before the request was written down as a message.
    KeyId(&'a str),
    /// A key that stands in a body, a query or a path. It must be public.
    Published(&'a str),
}

/// What a request that writes may do.
#[derive(Clone, Debug)]
pub(crate) struct Grant<'a> {
    pub(crate) caller: Caller<'a>,
    /// Whether a page of the request's origin may read the answer.
    pub(crate) is_shared: bool,
}

/// The configured keys, and in place of keys the issuers of tokens and the senders of webhooks. No two share a hash or an
/// id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys {
    keys: Vec<Key>,
    pub(crate) issuers: Vec<Issuer>,
    pub(crate) senders: Vec<Sender>,
}

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

/// Stands for the id of a key where the service is open.
const OPEN: &str = "open";

impl Access {
    /// The sender of webhooks with this id.
    pub(crate) fn sender(&self, id: &str) -> Option<&Sender> {
        match self {
            Self::Keys(keys) => keys.senders.iter().find(|sender| sender.id == id),
            _ => None,
        }
    }

    /// Whether a key, an issuer or a sender has this id.
    pub(crate) fn has_key(&self, id: &str) -> bool {
        matches!(self, Self::Keys(keys) if keys.has_id(id))
    }

    /// The tenants that own a key, an issuer or a sender, each once. Others may be named by tokens.
    pub(crate) fn tenants(&self) -> Vec<Tenant> {
        let Self::Keys(Keys { keys, issuers, senders }) = self else { return vec![Tenant::default_tenant()] };
        let mut tenants: Vec<Tenant> = Vec::new();
        let owners = keys.iter().map(|key| &key.tenant).chain(issuers.iter().filter_map(Issuer::tenant));
        for tenant in owners.chain(senders.iter().map(|sender| &sender.tenant)) {
            if !tenants.contains(tenant) {
                tenants.push(tenant.clone());
            }
        }
        tenants
    }

    /// The tenant and the key of a request, if its credential covers the scope `needed` at `received_at`.
    pub(crate) fn authorize(
        &self,
        credential: Credential<'_>,
        needed: Scope,
        received_at: Millis,
    ) -> Result<Caller<'_>, Rejection> {
        match self {
            Self::Closed(_) | Self::Unread(_) => Err(Rejection::NotConfigured),
            Self::Open if matches!(needed, Scope::Write | Scope::Read) => {
                Ok(Caller { tenant: Tenant::default_tenant(), key: OPEN })
            }
            Self::Open => Err(Rejection::Unauthorized),
            Self::Keys(keys) => keys.authorize(credential, needed, received_at),
        }
    }

    /// What a request may do that writes and comes from a page of this origin, if any.
    pub(crate) fn authorize_write(
        &self,
        credential: Credential<'_>,
        origin: Option<&str>,
        received_at: Millis,
    ) -> Result<Grant<'_>, Rejection> {
        let caller = self.authorize(credential, Scope::Write, received_at)?;
        let Self::Keys(keys) = self else {
            // Whoever reaches an open service may write. `Config::origins` says which pages may read the answer.
            return Ok(Grant { caller, is_shared: true });
        };
        // A token is as secret as a key that is.
        let key = keys.keys.iter().find(|key| key.id == caller.key);
        let is_listed = |key: &Key| origin.is_some_and(|origin| key.origins.iter().any(|known| known == origin));
        let is_listed = key.is_some_and(is_listed);
        // A secret key without origins is not meant for pages, and no browser lets a page send it. A header that a
        // proxy passes on does no harm.
        let is_bound = key.is_some_and(|key| key.kind == Kind::Public || !key.origins.is_empty());
        match origin {
            Some(origin) if is_bound && !is_listed => Err(Rejection::OriginNotAllowed(shown(origin))),
            _ => Ok(Grant { caller, is_shared: is_listed }),
        }
    }

    /// The tenant of a request, and the id of its key if there are keys, whatever the key may be used for.
    pub(crate) fn identify(&self, credential: Credential<'_>, received_at: Millis) -> Option<(Tenant, Option<&str>)> {
        match self {
            Self::Closed(_) | Self::Unread(_) => None,
            Self::Open => Some((Tenant::default_tenant(), None)),
            Self::Keys(keys) => {
                let caller =
                    Scope::ALL.into_iter().find_map(|needed| keys.authorize(credential, needed, received_at).ok());
                caller.map(|Caller { tenant, key }| (tenant, Some(key)))
            }
        }
    }

    /// The id of the key in `authorization`, if it may write; for a token, the id of its issuer, a slash and its tenant.
    /// An open service checks no key; its id is `open`. Beside it, the tenant.
    pub(crate) fn writer(
        &self,
        authorization: Option<&str>,
        received_at: Millis,
    ) -> Result<(Tenant, String), Rejection> {
        let credential = Credential::Authorization(authorization);
        let Caller { tenant, key } = self.authorize(credential, Scope::Write, received_at)?;
        let is_issuer = matches!(self, Self::Keys(keys) if keys.issuers.iter().any(|issuer| issuer.id == key));
        let id = if is_issuer { format!("{key}/{}", tenant.as_str()) } else { key.to_owned() };
        Ok((tenant, id))
    }
}

impl Keys {
    fn has_id(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id == id)
            || self.issuers.iter().any(|issuer| issuer.id == id)
            || self.senders.iter().any(|sender| sender.id == id)
    }

    /// Adds a key, or says whether its hash or its id is there already.
    pub(crate) fn add(&mut self, key: Key) -> Result<(), String> {
        if self.keys.iter().any(|known| known.sha256 == key.sha256) {
            return Err(".sha256 is there twice; one key has one tenant and one scope".to_owned());
        }
        if self.has_id(&key.id) {
            return Err(".id is there twice".to_owned());
        }
        self.keys.push(key);
        Ok(())
    }

    /// Every origin whose pages may use one of the keys, each once.
    pub(crate) fn origins(&self) -> Vec<String> {
        let mut origins: Vec<String> = self.keys.iter().flat_map(|key| key.origins.iter().cloned()).collect();
        origins.sort_unstable();
        origins.dedup();
        origins
    }

    /// Adds an issuer, or says that its id is there already.
    pub(crate) fn add_issuer(&mut self, issuer: Issuer) -> Result<(), String> {
        if self.has_id(&issuer.id) {
            return Err(".id is there twice".to_owned());
        }
        self.issuers.push(issuer);
        Ok(())
    }

    /// Adds a sender of webhooks, or says that its id is there already.
    pub(crate) fn add_sender(&mut self, sender: Sender) -> Result<(), String> {
        if self.has_id(&sender.id) {
            return Err(".id is there twice".to_owned());
        }
        self.senders.push(sender);
        Ok(())
    }

    fn authorize(
        &self,
        credential: Credential<'_>,
        needed: Scope,
        received_at: Millis,
    ) -> Result<Caller<'_>, Rejection> {
        let found = match credential {
            Credential::Authorization(None) => None,
            Credential::Authorization(Some(header)) | Credential::Verified(header) => {
                let found = self::credential(header).and_then(|key| self.presented(&key));
                if found.is_none()
                    && let Some(token) = bearer(header).filter(|token| tokens::is_token(token))
                    && !self.issuers.is_empty()
                {
                    let is_verified = matches!(credential, Credential::Verified(_));
                    return tokens::caller(&self.issuers, token, is_verified, needed, received_at);
                }
                found
            }
            Credential::Published(key) => self.presented(key),
            Credential::KeyId(id) => match id.split_once('/') {
                Some((issuer, tenant)) => return self.vouched(issuer, tenant),
                None => self.keys.iter().find(|key| key.id == id),
            },
        };
        let is_valid = |key: &&Key| key.expires.is_none_or(|expires| received_at < expires);
        let key = found.filter(is_valid).ok_or(Rejection::Unauthorized)?;
        if matches!(credential, Credential::Published(_)) && key.kind == Kind::Secret {
            return Err(Rejection::SecretKey);
        }
        if key.scope.covers(needed) {
            Ok(Caller { tenant: key.tenant.clone(), key: &key.id })
        } else {
            Err(Rejection::Forbidden(needed.name()))
        }
    }

    /// The caller whose token of this issuer was checked before.
    fn vouched(&self, issuer: &str, tenant: &str) -> Result<Caller<'_>, Rejection> {
        let issuer = self.issuers.iter().find(|known| known.id == issuer).ok_or(Rejection::Unauthorized)?;
        let tenant = Tenant::parse(tenant.to_owned()).map_err(|_none| Rejection::Unauthorized)?;
        match issuer.tenant() {
            Some(fixed) if *fixed != tenant => Err(Rejection::Unauthorized),
            _ => Ok(Caller { tenant, key: &issuer.id }),
        }
    }

    fn presented(&self, presented: &str) -> Option<&Key> {
        presented.chars().nth(KEY_CHARACTERS - 1)?;
        let hash = Sha256::digest(presented.as_bytes());
        // Every key is compared, and each in constant time, so the duration reveals nothing about any key.
        self.keys.iter().fold(None, |found, key| {
            if bool::from(key.sha256.as_slice().ct_eq(hash.as_slice())) { Some(key) } else { found }
        })
    }
}

/// The token in `Bearer <token>`.
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, rest) = authorization.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(rest.trim())
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
