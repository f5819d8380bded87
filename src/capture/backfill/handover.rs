//! Where the task that reads chunks and the session that logs them meet.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use crate::decode::Relation;

/// Rows of a table between two watermarks.
#[derive(Debug)]
pub(in crate::capture) struct Rows {
    pub(in crate::capture) backfill: i64,
    /// The key that they were read behind.
    pub(in crate::capture) after: Option<Vec<String>>,
    /// The table as it was when the rows were read.
    pub(in crate::capture) relation: Relation,
    /// Names of the primary key's columns.
    pub(in crate::capture) key: Vec<String>,
    /// Each row as an insert of the stream.
    pub(in crate::capture) messages: Vec<Bytes>,
    /// The primary key of the last one.
    pub(in crate::capture) last_key: Vec<String>,
}

/// What became of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is in the log.
    Logged,
    /// Too much changed meanwhile: it has to be read again.
    Spoiled,
    /// Its session has ended: it has to be read again, from where the log says.
    Void,
}

/// Passes one chunk at a time.
#[derive(Debug)]
pub struct Handover {
    offered: Mutex<Option<Offered>>,
    settled: watch::Sender<Settled>,
}

#[derive(Debug)]
struct Offered {
    chunk: String,
    relation: u32,
    key: Vec<String>,
    rows: Option<Rows>,
}

/// The last chunk whose fate is known, and how many sessions there were.
#[derive(Debug, Clone, Default)]
struct Settled {
    session: u64,
    chunk: Option<(String, Outcome)>,
}

impl Default for Handover {
    fn default() -> Self {
        Self {
            offered: Mutex::default(),
            settled: watch::Sender::new(Settled::default()),
        }
    }
}

impl Handover {
    fn offered(&self) -> MutexGuard<'_, Option<Offered>> {
        self.offered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Announces a chunk, before its low watermark.
    pub(super) fn offer(&self, chunk: &str, relation: u32, key: &[String]) {
        *self.offered() = Some(Offered {
            chunk: chunk.to_owned(),
            relation,
            key: key.to_vec(),
            rows: None,
        });
    }

    /// Brings its rows, before its high watermark.
    pub(super) fn bring(&self, chunk: &str, rows: Rows) {
        if let Some(offered) = self.offered().as_mut().filter(|it| it.chunk == chunk) {
            offered.rows = Some(rows);
        }
    }

    /// Waits for the fate of a chunk that was offered to this session. If the session ends, it takes
    /// the chunk along.
    pub(super) async fn outcome(&self, chunk: &str, session: u64) -> Outcome {
        let mut settled = self.settled.subscribe();
        let mut outcome = Outcome::Void;
        // An error means that nobody is left to settle anything.
        let _ = settled
            .wait_for(|settled| match &settled.chunk {
                Some((settled, fate)) if settled == chunk => {
                    outcome = *fate;
                    true
                }
                _ => settled.session != session,
            })
            .await;
        outcome
    }

    /// A number that changes with each session.
    pub(super) fn session(&self) -> u64 {
        self.settled.borrow().session
    }

    /// Takes an offer back: its high watermark will not come.
    pub(super) fn revoke(&self) {
        *self.offered() = None;
    }

    /// A session begins: what an earlier one had of a chunk is lost.
    pub(in crate::capture) fn session_began(&self) {
        *self.offered() = None;
        self.settled.send_modify(|settled| {
            settled.session += 1;
            settled.chunk = None;
        });
    }

    /// The relation and the primary key of a chunk that is on offer. Anybody may write messages like
    /// ours: others mean nothing.
    pub(in crate::capture) fn on_offer(&self, chunk: &str) -> Option<(u32, Vec<String>)> {
        let offered = self.offered();
        let offered = offered.as_ref().filter(|offered| offered.chunk == chunk)?;
        Some((offered.relation, offered.key.clone()))
    }

    /// Takes a chunk's rows.
    pub(in crate::capture) fn take(&self, chunk: &str) -> Option<Rows> {
        let mut offered = self.offered();
        let offered = offered.as_mut().filter(|offered| offered.chunk == chunk)?;
        offered.rows.take()
    }

    /// The chunk is durable in the log.
    pub(in crate::capture) fn logged(&self, chunk: &str) {
        self.settle(chunk, Outcome::Logged);
    }

    /// The table changed in a way that cannot be told row by row: the chunk has to be read again.
    pub(in crate::capture) fn spoiled(&self, chunk: &str) {
        self.settle(chunk, Outcome::Spoiled);
    }

    /// Ends an offer, once.
    fn settle(&self, chunk: &str, outcome: Outcome) {
        let mut offered = self.offered();
        if offered.take_if(|offered| offered.chunk == chunk).is_some() {
            self.settled
                .send_modify(|settled| settled.chunk = Some((chunk.to_owned(), outcome)));
        }
    }
}
