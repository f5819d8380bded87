//! One event on its way to one subscription.

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The `delivery` part of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// The same on every attempt: see [`delivery_id`].
    pub id: Uuid,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// The replay that sends the event again.
    pub replay: Option<i64>,
}

/// The id of an event's delivery to a subscription: a version 8 UUID (RFC 9562, section 5.8) cut
/// from a SHA-256 over both. It is derived, not drawn, so that it is stable over attempts and
/// restarts without being stored.
#[must_use]
pub fn delivery_id(event_id: Uuid, subscription: &str) -> Uuid {
    let digest = Sha256::new()
        .chain_update(b"rowhook delivery\0")
        .chain_update(event_id.as_bytes())
        .chain_update(subscription.as_bytes())
        .finalize();
    let mut bytes = [0; 16];
    for (byte, from) in bytes.iter_mut().zip(digest.iter()) {
        *byte = *from;
    }
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_depends_on_the_event_and_the_subscription_alone() {
        let event = Uuid::from_u128(7);
        let id = delivery_id(event, "billing");
        assert_eq!(id, delivery_id(event, "billing"));
        assert_ne!(id, delivery_id(event, "search"));
        assert_ne!(id, delivery_id(Uuid::from_u128(8), "billing"));
        assert_eq!(id.get_version_num(), 8);
        assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
        // Receivers may have stored it: it must not change from release to release.
        insta::assert_snapshot!(id, @"b58c3528-deb1-8d7e-bfbe-188ea1d8fb71");
    }
}
