//! JSON Web Tokens in place of keys (RFC 7519), with the rules of RFC 8725.
//!
//! The configuration pins issuer, audience, algorithm and key. Nothing in a token chooses any of them, and nothing is
//! fetched. Claims are read once the signature is known to be good. Of RS256 only the platform's gateway can know it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::value::RawValue;

use crate::admission::json::{self, Value};
use crate::admission::member;
use crate::admission::scope::{Caller, Scope};
use crate::admission::signature::{Algorithm, VerifyingKey};
use crate::vocabulary::rejection::Rejection;
use crate::vocabulary::tenant::{ID, Tenant, is_id};
use crate::vocabulary::time::Millis;

/// The longest token. Longer ones are not looked at.
const TOKEN_BYTES: usize = 8 * 1024;
/// How far the clock of an issuer may be off, if the configuration says nothing, and at most.
const LEEWAY: u64 = 60;
const LONGEST_LEEWAY: u64 = 600;
/// The values of `typ` that name a token for access.
const TYPES: [&str; 4] = ["jwt", "at+jwt", "application/jwt", "application/at+jwt"];

/// In place of a key: the platform's gateway has it.
const GATEWAY: &str = "gateway";

/// The members of an entry of the configuration's `jwt`.
const MEMBERS: [&str; 11] = [
    "id",
    "issuer",
    "audience",
    "algorithm",
    "key",
    "secret",
    "tenant",
    "tenantClaim",
    "scope",
    "scopeClaim",
    "leewaySeconds",
];

/// Whose tokens are taken.
#[derive(Clone, Debug)]
pub(crate) struct Issuer {
    /// Stands for a key's id.
    pub(crate) id: String,
    issuer: String,
    audience: String,
    algorithm: Algorithm,
    key: VerifyingKey,
    kid: Option<String>,
    /// The name of the secret, where there is one.
    pub(crate) secret: Option<String>,
    tenant: Claimed<Tenant>,
    scope: Claimed<Scope>,
    leeway: u64,
}

/// Something that is configured, or is in a claim with this name.
#[derive(Clone, Debug)]
enum Claimed<T> {
    Fixed(T),
    Claim(String),
}

impl<T> Claimed<T> {
    fn read(fixed: Option<T>, claim: Option<String>, what: &str) -> Result<Self, String> {
        match (fixed, claim) {
            (Some(fixed), None) => Ok(Self::Fixed(fixed)),
            (None, Some(claim)) if !claim.is_empty() => Ok(Self::Claim(claim)),
            _ => Err(format!(" needs either {what} or {what}Claim")),
        }
    }
}

impl Issuer {
    /// Reads an entry of the configuration's `jwt`. An error text continues its place, such as `jwt[0]`.
    pub(crate) fn read(text: &RawValue) -> Result<Self, String> {
        let value = member::read("", text)?;
        let members = member::only(&value, &MEMBERS)?;
        let text = |name: &str| member::get(members, name).and_then(member::text).map(str::to_owned);
        let id = text("id").filter(|id| is_id(id)).ok_or_else(|| format!(".id {ID}"))?;
        let named = |name: &str| text(name).filter(|text| !text.is_empty());
        let (Some(issuer), Some(audience)) = (named("issuer"), named("audience")) else {
            return Err(" needs an issuer and an audience".to_owned());
        };
        let algorithm = text("algorithm").as_deref().and_then(Algorithm::of);
        let algorithm = algorithm.ok_or(".algorithm must be HS256, ES256, EdDSA or RS256")?;
        let (key, secret) = (member::get(members, "key"), text("secret"));
        let (verifying, kid) = match (algorithm, key, &secret) {
            (Algorithm::Hs256, None, Some(_)) => (VerifyingKey::Hs256(None), None),
            (Algorithm::Hs256, ..) => return Err(" with HS256 needs the name of a secret, and no key".to_owned()),
            (Algorithm::Rs256, Some(Value::String(name)), None) if name == GATEWAY => (VerifyingKey::Gateway, None),
            (Algorithm::Rs256, ..) => return Err(format!(" with RS256 needs the key \"{GATEWAY}\", and no secret")),
            (_, Some(jwk), None) => VerifyingKey::read(algorithm, jwk).map_err(|problem| format!(".key{problem}"))?,
            _ => return Err(format!(" with {} needs a key, and no secret", algorithm.name())),
        };
        let tenant = text("tenant").map(Tenant::parse).transpose().map_err(|problem| format!(".{problem}"))?;
        let scope = match text("scope") {
            Some(name) => Some(Scope::of(&name).ok_or(".scope must be write, read, both, operate or erase")?),
            None => None,
        };
        let leeway = member::get(members, "leewaySeconds").map_or(Some(LEEWAY), member::whole);
        let leeway = leeway.filter(|leeway| *leeway <= LONGEST_LEEWAY);
        Ok(Self {
            tenant: Claimed::read(tenant, text("tenantClaim"), "tenant")?,
            scope: Claimed::read(scope, text("scopeClaim"), "scope")?,
            leeway: leeway.ok_or_else(|| format!(".leewaySeconds must be 0 to {LONGEST_LEEWAY}"))?,
            key: verifying,
            id,
            issuer,
            audience,
            algorithm,
            kid,
            secret,
        })
    }

    /// Takes in the secret.
    pub(crate) fn give_secret(&mut self, secret: &str) {
        self.key = VerifyingKey::Hs256(Some(secret.as_bytes().to_vec()));
    }

    /// The tenant that all tokens of this issuer are for, if it is configured.
    pub(crate) fn tenant(&self) -> Option<&Tenant> {
        match &self.tenant {
            Claimed::Fixed(tenant) => Some(tenant),
            Claimed::Claim(_) => None,
        }
    }

    /// Whether a token with this header may be checked with this issuer's key.
    fn is_meant(&self, header: &Value<'_>) -> bool {
        let kid = string(header, "kid");
        string(header, "alg") == Some(self.algorithm.name()) && (self.kid.is_none() || self.kid.as_deref() == kid)
    }

    /// The caller that these claims name. The signature is good.
    fn caller(&self, claims: &Value<'_>, needed: Scope, received_at: Millis) -> Result<Caller<'_>, Rejection> {
        let now = received_at.0 as f64 / 1000.0;
        let refuse = |problem| Err(Rejection::InvalidToken(problem));
        let is_for_us = match claim(claims, "aud") {
            Some(Value::String(audience)) => *audience == self.audience,
            Some(Value::Array(all)) => all.iter().any(|one| matches!(one, Value::String(one) if *one == self.audience)),
            _ => false,
        };
        if string(claims, "iss") != Some(self.issuer.as_str()) {
            return refuse("the token's iss is not the configured issuer");
        }
        if !is_for_us {
            return refuse("the token's aud is not the configured audience");
        }
        match number(claims, "exp") {
            Some(Some(expires)) if now < expires + self.leeway as f64 => {}
            Some(Some(_)) => return refuse("the token has expired"),
            _ => return refuse("the token needs exp, a number of seconds since 1970"),
        }
        match number(claims, "nbf") {
            None => {}
            Some(Some(begins)) if now + self.leeway as f64 >= begins => {}
            Some(_) => return refuse("the token's time has not come: nbf"),
        }
        let tenant = match &self.tenant {
            Claimed::Fixed(tenant) => tenant.clone(),
            Claimed::Claim(name) => match string(claims, name).map(|name| Tenant::parse(name.to_owned())) {
                Some(Ok(tenant)) => tenant,
                _ => return refuse("the token's claim of a tenant names none"),
            },
        };
        let is_covered = match &self.scope {
            Claimed::Fixed(scope) => scope.covers(needed),
            Claimed::Claim(name) => covers(claim(claims, name), needed),
        };
        if is_covered { Ok(Caller { tenant, key: &self.id }) } else { Err(Rejection::Forbidden(needed.name())) }
    }
}

/// Whether a claim names a scope that covers the needed one: an array of names, or names with spaces between them (RFC
/// 8693, 4.2). Other names are ignored.
fn covers(claim: Option<&Value<'_>>, needed: Scope) -> bool {
    let names = |name: &str| Scope::of(name).is_some_and(|scope| scope.covers(needed));
    match claim {
        Some(Value::String(text)) => text.split(' ').any(names),
        Some(Value::Array(all)) => all.iter().any(|one| matches!(one, Value::String(name) if names(name))),
        _ => false,
    }
}

/// Whether a credential looks like a token, so that it may be one: three parts with dots between them.
pub(crate) fn is_token(presented: &str) -> bool {
    presented.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// Who presents this token, if one of the issuers has signed it and it covers the scope `needed`. `is_verified` says that
/// the platform's gateway has checked the signature.
pub(crate) fn caller<'i>(
    issuers: &'i [Issuer],
    token: &str,
    is_verified: bool,
    needed: Scope,
    received_at: Millis,
) -> Result<Caller<'i>, Rejection> {
    let not_ours = Rejection::InvalidToken("the token is not signed by a configured issuer");
    if token.len() > TOKEN_BYTES {
        return Err(Rejection::InvalidToken("the token has more than 8,192 bytes"));
    }
    let (Some((message, signature)), Some((header, claims))) =
        (token.rsplit_once('.'), token.rsplit_once('.').and_then(|(message, _)| message.split_once('.')))
    else {
        return Err(not_ours);
    };
    let part = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
    let (Some(header), Some(signature)) = (part(header), part(signature)) else { return Err(not_ours) };
    let Some(header) = std::str::from_utf8(&header).ok().and_then(|text| json::read(text).ok()) else {
        return Err(not_ours);
    };
    // Extensions that must be understood are not (RFC 7515, 4.1.11). Another type is not meant for access.
    let is_access = match claim(&header, "typ") {
        None => true,
        Some(Value::String(name)) => TYPES.contains(&name.to_ascii_lowercase().as_str()),
        Some(_) => false,
    };
    if claim(&header, "crit").is_some() || !is_access {
        return Err(Rejection::InvalidToken("the token's header has crit, or a typ other than JWT or at+jwt"));
    }
    let signed = |issuer: &&Issuer| {
        let is_vouched = is_verified && matches!(issuer.key, VerifyingKey::Gateway);
        issuer.is_meant(&header) && (is_vouched || issuer.key.has_signed(message.as_bytes(), &signature))
    };
    let signers: Vec<&Issuer> = issuers.iter().filter(signed).collect();
    if signers.is_empty() {
        return Err(not_ours);
    }
    let claims = part(claims).and_then(|claims| String::from_utf8(claims).ok()).ok_or(not_ours.clone())?;
    let claims = json::read(&claims).map_err(|_flaw| not_ours.clone())?;
    // Two entries may have one key, for other audiences. The first one that takes the token counts, or else its reason.
    let mut refused = None;
    for issuer in signers {
        match issuer.caller(&claims, needed, received_at) {
            Ok(caller) => return Ok(caller),
            Err(rejection) => refused = refused.or(Some(rejection)),
        }
    }
    Err(refused.unwrap_or(not_ours))
}

fn claim<'v, 'a>(value: &'v Value<'a>, name: &str) -> Option<&'v Value<'a>> {
    member::get(member::members(value)?, name)
}

fn string<'v>(value: &'v Value<'_>, name: &str) -> Option<&'v str> {
    member::text(claim(value, name)?)
}

/// A numeric claim. The inner `None` means that it has another type.
fn number(value: &Value<'_>, name: &str) -> Option<Option<f64>> {
    Some(match claim(value, name)? {
        Value::Signed(number) => Some(*number as f64),
        Value::Unsigned(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        _ => None,
    })
}
