//! What the log knows of objects: the records of their newest events.

use std::pin::pin;

use bytestring::ByteString;
use futures_util::TryStreamExt as _;
use tokio_postgres::types::ToSql;

use super::history::ANSWER_BYTES;
use super::read::JsonText;
use crate::fault::Result;
use crate::wal::{Connection, server_error::sql_fault};

/// An object that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Object {
    /// Resource.
    pub resource: String,
    /// Resource id.
    pub resource_id: String,
}

/// The records of these objects, in their order; `None` where the log knows none, or it is gone.
/// Shorter where the records so far are large: the others are to be asked for again. Sees what this
/// very connection has written and not committed.
///
/// # Errors
/// By the server's SQLSTATE.
pub(super) async fn newest(
    connection: &Connection,
    objects: &[Object],
) -> Result<Vec<Option<ByteString>>> {
    let fault = |error| sql_fault("cannot read the objects of custom events", error);
    let resources: Vec<&str> = objects.iter().map(|it| it.resource.as_str()).collect();
    let ids: Vec<&str> = objects.iter().map(|it| it.resource_id.as_str()).collect();
    let values: [&(dyn ToSql + Sync); 2] = [&resources, &ids];
    let found = connection.query_raw(include_str!("../../sql/last_objects.sql"), values);
    let mut found = pin!(found.await.map_err(fault)?);
    let (mut records, mut bytes) = (vec![None; objects.len()], 0);
    while let Some(row) = found.try_next().await.map_err(fault)? {
        let place: i64 = row.try_get(0).map_err(fault)?;
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        let record: JsonText = row.try_get(1).map_err(fault)?;
        bytes += record.0.len();
        if let Some(slot) = records.get_mut(place.saturating_sub(1)) {
            *slot = Some(record.0);
        }
        if bytes > ANSWER_BYTES {
            records.truncate(place);
            break;
        }
    }
    Ok(records)
}
