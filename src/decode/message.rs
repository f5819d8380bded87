//! The messages of pgoutput, protocol version 1.
//!
//! Shapes: PostgreSQL manual, "Logical Replication Message Formats".

use super::{Before, DecodeError, Tuple, cursor::Cursor};
use crate::wal::Lsn;

/// One message. Borrowed parts point into the bytes it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'a> {
    /// A transaction's changes follow.
    Begin {
        /// LSN of the commit record.
        commit_lsn: Lsn,
        /// Microseconds since 2000-01-01 UTC.
        commit_time: i64,
        /// Transaction id.
        xid: u32,
    },
    /// The transaction is complete.
    Commit {
        /// LSN of the commit record.
        commit_lsn: Lsn,
        /// Where the commit record ends.
        end_lsn: Lsn,
        /// Microseconds since 2000-01-01 UTC.
        commit_time: i64,
    },
    /// The transaction came to this server from another one.
    Origin {
        /// LSN of the commit there.
        commit_lsn: Lsn,
        /// Name of the origin.
        name: String,
    },
    /// The shape of a relation: sent before its first change and after it changed.
    Relation(Relation),
    /// The name of a type that is not built in.
    Type {
        /// Object id.
        oid: u32,
        /// Schema.
        schema: String,
        /// Name.
        name: String,
    },
    /// A row change.
    Change(Change<'a>),
    /// Tables were emptied.
    Truncate {
        /// The tables.
        relations: Vec<u32>,
        /// With CASCADE.
        cascade: bool,
        /// With RESTART IDENTITY.
        restart_identity: bool,
    },
    /// `pg_logical_emit_message` of some application.
    Logical {
        /// Whether it belongs to the transaction that is being streamed.
        transactional: bool,
        /// Where it stands in the WAL.
        lsn: Lsn,
        /// Whose it is.
        prefix: String,
        /// What it says.
        content: &'a [u8],
    },
}

/// One row change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change<'a> {
    /// Which relation.
    pub relation: u32,
    /// What happened.
    pub row: RowChange<'a>,
}

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowChange<'a> {
    /// A new row.
    Insert(Tuple<'a>),
    /// A changed row.
    Update {
        /// The row before, as far as it is carried.
        before: Before<'a>,
        /// The row after.
        after: Tuple<'a>,
    },
    /// A row that is gone. `Before::Absent` never occurs: such a delete is not published.
    Delete(Before<'a>),
}

impl RowChange<'_> {
    /// Whether the whole row before the change is carried.
    #[must_use]
    pub fn carries_old_row(&self) -> bool {
        matches!(
            self,
            Self::Update {
                before: Before::Full(_),
                ..
            } | Self::Delete(Before::Full(_))
        )
    }
}

/// The shape of a relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// Object id.
    pub oid: u32,
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// `relreplident`: `d`, `n`, `f` or `i`.
    pub identity: u8,
    /// Columns in the order of the tuples.
    pub columns: Vec<RelationColumn>,
}

/// One column of a relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationColumn {
    /// Whether it is part of the replica identity.
    pub in_identity: bool,
    /// Name.
    pub name: String,
    /// Type.
    pub type_oid: u32,
    /// Type modifier.
    pub type_modifier: i32,
}

/// Reads one message.
///
/// # Errors
/// Says what was wrong where; any bytes give a message or an error.
pub fn decode(bytes: &[u8]) -> Result<Message<'_>, DecodeError> {
    let mut cursor = Cursor::new(bytes);
    let message = match cursor.u8("message kind")? {
        b'B' => begin(&mut cursor),
        b'C' => commit(&mut cursor),
        b'O' => Ok(Message::Origin {
            commit_lsn: lsn(&mut cursor, "origin's LSN")?,
            name: cursor.text("origin's name")?,
        }),
        b'R' => relation(&mut cursor).map(Message::Relation),
        b'Y' => Ok(Message::Type {
            oid: cursor.u32("type's oid")?,
            schema: cursor.text("type's schema")?,
            name: cursor.text("type's name")?,
        }),
        b'I' => insert(&mut cursor).map(Message::Change),
        b'U' => update(&mut cursor).map(Message::Change),
        b'D' => delete(&mut cursor).map(Message::Change),
        b'T' => truncate(&mut cursor),
        b'M' => logical(&mut cursor),
        kind => Err(DecodeError::Unknown("message kind", kind)),
    }?;
    cursor.end("message")?;
    Ok(message)
}

fn lsn(cursor: &mut Cursor<'_>, what: &'static str) -> Result<Lsn, DecodeError> {
    cursor.u64(what).map(Lsn)
}

fn begin<'a>(cursor: &mut Cursor<'a>) -> Result<Message<'a>, DecodeError> {
    Ok(Message::Begin {
        commit_lsn: lsn(cursor, "begin's LSN")?,
        commit_time: cursor.i64("begin's commit time")?,
        xid: cursor.u32("begin's xid")?,
    })
}

fn commit<'a>(cursor: &mut Cursor<'a>) -> Result<Message<'a>, DecodeError> {
    cursor.u8("commit's flags")?;
    Ok(Message::Commit {
        commit_lsn: lsn(cursor, "commit's LSN")?,
        end_lsn: lsn(cursor, "commit's end LSN")?,
        commit_time: cursor.i64("commit's time")?,
    })
}

fn relation(cursor: &mut Cursor<'_>) -> Result<Relation, DecodeError> {
    let oid = cursor.u32("relation's oid")?;
    let schema = cursor.text("relation's schema")?;
    let name = cursor.text("relation's name")?;
    let identity = cursor.u8("relation's replica identity")?;
    let count = cursor.u16("relation's column count")?;
    // Not reserved up front: the count is the wire's word.
    let mut columns = Vec::new();
    for _ in 0..count {
        columns.push(RelationColumn {
            in_identity: cursor.u8("column's flags")? & 1 == 1,
            name: cursor.text("column's name")?,
            type_oid: cursor.u32("column's type")?,
            type_modifier: cursor.i32("column's type modifier")?,
        });
    }
    // In the catalogs pg_catalog is sent as an empty name.
    let schema = if schema.is_empty() {
        "pg_catalog".to_owned()
    } else {
        schema
    };
    Ok(Relation {
        oid,
        schema,
        name,
        identity,
        columns,
    })
}

fn insert<'a>(cursor: &mut Cursor<'a>) -> Result<Change<'a>, DecodeError> {
    let relation = cursor.u32("insert's relation")?;
    match cursor.u8("insert's tuple kind")? {
        b'N' => Ok(Change {
            relation,
            row: RowChange::Insert(Tuple::read(cursor)?),
        }),
        kind => Err(DecodeError::Unknown("tuple kind of an insert", kind)),
    }
}

fn update<'a>(cursor: &mut Cursor<'a>) -> Result<Change<'a>, DecodeError> {
    let relation = cursor.u32("update's relation")?;
    let mut kind = cursor.u8("update's tuple kind")?;
    let mut before = Before::Absent;
    if let b'K' | b'O' = kind {
        before = read_before(kind, cursor)?;
        kind = cursor.u8("update's new tuple kind")?;
    }
    match kind {
        b'N' => Ok(Change {
            relation,
            row: RowChange::Update {
                before,
                after: Tuple::read(cursor)?,
            },
        }),
        kind => Err(DecodeError::Unknown("tuple kind of an update", kind)),
    }
}

fn delete<'a>(cursor: &mut Cursor<'a>) -> Result<Change<'a>, DecodeError> {
    let relation = cursor.u32("delete's relation")?;
    let kind = cursor.u8("delete's tuple kind")?;
    Ok(Change {
        relation,
        row: RowChange::Delete(read_before(kind, cursor)?),
    })
}

fn read_before<'a>(kind: u8, cursor: &mut Cursor<'a>) -> Result<Before<'a>, DecodeError> {
    match kind {
        b'K' => Tuple::read(cursor).map(Before::Key),
        b'O' => Tuple::read(cursor).map(Before::Full),
        kind => Err(DecodeError::Unknown("tuple kind of an old row", kind)),
    }
}

fn truncate<'a>(cursor: &mut Cursor<'a>) -> Result<Message<'a>, DecodeError> {
    let count = cursor.u32("truncate's relation count")?;
    let options = cursor.u8("truncate's options")?;
    let mut relations = Vec::new();
    for _ in 0..count {
        relations.push(cursor.u32("truncate's relation")?);
    }
    Ok(Message::Truncate {
        relations,
        cascade: options & 1 != 0,
        restart_identity: options & 2 != 0,
    })
}

fn logical<'a>(cursor: &mut Cursor<'a>) -> Result<Message<'a>, DecodeError> {
    let transactional = cursor.u8("message's flags")? & 1 == 1;
    let lsn = lsn(cursor, "message's LSN")?;
    let prefix = cursor.text("message's prefix")?;
    let length = cursor.length("message's length")?;
    Ok(Message::Logical {
        transactional,
        lsn,
        prefix,
        content: cursor.take(length, "message's content")?,
    })
}
