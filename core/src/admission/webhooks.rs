//! Senders of webhooks, known by a signature over what they send.
//! Source: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::value::RawValue;
use sha2::Sha256;

use crate::admission::member;
use crate::admission::request::Request;
use crate::admission::scope::Caller;
use crate::vocabulary::rejection::Rejection;
use crate::vocabulary::tenant::{ID, Tenant, is_id};
use crate::vocabulary::time::Millis;

/// The headers of a sender.
pub(crate) const ID_HEADER: &str = "webhook-id";
pub(crate) const TIMESTAMP_HEADER: &str = "webhook-timestamp";
pub(crate) const SIGNATURE_HEADER: &str = "webhook-signature";

/// What stands before a secret in base64.
const SECRET_PREFIX: &str = "whsec_";
/// The bytes that a secret may have.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// How far the clock of a sender may be off.
const TOLERANCE_MS: u64 = 5 * 60 * 1000;
/// The members of an entry of the configuration's `webhooks`.
const MEMBERS: [&str; 3] = ["id", "tenant", "secrets"];
/// The most secrets of a sender: one in use, and those that it is being replaced by or has replaced.
const SECRETS: usize = 4;

/// A sender of webhooks.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    /// Stands for a key's id, and in the path.
    pub(crate) id: String,
    pub(crate) tenant: Tenant,
    secrets: Vec<Secret>,
}

#[derive(Clone)]
struct Secret {
    name: String,
    /// `None` until the host has given it.
    key: Option<Vec<u8>>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Sender {
    /// Reads an entry of the configuration's `webhooks`. An error text continues its place, such as `webhooks[0]`.
    pub(crate) fn read(text: &RawValue) -> Result<Self, String> {
        let value = member::read("", text)?;
        let members = member::only(&value, &MEMBERS)?;
        let text = |name: &str| member::get(members, name).and_then(member::text).map(str::to_owned);
        let id = text("id").filter(|id| is_id(id)).ok_or_else(|| format!(".id {ID}"))?;
        let tenant = Tenant::parse(text("tenant").unwrap_or_default()).map_err(|problem| format!(".{problem}"))?;
        let secrets = member::get(members, "secrets").and_then(member::texts);
        let secrets = secrets.filter(|names| (1..=SECRETS).contains(&names.len()));
        let secrets = secrets.ok_or_else(|| format!(".secrets must be the names of 1 to {SECRETS} secrets"))?;
        let secrets = secrets.into_iter().map(|name| Secret { name, key: None }).collect();
        Ok(Self { id, tenant, secrets })
    }

    pub(crate) fn secrets(&self) -> impl Iterator<Item = &String> {
        self.secrets.iter().map(|secret| &secret.name)
    }

    /// Takes in the secret with this name. An error text follows the secret's name.
    pub(crate) fn give_secret(&mut self, name: &str, secret: &str) -> Result<(), String> {
        for known in self.secrets.iter_mut().filter(|known| known.name == name) {
            let key = secret.trim().strip_prefix(SECRET_PREFIX).and_then(|secret| STANDARD.decode(secret).ok());
            let key = key.filter(|key| SECRET_BYTES.contains(&key.len()));
            let (least, most) = (SECRET_BYTES.start(), SECRET_BYTES.end());
            known.key =
                Some(key.ok_or_else(|| format!("must be {SECRET_PREFIX} and base64 of {least} to {most} bytes"))?);
        }
        Ok(())
    }

    /// Checks what can be checked before the body is read: the message's id and its time.
    pub(crate) fn check(&self, head: &Request<'_>, received_at: Millis) -> Result<(), Rejection> {
        // A full stop ends the id in what is signed. An id that has one could take a part of the body for the time.
        let is_id = head.header(ID_HEADER).is_some_and(|id| !id.contains('.'));
        if !is_id || head.header(SIGNATURE_HEADER).is_none() {
            return Err(Rejection::InvalidSignature(
                "a webhook has the headers webhook-id, without a full stop, and webhook-signature",
            ));
        }
        let sent_at = head.header(TIMESTAMP_HEADER).and_then(|seconds| seconds.parse::<u64>().ok());
        let sent_at = sent_at.and_then(|seconds| seconds.checked_mul(1000));
        match sent_at.map(|sent_at| sent_at.abs_diff(received_at.0)) {
            Some(..=TOLERANCE_MS) => Ok(()),
            _ => Err(Rejection::InvalidSignature("webhook-timestamp is more than 5 minutes from now")),
        }
    }

    /// Checks that this sender has signed the message: its id, its time and its body.
    pub(crate) fn authorize(&self, head: &Request<'_>, body: &[u8]) -> Result<Caller<'_>, Rejection> {
        let header = |name| head.header(name).unwrap_or_default();
        let signed = [header(ID_HEADER), ".", header(TIMESTAMP_HEADER), "."].concat();
        // Several signatures stand there while a sender changes its secret. Those of other versions count for nothing.
        let signatures = header(SIGNATURE_HEADER).split(' ').filter_map(|one| one.strip_prefix("v1,"));
        let signatures: Vec<_> = signatures.filter_map(|one| STANDARD.decode(one).ok()).collect();
        let is_good = self.secrets.iter().filter_map(|secret| secret.key.as_ref()).any(|key| {
            let Ok(hmac) = Hmac::<Sha256>::new_from_slice(key) else { return false };
            let hmac = hmac.chain_update(signed.as_bytes()).chain_update(body);
            signatures.iter().any(|signature| hmac.clone().verify_slice(signature).is_ok())
        });
        if is_good {
            Ok(Caller { tenant: self.tenant.clone(), key: &self.id })
        } else {
            Err(Rejection::InvalidSignature("webhook-signature is none of this body by a known secret"))
        }
    }
}
