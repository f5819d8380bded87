//! Standard Webhooks signatures: `v1`, HMAC-SHA256 over `id.timestamp.body`.
//!
//! Source: the Standard Webhooks specification, "Signature scheme" and "Signing secret
//! serialization".

use std::fmt;
use std::ops::RangeInclusive;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::secret::Secret;

/// What every symmetric secret begins with.
const PREFIX: &str = "whsec_";

/// How long a decoded secret may be, in bytes.
const LENGTH: RangeInclusive<usize> = 24..=64;

/// The sentence that ends every complaint about a secret.
const HOW_TO_MAKE_ONE: &str =
    "make one with `openssl rand -base64 32` and write whsec_ in front of it";

/// A symmetric signing key: `whsec_` and base64 of 24 to 64 bytes.
#[derive(Clone)]
pub struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    /// Reads `whsec_…`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the secret, without the secret.
    pub fn parse(secret: &Secret) -> Result<Self, String> {
        let encoded = secret.expose().strip_prefix(PREFIX).ok_or_else(|| {
            format!("the signing secret does not begin with whsec_; {HOW_TO_MAKE_ONE}")
        })?;
        // The decoder's own error would quote a byte of the secret.
        let bytes = STANDARD.decode(encoded).map_err(|_| {
            format!(
                "what follows whsec_ in the signing secret is not standard base64 with its \
                 padding; {HOW_TO_MAKE_ONE}"
            )
        })?;
        if !LENGTH.contains(&bytes.len()) {
            return Err(format!(
                "the signing secret has {} bytes, where {} to {} are needed; {HOW_TO_MAKE_ONE}",
                bytes.len(),
                LENGTH.start(),
                LENGTH.end(),
            ));
        }
        Hmac::new_from_slice(&bytes)
            .map(Self)
            .map_err(|_| format!("the signing secret cannot be used; {HOW_TO_MAKE_ONE}"))
    }

    /// `v1,` and the base64 of the code over `id.timestamp.body`.
    fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let code = self
            .0
            .clone()
            .chain_update(id)
            .chain_update(".")
            .chain_update(timestamp.to_string())
            .chain_update(".")
            .chain_update(body)
            .finalize()
            .into_bytes();
        format!("v1,{}", STANDARD.encode(code))
    }
}

/// Keys that sign alike are the same key.
impl PartialEq for SigningKey {
    fn eq(&self, other: &Self) -> bool {
        self.sign("", 0, b"") == other.sign("", 0, b"")
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The value of `webhook-signature`: one signature per key, in the order of the keys, separated by
/// single spaces. `timestamp` is the attempt's time in unix seconds; `id` must hold no dot.
#[must_use]
pub fn signature_header(keys: &[SigningKey], id: &str, timestamp: u64, body: &[u8]) -> String {
    let signatures: Vec<_> = keys
        .iter()
        .map(|key| key.sign(id, timestamp, body))
        .collect();
    signatures.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> SigningKey {
        SigningKey::parse(&Secret::new(text)).unwrap()
    }

    #[test]
    fn the_specification_s_vector_is_met() {
        let first = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let body = br#"{"test": 2432232314}"#;
        let sign = |keys: &[SigningKey]| {
            signature_header(keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body)
        };
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(sign(std::slice::from_ref(&first)), expected);

        let second = key("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
        let alone = sign(std::slice::from_ref(&second));
        assert_eq!(sign(&[first, second]), format!("{expected} {alone}"));
        assert_eq!(sign(&[]), "");
    }

    #[test]
    fn a_wrong_secret_is_refused_without_being_shown() {
        let long = format!("whsec_{}", STANDARD.encode([7; 65]));
        for wrong in [
            "",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw ",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS_",
            "whsec_MfKQ9r8GKYqrTwjU",
            &long,
        ] {
            let error = SigningKey::parse(&Secret::new(wrong)).unwrap_err();
            assert!(error.contains("openssl rand -base64 32"), "{error}");
            assert!(!error.contains("MfKQ"), "{error}");
        }
    }

    #[test]
    fn a_key_does_not_show_itself() {
        let key = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        assert_eq!(format!("{key:?}"), "[redacted]");
    }
}
