//! Who may do what: keys, known only by their SHA-256.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::Tenant;
use crate::refusal::Refusal;

/// What a key may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    Write,
    Read,
    Both,
}

/// The configured keys. None at all: the service is open, and everything belongs to one tenant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys(Vec<Key>);

#[derive(Clone, Debug)]
struct Key {
    sha256: [u8; 32],
    tenant: Tenant,
    scope: Scope,
}

/// This hash has a tenant already.
#[derive(Debug)]
pub(crate) struct Taken;

impl Keys {
    pub(crate) fn add(&mut self, sha256: [u8; 32], tenant: Tenant, scope: Scope) -> Result<(), Taken> {
        if self.0.iter().any(|key| key.sha256 == sha256) {
            return Err(Taken);
        }
        self.0.push(Key { sha256, tenant, scope });
        Ok(())
    }

    pub(crate) fn is_open(&self) -> bool {
        self.0.is_empty()
    }

    /// Everyone to whom a key belongs, each once.
    pub(crate) fn tenants(&self) -> Vec<Tenant> {
        let mut tenants: Vec<Tenant> = Vec::new();
        for Key { tenant, .. } in &self.0 {
            if !tenants.contains(tenant) {
                tenants.push(tenant.clone());
            }
        }
        if tenants.is_empty() { vec![Tenant::default_tenant()] } else { tenants }
    }

    /// Whose request it is, if its `authorization` may do what `needed` says.
    pub(crate) fn authorize(&self, authorization: Option<&str>, needed: Scope) -> Result<Tenant, Refusal> {
        if self.is_open() {
            return Ok(Tenant::default_tenant());
        }
        let presented = authorization.and_then(credential).ok_or(Refusal::Unauthorized)?;
        let hash = Sha256::digest(presented.as_bytes());
        // Every key is compared, each in constant time: how long it takes tells nothing of a key.
        let found = self.0.iter().fold(None, |found, key| {
            if bool::from(key.sha256.as_slice().ct_eq(hash.as_slice())) { Some(key) } else { found }
        });
        let key = found.ok_or(Refusal::Unauthorized)?;
        match (key.scope, needed) {
            (Scope::Both, _) | (Scope::Write, Scope::Write) | (Scope::Read, Scope::Read) => Ok(key.tenant.clone()),
            (_, Scope::Write) => Err(Refusal::Forbidden("write")),
            _ => Err(Refusal::Forbidden("read")),
        }
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
