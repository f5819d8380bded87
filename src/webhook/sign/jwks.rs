//! The public keys as a JSON Web Key Set: RFC 7517, section 5.

use serde_json::{Value, json};

use super::SigningKey;

/// The public keys among these, each once; HMAC secrets have none.
#[must_use]
pub fn jwks<'a>(keys: impl IntoIterator<Item = &'a SigningKey>) -> Value {
    let mut public = Vec::new();
    for key in keys.into_iter().filter_map(SigningKey::public_key) {
        if !public.contains(&key) {
            public.push(key);
        }
    }
    let keys: Vec<Value> = public.into_iter().map(|key| key.jwk()).collect();
    json!({ "keys": keys })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::sign::Scheme;

    #[test]
    fn a_set_has_every_public_key_once_and_no_secret() {
        let [hmac, one, two] = [Scheme::Hmac, Scheme::Ed25519, Scheme::Ed25519]
            .map(|scheme| SigningKey::generate(scheme).unwrap());
        let set = jwks([&hmac, &one, &two, &one]);
        let keys = [one, two].map(|key| key.public_key().unwrap().jwk());
        assert_eq!(set, json!({ "keys": keys }));
        assert!(keys.iter().all(|key| key.get("d").is_none()));
        assert_eq!(jwks([&hmac]), json!({ "keys": [] }));
    }
}
