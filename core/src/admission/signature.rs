//! Signatures of tokens. Each key has one algorithm, whatever a token says.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use p256::ecdsa::signature::Verifier as _;
use sha2::Sha256;

use crate::admission::json::Value;
use crate::admission::member;

/// The members of a JSON Web Key.
const MEMBERS: [&str; 8] = ["kty", "crv", "x", "y", "kid", "d", "alg", "use"];

/// The fewest bytes of a secret: those of the hash (RFC 7518, 3.2).
pub(crate) const SECRET_BYTES: usize = 32;

/// How tokens are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
    /// RSA. Core has no code for it, so only a platform's gateway can check it.
    Rs256,
}

impl Algorithm {
    /// The algorithm with this name.
    pub(crate) fn of(name: &str) -> Option<Self> {
        [Self::Hs256, Self::Es256, Self::EdDsa, Self::Rs256].into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Its name in a token's header.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }
}

/// A key that checks signatures.
#[derive(Clone)]
pub(crate) enum VerifyingKey {
    /// A secret; `None` until the host has given it.
    Hs256(Option<Vec<u8>>),
    Es256(p256::ecdsa::VerifyingKey),
    EdDsa(ed25519_dalek::VerifyingKey),
    /// The platform's gateway has the key. It says of a request that it has checked the signature.
    Gateway,
}

impl VerifyingKey {
    /// Reads a public key from a JSON Web Key, and the name by which tokens may mean it. An error text continues the key's
    /// place.
    pub(crate) fn read(algorithm: Algorithm, jwk: &Value<'_>) -> Result<(Self, Option<String>), String> {
        let expected = match algorithm {
            Algorithm::Es256 => " must be a JWK with kty EC, crv P-256, and x and y of a point",
            _ => " must be a JWK with kty OKP, crv Ed25519, and x of a point",
        };
        let members = member::members(jwk).filter(|members| member::has_only(members, &MEMBERS)).ok_or(expected)?;
        let text = |name: &str| member::get(members, name).and_then(member::text);
        if member::get(members, "d").is_some() {
            return Err(" has the member d, the private key; only the public one belongs here".to_owned());
        }
        if text("alg").is_some_and(|alg| alg != algorithm.name()) || text("use").is_some_and(|usage| usage != "sig") {
            return Err(" is for another algorithm or use".to_owned());
        }
        let bytes = |name: &str| <[u8; 32]>::try_from(URL_SAFE_NO_PAD.decode(text(name)?).ok()?).ok();
        let key = match (algorithm, text("kty"), text("crv"), bytes("x"), bytes("y")) {
            (Algorithm::Es256, Some("EC"), Some("P-256"), Some(x), Some(y)) => {
                let point = [[4].as_slice(), &x, &y].concat();
                p256::ecdsa::VerifyingKey::from_sec1_bytes(&point).ok().map(Self::Es256)
            }
            (Algorithm::EdDsa, Some("OKP"), Some("Ed25519"), Some(x), None) => {
                let key = ed25519_dalek::VerifyingKey::from_bytes(&x).ok();
                key.filter(|key| !key.is_weak()).map(Self::EdDsa)
            }
            _ => None,
        };
        Ok((key.ok_or(expected)?, text("kid").map(str::to_owned)))
    }

    /// Whether this key has signed the message.
    pub(crate) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Hs256(secret) => secret.as_ref().is_some_and(|secret| {
                // Any length is a key to HMAC.
                Hmac::<Sha256>::new_from_slice(secret)
                    .is_ok_and(|hmac| hmac.chain_update(message).verify_slice(signature).is_ok())
            }),
            Self::Es256(key) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Self::EdDsa(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            Self::Gateway => false,
        }
    }
}

impl std::fmt::Debug for VerifyingKey {
    /// Shows no secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Hs256(_) => "Hs256",
            Self::Es256(_) => "Es256",
            Self::EdDsa(_) => "EdDsa",
            Self::Gateway => "Gateway",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a compact token of an RFC, and that no other byte of it is signed.
    #[track_caller]
    fn check(key: &VerifyingKey, token: &str) {
        let (message, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert!(key.has_signed(message.as_bytes(), &signature));
        for at in 0..signature.len() {
            let mut changed = signature.clone();
            changed[at] ^= 1;
            assert!(!key.has_signed(message.as_bytes(), &changed), "byte {at}");
        }
        assert!(!key.has_signed(&message.as_bytes()[1..], &signature));
        for signature in [&[][..], &[0; 64], &[0; 32], &signature[1..]] {
            assert!(!key.has_signed(message.as_bytes(), signature));
        }
    }

    fn key(algorithm: Algorithm, json: &str) -> Result<VerifyingKey, String> {
        VerifyingKey::read(algorithm, &crate::admission::json::read(json).unwrap()).map(|(key, _kid)| key)
    }

    const P256: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
    const ED25519: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

    #[test]
    fn the_rfcs_own_tokens_are_taken() {
        // RFC 7515, A.1, A.3; RFC 8037, A.4.
        let secret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let secret = VerifyingKey::Hs256(Some(URL_SAFE_NO_PAD.decode(secret).unwrap()));
        check(
            &secret,
            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        );
        let p256 = key(Algorithm::Es256, P256).unwrap();
        check(
            &p256,
            "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        );
        let ed25519 = key(Algorithm::EdDsa, ED25519).unwrap();
        check(
            &ed25519,
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        );
    }

    #[test]
    fn a_key_that_is_none_is_refused() {
        let refused = |algorithm, json: &str| key(algorithm, json).unwrap_err();
        let zero = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let off_curve = format!(r#"{{"kty":"EC","crv":"P-256","x":"{zero}","y":"{zero}"}}"#);
        assert_eq!(
            refused(Algorithm::Es256, &off_curve),
            " must be a JWK with kty EC, crv P-256, and x and y of a point"
        );
        assert!(refused(Algorithm::Es256, ED25519).contains("P-256"));
        assert!(refused(Algorithm::EdDsa, P256).contains("Ed25519"));
        // A point of small order: everybody could sign for it.
        let weak = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{zero}"}}"#);
        assert_eq!(refused(Algorithm::EdDsa, &weak), " must be a JWK with kty OKP, crv Ed25519, and x of a point");
        let private = ED25519.replacen('{', r#"{"d":"x","#, 1);
        assert!(refused(Algorithm::EdDsa, &private).contains("the private key"));
        for other in [r#"{"alg":"ES256","#, r#"{"use":"enc","#] {
            assert_eq!(refused(Algorithm::EdDsa, &ED25519.replacen('{', other, 1)), " is for another algorithm or use");
        }
    }
}
