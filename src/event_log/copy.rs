//! Events as rows of a binary COPY.
//!
//! Format: PostgreSQL manual, COPY, "Binary Format".

use bytes::BufMut as _;
use uuid::Uuid;

use crate::event::{Draft, Shape};
use crate::wal::Lsn;

/// The statement that the rows are for.
pub(super) const COPY_EVENTS: &str = "copy rowhook.events (sequence_id, event_id, event_type, resource, resource_id, \
     action, created_at, record, previous, context, old_row, unknown, as_text, table_schema, table_name, xid, \
     commit_lsn, commit_index, data, tenant, related) from stdin (format binary)";

/// Columns of that statement.
const COLUMNS: i16 = 21;

/// Signature, no flags, no extension.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// End of data.
pub(super) const TRAILER: &[u8] = &[0xff, 0xff];

/// Object id of type text.
const TEXT_OID: u32 = 25;

/// What an event is, beside what the row change says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) sequence_id: i64,
    pub(super) event_id: Uuid,
    /// Microseconds since 2000-01-01 UTC.
    pub(super) commit_time: i64,
    pub(super) xid: u32,
    pub(super) commit_lsn: Lsn,
    pub(super) index: u64,
}

/// Where the parts that readers share stand in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) resource_id: Option<Span>,
    pub(super) record: Option<Span>,
    pub(super) previous: Option<Span>,
    pub(super) data: Option<Span>,
    pub(super) tenant: Option<Span>,
    pub(super) related: Option<Span>,
}

/// A run of bytes in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// A value too long for Postgres.
#[derive(Debug, thiserror::Error)]
#[error("a value of {0} bytes is too long for the log")]
pub struct ValueTooLong(usize);

/// Appends one row.
pub(super) fn put_event(
    out: &mut Vec<u8>,
    place: Place,
    shape: &Shape,
    draft: &Draft<'_>,
    context: Option<&str>,
) -> Result<Parts, ValueTooLong> {
    out.put_i16(COLUMNS);
    put_i64(out, place.sequence_id);
    put(out, place.event_id.as_bytes())?;
    put(out, shape.event_type(draft.action).as_bytes())?;
    put(out, shape.resource.as_bytes())?;
    let resource_id = put_optional(out, draft.resource_id)?;
    put(out, draft.action.as_str().as_bytes())?;
    put_i64(out, place.commit_time);
    let record = put_optional(out, draft.record)?;
    let previous = put_optional(out, draft.previous)?;
    put_optional(out, context.map(str::as_bytes))?;
    put(out, draft.old_row.as_str().as_bytes())?;
    put_names(out, shape, draft.unknown)?;
    put_names(out, shape, draft.as_text)?;
    put(out, shape.schema.as_bytes())?;
    put(out, shape.table.as_bytes())?;
    put_i64(out, i64::from(place.xid));
    out.put_i32(8);
    out.put_u64(place.commit_lsn.0);
    out.put_i32(8);
    out.put_u64(place.index);
    let data = put_optional(out, draft.data)?;
    let tenant = put_optional(out, draft.tenant)?;
    let related = put_optional(out, draft.related)?;
    Ok(Parts {
        resource_id,
        record,
        previous,
        data,
        tenant,
        related,
    })
}

fn put_i64(out: &mut Vec<u8>, value: i64) {
    out.put_i32(8);
    out.put_i64(value);
}

fn put(out: &mut Vec<u8>, value: &[u8]) -> Result<Span, ValueTooLong> {
    out.put_i32(i32::try_from(value.len()).map_err(|_| ValueTooLong(value.len()))?);
    let start = out.len();
    out.put_slice(value);
    Ok(Span {
        start,
        end: out.len(),
    })
}

fn put_optional(out: &mut Vec<u8>, value: Option<&[u8]>) -> Result<Option<Span>, ValueTooLong> {
    match value {
        Some(value) => put(out, value).map(Some),
        None => {
            out.put_i32(-1);
            Ok(None)
        }
    }
}

/// A one-dimensional `text[]`, or null where there are no names.
fn put_names(out: &mut Vec<u8>, shape: &Shape, columns: &[usize]) -> Result<(), ValueTooLong> {
    if columns.is_empty() {
        out.put_i32(-1);
        return Ok(());
    }
    let mut array = Vec::new();
    array.put_i32(1);
    array.put_i32(0);
    array.put_u32(TEXT_OID);
    array.put_i32(i32::try_from(columns.len()).map_err(|_| ValueTooLong(columns.len()))?);
    array.put_i32(1);
    for column in columns {
        put(&mut array, shape.column_name(*column).as_bytes())?;
    }
    put(out, &array)?;
    Ok(())
}
