//! `v1a`: ed25519, and its public keys.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{ED25519_PUBLIC_KEY_LEN, Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::HOW_TO_MAKE_ONE;

/// What every secret key begins with.
pub(super) const PREFIX: &str = "whsk_";

/// What every public key begins with.
pub(super) const PUBLIC_PREFIX: &str = "whpk_";

/// Length of a seed: RFC 8032 calls it the private key.
const SEED: usize = 32;

/// A secret key with its public half.
pub(super) struct KeyPair {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl KeyPair {
    /// From a seed, or from a seed with its public key behind it. The specification says no more
    /// than "standard ed25519 key pair"; the second form is what Svix and libsodium write.
    pub(super) fn new(bytes: &[u8]) -> Result<Self, String> {
        let (seed, public) = bytes.split_at_checked(SEED).unwrap_or((bytes, &[]));
        let pair = match (seed.len(), public.len()) {
            (SEED, 0) => Ed25519KeyPair::from_seed_unchecked(seed),
            (SEED, ED25519_PUBLIC_KEY_LEN) => {
                Ed25519KeyPair::from_seed_and_public_key(seed, public)
            }
            _ => {
                return Err(format!(
                    "the signing secret has {} bytes, where an ed25519 seed has 32, and 64 with its \
                     public key; {HOW_TO_MAKE_ONE}",
                    bytes.len()
                ));
            }
        };
        let pair = pair.map_err(|_| {
            format!(
                "the seed and the public key in the signing secret do not belong together; \
                 {HOW_TO_MAKE_ONE}"
            )
        })?;
        let mut public = [0; ED25519_PUBLIC_KEY_LEN];
        public.copy_from_slice(pair.public_key().as_ref());
        Ok(Self {
            pair,
            public: PublicKey(public),
        })
    }

    pub(super) fn public_key(&self) -> PublicKey {
        self.public
    }

    /// The signature over `id.timestamp.body`. Ed25519 reads its message twice, so that it has to
    /// stand in one piece.
    pub(super) fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> impl AsRef<[u8]> {
        let head = format!("{id}.{timestamp}.");
        self.pair.sign(&[head.as_bytes(), body].concat())
    }
}

/// A public key, for receivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; ED25519_PUBLIC_KEY_LEN]);

impl PublicKey {
    pub(super) fn bytes(self) -> [u8; ED25519_PUBLIC_KEY_LEN] {
        self.0
    }

    /// Its JSON Web Key: RFC 8037, section 2.
    #[must_use]
    pub fn jwk(self) -> Value {
        json!({
            "kty": "OKP", "crv": "Ed25519", "x": self.x(), "kid": self.kid(),
            "use": "sig", "alg": "EdDSA",
        })
    }

    /// The thumbprint of its JSON Web Key: RFC 7638, with the members that RFC 8037 names.
    #[must_use]
    pub fn kid(self) -> String {
        let required = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, self.x());
        URL_SAFE_NO_PAD.encode(Sha256::digest(required))
    }

    fn x(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

impl fmt::Display for PublicKey {
    /// `whpk_…`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC_PREFIX}{}", STANDARD.encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rfc_s_key_has_the_rfc_s_thumbprint() {
        // RFC 8037, appendixes A.1 and A.3.
        let seed = URL_SAFE_NO_PAD
            .decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
            .unwrap();
        let public = KeyPair::new(&seed).unwrap().public_key();
        assert_eq!(public.x(), "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        let thumbprint = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
        assert_eq!(public.kid(), thumbprint);
        assert_eq!(public.jwk()["kid"], thumbprint);
    }

    #[test]
    fn a_public_key_is_written_as_the_specification_has_it() {
        let seed = STANDARD
            .decode("6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc=")
            .unwrap();
        let public = KeyPair::new(&seed).unwrap().public_key();
        let written = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
        assert_eq!(public.to_string(), written);
    }
}
