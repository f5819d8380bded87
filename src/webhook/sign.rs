//! Standard Webhooks signatures.

use crate::secret::Secret;

/// A symmetric signing key: `whsec_` and base64 of 24 to 64 bytes.
#[derive(Debug, Clone)]
pub struct SigningKey(Secret);

impl SigningKey {
    /// Reads `whsec_…`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the secret, without the secret.
    pub fn parse(secret: &Secret) -> Result<Self, String> {
        Ok(Self(secret.clone()))
    }
}
