//! An event as it stands in the log.

use std::sync::Arc;

use bytestring::ByteString;
use uuid::Uuid;

use crate::wal::Lsn;

/// What happened to the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A row was inserted.
    Created,
    /// A row was updated.
    Updated,
    /// A row was deleted.
    Deleted,
    /// A row as it was found by a backfill.
    Snapshot,
    /// The table was emptied by TRUNCATE.
    Truncated,
    /// A row that was deleted softly came back.
    Restored,
    /// One field of a row was changed (`deal.stage.changed`).
    Changed,
    /// The application has something to say (`invoice.sent`).
    Custom,
    /// rowhook itself has something to say (`rowhook.gap`).
    Noted,
}

impl Action {
    /// The word after the dot in the event's type.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
            Self::Snapshot => "snapshot",
            Self::Truncated => "truncated",
            Self::Restored => "restored",
            Self::Changed => "changed",
            Self::Custom => "custom",
            Self::Noted => "noted",
        }
    }

    /// Whether a row was there before and is there after.
    #[must_use]
    pub fn is_update(self) -> bool {
        matches!(self, Self::Updated | Self::Restored | Self::Changed)
    }

    /// Reads the word back from the log; what a newer version wrote counts as noted.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "created" => Self::Created,
            "updated" => Self::Updated,
            "deleted" => Self::Deleted,
            "snapshot" => Self::Snapshot,
            "truncated" => Self::Truncated,
            "restored" => Self::Restored,
            "changed" => Self::Changed,
            "custom" => Self::Custom,
            _ => Self::Noted,
        }
    }
}

/// How much of the old row is known: decided by the table's replica identity, and by the log where
/// the resource takes old values from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldRow {
    /// Nothing of it (or there was no old row, as for an insert).
    Absent,
    /// Its key columns only.
    Key,
    /// Some of its columns.
    Partial,
    /// All of it.
    Full,
}

impl OldRow {
    /// The word in the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Key => "key",
            Self::Partial => "partial",
            Self::Full => "full",
        }
    }

    /// Reads the word back; an unknown word counts as absent, which claims the least.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "key" => Self::Key,
            "partial" => Self::Partial,
            "full" => Self::Full,
            _ => Self::Absent,
        }
    }
}

/// One event of the log. Cloning shares its bytes.
#[derive(Debug, Clone)]
pub struct Event {
    /// Place in the log: dense, strictly increasing in commit order.
    pub sequence_id: i64,
    /// Stable over re-reads, retries and replays.
    pub event_id: Uuid,
    /// `posts.updated`.
    pub event_type: Arc<str>,
    /// `posts`.
    pub resource: Arc<str>,
    /// Primary key as text; `None` for events of a whole table.
    pub resource_id: Option<ByteString>,
    /// The word after the dot.
    pub action: Action,
    /// The source transaction's commit time, microseconds since 1970-01-01 UTC.
    pub created_at: i64,
    /// JSON object: the row after the change; for a delete, the row that was deleted, and for one
    /// that was deleted softly, the row as it stands then.
    pub record: Option<ByteString>,
    /// JSON object: old values of the fields that changed. `None` where not known.
    pub previous: Option<ByteString>,
    /// JSON object: session variables and trace context.
    pub context: Option<ByteString>,
    /// JSON value: what the application says with an event of its own.
    pub data: Option<ByteString>,
    /// Whose it is, where the resource tells.
    pub tenant: Option<ByteString>,
    /// JSON object: ids of the rows that its foreign keys name, as `{"authorId":"7"}`.
    pub related: Option<ByteString>,
    /// How much of the old row is known.
    pub old_row: OldRow,
    /// Columns whose value the stream did not carry; they are missing from `record`.
    pub unknown: Vec<String>,
    /// Columns of which a value stands as text, because it could not be read as its type.
    pub as_text: Vec<String>,
    /// When values of it were erased, microseconds since 1970-01-01 UTC. What is gone is listed in
    /// `unknown`.
    pub erased_at: Option<i64>,
    /// Where it comes from.
    pub origin: Origin,
}

impl Event {
    /// Whether a row was deleted by marking it: `record` is the row as it stands then, and
    /// `previous` has what the mark changed. Nothing is left of other deleted rows.
    #[must_use]
    pub fn is_soft_delete(&self) -> bool {
        self.action == Action::Deleted && self.previous.is_some()
    }

    /// The column that a field event is about.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        let of_the_row = self.event_type.strip_prefix(&*self.resource)?;
        of_the_row
            .strip_prefix('.')?
            .strip_suffix(self.action.as_str())?
            .strip_suffix('.')
            .filter(|_| self.action == Action::Changed)
    }

    /// What it takes in memory, roughly.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let json = |text: &Option<ByteString>| text.as_ref().map_or(0, |text| text.len());
        json(&self.record)
            + json(&self.previous)
            + json(&self.context)
            + json(&self.data)
            + json(&self.related)
            + 300
    }
}

/// Where an event comes from in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Schema of the table.
    pub schema: Arc<str>,
    /// Table.
    pub table: Arc<str>,
    /// Transaction id.
    pub xid: u32,
    /// LSN of the transaction's commit record.
    pub commit_lsn: Lsn,
    /// Which change of that transaction, from 0.
    pub index: u64,
}
