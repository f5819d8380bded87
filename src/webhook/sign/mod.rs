//! Standard Webhooks signatures over `id.timestamp.body`: `v1`, HMAC-SHA256, and `v1a`, ed25519.
//!
//! Source: the Standard Webhooks specification, "Signature scheme" and "Signing secret
//! serialization".

mod ed25519;
mod hmac;
mod jwks;

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom as _, SystemRandom};

use self::ed25519::KeyPair;
pub use self::ed25519::PublicKey;
use self::hmac::HmacKey;
pub use self::jwks::jwks;
use crate::secret::Secret;

/// The sentence that ends every complaint about a secret.
const HOW_TO_MAKE_ONE: &str = "make one with `rowhook webhooks keygen`";

/// What the longer kind of signature takes in the header, its scheme and the space before it included.
const SIGNATURE_BYTES: usize = 96;

/// How a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// HMAC-SHA256 with a secret that the receiver has, too.
    Hmac,
    /// Ed25519: the receiver has the public key alone.
    Ed25519,
}

/// A signing secret: `whsec_` and base64 of 24 to 64 bytes for HMAC; `whsk_` and base64 of an ed25519
/// seed (32 bytes), or of seed and public key (64), for ed25519.
#[derive(Clone)]
pub struct SigningKey {
    /// As it was written, to be found where somebody echoes it.
    secret: Secret,
    signer: Signer,
}

#[derive(Clone)]
enum Signer {
    Hmac(HmacKey),
    Ed25519(Arc<KeyPair>),
}

impl SigningKey {
    /// Reads `whsec_…` or `whsk_…`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the secret, without the secret.
    pub fn parse(secret: &Secret) -> Result<Self, String> {
        let text = secret.expose();
        let signer = if let Some(encoded) = text.strip_prefix(hmac::PREFIX) {
            Signer::Hmac(HmacKey::new(&decoded(hmac::PREFIX, encoded)?)?)
        } else if let Some(encoded) = text.strip_prefix(ed25519::PREFIX) {
            let pair = KeyPair::new(&decoded(ed25519::PREFIX, encoded)?)?;
            Signer::Ed25519(Arc::new(pair))
        } else if text.starts_with(ed25519::PUBLIC_PREFIX) {
            return Err(
                "the signing secret is a public key: it is the receiver's; rowhook signs with the \
                 secret key that begins with whsk_"
                    .to_owned(),
            );
        } else {
            return Err(format!(
                "the signing secret begins with neither whsec_ nor whsk_; {HOW_TO_MAKE_ONE}"
            ));
        };
        Ok(Self {
            secret: secret.clone(),
            signer,
        })
    }

    /// Makes a new one from the system's randomness.
    ///
    /// # Errors
    /// If the system has none to give.
    pub fn generate(scheme: Scheme) -> Result<Self, String> {
        let mut bytes = [0; 32];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| "the system gives no random bytes".to_owned())?;
        let text = match scheme {
            Scheme::Hmac => format!("{}{}", hmac::PREFIX, STANDARD.encode(bytes)),
            Scheme::Ed25519 => {
                let both = [bytes, KeyPair::new(&bytes)?.public_key().bytes()].concat();
                format!("{}{}", ed25519::PREFIX, STANDARD.encode(both))
            }
        };
        Self::parse(&Secret::new(text))
    }

    /// The secret as the settings take it.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// What a receiver verifies with, if that is no secret.
    #[must_use]
    pub fn public_key(&self) -> Option<PublicKey> {
        match &self.signer {
            Signer::Hmac(_) => None,
            Signer::Ed25519(pair) => Some(pair.public_key()),
        }
    }

    /// Writes the scheme's identifier and the base64 of the signature.
    fn sign(&self, id: &str, timestamp: u64, body: &[u8], header: &mut String) {
        match &self.signer {
            Signer::Hmac(key) => {
                header.push_str("v1,");
                STANDARD.encode_string(key.sign(id, timestamp, body), header);
            }
            Signer::Ed25519(pair) => {
                header.push_str("v1a,");
                STANDARD.encode_string(pair.sign(id, timestamp, body), header);
            }
        }
    }
}

/// Keys that sign alike are the same key.
impl PartialEq for SigningKey {
    fn eq(&self, other: &Self) -> bool {
        let signed = |key| signature_header(std::slice::from_ref(key), "", 0, b"");
        signed(self) == signed(other)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The decoder's own error would quote a byte of the secret.
fn decoded(prefix: &str, encoded: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(encoded).map_err(|_| {
        format!(
            "what follows {prefix} in the signing secret is not standard base64 with its padding; \
             {HOW_TO_MAKE_ONE}"
        )
    })
}

/// The value of `webhook-signature`: one signature per key, in the order of the keys, separated by
/// single spaces. `timestamp` is the attempt's time in unix seconds; `id` must hold no dot.
#[must_use]
pub fn signature_header(keys: &[SigningKey], id: &str, timestamp: u64, body: &[u8]) -> String {
    let mut header = String::with_capacity(keys.len() * SIGNATURE_BYTES);
    for key in keys {
        if !header.is_empty() {
            header.push(' ');
        }
        key.sign(id, timestamp, body, &mut header);
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIMESTAMP: u64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;

    /// The key that Svix's documentation shows, whose signature the specification shows.
    const ED25519: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";

    fn key(text: &str) -> SigningKey {
        SigningKey::parse(&Secret::new(text)).unwrap()
    }

    fn sign(keys: &[SigningKey]) -> String {
        signature_header(keys, ID, TIMESTAMP, BODY)
    }

    #[test]
    fn the_specification_s_vectors_are_met_and_keys_of_both_kinds_sign_side_by_side() {
        let first = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let code = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(sign(std::slice::from_ref(&first)), code);

        let second = key(ED25519);
        let signature = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";
        assert_eq!(sign(&[first, second]), format!("{code} {signature}"));
        assert_eq!(sign(&[]), "");
    }

    #[test]
    fn the_seed_alone_is_the_same_key() {
        let seed = key("whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc=");
        assert_eq!(seed.public_key(), key(ED25519).public_key());
        assert_eq!(sign(&[seed]), sign(&[key(ED25519)]));
    }

    #[test]
    fn a_wrong_secret_is_refused_without_being_shown() {
        let long = format!("whsec_{}", STANDARD.encode([7; 65]));
        let long_pair = format!("whsk_{}", STANDARD.encode([7; 65]));
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
            "whsk_",
            "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            &long_pair,
        ] {
            let error = SigningKey::parse(&Secret::new(wrong)).unwrap_err();
            assert!(error.contains("rowhook webhooks keygen"), "{error}");
            assert!(!error.contains("MfKQ"), "{error}");
        }
        // A public key that is another seed's, and a public key alone.
        let other = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlaaaaaaaaaaAJ6p9lMicMFs6Kvg==";
        let error = SigningKey::parse(&Secret::new(other)).unwrap_err();
        assert!(error.contains("do not belong together"), "{error}");
        let public = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
        let error = SigningKey::parse(&Secret::new(public)).unwrap_err();
        assert!(error.contains("is a public key"), "{error}");
    }

    #[test]
    fn a_key_does_not_show_itself() {
        assert_eq!(format!("{:?}", key(ED25519)), "[redacted]");
        let hmac = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        assert_eq!(format!("{hmac:?}"), "[redacted]");
    }

    #[test]
    fn a_new_key_is_another_one_each_time_and_can_be_read_again() {
        for scheme in [Scheme::Hmac, Scheme::Ed25519] {
            let made = SigningKey::generate(scheme).unwrap();
            let other = SigningKey::generate(scheme).unwrap();
            assert_ne!(made.secret(), other.secret());
            let read = SigningKey::parse(made.secret()).unwrap();
            assert_eq!(sign(&[read]), sign(std::slice::from_ref(&made)));
            assert_eq!(made.public_key().is_some(), scheme == Scheme::Ed25519);
        }
    }
}
