//! Which shape of each relation the server counts as sent.
//!
//! The server sends a relation's shape once per streamed transaction, and counts it as sent to
//! everyone when that is committed. The intake takes a transaction's shapes at its commit, perhaps
//! after newer ones that came between: those it has to be told again.

use std::collections::HashMap;

use bytes::Bytes;

/// The shape of a relation as a message, and when it came.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) arrival: u64,
    pub(super) message: Bytes,
}

/// The newest shapes that were taken in, by relation.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    newest: HashMap<u32, Sent>,
    arrivals: u64,
}

impl Shapes {
    /// A shape came.
    pub(super) fn arrived(&mut self, message: Bytes) -> Sent {
        self.arrivals += 1;
        Sent {
            arrival: self.arrivals,
            message,
        }
    }

    /// A shape came outside of blocks: it is taken in at once.
    pub(super) fn passed(&mut self, message: &Bytes) {
        if let Some(oid) = relation_of(message) {
            let sent = self.arrived(Bytes::copy_from_slice(message));
            self.newest.insert(oid, sent);
        }
    }

    /// The last shape of a relation in a committed transaction is about to be taken in. Tells the
    /// shape that has to follow it.
    pub(super) fn published(&mut self, oid: u32, sent: Sent) -> Option<Bytes> {
        match self.newest.get(&oid) {
            Some(newest) if newest.arrival > sent.arrival => {
                (newest.message != sent.message).then(|| newest.message.clone())
            }
            _ => {
                self.newest.insert(oid, sent);
                None
            }
        }
    }
}

/// The relation that a message is about.
pub(super) fn relation_of(message: &[u8]) -> Option<u32> {
    let oid = message.get(1..)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*oid))
}
