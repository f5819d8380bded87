//! What the writer is handed, and readers in memory after it.

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::backfills::Progress;
use super::copy::{Parts, Place, Span};
use crate::event::{Action, Event, OldRow, Origin, Shape, unix_micros};
use crate::wal::Lsn;

/// Where the last complete transaction of a batch ends.
#[derive(Debug, Clone, Copy)]
pub struct TransactionEnd {
    /// LSN of its commit record: goes into the checkpoint.
    pub commit_lsn: Lsn,
    /// End of that record: the position to acknowledge.
    pub end_lsn: Lsn,
    /// Microseconds since 2000-01-01 UTC; `None` where no transaction of the source ends.
    pub commit_time: Option<i64>,
}

/// What a chunk ends with.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    /// A transaction: what was appended since the last one is committed.
    Transaction(TransactionEnd),
    /// A position with nothing to log in front of it.
    Position(Lsn),
    /// Nothing: more of the same transaction follows.
    Open,
}

/// A batch that is complete, or a part of a transaction that is too large for one.
pub struct Chunk {
    /// Rows of a binary COPY, without header and trailer.
    pub(super) rows: Bytes,
    /// Number of rows.
    pub count: usize,
    /// Sequence id behind the last row.
    pub(super) next_sequence_id: i64,
    pub(super) end: End,
    /// What is committed with it, beside its rows.
    pub progress: Vec<Progress>,
    /// Scheduled events that it logs, and their sequence ids.
    pub(super) scheduled: Vec<(Uuid, i64)>,
    pub(super) marks: Vec<Mark>,
    /// Who wants to know when it is durable.
    pub waiting: Vec<oneshot::Sender<()>>,
}

/// What is needed to give a logged event to readers without reading it back.
pub(super) struct Mark {
    pub(super) place: Place,
    pub(super) parts: Parts,
    /// So many bytes its row has moved to the front since it was encoded.
    pub(super) moved: usize,
    pub(super) shape: Arc<Shape>,
    pub(super) action: Action,
    pub(super) old_row: OldRow,
    pub(super) unknown: Vec<String>,
    pub(super) as_text: Vec<String>,
    pub(super) context: Option<ByteString>,
}

impl Chunk {
    /// No rows: only a position that may be acknowledged once the checkpoint says that it will be.
    #[must_use]
    pub fn position(position: Lsn) -> Self {
        Self {
            rows: Bytes::new(),
            count: 0,
            next_sequence_id: 0,
            end: End::Position(position),
            progress: Vec::new(),
            scheduled: Vec::new(),
            marks: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// Whether readers have nothing to see in it.
    #[must_use]
    pub fn is_position(&self) -> bool {
        matches!(self.end, End::Position(_))
    }

    /// The events for readers in memory; they share the chunk's bytes. Empty if none were kept.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.marks.iter().map(|mark| self.event(mark)).collect()
    }

    /// Size of its rows.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.rows.len()
    }

    /// Sequence id of its last event.
    #[must_use]
    pub fn last_sequence_id(&self) -> i64 {
        self.next_sequence_id - 1
    }

    /// Commit time of its last transaction, microseconds since 2000-01-01 UTC; `None` for a part.
    #[must_use]
    pub fn commit_time(&self) -> Option<i64> {
        match self.end {
            End::Transaction(end) => end.commit_time,
            End::Position(_) | End::Open => None,
        }
    }

    fn event(&self, mark: &Mark) -> Event {
        let text = |span: Option<Span>| {
            let Span { start, end } = span?;
            let bytes = self.rows.slice(start - mark.moved..end - mark.moved);
            ByteString::try_from(bytes).ok()
        };
        Event {
            sequence_id: mark.place.sequence_id,
            event_id: mark.place.event_id,
            event_type: Arc::clone(mark.shape.event_type(mark.action)),
            resource: Arc::clone(&mark.shape.resource),
            resource_id: text(mark.parts.resource_id),
            action: mark.action,
            created_at: unix_micros(mark.place.commit_time),
            record: text(mark.parts.record),
            previous: text(mark.parts.previous),
            context: mark.context.clone(),
            data: text(mark.parts.data),
            tenant: text(mark.parts.tenant),
            related: text(mark.parts.related),
            old_row: mark.old_row,
            unknown: mark.unknown.clone(),
            as_text: mark.as_text.clone(),
            erased_at: None,
            origin: Origin {
                schema: Arc::clone(&mark.shape.schema),
                table: Arc::clone(&mark.shape.table),
                xid: mark.place.xid,
                commit_lsn: mark.place.commit_lsn,
                index: mark.place.index,
            },
        }
    }
}
