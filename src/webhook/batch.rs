//! Several events in one request to one subscription.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Delivery, delivery_id};
use crate::event::Event;

/// What the headers of such a request are made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// See [`Batch::of`].
    pub id: Uuid,
    /// The id of its delivery, and the number of the attempt.
    pub delivery: Delivery,
    /// How many events.
    pub events: usize,
}

impl Batch {
    /// The batch of these events; `None` if there are none.
    ///
    /// A batch of one event has the event's id. That of a larger one is a version 8 UUID (RFC 9562,
    /// section 5.8) cut from a SHA-256 over the ids of its events in their order: the same events have
    /// the same id, whenever they go together.
    #[must_use]
    pub fn of(events: &[(&Event, Delivery)], subscription: &str) -> Option<Self> {
        let (id, delivery) = match events {
            [] => return None,
            [(event, delivery)] => (event.event_id, *delivery),
            several => {
                let id = id_of(several.iter().map(|(event, _)| event.event_id));
                let delivery = Delivery {
                    id: delivery_id(id, subscription),
                    // One that fails is taken apart.
                    attempt: 1,
                    replay: several.first().and_then(|(_, delivery)| delivery.replay),
                };
                (id, delivery)
            }
        };
        Some(Self {
            id,
            delivery,
            events: events.len(),
        })
    }
}

fn id_of(events: impl Iterator<Item = Uuid>) -> Uuid {
    let mut digest = Sha256::new_with_prefix(b"rowhook batch\0");
    for event in events {
        digest.update(event.as_bytes());
    }
    let mut bytes = [0; 16];
    for (byte, from) in bytes.iter_mut().zip(digest.finalize().iter()) {
        *byte = *from;
    }
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_depends_on_the_events_and_their_order_alone() {
        let ids = |ids: &[u128]| id_of(ids.iter().map(|id| Uuid::from_u128(*id)));
        assert_eq!(ids(&[1, 2]), ids(&[1, 2]));
        assert_ne!(ids(&[1, 2]), ids(&[2, 1]));
        assert_ne!(ids(&[1, 2]), ids(&[1, 2, 3]));
        // Receivers may have stored it: it must not change from release to release.
        insta::assert_snapshot!(ids(&[1, 2]), @"5494c7fd-d493-8124-aef5-995bd7325255");
    }
}
