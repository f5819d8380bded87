//! `v1`: HMAC-SHA256.

use std::ops::RangeInclusive;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::HOW_TO_MAKE_ONE;

/// What every symmetric secret begins with.
pub(super) const PREFIX: &str = "whsec_";

/// How long a decoded secret may be, in bytes.
const LENGTH: RangeInclusive<usize> = 24..=64;

/// A key with its state set up.
#[derive(Clone)]
pub(super) struct HmacKey(Hmac<Sha256>);

impl HmacKey {
    pub(super) fn new(bytes: &[u8]) -> Result<Self, String> {
        if !LENGTH.contains(&bytes.len()) {
            return Err(format!(
                "the signing secret has {} bytes, where {} to {} are needed; {HOW_TO_MAKE_ONE}",
                bytes.len(),
                LENGTH.start(),
                LENGTH.end(),
            ));
        }
        Hmac::new_from_slice(bytes)
            .map(Self)
            .map_err(|_| format!("the signing secret cannot be used; {HOW_TO_MAKE_ONE}"))
    }

    /// The code over `id.timestamp.body`.
    pub(super) fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> impl AsRef<[u8]> {
        self.0
            .clone()
            .chain_update(id)
            .chain_update(".")
            .chain_update(timestamp.to_string())
            .chain_update(".")
            .chain_update(body)
            .finalize()
            .into_bytes()
    }
}
