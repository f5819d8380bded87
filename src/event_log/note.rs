//! Events that rowhook itself has to tell. They enter through the one writer, between two
//! transactions of the source, so that every event has its place in the one order.

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

/// An event that is not a row change.
#[derive(Debug)]
pub struct Note {
    /// `rowhook.wal_budget`.
    pub event_type: String,
    /// What it says: a JSON object.
    pub record: Value,
    /// Told once it is durable; dropped, if it was lost on the way.
    pub done: oneshot::Sender<()>,
}

impl Note {
    /// A note, and where to hear what became of it.
    #[must_use]
    pub fn new(event_type: impl Into<String>, record: Value) -> (Self, oneshot::Receiver<()>) {
        let (done, outcome) = oneshot::channel();
        let note = Self {
            event_type: event_type.into(),
            record,
            done,
        };
        (note, outcome)
    }
}

/// Where notes are handed in.
pub type Inlet = mpsc::Sender<Note>;

/// Notes that may wait: few, and small.
pub const WAITING_NOTES: usize = 16;
